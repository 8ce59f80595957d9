//! Priority flow control (IEEE 802.1Qbb): what a port that was asked to pause knows, and the arithmetic.

use std::time::Duration;

use ferroce_engine::Time;

use crate::switch::PRIORITIES;

/// Bytes of a pause frame on the wire, preamble and gap included.
pub const PAUSE_FRAME: u64 = 64 + 20;

/// Bits of one quantum.
const QUANTUM_BITS: u64 = 512;

/// How long one pause frame lasts at most: 65,535 quanta of 512 bit times.
pub fn longest_pause(rate: u64) -> Duration {
    let nanos = u128::from(u16::MAX) * u128::from(QUANTUM_BITS) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Bytes that can still arrive at a port after it has decided to pause its peer: the headroom it needs.
///
/// A frame of its own may be on its way out before the pause frame (`mtu`), which takes its time and the cable's;
/// the peer may have begun a frame just then (`mtu`); and meanwhile packets fill the cable in both directions.
/// `mtu` is the longest packet on the wire, in bytes. The packet that passed the threshold is the last term.
pub fn headroom(rate: u64, delay: Duration, mtu: u64) -> u64 {
    let on_the_cable = (u128::from(rate) * delay.as_nanos() / 8_000_000_000) as u64;
    2 * on_the_cable + PAUSE_FRAME + 3 * mtu
}

/// Pauses of the eight priorities of a port.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pauses {
    until: [Option<Time>; PRIORITIES],
    since: [Option<Time>; PRIORITIES],
    /// Time spent in pauses that are over.
    total: Duration,
}

impl Pauses {
    /// A pause frame came.
    pub(crate) fn pause(&mut self, priority: usize, now: Time, until: Time) {
        self.until[priority] = Some(until);
        self.since[priority].get_or_insert(now);
    }

    /// The priority may go on; says whether it was paused.
    pub(crate) fn resume(&mut self, priority: usize, now: Time) -> bool {
        let since = self.since[priority].take();
        self.total += since.map_or(Duration::ZERO, |since| now.since(since));
        self.until[priority].take().is_some()
    }

    /// Whether the pause that was to end by now has not been prolonged.
    pub(crate) fn is_over(&self, priority: usize, now: Time) -> bool {
        self.until[priority].is_some_and(|until| until <= now)
    }

    #[inline]
    pub(crate) fn is_paused(&self, priority: usize) -> bool {
        self.until[priority].is_some()
    }

    /// Since when the priority has been paused without a break.
    pub(crate) fn since(&self, priority: usize) -> Option<Time> {
        self.since[priority]
    }

    /// The DSCPs of the paused priorities, as bits.
    pub(crate) fn dscps(&self) -> u64 {
        let paused = (0..PRIORITIES).filter(|priority| self.is_paused(*priority));
        paused.fold(0, |mask, priority| mask | 0xff << (8 * priority))
    }

    /// Time spent paused, summed over priorities.
    pub(crate) fn total(&self, now: Time) -> Duration {
        let open = self.since.iter().flatten().map(|since| now.since(*since));
        self.total + open.sum::<Duration>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_839_microseconds_at_40_gigabits() {
        assert_eq!(longest_pause(40_000_000_000).as_micros(), 838);
    }

    #[test]
    fn headroom_grows_with_the_cable() {
        // 300 m of fibre at 40 Gb/s: 1.5 µs one way, 7.5 KB on the cable.
        assert_eq!(headroom(40_000_000_000, Duration::from_nanos(1500), 1_106), 15_000 + 84 + 3 * 1_106);
    }

    #[test]
    fn pauses_are_counted_while_they_last_and_after() {
        let mut pauses = Pauses::default();
        pauses.pause(3, Time::from_micros(10), Time::from_micros(20));
        pauses.pause(3, Time::from_micros(15), Time::from_micros(40));
        assert!(!pauses.is_over(3, Time::from_micros(20)), "prolonged");
        assert_eq!(pauses.dscps(), 0xff << 24);
        assert_eq!(pauses.total(Time::from_micros(30)).as_micros(), 20);
        assert!(pauses.resume(3, Time::from_micros(30)) && !pauses.resume(3, Time::from_micros(31)));
        assert_eq!(pauses.total(Time::from_micros(99)).as_micros(), 20);
    }
}
