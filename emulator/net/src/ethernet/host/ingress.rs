//! Frames on their way in. Whatever they contain, they do no harm: what is not meant for us is ignored, and what
//! makes no sense is counted.

use std::net::{IpAddr, Ipv6Addr};

use ferroce_engine::{Ident, RxMeta, Time};
use ferroce_wire::ip::{Datagram, IpHeader};
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, Ipv6ExtHeader, Ipv6Packet, UdpPacket,
};

use super::Host;
use super::frames::VLAN_TYPE;
use super::icmp::Origin;
use crate::ethernet::MacAddr;
use crate::pieces::Pieces;

/// A frame from the network.
#[derive(Clone, Copy, Debug)]
pub(in crate::ethernet) struct Arrived<'a> {
    /// From the destination address on, frame check sequence excluded.
    pub(in crate::ethernet) bytes: &'a [u8],
    /// The control bytes of an 802.1Q tag that the kernel has taken off.
    pub(in crate::ethernet) tag: Option<u16>,
    /// It is a train whose packets, but for the last, have this many bytes of UDP payload.
    pub(in crate::ethernet) segment: Option<usize>,
    /// It comes from this machine, which has left the UDP checksum to hardware that was not there.
    pub(in crate::ethernet) unsummed: bool,
}

/// What is known of a frame when its IP packet is read.
struct Envelope {
    from: MacAddr,
    /// It was sent to our address, and to no other station.
    to_us: bool,
    segment: Option<usize>,
    unsummed: bool,
}

impl Host {
    /// Takes a frame, hands RoCE packets in it to `deliver`, and tells how many there were.
    pub(in crate::ethernet) fn accept(
        &mut self,
        now: Time,
        arrived: Arrived<'_>,
        deliver: &mut dyn FnMut(&RxMeta, &[u8]),
    ) -> usize {
        let Ok(frame) = EthernetFrame::new_checked(arrived.bytes) else {
            self.counters.rx_errors += 1;
            return 0;
        };
        let (from, to) = (MacAddr::from(frame.src_addr()), MacAddr::from(frame.dst_addr()));
        if from == self.mac || !(to == self.mac || to.is_group()) {
            return 0;
        }
        let Some((tag, ethertype, payload)) = untag(arrived.tag, frame.ethertype(), frame.payload()) else {
            self.counters.rx_errors += 1;
            return 0;
        };
        if tag.unwrap_or(0) & 0x0fff != self.vlan.unwrap_or(0) {
            return 0;
        }
        let Arrived { segment, unsummed, .. } = arrived;
        let envelope = Envelope { from, to_us: to == self.mac, segment, unsummed };
        match ethertype {
            EthernetProtocol::Arp => self.handle_arp(now, payload),
            EthernetProtocol::Ipv4 => return self.accept_v4(now, &envelope, payload, deliver),
            EthernetProtocol::Ipv6 => return self.accept_v6(now, &envelope, payload, deliver),
            _ => {}
        }
        0
    }

    fn accept_v4(
        &mut self,
        now: Time,
        envelope: &Envelope,
        bytes: &[u8],
        deliver: &mut dyn FnMut(&RxMeta, &[u8]),
    ) -> usize {
        let Ok(packet) = Ipv4Packet::new_checked(bytes).and_then(|packet| match packet.version() {
            4 => Ok(packet),
            _ => Err(smoltcp::wire::Error),
        }) else {
            self.counters.rx_errors += 1;
            return 0;
        };
        let (src, dst) = (packet.src_addr(), packet.dst_addr());
        let is_query = packet.next_header() == IpProtocol::Igmp && dst.is_multicast();
        if !is_query && !self.is_addressed(dst.into(), envelope) {
            return 0;
        }
        if !packet.verify_checksum() {
            self.counters.rx_checksum_errors += 1;
            return 0;
        }
        if packet.more_frags() || packet.frag_offset() != 0 {
            self.counters.rx_fragments += 1;
            return 0;
        }
        if src.is_multicast() || src.is_broadcast() {
            self.counters.rx_errors += 1;
            return 0;
        }
        match packet.next_header() {
            IpProtocol::Udp => return self.accept_udp(envelope, bytes, packet.payload(), deliver),
            IpProtocol::Igmp => self.handle_igmp(now, packet.payload()),
            IpProtocol::Icmp if envelope.to_us && !dst.is_multicast() => {
                let origin = Origin { from: envelope.from, src, dst, hop_limit: packet.hop_limit() };
                self.handle_icmpv4(origin, packet.payload());
            }
            _ => {}
        }
        0
    }

    fn accept_v6(
        &mut self,
        now: Time,
        envelope: &Envelope,
        bytes: &[u8],
        deliver: &mut dyn FnMut(&RxMeta, &[u8]),
    ) -> usize {
        const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        let Ok(packet) = Ipv6Packet::new_checked(bytes).and_then(|packet| match packet.version() {
            6 => Ok(packet),
            _ => Err(smoltcp::wire::Error),
        }) else {
            self.counters.rx_errors += 1;
            return 0;
        };
        let (src, dst) = (packet.src_addr(), packet.dst_addr());
        if dst != ALL_NODES && !self.is_addressed(dst.into(), envelope) {
            return 0;
        }
        if src.is_multicast() {
            self.counters.rx_errors += 1;
            return 0;
        }
        let origin = Origin { from: envelope.from, src, dst, hop_limit: packet.hop_limit() };
        match packet.next_header() {
            IpProtocol::Udp => return self.accept_udp(envelope, bytes, packet.payload(), deliver),
            IpProtocol::Icmpv6 => self.handle_icmpv6(now, origin, packet.payload()),
            IpProtocol::Ipv6Frag => self.counters.rx_fragments += 1,
            // Queries of multicast routers come with options, and nothing else that concerns us does.
            IpProtocol::HopByHop => match behind_options(packet.payload()) {
                Some((IpProtocol::Icmpv6, message)) => self.handle_icmpv6(now, origin, message),
                Some((IpProtocol::Ipv6Frag, _)) => self.counters.rx_fragments += 1,
                Some(_) => {}
                None => self.counters.rx_errors += 1,
            },
            _ => {}
        }
        0
    }

    /// Whether a packet to this address is meant for us.
    fn is_addressed(&self, dst: IpAddr, envelope: &Envelope) -> bool {
        // A packet to one station in a frame to many would be answered by all of them.
        if dst.is_multicast() { self.groups.contains(dst) } else { envelope.to_us && self.is_own(dst) }
    }

    fn accept_udp(
        &mut self,
        envelope: &Envelope,
        bytes: &[u8],
        udp: &[u8],
        deliver: &mut dyn FnMut(&RxMeta, &[u8]),
    ) -> usize {
        let datagram = match Datagram::parse(bytes) {
            Ok((datagram, _)) if !datagram.is_roce() => return 0,
            Ok((datagram, _)) if datagram.payload.is_empty() => None,
            Ok((datagram, _)) => Some(datagram),
            Err(_) => None,
        };
        let Some(Datagram { ip, udp: header, payload }) = datagram else {
            self.counters.rx_errors += 1;
            return 0;
        };
        // 0 stands for none, and is what RoCE devices send, over IPv6 too.
        if header.checksum != 0 && !envelope.unsummed {
            let packet = UdpPacket::new_unchecked(udp);
            if !packet.verify_checksum(&IpAddress::from(ip.src()), &IpAddress::from(ip.dst())) {
                self.counters.rx_checksum_errors += 1;
                return 0;
            }
        }
        let ident = match ip {
            IpHeader::V4(ip) => Ident::Known { ident: ip.ident, flags_fragment: ip.flags_fragment },
            IpHeader::V6(_) => Ident::Known { ident: 0, flags_fragment: 0 },
        };
        let meta = RxMeta {
            src: ip.src(),
            dst: ip.dst(),
            src_port: header.src_port,
            traffic_class: ip.traffic_class(),
            ident,
        };
        let segment = envelope.segment.unwrap_or(payload.len());
        let count = Pieces { meta, bytes: payload, segment }.deliver(deliver);
        self.counters.rx_packets += count as u64;
        self.counters.rx_pieces += 1;
        self.counters.rx_bytes += payload.len() as u64;
        count
    }
}

/// Takes a tag off, unless the kernel has. `None` if the frame ends in the middle of it.
fn untag(
    known: Option<u16>,
    ethertype: EthernetProtocol,
    payload: &[u8],
) -> Option<(Option<u16>, EthernetProtocol, &[u8])> {
    if known.is_some() || u16::from(ethertype) != VLAN_TYPE {
        return Some((known, ethertype, payload));
    }
    let (&[t0, t1, e0, e1], rest) = payload.split_first_chunk()?;
    Some((Some(u16::from_be_bytes([t0, t1])), u16::from_be_bytes([e0, e1]).into(), rest))
}

/// Goes past a hop-by-hop header.
fn behind_options(bytes: &[u8]) -> Option<(IpProtocol, &[u8])> {
    let header = Ipv6ExtHeader::new_checked(bytes).ok()?;
    let len = 8 * (usize::from(header.header_len()) + 1);
    Some((header.next_header(), bytes.get(len..)?))
}
