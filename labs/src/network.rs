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

impl<P: Clone> Way<P> {
    pub(crate) fn new(latency: u64, faults: Faults) -> Way<P> {
        Way { latency, faults, under_way: BTreeMap::new(), number: 0, last: 0 }
    }

    /// Sends a packet.
    pub(crate) fn send(&mut self, now: u64, packet: P, dice: &mut Dice) -> Fate {
        let mut happens = |chance: u8| dice.number(8) < chance.into();
        let Faults { loss, repeat, delay } = self.faults;
        let [is_lost, is_repeated, is_delayed] = [loss, repeat, delay].map(&mut happens);
        let in_place = (now + self.latency).max(self.last);
        if is_lost {
            return Fate::Lost;
        }
        if is_repeated {
            self.arrives(in_place + 3 * self.latency, packet.clone());
        }
        if is_delayed {
            self.arrives(in_place + 2 * self.latency, packet);
            return Fate::Delayed;
        }
        self.send_safely(now, packet);
        if is_repeated { Fate::Repeated } else { Fate::Arrives }
    }

    /// Sends a packet that arrives in its place, whatever the faults.
    pub(crate) fn send_safely(&mut self, now: u64, packet: P) -> Fate {
        let in_place = (now + self.latency).max(self.last);
        self.last = in_place;
        self.arrives(in_place, packet);
        Fate::Arrives
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
