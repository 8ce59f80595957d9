//! The end of a queue pair as the engine told it.

use ferroce_engine::{AsyncEvent, LossCause, QpState, Qpn, Time, TraceEvent, WcStatus};
use ferroce_wire::Syndrome;

use super::{Death, Reason};

/// Why the queue pair `qp` is in an error state, from what its device did so far, oldest first. `None` while it is
/// in no error state, or when the events do not reach back far enough to tell.
pub fn of_trace<'e>(
    events: impl DoubleEndedIterator<Item = &'e (Time, TraceEvent)> + Clone,
    qp: Qpn,
) -> Option<Death> {
    let state = |event: &TraceEvent| match event {
        TraceEvent::State { qp: of, from, to } if *of == qp => Some((*from, *to)),
        _ => None,
    };
    let (from, to) = events.clone().rev().find_map(|(_, event)| state(event))?;
    if !matches!(to, QpState::Err | QpState::Sqe) {
        return None;
    }
    let mut story = Story { qp, ..Story::default() };
    for (time, event) in events {
        story.take(*time, event);
    }
    let reason = story.reason.unwrap_or(Reason::Asked);
    let (what, when) = match story.failed {
        Some((time, wr_id, status)) => (format!("work request {wr_id} ended with {status:?}"), time),
        None => {
            (story.refused.clone().unwrap_or_else(|| "its program took it there".to_owned()), story.ended)
        }
    };
    let happened = format!(
        "Queue pair {:#08x} went from {} to {} at {when}: {what}.",
        qp.value(),
        from.name(),
        to.name()
    );
    Some(Death {
        reason: reason.name(),
        connection: None,
        packets: Vec::new(),
        happened,
        because: story.because(reason),
        change: reason.change(),
    })
}

/// What is gathered on the way.
#[derive(Default)]
struct Story {
    qp: Qpn,
    reason: Option<Reason>,
    failed: Option<(Time, u64, WcStatus)>,
    refused: Option<String>,
    ended: Time,
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
            TraceEvent::Refused { qp, psn, syndrome: Syndrome::Nak(code), denied } if *qp == self.qp => {
                if let Some(reason) = Reason::of_nak(*code) {
                    self.reason = Some(reason);
                    let why = denied.map_or(String::new(), |denied| format!(" ({denied})"));
                    self.refused = Some(format!("it refused the peer's request with PSN {psn}: {code}{why}"));
                }
            }
            TraceEvent::Completed { qp, wc } if *qp == self.qp => {
                if let Some(reason) = Reason::of_status(wc.status) {
                    self.reason = Some(reason);
                    self.failed = Some((now, wc.wr_id, wc.status));
                }
            }
            TraceEvent::Async(AsyncEvent::CqErr(_)) => self.reason = self.reason.or(Some(Reason::Overflow)),
            TraceEvent::State { qp, to, .. } if *qp == self.qp => {
                self.ended = now;
                if !matches!(to, QpState::Err | QpState::Sqe) {
                    // A new life.
                    *self = Story { qp: self.qp, ended: now, ..Story::default() };
                }
            }
            _ => {}
        }
    }

    fn because(&self, reason: Reason) -> String {
        let heard = match self.last_heard {
            Some(time) => format!("the last packet of the peer came at {time}"),
            None => "no packet of the peer ever came".to_owned(),
        };
        match reason {
            Reason::RetriesExhausted => {
                format!("The timeout expired {} times without an answer; {heard}.", self.timeouts + 1)
            }
            Reason::ReceiverNotReady => {
                format!("The peer answered \"receiver not ready\" {} times in a row.", self.rnr + 1)
            }
            Reason::Invalid => {
                "An operation, an order or a length was not what the responder allows.".to_owned()
            }
            Reason::RemoteAccess => {
                "The R_Key is unknown, does not permit this access, or the range leaves its region."
                    .to_owned()
            }
            Reason::RemoteOperation => "The responder could not use its own memory for it.".to_owned(),
            Reason::LocalAccess => "Memory that the request names cannot be used so.".to_owned(),
            Reason::LocalLength => "A message was longer than the memory for it.".to_owned(),
            Reason::BadResponse => format!("A response did not fit its request; {heard}."),
            Reason::Overflow => "A completion queue was full when a completion came.".to_owned(),
            Reason::Asked => format!("No request failed before; {heard}."),
        }
    }
}
