//! The 40 bytes before a received datagram: the IP header that it came with.
//!
//! InfiniBand puts its global routing header there; RoCEv2 puts the IPv6 header, or 20 undefined bytes and the
//! IPv4 header (IBTA A17.4.5.1).

use std::net::IpAddr;

use ferroce_wire::ip::{IpHeader, Ipv4Header, Ipv6Header};

use crate::error::VerbsError;
use crate::io::{DONT_FRAGMENT, Ident, RxMeta};
use crate::qp::AddressVector;

/// Bytes that every receive buffer for datagrams begins with.
pub const GRH_LEN: usize = 40;

/// Bytes of a UDP header.
const UDP_LEN: usize = 8;

/// The network header of a packet with `len` bytes of UDP payload. What a link does not tell of it is as usual:
/// Identification 0 and TTL 64.
pub(crate) fn compose(meta: &RxMeta, len: usize) -> [u8; GRH_LEN] {
    let mut bytes = [0; GRH_LEN];
    match (meta.src, meta.dst) {
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let payload_len = (UDP_LEN + len) as u16;
            let header = Ipv6Header::new(src, dst);
            Ipv6Header { traffic_class: meta.traffic_class, payload_len, ..header }.emit(&mut bytes);
        }
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let (ident, flags_fragment) = match meta.ident {
                Ident::Known { ident, flags_fragment } => (ident, flags_fragment),
                Ident::Local { ident } => (ident, DONT_FRAGMENT),
                Ident::Hidden { .. } | Ident::Vouched => (0, DONT_FRAGMENT),
            };
            let total_len = (Ipv4Header::LEN + UDP_LEN + len) as u16;
            let header = Ipv4Header::new(src, dst);
            let header = Ipv4Header { tos: meta.traffic_class, total_len, ident, flags_fragment, ..header };
            let header = Ipv4Header { checksum: header.correct_checksum(), ..header };
            let (_, place) = bytes.split_last_chunk_mut().expect("40 bytes are more than 20");
            header.emit(place);
        }
        // No packet has addresses of both kinds.
        _ => {}
    }
    bytes
}

/// Such a header, read. Which of the two it is, Linux decides by the same signs.
fn dissect(bytes: &[u8; GRH_LEN]) -> Option<IpHeader> {
    let (start, ipv4) = bytes.split_last_chunk()?;
    let header = Ipv4Header::parse(ipv4);
    let looks_like_v4 = ipv4[0] == 0x45;
    let looks_like_v6 = start[0] >> 4 == 6;
    match (looks_like_v4, looks_like_v6) {
        (true, false) => Some(IpHeader::V4(header)),
        (true, true) if header.checksum == header.correct_checksum() => Some(IpHeader::V4(header)),
        (_, true) => Some(IpHeader::V6(Ipv6Header::parse(bytes))),
        (false, false) => None,
    }
}

impl AddressVector {
    /// The way back to the sender of a datagram, from the first 40 bytes of its receive buffer and the addresses of
    /// the device (`ibv_init_ah_from_wc`). The completion must have [`grh`](crate::Wc::grh) set.
    ///
    /// # Errors
    /// When the bytes are no network header, or the datagram was sent to none of `gids`.
    pub fn back_to_sender(header: &[u8; GRH_LEN], gids: &[IpAddr]) -> Result<AddressVector, VerbsError> {
        let header = dissect(header).ok_or(VerbsError::Invalid("no network header"))?;
        let (src, dst) = (header.src(), header.dst());
        let here = gids.iter().position(|gid| match dst.is_multicast() {
            false => *gid == dst,
            // Who answers a multicast answers from an address of the same kind.
            true => gid.is_ipv4() == src.is_ipv4(),
        });
        let here = here.ok_or(VerbsError::Invalid("the datagram was sent to another device"))?;
        let flow_label = if let IpHeader::V6(ip) = header { ip.flow_label } else { 0 };
        let traffic_class = header.traffic_class();
        Ok(AddressVector { traffic_class, flow_label, ..AddressVector::new(here as u8, src) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(src: &str, dst: &str) -> RxMeta {
        let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
        let ident = Ident::Known { ident: 0x7aef, flags_fragment: DONT_FRAGMENT };
        RxMeta { src, dst, src_port: 0xc000, traffic_class: 0, ident }
    }

    /// Seen between two kernels: scenario `ud_send` of the recorded ones, 100 bytes of payload.
    #[test]
    fn the_header_is_the_one_that_linux_shows() {
        let grh = compose(&meta("10.77.0.3", "10.77.0.2"), 12 + 8 + 100 + 4);
        assert_eq!(grh[..20], [0; 20]);
        let ipv4 =
            [0x45, 0, 0, 0x98, 0x7a, 0xef, 0x40, 0, 0x40, 0x11, 0xaa, 0xc7, 10, 77, 0, 3, 10, 77, 0, 2];
        assert_eq!(grh[20..], ipv4);
    }

    #[test]
    fn an_answer_goes_where_the_question_came_from() {
        for (src, dst) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
            let asked = RxMeta { traffic_class: 0x68, ..meta(src, dst) };
            let gids = ["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
            let back = AddressVector::back_to_sender(&compose(&asked, 24), &gids).unwrap();
            assert_eq!((back.dgid, back.traffic_class), (asked.src, 0x68));
            assert_eq!(gids[usize::from(back.sgid_index)], asked.dst);
        }
        let elsewhere = compose(&meta("10.0.0.1", "10.0.0.9"), 24);
        assert!(AddressVector::back_to_sender(&elsewhere, &["10.0.0.2".parse().unwrap()]).is_err());
        let to_all = compose(&meta("10.0.0.1", "239.1.1.1"), 24);
        assert!(AddressVector::back_to_sender(&to_all, &["10.0.0.2".parse().unwrap()]).is_ok());
        assert!(AddressVector::back_to_sender(&[0; GRH_LEN], &[]).is_err());
    }
}
