//! Atomic operations on eight bytes of the responder's memory.

use anyhow::Result;

use super::expect::{ACCESS_ERR, REQ_ERR, RXE, When, always};
use super::stage::BAD_KEY;
use super::{Case, Scenario, Setup, Stage};
use crate::peer::{Access, Mr, Opcode, SendWr};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "rc_atomic_ok",
        about: "FETCH_ADD, a CMP_SWAP that matches and one that does not",
        play: ok,
        cases: &[always("1 FETCH_ADD 8, 2-3 COMP_SWAP 8", "", "RTS/RTS")],
    },
    Scenario {
        name: "rc_atomic_sge_16",
        about: "FETCH_ADD into a local element of 16 bytes: eight are written",
        play: sge_16,
        cases: &[always("1 FETCH_ADD", "", "RTS/RTS")],
    },
    Scenario {
        name: "rc_atomic_unaligned",
        about: "FETCH_ADD at an address that is no multiple of 8, refused at the post or by the responder",
        play: unaligned,
        cases: &[
            always("2 REM_INV_REQ_ERR | 900 flush", "| 900 flush", "ERR/ERR")
                .notes(&["ibv_post_send: errno 22"])
                .told(REQ_ERR)
                .when(When::Requester(RXE), "its ibv_post_send looks at the address"),
            always("1 REM_INV_REQ_ERR | 900 flush", "| 900 flush", "ERR/ERR").told(REQ_ERR),
        ],
    },
    Scenario {
        name: "rc_atomic_no_mr_access",
        about: "FETCH_ADD in a region without that right",
        play: |stage| {
            let mr_access = Access::ALL & !Access::REMOTE_ATOMIC;
            refused(stage, &Setup { mr_access, ..eights() }, |buf| (buf, 0))
        },
        cases: ACCESS,
    },
    Scenario {
        name: "rc_atomic_no_qp_access",
        about: "FETCH_ADD through a queue pair without that right",
        play: |stage| {
            let qp_access = Access::ALL & !Access::REMOTE_ATOMIC;
            refused(stage, &Setup { qp_access, ..eights() }, |buf| (buf, 0))
        },
        cases: INVALID,
    },
    Scenario {
        name: "rc_atomic_bad_rkey",
        about: "FETCH_ADD with a key that no region has",
        play: |stage| refused(stage, &eights(), |buf| (Mr { rkey: BAD_KEY, ..buf }, 0)),
        cases: ACCESS,
    },
    Scenario {
        name: "rc_atomic_out_of_range",
        about: "FETCH_ADD just behind the region",
        play: |stage| refused(stage, &eights(), |buf| (buf, 4096)),
        cases: ACCESS,
    },
];

const ACCESS: &[Case] = &[always("1 REM_ACCESS_ERR | 900 flush", "| 900 flush", "ERR/ERR").told(ACCESS_ERR)];
const INVALID: &[Case] = &[always("1 REM_INV_REQ_ERR | 900 flush", "| 900 flush", "ERR/ERR").told(REQ_ERR)];

/// What stands at the start of the responder's memory.
const FIRST: u64 = 0x0102_0304_0506_0708;

pub(super) fn eights() -> Setup {
    Setup { buf: 4096, pattern: (false, false), ..Setup::default() }
}

/// FETCH_ADD at an offset of the peer's region, the old value to the same offset of the requester's `buf`.
pub(super) fn fetch_add(stage: &Stage<'_>, wr_id: u64, mr: &Mr, offset: i64, add: u64) -> SendWr {
    let local = stage.req.buf.sge(offset.unsigned_abs() % 4096, 8);
    let mut wr = SendWr::new(wr_id, Opcode::FetchAdd).sge(local).remote(mr, offset);
    wr.compare_add = add;
    wr
}

/// CMP_SWAP at an offset of the peer's `buf`, the old value to another offset of the requester's.
pub(super) fn cmp_swap(
    stage: &Stage<'_>,
    wr_id: u64,
    to: u64,
    offset: i64,
    compare: u64,
    swap: u64,
) -> SendWr {
    let mut wr =
        SendWr::new(wr_id, Opcode::CmpSwap).sge(stage.req.buf.sge(to, 8)).remote(&stage.resp.buf, offset);
    wr.compare_add = compare;
    wr.swap = swap;
    wr
}

/// Connects, with the value `FIRST` at the start of the responder's memory.
pub(super) fn connect(stage: &mut Stage<'_>, setup: &Setup) -> Result<()> {
    stage.connect(setup)?;
    stage.resp.store("buf", 0, &FIRST.to_le_bytes())
}

fn ok(stage: &mut Stage<'_>) -> Result<()> {
    const SWAPPED: u64 = 0xAABB_CCDD_EEFF_0011;
    connect(stage, &eights())?;
    stage.resp.store("buf", 8, &5u64.to_le_bytes())?;
    stage.req.post_each([
        fetch_add(stage, 1, &stage.resp.buf, 0, 0x10),
        cmp_swap(stage, 2, 8, 8, 5, SWAPPED),
        cmp_swap(stage, 3, 16, 8, 6, 1),
    ])?;
    stage.req.lands(0, &FIRST.to_le_bytes());
    stage.req.lands(8, &5u64.to_le_bytes());
    stage.req.lands(16, &SWAPPED.to_le_bytes());
    stage.resp.lands(0, &(FIRST + 0x10).to_le_bytes());
    stage.resp.lands(8, &SWAPPED.to_le_bytes());
    Ok(())
}

fn sge_16(stage: &mut Stage<'_>) -> Result<()> {
    connect(stage, &eights())?;
    stage.req.store("buf", 0, &[0xEE; 16])?;
    let mut wr = fetch_add(stage, 1, &stage.resp.buf, 0, 1);
    wr.sges[0].len = 16;
    stage.req.post(wr)?;
    stage.req.lands(0, &FIRST.to_le_bytes());
    stage.resp.lands(0, &(FIRST + 1).to_le_bytes());
    Ok(())
}

fn unaligned(stage: &mut Stage<'_>) -> Result<()> {
    connect(stage, &eights())?;
    stage.park()?;
    let wr = fetch_add(stage, 1, &stage.resp.buf, 4, 1);
    if let Err(error) = stage.req.try_post("qp", vec![wr.clone()], false) {
        stage.note(format!("ibv_post_send: errno {}", error.errno().unwrap_or(0)));
        stage.req.try_post("qp", vec![SendWr { wr_id: 2, ..wr }], true)?;
    }
    Ok(())
}

fn refused(stage: &mut Stage<'_>, setup: &Setup, target: fn(Mr) -> (Mr, i64)) -> Result<()> {
    connect(stage, setup)?;
    stage.park()?;
    let (mr, offset) = target(stage.resp.buf);
    stage.req.post(fetch_add(stage, 1, &mr, offset, 1))
}
