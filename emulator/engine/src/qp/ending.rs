//! How a queue pair came to an error state.

use ferroce_wire::{Psn, Syndrome};

use crate::memory::AccessDenied;
use crate::time::Time;
use crate::trace::{TraceEvent, TraceSink};
use crate::work::{Wc, WcStatus};

use super::{Ctx, Qp, QpState};

/// How a queue pair came to the error state in which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QpEnding {
    /// When.
    pub at: Time,
    /// The state before.
    pub from: QpState,
    /// What led there.
    pub cause: EndCause,
    /// The peer had acknowledged something by then, or sent something that was executed.
    pub heard: bool,
}

/// What leads to an error state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// A work request completed in error.
    Failed {
        /// Of the work request.
        wr_id: u64,
        /// How.
        status: WcStatus,
    },
    /// A request of the peer's was refused, and no work request of this queue pair was to blame.
    Refused {
        /// PSN of the packet.
        psn: Psn,
        /// The answer.
        syndrome: Syndrome,
        /// What was wrong with the memory, if that was the reason and is known.
        denied: Option<AccessDenied>,
    },
    /// A completion found its queue full.
    Overflow,
    /// `modify_qp`.
    Asked,
}

impl<T: TraceSink> Ctx<'_, T> {
    /// A completion that tells of a failure may be the end of its queue pair.
    pub(super) fn note_failure(&mut self, wc: &Wc) {
        if !matches!(wc.status, WcStatus::Success | WcStatus::WrFlushErr) {
            self.end = Some(EndCause::Failed { wr_id: wc.wr_id, status: wc.status });
        }
    }
}

impl Qp {
    pub(super) fn set_state<T: TraceSink>(&mut self, to: QpState, ctx: &mut Ctx<'_, T>) {
        let from = core::mem::replace(&mut self.state, to);
        if from == to {
            return;
        }
        ctx.trace(|| TraceEvent::State { qp: self.conn.qpn, from, to });
        let cause = ctx.end.take().unwrap_or(EndCause::Asked);
        self.ending = matches!(to, QpState::Err | QpState::Sqe).then(|| {
            let sent = self.attr.sq_psn.is_some_and(|first| first != self.requester.una);
            let received = self.attr.rq_psn.is_some_and(|first| first != self.responder.expected());
            Box::new(QpEnding { at: ctx.now, from, cause, heard: sent || received })
        });
    }
}
