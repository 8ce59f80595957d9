//! Sending by UDP from a chosen address.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};

/// Sends from `local`, which matters for a socket with a wildcard address: the answer goes where a datagram seems to
/// come from, and the kernel's own choice may be an address that is no NIC's (`IP_PKTINFO` in ip(7), `IPV6_PKTINFO` in
/// ipv6(7)).
///
/// # Errors
/// When the address is not this machine's, and whatever else keeps datagrams from being sent.
pub(super) fn send_from(udp: &UdpSocket, local: IpAddr, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
    let (v4, v6);
    let source = match local {
        IpAddr::V4(addr) => {
            let source = in_addr { s_addr: u32::from(addr).to_be() };
            v4 = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: in_addr { s_addr: 0 } };
            ControlMessage::Ipv4PacketInfo(&v4)
        }
        IpAddr::V6(addr) => {
            v6 = in6_pktinfo { ipi6_addr: in6_addr { s6_addr: addr.octets() }, ipi6_ifindex: 0 };
            ControlMessage::Ipv6PacketInfo(&v6)
        }
    };
    let to = SockaddrStorage::from(to);
    sendmsg(udp.as_raw_fd(), &[IoSlice::new(bytes)], &[source], MsgFlags::empty(), Some(&to))?;
    Ok(())
}
