//! What a requester with selective repeat must do, step by step.

use std::collections::BTreeSet;

use crate::failure::{Rule, rules};
use crate::requester::rules::{CUMULATIVE, STALE};
use crate::requester::{Fault, Flight, Heard, Judge};

rules! {
    MISSING "repeat.missing" "Mittal et al., SIGCOMM 2018, section 3.1":
        "When a packet has arrived, those before it that have not are taken for lost and sent again, in their order, before \
         anything new.";
    ONCE "repeat.once" "Mittal et al., SIGCOMM 2018, section 3.1":
        "A packet that has arrived is not sent again, and one that was sent again not a second time before a timeout.";
    ALL "repeat.timeout" "Mittal et al., SIGCOMM 2018, section 3.1":
        "After a timeout everything is sent again that is not known to have arrived, in its order.";
    BEFORE "gap.acknowledges" "IBTA volume 1, 9.7.5.1.2":
        "A report of a gap acknowledges everything before the packet that is expected, and nothing after it.";
}

/// A requester as it must be.
pub(super) struct SelectiveRepeat {
    flight: Flight,
    /// Packets after the oldest that are known to have arrived.
    arrived: BTreeSet<u64>,
    /// Packets that were sent again since the last timeout, or will be.
    repaired: BTreeSet<u64>,
    /// Packets to be sent again.
    lost: BTreeSet<u64>,
    /// Why they are.
    why: &'static Rule,
}

impl SelectiveRepeat {
    pub(super) fn new(flight: Flight) -> SelectiveRepeat {
        let none = BTreeSet::new;
        SelectiveRepeat { flight, arrived: none(), repaired: none(), lost: none(), why: &MISSING }
    }

    fn acknowledge(&mut self, packets: u64) {
        let oldest = self.flight.oldest + packets;
        self.flight.oldest = oldest;
        for set in [&mut self.arrived, &mut self.repaired, &mut self.lost] {
            *set = set.split_off(&oldest);
        }
    }

    /// Packets before this one that are not known to have arrived.
    fn missing(&self, end: u64) -> Vec<u64> {
        (self.flight.oldest..end).filter(|packet| !self.arrived.contains(packet)).collect()
    }

    /// What is broken by sending a packet for which there is no reason.
    fn rule(&self, seen: Option<u32>) -> Option<&'static Rule> {
        if !self.lost.is_empty() {
            return Some(self.why);
        }
        let was_sent = |psn: u32| {
            let psn = ferroce_wire::Psn::new(psn);
            self.flight.distance(psn).is_some()
        };
        seen.is_some_and(|psn| psn <= 0x00ff_ffff && was_sent(psn)).then_some(&ONCE)
    }
}

impl Judge for SelectiveRepeat {
    fn flight(&mut self) -> &mut Flight {
        &mut self.flight
    }

    fn sends(&mut self, seen: Option<u32>) -> Result<Option<u64>, Fault> {
        let next = self.flight.sent;
        let repair = self.lost.first().copied();
        let due = repair.or(self.flight.may_send(next).then_some(next));
        let rule = self.rule(seen);
        self.flight.compare(due, seen, rule, next).map_err(|fault| match rule {
            // What is sent again although nothing is due.
            Some(rule) if due.is_none() && seen.is_some_and(|psn| psn <= 0x00ff_ffff) => {
                Fault { rule, ..fault }
            }
            _ => fault,
        })?;
        if let Some(packet) = due {
            self.lost.remove(&packet);
            self.flight.sent = self.flight.sent.max(packet + 1);
        }
        Ok(due)
    }

    fn hears(&mut self, heard: Heard, completed: usize) -> Result<(), Fault> {
        let before = self.flight.oldest;
        let rule = match heard {
            Heard::Timeout => {
                self.lost = self.missing(self.flight.sent).into_iter().collect();
                self.repaired.extend(&self.lost);
                self.why = &ALL;
                &STALE
            }
            Heard::Ack(psn) => match self.flight.distance(psn) {
                Some(distance) => {
                    self.acknowledge(distance + 1);
                    &CUMULATIVE
                }
                None => &STALE,
            },
            Heard::Nak { expected, arrived } => {
                if let Some(distance) = self.flight.distance(expected) {
                    self.acknowledge(distance);
                }
                // News of what comes behind counts however old the rest is.
                if let Some(distance) =
                    arrived.and_then(|psn| self.flight.distance(psn)).filter(|&away| away > 0)
                {
                    let packet = self.flight.oldest + distance;
                    self.arrived.insert(packet);
                    self.lost.remove(&packet);
                    let missing: Vec<u64> = self
                        .missing(packet)
                        .into_iter()
                        .filter(|missing| !self.repaired.contains(missing))
                        .collect();
                    if !missing.is_empty() {
                        self.why = &MISSING;
                    }
                    self.repaired.extend(&missing);
                    self.lost.extend(&missing);
                }
                &BEFORE
            }
        };
        self.flight.compare_completed(completed, before, rule)
    }
}
