//! The extension headers that follow the BTH, except the [`Aeth`](crate::Aeth).
//!
//! Reserved bits are kept, so that what was read is written again unchanged; send them as zero.

use crate::Qpn;

/// RDMA extended transport header (IBTA volume 1, 9.3): the remote memory that a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reth {
    /// Remote virtual address.
    pub va: u64,
    /// Remote key.
    pub rkey: u32,
    /// Bytes of the whole message, not of this packet; at most 2^31.
    pub len: u32,
}

impl Reth {
    /// Bytes on the wire.
    pub const LEN: usize = 16;

    /// Reads a header.
    #[inline]
    pub const fn parse(bytes: &[u8; Self::LEN]) -> Self {
        let word = u128::from_be_bytes(*bytes);
        Self { va: (word >> 64) as u64, rkey: (word >> 32) as u32, len: word as u32 }
    }

    /// Writes the header.
    #[inline]
    pub const fn emit(&self, out: &mut [u8; Self::LEN]) {
        *out = ((self.va as u128) << 64 | (self.rkey as u128) << 32 | self.len as u128).to_be_bytes();
    }
}

/// Atomic extended transport header (IBTA volume 1, 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AtomicEth {
    /// Remote virtual address of an aligned 8-byte word.
    pub va: u64,
    /// Remote key.
    pub rkey: u32,
    /// The new value of a compare and swap, the addend of a fetch and add.
    pub swap_or_add: u64,
    /// The value that a compare and swap expects; 0 in a fetch and add.
    pub compare: u64,
}

impl AtomicEth {
    /// Bytes on the wire.
    pub const LEN: usize = 28;

    /// Reads a header.
    #[inline]
    pub fn parse(bytes: &[u8; Self::LEN]) -> Self {
        Self {
            va: u64::from_be_bytes(piece(bytes, 0)),
            rkey: u32::from_be_bytes(piece(bytes, 8)),
            swap_or_add: u64::from_be_bytes(piece(bytes, 12)),
            compare: u64::from_be_bytes(piece(bytes, 20)),
        }
    }

    /// Writes the header.
    #[inline]
    pub fn emit(&self, out: &mut [u8; Self::LEN]) {
        out[..8].copy_from_slice(&self.va.to_be_bytes());
        out[8..12].copy_from_slice(&self.rkey.to_be_bytes());
        out[12..20].copy_from_slice(&self.swap_or_add.to_be_bytes());
        out[20..].copy_from_slice(&self.compare.to_be_bytes());
    }
}

/// Atomic ACK extended transport header (IBTA volume 1, 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AtomicAckEth {
    /// What the remote word was before the operation.
    pub original: u64,
}

impl AtomicAckEth {
    /// Bytes on the wire.
    pub const LEN: usize = 8;

    /// Reads a header.
    #[inline]
    pub const fn parse(bytes: &[u8; Self::LEN]) -> Self {
        Self { original: u64::from_be_bytes(*bytes) }
    }

    /// Writes the header.
    #[inline]
    pub const fn emit(&self, out: &mut [u8; Self::LEN]) {
        *out = self.original.to_be_bytes();
    }
}

/// Immediate data (IBTA volume 1, 9.3): four bytes for the application, in the order in which they travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImmDt(
    /// The bytes.
    pub [u8; 4],
);

impl ImmDt {
    /// Bytes on the wire.
    pub const LEN: usize = 4;

    /// Reads a header.
    #[inline]
    pub const fn parse(bytes: &[u8; Self::LEN]) -> Self {
        Self(*bytes)
    }

    /// Writes the header.
    #[inline]
    pub const fn emit(&self, out: &mut [u8; Self::LEN]) {
        *out = self.0;
    }
}

/// Invalidate extended transport header (IBTA volume 1, 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ieth {
    /// The key that the receiver shall invalidate.
    pub rkey: u32,
}

impl Ieth {
    /// Bytes on the wire.
    pub const LEN: usize = 4;

    /// Reads a header.
    #[inline]
    pub const fn parse(bytes: &[u8; Self::LEN]) -> Self {
        Self { rkey: u32::from_be_bytes(*bytes) }
    }

    /// Writes the header.
    #[inline]
    pub const fn emit(&self, out: &mut [u8; Self::LEN]) {
        *out = self.rkey.to_be_bytes();
    }
}

/// Datagram extended transport header (IBTA volume 1, 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Deth {
    /// Queue key, which must be that of the receiving QP.
    pub qkey: u32,
    /// Reserved byte.
    pub reserved: u8,
    /// The QP that sent the datagram.
    pub src_qp: Qpn,
}

impl Deth {
    /// Bytes on the wire.
    pub const LEN: usize = 8;

    /// A header with its reserved byte zero.
    #[inline]
    pub const fn new(qkey: u32, src_qp: Qpn) -> Self {
        Self { qkey, reserved: 0, src_qp }
    }

    /// Reads a header.
    #[inline]
    pub const fn parse(bytes: &[u8; Self::LEN]) -> Self {
        let word = u64::from_be_bytes(*bytes);
        Self { qkey: (word >> 32) as u32, reserved: (word >> 24) as u8, src_qp: Qpn::new(word as u32) }
    }

    /// Writes the header.
    #[inline]
    pub const fn emit(&self, out: &mut [u8; Self::LEN]) {
        let low = (self.reserved as u32) << 24 | self.src_qp.value();
        *out = ((self.qkey as u64) << 32 | low as u64).to_be_bytes();
    }
}

/// Reliable datagram extended transport header (IBTA volume 1, 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rdeth {
    /// Reserved byte.
    pub reserved: u8,
    /// End-to-end context, 24 bits.
    pub ee_context: u32,
}

impl Rdeth {
    /// Bytes on the wire.
    pub const LEN: usize = 4;

    /// Reads a header.
    #[inline]
    pub const fn parse(bytes: &[u8; Self::LEN]) -> Self {
        let (reserved, ee_context) = split_8_24(*bytes);
        Self { reserved, ee_context }
    }

    /// Writes the header; bits of `ee_context` above 24 are dropped.
    #[inline]
    pub const fn emit(&self, out: &mut [u8; Self::LEN]) {
        *out = join_8_24(self.reserved, self.ee_context);
    }
}

/// XRC extended transport header (annex A14): the shared receive queue that a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Xrceth {
    /// Reserved byte.
    pub reserved: u8,
    /// XRC shared receive queue number, 24 bits.
    pub srqn: u32,
}

impl Xrceth {
    /// Bytes on the wire.
    pub const LEN: usize = 4;

    /// Reads a header.
    #[inline]
    pub const fn parse(bytes: &[u8; Self::LEN]) -> Self {
        let (reserved, srqn) = split_8_24(*bytes);
        Self { reserved, srqn }
    }

    /// Writes the header; bits of `srqn` above 24 are dropped.
    #[inline]
    pub const fn emit(&self, out: &mut [u8; Self::LEN]) {
        *out = join_8_24(self.reserved, self.srqn);
    }
}

/// Flush extended transport header (annex A19): how far data must have come, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Feth {
    /// Placement type, 4 bits: [`Feth::GLOBAL`] and [`Feth::PERSISTENT`].
    pub placement: u8,
    /// Selectivity level, 2 bits: [`Feth::RANGE`] or [`Feth::MEMORY_REGION`].
    pub selectivity: u8,
    /// 26 reserved bits.
    pub reserved: u32,
}

impl Feth {
    /// Bytes on the wire.
    pub const LEN: usize = 4;
    /// Placement: visible to everyone.
    pub const GLOBAL: u8 = 0b01;
    /// Placement: survives a loss of power.
    pub const PERSISTENT: u8 = 0b10;
    /// Selectivity: the memory that the RETH names.
    pub const RANGE: u8 = 0;
    /// Selectivity: the whole memory region that the R_Key names.
    pub const MEMORY_REGION: u8 = 1;

    /// Reads a header.
    #[inline]
    pub const fn parse(bytes: &[u8; Self::LEN]) -> Self {
        let word = u32::from_be_bytes(*bytes);
        Self { placement: word as u8 & 0xF, selectivity: (word >> 4) as u8 & 0x3, reserved: word >> 6 }
    }

    /// Writes the header; bits that do not fit a field are dropped.
    #[inline]
    pub const fn emit(&self, out: &mut [u8; Self::LEN]) {
        let low = (self.selectivity & 0x3) << 4 | self.placement & 0xF;
        *out = (self.reserved << 6 | low as u32).to_be_bytes();
    }
}

const fn split_8_24(bytes: [u8; 4]) -> (u8, u32) {
    let word = u32::from_be_bytes(bytes);
    ((word >> 24) as u8, word & 0x00FF_FFFF)
}

const fn join_8_24(high: u8, low: u32) -> [u8; 4] {
    ((high as u32) << 24 | low & 0x00FF_FFFF).to_be_bytes()
}

/// `N` bytes from `at`; the compiler sees that they are there.
#[inline]
fn piece<const N: usize, const L: usize>(bytes: &[u8; L], at: usize) -> [u8; N] {
    core::array::from_fn(|i| bytes[at + i])
}
