//! Shared receive queues: their limit, their end, and that of a queue pair that takes from them.

use anyhow::Result;

use super::expect::{ACCESS_ERR, RXE, When, always};
use super::stage::{BAD_KEY, pattern, pause, send, write};
use super::{Scenario, Setup, Stage};
use crate::peer::{Kind, Mr, QpState};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "rc_srq_limit",
        about: "eight messages into a shared queue of eight with limit 4, and limit 1 after the sixth",
        play: limit,
        cases: &[always("1-8 SEND", "| 101-108 RECV 32", "RTS/RTS")
            .events("", "SRQ_LIMIT_REACHED SRQ_LIMIT_REACHED")
            .notes(&["limit after six messages: 0"])],
    },
    Scenario {
        name: "rc_srq_limit_above",
        about: "a limit above the number of receives: the event comes with the next message",
        play: limit_above,
        cases: &[always("1 SEND", "| 101 RECV 32", "RTS/RTS")
            .events("", "SRQ_LIMIT_REACHED")
            .notes(&["events before the message: 0"])],
    },
    Scenario {
        name: "rc_srq_empty",
        about: "three SENDs to a shared queue of two receives, one retry",
        play: empty,
        cases: &[always("1-2 SEND, 3 RNR_RETRY_EXC_ERR", "| 101-102 RECV 32", "ERR/RTS")],
    },
    Scenario {
        name: "rc_srq_error",
        about: "a bad WRITE fails a queue pair on a shared queue, whose receives stay",
        play: error,
        cases: &[
            always("1 SEND, 2 REM_ACCESS_ERR", "| 101 RECV 32", "ERR/ERR")
                .when(When::Responder(&[Kind::Rxe61]), NEVER_TOLD),
            always("1 SEND, 2 REM_ACCESS_ERR", "| 101 RECV 32", "ERR/ERR").events("", LAST).told(ACCESS_ERR),
        ],
    },
    Scenario {
        name: "rc_srq_modify_err",
        about: "a queue pair on a shared queue is moved to ERR by its owner",
        play: moved,
        cases: &[
            always("", "", "RTS/ERR").when(When::Responder(&[Kind::Rxe61]), NEVER_TOLD),
            always("", "", "RTS/ERR").events("", LAST),
        ],
    },
    Scenario {
        name: "rc_srq_send_too_long",
        about: "128 bytes into a shared receive of 64",
        play: too_long,
        cases: &[
            always("1 REM_OP_ERR", "| 101 LOC_QP_OP_ERR", "ERR/ERR")
                .when(When::Responder(&[Kind::Rxe61]), NEVER_TOLD),
            always("1 REM_OP_ERR", "| 101 LOC_QP_OP_ERR", "ERR/ERR")
                .events("", LAST)
                .when(When::Responder(RXE), "soft-RoCE has one status for all that is wrong with a receive"),
            always("1 REM_INV_REQ_ERR", "| 101 LOC_LEN_ERR", "ERR/ERR").events("", LAST),
        ],
    },
];

const LAST: &str = "QP_LAST_WQE_REACHED";
const NEVER_TOLD: &str = "Linux 6.1 does not tell of the last receive";

/// Connects, with so many receives in the responder's shared queue.
fn share(stage: &mut Stage<'_>, setup: &Setup, receives: u64) -> Result<()> {
    stage.open(setup)?;
    stage.resp.create_srq(16)?;
    stage.connect_qps("qp", setup)?;
    (0..receives).try_for_each(|index| stage.resp.recv_shared(101 + index, index * 64, 64))
}

/// SENDs with these numbers, each into the receive that has its turn.
fn deliver(stage: &mut Stage<'_>, ids: std::ops::RangeInclusive<u64>) -> Result<()> {
    for id in ids {
        stage.req.post(send(id, stage.req.buf.sge(0, 32)))?;
        stage.resp.lands(usize::try_from(id - 1)? * 64, &pattern(32));
    }
    Ok(())
}

fn limit(stage: &mut Stage<'_>) -> Result<()> {
    share(stage, &Setup::default(), 8)?;
    stage.resp.limit_srq(4)?;
    deliver(stage, 1..=6)?;
    stage.resp.wait(6)?;
    let limit = stage.resp.srq_limit()?;
    stage.note(format!("limit after six messages: {limit}"));
    stage.resp.limit_srq(1)?;
    deliver(stage, 7..=8)
}

fn limit_above(stage: &mut Stage<'_>) -> Result<()> {
    share(stage, &Setup::default(), 3)?;
    stage.resp.limit_srq(4)?;
    let early = stage.resp.events(false)?.len();
    stage.note(format!("events before the message: {early}"));
    deliver(stage, 1..=1)
}

fn empty(stage: &mut Stage<'_>) -> Result<()> {
    share(stage, &Setup { rnr_retry: 1, ..Setup::default() }, 2)?;
    deliver(stage, 1..=2)?;
    stage.req.post(send(3, stage.req.buf.sge(0, 32)))
}

fn error(stage: &mut Stage<'_>) -> Result<()> {
    share(stage, &Setup::default(), 4)?;
    deliver(stage, 1..=1)?;
    stage.req.wait(1)?;
    let bad = Mr { rkey: BAD_KEY, ..stage.resp.buf };
    stage.req.post(write(2, stage.req.buf.sge(0, 8), &bad, 0))
}

fn moved(stage: &mut Stage<'_>) -> Result<()> {
    share(stage, &Setup::default(), 4)?;
    stage.resp.change_state(QpState::Err)?;
    pause(50);
    Ok(())
}

fn too_long(stage: &mut Stage<'_>) -> Result<()> {
    share(stage, &Setup::default(), 4)?;
    stage.req.post(send(1, stage.req.buf.sge(0, 128)))?;
    stage.resp.undefined(0..64);
    Ok(())
}
