//! A device with its place in the fabric.

use std::net::IpAddr;
use std::time::Duration;

use ferroce_engine::{Device, Event, Time, TxLimits};

/// How a host sends and receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// Bits per second at which it sends; `None` for infinitely fast.
    pub rate: Option<u64>,
    /// It handles packets that arrive within such a time together, at the end of it, as a NIC does that does
    /// not interrupt for every packet. Zero: packets of one moment are handled together.
    pub moderation: Duration,
    /// Most packets in one train, at least 1.
    pub train: usize,
}

impl Default for Port {
    fn default() -> Port {
        Port { rate: None, moderation: Duration::ZERO, train: 16 }
    }
}

/// Bytes of Ethernet, IPv4 and UDP headers, frame check sequence, preamble and gap around each packet.
const OVERHEAD: usize = 14 + 20 + 8 + 4 + 20;

pub(crate) struct Host<T> {
    pub device: Device<T>,
    pub addrs: Vec<IpAddr>,
    pub port: Port,
    /// It may have something to send or to tell.
    pub awake: bool,
    /// Its port is sending until then.
    pub busy_until: Time,
    /// The IPv4 Identification of its next packet.
    pub ident: u16,
    pub events: Vec<Event>,
}

impl<T> Host<T> {
    pub(crate) fn limits(&self) -> TxLimits {
        TxLimits {
            max_packets: self.port.train.max(1),
            max_bytes: 1 << 16,
            first_ident: self.ident,
            ident_step: 1,
            src_port: None,
        }
    }

    /// Keeps the port busy for one more packet, and says when its last bit has left.
    pub(crate) fn occupy(&mut self, now: Time, len: usize) -> Time {
        let begins = self.busy_until.max(now);
        let bits = (len + OVERHEAD) as u128 * 8;
        let nanos = self.port.rate.map_or(0, |rate| (bits * 1_000_000_000).div_ceil(u128::from(rate.max(1))));
        self.busy_until = begins + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.busy_until
    }

    /// When a packet that reaches the port at `time` is handled.
    pub(crate) fn handled_at(&self, time: Time) -> Time {
        match self.port.moderation.as_nanos() as u64 {
            0 => time,
            step => Time::from_nanos(time.nanos().next_multiple_of(step)),
        }
    }
}
