//! The parts of a packet, and sets of them.

use core::fmt;

use crate::{Aeth, AtomicAckEth, AtomicEth, Bth, Deth, Feth, ICRC_LEN, Ieth, ImmDt, Rdeth, Reth, Xrceth};

/// A stretch of a packet: one of its headers, or what follows them. In wire order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Base transport header.
    Bth,
    /// Reliable datagram extended transport header.
    Rdeth,
    /// Datagram extended transport header.
    Deth,
    /// XRC extended transport header.
    Xrceth,
    /// Flush extended transport header (annex A19).
    Feth,
    /// RDMA extended transport header.
    Reth,
    /// Atomic extended transport header.
    AtomicEth,
    /// ACK extended transport header.
    Aeth,
    /// Atomic ACK extended transport header.
    AtomicAckEth,
    /// Immediate data.
    ImmDt,
    /// Invalidate extended transport header.
    Ieth,
    /// The data.
    Payload,
    /// Bytes that fill the payload up to a multiple of four.
    Pad,
    /// Invariant CRC.
    Icrc,
}

impl Part {
    /// The extension headers in the order in which they follow the BTH.
    pub const EXTENSIONS: [Self; 10] = [
        Self::Rdeth,
        Self::Deth,
        Self::Xrceth,
        Self::Feth,
        Self::Reth,
        Self::AtomicEth,
        Self::Aeth,
        Self::AtomicAckEth,
        Self::ImmDt,
        Self::Ieth,
    ];

    /// Name as the IBTA specification writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bth => "BTH",
            Self::Rdeth => "RDETH",
            Self::Deth => "DETH",
            Self::Xrceth => "XRCETH",
            Self::Feth => "FETH",
            Self::Reth => "RETH",
            Self::AtomicEth => "AtomicETH",
            Self::Aeth => "AETH",
            Self::AtomicAckEth => "AtomicAckETH",
            Self::ImmDt => "ImmDt",
            Self::Ieth => "IETH",
            Self::Payload => "payload",
            Self::Pad => "pad",
            Self::Icrc => "ICRC",
        }
    }

    /// Bytes of a header and of the ICRC; 0 for payload and pad, whose length varies.
    pub const fn header_len(self) -> usize {
        match self {
            Self::Bth => Bth::LEN,
            Self::Rdeth => Rdeth::LEN,
            Self::Deth => Deth::LEN,
            Self::Xrceth => Xrceth::LEN,
            Self::Feth => Feth::LEN,
            Self::Reth => Reth::LEN,
            Self::AtomicEth => AtomicEth::LEN,
            Self::Aeth => Aeth::LEN,
            Self::AtomicAckEth => AtomicAckEth::LEN,
            Self::ImmDt => ImmDt::LEN,
            Self::Ieth => Ieth::LEN,
            Self::Icrc => ICRC_LEN,
            Self::Payload | Self::Pad => 0,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of extension headers. Their order on the wire is fixed, so a set says it all.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct HeaderSet(u16);

impl HeaderSet {
    /// Nothing but a BTH.
    pub const EMPTY: Self = Self(0);

    /// This set and `part`.
    #[inline]
    pub const fn with(self, part: Part) -> Self {
        Self(self.0 | 1 << part as u16)
    }

    /// This set, and `part` too if `condition` holds.
    #[inline]
    pub const fn with_if(self, part: Part, condition: bool) -> Self {
        Self(self.0 | (condition as u16) << part as u16)
    }

    /// Whether `part` belongs to the set.
    #[inline]
    pub const fn contains(self, part: Part) -> bool {
        self.0 & 1 << part as u16 != 0
    }

    /// Whether there is no extension header.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The headers in wire order.
    pub fn iter(self) -> impl Iterator<Item = Part> {
        Part::EXTENSIONS.into_iter().filter(move |&part| self.contains(part))
    }

    pub(crate) const fn byte_len(self) -> usize {
        let mut len = 0;
        let mut i = 0;
        while i < Part::EXTENSIONS.len() {
            if self.contains(Part::EXTENSIONS[i]) {
                len += Part::EXTENSIONS[i].header_len();
            }
            i += 1;
        }
        len
    }
}

impl fmt::Debug for HeaderSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
