//! Whether a sender slows down when it is asked to.
//!
//! Its rate is taken over the packets before each CNP. One that obeys is slower at the CNPs that follow the first; one
//! that has less to send than it may is so as well, and nothing is said of it.

use std::collections::VecDeque;

/// Packets over which a rate is taken.
const WINDOW: usize = 32;
/// CNPs in spite of which a sender must keep its rate before anything is said.
const UNHEARD: u64 = 4;

/// How fast one end of a connection sends data.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the latest packets were sent, and their bytes of payload.
    latest: VecDeque<(u64, u64)>,
    /// CNPs at which a rate could be taken.
    asked: u64,
    /// The packet of the first of these, and the rate in bits per second.
    first: Option<(u64, u64)>,
    /// The slowest rate at any after it.
    slowest: u64,
}

/// A sender that did not slow down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unmoved {
    /// The first CNP.
    pub(super) packet: u64,
    /// How many CNPs there were.
    pub(super) asked: u64,
    /// Bits per second at the first CNP.
    pub(super) before: u64,
    /// The slowest rate at any later one.
    pub(super) after: u64,
}

impl Pace {
    /// It sent so many bytes of payload.
    pub(super) fn sent(&mut self, time: u64, len: usize) {
        if self.latest.len() == WINDOW {
            self.latest.pop_front();
        }
        self.latest.push_back((time, len as u64));
    }

    /// It was asked to slow down, by the packet of this number.
    pub(super) fn asked(&mut self, number: u64, time: u64) {
        let Some(rate) = self.rate(time) else { return };
        self.asked += 1;
        match self.first {
            None => (self.first, self.slowest) = (Some((number, rate)), u64::MAX),
            Some(_) => self.slowest = self.slowest.min(rate),
        }
    }

    /// Whether it kept at least nine tenths of its rate.
    pub(super) fn unmoved(&self) -> Option<Unmoved> {
        let (packet, before) = self.first?;
        let unmoved = self.asked >= UNHEARD && u128::from(self.slowest) * 10 >= u128::from(before) * 9;
        unmoved.then_some(Unmoved { packet, asked: self.asked, before, after: self.slowest })
    }

    /// Bits per second over the latest packets, if they are enough and more are likely to come: a sender that has
    /// nothing left to send obeys nobody.
    fn rate(&self, now: u64) -> Option<u64> {
        let (since, _) = self.latest.front().filter(|_| self.latest.len() == WINDOW)?;
        let (last, _) = self.latest.back()?;
        if now.saturating_sub(*last) > last.saturating_sub(*since) / 4 {
            return None;
        }
        let bits = 8 * self.latest.iter().skip(1).map(|(_, len)| len).sum::<u64>();
        let nanos = now.checked_sub(*since).filter(|nanos| *nanos > 0)?;
        u64::try_from(u128::from(bits) * 1_000_000_000 / u128::from(nanos)).ok()
    }
}
