//! The way between the student's NIC and the real one: packets take time, and some do not arrive.

use std::collections::BTreeMap;

use crate::dice::Dice;

/// Chances in 1/256.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) loss: u8,
    pub(crate) repeat: u8,
    pub(crate) delay: u8,
}

/// One direction of a network. Times are ticks; in one, one packet can be sent.
pub(crate) struct Way<P> {
    latency: u64,
    faults: Faults,
    under_way: BTreeMap<(u64, u64), P>,
    number: u64,
    last: u64,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Arrives,
    Lost,
    Repeated,
    Delayed,
}

/// A packet's way to the other end.
#[derive(Clone, Debug)]
pub(crate) struct Journey {
    pub(crate) fate: Fate,
    /// When copies of it arrive.
    pub(crate) arrivals: Vec<u64>,
}

impl<P: Clone> Way<P> {
    pub(crate) fn new(latency: u64, faults: Faults) -> Way<P> {
        Way { latency, faults, under_way: BTreeMap::new(), number: 0, last: 0 }
    }

    /// Sends a packet.
    pub(crate) fn send(&mut self, now: u64, packet: P, dice: &mut Dice) -> Journey {
        let mut happens = |chance: u8| dice.number(8) < chance.into();
        let Faults { loss, repeat, delay } = self.faults;
        let [is_lost, is_repeated, is_delayed] = [loss, repeat, delay].map(&mut happens);
        let in_place = (now + self.latency).max(self.last);
        if is_lost {
            return Journey { fate: Fate::Lost, arrivals: Vec::new() };
        }
        let again = is_repeated.then_some(in_place + 3 * self.latency);
        if let Some(at) = again {
            self.arrives(at, packet.clone());
        }
        if is_delayed {
            let late = in_place + 2 * self.latency;
            self.arrives(late, packet);
            return Journey { fate: Fate::Delayed, arrivals: [late].into_iter().chain(again).collect() };
        }
        let mut journey = self.send_safely(now, packet);
        if is_repeated {
            journey.fate = Fate::Repeated;
        }
        journey.arrivals.extend(again);
        journey
    }

    /// Sends a packet that arrives in its place, whatever the faults.
    pub(crate) fn send_safely(&mut self, now: u64, packet: P) -> Journey {
        let in_place = (now + self.latency).max(self.last);
        self.last = in_place;
        self.arrives(in_place, packet);
        Journey { fate: Fate::Arrives, arrivals: vec![in_place] }
    }

    fn arrives(&mut self, at: u64, packet: P) {
        self.number += 1;
        self.under_way.insert((at, self.number), packet);
    }

    /// When the next packet arrives.
    pub(crate) fn next(&self) -> Option<u64> {
        self.under_way.first_key_value().map(|((at, _), _)| *at)
    }

    /// A packet that has arrived by now.
    pub(crate) fn receive(&mut self, now: u64) -> Option<P> {
        let entry = self.under_way.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }
}
