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

/// Longest input before the extension headers: IPv6, UDP and BTH.
const HEAD_LEN: usize = 40 + 8 + Bth::LEN;

/// Place of the byte with FECN, BECN and six reserved bits in the BTH.
const BTH_VARIANT: usize = 4;

/// CRC-32 of eight bytes of ones.
const AFTER_ONES: u32 = 0x2144_DF1C;

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
        let mut head = [0; HEAD_LEN];
        let bth_at = self.write_masked(headers.len() + payload.len() + pad.len(), &mut head);
        let end = bth_at + bth.len();
        head[bth_at..end].copy_from_slice(bth);
        head[bth_at + BTH_VARIANT] = 0xFF;

        let mut crc = Hasher::new_with_initial(AFTER_ONES);
        crc.update(&head[..end]);
        crc.update(extensions);
        crc.update(payload);
        crc.update(pad);
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
    /// not looked at. `None` if no Identification makes it right, and for IPv6, which has none.
    ///
    /// This is what a receiver can check that does not see the IP header: a damaged packet passes with a
    /// probability of 2^-16. The price is a few multiplications more than [`verify`](Self::verify).
    pub fn solve_ident(&self, udp_payload_with_icrc: &[u8]) -> Option<u16> {
        let mut without_ident = *self;
        let Self::V4 { ident, .. } = &mut without_ident else { return None };
        *ident = 0;
        let (transport, icrc) = udp_payload_with_icrc.split_last_chunk::<ICRC_LEN>()?;
        // The CRC is linear: what it is off by is the Identification's own contribution, which entered the low
        // 16 bits of the register and was multiplied by x for each bit from there to the end.
        let difference = without_ident.compute(transport) ^ u32::from_le_bytes(*icrc);
        let entered = divide_by_x8(difference, IDENT_TO_BTH + transport.len());
        let [first, second, 0, 0] = entered.to_le_bytes() else { return None };
        Some(u16::from_be_bytes([first, second]))
    }

    /// Writes the masked IP and UDP headers of a packet of `transport_len` bytes; returns their length.
    #[inline]
    fn write_masked(&self, transport_len: usize, out: &mut [u8; HEAD_LEN]) -> usize {
        // Nothing longer than an IP packet can be sent, so it does not matter what becomes of its length.
        let udp_len = (8 + transport_len + ICRC_LEN) as u16;
        let (ip_len, src_port, dst_port) = match *self {
            Self::V4 { src, dst, ident, flags_fragment, src_port, dst_port } => {
                out[..2].copy_from_slice(&[0x45, 0xFF]);
                out[2..4].copy_from_slice(&udp_len.wrapping_add(20).to_be_bytes());
                out[4..6].copy_from_slice(&ident.to_be_bytes());
                out[6..8].copy_from_slice(&flags_fragment.to_be_bytes());
                out[8..12].copy_from_slice(&[0xFF, PROTOCOL_UDP, 0xFF, 0xFF]);
                out[12..16].copy_from_slice(&src.octets());
                out[16..20].copy_from_slice(&dst.octets());
                (20, src_port, dst_port)
            }
            Self::V6 { src, dst, src_port, dst_port } => {
                out[..4].copy_from_slice(&[0x6F, 0xFF, 0xFF, 0xFF]);
                out[4..6].copy_from_slice(&udp_len.to_be_bytes());
                out[6..8].copy_from_slice(&[PROTOCOL_UDP, 0xFF]);
                out[8..24].copy_from_slice(&src.octets());
                out[24..40].copy_from_slice(&dst.octets());
                (40, src_port, dst_port)
            }
        };
        let udp = &mut out[ip_len..ip_len + 8];
        udp[..2].copy_from_slice(&src_port.to_be_bytes());
        udp[2..4].copy_from_slice(&dst_port.to_be_bytes());
        udp[4..6].copy_from_slice(&udp_len.to_be_bytes());
        udp[6..].copy_from_slice(&[0xFF, 0xFF]);
        ip_len + 8
    }
}

/// Bytes from the Identification, itself included, to the BTH.
const IDENT_TO_BTH: usize = (20 - 4) + 8;

/// Divides a CRC register by x^8 `bytes` times, modulo the polynomial: undoes `bytes` zero bytes of input.
fn divide_by_x8(register: u32, bytes: usize) -> u32 {
    // Three digits to the base 64 are more than the longest IP packet needs.
    let digits = [bytes % 64, bytes / 64 % 64, bytes / 4096 % 64];
    INVERSE_POWERS.iter().zip(digits).fold(register, |product, (powers, digit)| match digit {
        0 => product,
        _ => multiply(product, powers[digit]),
    })
}

/// `INVERSE_POWERS[place][digit]` is x to the power of -8 * digit * 64^place.
static INVERSE_POWERS: [[u32; 64]; 3] = {
    let mut powers = [[ONE; 64]; 3];
    let mut base = ONE;
    let mut i = 0;
    while i < 8 {
        base = divide_by_x(base);
        i += 1;
    }
    let mut place = 0;
    while place < 3 {
        let mut digit = 1;
        while digit < 64 {
            powers[place][digit] = multiply(powers[place][digit - 1], base);
            digit += 1;
        }
        base = multiply(powers[place][63], base);
        place += 1;
    }
    powers
};

/// The polynomial, x^0 in bit 31.
const POLYNOMIAL: u32 = 0xEDB8_8320;
const ONE: u32 = 1 << 31;

const fn divide_by_x(a: u32) -> u32 {
    if a & ONE == 0 { a << 1 } else { (a ^ POLYNOMIAL) << 1 | 1 }
}

/// Product of two polynomials over GF(2) modulo the CRC's.
const fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut bit = 32;
    while bit > 0 {
        bit -= 1;
        product ^= b & (a >> bit & 1).wrapping_neg();
        b = b >> 1 ^ POLYNOMIAL & (b & 1).wrapping_neg();
    }
    product
}
