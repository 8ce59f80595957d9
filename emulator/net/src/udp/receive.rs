//! Receiving: what the kernel joined is taken apart again, and the device gets packet after packet.

use std::io;
use std::os::fd::AsFd;

use ferroce_engine::{Ident, RxMeta};

use super::{UdpLink, tap};
use crate::link::Failure;
use crate::pieces::Pieces;
use crate::sys::{Control, Incoming};

/// Over IPv6 the ICRC covers nothing that a socket does not show.
const NO_IDENT: Ident = Ident::Known { ident: 0, flags_fragment: 0 };

impl UdpLink {
    /// Takes one batch at one address.
    pub(super) fn receive_at(&mut self, port: usize, deliver: &mut dyn FnMut(&RxMeta, &[u8])) -> usize {
        let from = &self.ports[port];
        let receiver = from.tap.as_ref().unwrap_or(&from.socket);
        let got = match self.inbox.receive(receiver.as_fd()) {
            Ok(got) => got,
            Err(error) => {
                self.receive_failed(port, &error);
                return 0;
            }
        };
        let (addr, tapped) = (from.addr, from.tap.is_some());
        let mut packets = 0;
        for index in 0..got {
            let message = self.inbox.message(index);
            let pieces = match tapped {
                true => tap::parse(&message),
                false => parse(&message, addr),
            };
            let Some(pieces) = pieces else {
                self.counters.rx_errors += 1;
                continue;
            };
            self.counters.rx_pieces += 1;
            self.counters.rx_bytes += pieces.bytes.len() as u64;
            packets += pieces.deliver(deliver);
        }
        self.counters.rx_packets += packets as u64;
        packets
    }

    fn receive_failed(&mut self, port: usize, error: &io::Error) {
        if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) {
            return;
        }
        self.counters.rx_errors += 1;
        self.failure =
            Some(Failure { what: "receiving", peer: None, errno: error.raw_os_error().unwrap_or(0) });
        if self.ports[port].tap.is_some() && error.raw_os_error() == Some(libc::EINVAL) {
            // Linux before 6.2 cannot hand a UDP train to a packet socket, and trains are what a peer on this
            // machine sends.
            self.ports[port].give_up_tap("this kernel cannot show trains to packet sockets (6.2 can)");
        }
    }
}

/// What a UDP socket at `addr` gave. `None` when it makes no sense.
fn parse<'a>(message: &Incoming<'a>, addr: std::net::IpAddr) -> Option<Pieces<'a>> {
    let (src, src_port) = message.from.ip_and_port()?;
    if message.truncated || message.bytes.is_empty() {
        return None;
    }
    let (segment, traffic_class) = describe(message.control);
    let ident = if addr.is_ipv4() { Ident::Hidden } else { NO_IDENT };
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
