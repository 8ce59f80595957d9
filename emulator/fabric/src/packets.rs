//! The packets under way: made once, moved by number, their memory used again.

use ferroce_engine::{Flow, Ident, RxMeta};
use ferroce_recording::PacketName;
use ferroce_wire::{Bth, ICRC_LEN};

use crate::crossing;
use crate::dice::Dice;
use crate::fabric::HostId;

/// A packet under way.
#[derive(Debug)]
pub(crate) struct Packet {
    /// Room for the UDP payload, which may be shorter.
    pub buffer: Vec<u8>,
    /// Bytes of the UDP payload.
    pub len: usize,
    pub flow: Flow,
    pub ident: u16,
    pub from: HostId,
    pub to: HostId,
    /// Whether its ICRC is there. Where nobody looks at packets, those alone need one that are damaged on the way: to
    /// make and to check the others' would be a sixth of the work of a simulation.
    pub sealed: bool,
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
    /// UDP payload: BTH to ICRC. Empty for packets of [background flows](crate::Background), of which only the
    /// length counts.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    /// Flips bits of it. It has its ICRC before that, so that this is noticed.
    pub(crate) fn damage(&mut self, dice: &mut Dice) {
        self.damaged = true;
        let bytes = &mut self.buffer[..self.len];
        if let Some((covered, icrc)) = bytes.split_last_chunk_mut::<ICRC_LEN>() {
            if !std::mem::replace(&mut self.sealed, true) {
                *icrc = self.flow.pseudo_header(self.ident).compute(covered).to_le_bytes();
            }
            crossing::damage(bytes, dice);
        }
    }

    /// The priority that switches and ports give it: the class selector of its traffic class.
    pub(crate) fn priority(&self) -> usize {
        usize::from(self.flow.traffic_class >> 5)
    }

    /// What tells it from others of its sender; none for those of background flows.
    pub(crate) fn name(&self) -> Option<PacketName> {
        let Bth { dest_qp, psn, .. } = Bth::parse(self.bytes().first_chunk()?).ok()?;
        Some(PacketName { qp: dest_qp, psn })
    }

    pub(crate) fn meta(&self) -> RxMeta {
        let Flow { src, dst, src_port, traffic_class, .. } = self.flow;
        let ident = match self.sealed {
            true => Ident::Known { ident: self.ident, flags_fragment: ferroce_engine::DONT_FRAGMENT },
            false => Ident::Vouched,
        };
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
    /// Memory that an earlier packet had, if there is any; its content does not matter.
    pub(crate) fn spare(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// A copy of `bytes`.
    pub(crate) fn buffer(&mut self, bytes: &[u8]) -> Vec<u8> {
        refilled(self.spare(), bytes)
    }

    /// Another one like this.
    pub(crate) fn copy(&mut self, number: u32) -> u32 {
        let spare = self.spare();
        let packet = self.get(number);
        let copy = Packet { buffer: refilled(spare, packet.bytes()), ..*packet };
        self.insert(copy)
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

    /// A packet is over. Its memory is kept for others.
    ///
    /// # Panics
    /// As [`get`](Packets::get).
    pub(crate) fn remove(&mut self, number: u32) {
        self.free.push(number);
        let packet = self.slots[number as usize].take().expect("a packet under way");
        if self.spare.len() < SPARES && packet.buffer.capacity() > 0 {
            self.spare.push(packet.buffer);
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

fn refilled(mut buffer: Vec<u8>, bytes: &[u8]) -> Vec<u8> {
    buffer.clear();
    buffer.extend_from_slice(bytes);
    buffer
}
