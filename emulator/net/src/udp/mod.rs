//! The link that every user has: UDP sockets.
//!
//! One unconnected socket for each address of the device, bound to port 4791. With "don't fragment" set, Linux
//! gives packets from such a socket the IPv4 Identification 0, and 0, 1, 2, … to those that it cuts from a
//! train, so the ICRC, which covers the Identification, can be computed beforehand.
//!
//! What an ordinary socket cannot do: send from another port than its own (all packets leave from 4791, so
//! switches that spread flows over paths by UDP source port see one flow for each pair of addresses), send
//! over IPv4 without UDP checksum while using segmentation, and see the IPv4 Identification of what it
//! receives. The last one matters for checking the ICRC, and `CAP_NET_RAW` cures it: see [`IcrcCheck`].

mod group;
mod receive;
mod tap;
mod transmit;

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use ferroce_engine::{RxMeta, Time, TxLimits};
use ferroce_wire::UDP_PORT;

use crate::error::NetError;
use crate::interface::{Interface, is_link_local};
use crate::link::{Burst, Failure, IcrcCheck, IcrcMode, Link, LinkCounters, LinkInfo, PortInfo};
use crate::sys::{self, Inbox, SockAddr};

/// Most packets in one train: what Linux has allowed since segmentation exists.
const MAX_SEGMENTS: usize = 64;

/// Most bytes in one train: 65,535 less the headers of IPv6 and UDP, which is less than IPv4 would allow.
const MAX_TRAIN: usize = 65_535 - 40 - 8;

/// What to ask the kernel for, in bytes; it grants what its limits (`net.core.rmem_max`) allow.
const SOCKET_BUFFER: i32 = 8 << 20;

/// UDP sockets on port 4791.
pub struct UdpLink {
    /// One for each address of the device, then those that receive for multicast groups.
    ports: Vec<Port>,
    inbox: Inbox,
    /// Turned off for good when the kernel refuses a train.
    segmentation: bool,
    /// Packets of the first burst to be offered again that were sent already.
    sent_of_first: usize,
    counters: LinkCounters,
    failure: Option<Failure>,
}

/// One address.
struct Port {
    addr: IpAddr,
    interface: Interface,
    /// The interface of a link-local address and of the peers it can reach; else 0.
    scope: u32,
    socket: OwnedFd,
    /// Where packets are received when all of the ICRC is to be checked; the socket then takes none.
    tap: Option<OwnedFd>,
    icrc_reason: Option<String>,
}

impl UdpLink {
    /// Opens sockets at these addresses.
    ///
    /// # Errors
    /// As [`NetError`] tells.
    pub fn open(addrs: &[IpAddr], icrc: IcrcCheck) -> Result<UdpLink, NetError> {
        if addrs.is_empty() {
            return Err(NetError::NoAddress);
        }
        if let Some((_, addr)) = addrs.iter().enumerate().find(|(index, addr)| addrs[..*index].contains(addr))
        {
            return Err(NetError::Twice { addr: *addr });
        }
        let ports = addrs.iter().map(|addr| Port::open(*addr, icrc)).collect::<Result<_, _>>()?;
        Ok(UdpLink {
            ports,
            inbox: Inbox::new(),
            segmentation: true,
            sent_of_first: 0,
            counters: LinkCounters::default(),
            failure: None,
        })
    }

    /// The interfaces of the addresses, in their order.
    pub fn interfaces(&self) -> impl Iterator<Item = &Interface> {
        self.own_ports().map(|port| &port.interface)
    }

    fn own_ports(&self) -> impl Iterator<Item = &Port> {
        self.ports.iter().filter(|port| !port.addr.is_multicast())
    }

    fn port_of(&self, src: IpAddr) -> Option<usize> {
        self.ports.iter().position(|port| port.addr == src)
    }
}

impl Link for UdpLink {
    fn tx_limits(&self) -> TxLimits {
        TxLimits {
            max_packets: MAX_SEGMENTS,
            max_bytes: MAX_TRAIN,
            first_ident: 0,
            ident_step: u16::from(self.segmentation),
            src_port: Some(UDP_PORT),
        }
    }

    fn send(&mut self, _: Time, bursts: &[Burst<'_>]) -> usize {
        self.send_bursts(bursts)
    }

    fn receive(&mut self, _: Time, deliver: &mut dyn FnMut(&RxMeta, &[u8])) -> usize {
        (0..self.ports.len()).map(|port| self.receive_at(port, deliver)).sum()
    }

    fn join(&mut self, group: IpAddr) {
        self.join_group(group);
    }

    fn leave(&mut self, group: IpAddr) {
        // The kernel ends a membership with its socket.
        self.ports.retain(|port| port.addr != group);
    }

    fn descriptors(&self, to: &mut Vec<RawFd>) {
        let fds = self.ports.iter().flat_map(|port| [Some(&port.socket), port.tap.as_ref()]);
        to.extend(fds.flatten().map(|fd| fd.as_raw_fd()));
    }

    fn counters(&self) -> LinkCounters {
        // A socket that is not received from drops all that comes, which is as it should be.
        let receivers = self.ports.iter().map(|port| port.tap.as_ref().unwrap_or(&port.socket));
        let rx_overflows = receivers.map(|fd| sys::drops(fd.as_fd())).sum();
        LinkCounters { rx_overflows, ..self.counters }
    }

    fn info(&self) -> LinkInfo {
        let ports = self.own_ports().map(|port| port.info(self.segmentation)).collect();
        LinkInfo { layers: vec!["udp"], ports, last_error: self.failure.map(|failure| failure.to_string()) }
    }
}

impl Port {
    fn open(addr: IpAddr, icrc: IcrcCheck) -> Result<Port, NetError> {
        let (socket, interface) = Port::bind(addr)?;
        let mut port = Port {
            addr,
            scope: if is_link_local(addr) { interface.index } else { 0 },
            interface,
            socket,
            tap: None,
            icrc_reason: None,
        };
        if icrc == IcrcCheck::Partial {
            port.icrc_reason = Some("it was asked for".to_owned());
        } else if icrc == IcrcCheck::Auto && addr.is_loopback() {
            port.icrc_reason = Some("packets to a loopback address never leave this machine".to_owned());
        } else if let IpAddr::V4(v4) = addr {
            match tap::open(v4, &port.interface) {
                Ok(tap) => {
                    sys::attach_filter(port.socket.as_fd(), &sys::Filter::nothing())
                        .map_err(NetError::system("attach a filter to the UDP socket"))?;
                    port.tap = Some(tap);
                }
                Err(error) if icrc == IcrcCheck::Full => return Err(NetError::NoPermission(error)),
                Err(error) => {
                    port.icrc_reason = Some(format!("a packet socket needs CAP_NET_RAW ({error})"));
                }
            }
        }
        // With a tap, packets from outside must not be joined, because that loses their Identifications. Trains
        // from this machine come joined, and need not be cut up for a socket that drops them.
        if port.tap.is_none() || addr.is_loopback() {
            port.receive_joined().map_err(NetError::system("prepare the UDP socket"))?;
        }
        Ok(port)
    }

    fn bind(addr: IpAddr) -> Result<(OwnedFd, Interface), NetError> {
        let domain = if addr.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let socket =
            sys::socket(domain, libc::SOCK_DGRAM, 0).map_err(NetError::system("open a UDP socket"))?;
        configure(&socket, addr).map_err(NetError::system("prepare the UDP socket"))?;
        let interface = Interface::of(addr)?;
        group::send_through(socket.as_fd(), addr, interface.index)
            .map_err(NetError::system("prepare the UDP socket for multicast"))?;
        let scope = if is_link_local(addr) { interface.index } else { 0 };
        sys::bind(socket.as_fd(), &SockAddr::ip(addr, UDP_PORT, scope)).map_err(|error| {
            match error.raw_os_error() {
                Some(libc::EADDRINUSE) => {
                    NetError::PortInUse { addr, rxe: Path::new("/sys/module/rdma_rxe").exists() }
                }
                Some(libc::EADDRNOTAVAIL | libc::ENODEV) => NetError::NotOurs { addr },
                _ => NetError::System { doing: "bind UDP port 4791", source: error },
            }
        })?;
        Ok((socket, interface))
    }

    /// Lets the kernel join packets that arrived together into one message.
    fn receive_joined(&self) -> io::Result<()> {
        sys::set_option(self.socket.as_fd(), libc::SOL_UDP, libc::UDP_GRO, 1)
    }

    fn info(&self, segmentation: bool) -> PortInfo {
        let receiver = self.tap.as_ref().unwrap_or(&self.socket).as_fd();
        let buffer = sys::option(receiver, libc::SOL_SOCKET, libc::SO_RCVBUF).unwrap_or(0);
        let hidden = self.addr.is_ipv4() && self.tap.is_none();
        PortInfo {
            addr: self.addr,
            interface: self.interface.name.clone(),
            mtu: self.interface.mtu,
            icrc: if hidden { IcrcMode::Partial } else { IcrcMode::Full },
            icrc_reason: if hidden { self.icrc_reason.clone() } else { None },
            segmentation,
            receive_buffer: buffer.max(0) as usize,
        }
    }
}

/// Options of a UDP socket that do not depend on how much of the ICRC is checked.
fn configure(socket: &OwnedFd, addr: IpAddr) -> io::Result<()> {
    let set = |level, name, value| sys::set_option(socket.as_fd(), level, name, value);
    enlarge_buffers(socket)?;
    match addr {
        IpAddr::V4(_) => {
            set(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO)?;
            set(libc::IPPROTO_IP, libc::IP_TTL, i32::from(transmit::USUAL_HOP_LIMIT))?;
            set(libc::IPPROTO_IP, libc::IP_RECVTOS, 1)
        }
        IpAddr::V6(_) => {
            set(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
            set(libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DO)?;
            set(libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, i32::from(transmit::USUAL_HOP_LIMIT))?;
            set(libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1)?;
            // Real devices send UDP checksum 0 over IPv6 too, which the kernel drops unless told otherwise.
            set(libc::SOL_UDP, libc::UDP_NO_CHECK6_RX, 1)
        }
    }
}

/// Asks for large buffers, beyond the system's limits where privileged.
pub(crate) fn enlarge_buffers(socket: &OwnedFd) -> io::Result<()> {
    let set = |name| sys::set_option(socket.as_fd(), libc::SOL_SOCKET, name, SOCKET_BUFFER);
    set(libc::SO_RCVBUFFORCE).or_else(|_| set(libc::SO_RCVBUF))?;
    set(libc::SO_SNDBUFFORCE).or_else(|_| set(libc::SO_SNDBUF))
}
