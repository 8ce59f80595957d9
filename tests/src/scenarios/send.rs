//! SEND and what it meets in the receive queue.

use anyhow::Result;

use super::expect::{RXE, When, always};
use super::stage::{BAD_KEY, pattern, pause, send};
use super::{Case, Scenario, Setup, Stage};
use crate::peer::{Access, Opcode, SendFlags, SendWr, Sge};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "rc_send_ok",
        about: "SEND of one packet and of three",
        play: ok,
        cases: &[always("1-2 SEND", "| 101 RECV 64, 102 RECV 3000", "RTS/RTS")],
    },
    Scenario {
        name: "rc_send_imm",
        about: "SEND with immediate data, of one packet and, solicited, of three",
        play: imm,
        cases: &[always("1-2 SEND", "| 101 RECV 64 imm=11223344, 102 RECV 2500 imm=55667788", "RTS/RTS")],
    },
    Scenario {
        name: "rc_send_zero_length",
        about: "SENDs without data, the third from an element of no bytes whose key is bad: it is never looked up",
        play: zero_length,
        cases: &[always("1-3 SEND", "| 101 RECV 0, 102 RECV 0 imm=cafef00d, 103 RECV 0", "RTS/RTS")],
    },
    Scenario {
        name: "rc_send_too_long_1",
        about: "128 bytes into a receive of 64",
        play: |stage| too_long(stage, 128, 64),
        cases: TOO_LONG,
    },
    Scenario {
        name: "rc_send_too_long_n",
        about: "3000 bytes into a receive of 1500: the second of three packets does not fit",
        play: |stage| too_long(stage, 3000, 1500),
        cases: TOO_LONG,
    },
    Scenario {
        name: "rc_send_too_long_last",
        about: "2049 bytes into a receive of 2048: the last packet's one byte does not fit",
        play: |stage| too_long(stage, 2049, 2048),
        cases: TOO_LONG,
    },
    Scenario {
        name: "rc_recv_bad_lkey",
        about: "SEND into a receive with a key that no region has",
        play: |stage| bad_receive(stage, |buf, _| Sge { lkey: BAD_KEY, ..buf }),
        cases: BAD_RECEIVE,
    },
    Scenario {
        name: "rc_recv_no_local_write",
        about: "SEND into a region that only the peer may read",
        play: |stage| bad_receive(stage, |_, read_only| read_only),
        cases: BAD_RECEIVE,
    },
    Scenario {
        name: "rc_recv_out_of_range",
        about: "SEND into a receive that ends beyond its region",
        play: |stage| bad_receive(stage, |buf, _| Sge { addr: buf.addr + 8192 - 16, ..buf }),
        cases: BAD_RECEIVE,
    },
    Scenario {
        name: "rc_rnr_exhausted",
        about: "SEND without a receive, two retries",
        play: rnr_exhausted,
        cases: &[always("1 RNR_RETRY_EXC_ERR", "", "ERR/RTS")],
    },
    Scenario {
        name: "rc_rnr_retry_0",
        about: "two SENDs without a receive, no retry",
        play: rnr_retry_0,
        cases: &[always("1 RNR_RETRY_EXC_ERR, 2 flush", "", "ERR/RTS")],
    },
    Scenario {
        name: "rc_rnr_late",
        about: "the receive comes 200 ms late, RNR retries without end",
        play: |stage| late(stage, &Setup { rnr_retry: 7, ..Setup::default() }, 64, 200),
        cases: &[always("1 SEND", "| 201 RECV 64", "RTS/RTS")],
    },
    Scenario {
        name: "rc_rnr_late_multi",
        about: "the receive for a SEND of three packets comes 60 ms late",
        play: |stage| {
            let setup = Setup { mtu: (256, 256), min_rnr_timer: 20, rnr_retry: 7, ..Setup::default() };
            late(stage, &setup, 700, 60)
        },
        cases: &[always("1 SEND", "| 201 RECV 700", "RTS/RTS")],
    },
    Scenario {
        name: "rc_rnr_timer_zero",
        about: "the receive comes 60 ms late, timer code 0: 655 ms, the longest",
        play: |stage| late(stage, &Setup { min_rnr_timer: 0, ..Setup::default() }, 64, 60),
        cases: &[always("1 SEND", "| 201 RECV 64", "RTS/RTS")],
    },
    Scenario {
        name: "rc_rnr_second",
        about: "three SENDs, one receive, two more 60 ms later",
        play: rnr_second,
        cases: &[always("1-3 SEND", "| 101 RECV 64, 201 RECV 32, 202 RECV 16", "RTS/RTS")],
    },
    Scenario {
        name: "rc_send_inv_bad_key",
        about: "SEND that invalidates a key that no region has, then a SEND",
        play: |stage| invalidate(stage, 64, |_| BAD_KEY, true),
        cases: NOT_INVALIDATED,
    },
    Scenario {
        name: "rc_send_inv_bad_key_multi",
        about: "the same in three packets, nothing after it",
        play: |stage| invalidate(stage, 2500, |_| BAD_KEY, false),
        cases: &[
            always("1 SEND", "| 101 REM_INV_REQ_ERR, 102 flush", "RTS/ERR")
                .when(When::Responder(RXE), FIRST_ACKNOWLEDGED),
            always("1 RETRY_EXC_ERR", "| 101 REM_INV_REQ_ERR, 102 flush", "ERR/ERR"),
        ],
    },
    Scenario {
        name: "rc_send_inv_user_mr",
        about: "SEND that invalidates an ordinary region, which cannot be invalidated, then a SEND",
        play: |stage| invalidate(stage, 64, |stage| stage.resp.buf.rkey, true),
        cases: NOT_INVALIDATED,
    },
];

const TOO_LONG: &[Case] = &[
    always("1 REM_OP_ERR", "| 101 LOC_QP_OP_ERR, 102 flush", "ERR/ERR").when(When::Responder(RXE), OP_ERR),
    always("1 REM_INV_REQ_ERR", "| 101 LOC_LEN_ERR, 102 flush", "ERR/ERR"),
];
const BAD_RECEIVE: &[Case] = &[
    always("1 REM_OP_ERR", "| 101 LOC_QP_OP_ERR, 102 flush", "ERR/ERR").when(When::Responder(RXE), OP_ERR),
    always("1 REM_OP_ERR", "| 101 LOC_PROT_ERR, 102 flush", "ERR/ERR"),
];
const NOT_INVALIDATED: &[Case] = &[
    always("1 SEND, 2 RETRY_EXC_ERR", "| 101 REM_INV_REQ_ERR, 102-103 flush", "ERR/ERR")
        .when(When::Responder(RXE), FIRST_ACKNOWLEDGED),
    always("1 RETRY_EXC_ERR, 2 flush", "| 101 REM_INV_REQ_ERR, 102-103 flush", "ERR/ERR"),
];
const OP_ERR: &str = "soft-RoCE has one status, and one NAK, for all that is wrong with a receive";
const FIRST_ACKNOWLEDGED: &str = "soft-RoCE acknowledges the SEND and then finds that it cannot invalidate";

fn ok(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup::default())?;
    stage.resp.recv(101, 0, 64)?;
    stage.resp.recv(102, 1000, 4000)?;
    stage.req.post(send(1, stage.req.buf.sge(0, 64)))?;
    stage.req.post(send(2, stage.req.buf.sge(0, 3000)))?;
    stage.resp.lands(0, &pattern(64));
    stage.resp.lands(1000, &pattern(3000));
    Ok(())
}

fn imm(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup::default())?;
    stage.resp.recv(101, 0, 64)?;
    stage.resp.recv(102, 100, 3000)?;
    let send_imm = |id, len| SendWr::new(id, Opcode::SendImm).sge(stage.req.buf.sge(0, len));
    let wrs =
        [send_imm(1, 64).imm(0x1122_3344), send_imm(2, 2500).imm(0x5566_7788).flags(SendFlags::SOLICITED)];
    stage.req.post_each(wrs)?;
    stage.resp.lands(0, &pattern(64));
    stage.resp.lands(100, &pattern(2500));
    Ok(())
}

fn zero_length(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup::default())?;
    for wr_id in 101..=103 {
        stage.resp.recv(wr_id, 0, 64)?;
    }
    let nowhere = Sge { lkey: BAD_KEY, len: 0, addr: 0 };
    stage.req.post_each([
        SendWr::new(1, Opcode::Send),
        SendWr::new(2, Opcode::SendImm).imm(0xCAFE_F00D),
        send(3, nowhere),
    ])
}

fn too_long(stage: &mut Stage<'_>, sent: u32, room: u32) -> Result<()> {
    stage.connect(&Setup::default())?;
    stage.resp.recv(101, 0, room)?;
    stage.resp.recv(102, 4096, 64)?;
    stage.req.post(send(1, stage.req.buf.sge(0, sent)))?;
    stage.resp.undefined(0..room as usize);
    Ok(())
}

fn bad_receive(stage: &mut Stage<'_>, receive: fn(Sge, Sge) -> Sge) -> Result<()> {
    stage.connect(&Setup::default())?;
    let read_only = stage.resp.region("read_only", 4096, Access::REMOTE_READ)?;
    let sge = receive(stage.resp.buf.sge(0, 64), read_only.sge(0, 64));
    stage.resp.try_recv("qp", 101, vec![sge])?;
    stage.resp.recv(102, 64, 64)?;
    stage.req.post(send(1, stage.req.buf.sge(0, 32)))
}

fn rnr_exhausted(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup { rnr_retry: 2, ..Setup::default() })?;
    stage.req.post(send(1, stage.req.buf.sge(0, 64)))
}

fn rnr_retry_0(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup { rnr_retry: 0, ..Setup::default() })?;
    stage.req.post_list(vec![send(1, stage.req.buf.sge(0, 64)), send(2, stage.req.buf.sge(0, 32))])
}

fn late(stage: &mut Stage<'_>, setup: &Setup, len: u32, milliseconds: u64) -> Result<()> {
    stage.connect(setup)?;
    stage.req.post(send(1, stage.req.buf.sge(0, len)))?;
    pause(milliseconds);
    stage.resp.recv(201, 0, 1024)?;
    stage.resp.lands(0, &pattern(len as usize));
    Ok(())
}

fn rnr_second(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup { min_rnr_timer: 20, rnr_retry: 7, ..Setup::default() })?;
    stage.resp.recv(101, 0, 64)?;
    stage.req.post_list(
        [(1, 64), (2, 32), (3, 16)].map(|(id, len)| send(id, stage.req.buf.sge(0, len))).to_vec(),
    )?;
    pause(60);
    stage.resp.recv(201, 100, 64)?;
    stage.resp.recv(202, 200, 64)?;
    for (offset, len) in [(0, 64), (100, 32), (200, 16)] {
        stage.resp.lands(offset, &pattern(len));
    }
    Ok(())
}

fn invalidate(stage: &mut Stage<'_>, len: u32, key: fn(&Stage<'_>) -> u32, then_send: bool) -> Result<()> {
    stage.connect(&Setup::impatient())?;
    stage.resp.recv(101, 0, 2500)?;
    stage.resp.recv(102, 4096, 64)?;
    if then_send {
        stage.resp.recv(103, 4160, 64)?;
    }
    let mut wr = SendWr::new(1, Opcode::SendInv).sge(stage.req.buf.sge(0, len));
    wr.inv_rkey = key(stage);
    stage.req.post(wr)?;
    stage.req.wait(1)?;
    if then_send {
        stage.req.post(send(2, stage.req.buf.sge(0, 32)))?;
        stage.req.wait(1)?;
    }
    stage.resp.undefined(0..len as usize);
    Ok(())
}
