//! Running to the next thing of a kind.

use ferroce_engine::{TraceEvent, WcStatus};
use ferroce_recording::{Record, SwitchStep, What};
use ferroce_wire::Syndrome;

use super::{Film, tell};

/// What to run to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Anything.
    Event,
    /// A packet is sent.
    Packet,
    /// A packet is lost or damaged; in a capture or the recording of a NIC, where that does not show, a gap is found.
    Loss,
    /// A packet is sent again.
    Retransmission,
    /// A NAK of any kind is sent.
    Nak,
    /// A queue pair changes its state.
    State,
    /// A work request completes.
    Completion,
    /// Something fails: a completion in error, a refusal, a queue pair in error.
    Failure,
    /// A switch marks or drops a packet, asks for a pause or is asked for one.
    Switch,
    /// What is told of it has these words in it, in capitals or not.
    Words(String),
}

impl Goal {
    /// Whether this frame is what is looked for.
    pub fn is(&self, film: &Film, frame: &Record) -> bool {
        let event = match &frame.what {
            What::Device(event) => Some(event),
            What::Packet(_) | What::Switch(_) => None,
        };
        match (self, event) {
            (Goal::Event, _) => true,
            (Goal::Words(words), _) => tell(film, frame).to_lowercase().contains(&words.to_lowercase()),
            (Goal::Packet, None) => matches!(frame.what, What::Packet(_)),
            (Goal::Packet, Some(TraceEvent::Sent { .. })) => !film.has_packets(),
            (Goal::Loss, None) => match &frame.what {
                What::Packet(packet) => {
                    packet.is_lost() || packet.arrivals.iter().any(|arrival| arrival.damaged)
                }
                What::Device(_) | What::Switch(_) => false,
            },
            (Goal::Switch, None) => match &frame.what {
                What::Switch(record) => !matches!(record.step, SwitchStep::Queued | SwitchStep::Sent),
                What::Device(_) | What::Packet(_) => false,
            },
            (Goal::Loss, Some(TraceEvent::Gap { .. })) => film.origin.is_none(),
            (Goal::Retransmission, Some(TraceEvent::Sent { again: true, .. }))
            | (Goal::State, Some(TraceEvent::State { .. }))
            | (Goal::Completion, Some(TraceEvent::Completed { .. }))
            | (Goal::Failure, Some(TraceEvent::Refused { .. })) => true,
            (Goal::Nak, Some(TraceEvent::Sent { syndrome: Some(syndrome), .. })) => {
                matches!(syndrome, Syndrome::Nak(_) | Syndrome::RnrNak { .. })
            }
            (Goal::Failure, Some(TraceEvent::Completed { wc, .. })) => {
                !matches!(wc.status, WcStatus::Success | WcStatus::WrFlushErr)
            }
            _ => false,
        }
    }
}

impl Film {
    /// The position after the next such frame beyond `from`, or before it when going `back`.
    pub fn find(&self, from: usize, back: bool, goal: &Goal) -> Option<usize> {
        if back {
            let before = from.saturating_sub(1).min(self.frames.len());
            return self.frames[..before].iter().rposition(|frame| goal.is(self, frame)).map(|at| at + 1);
        }
        let rest = self.frames.get(from..)?;
        rest.iter().position(|frame| goal.is(self, frame)).map(|at| from + at + 1)
    }
}
