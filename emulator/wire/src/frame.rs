//! Ethernet frames, and what can be wrong with one.

use core::fmt;

use crate::EmitError;
use crate::ip::{Datagram, IpHeader};

/// An Ethernet II frame with a UDP datagram in it, frame check sequence excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Destination address.
    pub dst: [u8; 6],
    /// Source address.
    pub src: [u8; 6],
    /// 802.1Q tags, four bytes each, outermost first; see [`Frame::tags`] and [`VlanTag::bytes`].
    pub tag_bytes: &'a [u8],
    /// The IP packet.
    pub datagram: Datagram<'a>,
    /// What follows the IP packet: bytes that bring a short frame to Ethernet's least length.
    pub trailer: &'a [u8],
}

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86DD;

/// 802.1Q, 802.1ad, and what was in use for stacked tags before that.
const TAG_TYPES: [u16; 3] = [0x8100, 0x88A8, 0x9100];

impl<'a> Frame<'a> {
    /// Reads a frame.
    ///
    /// # Errors
    /// When it has no UDP datagram that RoCEv2 could use: see [`FrameError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let (&[d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5], after_addresses) =
            Layer::Ethernet.split(bytes)?;
        let mut rest = after_addresses;
        let (ethertype, ip) = loop {
            let (&ethertype, after) = Layer::EtherType.split(rest)?;
            let ethertype = u16::from_be_bytes(ethertype);
            if !TAG_TYPES.contains(&ethertype) {
                break (ethertype, after);
            }
            let (&[_, _], after) = Layer::Vlan.split(after)?;
            rest = after;
        };
        if ethertype != ETHERTYPE_IPV4 && ethertype != ETHERTYPE_IPV6 {
            return Err(FrameError::EtherType(ethertype));
        }
        let tag_bytes = &after_addresses[..after_addresses.len() - rest.len()];
        let (datagram, trailer) = Datagram::parse(ip)?;
        if ethertype != ethertype_of(&datagram.ip) {
            return Err(FrameError::EtherType(ethertype));
        }
        Ok(Self {
            dst: [d0, d1, d2, d3, d4, d5],
            src: [s0, s1, s2, s3, s4, s5],
            tag_bytes,
            datagram,
            trailer,
        })
    }

    /// The 802.1Q tags, outermost first.
    pub fn tags(&self) -> impl Iterator<Item = VlanTag> + 'a {
        self.tag_bytes.chunks_exact(4).map(|tag| {
            let control = u16::from_be_bytes([tag[2], tag[3]]);
            VlanTag {
                tpid: u16::from_be_bytes([tag[0], tag[1]]),
                pcp: (control >> 13) as u8,
                dei: control & 0x1000 != 0,
                vid: control & 0x0FFF,
            }
        })
    }

    /// Bytes on the wire, frame check sequence excluded.
    pub const fn wire_len(&self) -> usize {
        14 + self.tag_bytes.len() + self.datagram.wire_len() + self.trailer.len()
    }

    /// Writes the frame to the start of `out` and returns its length.
    ///
    /// # Errors
    /// When `out` is too short.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let (needed, available) = (self.wire_len(), out.len());
        let out = out.get_mut(..needed).ok_or(EmitError::Buffer { needed, available })?;
        out[..6].copy_from_slice(&self.dst);
        out[6..12].copy_from_slice(&self.src);
        let (tags, rest) = out[12..].split_at_mut(self.tag_bytes.len());
        tags.copy_from_slice(self.tag_bytes);
        rest[..2].copy_from_slice(&ethertype_of(&self.datagram.ip).to_be_bytes());
        let datagram_len = self.datagram.emit(&mut rest[2..])?;
        rest[2 + datagram_len..].copy_from_slice(self.trailer);
        Ok(needed)
    }
}

const fn ethertype_of(ip: &IpHeader) -> u16 {
    match ip {
        IpHeader::V4(_) => ETHERTYPE_IPV4,
        IpHeader::V6(_) => ETHERTYPE_IPV6,
    }
}

/// An 802.1Q tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VlanTag {
    /// Tag protocol identifier, 0x8100 as a rule.
    pub tpid: u16,
    /// Priority code point, 0..=7.
    pub pcp: u8,
    /// Drop eligible.
    pub dei: bool,
    /// VLAN, 0..=4095; 0 means that only the priority counts.
    pub vid: u16,
}

impl VlanTag {
    /// The tag as it stands in a frame; bits that do not fit a field are dropped.
    pub const fn bytes(&self) -> [u8; 4] {
        let control = (self.pcp as u16) << 13 | (self.dei as u16) << 12 | self.vid & 0x0FFF;
        ((self.tpid as u32) << 16 | control as u32).to_be_bytes()
    }
}

/// A layer under the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    /// The two addresses of Ethernet.
    Ethernet,
    /// The EtherType, or that of an 802.1Q tag.
    EtherType,
    /// The control bytes of an 802.1Q tag.
    Vlan,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// UDP header and payload.
    Udp,
}

impl Layer {
    /// Cuts the header of this layer off `bytes`.
    #[inline]
    pub(crate) fn split<const N: usize>(self, bytes: &[u8]) -> Result<(&[u8; N], &[u8]), FrameError> {
        bytes.split_first_chunk().ok_or(FrameError::Truncated {
            layer: self,
            needed: N,
            available: bytes.len(),
        })
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ethernet => "Ethernet",
            Self::EtherType => "EtherType",
            Self::Vlan => "802.1Q tag",
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
            Self::Udp => "UDP",
        })
    }
}

/// Why bytes are not a frame that RoCEv2 could use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The bytes end too early: a capture that was cut, or a length that lies.
    #[error("{layer} needs {needed} bytes, there are {available}")]
    Truncated {
        /// What should stand here.
        layer: Layer,
        /// Its bytes.
        needed: usize,
        /// The bytes left for it.
        available: usize,
    },
    /// Neither IPv4 nor IPv6, or not the one inside.
    #[error("EtherType {0:#06x}")]
    EtherType(u16),
    /// Neither 4 nor 6.
    #[error("IP version {0}")]
    IpVersion(u8),
    /// An IPv4 header length, in 32-bit words, other than 5: RoCEv2 allows no options.
    #[error("IPv4 header of {0} words")]
    Ipv4HeaderLength(u8),
    /// A part of a fragmented IPv4 packet.
    #[error("IPv4 fragment")]
    Fragment,
    /// Not UDP, or an IPv6 extension header.
    #[error("IP protocol {0} is not UDP")]
    Protocol(u8),
    /// A length field that contradicts the layer around it.
    #[error("{layer} length of {claimed} cannot be")]
    Length {
        /// Where the field stands.
        layer: Layer,
        /// Its value.
        claimed: u16,
    },
    /// More payload than an IP packet can have. Only when building a datagram.
    #[error("payload of {0} bytes does not fit an IP packet")]
    TooLong(usize),
}
