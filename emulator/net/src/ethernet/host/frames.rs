//! Frames that the station writes for itself.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ferroce_wire::frame::VlanTag;
use ferroce_wire::ip::{Ipv4Header, Ipv6Header, UdpHeader};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{EthernetProtocol, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr};

use super::{Host, OUTGOING};
use crate::ethernet::MacAddr;

/// EtherType of an 802.1Q tag.
pub(super) const VLAN_TYPE: u16 = 0x8100;

/// Traffic class of the station's own packets: "internetwork control" (CS6), as neighbours must be found even
/// where data is held up.
const CONTROL: u8 = 0xc0;

/// The Router Alert option of IPv4 (RFC 2113).
const ROUTER_ALERT: [u8; 4] = [0x94, 0x04, 0x00, 0x00];

/// Addresses of an IP packet, and the station that it is handed to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Letter<A> {
    pub(super) to: MacAddr,
    pub(super) src: A,
    pub(super) dst: A,
    pub(super) hop_limit: u8,
}

impl Host {
    /// The tag of frames whose packets have this traffic class.
    pub(super) fn tag(&self, traffic_class: u8) -> Option<[u8; 4]> {
        let pcp = self.priority.unwrap_or(traffic_class >> 5);
        self.vlan.map(|vid| VlanTag { tpid: VLAN_TYPE, pcp, dei: false, vid }.bytes())
    }

    /// Sends a frame with `len` bytes that `fill` writes; they are zero before.
    pub(super) fn emit(
        &mut self,
        to: MacAddr,
        ethertype: EthernetProtocol,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) {
        let mut frame = Vec::with_capacity(18 + len);
        frame.extend(to.0);
        frame.extend(self.mac.0);
        frame.extend(self.tag(CONTROL).into_iter().flatten());
        frame.extend(u16::from(ethertype).to_be_bytes());
        let start = frame.len();
        frame.resize(start + len, 0);
        fill(&mut frame[start..]);
        self.push(frame);
    }

    /// Sends an IPv4 packet with `len` bytes that `fill` writes.
    pub(super) fn emit_v4(
        &mut self,
        letter: Letter<Ipv4Addr>,
        protocol: IpProtocol,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) {
        let repr = Ipv4Repr {
            src_addr: letter.src,
            dst_addr: letter.dst,
            next_header: protocol,
            payload_len: len,
            hop_limit: letter.hop_limit,
        };
        self.emit(letter.to, EthernetProtocol::Ipv4, repr.buffer_len() + len, |bytes| {
            let mut packet = Ipv4Packet::new_unchecked(bytes);
            repr.emit(&mut packet, &ChecksumCapabilities::default());
            fill(packet.payload_mut());
        });
    }

    /// As [`emit_v4`](Self::emit_v4), with an option that asks routers to look at the packet.
    pub(super) fn emit_v4_alerting(
        &mut self,
        letter: Letter<Ipv4Addr>,
        protocol: IpProtocol,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) {
        const HEADER: usize = 20 + ROUTER_ALERT.len();
        self.emit(letter.to, EthernetProtocol::Ipv4, HEADER + len, |bytes| {
            bytes[20..HEADER].copy_from_slice(&ROUTER_ALERT);
            let mut packet = Ipv4Packet::new_unchecked(bytes);
            packet.set_version(4);
            packet.set_header_len(HEADER as u8);
            packet.set_total_len((HEADER + len) as u16);
            packet.set_hop_limit(letter.hop_limit);
            packet.set_next_header(protocol);
            packet.set_src_addr(letter.src);
            packet.set_dst_addr(letter.dst);
            packet.fill_checksum();
            fill(packet.payload_mut());
        });
    }

    /// Sends an IPv6 packet with `len` bytes that `fill` writes.
    pub(super) fn emit_v6(
        &mut self,
        letter: Letter<Ipv6Addr>,
        protocol: IpProtocol,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) {
        let repr = Ipv6Repr {
            src_addr: letter.src,
            dst_addr: letter.dst,
            next_header: protocol,
            payload_len: len,
            hop_limit: letter.hop_limit,
        };
        self.emit(letter.to, EthernetProtocol::Ipv6, repr.buffer_len() + len, |bytes| {
            let mut packet = Ipv6Packet::new_unchecked(bytes);
            repr.emit(&mut packet);
            fill(packet.payload_mut());
        });
    }

    /// Sends frames with RoCE packets that waited for a neighbour.
    pub(super) fn release(&mut self, neighbour: IpAddr, mac: MacAddr, frames: VecDeque<Vec<u8>>) {
        let ip = if neighbour.is_ipv4() { Ipv4Header::LEN } else { Ipv6Header::LEN };
        let tag = if self.vlan.is_some() { 4 } else { 0 };
        let headers = 14 + tag + ip + UdpHeader::LEN;
        for mut frame in frames {
            frame[..6].copy_from_slice(&mac.0);
            self.counters.tx_packets += 1;
            self.counters.tx_pieces += 1;
            self.counters.tx_bytes += frame.len().saturating_sub(headers) as u64;
            // There is a bound on what waits for a neighbour, and nothing overtakes these.
            self.outgoing.push_back(frame);
        }
    }

    fn push(&mut self, frame: Vec<u8>) {
        if self.outgoing.len() < OUTGOING {
            self.outgoing.push_back(frame);
        } else {
            self.counters.tx_errors += 1;
        }
    }
}
