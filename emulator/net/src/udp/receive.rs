//! Receiving: what the kernel joined is taken apart again, and the device gets packet after packet.

use std::io;
use std::os::fd::AsFd;

use ferroce_engine::{Ident, RxMeta, Time};
use ferroce_wire::UDP_PORT;

use super::sort::{Entrance, Sorter};
use super::{SELDOM, UdpLink, tap};
use crate::link::Failure;
use crate::pieces::Pieces;
use crate::share::Seat;
use crate::sys::{Control, Incoming};

/// Over IPv6 the ICRC covers nothing that a socket does not show.
const NO_IDENT: Ident = Ident::Known { ident: 0, flags_fragment: 0 };

impl UdpLink {
    /// Takes one batch at one address.
    #[inline]
    pub(super) fn receive_at(
        &mut self,
        port: usize,
        now: Time,
        deliver: &mut dyn FnMut(&RxMeta, &[u8]),
    ) -> usize {
        let entrance = if self.ports[port].tap.is_some() { Entrance::Tap } else { Entrance::Socket };
        self.receive_through(port, entrance, now, deliver)
    }

    /// Takes one batch at each entrance through which packets seldom come.
    #[cold]
    pub(super) fn receive_seldom(&mut self, now: Time, deliver: &mut dyn FnMut(&RxMeta, &[u8])) -> usize {
        let taken = self.counters.rx_taken_over;
        let mut received = 0;
        for port in 0..self.ports.len() {
            if self.ports[port].seat.is_none() {
                continue;
            }
            received += self.receive_through(port, Entrance::Door, now, deliver);
            if self.ports[port].tap.is_some() {
                received += self.receive_through(port, Entrance::BesideTap, now, deliver);
            }
        }
        // While others hand over packets, there will be more.
        let more = self.counters.rx_taken_over > taken;
        self.look.set(if more { now } else { now + SELDOM });
        received
    }

    fn receive_through(
        &mut self,
        index: usize,
        entrance: Entrance,
        now: Time,
        deliver: &mut dyn FnMut(&RxMeta, &[u8]),
    ) -> usize {
        let port = &mut self.ports[index];
        let fd = match entrance {
            Entrance::Socket | Entrance::BesideTap => port.socket.as_fd(),
            Entrance::Tap => port.receiver().as_fd(),
            Entrance::Door => port.seat.as_ref().map_or(port.socket.as_fd(), Seat::door),
        };
        let got = match self.inbox.receive(fd) {
            Ok(got) => got,
            Err(error) => {
                self.receive_failed(index, entrance, &error);
                return 0;
            }
        };
        let mut packets = 0;
        for number in 0..got {
            let message = self.inbox.message(number);
            let pieces = match entrance {
                Entrance::Tap => tap::parse(&message),
                Entrance::Socket | Entrance::BesideTap => parse(&message, port.addr),
                Entrance::Door => Seat::parse(&message),
            };
            let Some(pieces) = pieces.filter(|pieces| !is_forged(&pieces.meta)) else {
                self.counters.rx_errors += 1;
                continue;
            };
            let mut sorter = Sorter { entrance, now, counters: &mut self.counters, deliver };
            let delivered = sorter.sort(port, &pieces);
            if entrance == Entrance::Door {
                self.counters.rx_taken_over += delivered as u64;
            }
            if delivered > 0 {
                self.counters.rx_pieces += 1;
                self.counters.rx_bytes += pieces.bytes.len() as u64;
                packets += delivered;
            }
        }
        self.counters.rx_packets += packets as u64;
        packets
    }

    fn receive_failed(&mut self, port: usize, entrance: Entrance, error: &io::Error) {
        if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) {
            if let Some(seat) = self.ports[port].seat.as_mut().filter(|_| entrance == Entrance::Socket) {
                seat.drained();
            }
            return;
        }
        self.counters.rx_errors += 1;
        self.failure =
            Some(Failure { what: "receiving", peer: None, errno: error.raw_os_error().unwrap_or(0) });
        if entrance == Entrance::Tap && error.raw_os_error() == Some(libc::EINVAL) {
            // Linux before 6.2 cannot hand a UDP train to a packet socket, and trains are what a peer on this
            // machine sends.
            self.ports[port].give_up_tap("this kernel cannot show trains to packet sockets (6.2 can)");
        }
    }
}

/// Whether a packet claims to come from a NIC on our own address. Those send from port 4791, which no other user's
/// program can have there.
fn is_forged(meta: &RxMeta) -> bool {
    meta.src_port != UDP_PORT && meta.src == meta.dst
}

/// What a UDP socket at `addr` gave. `None` when it makes no sense.
fn parse<'a>(message: &Incoming<'a>, addr: std::net::IpAddr) -> Option<Pieces<'a>> {
    let (src, src_port) = message.from.ip_and_port()?;
    if message.truncated || message.bytes.is_empty() {
        return None;
    }
    let (segment, traffic_class) = describe(message.control);
    let ident = if addr.is_ipv4() { Ident::Hidden { likely: 0 } } else { NO_IDENT };
    let meta = RxMeta { src, dst: addr, src_port, traffic_class, ident };
    Some(Pieces { meta, bytes: message.bytes, segment: segment.unwrap_or(message.bytes.len()) })
}

/// Length of the pieces, if the kernel joined any, and the traffic class.
fn describe(control: &Control) -> (Option<usize>, u8) {
    let (mut segment, mut traffic_class) = (None, 0);
    for (level, kind, data) in control.iter() {
        let value = data.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes));
        match (level, kind) {
            (libc::SOL_UDP, libc::UDP_GRO) => {
                segment = value.and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0);
            }
            (libc::IPPROTO_IP, libc::IP_TOS) => traffic_class = data.first().copied().unwrap_or(0),
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => traffic_class = value.unwrap_or(0) as u8,
            _ => {}
        }
    }
    (segment, traffic_class)
}
