//! ARP (RFC 826, RFC 5227): who has an IPv4 address.

use std::net::{IpAddr, Ipv4Addr};

use ferroce_engine::Time;
use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetProtocol};

use super::Host;
use super::neighbours::Source;
use crate::ethernet::MacAddr;
use crate::ethernet::trouble::Trouble;

impl Host {
    /// Reads an ARP packet from the station `from`.
    pub(super) fn handle_arp(&mut self, now: Time, bytes: &[u8]) {
        let parsed = ArpPacket::new_checked(bytes).and_then(|packet| ArpRepr::parse(&packet));
        let Ok(ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr,
            source_protocol_addr: sender,
            target_protocol_addr: target,
            ..
        }) = parsed
        else {
            self.counters.rx_errors += 1;
            return;
        };
        let mac = MacAddr::from(source_hardware_addr);
        if !mac.is_station() || mac == self.mac {
            return;
        }
        if self.is_own(sender.into()) {
            self.trouble = Some(Trouble::Conflict(sender.into(), mac));
            return;
        }
        let is_for_us = self.is_own(target.into());
        // An address of 0 is that of a station which asks whether anybody has the one it would like.
        if self.is_neighbour(sender) {
            let source = match operation {
                ArpOperation::Request if is_for_us => Source::Asked,
                ArpOperation::Reply if is_for_us => Source::Answered,
                _ => Source::Announced,
            };
            let waited = self.neighbours.learn(now, sender.into(), mac, source);
            self.release(sender.into(), mac, waited);
        }
        if operation == ArpOperation::Request && is_for_us {
            self.emit_arp(mac, ArpOperation::Reply, target, (mac, sender));
        }
    }

    /// Asks who has an address: everybody, or only the station that had it.
    pub(super) fn ask_arp(&mut self, src: Ipv4Addr, addr: Ipv4Addr, mac: Option<MacAddr>) {
        let to = mac.unwrap_or(MacAddr::BROADCAST);
        self.emit_arp(to, ArpOperation::Request, src, (MacAddr([0; 6]), addr));
    }

    /// Asks whether somebody else has our address, and tells everybody that we have it.
    pub(super) fn announce_arp(&mut self, addr: Ipv4Addr) {
        for src in [Ipv4Addr::UNSPECIFIED, addr] {
            self.emit_arp(MacAddr::BROADCAST, ArpOperation::Request, src, (MacAddr([0; 6]), addr));
        }
    }

    fn is_neighbour(&self, addr: Ipv4Addr) -> bool {
        !addr.is_unspecified()
            && !addr.is_multicast()
            && !addr.is_broadcast()
            && self.is_on_link(IpAddr::V4(addr))
    }

    fn emit_arp(
        &mut self,
        to: MacAddr,
        operation: ArpOperation,
        src: Ipv4Addr,
        (target, addr): (MacAddr, Ipv4Addr),
    ) {
        let repr = ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr: self.mac.into(),
            source_protocol_addr: src,
            target_hardware_addr: EthernetAddress::from(target),
            target_protocol_addr: addr,
        };
        self.emit(to, EthernetProtocol::Arp, repr.buffer_len(), |bytes| {
            repr.emit(&mut ArpPacket::new_unchecked(bytes));
        });
    }
}
