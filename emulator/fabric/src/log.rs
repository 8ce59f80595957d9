//! What happened, in order.

use std::sync::Arc;

use ferroce_engine::{Flow, NoTrace, Time, TraceEvent, TraceSink};
use ferroce_recording::{PacketName, SwitchStep};
use ferroce_wire::ICRC_LEN;

use crate::fabric::HostId;
use crate::node::SwitchId;

/// A trace sink whose events can be taken out, for the fabric to put them in order with the packets.
pub trait Watch: TraceSink + Default {
    /// The events since the last time, oldest first.
    fn take(&mut self) -> Vec<(Time, TraceEvent)>;
}

impl Watch for Vec<(Time, TraceEvent)> {
    fn take(&mut self) -> Vec<(Time, TraceEvent)> {
        std::mem::take(self)
    }
}

impl Watch for NoTrace {
    fn take(&mut self) -> Vec<(Time, TraceEvent)> {
        Vec::new()
    }
}

/// Everything that happened in a fabric, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Log {
    /// Oldest first, those left out that were [taken](crate::Fabric::take_settled).
    pub entries: Vec<Entry>,
    /// How many were taken.
    taken: u32,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When.
    pub at: Time,
    /// Where: for packets, the sender; host 0 for what a switch does without one.
    pub host: HostId,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A packet was sent.
    Packet(Sent),
    /// A device went a step; completions are such steps.
    Device(TraceEvent),
    /// A switch did something, with a packet of this host's if with one.
    Switch(Incident),
}

/// What a switch did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incident {
    /// The switch.
    pub switch: SwitchId,
    /// The port by which the packet is to leave, or came in if it never gets so far.
    pub port: u16,
    /// The priority.
    pub priority: u8,
    /// What it did.
    pub step: SwitchStep,
    /// Bytes that wait at the port in this priority after that.
    pub queued: u64,
    /// The packet, if it is one of a device's.
    pub packet: Option<PacketName>,
}

/// A packet that was sent, and where that led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Where to; `None` when nobody has the address.
    pub to: Option<HostId>,
    /// Its IP and UDP headers.
    pub flow: Flow,
    /// Its IPv4 Identification.
    pub ident: u16,
    /// Its UDP payload: BTH to ICRC.
    pub bytes: Arc<[u8]>,
    /// When copies of it are handed to the receiver: none if it is lost, or still on its way through switches.
    pub arrivals: Vec<Arrival>,
    /// The log was [taken](crate::Fabric::take_log) while it was on its way.
    pub under_way: bool,
}

/// A packet reaches its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When.
    pub at: Time,
    /// Bits of it have flipped.
    pub damaged: bool,
}

impl Log {
    /// Adds an entry, and returns its number.
    pub(crate) fn add(&mut self, entry: Entry) -> u32 {
        self.entries.push(entry);
        self.end() - 1
    }

    /// The number that the next entry will have.
    pub(crate) fn end(&self) -> u32 {
        self.taken + self.entries.len() as u32
    }

    /// Takes out the entries before this number.
    pub(crate) fn take(&mut self, end: u32) -> Vec<Entry> {
        let count = (end - self.taken) as usize;
        self.taken = end;
        self.entries.drain(..count).collect()
    }

    /// A packet that is under way.
    pub(crate) fn sent_mut(&mut self, number: u32) -> Option<&mut Sent> {
        match &mut self.entries.get_mut(number.checked_sub(self.taken)? as usize)?.what {
            What::Packet(sent) => Some(sent),
            What::Device(_) | What::Switch(_) => None,
        }
    }

    /// The packets, with the time of sending and the sender.
    pub fn packets(&self) -> impl Iterator<Item = (Time, HostId, &Sent)> {
        self.entries.iter().filter_map(|entry| match &entry.what {
            What::Packet(sent) => Some((entry.at, entry.host, sent)),
            What::Device(_) | What::Switch(_) => None,
        })
    }

    /// What one device did.
    pub fn device(&self, host: HostId) -> impl Iterator<Item = (Time, &TraceEvent)> {
        self.entries.iter().filter_map(move |entry| match &entry.what {
            What::Device(event) if entry.host == host => Some((entry.at, event)),
            _ => None,
        })
    }
}

/// A running fingerprint of all packets: their headers, times, senders and fates.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Digest(u64);

/// Words of 8 bytes at the start of a packet that its fingerprint covers: the longest headers that the engine sends
/// (28 bytes, RETH or atomic), and some data.
const LOOKED_AT: usize = 5;

impl Digest {
    pub(crate) fn number(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(23) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    /// Length, headers, and the first data. The ICRC is left out, which is not always made.
    pub(crate) fn packet(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        let (words, _) = bytes[..bytes.len().saturating_sub(ICRC_LEN)].as_chunks::<8>();
        for word in words.iter().take(LOOKED_AT) {
            self.number(u64::from_le_bytes(*word));
        }
    }

    pub(crate) fn value(self) -> u64 {
        self.0
    }
}
