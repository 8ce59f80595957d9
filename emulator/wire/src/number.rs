//! The numbers of the transport: packet sequence numbers, queue pair numbers and path MTUs.

use core::fmt;
use core::ops::{Add, Sub};

const MASK_24: u32 = 0x00FF_FFFF;

/// A packet sequence number: 24 bits that count modulo 2^24.
///
/// PSNs lie on a circle, so there is no `Ord`: "before" makes sense only for two PSNs less than 2^23 apart
/// (IBTA volume 1, chapter 9), which the transport guarantees for everything in flight.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Psn(u32);

impl Psn {
    /// The PSN in the low 24 bits of `value`; higher bits are dropped.
    #[inline]
    pub const fn new(value: u32) -> Self {
        Self(value & MASK_24)
    }

    /// The number, in 0..2^24.
    #[inline]
    pub const fn value(self) -> u32 {
        self.0
    }

    /// The PSN after this one.
    #[inline]
    pub const fn next(self) -> Self {
        Self::new(self.0 + 1)
    }

    /// Signed number of steps from `from` to `self`, in -2^23..2^23. Negative: `self` is older.
    #[inline]
    pub const fn distance(self, from: Self) -> i32 {
        (self.0.wrapping_sub(from.0) << 8) as i32 >> 8
    }

    /// Whether `self` is older than `other`.
    #[inline]
    pub const fn is_before(self, other: Self) -> bool {
        self.distance(other) < 0
    }

    /// Whether `self` is newer than `other`.
    #[inline]
    pub const fn is_after(self, other: Self) -> bool {
        self.distance(other) > 0
    }
}

impl Add<u32> for Psn {
    type Output = Self;

    #[inline]
    fn add(self, steps: u32) -> Self {
        Self::new(self.0.wrapping_add(steps))
    }
}

impl Sub<u32> for Psn {
    type Output = Self;

    #[inline]
    fn sub(self, steps: u32) -> Self {
        Self::new(self.0.wrapping_sub(steps))
    }
}

impl fmt::Display for Psn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:06x}", self.0)
    }
}

impl fmt::Debug for Psn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Psn({self})")
    }
}

/// A queue pair number: 24 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Qpn(u32);

impl Qpn {
    /// QP1, the general service interface: every device has it, connection management lives there.
    pub const GSI: Self = Self(1);
    /// The destination of multicast packets.
    pub const MULTICAST: Self = Self(MASK_24);

    /// The QPN in the low 24 bits of `value`; higher bits are dropped.
    #[inline]
    pub const fn new(value: u32) -> Self {
        Self(value & MASK_24)
    }

    /// The number, in 0..2^24.
    #[inline]
    pub const fn value(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Qpn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:06x}", self.0)
    }
}

impl fmt::Debug for Qpn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Qpn({self})")
    }
}

/// The largest payload of one packet. The discriminant is the value of libibverbs' `enum ibv_mtu`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PathMtu {
    /// 256 bytes.
    Mtu256 = 1,
    /// 512 bytes.
    Mtu512 = 2,
    /// 1024 bytes, the most that fits a 1500-byte Ethernet MTU.
    Mtu1024 = 3,
    /// 2048 bytes.
    Mtu2048 = 4,
    /// 4096 bytes.
    Mtu4096 = 5,
}

impl PathMtu {
    /// All of them, smallest first.
    pub const ALL: [Self; 5] = [Self::Mtu256, Self::Mtu512, Self::Mtu1024, Self::Mtu2048, Self::Mtu4096];

    /// Payload bytes per packet, 256..=4096.
    #[inline]
    pub const fn bytes(self) -> usize {
        128 << self as u8
    }

    /// The path MTU of exactly `bytes`, if there is one.
    pub fn from_bytes(bytes: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|mtu| mtu.bytes() == bytes)
    }

    /// The value in `enum ibv_mtu` and in connection management messages, 1..=5.
    pub const fn ib_value(self) -> u8 {
        self as u8
    }

    /// The path MTU with the given `enum ibv_mtu` value.
    pub fn from_ib_value(value: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|mtu| mtu.ib_value() == value)
    }

    /// Packets, and so PSNs, that a message of `len` bytes takes. An empty message takes one. Beyond 2^32
    /// packets, far above the 2^31 bytes a message may have, the count saturates.
    #[inline]
    pub const fn packets_for(self, len: u64) -> u32 {
        let packets = len.div_ceil(self.bytes() as u64);
        match packets {
            0 => 1,
            1..=0xFFFF_FFFF => packets as u32,
            _ => u32::MAX,
        }
    }
}
