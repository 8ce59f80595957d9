//! Neighbour discovery (RFC 4861): who has an IPv6 address. Routers are told by the configuration, so that what
//! they advertise is ignored, redirections too.

use std::net::{IpAddr, Ipv6Addr};

use ferroce_engine::Time;
use smoltcp::phy::{ChecksumCapabilities, Medium};
use smoltcp::wire::{
    HardwareAddress, Icmpv6Packet, Icmpv6Repr, IpProtocol, NdiscNeighborFlags, NdiscRepr, RawHardwareAddress,
};

use super::frames::Letter;
use super::neighbours::Source;
use super::{Host, solicited_node};
use crate::ethernet::MacAddr;
use crate::ethernet::trouble::Trouble;

/// What neighbour discovery is sent with, and must arrive with: no router has handed it on.
pub(super) const HOP_LIMIT: u8 = 255;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

impl Host {
    /// Takes a message that has come from `src` with the [`HOP_LIMIT`].
    pub(super) fn handle_ndp(&mut self, now: Time, from: MacAddr, src: Ipv6Addr, message: NdiscRepr<'_>) {
        match message {
            NdiscRepr::NeighborSolicit { target_addr, lladdr } => {
                self.solicited(now, (from, src), target_addr, lladdr.and_then(ethernet));
            }
            NdiscRepr::NeighborAdvert { flags, target_addr, lladdr } => {
                // Without the option, the sender of the frame is meant.
                let mac = lladdr.and_then(ethernet).unwrap_or(from);
                self.advertised(now, flags, target_addr, mac);
            }
            _ => {}
        }
    }

    fn solicited(
        &mut self,
        now: Time,
        (from, src): (MacAddr, Ipv6Addr),
        target: Ipv6Addr,
        mac: Option<MacAddr>,
    ) {
        if !self.is_own(target.into()) {
            return;
        }
        if src.is_unspecified() {
            // A station asks whether anybody has the address that it would like.
            self.advertise(target, to_all(target), false);
            return;
        }
        if self.is_own(src.into()) {
            self.trouble = Some(Trouble::Conflict(src.into(), from));
            return;
        }
        if let Some(mac) = mac.filter(|mac| mac.is_station() && self.is_on_link(src.into())) {
            let waited = self.neighbours.learn(now, src.into(), mac, Source::Asked);
            self.release(src.into(), mac, waited);
        }
        let letter = Letter { to: mac.unwrap_or(from), src: target, dst: src, hop_limit: HOP_LIMIT };
        self.advertise(target, letter, true);
    }

    fn advertised(&mut self, now: Time, flags: NdiscNeighborFlags, target: Ipv6Addr, mac: MacAddr) {
        if !mac.is_station() || mac == self.mac || target.is_multicast() {
            return;
        }
        if self.is_own(target.into()) {
            self.trouble = Some(Trouble::Conflict(target.into(), mac));
            return;
        }
        let is_answer = flags.contains(NdiscNeighborFlags::SOLICITED);
        let source = if is_answer { Source::Answered } else { Source::Announced };
        let waited = self.neighbours.learn(now, target.into(), mac, source);
        self.release(target.into(), mac, waited);
    }

    /// Asks who has an address: everybody, or only the station that had it.
    pub(super) fn ask_ndp(&mut self, src: Ipv6Addr, addr: Ipv6Addr, mac: Option<MacAddr>) {
        let group = solicited_node(addr);
        let (to, dst) = match mac {
            Some(mac) => (mac, addr),
            None => (MacAddr::of_group(group.into()), group),
        };
        let letter = Letter { to, src, dst, hop_limit: HOP_LIMIT };
        let lladdr = (!src.is_unspecified()).then_some(self.own_lladdr());
        self.emit_ndp(letter, NdiscRepr::NeighborSolicit { target_addr: addr, lladdr });
    }

    /// Asks whether somebody else has our address, and tells everybody that we have it.
    pub(super) fn announce_ndp(&mut self, addr: Ipv6Addr) {
        self.ask_ndp(Ipv6Addr::UNSPECIFIED, addr, None);
        self.advertise(addr, to_all(addr), false);
    }

    fn advertise(&mut self, addr: Ipv6Addr, letter: Letter<Ipv6Addr>, is_answer: bool) {
        let answer = if is_answer { NdiscNeighborFlags::SOLICITED } else { NdiscNeighborFlags::empty() };
        let flags = NdiscNeighborFlags::OVERRIDE | answer;
        let lladdr = Some(self.own_lladdr());
        self.emit_ndp(letter, NdiscRepr::NeighborAdvert { flags, target_addr: addr, lladdr });
    }

    fn own_lladdr(&self) -> RawHardwareAddress {
        RawHardwareAddress::from_bytes(&self.mac.0)
    }

    fn emit_ndp(&mut self, letter: Letter<Ipv6Addr>, message: NdiscRepr<'_>) {
        let repr = Icmpv6Repr::Ndisc(message);
        self.emit_v6(letter, IpProtocol::Icmpv6, repr.buffer_len(), |bytes| {
            let mut packet = Icmpv6Packet::new_unchecked(bytes);
            repr.emit(&letter.src, &letter.dst, &mut packet, &ChecksumCapabilities::default());
        });
    }

    /// Asks for a neighbour of either kind.
    pub(super) fn solicit(&mut self, addr: IpAddr, mac: Option<MacAddr>) {
        match (self.source_for(addr), addr) {
            (Some(IpAddr::V4(src)), IpAddr::V4(addr)) => self.ask_arp(src, addr, mac),
            (Some(IpAddr::V6(src)), IpAddr::V6(addr)) => self.ask_ndp(src, addr, mac),
            _ => {}
        }
    }

    /// Tells everybody where we are.
    pub(super) fn announce(&mut self) {
        for index in 0..self.subnets.len() {
            match self.subnets[index].addr() {
                IpAddr::V4(addr) => self.announce_arp(addr),
                IpAddr::V6(addr) => self.announce_ndp(addr),
            }
        }
    }
}

/// From one of our addresses to all stations.
fn to_all(src: Ipv6Addr) -> Letter<Ipv6Addr> {
    Letter { to: MacAddr::of_group(ALL_NODES.into()), src, dst: ALL_NODES, hop_limit: HOP_LIMIT }
}

fn ethernet(raw: RawHardwareAddress) -> Option<MacAddr> {
    match raw.parse(Medium::Ethernet) {
        Ok(HardwareAddress::Ethernet(mac)) => Some(mac.into()),
        _ => None,
    }
}
