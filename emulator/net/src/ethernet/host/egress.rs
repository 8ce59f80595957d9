//! RoCE packets on their way out.

use std::net::IpAddr;

use ferroce_engine::{DONT_FRAGMENT, Flow, Ident, RxMeta, Time};
use ferroce_wire::frame::Frame;
use ferroce_wire::ip::{Datagram, IpHeader, Ipv4Header, Ipv6Header};

use super::neighbours::Found;
use super::{Host, LOOPED};
use crate::ethernet::MacAddr;
use crate::ethernet::trouble::Trouble;
use crate::link::Burst;

/// Where packets of a flow go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ethernet) enum Way {
    /// To this station.
    To(MacAddr),
    /// To a neighbour that is being sought; packets can [wait](Host::hold).
    Sought(IpAddr),
    /// Back to the NIC itself.
    Here,
    /// Nowhere; why has been noted.
    Nowhere,
}

/// The packets of a burst that are left to be sent.
#[derive(Clone, Copy, Debug)]
pub(in crate::ethernet) struct Numbered<'a> {
    pub(in crate::ethernet) burst: Burst<'a>,
    /// So many at its start are done with.
    pub(in crate::ethernet) done: usize,
}

impl<'a> Numbered<'a> {
    /// The packets with their Identifications.
    pub(in crate::ethernet) fn iter(self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let step = self.burst.ident_step;
        self.burst.packets().zip(0..).map(move |(packet, i)| (step.wrapping_mul(i), packet)).skip(self.done)
    }

    /// How many there are.
    pub(in crate::ethernet) fn len(self) -> usize {
        self.burst.len().saturating_sub(self.done)
    }
}

impl Host {
    /// Finds the way of a flow, and asks for the neighbour's Ethernet address if need be.
    pub(in crate::ethernet) fn way(&mut self, now: Time, flow: &Flow) -> Way {
        let dst = flow.dst;
        if dst.is_ipv4() != flow.src.is_ipv4() {
            return self.no_route(dst);
        }
        if dst.is_multicast() {
            return Way::To(MacAddr::of_group(dst));
        }
        if self.is_own(dst) {
            return Way::Here;
        }
        let gateway = || self.gateways.iter().find(|router| router.is_ipv4() == dst.is_ipv4()).copied();
        let Some(hop) = Some(dst).filter(|dst| self.is_on_link(*dst)).or_else(gateway) else {
            return self.no_route(dst);
        };
        let (found, due) = self.neighbours.find(now, hop);
        if let Some(due) = due {
            self.act(due);
        }
        match found {
            Found::Here(mac) => Way::To(mac),
            Found::Sought => Way::Sought(hop),
            Found::TooMany => {
                self.trouble = Some(Trouble::Unanswered(hop));
                Way::Nowhere
            }
        }
    }

    fn no_route(&mut self, dst: IpAddr) -> Way {
        self.trouble = Some(Trouble::NoRoute(dst));
        Way::Nowhere
    }

    /// Writes a packet as a frame behind what is in `out`. False, and nothing, when it fits no IP packet.
    pub(in crate::ethernet) fn frame(
        &self,
        dst: MacAddr,
        flow: &Flow,
        ident: u16,
        packet: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(datagram) = datagram(flow, ident, packet) else { return false };
        let tag = self.tag(flow.traffic_class);
        let tag_bytes = tag.as_ref().map_or(&[][..], |tag| tag);
        let frame = Frame { dst: dst.0, src: self.mac.0, tag_bytes, datagram, trailer: &[] };
        let start = out.len();
        out.resize(start + frame.wire_len(), 0);
        let written = frame.emit(&mut out[start..]).is_ok();
        if !written {
            out.truncate(start);
        }
        written
    }

    /// Keeps packets until the neighbour, which is [sought](Way::Sought), is found. What there is no room for is
    /// lost.
    pub(in crate::ethernet) fn hold(&mut self, hop: IpAddr, packets: Numbered<'_>) {
        let flow = packets.burst.flow;
        for (ident, packet) in packets.iter() {
            let mut frame = Vec::new();
            // The destination is filled in when it is known.
            let kept = self.frame(MacAddr::BROADCAST, flow, ident, packet, &mut frame)
                && self.neighbours.hold(hop, frame);
            if !kept {
                self.counters.tx_unresolved += 1;
            }
        }
    }

    /// Gives packets back to the NIC, as if they had come from the network.
    pub(in crate::ethernet) fn loop_back(&mut self, packets: Numbered<'_>) {
        let flow = packets.burst.flow;
        for (ident, packet) in packets.iter() {
            if self.looped.len() >= LOOPED {
                self.counters.rx_overflows += 1;
                continue;
            }
            let meta = RxMeta {
                src: flow.src,
                dst: flow.dst,
                src_port: flow.src_port,
                traffic_class: flow.traffic_class,
                ident: Ident::Known { ident, flags_fragment: DONT_FRAGMENT },
            };
            self.looped.push_back((meta, packet.to_vec()));
        }
    }

    /// Delivers some of what [`loop_back`](Self::loop_back) has kept.
    pub(in crate::ethernet) fn deliver_looped(&mut self, deliver: &mut dyn FnMut(&RxMeta, &[u8])) -> usize {
        /// Packets of one turn.
        const TURN: usize = 64;
        let count = self.looped.len().min(TURN);
        for (meta, packet) in self.looped.drain(..count) {
            self.counters.rx_packets += 1;
            self.counters.rx_pieces += 1;
            self.counters.rx_bytes += packet.len() as u64;
            deliver(&meta, &packet);
        }
        count
    }
}

fn datagram<'a>(flow: &Flow, ident: u16, packet: &'a [u8]) -> Option<Datagram<'a>> {
    let ip = match (flow.src, flow.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => IpHeader::V4(Ipv4Header {
            tos: flow.traffic_class,
            ttl: flow.hop_limit,
            ident,
            ..Ipv4Header::new(src, dst)
        }),
        (IpAddr::V6(src), IpAddr::V6(dst)) => IpHeader::V6(Ipv6Header {
            traffic_class: flow.traffic_class,
            hop_limit: flow.hop_limit,
            flow_label: flow.flow_label,
            ..Ipv6Header::new(src, dst)
        }),
        _ => return None,
    };
    Datagram::new(ip, flow.src_port, packet).ok()
}
