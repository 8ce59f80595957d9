//! Receiving with the IP header in sight, for which the process needs `CAP_NET_RAW`.
//!
//! A packet socket taps the network below IP and shows whole frames. The UDP socket stays bound, so that the
//! kernel does not answer with "port unreachable", and a filter lets it drop everything.
//!
//! A tap sees packets before the machine's firewall does. It also sees the trains of peers on this machine
//! before they are cut up, and `PACKET_VNET_HDR` tells the length of their segments.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};

use ferroce_engine::{Ident, RxMeta};
use ferroce_wire::ip::{Datagram, IpHeader};

use super::{Port, enlarge_buffers};
use crate::interface::Interface;
use crate::pieces::Pieces;
use crate::sys::{self, Filter, Incoming, SockAddr};
use crate::vnet::VnetHeader;

const ETHERTYPE_IPV4: u16 = 0x0800;

const ETHERNET_HEADER: usize = 14;

/// Opens a tap for packets to port 4791 of `addr`.
pub(super) fn open(addr: Ipv4Addr, interface: &Interface) -> io::Result<OwnedFd> {
    // Protocol 0: nothing is received before the filter is in place and the socket is bound.
    let tap = sys::socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
    sys::set_option(tap.as_fd(), libc::SOL_PACKET, libc::PACKET_VNET_HDR, 1)?;
    sys::attach_filter(tap.as_fd(), &Filter::roce_to(addr))?;
    enlarge_buffers(&tap)?;
    // Packets from this machine arrive at the loopback interface whatever their address is, hence all
    // interfaces. But what comes from outside with a loopback address must not get in.
    let index = if addr.is_loopback() { interface.index } else { 0 };
    sys::bind(tap.as_fd(), &SockAddr::link(ETHERTYPE_IPV4, index))?;
    Ok(tap)
}

/// What a tap gave. `None` when it makes no sense.
pub(super) fn parse<'a>(message: &Incoming<'a>) -> Option<Pieces<'a>> {
    if message.truncated {
        return None;
    }
    let link_header = match message.from.hardware_type()? {
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => ETHERNET_HEADER,
        _ => 0,
    };
    let (vnet, frame) = VnetHeader::split(message.bytes)?;
    let (datagram, _) = Datagram::parse(frame.get(link_header..)?).ok()?;
    let IpHeader::V4(ip) = datagram.ip else { return None };
    let segment = vnet.segment.unwrap_or(datagram.payload.len());
    let meta = RxMeta {
        src: ip.src.into(),
        dst: ip.dst.into(),
        src_port: datagram.udp.src_port,
        traffic_class: ip.tos,
        ident: Ident::Known { ident: ip.ident, flags_fragment: ip.flags_fragment },
    };
    Some(Pieces { meta, bytes: datagram.payload, segment })
}

impl Port {
    /// Goes back to receiving through the UDP socket.
    pub(super) fn give_up_tap(&mut self, reason: &str) {
        if self.receive_joined().and_then(|()| sys::detach_filter(self.socket.as_fd())).is_ok() {
            self.tap = None;
            self.icrc_reason = Some(reason.to_owned());
        }
    }
}
