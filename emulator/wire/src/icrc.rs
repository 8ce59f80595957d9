//! The invariant CRC: it covers the packet and what routers must not change of its IP and UDP headers.
//!
//! The polynomial and the bit order are Ethernet's. The input is eight bytes of ones (where InfiniBand has its
//! local route header), the IP header, the UDP header, and the packet up to the ICRC. Fields that may change on
//! the way are replaced by ones: TOS, TTL and header checksum of IPv4; traffic class, flow label and hop
//! limit of IPv6; the UDP checksum; FECN, BECN and the six bits beside them in the BTH (RoCEv2 annex A17).
//!
//! The IPv4 Identification **is** covered. A sender must know what the IP stack will put there; a receiver
//! behind a UDP socket cannot see it, and can still check half of the ICRC with
//! [`PseudoHeader::solve_ident`].

use core::net::{Ipv4Addr, Ipv6Addr};

use crc32fast::Hasher;

use crate::crc::rewind;
use crate::{Bth, ICRC_LEN};

/// The fields of the IP and UDP headers that the ICRC covers, lengths excepted: those follow from the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PseudoHeader {
    /// IPv4 without options.
    V4 {
        /// Source address.
        src: Ipv4Addr,
        /// Destination address.
        dst: Ipv4Addr,
        /// Identification.
        ident: u16,
        /// Flags (upper three bits) and fragment offset; 0x4000 is "don't fragment".
        flags_fragment: u16,
        /// UDP source port.
        src_port: u16,
        /// UDP destination port.
        dst_port: u16,
    },
    /// IPv6 without extension headers.
    V6 {
        /// Source address.
        src: Ipv6Addr,
        /// Destination address.
        dst: Ipv6Addr,
        /// UDP source port.
        src_port: u16,
        /// UDP destination port.
        dst_port: u16,
    },
}

const PROTOCOL_UDP: u8 = 17;

/// Place of the byte with FECN, BECN and six reserved bits in the BTH.
const BTH_VARIANT: usize = 4;

/// Longest input before the extension headers: eight ones, IPv6, UDP and BTH.
const HEAD_LEN: usize = 8 + 40 + 8 + Bth::LEN;

impl PseudoHeader {
    /// The ICRC of a packet, given without its ICRC. The wire has the least significant byte first.
    #[inline]
    pub fn compute(&self, transport_without_icrc: &[u8]) -> u32 {
        self.compute_parts(transport_without_icrc, &[], 0)
    }

    /// The ICRC of a packet that lies in pieces: `headers` from the BTH on, `payload`, and `pad` zero bytes
    /// (0..=3).
    #[inline]
    pub fn compute_parts(&self, headers: &[u8], payload: &[u8], pad: usize) -> u32 {
        let pad = &[0; 3][..pad.min(3)];
        let (bth, extensions) = headers.split_at(headers.len().min(Bth::LEN));
        let mut head = [0xFF; HEAD_LEN];
        let bth_at = self.write_covered(headers.len() + payload.len() + pad.len(), &mut head);
        let head_len = bth_at + bth.len();
        head[bth_at..head_len].copy_from_slice(bth);
        head[bth_at + BTH_VARIANT] = 0xFF;

        let mut crc = Hasher::new();
        for piece in [&head[..head_len], extensions, payload, pad] {
            if !piece.is_empty() {
                crc.update(piece);
            }
        }
        crc.finalize()
    }

    /// Whether the ICRC at the end of a UDP payload is right.
    #[inline]
    pub fn verify(&self, udp_payload_with_icrc: &[u8]) -> bool {
        match udp_payload_with_icrc.split_last_chunk::<ICRC_LEN>() {
            Some((transport, icrc)) => self.compute(transport) == u32::from_le_bytes(*icrc),
            None => false,
        }
    }

    /// The one Identification with which the ICRC at the end of a UDP payload is right; `ident` of `self` is
    /// tried first, which costs no more than [`verify`](Self::verify). `None` if no Identification makes it right, and for IPv6, which has none.
    ///
    /// This is what a receiver can check that does not see the IP header: a damaged packet passes with a
    /// probability of 2^-16. The price is a few multiplications more than [`verify`](Self::verify).
    pub fn solve_ident(&self, udp_payload_with_icrc: &[u8]) -> Option<u16> {
        let Self::V4 { ident: likely, .. } = *self else { return None };
        let (transport, icrc) = udp_payload_with_icrc.split_last_chunk::<ICRC_LEN>()?;
        let difference = self.compute(transport) ^ u32::from_le_bytes(*icrc);
        if difference == 0 {
            return Some(likely);
        }
        // The CRC is linear: what it is off by is the contribution of the bits in which the Identification differs,
        // which entered the low 16 bits of the register and was multiplied by x for each bit from there to the end.
        let entered = rewind(difference, IDENT_TO_BTH + transport.len());
        let [first, second, 0, 0] = entered.to_le_bytes() else { return None };
        Some(likely ^ u16::from_be_bytes([first, second]))
    }

    /// Writes what the ICRC covers of IP and UDP headers over ones; returns where the BTH comes.
    #[inline]
    fn write_covered(&self, transport_len: usize, head: &mut [u8; HEAD_LEN]) -> usize {
        // Nothing longer than an IP packet can be sent, so it does not matter what becomes of its length.
        let udp_len = (8 + transport_len + ICRC_LEN) as u16;
        let (udp_at, src_port, dst_port) = match *self {
            Self::V4 { src, dst, ident, flags_fragment, src_port, dst_port } => {
                head[8] = 0x45;
                head[10..12].copy_from_slice(&udp_len.wrapping_add(20).to_be_bytes());
                head[12..14].copy_from_slice(&ident.to_be_bytes());
                head[14..16].copy_from_slice(&flags_fragment.to_be_bytes());
                head[17] = PROTOCOL_UDP;
                head[20..24].copy_from_slice(&src.octets());
                head[24..28].copy_from_slice(&dst.octets());
                (28, src_port, dst_port)
            }
            Self::V6 { src, dst, src_port, dst_port } => {
                head[8] = 0x6F;
                head[12..14].copy_from_slice(&udp_len.to_be_bytes());
                head[14] = PROTOCOL_UDP;
                head[16..32].copy_from_slice(&src.octets());
                head[32..48].copy_from_slice(&dst.octets());
                (48, src_port, dst_port)
            }
        };
        let udp = &mut head[udp_at..udp_at + 8];
        udp[..2].copy_from_slice(&src_port.to_be_bytes());
        udp[2..4].copy_from_slice(&dst_port.to_be_bytes());
        udp[4..6].copy_from_slice(&udp_len.to_be_bytes());
        udp_at + 8
    }
}

/// Bytes from the Identification, itself included, to the BTH.
const IDENT_TO_BTH: usize = (20 - 4) + 8;
