//! Memory windows of the responder: what they open, and how they are shut.
//!
//! 10 and 11 are requests of the responder's own, which bind and invalidate.

use std::ops::Range;

use anyhow::Result;

use super::expect::{ACCESS_ERR, RXE, When, always};
use super::stage::{pattern, read, write};
use super::{Case, Scenario, Setup, Stage};
use crate::peer::{Access, Kind, Mr, Opcode, SendWr};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "rc_mw_type1",
        about: "type 1: bind, WRITE, READ, unbind by binding no bytes, WRITE",
        play: type1,
        cases: &[always("1 RDMA_WRITE, 2 RDMA_READ 64, 3 REM_ACCESS_ERR", "10-11 BIND_MW", "ERR/ERR")
            .told(ACCESS_ERR)],
    },
    Scenario {
        name: "rc_mw_type1_rebind",
        about: "type 1: bind, WRITE, bind elsewhere, WRITE with the new key, WRITE with the old one",
        play: type1_rebind,
        cases: &[always("1-2 RDMA_WRITE, 3 REM_ACCESS_ERR", "10-11 BIND_MW", "ERR/ERR").told(ACCESS_ERR)],
    },
    Scenario {
        name: "rc_mw_outside_window",
        about: "WRITE across the end of the window",
        play: |stage| {
            let window = connect(stage, false, WINDOW, Access::REMOTE_WRITE)?;
            stage.req.post(write(1, stage.req.buf.sge(0, 64), &window, 1024 - 32))?;
            if stage.resp.kind() != Kind::Ferroce {
                stage.resp.lands(2048 - 32, &pattern(64));
            }
            Ok(())
        },
        cases: &[
            always("1 RDMA_WRITE", "10 BIND_MW", "RTS/RTS").when(When::Responder(RXE), ONLY_THE_REGION),
            always("1 REM_ACCESS_ERR", "10 BIND_MW", "ERR/ERR").told(ACCESS_ERR),
        ],
    },
    Scenario {
        name: "rc_mw_far_outside_window",
        about: "WRITE and READ in the region but outside of its window, then a WRITE outside of the region",
        play: far_outside,
        cases: &[
            always("1 RDMA_WRITE, 2 RDMA_READ 64, 3 REM_ACCESS_ERR", "10 BIND_MW", "ERR/ERR")
                .when(When::Responder(RXE), ONLY_THE_REGION),
            always("1 REM_ACCESS_ERR, 2-3 flush", "10 BIND_MW", "ERR/ERR").told(ACCESS_ERR),
        ],
    },
    Scenario {
        name: "rc_mw_no_right",
        about: "READ and WRITE through a window that is only for READ",
        play: |stage| {
            let window = connect(stage, false, WINDOW, Access::REMOTE_READ)?;
            stage.req.post_each([
                read(1, stage.req.buf.sge(4096, 64), &window, 0),
                write(2, stage.req.buf.sge(0, 64), &window, 0),
            ])?;
            stage.req.lands(4096, &[0; 64]);
            Ok(())
        },
        cases: &[always("1 RDMA_READ 64, 2 REM_ACCESS_ERR", "10 BIND_MW", "ERR/ERR").told(ACCESS_ERR)],
    },
    Scenario {
        name: "rc_mw_type2",
        about: "type 2: bind, WRITE, SEND that invalidates, WRITE",
        play: type2,
        cases: &[always(
            "1 RDMA_WRITE, 2 SEND, 3 REM_ACCESS_ERR",
            "10 BIND_MW | 101 RECV 64, 102 flush",
            "ERR/ERR",
        )
        .told(ACCESS_ERR)],
    },
    Scenario {
        name: "rc_mw_type2_inv_multi",
        about: "type 2: SEND of three packets that invalidates, bind a second window, WRITE through it and the first",
        play: type2_inv_multi,
        cases: &[always(
            "1 SEND, 2 RDMA_WRITE, 3 REM_ACCESS_ERR",
            "10-11 BIND_MW | 101 RECV 2500, 102 flush",
            "ERR/ERR",
        )
        .told(ACCESS_ERR)],
    },
    Scenario {
        name: "rc_mw_type2_rebind",
        about: "type 2: bind twice without an invalidation between",
        play: |stage| {
            connect(stage, true, WINDOW, Access::REMOTE_WRITE)?;
            stage.resp.bind(("qp", 11), "mw", ("buf", WINDOW), Access::REMOTE_WRITE).map(drop)
        },
        cases: &[
            always("", "10 BIND_MW, 11 flush", "RTS/ERR").when(When::Responder(&[Kind::Rxe612]), SIX_TWELVE),
            always("", "10 BIND_MW, 11 MW_BIND_ERR", "RTS/ERR"),
        ],
    },
    Scenario {
        name: "rc_mw_type2_other_qp",
        about: "type 2: WRITE through the queue pair on which it is bound, and through another one",
        play: type2_other_qp,
        cases: &[always("1 RDMA_WRITE, 2 REM_ACCESS_ERR", "10 BIND_MW", "RTS+ERR/RTS+ERR").told(ACCESS_ERR)],
    },
    Scenario {
        name: "rc_mw_type2_inv_other_qp",
        about: "type 2: SEND that invalidates through another queue pair, then WRITE through the right one",
        play: type2_inv_other_qp,
        cases: &[
            always("1 SEND, 2 REM_ACCESS_ERR", "10 BIND_MW | 101 RECV 64", "ERR+RTS/ERR+RTS").when(
                When::Responder(RXE),
                "soft-RoCE does not look at the queue pair of a window that is to be invalidated",
            ),
            always("1 RETRY_EXC_ERR, 2 RDMA_WRITE", "10 BIND_MW | 101 REM_INV_REQ_ERR", "RTS+ERR/RTS+ERR"),
        ],
    },
    Scenario {
        name: "rc_mw_type1_send_inv",
        about: "SEND that invalidates a window of type 1, which cannot be",
        play: type1_send_inv,
        cases: &[
            always("1 SEND", "10 BIND_MW | 101 REM_INV_REQ_ERR, 102 flush", "RTS/ERR").when(
                When::Responder(RXE),
                "soft-RoCE acknowledges the SEND and then finds that it cannot invalidate",
            ),
            always("1 RETRY_EXC_ERR", "10 BIND_MW | 101 REM_INV_REQ_ERR, 102 flush", "ERR/ERR"),
        ],
    },
    Scenario {
        name: "rc_mw_bind_errors_no_mw_bind",
        about: "bind to a region that allows no windows",
        play: |stage| refused(stage, Access::ALL, WINDOW, Access::REMOTE_WRITE),
        cases: NOT_BOUND,
    },
    Scenario {
        name: "rc_mw_bind_errors_range",
        about: "bind across the end of the region",
        play: |stage| refused(stage, OPEN, 8000..8200, Access::REMOTE_WRITE),
        cases: NOT_BOUND,
    },
    Scenario {
        name: "rc_mw_bind_errors_zero_type2",
        about: "bind no bytes, which only type 1 may",
        play: |stage| refused(stage, OPEN, 1024..1024, Access::REMOTE_WRITE),
        cases: NOT_BOUND,
    },
    Scenario {
        name: "rc_mw_bind_errors_right",
        about: "bind for WRITE to a region that not even its owner's device may write",
        play: |stage| refused(stage, Access::REMOTE_READ | Access::MW_BIND, WINDOW, Access::REMOTE_WRITE),
        cases: NOT_BOUND,
    },
    Scenario {
        name: "rc_mw_dereg_while_bound",
        about: "deregister a region to which a window is bound",
        play: |stage| {
            connect(stage, true, WINDOW, Access::REMOTE_WRITE)?;
            let errno = stage.resp.try_destroy("buf").err().and_then(|error| error.errno());
            stage.note(format!("ibv_dereg_mr: errno {errno:?}"));
            Ok(())
        },
        cases: &[
            always("", "10 BIND_MW", "RTS/RTS")
                .notes(&["ibv_dereg_mr: errno Some(22)"])
                .when(When::Responder(RXE), "soft-RoCE calls it an invalid argument"),
            always("", "10 BIND_MW", "RTS/RTS").notes(&["ibv_dereg_mr: errno Some(16)"]),
        ],
    },
    Scenario {
        name: "rc_local_inv_mw2",
        about: "type 2: bind, WRITE, LOCAL_INV, WRITE",
        play: local_inv,
        cases: &[
            always("1 RDMA_WRITE, 2 REM_ACCESS_ERR", "10 BIND_MW, 11 LOCAL_INV", "ERR/ERR").told(ACCESS_ERR)
        ],
    },
];

const NOT_BOUND: &[Case] = &[
    always("", "10 flush | 900 flush", "RTS/ERR").when(When::Responder(&[Kind::Rxe612]), SIX_TWELVE),
    always("", "10 MW_BIND_ERR | 900 flush", "RTS/ERR"),
];
const ONLY_THE_REGION: &str = "soft-RoCE looks at the range of the region and not at that of the window";
const SIX_TWELVE: &str = "Linux 6.12 reports every mistake of the requester's own as a flush";

const OPEN: u32 = Access::ALL | Access::MW_BIND;
/// Bytes of `buf`.
const WINDOW: Range<u64> = 1024..2048;

fn setup() -> Setup {
    Setup { mr_access: OPEN, ..Setup::impatient() }
}

/// Connects, and binds a window of the responder with request 10.
fn connect(stage: &mut Stage<'_>, type2: bool, range: Range<u64>, access: u32) -> Result<Mr> {
    stage.connect(&setup())?;
    stage.resp.alloc_mw("mw", type2)?;
    let window = stage.resp.bind(("qp", 10), "mw", ("buf", range), access)?;
    stage.resp.wait(1)?;
    Ok(window)
}

fn type1(stage: &mut Stage<'_>) -> Result<()> {
    let access = Access::REMOTE_WRITE | Access::REMOTE_READ;
    let window = connect(stage, false, WINDOW, access)?;
    let local = stage.req.buf;
    stage.req.post(write(1, local.sge(0, 64), &window, 0))?;
    stage.req.post(read(2, local.sge(4096, 64), &window, 0))?;
    stage.req.wait(2)?;
    stage.resp.bind(("qp", 11), "mw", ("buf", 1024..1024), access)?;
    stage.resp.wait(1)?;
    stage.req.post(write(3, local.sge(0, 64), &window, 512))?;
    stage.resp.lands(1024, &pattern(64));
    stage.req.lands(4096, &pattern(64));
    Ok(())
}

fn type1_rebind(stage: &mut Stage<'_>) -> Result<()> {
    let old = connect(stage, false, WINDOW, Access::REMOTE_WRITE)?;
    let local = stage.req.buf.sge(0, 64);
    stage.req.post(write(1, local, &old, 0))?;
    stage.req.wait(1)?;
    let new = stage.resp.bind(("qp", 11), "mw", ("buf", 4096..5120), Access::REMOTE_WRITE)?;
    stage.resp.wait(1)?;
    stage.req.post_each([write(2, local, &new, 0), write(3, local, &old, 512)])?;
    stage.resp.lands(1024, &pattern(64));
    stage.resp.lands(4096, &pattern(64));
    Ok(())
}

fn far_outside(stage: &mut Stage<'_>) -> Result<()> {
    let window = connect(stage, false, WINDOW, Access::REMOTE_WRITE | Access::REMOTE_READ)?;
    let local = stage.req.buf;
    stage.req.post_each([
        write(1, local.sge(0, 64), &window, 3072),
        read(2, local.sge(4096, 64), &window, -1024),
        write(3, local.sge(0, 64), &window, 8192),
    ])?;
    if stage.resp.kind() != Kind::Ferroce {
        stage.resp.lands(4096, &pattern(64));
        stage.req.lands(4096, &[0; 64]);
    }
    Ok(())
}

fn invalidate(stage: &Stage<'_>, wr_id: u64, len: u32, window: Mr) -> SendWr {
    let wr = SendWr::new(wr_id, Opcode::SendInv).sge(stage.req.buf.sge(0, len));
    SendWr { inv_rkey: window.rkey, ..wr }
}

fn type2(stage: &mut Stage<'_>) -> Result<()> {
    let window = connect(stage, true, WINDOW, Access::REMOTE_WRITE)?;
    stage.resp.recv(101, 4096, 64)?;
    stage.resp.recv(102, 4096, 64)?;
    let local = stage.req.buf.sge(0, 64);
    stage.req.post_each([
        write(1, local, &window, 0),
        invalidate(stage, 2, 64, window),
        write(3, local, &window, 512),
    ])?;
    stage.resp.lands(1024, &pattern(64));
    stage.resp.lands(4096, &pattern(64));
    Ok(())
}

fn type2_inv_multi(stage: &mut Stage<'_>) -> Result<()> {
    let old = connect(stage, true, WINDOW, Access::REMOTE_WRITE)?;
    stage.resp.recv(101, 4096, 2500)?;
    stage.resp.recv(102, 4096, 64)?;
    stage.req.post(invalidate(stage, 1, 2500, old))?;
    stage.resp.wait(1)?;
    // Whoever posts a second bind of one window through pyverbs posts a stale key.
    stage.resp.alloc_mw("mw2", true)?;
    let new = stage.resp.bind(("qp", 11), "mw2", ("buf", WINDOW), Access::REMOTE_WRITE)?;
    stage.resp.wait(1)?;
    let local = stage.req.buf.sge(0, 64);
    stage.req.post_each([write(2, local, &new, 0), write(3, local, &old, 512)])?;
    stage.resp.lands(1024, &pattern(64));
    stage.resp.lands(4096, &pattern(2500));
    Ok(())
}

fn local_invalidate(wr_id: u64, window: Mr) -> SendWr {
    SendWr { inv_rkey: window.rkey, ..SendWr::new(wr_id, Opcode::LocalInv) }
}

/// Two pairs of queue pairs; a window of type 2 is bound on the first.
fn two_qps(stage: &mut Stage<'_>) -> Result<Mr> {
    stage.open(&setup())?;
    stage.connect_qps("qp0", &setup())?;
    stage.connect_qps("qp1", &Setup { psn: (0x2000, 0x1_4000), ..setup() })?;
    stage.resp.alloc_mw("mw", true)?;
    let window = stage.resp.bind(("qp0", 10), "mw", ("buf", WINDOW), Access::REMOTE_WRITE)?;
    stage.resp.wait(1)?;
    Ok(window)
}

fn type2_other_qp(stage: &mut Stage<'_>) -> Result<()> {
    let window = two_qps(stage)?;
    let local = stage.req.buf.sge(0, 64);
    stage.req.try_post("qp0", vec![write(1, local, &window, 0)], false)?;
    stage.req.try_post("qp1", vec![write(2, local, &window, 512)], false)?;
    stage.resp.lands(1024, &pattern(64));
    Ok(())
}

fn type2_inv_other_qp(stage: &mut Stage<'_>) -> Result<()> {
    let window = two_qps(stage)?;
    stage.resp.try_recv("qp1", 101, vec![stage.resp.buf.sge(4096, 64)])?;
    let wr = invalidate(stage, 1, 64, window);
    stage.req.try_post("qp1", vec![wr], false)?;
    stage.req.wait(1)?;
    stage.req.try_post("qp0", vec![write(2, stage.req.buf.sge(0, 64), &window, 0)], false)?;
    stage.resp.undefined(4096..4160);
    if stage.resp.kind() == Kind::Ferroce {
        stage.resp.lands(1024, &pattern(64));
    }
    Ok(())
}

fn type1_send_inv(stage: &mut Stage<'_>) -> Result<()> {
    let window = connect(stage, false, WINDOW, Access::REMOTE_WRITE)?;
    stage.resp.recv(101, 4096, 64)?;
    stage.resp.recv(102, 4096, 64)?;
    stage.req.post(invalidate(stage, 1, 64, window))?;
    stage.resp.undefined(4096..4160);
    Ok(())
}

/// Binds a window of type 2 that must not be bound.
fn refused(stage: &mut Stage<'_>, mr_access: u32, range: Range<u64>, access: u32) -> Result<()> {
    stage.connect(&setup())?;
    stage.resp.region("region", 8192, mr_access)?;
    stage.resp.alloc_mw("mw", true)?;
    let park = stage.resp.region("park", 64, Access::LOCAL_WRITE)?;
    stage.resp.try_recv("qp", 900, vec![park.sge(0, 64)])?;
    stage.resp.bind(("qp", 10), "mw", ("region", range), access).map(drop)
}

fn local_inv(stage: &mut Stage<'_>) -> Result<()> {
    let window = connect(stage, true, WINDOW, Access::REMOTE_WRITE)?;
    let local = stage.req.buf.sge(0, 64);
    stage.req.post(write(1, local, &window, 0))?;
    stage.req.wait(1)?;
    stage.resp.post(local_invalidate(11, window))?;
    stage.resp.wait(1)?;
    stage.req.post(write(2, local, &window, 512))?;
    stage.resp.lands(1024, &pattern(64));
    Ok(())
}
