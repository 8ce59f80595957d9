//! A packet in the ladder.

use ferroce_engine::{Time, TraceEvent};
use ferroce_wire::{NakCode, Syndrome};

pub(super) use crate::film::short;

/// What kind of packet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From requester to responder.
    Request,
    /// From responder to requester.
    Answer,
    /// An answer that says no.
    Refusal,
}

/// Where a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// On its way.
    UnderWay,
    /// At the other end.
    Arrived,
    /// Nowhere.
    Lost,
    /// Thrown away by the receiver.
    Dropped,
}

/// A packet and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Rung {
    /// Its number on the wire.
    pub flight: u64,
    /// The sender: 0 or 1.
    pub from: usize,
    /// When it set out.
    pub start: Time,
    /// When it ends its way.
    pub ends: Time,
    /// Opcode, or verdict, and PSN.
    pub label: String,
    /// What kind of packet it is.
    pub kind: Kind,
    /// It had been sent before.
    pub again: bool,
    /// It is the second copy of a doubled one.
    pub copy: bool,
    /// Where it is.
    pub state: State,
    /// What the receiver made of it.
    pub note: String,
}

impl Rung {
    /// From what the device said when it sent the packet; `None` if that is not about a packet.
    pub(super) fn new(flight: u64, from: usize, what: &TraceEvent, start: Time, ends: Time) -> Option<Rung> {
        let TraceEvent::Sent { opcode, psn, syndrome, again, .. } = what else { return None };
        let name = opcode.name().strip_prefix("RC_").unwrap_or(opcode.name());
        let (kind, name) = match syndrome {
            Some(Syndrome::Nak(NakCode::PsnSequence)) => (Kind::Refusal, "NAK sequence".to_owned()),
            Some(Syndrome::Nak(code)) => (Kind::Refusal, format!("NAK {code}")),
            Some(Syndrome::RnrNak { .. }) => (Kind::Refusal, "RNR NAK".to_owned()),
            _ if name == "ACKNOWLEDGE" => (Kind::Answer, "ACK".to_owned()),
            _ => (if opcode.is_request() { Kind::Request } else { Kind::Answer }, name.to_owned()),
        };
        let label = format!("{name} {}", short(*psn));
        let (state, note) = (State::UnderWay, String::new());
        Some(Rung { flight, from, start, ends, label, kind, again: *again, copy: false, state, note })
    }

    /// How much of its way it has gone, from 0 to 1.
    pub(super) fn progress(&self, now: Time) -> f64 {
        let way = self.ends.since(self.start).as_secs_f64();
        if self.state != State::UnderWay || way == 0.0 {
            return 1.0;
        }
        (now.since(self.start).as_secs_f64() / way).min(1.0)
    }
}
