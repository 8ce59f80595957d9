//! The end of a queue pair as a trace of its device tells it.

use ferroce_engine::{AsyncEvent, EndCause, LossCause, QpState, Qpn, Time, TraceEvent, WcStatus};
use ferroce_wire::Syndrome;

use super::{Death, Ending, Heard};

/// Why the queue pair `qp` is in an error state, from what its device did so far, oldest first. `None` while it is
/// in no error state, or when the events do not reach back far enough to tell.
pub fn of_trace<'e>(
    events: impl DoubleEndedIterator<Item = &'e (Time, TraceEvent)> + Clone,
    qp: Qpn,
) -> Option<Death> {
    let state = |(time, event): &'e (Time, TraceEvent)| match event {
        TraceEvent::State { qp: of, from, to } if *of == qp => Some((*time, *from, *to)),
        _ => None,
    };
    let (at, from, to) = events.clone().rev().find_map(state)?;
    // Found in a state when the recording began: that it came there before is all that is known.
    if !is_error(to) || from == to {
        return None;
    }
    let mut story = Story { qp, ..Story::default() };
    for (time, event) in events {
        story.take(*time, event);
    }
    let cause = story.cause.unwrap_or(EndCause::Asked);
    let tries = story.timeouts.max(story.rnr) + 1;
    let heard = story.last_heard.map_or(Heard::Never, Heard::Last);
    Some(Ending { qp, from, to, at, cause, tries, heard }.tell())
}

fn is_error(state: QpState) -> bool {
    matches!(state, QpState::Err | QpState::Sqe)
}

/// What is gathered on the way.
#[derive(Default)]
struct Story {
    qp: Qpn,
    cause: Option<EndCause>,
    timeouts: u32,
    rnr: u32,
    last_heard: Option<Time>,
}

impl Story {
    fn take(&mut self, now: Time, event: &TraceEvent) {
        match event {
            TraceEvent::Received { qp, .. } if *qp == self.qp => self.last_heard = Some(now),
            TraceEvent::Acknowledged { qp, .. } if *qp == self.qp => (self.timeouts, self.rnr) = (0, 0),
            TraceEvent::GoBack { qp, cause: LossCause::Timeout, .. } if *qp == self.qp => self.timeouts += 1,
            TraceEvent::RnrWait { qp, .. } if *qp == self.qp => self.rnr += 1,
            TraceEvent::Refused { qp, psn, syndrome: syndrome @ Syndrome::Nak(_), denied }
                if *qp == self.qp =>
            {
                self.cause = Some(EndCause::Refused { psn: *psn, syndrome: *syndrome, denied: *denied });
            }
            TraceEvent::Completed { qp, wc }
                if *qp == self.qp && !matches!(wc.status, WcStatus::Success | WcStatus::WrFlushErr) =>
            {
                self.cause = Some(EndCause::Failed { wr_id: wc.wr_id, status: wc.status });
            }
            TraceEvent::Async(AsyncEvent::CqErr(_)) => self.cause = self.cause.or(Some(EndCause::Overflow)),
            // A new life.
            TraceEvent::State { qp, to, .. } if *qp == self.qp && !is_error(*to) => {
                *self = Story { qp: self.qp, ..Story::default() };
            }
            _ => {}
        }
    }
}
