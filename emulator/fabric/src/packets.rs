//! The packets under way: made once, moved by number, their memory used again.

use ferroce_engine::{Flow, Ident, RxMeta};
use ferroce_recording::PacketName;
use ferroce_wire::Bth;

use crate::fabric::HostId;

/// A packet under way.
#[derive(Debug)]
pub(crate) struct Packet {
    /// UDP payload: BTH to ICRC. Empty for packets of [background flows](crate::Background), of which only the
    /// length counts.
    pub bytes: Vec<u8>,
    pub flow: Flow,
    pub ident: u16,
    pub from: HostId,
    pub to: HostId,
    /// Bytes that it takes on the wire, gap and preamble included.
    pub wire: u32,
    pub damaged: bool,
    /// A copy that a switch sent everywhere because it did not know where.
    pub flooded: bool,
    /// The port by which it came into the switch where it is.
    pub ingress: u16,
    /// Its place in the log, if there is one.
    pub entry: Option<u32>,
    /// What it belongs to.
    pub load: Load,
}

/// What a packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// A device.
    Roce,
    /// A background flow, by number, and the packet's own number in it.
    Background { flow: u32, number: u32 },
}

impl Packet {
    /// The priority that switches and ports give it: the class selector of its traffic class.
    pub(crate) fn priority(&self) -> usize {
        usize::from(self.flow.traffic_class >> 5)
    }

    /// What tells it from others of its sender; none for those of background flows.
    pub(crate) fn name(&self) -> Option<PacketName> {
        let Bth { dest_qp, psn, .. } = Bth::parse(self.bytes.first_chunk()?).ok()?;
        Some(PacketName { qp: dest_qp, psn })
    }

    pub(crate) fn meta(&self) -> RxMeta {
        let Flow { src, dst, src_port, traffic_class, .. } = self.flow;
        let ident = Ident::Known { ident: self.ident, flags_fragment: ferroce_engine::DONT_FRAGMENT };
        RxMeta { src, dst, src_port, traffic_class, ident }
    }
}

/// All packets under way.
#[derive(Default)]
pub(crate) struct Packets {
    slots: Vec<Option<Packet>>,
    free: Vec<u32>,
    spare: Vec<Vec<u8>>,
}

/// Buffers that are kept for later packets.
const SPARES: usize = 4096;

impl Packets {
    /// A copy of `bytes`, in memory that an earlier packet had if possible.
    pub(crate) fn buffer(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(bytes);
        buffer
    }

    pub(crate) fn insert(&mut self, packet: Packet) -> u32 {
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(packet);
                slot
            }
            None => {
                self.slots.push(Some(packet));
                self.slots.len() as u32 - 1
            }
        }
    }

    /// # Panics
    /// When there is no such packet: every number is removed once.
    pub(crate) fn get(&self, number: u32) -> &Packet {
        self.slots[number as usize].as_ref().expect("a packet under way")
    }

    /// # Panics
    /// As [`get`](Packets::get).
    pub(crate) fn get_mut(&mut self, number: u32) -> &mut Packet {
        self.slots[number as usize].as_mut().expect("a packet under way")
    }

    /// # Panics
    /// As [`get`](Packets::get).
    pub(crate) fn remove(&mut self, number: u32) -> Packet {
        self.free.push(number);
        self.slots[number as usize].take().expect("a packet under way")
    }

    /// Keeps the memory of a packet that is over.
    pub(crate) fn recycle(&mut self, packet: Packet) {
        if self.spare.len() < SPARES {
            self.spare.push(packet.bytes);
        }
    }

    /// Their entries in the log.
    pub(crate) fn entries(&self) -> impl Iterator<Item = u32> {
        self.slots.iter().flatten().filter_map(|packet| packet.entry)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
