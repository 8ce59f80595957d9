//! A packet socket at a network interface of the kernel's (packet(7)).
//!
//! The crate `pnet_datalink` offers these too, but its receiver waits, takes frames one by one, and shows neither
//! VLAN tags nor trains.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use super::MacAddr;
use super::host::Arrived;
use super::port::{Frames, PortState};
use crate::error::NetError;
use crate::sys::{self, Control, Filter, Inbox, Outgoing, SockAddr};
use crate::udp::enlarge_buffers;
use crate::vnet::VnetHeader;

/// All EtherTypes, so that frames are seen before VLANs and bridges take them away.
const ALL_TYPES: u16 = libc::ETH_P_ALL as u16;

pub(super) struct Packet {
    name: String,
    index: u32,
    socket: OwnedFd,
    inbox: Inbox,
    groups: Vec<MacAddr>,
}

impl Packet {
    /// Opens a socket at the interface `name`, to which `mac` is to belong besides its own address.
    pub(super) fn open(name: &str, index: u32, mac: MacAddr) -> Result<Packet, NetError> {
        let refused = |source: io::Error| NetError::Packet { name: name.to_owned(), source };
        // Protocol 0: nothing is received before the filter is in place and the socket is bound.
        let socket = sys::socket(libc::AF_PACKET, libc::SOCK_RAW, 0).map_err(refused)?;
        let prepare = || {
            sys::set_option(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_VNET_HDR, 1)?;
            sys::set_option(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_AUXDATA, 1)?;
            sys::attach_filter(socket.as_fd(), &Filter::station(mac.0))?;
            enlarge_buffers(&socket)?;
            sys::bind(socket.as_fd(), &SockAddr::link(ALL_TYPES, index))?;
            // Hardware that can have no second address hears everything from now on.
            sys::receive_also(&socket, index, libc::PACKET_MR_UNICAST, mac.0)
        };
        prepare().map_err(refused)?;
        Ok(Packet { name: name.to_owned(), index, socket, inbox: Inbox::new(), groups: Vec::new() })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn receive_buffer(&self) -> usize {
        sys::option(self.socket.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF).unwrap_or(0).max(0) as usize
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub(super) fn drops(&self) -> u64 {
        sys::drops(self.socket.as_fd())
    }

    /// Receives frames to these groups, and no more to others.
    pub(super) fn set_groups(&mut self, wanted: Vec<MacAddr>) -> io::Result<()> {
        let kind = libc::PACKET_MR_MULTICAST;
        for old in self.groups.iter().filter(|old| !wanted.contains(old)) {
            sys::receive_no_more(&self.socket, self.index, kind, old.0)?;
        }
        for new in wanted.iter().filter(|new| !self.groups.contains(new)) {
            sys::receive_also(&self.socket, self.index, kind, new.0)?;
        }
        self.groups = wanted;
        Ok(())
    }

    /// Sends frames, and tells how many the kernel took.
    pub(super) fn send(&mut self, frames: &Frames) -> io::Result<usize> {
        // Where they go is what the socket is bound to.
        let (to, control) = (SockAddr::NONE, Control::EMPTY);
        let messages: Vec<Outgoing<'_>> =
            frames.iter().take(sys::BATCH).map(|bytes| Outgoing { to, control, bytes }).collect();
        sys::send(self.socket.as_fd(), &messages)
    }

    /// Takes some of what has arrived, and tells how many frames that were.
    pub(super) fn receive(&mut self, take: &mut dyn FnMut(Arrived<'_>)) -> (usize, PortState) {
        let got = match self.inbox.receive(self.socket.as_fd()) {
            Ok(got) => got,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return (0, PortState::Good);
            }
            Err(error) => return (0, PortState::Failed(error.raw_os_error().unwrap_or(0))),
        };
        for index in 0..got {
            let message = self.inbox.message(index);
            let Some((vnet, bytes)) = VnetHeader::split(message.bytes).filter(|_| !message.truncated) else {
                continue;
            };
            let tag = tag(message.control);
            take(Arrived { bytes, tag, segment: vnet.segment, unsummed: vnet.unsummed });
        }
        (got, PortState::Good)
    }
}

/// The tag that the kernel has taken off (`struct tpacket_auxdata`).
fn tag(control: &Control) -> Option<u16> {
    let aux = control
        .iter()
        .find(|(level, kind, _)| (*level, *kind) == (libc::SOL_PACKET, libc::PACKET_AUXDATA))?;
    let [s0, s1, s2, s3, ..] = *aux.2 else { return None };
    let tci = aux.2.get(16..18)?;
    let is_valid = u32::from_ne_bytes([s0, s1, s2, s3]) & libc::TP_STATUS_VLAN_VALID != 0;
    is_valid.then(|| u16::from_ne_bytes([tci[0], tci[1]]))
}
