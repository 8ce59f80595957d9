//! Multicast: a socket for each group and interface, since a socket that is bound to an address gets nothing else.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ferroce_wire::UDP_PORT;

use super::transmit::USUAL_HOP_LIMIT;
use super::{Port, UdpLink, configure};
use crate::interface::Interface;
use crate::link::Failure;
use crate::sys::fork::Cut;
use crate::sys::{self, SockAddr};

/// `IPV6_MULTICAST_ALL` of linux/in6.h.
const IPV6_MULTICAST_ALL: i32 = 29;

impl UdpLink {
    /// Receives what is sent to `group` at every interface that has an address of the device.
    pub(super) fn join_group(&mut self, group: IpAddr) {
        let mut interfaces: Vec<Interface> = Vec::new();
        for port in self.own_ports().filter(|port| port.addr.is_ipv4() == group.is_ipv4()) {
            if interfaces.iter().all(|known| known.index != port.interface.index) {
                interfaces.push(port.interface.clone());
            }
        }
        for interface in interfaces {
            match Port::of_group(group, interface) {
                Ok(port) => self.ports.push(port),
                Err(error) => {
                    self.counters.rx_errors += 1;
                    let (what, errno) = ("joining the multicast group", error.raw_os_error().unwrap_or(0));
                    self.failure = Some(Failure { what, peer: Some(group), errno });
                }
            }
        }
    }
}

impl Port {
    fn of_group(group: IpAddr, interface: Interface) -> io::Result<Port> {
        let domain = if group.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let socket = sys::socket(domain, libc::SOCK_DGRAM, 0)?;
        configure(&socket, group)?;
        // Other programs may be members too.
        sys::set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
        sys::bind(socket.as_fd(), &SockAddr::ip(group, UDP_PORT, interface.index))?;
        become_member(&socket, group, interface.index)?;
        let (addr, scope, socket) = (group, interface.index, Cut::new(socket));
        let port = Port { addr, interface, scope, socket, seat: None, tap: None, icrc_reason: None };
        port.receive_joined()?;
        Ok(port)
    }
}

/// Joins `group` at one interface, and takes nothing that came through others.
fn become_member(socket: &OwnedFd, group: IpAddr, interface: u32) -> io::Result<()> {
    let socket = socket.as_fd();
    match group {
        IpAddr::V4(group) => {
            sys::set_option(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_ALL, 0)?;
            let request = ip_mreqn(group.octets(), interface);
            sys::set_struct(socket, libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP, &request)
        }
        IpAddr::V6(group) => {
            sys::set_option(socket, libc::IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0)?;
            let mut request = [0; 20]; // struct ipv6_mreq
            request[..16].copy_from_slice(&group.octets());
            request[16..].copy_from_slice(&interface.to_ne_bytes());
            sys::set_struct(socket, libc::IPPROTO_IPV6, libc::IPV6_ADD_MEMBERSHIP, &request)
        }
    }
}

/// Has what a socket at `addr` sends to groups leave through an interface, as far as other packets go.
pub(super) fn send_through(socket: BorrowedFd<'_>, addr: IpAddr, interface: u32) -> io::Result<()> {
    let hops = i32::from(USUAL_HOP_LIMIT);
    match addr {
        IpAddr::V4(_) => {
            sys::set_option(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_TTL, hops)?;
            let request = ip_mreqn([0; 4], interface);
            sys::set_struct(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_IF, &request)
        }
        IpAddr::V6(_) => {
            sys::set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS, hops)?;
            sys::set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_IF, interface as i32)
        }
    }
}

/// A `struct ip_mreqn`: group, any address, interface.
fn ip_mreqn(group: [u8; 4], interface: u32) -> [u8; 12] {
    let mut request = [0; 12];
    request[..4].copy_from_slice(&group);
    request[8..].copy_from_slice(&interface.to_ne_bytes());
    request
}
