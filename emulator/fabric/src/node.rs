//! The places of a network and the cables between them.

use core::fmt;
use std::time::Duration;

use ferroce_engine::Time;

use crate::fabric::HostId;
use crate::link::Link;

/// A switch of a fabric, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SwitchId(pub usize);

/// What a cable can be plugged into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// A host. It has one port.
    Host(HostId),
    /// A switch.
    Switch(SwitchId),
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Host(HostId(number)) => write!(f, "host {number}"),
            Node::Switch(SwitchId(number)) => write!(f, "switch {number}"),
        }
    }
}

/// A cable, the same in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cable {
    /// Bits per second, at least 1.
    pub rate: u64,
    /// What happens to packets on the way. Its latency is the propagation delay.
    pub link: Link,
}

impl Cable {
    /// A cable without faults.
    pub const fn new(rate: u64, delay: Duration) -> Cable {
        Cable { rate, link: Link::perfect(delay) }
    }
}

/// One end of a cable: what its owner knows about the way out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plug {
    pub cable: Cable,
    pub peer: Node,
    /// Port of the peer.
    pub port: u16,
    pub up: bool,
    /// When the last packet that kept its place arrives.
    pub last: Time,
}

/// A transmitter: one packet after the other, at a rate.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Serial {
    /// It is sending until then.
    pub busy_until: Time,
    /// What integer nanoseconds leave out, in units of 1/rate ns, so that it does not add up.
    carry: u64,
}

impl Serial {
    /// Sends `bytes` more at `rate` bits per second (`None` for infinitely fast), and says when the last bit has
    /// left.
    pub(crate) fn occupy(&mut self, now: Time, bytes: u32, rate: Option<u64>) -> Time {
        if self.busy_until < now {
            (self.busy_until, self.carry) = (now, 0);
        }
        if let Some(rate) = rate {
            let rate = u128::from(rate.max(1));
            let units = u128::from(bytes) * 8_000_000_000 + u128::from(self.carry);
            let nanos = u64::try_from(units / rate).unwrap_or(u64::MAX);
            self.carry = (units % rate) as u64;
            self.busy_until = self.busy_until + Duration::from_nanos(nanos);
        }
        self.busy_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_of_nanoseconds_are_not_lost() {
        let mut serial = Serial::default();
        // 1090 bytes at 100 Gb/s take 87.2 ns.
        let mut last = Time::ZERO;
        for _ in 0..1000 {
            last = serial.occupy(Time::ZERO, 1090, Some(100_000_000_000));
        }
        assert_eq!(last.nanos(), 87_200);
    }
}
