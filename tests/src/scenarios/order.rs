//! Packets that come again, and packets that should not come at all.
//!
//! To send an old PSN again, the requester resets its queue pair and starts at that PSN; the responder knows nothing
//! of it and keeps its state.

use anyhow::Result;

use super::atomic::{cmp_swap, connect as connect_eights, eights, fetch_add};
use super::expect::{FERROCE, REQ_ERR, RXE, When, always};
use super::stage::{BAD_KEY, pattern, pause, read, send, write};
use super::{Case, Scenario, Setup, Stage};
use crate::peer::{Kind, QpState, Sge};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "rc_dup_send",
        about: "three SENDs, the first two again: acknowledged, not delivered twice",
        play: dup_send,
        cases: &[
            always("1-3 SEND, 11-12 SEND", RECEIVED_ONCE, "RTS/RTS")
                .when(When::Requester(RXE), "soft-RoCE believes an ACK of a packet that it has not sent"),
            always("1-3 SEND, 11 RETRY_EXC_ERR, 12 flush", RECEIVED_ONCE, "ERR/RTS"),
        ],
    },
    Scenario {
        name: "rc_dup_write_multi",
        about: "WRITE of three packets, again with other data: acknowledged, memory unchanged",
        play: dup_write,
        cases: &[always("1 RDMA_WRITE, 11 RDMA_WRITE", "", "RTS/RTS")],
    },
    Scenario {
        name: "rc_dup_atomic",
        about: "FETCH_ADD; in its place another one and a CMP_SWAP: all get the saved result",
        play: dup_atomic,
        cases: &[always("1-2 FETCH_ADD 8, 3 COMP_SWAP 8", "", "RTS/RTS")],
    },
    Scenario {
        name: "rc_dup_atomic_evicted",
        about: "FETCH_ADD and READ where one result is kept, the FETCH_ADD again: its result is gone",
        play: dup_atomic_evicted,
        cases: &[always("1 FETCH_ADD 8, 2 RDMA_READ 8, 3 RETRY_EXC_ERR", "", "ERR/RTS")],
    },
    Scenario {
        name: "rc_dup_read",
        about: "READ; again after the memory changed; from its second packet; from the start",
        play: dup_read,
        cases: &[
            always("1-2 RDMA_READ 3000, 3 RDMA_READ 1976, 4 RETRY_EXC_ERR", "", "ERR/RTS")
                .notes(&["no data from the second packet on, queue pair in ERR"])
                .when(
                    When::Pair(RXE, RXE),
                    "an answer that starts with MIDDLE fails, and SUCCESS is reported for it",
                ),
            always("1-2 RDMA_READ 3000, 3 RDMA_READ 1976, 4 RETRY_EXC_ERR", "", "ERR/RTS")
                .when(When::Responder(RXE), "soft-RoCE forgets the READ for the shorter one in its place"),
            always("1-2 RDMA_READ 3000, 3 RDMA_READ 1976, 4 RDMA_READ 3000", "", "RTS/RTS"),
        ],
    },
    Scenario {
        name: "rc_dup_read_longer",
        about: "READ of 500 bytes, in its place one of 600",
        play: dup_read_longer,
        cases: &[always("1 RDMA_READ 500, 2 RETRY_EXC_ERR", "", "ERR/RTS")],
    },
    Scenario {
        name: "rc_dup_mixed",
        about: "SEND, FETCH_ADD, READ, SEND, and all four again",
        play: dup_mixed,
        cases: &[always(
            "1 SEND, 2 FETCH_ADD 8, 3 RDMA_READ 1500, 4 SEND, 11 SEND, 12 FETCH_ADD 8, 13 RDMA_READ 1500, 14 SEND",
            "| 900 RECV 32, 101 RECV 16",
            "RTS/RTS",
        )],
    },
    Scenario {
        name: "rc_opcode_sequence",
        about: "the first packet of a SEND, then a whole SEND where its second packet should be",
        play: |stage| {
            half_send(stage)?;
            intruder(stage)
        },
        cases: &[
            WHOLE,
            always("1 LOC_QP_OP_ERR, 2 REM_INV_REQ_ERR", OUT_OF_ORDER, "ERR/ERR")
                .when(When::Pair(&[Kind::Rxe61], FERROCE), HALF),
            always("1 flush, 2 REM_INV_REQ_ERR", OUT_OF_ORDER, "ERR/ERR")
                .when(When::Pair(&[Kind::Rxe612], FERROCE), HALF),
            always("1 LOC_QP_OP_ERR, 2 REM_INV_REQ_ERR", "| 101 REM_INV_REQ_ERR, 102 flush", "ERR/ERR")
                .when(When::Requester(&[Kind::Rxe61]), HALF),
            always("1 flush, 2 REM_INV_REQ_ERR", "| 101 REM_INV_REQ_ERR, 102 flush", "ERR/ERR")
                .when(When::Always, HALF),
        ],
    },
    Scenario {
        name: "rc_opcode_sequence_write",
        about: "the first packet of a WRITE, then a whole SEND where its second packet should be",
        play: |stage| {
            half_write(stage)?;
            intruder(stage)
        },
        cases: &[
            WHOLE,
            always("1 LOC_QP_OP_ERR, 2 REM_INV_REQ_ERR", "| 101-102 flush", "ERR/ERR")
                .told(REQ_ERR)
                .when(When::Requester(&[Kind::Rxe61]), HALF),
            always("1 flush, 2 REM_INV_REQ_ERR", "| 101-102 flush", "ERR/ERR")
                .told(REQ_ERR)
                .when(When::Always, HALF),
        ],
    },
];

const RECEIVED_ONCE: &str = "| 101 RECV 64, 102 RECV 63, 103 RECV 62";
/// The specification's status; soft-RoCE takes the requester's.
const OUT_OF_ORDER: &str = "| 101 LOC_QP_OP_ERR, 102 flush";
const WHOLE: Case = always("1 LOC_PROT_ERR, 2 RETRY_EXC_ERR", "", "ERR/RTS").when(
    When::Requester(FERROCE),
    "it looks at all elements before it sends the first packet, so there is no half message to go on from",
);
const HALF: &str =
    "the half message comes from a bad key in its second element, with this kernel's status for that";

fn dup_send(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup::impatient())?;
    for index in 0..3 {
        stage.resp.recv(101 + index, index * 100, 64)?;
        stage.resp.lands(index as usize * 100, &pattern(64 - index as usize));
    }
    let from = stage.req.buf;
    stage.req.post_each([(1, 64), (2, 63), (3, 62)].map(|(id, len)| send(id, from.sge(0, len))))?;
    stage.req.wait(3)?;
    stage.req.restart(0x1000)?;
    stage.req.post_each([(11, 64), (12, 63)].map(|(id, len)| send(id, from.sge(0, len))))
}

fn dup_write(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup::default())?;
    let (from, to) = (stage.req.buf, stage.resp.buf);
    stage.req.post(write(1, from.sge(0, 2500), &to, 0))?;
    stage.req.wait(1)?;
    stage.req.restart(0x1000)?;
    stage.req.post(write(11, from.sge(1000, 2500), &to, 0))?;
    stage.resp.lands(0, &pattern(2500));
    Ok(())
}

/// What the responder's memory starts with in the scenarios of atomics.
fn first() -> [u8; 8] {
    0x0102_0304_0506_0708u64.to_le_bytes()
}

fn dup_atomic(stage: &mut Stage<'_>) -> Result<()> {
    connect_eights(stage, &eights())?;
    let mr = stage.resp.buf;
    let mut again = fetch_add(stage, 2, &mr, 0, 0x99);
    again.sges[0].addr += 8;
    let instead = cmp_swap(stage, 3, 16, 0, 5, 6);
    stage.req.post(fetch_add(stage, 1, &mr, 0, 0x10))?;
    for wr in [again, instead] {
        stage.req.wait(1)?;
        stage.req.restart(0x1000)?;
        stage.req.post(wr)?;
    }
    for offset in [0, 8, 16] {
        stage.req.lands(offset, &first());
    }
    stage.resp.lands(0, &0x0102_0304_0506_0718u64.to_le_bytes());
    Ok(())
}

fn dup_atomic_evicted(stage: &mut Stage<'_>) -> Result<()> {
    connect_eights(stage, &Setup { max_dest_rd: 1, timeout: 14, retry_cnt: 2, ..eights() })?;
    let mr = stage.resp.buf;
    stage.req.post(fetch_add(stage, 1, &mr, 0, 0x10))?;
    stage.req.wait(1)?;
    stage.req.post(read(2, stage.req.buf.sge(64, 8), &mr, 0))?;
    stage.req.wait(1)?;
    stage.req.restart(0x1000)?;
    stage.req.post(fetch_add(stage, 3, &mr, 0, 0x10))?;
    stage.req.lands(0, &first());
    let added = 0x0102_0304_0506_0718u64.to_le_bytes();
    stage.req.lands(64, &added);
    stage.resp.lands(0, &added);
    Ok(())
}

fn dup_read(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup { pattern: (false, true), ..Setup::impatient() })?;
    let (to, from) = (stage.req.buf, stage.resp.buf);
    stage.req.post(read(1, to.sge(0, 3000), &from, 0))?;
    stage.req.wait(1)?;
    let changed: Vec<_> = pattern(8192).iter().map(|byte| byte ^ 0xFF).collect();
    stage.resp.store("buf", 0, &changed)?;
    let again = [
        (0x1000, read(2, to.sge(0, 3000), &from, 0)),
        (0x1001, read(3, to.sge(4096, 1976), &from, 1024)),
        (0x1000, read(4, to.sge(0, 3000), &from, 0)),
    ];
    for (psn, wr) in again {
        let wr_id = wr.wr_id;
        stage.req.restart(psn)?;
        stage.req.post(wr)?;
        stage.req.wait(1)?;
        if wr_id == 3 && stage.req.state("qp")? == QpState::Rts {
            stage.req.lands(4096, &changed[1024..3000]);
        } else if wr_id == 3 {
            stage.note("no data from the second packet on, queue pair in ERR");
        }
    }
    stage.req.lands(0, &changed[..3000]);
    Ok(())
}

fn dup_read_longer(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup { pattern: (false, true), ..Setup::impatient() })?;
    let (to, from) = (stage.req.buf, stage.resp.buf);
    stage.req.post(read(1, to.sge(0, 500), &from, 0))?;
    stage.req.wait(1)?;
    stage.req.restart(0x1000)?;
    stage.req.post(read(2, to.sge(4096, 600), &from, 0))?;
    stage.req.lands(0, &pattern(500));
    Ok(())
}

fn dup_mixed(stage: &mut Stage<'_>) -> Result<()> {
    connect_eights(stage, &eights())?;
    let park = stage.resp.region("park", 64, crate::peer::Access::ALL)?;
    stage.resp.try_recv("qp", 900, vec![park.sge(0, 64)])?;
    stage.resp.recv(101, 2048, 64)?;
    let (local, mr) = (stage.req.buf, stage.resp.buf);
    stage.req.store("buf", 2048, &pattern(64))?;
    let four = |base: u64| {
        [
            send(base + 1, local.sge(2048, 32)),
            fetch_add(stage, base + 2, &mr, 1024 + 512, 1),
            read(base + 3, local.sge(0, 1500), &mr, 0),
            send(base + 4, local.sge(2048, 16)),
        ]
    };
    let (once, again) = (four(0), four(10));
    stage.req.post_each(once)?;
    stage.req.wait(4)?;
    stage.req.restart(0x1000)?;
    stage.req.post_each(again)?;
    stage.req.lands(0, &first());
    stage.req.lands(1536, &0u64.to_le_bytes());
    stage.resp.lands(1536, &1u64.to_le_bytes());
    stage.resp.lands(2048, &pattern(16));
    stage.resp.lands_in("park", 0, &pattern(32));
    Ok(())
}

/// Sends the first packet of a message whose second cannot be sent: its memory has a bad key.
fn half_send(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup::impatient())?;
    stage.resp.recv(101, 0, 4096)?;
    stage.resp.recv(102, 4096, 64)?;
    let from = stage.req.buf;
    let bad = Sge { lkey: BAD_KEY, ..from.sge(0, 64) };
    stage.req.post(send(1, from.sge(0, 1024)).sge(bad))?;
    stage.resp.undefined(0..1024);
    Ok(())
}

fn half_write(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup::impatient())?;
    stage.resp.recv(101, 4096, 64)?;
    stage.resp.recv(102, 4096, 64)?;
    let from = stage.req.buf;
    let bad = Sge { lkey: BAD_KEY, ..from.sge(0, 64) };
    let to = stage.resp.buf;
    stage.req.post(write(1, from.sge(0, 1024), &to, 0).sge(bad))?;
    stage.resp.undefined(0..1024);
    Ok(())
}

/// Sends a whole message where the second packet of the half message should be.
fn intruder(stage: &mut Stage<'_>) -> Result<()> {
    stage.req.wait(1)?;
    pause(20);
    if stage.req.state("qp")? == QpState::Err {
        stage.req.restart(0x1001)?;
    }
    stage.req.post(send(2, stage.req.buf.sge(0, 64)))
}
