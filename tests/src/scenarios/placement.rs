//! ATOMIC WRITE. FLUSH is missing: soft-RoCE of Linux 6.12, the only one that knows it, seals its requests with an
//! ICRC of its own and drops those with the right one.

use anyhow::Result;

use super::atomic::{connect, eights};
use super::expect::{ACCESS_ERR, REQ_ERR, When, always};
use super::stage::BAD_KEY;
use super::{Case, Scenario, Setup, Stage};
use crate::peer::{Access, Kind, Mr, Opcode, SendWr};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "rc_atomic_write",
        about: "ATOMIC WRITE of eight bytes",
        play: |stage| {
            place(stage, &eights(), |buf| (buf, 0))?;
            if stage.knows_placement() {
                stage.resp.lands(0, DATA);
            }
            Ok(())
        },
        cases: &[UNKNOWN_HERE, UNKNOWN_THERE, always("1 ATOMIC_WRITE", "", "RTS/RTS")],
    },
    Scenario {
        name: "rc_atomic_write_unaligned",
        about: "ATOMIC WRITE at an address that is no multiple of 8",
        play: |stage| place(stage, &eights(), |buf| (buf, 4)),
        cases: &[UNKNOWN_HERE, UNKNOWN_THERE, INVALID],
    },
    Scenario {
        name: "rc_atomic_write_bad_rkey",
        about: "ATOMIC WRITE with a key that no region has",
        play: |stage| place(stage, &eights(), |buf| (Mr { rkey: BAD_KEY, ..buf }, 0)),
        cases: &[
            UNKNOWN_HERE,
            UNKNOWN_THERE,
            always("1 REM_ACCESS_ERR | 900 flush", "| 900 flush", "ERR/ERR").told(ACCESS_ERR),
        ],
    },
    Scenario {
        name: "rc_atomic_write_no_qp_access",
        about: "ATOMIC WRITE through a queue pair that peers may not write through",
        play: |stage| {
            let qp_access = Access::ALL & !Access::REMOTE_WRITE;
            place(stage, &Setup { qp_access, ..eights() }, |buf| (buf, 0))
        },
        cases: &[UNKNOWN_HERE, UNKNOWN_THERE, INVALID],
    },
];

const UNKNOWN_HERE: Case = always("1 LOC_QP_OP_ERR | 900 flush", "", "ERR/RTS")
    .when(When::Requester(&[Kind::Rxe61]), "Linux 6.1 does not know the request");
const UNKNOWN_THERE: Case = always("1 RETRY_EXC_ERR | 900 flush", "", "ERR/RTS")
    .when(When::Responder(&[Kind::Rxe61]), "Linux 6.1 does not know the packet");
const INVALID: Case = always("1 REM_INV_REQ_ERR | 900 flush", "| 900 flush", "ERR/ERR").told(REQ_ERR);

const DATA: &[u8] = b"ABCDEFGH";

/// ATOMIC WRITE of [`DATA`] to an offset of some region of the peer's.
fn place(stage: &mut Stage<'_>, setup: &Setup, target: fn(Mr) -> (Mr, i64)) -> Result<()> {
    connect(stage, &Setup { timeout: 14, retry_cnt: 2, ..setup.clone() })?;
    stage.park()?;
    stage.req.store("buf", 0, DATA)?;
    let (mr, offset) = target(stage.resp.buf);
    let wr = SendWr::new(1, Opcode::AtomicWrite).sge(stage.req.buf.sge(0, 8)).remote(&mr, offset);
    Ok(stage.req.try_post("qp", vec![wr], true)?)
}

impl Stage<'_> {
    fn knows_placement(&self) -> bool {
        ![self.req.kind(), self.resp.kind()].contains(&Kind::Rxe61)
    }
}
