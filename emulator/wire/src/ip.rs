//! IP and UDP headers, as much as RoCEv2 has of them: no options, no extension headers, no fragments.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::frame::{FrameError, Layer};
use crate::{EmitError, Packet, ParseError, PseudoHeader, UDP_PORT};

/// Protocol number of UDP.
pub const PROTOCOL_UDP: u8 = 17;

/// IPv4 header without options (RFC 791).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ipv4Header {
    /// DSCP (upper six bits) and ECN.
    pub tos: u8,
    /// Bytes of the whole IP packet.
    pub total_len: u16,
    /// Identification.
    pub ident: u16,
    /// Flags (upper three bits) and fragment offset.
    pub flags_fragment: u16,
    /// Time to live.
    pub ttl: u8,
    /// 17 for UDP.
    pub protocol: u8,
    /// Header checksum, as it stands in the packet: not judged when read, not computed when written.
    pub checksum: u16,
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
}

impl Ipv4Header {
    /// Bytes on the wire.
    pub const LEN: usize = 20;
    /// The value of `flags_fragment` in RoCEv2 packets: "don't fragment", offset 0.
    pub const DONT_FRAGMENT: u16 = 0x4000;

    /// A UDP header with Identification 0, "don't fragment" and TTL 64; lengths and checksum are 0.
    pub const fn new(src: Ipv4Addr, dst: Ipv4Addr) -> Self {
        Self {
            tos: 0,
            total_len: 0,
            ident: 0,
            flags_fragment: Self::DONT_FRAGMENT,
            ttl: 64,
            protocol: PROTOCOL_UDP,
            checksum: 0,
            src,
            dst,
        }
    }

    /// Reads a header whose first byte is 0x45, which is not looked at.
    pub fn parse(bytes: &[u8; Self::LEN]) -> Self {
        let &[_, tos, l0, l1, i0, i1, f0, f1, ttl, protocol, c0, c1, s0, s1, s2, s3, d0, d1, d2, d3] = bytes;
        Self {
            tos,
            total_len: u16::from_be_bytes([l0, l1]),
            ident: u16::from_be_bytes([i0, i1]),
            flags_fragment: u16::from_be_bytes([f0, f1]),
            ttl,
            protocol,
            checksum: u16::from_be_bytes([c0, c1]),
            src: Ipv4Addr::new(s0, s1, s2, s3),
            dst: Ipv4Addr::new(d0, d1, d2, d3),
        }
    }

    /// Writes the header.
    #[inline]
    pub fn emit(&self, out: &mut [u8; Self::LEN]) {
        let [l0, l1] = self.total_len.to_be_bytes();
        let [i0, i1] = self.ident.to_be_bytes();
        let [f0, f1] = self.flags_fragment.to_be_bytes();
        let [c0, c1] = self.checksum.to_be_bytes();
        let [s0, s1, s2, s3] = self.src.octets();
        let [d0, d1, d2, d3] = self.dst.octets();
        *out = [
            0x45,
            self.tos,
            l0,
            l1,
            i0,
            i1,
            f0,
            f1,
            self.ttl,
            self.protocol,
            c0,
            c1,
            s0,
            s1,
            s2,
            s3,
            d0,
            d1,
            d2,
            d3,
        ];
    }

    /// What `checksum` should be (RFC 1071).
    pub fn correct_checksum(&self) -> u16 {
        let mut bytes = [0; Self::LEN];
        Self { checksum: 0, ..*self }.emit(&mut bytes);
        let sum: u32 =
            bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        let folded = (sum & 0xFFFF) + (sum >> 16);
        !((folded & 0xFFFF) + (folded >> 16)) as u16
    }
}

/// IPv6 header (RFC 8200).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ipv6Header {
    /// DSCP (upper six bits) and ECN.
    pub traffic_class: u8,
    /// Flow label, 20 bits.
    pub flow_label: u32,
    /// Bytes after this header.
    pub payload_len: u16,
    /// 17 for UDP.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
}

impl Ipv6Header {
    /// Bytes on the wire.
    pub const LEN: usize = 40;

    /// A UDP header with flow label 0 and hop limit 64; the length is 0.
    pub const fn new(src: Ipv6Addr, dst: Ipv6Addr) -> Self {
        Self {
            traffic_class: 0,
            flow_label: 0,
            payload_len: 0,
            next_header: PROTOCOL_UDP,
            hop_limit: 64,
            src,
            dst,
        }
    }

    /// Reads a header whose version is 6, which is not looked at.
    pub fn parse(bytes: &[u8; Self::LEN]) -> Self {
        let (fixed, addresses) = bytes.split_at(8);
        let (src, dst) = addresses.split_at(16);
        let word = u32::from_be_bytes([fixed[0], fixed[1], fixed[2], fixed[3]]);
        let address = |octets: &[u8]| Ipv6Addr::from(core::array::from_fn::<u8, 16, _>(|i| octets[i]));
        Self {
            traffic_class: (word >> 20) as u8,
            flow_label: word & 0xF_FFFF,
            payload_len: u16::from_be_bytes([fixed[4], fixed[5]]),
            next_header: fixed[6],
            hop_limit: fixed[7],
            src: address(src),
            dst: address(dst),
        }
    }

    /// Writes the header; bits of `flow_label` above 20 are dropped.
    #[inline]
    pub fn emit(&self, out: &mut [u8; Self::LEN]) {
        let word = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label & 0xF_FFFF;
        out[..4].copy_from_slice(&word.to_be_bytes());
        out[4..6].copy_from_slice(&self.payload_len.to_be_bytes());
        out[6..8].copy_from_slice(&[self.next_header, self.hop_limit]);
        out[8..24].copy_from_slice(&self.src.octets());
        out[24..].copy_from_slice(&self.dst.octets());
    }
}

/// Either IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IpHeader {
    /// IPv4.
    V4(Ipv4Header),
    /// IPv6.
    V6(Ipv6Header),
}

impl IpHeader {
    /// Bytes on the wire.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a header is never empty")]
    pub const fn len(&self) -> usize {
        match self {
            Self::V4(_) => Ipv4Header::LEN,
            Self::V6(_) => Ipv6Header::LEN,
        }
    }

    /// Source address.
    pub const fn src(&self) -> IpAddr {
        match self {
            Self::V4(ip) => IpAddr::V4(ip.src),
            Self::V6(ip) => IpAddr::V6(ip.src),
        }
    }

    /// Destination address.
    pub const fn dst(&self) -> IpAddr {
        match self {
            Self::V4(ip) => IpAddr::V4(ip.dst),
            Self::V6(ip) => IpAddr::V6(ip.dst),
        }
    }

    /// TOS or traffic class: DSCP in the upper six bits, ECN in the lower two.
    pub const fn traffic_class(&self) -> u8 {
        match self {
            Self::V4(ip) => ip.tos,
            Self::V6(ip) => ip.traffic_class,
        }
    }

    /// TTL or hop limit.
    pub const fn hop_limit(&self) -> u8 {
        match self {
            Self::V4(ip) => ip.ttl,
            Self::V6(ip) => ip.hop_limit,
        }
    }

    /// Reads a header and returns it with the bytes that belong to it, and those after the IP packet.
    fn parse(bytes: &[u8]) -> Result<(Self, &[u8], &[u8]), FrameError> {
        let (ip, rest, payload_len, protocol) = match bytes.first() {
            Some(0x45) => {
                let (header, rest) = Layer::Ipv4.split(bytes)?;
                let ip = Ipv4Header::parse(header);
                if ip.flags_fragment & 0x3FFF != 0 {
                    return Err(FrameError::Fragment);
                }
                let Some(payload_len) = usize::from(ip.total_len).checked_sub(Ipv4Header::LEN) else {
                    return Err(FrameError::Length { layer: Layer::Ipv4, claimed: ip.total_len });
                };
                (Self::V4(ip), rest, payload_len, ip.protocol)
            }
            Some(first) if first >> 4 == 4 => return Err(FrameError::Ipv4HeaderLength(first & 0xF)),
            Some(first) if first >> 4 == 6 => {
                let (header, rest) = Layer::Ipv6.split(bytes)?;
                let ip = Ipv6Header::parse(header);
                (Self::V6(ip), rest, usize::from(ip.payload_len), ip.next_header)
            }
            Some(first) => return Err(FrameError::IpVersion(first >> 4)),
            None => return Err(FrameError::Truncated { layer: Layer::Ipv4, needed: 1, available: 0 }),
        };
        if protocol != PROTOCOL_UDP {
            return Err(FrameError::Protocol(protocol));
        }
        let Some((payload, after)) = rest.split_at_checked(payload_len) else {
            let (needed, available) = (payload_len, rest.len());
            return Err(FrameError::Truncated { layer: Layer::Udp, needed, available });
        };
        Ok((ip, payload, after))
    }
}

/// UDP header (RFC 768).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UdpHeader {
    /// Source port, see [`crate::flow`].
    pub src_port: u16,
    /// Destination port: 4791.
    pub dst_port: u16,
    /// Bytes of header and payload.
    pub len: u16,
    /// Checksum; 0, "none", is what RoCEv2 devices send, even over IPv6.
    pub checksum: u16,
}

impl UdpHeader {
    /// Bytes on the wire.
    pub const LEN: usize = 8;

    fn parse(&[s0, s1, d0, d1, l0, l1, c0, c1]: &[u8; Self::LEN]) -> Self {
        Self {
            src_port: u16::from_be_bytes([s0, s1]),
            dst_port: u16::from_be_bytes([d0, d1]),
            len: u16::from_be_bytes([l0, l1]),
            checksum: u16::from_be_bytes([c0, c1]),
        }
    }

    /// Writes the header.
    #[inline]
    pub fn emit(&self, out: &mut [u8; Self::LEN]) {
        let [s0, s1] = self.src_port.to_be_bytes();
        let [d0, d1] = self.dst_port.to_be_bytes();
        let [l0, l1] = self.len.to_be_bytes();
        let [c0, c1] = self.checksum.to_be_bytes();
        *out = [s0, s1, d0, d1, l0, l1, c0, c1];
    }
}

/// A UDP datagram in an IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// IP header.
    pub ip: IpHeader,
    /// UDP header.
    pub udp: UdpHeader,
    /// The bytes of the [`Packet`].
    pub payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// A datagram to port 4791. Fills in the lengths and the IPv4 header checksum.
    ///
    /// # Errors
    /// When the payload is too long for an IP packet.
    pub fn new(ip: IpHeader, src_port: u16, payload: &'a [u8]) -> Result<Self, FrameError> {
        let too_long = FrameError::TooLong(payload.len());
        let udp_len = u16::try_from(UdpHeader::LEN + payload.len()).map_err(|_| too_long)?;
        let ip = match ip {
            IpHeader::V4(ip) => {
                let total_len = udp_len.checked_add(Ipv4Header::LEN as u16).ok_or(too_long)?;
                let ip = Ipv4Header { total_len, ..ip };
                IpHeader::V4(Ipv4Header { checksum: ip.correct_checksum(), ..ip })
            }
            IpHeader::V6(ip) => IpHeader::V6(Ipv6Header { payload_len: udp_len, ..ip }),
        };
        Ok(Self { ip, udp: UdpHeader { src_port, dst_port: UDP_PORT, len: udp_len, checksum: 0 }, payload })
    }

    /// Reads an IP packet and returns it with the bytes after it, which are Ethernet's padding.
    ///
    /// No checksum is judged, and any destination port will do: see [`is_roce`](Self::is_roce).
    ///
    /// # Errors
    /// When this is not UDP, or fragmented, or has IPv4 options, or when lengths are wrong.
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), FrameError> {
        let (ip, content, after) = IpHeader::parse(bytes)?;
        let (header, payload) = Layer::Udp.split(content)?;
        let udp = UdpHeader::parse(header);
        if usize::from(udp.len) != content.len() {
            return Err(FrameError::Length { layer: Layer::Udp, claimed: udp.len });
        }
        Ok((Self { ip, udp, payload }, after))
    }

    /// Bytes on the wire.
    #[inline]
    pub const fn wire_len(&self) -> usize {
        self.ip.len() + UdpHeader::LEN + self.payload.len()
    }

    /// Writes the datagram as it is, lengths and checksums too, to the start of `out`; returns its length.
    ///
    /// # Errors
    /// When `out` is too short.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let (needed, available) = (self.wire_len(), out.len());
        self.emit_all(out).ok_or(EmitError::Buffer { needed, available })?;
        Ok(needed)
    }

    fn emit_all(&self, out: &mut [u8]) -> Option<()> {
        let rest = match &self.ip {
            IpHeader::V4(ip) => {
                let (header, rest) = out.split_first_chunk_mut()?;
                ip.emit(header);
                rest
            }
            IpHeader::V6(ip) => {
                let (header, rest) = out.split_first_chunk_mut()?;
                ip.emit(header);
                rest
            }
        };
        let (header, rest) = rest.split_first_chunk_mut()?;
        self.udp.emit(header);
        rest.get_mut(..self.payload.len())?.copy_from_slice(self.payload);
        Some(())
    }

    /// Whether it goes to the port of RoCEv2.
    #[inline]
    pub const fn is_roce(&self) -> bool {
        self.udp.dst_port == UDP_PORT
    }

    /// The packet inside.
    ///
    /// # Errors
    /// As [`Packet::parse`].
    #[inline]
    pub fn packet(&self) -> Result<Packet<'a>, ParseError> {
        Packet::parse(self.payload)
    }

    /// What the ICRC covers of the headers.
    #[inline]
    pub const fn pseudo_header(&self) -> PseudoHeader {
        let UdpHeader { src_port, dst_port, .. } = self.udp;
        match self.ip {
            IpHeader::V4(Ipv4Header { src, dst, ident, flags_fragment, .. }) => {
                PseudoHeader::V4 { src, dst, ident, flags_fragment, src_port, dst_port }
            }
            IpHeader::V6(Ipv6Header { src, dst, .. }) => PseudoHeader::V6 { src, dst, src_port, dst_port },
        }
    }
}
