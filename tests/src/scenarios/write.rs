//! WRITE, with and without immediate data.

use anyhow::Result;

use super::expect::{ACCESS_ERR, REQ_ERR, RXE, When, always};
use super::stage::{BAD_KEY, pattern, pause, write};
use super::{Scenario, Setup, Stage};
use crate::peer::{Access, Mr, Opcode, SendFlags, SendWr};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "rc_write_ok",
        about: "WRITE of one packet and of three, the last one padded",
        play: ok,
        cases: &[always("1-2 RDMA_WRITE", "", "RTS/RTS")],
    },
    Scenario {
        name: "rc_write_imm",
        about: "WRITE with immediate data of one packet, solicited of three, and of no bytes with a bad key",
        play: imm,
        cases: &[always(
            "1-3 RDMA_WRITE",
            "| 101 RECV_RDMA_WITH_IMM 64 imm=01020304, 102 RECV_RDMA_WITH_IMM 2500 imm=05060708, \
             103 RECV_RDMA_WITH_IMM 0 imm=090a0b0c",
            "RTS/RTS",
        )],
    },
    Scenario {
        name: "rc_write_imm_no_recv",
        about: "WRITE with immediate data of three packets, the receive comes 60 ms late",
        play: imm_late,
        cases: &[always("1 RDMA_WRITE", "| 201 RECV_RDMA_WITH_IMM 2500 imm=00000007", "RTS/RTS")],
    },
    Scenario {
        name: "rc_write_imm_bad_rkey",
        about: "WRITE with immediate data and a bad key: the receive at hand completes too",
        play: imm_bad_rkey,
        cases: &[
            always("1 REM_ACCESS_ERR", "| 101 REM_ACCESS_ERR, 102 flush", "ERR/ERR")
                .when(When::Responder(RXE), "soft-RoCE takes the requester's status"),
            always("1 REM_ACCESS_ERR", "| 101 LOC_ACCESS_ERR, 102 flush", "ERR/ERR"),
        ],
    },
    Scenario {
        name: "rc_write_zero_bad_rkey",
        about: "WRITE of no bytes with a bad key, which is not looked up",
        play: |stage| {
            stage.connect(&Setup::default())?;
            stage.req.post(SendWr::new(1, Opcode::Write).remote(&stage.resp.buf, 0).rkey(BAD_KEY))
        },
        cases: &[always("1 RDMA_WRITE", "", "RTS/RTS")],
    },
    Scenario {
        name: "rc_write_bad_rkey",
        about: "WRITE with a key that no region has",
        play: |stage| refused(stage, 64, |buf| (Mr { rkey: BAD_KEY, ..buf }, 0)),
        cases: REFUSED,
    },
    Scenario {
        name: "rc_write_bad_rkey_multi",
        about: "WRITE of three packets with a key that no region has: refused at the first",
        play: |stage| refused(stage, 3000, |buf| (Mr { rkey: BAD_KEY, ..buf }, 0)),
        cases: REFUSED,
    },
    Scenario {
        name: "rc_write_stale_rkey",
        about: "WRITE with the right index and another low byte of the key",
        play: |stage| refused(stage, 64, |buf| (Mr { rkey: buf.rkey ^ 0x5A, ..buf }, 0)),
        cases: REFUSED,
    },
    Scenario {
        name: "rc_write_out_of_range",
        about: "WRITE that ends 8 bytes past the region",
        play: |stage| refused(stage, 64, |buf| (buf, 8192 - 56)),
        cases: REFUSED,
    },
    Scenario {
        name: "rc_write_out_of_range_multi",
        about: "WRITE of three packets, 500 bytes past the region: nothing is written",
        play: |stage| refused(stage, 3000, |buf| (buf, 8192 - 2500)),
        cases: REFUSED,
    },
    Scenario {
        name: "rc_write_below_start",
        about: "WRITE that starts 8 bytes before the region",
        play: |stage| refused(stage, 64, |buf| (buf, -8)),
        cases: REFUSED,
    },
    Scenario {
        name: "rc_write_no_mr_access",
        about: "WRITE to a region that the peer may only read",
        play: |stage| refused_region(stage, Access::LOCAL_WRITE | Access::REMOTE_READ),
        cases: REFUSED,
    },
    Scenario {
        name: "rc_write_local_only_mr",
        about: "WRITE to a region without any right for the peer, addressed by its local key",
        play: |stage| refused_region(stage, Access::LOCAL_WRITE),
        cases: REFUSED,
    },
    Scenario {
        name: "rc_write_other_pd",
        about: "WRITE to a region of another protection domain",
        play: other_pd,
        cases: &[always("1 REM_ACCESS_ERR", "", "ERR/ERR").told(ACCESS_ERR)],
    },
    Scenario {
        name: "rc_write_no_qp_access",
        about: "WRITE through a queue pair without that right",
        play: |stage| no_qp_access(stage, |buf| buf),
        cases: &[always("1 REM_INV_REQ_ERR | 900 flush", "| 900 flush", "ERR/ERR").told(REQ_ERR)],
    },
    Scenario {
        name: "rc_write_no_qp_access_bad_rkey",
        about: "the same with a bad key: the queue pair's right is looked at first",
        play: |stage| no_qp_access(stage, |buf| Mr { rkey: BAD_KEY, ..buf }),
        cases: &[always("1 REM_INV_REQ_ERR | 900 flush", "| 900 flush", "ERR/ERR").told(REQ_ERR)],
    },
];

const REFUSED: &[super::Case] =
    &[always("1 REM_ACCESS_ERR | 900 flush", "| 900 flush", "ERR/ERR").told(ACCESS_ERR)];

fn ok(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup::default())?;
    stage.req.post_list(vec![
        write(1, stage.req.buf.sge(0, 64), &stage.resp.buf, 0),
        write(2, stage.req.buf.sge(0, 3001), &stage.resp.buf, 1000),
    ])?;
    stage.resp.lands(0, &pattern(64));
    stage.resp.lands(1000, &pattern(3001));
    Ok(())
}

fn write_imm(wr_id: u64, stage: &Stage<'_>, len: u32, offset: i64, imm: u32) -> SendWr {
    let wr = SendWr::new(wr_id, Opcode::WriteImm).remote(&stage.resp.buf, offset).imm(imm);
    if len == 0 { wr } else { wr.sge(stage.req.buf.sge(0, len)) }
}

fn imm(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup::default())?;
    for wr_id in 101..=103 {
        stage.resp.recv(wr_id, 4096, 64)?;
    }
    stage.req.post_each([
        write_imm(1, stage, 64, 0, 0x0102_0304),
        write_imm(2, stage, 2500, 100, 0x0506_0708).flags(SendFlags::SOLICITED),
        write_imm(3, stage, 0, 0, 0x090A_0B0C).rkey(BAD_KEY),
    ])?;
    stage.resp.lands(0, &pattern(64));
    stage.resp.lands(100, &pattern(2500));
    Ok(())
}

fn imm_late(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup { min_rnr_timer: 20, rnr_retry: 7, ..Setup::default() })?;
    stage.req.post(write_imm(1, stage, 2500, 0, 7))?;
    pause(60);
    stage.resp.recv(201, 4096, 64)?;
    stage.resp.lands(0, &pattern(2500));
    Ok(())
}

fn imm_bad_rkey(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup::default())?;
    stage.resp.recv(101, 0, 64)?;
    stage.resp.recv(102, 64, 64)?;
    stage.req.post(write_imm(1, stage, 64, 0, 7).rkey(BAD_KEY))
}

fn refused(stage: &mut Stage<'_>, len: u32, target: fn(Mr) -> (Mr, i64)) -> Result<()> {
    stage.connect(&Setup::default())?;
    stage.park()?;
    let (mr, offset) = target(stage.resp.buf);
    stage.req.post(write(1, stage.req.buf.sge(0, len), &mr, offset))
}

fn refused_region(stage: &mut Stage<'_>, access: u32) -> Result<()> {
    stage.connect(&Setup { mr_access: access, ..Setup::default() })?;
    stage.park()?;
    // Without a remote right an implementation may give no remote key at all.
    let mr = Mr { rkey: stage.resp.buf.lkey, ..stage.resp.buf };
    stage.req.post(write(1, stage.req.buf.sge(0, 64), &mr, 0))
}

fn other_pd(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup::default())?;
    stage.resp.alloc_pd("pd2")?;
    let other = stage.resp.region_in("pd2", "other", 4096, Access::ALL)?;
    stage.req.post(write(1, stage.req.buf.sge(0, 64), &other, 0))
}

fn no_qp_access(stage: &mut Stage<'_>, target: fn(Mr) -> Mr) -> Result<()> {
    let qp_access = Access::LOCAL_WRITE | Access::REMOTE_READ;
    stage.connect(&Setup { qp_access, ..Setup::default() })?;
    stage.park()?;
    stage.req.post(write(1, stage.req.buf.sge(0, 64), &target(stage.resp.buf), 0))
}
