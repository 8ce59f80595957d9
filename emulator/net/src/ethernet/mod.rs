//! The NIC as a station of its own on an Ethernet: TAP interfaces and packet sockets.
//!
//! What a [`UdpLink`](crate::UdpLink) leaves to the kernel is done here: Ethernet frames with their VLAN tags and
//! priorities, neighbours, routers, checksums, `ping`, membership in multicast groups. In return the NIC sees and
//! sets every header field: it checks all of every ICRC, and chooses the UDP source port for each connection.
//!
//! # The kernel beside it
//!
//! With a TAP interface the kernel is another station, at the other end of a cable: it reaches the NIC through
//! the interface, or hands frames on through a bridge. With a packet socket both share one cable. The kernel does
//! not answer for the NIC, because the NIC's IP addresses must not be addresses of this machine, and because
//! frames to the NIC's Ethernet address are not for the kernel. Frames that either sends go out and are not seen
//! by the other, so that this machine itself cannot talk to the NIC on the same interface.

mod config;
mod host;
mod mac;
mod packet;
mod port;
mod tap;
mod trouble;

use std::io;
use std::net::IpAddr;
use std::os::fd::RawFd;

use ferroce_engine::{RxMeta, Time, TxLimits};

pub use self::config::{Ethernet, Subnet};
pub use self::mac::MacAddr;

use self::config::{Cable, MacChoice};
use self::host::{Host, Identity, Numbered, Way};
use self::packet::Packet;
use self::port::{Frames, Port, PortState};
use self::tap::Tap;
use self::trouble::Trouble;
use crate::error::NetError;
use crate::interface::Interface;
use crate::link::{Burst, Failure, IcrcMode, Link, LinkCounters, LinkInfo, PortInfo};
use crate::sys;

/// Most packets in one train.
const MAX_PACKETS: usize = 64;

/// Most bytes in one train.
const MAX_BYTES: usize = 1 << 16;

/// A station on an Ethernet, as [`Ethernet`] describes it.
pub struct EthernetLink {
    port: Port,
    host: Host,
    addresses: Vec<IpAddr>,
    mtu: usize,
    frames: Frames,
    /// Packets of the first burst to be offered again that were sent already.
    sent_of_first: usize,
    /// There is an interface.
    alive: bool,
}

impl EthernetLink {
    /// Opens a TAP interface or a packet socket.
    ///
    /// # Errors
    /// As [`NetError`] tells.
    pub fn open(ethernet: &Ethernet) -> Result<EthernetLink, NetError> {
        ethernet.check()?;
        let addresses: Vec<IpAddr> = ethernet.addresses().collect();
        for addr in &addresses {
            if let Some(interface) = Interface::having(*addr)? {
                return Err(NetError::OfThisMachine { addr: *addr, interface });
            }
        }
        let derived = MacAddr::derived_from(addresses[0]);
        let (port, mac, mtu) = match &ethernet.cable {
            Cable::Tap(name) => {
                let tap = Tap::open(name, ethernet.mtu)?;
                let mac = match ethernet.mac {
                    MacChoice::Fixed(mac) => mac,
                    _ => derived,
                };
                let mtu = sys::interface_mtu(name).map_err(NetError::system("read the interface's MTU"))?;
                (Port::Tap(Box::new(tap)), mac, mtu)
            }
            Cable::Packet(name) => {
                let (index, own, mtu) = station_at(name)?;
                let mac = match ethernet.mac {
                    MacChoice::Fixed(mac) => mac,
                    MacChoice::Host => own,
                    MacChoice::Derived => derived,
                };
                (Port::Packet(Box::new(Packet::open(name, index, mac)?)), mac, mtu)
            }
        };
        let host = Host::new(Identity {
            mac,
            vlan: ethernet.vlan,
            priority: ethernet.priority,
            subnets: ethernet.addresses.clone(),
            gateways: ethernet.gateways.clone(),
        });
        let frames = port.frames();
        let mut this = EthernetLink { port, host, addresses, mtu, frames, sent_of_first: 0, alive: true };
        this.listen_to_groups();
        Ok(this)
    }

    /// Lets the interface take frames to the groups that the station is a member of now.
    fn listen_to_groups(&mut self) {
        if let Err(error) = self.port.set_groups(self.host.group_macs()) {
            self.host.counters.rx_errors += 1;
            let (what, errno) = ("joining a multicast group", error.raw_os_error().unwrap_or(0));
            self.host.trouble = Some(Trouble::System(Failure { what, peer: None, errno }));
        }
    }

    /// Sends what is left of a burst. False when the port is full.
    fn send_to(&mut self, mac: MacAddr, burst: &Burst<'_>) -> bool {
        while self.sent_of_first < burst.len() {
            let left = Numbered { burst: *burst, done: self.sent_of_first };
            self.frames.clear();
            let mut bytes = [0; Frames::MOST];
            for ((ident, packet), bytes) in left.iter().zip(&mut bytes) {
                *bytes = packet.len();
                let host = &self.host;
                if !self.frames.push(|out| host.frame(mac, burst.flow, ident, packet, out)) {
                    break;
                }
            }
            if self.frames.len() == 0 {
                self.host.counters.tx_errors += 1;
                self.sent_of_first += 1;
                continue;
            }
            match self.port.send(&self.frames) {
                Ok(sent) => {
                    self.sent_of_first += sent;
                    let counters = &mut self.host.counters;
                    counters.tx_packets += sent as u64;
                    counters.tx_pieces += sent as u64;
                    counters.tx_bytes += bytes[..sent].iter().sum::<usize>() as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => {
                    self.sent_of_first += 1;
                    self.send_failed(&error, Some(burst.flow.dst));
                }
            }
        }
        true
    }

    /// Sends the station's own frames. False when the port is full.
    fn flush(&mut self) -> bool {
        loop {
            self.frames.clear();
            for frame in self.host.frames().take(Frames::MOST) {
                self.frames.push(|out| {
                    out.extend_from_slice(frame);
                    true
                });
            }
            if self.frames.len() == 0 {
                return true;
            }
            match self.port.send(&self.frames) {
                Ok(sent) => self.host.frames_done(sent),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => {
                    self.host.frames_done(1);
                    self.send_failed(&error, None);
                }
            }
        }
    }

    fn send_failed(&mut self, error: &io::Error, peer: Option<IpAddr>) {
        self.host.counters.tx_errors += 1;
        let (what, errno) = ("sending frames", error.raw_os_error().unwrap_or(0));
        if self.alive {
            self.host.trouble = Some(Trouble::System(Failure { what, peer, errno }));
        }
    }
}

/// Number, Ethernet address and MTU of an interface for packet sockets.
fn station_at(name: &str) -> Result<(u32, MacAddr, usize), NetError> {
    let index = Interface::index_of(name)?;
    let vanished = NetError::system("read the network interface's settings (has it vanished?)");
    let (hardware, mac) = sys::interface_hardware(name).map_err(&vanished)?;
    if hardware != libc::ARPHRD_ETHER {
        return Err(NetError::NotEthernet { name: name.to_owned() });
    }
    if !sys::interface_is(name, libc::IFF_UP).map_err(&vanished)? {
        return Err(NetError::Down { name: name.to_owned() });
    }
    Ok((index, MacAddr(mac), sys::interface_mtu(name).map_err(&vanished)?))
}

impl Link for EthernetLink {
    fn tx_limits(&self) -> TxLimits {
        TxLimits { max_packets: MAX_PACKETS, max_bytes: MAX_BYTES, ..TxLimits::SINGLE }
    }

    fn send(&mut self, now: Time, bursts: &[Burst<'_>]) -> usize {
        // What has waited for a neighbour goes first.
        if !self.flush() {
            self.host.counters.tx_full += 1;
            return 0;
        }
        for (done, burst) in bursts.iter().enumerate() {
            let left = Numbered { burst: *burst, done: self.sent_of_first };
            match self.host.way(now, burst.flow) {
                Way::To(mac) => {
                    if !self.send_to(mac, burst) {
                        self.host.counters.tx_full += 1;
                        return done;
                    }
                    if self.host.is_member(burst.flow.dst) {
                        self.host.loop_back(Numbered { burst: *burst, done: 0 });
                    }
                }
                Way::Sought(hop) => self.host.hold(hop, left),
                Way::Here => self.host.loop_back(left),
                Way::Nowhere => self.host.counters.tx_errors += left.len() as u64,
            }
            self.sent_of_first = 0;
        }
        self.flush();
        bursts.len()
    }

    fn receive(&mut self, now: Time, deliver: &mut dyn FnMut(&RxMeta, &[u8])) -> usize {
        self.host.handle_timeout(now);
        let mut packets = self.host.deliver_looped(deliver);
        let mut frames = 0;
        if self.alive {
            let host = &mut self.host;
            let (taken, state) =
                self.port.receive(&mut |arrived| packets += host.accept(now, arrived, deliver));
            frames = taken;
            match state {
                PortState::Good => {}
                PortState::Failed(errno) => {
                    self.host.counters.rx_errors += 1;
                    let what = "receiving frames";
                    self.host.trouble = Some(Trouble::System(Failure { what, peer: None, errno }));
                }
                PortState::Gone => {
                    self.alive = false;
                    self.host.trouble = Some(Trouble::Vanished);
                }
            }
        }
        self.flush();
        // Frames that were no packets may be followed by more.
        packets.max(frames)
    }

    fn next_timeout(&self) -> Option<Time> {
        self.host.next_timeout()
    }

    fn join(&mut self, group: IpAddr) {
        if self.host.join(group) {
            self.listen_to_groups();
        } else {
            self.host.counters.rx_errors += 1;
        }
    }

    fn leave(&mut self, group: IpAddr) {
        self.host.leave(group);
        self.listen_to_groups();
        self.flush();
    }

    fn descriptors(&self, to: &mut Vec<RawFd>) {
        to.extend(self.alive.then(|| self.port.descriptor()));
    }

    fn counters(&self) -> LinkCounters {
        let counters = self.host.counters;
        LinkCounters { rx_overflows: counters.rx_overflows + self.port.drops(), ..counters }
    }

    fn info(&self) -> LinkInfo {
        let port = |addr: &IpAddr| PortInfo {
            addr: *addr,
            interface: self.port.name().to_owned(),
            mtu: self.mtu,
            icrc: IcrcMode::Full,
            icrc_reason: None,
            segmentation: false,
            receive_buffer: self.port.receive_buffer(self.mtu),
        };
        LinkInfo {
            layers: vec![self.port.layer()],
            lane: 0,
            ports: self.addresses.iter().map(port).collect(),
            last_error: self.host.trouble.map(|trouble| trouble.to_string()),
        }
    }
}
