//! The wire between the two NICs of a slow demo: packets need time, and some suffer.

use std::time::Duration;

use ferroce_engine::{Flow, Time};

use crate::demo::pattern::Dice;
use crate::demo::summary::FaultShares;

/// How long a packet is under way.
pub const FLIGHT: Duration = Duration::from_micros(8);

/// By how much a late packet is later than others: two or three overtake it.
pub const DELAY: Duration = Duration::from_nanos(4_500);

/// What happens to a packet on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Nothing.
    Passes,
    /// It never arrives.
    Lost,
    /// It arrives twice.
    Doubled,
    /// It is overtaken by others.
    Late,
    /// A bit of it is flipped.
    Damaged,
}

/// A packet between the NICs.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub number: u64,
    pub from: usize,
    pub flow: Flow,
    pub bytes: Vec<u8>,
    pub fate: Fate,
    /// When it reaches its end: the other NIC, or the place where it is lost.
    pub ends: Time,
}

/// Packets under way, and the decisions about them.
#[derive(Debug)]
pub(super) struct Wire {
    flights: Vec<Flight>,
    next_number: u64,
    dice: Dice,
    shares: FaultShares,
    /// Whether chance plays.
    pub chance: bool,
    /// What the next data packet is to suffer, because somebody wished so.
    pub wish: Option<Fate>,
}

impl Wire {
    pub(super) fn new(seed: u64, shares: FaultShares) -> Wire {
        let dice = Dice::new(seed, 0x77697265);
        Wire { flights: Vec::new(), next_number: 0, dice, shares, chance: true, wish: None }
    }

    /// What the next packet suffers. Wishes are for packets with data; chance takes all.
    pub(super) fn decide(&mut self, has_data: bool) -> Fate {
        let FaultShares { drop, duplicate, reorder, corrupt } = self.shares;
        let rates =
            [(drop, Fate::Lost), (duplicate, Fate::Doubled), (reorder, Fate::Late), (corrupt, Fate::Damaged)];
        // All are drawn for every packet, so that a wish changes nothing for those behind.
        let drawn = rates.map(|(rate, fate)| self.dice.happens(rate).then_some(fate));
        let chance = drawn.into_iter().flatten().next().filter(|_| self.chance);
        let wish = if has_data { self.wish.take() } else { None };
        wish.or(chance).unwrap_or(Fate::Passes)
    }

    /// Sends a packet on its way and returns its number and when it ends.
    pub(super) fn depart(
        &mut self,
        now: Time,
        from: usize,
        flow: Flow,
        mut bytes: Vec<u8>,
        fate: Fate,
    ) -> (u64, Time) {
        if fate == Fate::Damaged {
            // Behind the BTH, so that the packet still finds its queue pair and the ICRC catches it.
            let bit = 8 * 12 + self.dice.below(8 * (bytes.len() as u64 - 12)) as usize;
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let way = match fate {
            Fate::Lost => FLIGHT.mul_f64(0.55),
            Fate::Late => FLIGHT + DELAY,
            _ => FLIGHT,
        };
        let (number, ends) = (self.next_number, now + way);
        self.next_number += 1;
        self.flights.push(Flight { number, from, flow, bytes, fate, ends });
        (number, ends)
    }

    /// When the next packet ends its way.
    pub(super) fn next_end(&self) -> Option<Time> {
        self.flights.iter().map(|flight| flight.ends).min()
    }

    /// Takes a packet that has ended its way by `now`, the earliest first.
    pub(super) fn land(&mut self, now: Time) -> Option<Flight> {
        let due = self.flights.iter().enumerate().filter(|(_, flight)| flight.ends <= now);
        let (index, _) = due.min_by_key(|(_, flight)| (flight.ends, flight.number))?;
        Some(self.flights.remove(index))
    }

    /// Packets under way.
    pub(super) fn len(&self) -> usize {
        self.flights.len()
    }
}
