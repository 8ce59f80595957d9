//! A device with its place in the fabric.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use ferroce_engine::{Device, Event, Time, TxLimits};

use crate::node::{Plug, Serial};
use crate::packets::Packet;
use crate::pause::Pauses;

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

/// Bytes that a UDP payload of `len` bytes takes on the wire.
pub(crate) fn on_the_wire(len: usize) -> u32 {
    (len + OVERHEAD) as u32
}

pub(crate) struct Host<T> {
    pub device: Device<T>,
    pub addrs: Vec<IpAddr>,
    pub port: Port,
    /// The cable that it hangs on, if any.
    pub plug: Option<Plug>,
    pub serial: Serial,
    pub pauses: Pauses,
    /// It is in the list of those that may have something to send or to tell.
    pub awake: bool,
    /// It is looked at when its port is free.
    pub woken: bool,
    /// The earliest of its device's deadlines that is in the queue of events.
    pub timer: Option<Time>,
    pub dead: bool,
    /// When the switch heard of it last.
    pub heard: Time,
    /// Until when its broken NIC sends pause frames.
    pub storm_until: Time,
    /// The IPv4 Identification of its next packet.
    pub ident: u16,
    pub events: Vec<Event>,
    /// Packets of background flows, to be sent before the device's.
    pub outbox: VecDeque<Packet>,
}

impl<T> Host<T> {
    pub(crate) fn new(device: Device<T>, addrs: Vec<IpAddr>, ident: u16) -> Host<T> {
        Host {
            device,
            addrs,
            port: Port::default(),
            plug: None,
            serial: Serial::default(),
            pauses: Pauses::default(),
            awake: false,
            woken: false,
            timer: None,
            dead: false,
            heard: Time::ZERO,
            storm_until: Time::ZERO,
            ident,
            events: Vec::new(),
            outbox: VecDeque::new(),
        }
    }

    /// What it takes from its device. `seal` as in [`Packet::sealed`].
    pub(crate) fn limits(&self, seal: bool) -> TxLimits {
        TxLimits {
            // On a cable each packet is chosen when its turn has come, so that a pause stops it.
            max_packets: if self.plug.is_some() { 1 } else { self.port.train.max(1) },
            max_bytes: 1 << 16,
            first_ident: self.ident,
            ident_step: 1,
            src_port: None,
            seal,
        }
    }

    /// The next packet of a background flow, if its priority may be sent.
    pub(crate) fn next_background(&mut self) -> Option<Packet> {
        let front = self.outbox.front()?;
        if self.pauses.is_paused(front.priority()) { None } else { self.outbox.pop_front() }
    }

    /// Keeps the port busy for one more packet, and says when its last bit has left.
    pub(crate) fn occupy(&mut self, now: Time, wire: u32) -> Time {
        let rate = self.plug.map_or(self.port.rate, |plug| Some(plug.cable.rate));
        self.serial.occupy(now, wire, rate)
    }

    /// When a packet that reaches the port at `time` is handled.
    pub(crate) fn handled_at(&self, time: Time) -> Time {
        match self.port.moderation.as_nanos() as u64 {
            0 => time,
            step => Time::from_nanos(time.nanos().next_multiple_of(step)),
        }
    }
}
