//! The two ways to an Ethernet.

use std::io;
use std::os::fd::RawFd;

use super::MacAddr;
use super::host::Arrived;
use super::packet::Packet;
use super::tap::Tap;
use crate::sys;
use crate::vnet::VnetHeader;

/// Where frames go.
pub(super) enum Port {
    Tap(Box<Tap>),
    Packet(Box<Packet>),
}

/// How a receive ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PortState {
    Good,
    /// With this error number.
    Failed(i32),
    /// There is no interface any more.
    Gone,
}

impl Port {
    pub(super) fn layer(&self) -> &'static str {
        match self {
            Port::Tap(_) => "tap",
            Port::Packet(_) => "raw",
        }
    }

    /// The interface.
    pub(super) fn name(&self) -> &str {
        match self {
            Port::Tap(tap) => tap.name(),
            Port::Packet(packet) => packet.name(),
        }
    }

    /// Bytes that can wait to be received.
    pub(super) fn receive_buffer(&self, mtu: usize) -> usize {
        match self {
            Port::Tap(tap) => tap.receive_buffer(mtu),
            Port::Packet(packet) => packet.receive_buffer(),
        }
    }

    pub(super) fn descriptor(&self) -> RawFd {
        match self {
            Port::Tap(tap) => tap.descriptor(),
            Port::Packet(packet) => packet.descriptor(),
        }
    }

    /// Frames lost because they came faster than they were taken, as far as the kernel tells.
    pub(super) fn drops(&self) -> u64 {
        match self {
            Port::Tap(_) => 0,
            Port::Packet(packet) => packet.drops(),
        }
    }

    /// An empty batch of frames to be sent here.
    pub(super) fn frames(&self) -> Frames {
        let headroom = match self {
            Port::Tap(_) => 0,
            Port::Packet(_) => VnetHeader::LEN,
        };
        Frames { headroom, bytes: Vec::new(), ends: Vec::new() }
    }

    /// Sends frames, and tells how many were taken.
    ///
    /// # Errors
    /// When the first one was not.
    pub(super) fn send(&mut self, frames: &Frames) -> io::Result<usize> {
        match self {
            Port::Tap(tap) => tap.send(frames),
            Port::Packet(packet) => packet.send(frames),
        }
    }

    /// Takes some of what has arrived, and tells how many frames that were.
    pub(super) fn receive(&mut self, take: &mut dyn FnMut(Arrived<'_>)) -> (usize, PortState) {
        match self {
            Port::Tap(tap) => tap.receive(take),
            Port::Packet(packet) => packet.receive(take),
        }
    }

    /// Receives frames to these groups. A TAP interface shows them all.
    ///
    /// # Errors
    /// When the kernel refuses one.
    pub(super) fn set_groups(&mut self, groups: impl Iterator<Item = MacAddr>) -> io::Result<()> {
        match self {
            Port::Tap(_) => Ok(()),
            Port::Packet(packet) => packet.set_groups(groups.collect()),
        }
    }
}

/// Frames to be sent at once, each behind the bytes that the port wants to have there.
pub(super) struct Frames {
    headroom: usize,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Frames {
    /// Most frames of a batch.
    pub(super) const MOST: usize = sys::BATCH;

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Adds a frame that `write` appends. Nothing is added if it says that it could not.
    pub(super) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
        let start = self.bytes.len();
        self.bytes.resize(start + self.headroom, 0);
        let written = write(&mut self.bytes);
        if written {
            self.ends.push(self.bytes.len());
        } else {
            self.bytes.truncate(start);
        }
        written
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}
