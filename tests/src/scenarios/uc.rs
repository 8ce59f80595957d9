//! Unreliable connections: what is dropped, and that nobody is told.

use anyhow::Result;

use super::expect::{FERROCE, RXE, When, always};
use super::stage::{BAD_KEY, pattern, pause, read, send, write};
use super::{Scenario, Setup, Stage};
use crate::peer::{Access, Kind, Opcode, QpType, SendWr, Sge};

const SQE: &str =
    "a failed send stops the send queue of an unreliable service, not all of it (IBTA 10.3.1.6)";
const NO_STATUS: &str = "Linux 6.12 flushes the request that failed without a status of its own";
const NO_SQE: &str = "soft-RoCE knows no SQE";
/// The older kernel, which tells why a send failed.
const RXE61: &[Kind] = &[Kind::Rxe61];

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "uc_send_ok",
        about: "SENDs of one packet and of three, and one with immediate data",
        play: sends,
        cases: &[always("1-3 SEND", "| 101 RECV 64, 102 RECV 3000, 103 RECV 100 imm=31323334", "RTS/RTS")],
    },
    Scenario {
        name: "uc_write_ok",
        about: "WRITEs of three packets, the second with immediate data",
        play: writes,
        cases: &[always("1-2 RDMA_WRITE", "| 101 RECV_RDMA_WITH_IMM 2500 imm=00000009", "RTS/RTS")],
    },
    Scenario {
        name: "uc_send_no_recv",
        about: "SENDs of one packet and of three without a receive, then one with",
        play: no_receive,
        cases: &[always("1-3 SEND", "| 101 RECV 48", "RTS/RTS")],
    },
    Scenario {
        name: "uc_send_too_long",
        about: "SENDs of 128 and 3000 bytes into receives of 64, each followed by one that fits",
        play: too_long,
        cases: &[
            always("1-4 SEND", "| 101 LOC_QP_OP_ERR, 102-104 flush", "RTS/ERR").when(
                When::Responder(RXE),
                "soft-RoCE fails where the specification drops the message (IBTA 9.9.3, class D)",
            ),
            always("1-4 SEND", "| 101 RECV 32, 102 RECV 16", "RTS/RTS"),
        ],
    },
    Scenario {
        name: "uc_recv_bad_lkey",
        about: "SENDs into a receive with a key that no region has, and one after it",
        play: bad_receive,
        cases: &[
            always("1-2 SEND", "| 101 LOC_QP_OP_ERR, 102 flush", "RTS/ERR")
                .when(When::Responder(RXE), "soft-RoCE calls every fault of a receive an operation error"),
            always("1-2 SEND", "| 101 LOC_PROT_ERR, 102 flush", "RTS/ERR"),
        ],
    },
    Scenario {
        name: "uc_local_bad_lkey",
        about: "a good SEND, one from a key that no region has, a good one",
        play: bad_source,
        cases: &[
            always("1 SEND, 2 LOC_PROT_ERR, 3 flush", "| 101 RECV 64", "SQE/RTS")
                .when(When::Requester(FERROCE), SQE),
            always("1 SEND, 2 LOC_QP_OP_ERR, 3 flush", "| 101 RECV 64", "ERR/RTS")
                .when(When::Requester(RXE61), NO_SQE),
            always("1 SEND, 2-3 flush", "| 101 RECV 64", "ERR/RTS").when(When::Always, NO_STATUS),
        ],
    },
    Scenario {
        name: "uc_read_refused",
        about: "a READ, which an unreliable connection does not have",
        play: read_refused,
        cases: &[
            always("1 LOC_QP_OP_ERR", "", "SQE/RTS").when(When::Requester(FERROCE), SQE),
            always("1 LOC_QP_OP_ERR", "", "ERR/RTS").when(When::Requester(RXE61), NO_SQE),
            always("1 flush", "", "ERR/RTS").when(When::Always, NO_STATUS),
        ],
    },
    Scenario {
        name: "uc_write_no_qp_access",
        about: "a WRITE that the queue pair does not allow, then a SEND",
        play: no_access,
        cases: &[always("1 RDMA_WRITE, 2 SEND", "| 101 RECV 32", "RTS/RTS")],
    },
    Scenario {
        name: "uc_write_bad_rkey",
        about: "WRITEs with a key that no region has, of one packet and of three, then a good one",
        play: bad_rkey,
        cases: &[always("1-3 RDMA_WRITE", "| 101 RECV_RDMA_WITH_IMM 32 imm=00000002", "RTS/RTS")],
    },
];

fn setup() -> Setup {
    Setup { service: QpType::Uc, ..Setup::default() }
}

fn sends(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&setup())?;
    for (wr_id, offset, len) in [(101, 0, 64), (102, 64, 3000), (103, 4000, 100)] {
        stage.resp.recv(wr_id, offset, len)?;
        stage.resp.lands(offset as usize, &pattern(len as usize));
    }
    let buf = stage.req.buf;
    stage.req.post(send(1, buf.sge(0, 64)))?;
    stage.req.post(send(2, buf.sge(0, 3000)))?;
    stage.req.post(SendWr::new(3, Opcode::SendImm).sge(buf.sge(0, 100)).imm(0x3132_3334))
}

fn writes(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&setup())?;
    stage.resp.recv(101, 8000, 64)?;
    let (buf, remote) = (stage.req.buf, stage.resp.buf);
    stage.req.post(write(1, buf.sge(0, 3000), &remote, 0))?;
    stage.req.post(write_imm(2, buf.sge(0, 2500), stage, 4096, 9))?;
    stage.resp.lands(0, &pattern(3000));
    stage.resp.lands(4096, &pattern(2500));
    Ok(())
}

fn write_imm(wr_id: u64, sge: Sge, stage: &Stage<'_>, offset: i64, imm: u32) -> SendWr {
    SendWr::new(wr_id, Opcode::WriteImm).sge(sge).remote(&stage.resp.buf, offset).imm(imm)
}

fn no_receive(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&setup())?;
    let buf = stage.req.buf;
    stage.req.post(send(1, buf.sge(0, 64)))?;
    stage.req.post(send(2, buf.sge(0, 2500)))?;
    pause(200);
    stage.resp.recv(101, 0, 64)?;
    stage.resp.lands(0, &pattern(48));
    stage.req.post(send(3, buf.sge(0, 48)))
}

fn too_long(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&setup())?;
    for index in 0..4 {
        stage.resp.recv(101 + index, index * 64, 64)?;
    }
    stage.resp.undefined(0..256);
    let buf = stage.req.buf;
    let lengths = [128, 32, 3000, 16];
    stage.req.post_each((1..).zip(lengths).map(|(wr_id, len)| send(wr_id, buf.sge(0, len))))
}

fn bad_receive(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&setup())?;
    let bad = Sge { lkey: BAD_KEY, ..stage.resp.buf.sge(0, 64) };
    stage.resp.try_recv("qp", 101, vec![bad])?;
    stage.resp.recv(102, 64, 64)?;
    let buf = stage.req.buf;
    stage.req.post(send(1, buf.sge(0, 32)))?;
    stage.req.post(send(2, buf.sge(0, 16)))
}

fn bad_source(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&setup())?;
    stage.resp.recv(101, 0, 64)?;
    stage.resp.lands(0, &pattern(64));
    let buf = stage.req.buf;
    stage.req.post(send(1, buf.sge(0, 64)))?;
    stage.req.wait(1)?;
    let bad = Sge { lkey: BAD_KEY, ..buf.sge(0, 64) };
    stage.req.post_list(vec![send(2, bad), send(3, buf.sge(0, 64))])
}

fn read_refused(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&setup())?;
    let (buf, remote) = (stage.req.buf, stage.resp.buf);
    stage.req.post(read(1, buf.sge(0, 64), &remote, 0))
}

fn no_access(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup { qp_access: Access::LOCAL_WRITE, ..setup() })?;
    stage.resp.recv(101, 0, 64)?;
    stage.resp.lands(0, &pattern(32));
    let (buf, remote) = (stage.req.buf, stage.resp.buf);
    stage.req.post(write(1, buf.sge(0, 64), &remote, 4096))?;
    stage.req.post(send(2, buf.sge(0, 32)))
}

fn bad_rkey(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&setup())?;
    stage.resp.recv(101, 8000, 64)?;
    let (buf, remote) = (stage.req.buf, stage.resp.buf);
    stage.req.post(write(1, buf.sge(0, 64), &remote, 0).rkey(BAD_KEY))?;
    stage.req.post(write_imm(2, buf.sge(0, 2500), stage, 0, 1).rkey(BAD_KEY))?;
    stage.req.post(write_imm(3, buf.sge(0, 32), stage, 4096, 2))?;
    stage.resp.lands(4096, &pattern(32));
    Ok(())
}
