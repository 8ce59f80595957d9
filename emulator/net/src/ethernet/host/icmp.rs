//! `ping`, and what routers complain about (RFC 792, RFC 4443).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ferroce_engine::Time;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{Icmpv4DstUnreachable, Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpProtocol};

use super::frames::Letter;
use super::{Host, ndp};
use crate::ethernet::MacAddr;
use crate::ethernet::trouble::Trouble;

/// Hop limit of answers.
const HOP_LIMIT: u8 = 64;

/// Where an IP packet has come from and gone to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<A> {
    pub(super) from: MacAddr,
    pub(super) src: A,
    pub(super) dst: A,
    pub(super) hop_limit: u8,
}

impl<A: Copy> Origin<A> {
    /// The answer goes to the station that handed us the question, which spares finding the way back.
    fn answer(&self) -> Letter<A> {
        Letter { to: self.from, src: self.dst, dst: self.src, hop_limit: HOP_LIMIT }
    }
}

impl Host {
    /// Reads an ICMP message to one of our addresses.
    pub(super) fn handle_icmpv4(&mut self, origin: Origin<Ipv4Addr>, bytes: &[u8]) {
        let capabilities = ChecksumCapabilities::default();
        let Ok(packet) = Icmpv4Packet::new_checked(bytes) else {
            self.counters.rx_errors += 1;
            return;
        };
        if !packet.verify_checksum() {
            self.counters.rx_checksum_errors += 1;
            return;
        }
        match Icmpv4Repr::parse(&packet, &capabilities) {
            Ok(Icmpv4Repr::EchoRequest { ident, seq_no, data }) => {
                let repr = Icmpv4Repr::EchoReply { ident, seq_no, data };
                self.emit_v4(origin.answer(), IpProtocol::Icmp, repr.buffer_len(), |bytes| {
                    repr.emit(&mut Icmpv4Packet::new_unchecked(bytes), &capabilities);
                });
            }
            Ok(Icmpv4Repr::DstUnreachable { reason, header, .. }) => {
                let too_big = reason == Icmpv4DstUnreachable::FragRequired;
                self.complaint(origin.src.into(), (header.src_addr.into(), header.dst_addr.into()), too_big);
            }
            // What we do not know is no mistake of the sender's.
            _ => {}
        }
    }

    /// Reads an ICMPv6 message to one of our addresses, or to a group.
    pub(super) fn handle_icmpv6(&mut self, now: Time, origin: Origin<Ipv6Addr>, bytes: &[u8]) {
        let capabilities = ChecksumCapabilities::default();
        let Origin { src, dst, .. } = origin;
        let Ok(packet) = Icmpv6Packet::new_checked(bytes) else {
            self.counters.rx_errors += 1;
            return;
        };
        if !packet.verify_checksum(&src, &dst) {
            self.counters.rx_checksum_errors += 1;
            return;
        }
        match Icmpv6Repr::parse(&src, &dst, &packet, &capabilities) {
            Ok(Icmpv6Repr::EchoRequest { ident, seq_no, data }) if !dst.is_multicast() => {
                let (repr, letter) = (Icmpv6Repr::EchoReply { ident, seq_no, data }, origin.answer());
                self.emit_v6(letter, IpProtocol::Icmpv6, repr.buffer_len(), |bytes| {
                    let mut packet = Icmpv6Packet::new_unchecked(bytes);
                    repr.emit(&letter.src, &letter.dst, &mut packet, &capabilities);
                });
            }
            Ok(Icmpv6Repr::Ndisc(message)) if origin.hop_limit == ndp::HOP_LIMIT => {
                self.handle_ndp(now, origin.from, src, message);
            }
            Ok(Icmpv6Repr::Mld(message)) if src.is_unicast_link_local() => self.handle_mld(now, &message),
            Ok(Icmpv6Repr::DstUnreachable { header, .. }) => {
                self.complaint(src.into(), (header.src_addr.into(), header.dst_addr.into()), false);
            }
            Ok(Icmpv6Repr::PktTooBig { header, .. }) => {
                self.complaint(src.into(), (header.src_addr.into(), header.dst_addr.into()), true);
            }
            _ => {}
        }
    }

    /// Somebody says that a packet of ours was not delivered. That is noted for people to read, and nothing
    /// follows from it: anybody can say so.
    fn complaint(&mut self, router: IpAddr, (src, to): (IpAddr, IpAddr), too_big: bool) {
        if self.is_own(src) {
            self.trouble = Some(Trouble::Undeliverable { to, router, too_big });
        }
    }
}
