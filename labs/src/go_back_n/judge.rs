//! What a go-back-N requester must do, step by step.

use crate::requester::rules::{CUMULATIVE, NAK_ACKS, RESTART_NAK, RESTART_TIMEOUT, STALE};
use crate::requester::{Fault, Flight, Heard, Judge};

/// A requester as it must be.
pub(super) struct GoBackN {
    flight: Flight,
    next: u64,
    /// What decides about the next packet.
    cause: Cause,
}

/// The latest thing that moved the requester.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    Going,
    Nak,
    Timeout,
}

impl GoBackN {
    pub(super) fn new(flight: Flight) -> GoBackN {
        GoBackN { flight, next: 0, cause: Cause::Going }
    }

    fn acknowledge(&mut self, packets: u64) {
        self.flight.oldest += packets;
        self.next = self.next.max(self.flight.oldest);
    }

    fn go_back(&mut self, cause: Cause) {
        self.next = self.flight.oldest;
        self.cause = cause;
    }
}

impl Judge for GoBackN {
    fn flight(&mut self) -> &mut Flight {
        &mut self.flight
    }

    fn sends(&mut self, seen: Option<u32>) -> Result<Option<u64>, Fault> {
        let due = self.flight.may_send(self.next).then_some(self.next);
        let why = match self.cause {
            Cause::Going => None,
            Cause::Nak => Some(&RESTART_NAK),
            Cause::Timeout => Some(&RESTART_TIMEOUT),
        };
        self.flight.compare(due, seen, why, self.next)?;
        if due.is_some() {
            self.next += 1;
            self.flight.sent = self.flight.sent.max(self.next);
            self.cause = Cause::Going;
        }
        Ok(due)
    }

    fn hears(&mut self, heard: Heard, completed: usize) -> Result<(), Fault> {
        let before = self.flight.oldest;
        let rule = match heard {
            Heard::Timeout => {
                self.go_back(Cause::Timeout);
                &STALE
            }
            Heard::Ack(psn) => match self.flight.distance(psn) {
                Some(distance) => {
                    self.acknowledge(distance + 1);
                    &CUMULATIVE
                }
                None => &STALE,
            },
            Heard::Nak { expected, .. } => match self.flight.distance(expected) {
                Some(distance) => {
                    self.acknowledge(distance);
                    self.go_back(Cause::Nak);
                    &NAK_ACKS
                }
                None => &STALE,
            },
        };
        self.flight.compare_completed(completed, before, rule)
    }
}
