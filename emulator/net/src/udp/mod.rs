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
mod holder;
mod receive;
mod sort;
mod tap;
mod transmit;

use std::cell::Cell;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ferroce_engine::{RxMeta, Time, TxLimits};
use ferroce_wire::UDP_PORT;
use ferroce_wire::cm::ServiceId;

use crate::error::NetError;
use crate::interface::{Interface, is_link_local};
use crate::link::{Burst, Failure, IcrcCheck, IcrcMode, Link, LinkCounters, LinkInfo, PortInfo};
use crate::local::Local;
use crate::share::{self, Binding, Seat};
use crate::sys::fork::Cut;
use crate::sys::{self, Inbox, SockAddr};

/// Most packets in one train: what Linux has allowed since segmentation exists.
const MAX_SEGMENTS: usize = 64;

/// Most bytes in one train: 65,535 less the headers of IPv6 and UDP, which is less than IPv4 would allow.
const MAX_TRAIN: usize = 65_535 - 40 - 8;

/// What to ask the kernel for, in bytes; it grants what its limits (`net.core.rmem_max`) allow.
const SOCKET_BUFFER: i32 = 8 << 20;

/// How often to look at the entrances through which packets seldom come, while there is traffic.
const SELDOM: Duration = Duration::from_micros(100);

/// How long packets are expected through shared memory after the last one.
const LOCAL_HABIT: Duration = Duration::from_millis(1);

/// How long a port may still be in use by a process that is ending, or is about to become another program.
const GRACE: Duration = Duration::from_millis(200);

/// UDP sockets on port 4791, alone or in company of other NICs of this user.
pub struct UdpLink {
    /// One for each address of the device, then those that receive for multicast groups.
    ports: Vec<Port>,
    inbox: Inbox,
    /// The way to NICs on this machine, if it is to be used.
    local: Option<Box<Local>>,
    /// When packets last came that way, and when to look at the sockets again meanwhile.
    local_at: Option<Time>,
    sockets_at: Cell<Time>,
    /// When to look at the entrances through which packets seldom come.
    look: Cell<Time>,
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
    socket: Cut<OwnedFd>,
    /// Our place among those who share the address; none for a multicast group, whose packets all of them get.
    seat: Option<Seat>,
    /// Where packets are received when all of the ICRC is to be checked; the socket then takes only those for
    /// others.
    tap: Option<Cut<OwnedFd>>,
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
        let places = addrs.iter().map(|addr| Ok((*addr, scope_of(*addr)?)));
        let places: Vec<(IpAddr, u32)> = places.collect::<Result<_, NetError>>()?;
        let seats = share::join(&places, |binding: Binding| {
            let (addr, scope) = places[binding.index];
            bind(addr, scope, binding.alone)
        })?;
        let ports = places.iter().zip(seats).map(|((addr, scope), (seat, socket))| {
            let interface = Interface::of(*addr)?;
            let (addr, scope, seat) = (*addr, *scope, Some(seat));
            Ok(Port { addr, interface, scope, socket, seat, tap: None, icrc_reason: None })
        });
        let mut link = UdpLink {
            ports: ports.collect::<Result<_, NetError>>()?,
            inbox: Inbox::new(),
            local: None,
            local_at: None,
            sockets_at: Cell::new(Time::ZERO),
            look: Cell::new(Time::ZERO),
            segmentation: true,
            sent_of_first: 0,
            counters: LinkCounters::default(),
            failure: None,
        };
        for port in &mut link.ports {
            port.choose_receiver(icrc)?;
        }
        Ok(link)
    }

    /// From now on, packets between this NIC and others of this user on this machine go through shared memory, if the
    /// other does the same.
    ///
    /// # Errors
    /// When the directory in which they meet cannot be used.
    pub fn share_memory(&mut self) -> Result<(), NetError> {
        let seats = self.ports.iter().filter_map(|port| port.seat.as_ref());
        self.local = Some(Box::new(Local::open(seats.map(Seat::mailbox_path))?));
        Ok(())
    }

    /// Looks at the sockets, unless packets come through shared memory: then seldom, because to find nothing there
    /// takes longer than to receive a packet.
    #[inline]
    fn receive_at_sockets(&mut self, now: Time, deliver: &mut dyn FnMut(&RxMeta, &[u8])) -> usize {
        if now < self.sockets_at.get() && self.local_at.is_some_and(|at| now.since(at) < LOCAL_HABIT) {
            return 0;
        }
        let received = (0..self.ports.len()).map(|port| self.receive_at(port, now, deliver)).sum();
        self.sockets_at.set(if received > 0 { now } else { now + SELDOM });
        if now < self.look.get() { received } else { received + self.receive_seldom(now, deliver) }
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
            seal: self.local.as_ref().is_none_or(|local| !local.is_in_use()),
        }
    }

    fn goes_through_memory(&self, burst: &Burst<'_>) -> bool {
        self.local.as_ref().is_some_and(|local| local.takes(burst))
    }

    fn retry_at(&self, now: Time) -> Option<Time> {
        self.local.as_ref()?.retry_at(now)
    }

    fn send(&mut self, now: Time, bursts: &[Burst<'_>]) -> usize {
        let done = self.send_bursts(now, bursts);
        if let Some(local) = &mut self.local {
            local.finish_sending();
        }
        done
    }

    fn receive(&mut self, now: Time, deliver: &mut dyn FnMut(&RxMeta, &[u8])) -> usize {
        let Some(local) = &mut self.local else { return self.receive_at_sockets(now, deliver) };
        let received = local.receive(now, &mut self.counters, deliver);
        if received > 0 {
            self.local_at = Some(now);
        }
        received + self.receive_at_sockets(now, deliver)
    }

    fn join(&mut self, group: IpAddr) {
        self.join_group(group);
    }

    fn leave(&mut self, group: IpAddr) {
        // The kernel ends a membership with its socket.
        self.ports.retain(|port| port.addr != group);
    }

    fn claim(&mut self, service: ServiceId, addr: Option<IpAddr>) -> bool {
        let mut claimed: Vec<&mut Seat> = Vec::new();
        for port in self.ports.iter_mut().filter(|port| addr.is_none_or(|addr| addr == port.addr)) {
            let Some(seat) = port.seat.as_mut().filter(|seat| !seat.answers(service)) else { continue };
            if !seat.claim(service) {
                claimed.into_iter().for_each(|seat| seat.release(service));
                return false;
            }
            claimed.push(seat);
        }
        true
    }

    fn release(&mut self, service: ServiceId) {
        self.ports.iter_mut().filter_map(|port| port.seat.as_mut()).for_each(|seat| seat.release(service));
    }

    fn descriptors(&self, to: &mut Vec<RawFd>) {
        let fds = self.ports.iter().flat_map(|port| {
            [
                Some(port.socket.as_fd()),
                port.tap.as_ref().map(AsFd::as_fd),
                port.seat.as_ref().map(Seat::door),
            ]
        });
        to.extend(fds.flatten().map(|fd| fd.as_raw_fd()));
        if let Some(local) = &self.local {
            local.descriptors(to);
        }
        // Who asks will sleep, and may be woken by any of them.
        self.look.set(Time::ZERO);
        self.sockets_at.set(Time::ZERO);
    }

    fn counters(&self) -> LinkCounters {
        // A socket that is not received from drops all that comes, which is as it should be.
        let rx_overflows = self.ports.iter().map(|port| sys::drops(port.receiver().as_fd())).sum();
        LinkCounters { rx_overflows, ..self.counters }
    }

    fn info(&self) -> LinkInfo {
        let ports = self.own_ports().map(|port| port.info(self.segmentation)).collect();
        let lane = self.ports.iter().find_map(|port| port.seat.as_ref()).map_or(0, Seat::lane);
        let last_error = self.failure.map(|failure| failure.to_string());
        let layers = if self.local.is_some() { vec!["shared memory", "udp"] } else { vec!["udp"] };
        LinkInfo { layers, lane, ports, last_error }
    }
}

impl Drop for UdpLink {
    fn drop(&mut self) {
        // Whoever has our lane next has mailboxes under the same names.
        self.local = None;
        for Port { seat, socket, .. } in self.ports.drain(..) {
            if let Some(seat) = seat {
                seat.leave(socket);
            }
        }
    }
}

impl Port {
    /// Decides how packets are received, which decides how much of their ICRC can be checked.
    fn choose_receiver(&mut self, icrc: IcrcCheck) -> Result<(), NetError> {
        if icrc == IcrcCheck::Partial {
            self.icrc_reason = Some("it was asked for".to_owned());
        } else if icrc == IcrcCheck::Auto && self.addr.is_loopback() {
            self.icrc_reason = Some("packets to a loopback address never leave this machine".to_owned());
        } else if let IpAddr::V4(v4) = self.addr {
            match tap::open(v4, &self.interface) {
                Ok(tap) => {
                    let lane = self.seat.as_ref().map_or(0, Seat::lane);
                    sys::attach_filter(self.socket.as_fd(), &sys::Filter::strangers_to(lane))
                        .map_err(NetError::system("attach a filter to the UDP socket"))?;
                    self.tap = Some(Cut::new(tap));
                }
                Err(error) if icrc == IcrcCheck::Full => return Err(NetError::NoPermission(error)),
                Err(error) => {
                    self.icrc_reason = Some(format!("a packet socket needs CAP_NET_RAW ({error})"));
                }
            }
        }
        // With a tap, packets from outside must not be joined, because that loses their Identifications. Trains
        // from this machine come joined, and need not be cut up for a socket that drops them.
        if self.tap.is_none() || self.addr.is_loopback() {
            self.receive_joined().map_err(NetError::system("prepare the UDP socket"))?;
        }
        Ok(())
    }

    /// Where packets come in.
    fn receiver(&self) -> &Cut<OwnedFd> {
        self.tap.as_ref().unwrap_or(&self.socket)
    }

    /// Lets the kernel join packets that arrived together into one message.
    fn receive_joined(&self) -> io::Result<()> {
        sys::set_option(self.socket.as_fd(), libc::SOL_UDP, libc::UDP_GRO, 1)
    }

    fn info(&self, segmentation: bool) -> PortInfo {
        let buffer = sys::option(self.receiver().as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF).unwrap_or(0);
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

/// The interface of a link-local address, else 0.
fn scope_of(addr: IpAddr) -> Result<u32, NetError> {
    if is_link_local(addr) { Ok(Interface::of(addr)?.index) } else { Ok(0) }
}

/// A UDP socket on port 4791 of `addr`, in the group of this user's sockets there. If we are to be `alone`, nobody
/// may have the port.
fn bind(addr: IpAddr, scope: u32, alone: bool) -> Result<Cut<OwnedFd>, NetError> {
    let domain = if addr.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let socket = sys::socket(domain, libc::SOCK_DGRAM, 0).map_err(NetError::system("open a UDP socket"))?;
    let socket = Cut::new(socket);
    let prepare = NetError::system("prepare the UDP socket");
    let share = || sys::set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEPORT, 1).map_err(&prepare);
    configure(socket.get(), addr).map_err(&prepare)?;
    group::send_through(socket.as_fd(), addr, Interface::of(addr)?.index)
        .map_err(NetError::system("prepare the UDP socket for multicast"))?;
    if !alone {
        share()?;
    }
    let start = Instant::now();
    while let Err(error) = sys::bind(socket.as_fd(), &SockAddr::ip(addr, UDP_PORT, scope)) {
        match error.raw_os_error() {
            Some(libc::EADDRINUSE) if start.elapsed() < GRACE => thread::sleep(Duration::from_millis(1)),
            Some(libc::EADDRINUSE) => {
                let rxe = Path::new("/sys/module/rdma_rxe").exists();
                return Err(NetError::PortInUse { addr, rxe, holder: holder::of_port(addr) });
            }
            Some(libc::EADDRNOTAVAIL | libc::ENODEV) => return Err(NetError::NotOurs { addr }),
            _ => return Err(NetError::System { doing: "bind UDP port 4791", source: error }),
        }
    }
    if alone {
        share()?;
    }
    Ok(socket)
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
