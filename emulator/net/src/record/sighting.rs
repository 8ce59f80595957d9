//! Packets as they passed.

use std::net::IpAddr;

use ferroce_engine::{DONT_FRAGMENT, Ident, RxMeta};
use ferroce_wire::ip::{Datagram, IpHeader, Ipv4Header, Ipv6Header};
use ferroce_wire::{PseudoHeader, UDP_PORT};

use crate::link::Burst;

/// The header fields of a packet that passed.
pub(super) struct Sighting {
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    pub(super) src_port: u16,
    pub(super) traffic_class: u8,
    hop_limit: u8,
    flow_label: u32,
    pub(super) ident: u16,
    flags_fragment: u16,
    /// It went through the memory that NICs on one machine share.
    pub(super) local: bool,
}

impl Sighting {
    /// Of the packet at this place in a burst that a link has sent, by which port unless the burst says, and whether
    /// through memory.
    pub(super) fn sent(burst: &Burst<'_>, index: usize, src_port: Option<u16>, local: bool) -> Sighting {
        let flow = burst.flow;
        // Where it had no ICRC, it was given one for Identification 0.
        let ident = if burst.sealed { burst.ident_step.wrapping_mul(index as u16) } else { 0 };
        Sighting {
            src: flow.src,
            dst: flow.dst,
            src_port: src_port.unwrap_or(flow.src_port),
            traffic_class: flow.traffic_class,
            hop_limit: flow.hop_limit,
            flow_label: flow.flow_label,
            ident,
            flags_fragment: DONT_FRAGMENT,
            local,
        }
    }

    /// Where the link hides the Identification, the one that makes the ICRC right is as good as seen. Hop limit
    /// and flow label are not told.
    pub(super) fn received(meta: &RxMeta, packet: &[u8]) -> Sighting {
        let (ident, flags_fragment) = match (meta.ident, meta.src, meta.dst) {
            (Ident::Known { ident, flags_fragment }, ..) => (ident, flags_fragment),
            (Ident::Local { ident }, ..) => (ident, DONT_FRAGMENT),
            (Ident::Hidden { likely }, IpAddr::V4(src), IpAddr::V4(dst)) => {
                let (flags_fragment, src_port) = (DONT_FRAGMENT, meta.src_port);
                let pseudo = PseudoHeader::V4 {
                    src,
                    dst,
                    ident: likely,
                    flags_fragment,
                    src_port,
                    dst_port: UDP_PORT,
                };
                (pseudo.solve_ident(packet).unwrap_or(0), flags_fragment)
            }
            (Ident::Hidden { .. } | Ident::Vouched, ..) => (0, 0),
        };
        let RxMeta { src, dst, src_port, traffic_class, .. } = *meta;
        let (hop_limit, flow_label, local) = (64, 0, meta.ident.is_local());
        Sighting { src, dst, src_port, traffic_class, hop_limit, flow_label, ident, flags_fragment, local }
    }

    /// The packet that passed, with all its headers.
    pub(super) fn datagram<'a>(&self, packet: &'a [u8]) -> Option<Datagram<'a>> {
        let ip = match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => IpHeader::V4(Ipv4Header {
                tos: self.traffic_class,
                ident: self.ident,
                flags_fragment: self.flags_fragment,
                ttl: self.hop_limit,
                ..Ipv4Header::new(src, dst)
            }),
            (IpAddr::V6(src), IpAddr::V6(dst)) => IpHeader::V6(Ipv6Header {
                traffic_class: self.traffic_class,
                flow_label: self.flow_label,
                hop_limit: self.hop_limit,
                ..Ipv6Header::new(src, dst)
            }),
            _ => return None,
        };
        Datagram::new(ip, self.src_port, packet).ok()
    }
}
