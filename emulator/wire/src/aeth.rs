//! The ACK header and its syndrome: acknowledgements, RNR NAKs, NAKs, credits and timers.

use core::fmt;

/// ACK extended transport header (IBTA volume 1, 9.3): what became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Aeth {
    /// ACK, RNR NAK or NAK.
    pub syndrome: Syndrome,
    /// Message sequence number: requests completed by the responder, 24 bits.
    pub msn: u32,
}

impl Aeth {
    /// Bytes on the wire.
    pub const LEN: usize = 4;

    /// Reads a header.
    #[inline]
    pub const fn parse(&[syndrome, m0, m1, m2]: &[u8; Self::LEN]) -> Self {
        Self { syndrome: Syndrome::from_u8(syndrome), msn: u32::from_be_bytes([0, m0, m1, m2]) }
    }

    /// Writes the header; bits of `msn` above 24 are dropped.
    #[inline]
    pub const fn emit(&self, out: &mut [u8; Self::LEN]) {
        let [_, m0, m1, m2] = self.msn.to_be_bytes();
        *out = [self.syndrome.as_u8(), m0, m1, m2];
    }
}

/// The first byte of the AETH (IBTA volume 1, 9.7.5). Every byte has exactly one form here.
///
/// Payloads are five bits wide; higher bits are dropped by [`Syndrome::as_u8`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Syndrome {
    /// Everything up to this PSN arrived.
    Ack {
        /// End-to-end credit code, see [`Syndrome::credits`].
        credits: u8,
    },
    /// Receiver not ready: no receive WQE.
    RnrNak {
        /// How long the requester must wait.
        timer: RnrTimer,
    },
    /// The request failed.
    Nak(NakCode),
    /// A byte without meaning: 0x40..=0x5F or 0x80..=0xFF.
    Reserved(u8),
}

impl Syndrome {
    /// Acknowledgement that does not limit the requester by credits (code 31).
    pub const ACK: Self = Self::Ack { credits: 31 };

    /// Reads a syndrome byte.
    #[inline]
    pub const fn from_u8(byte: u8) -> Self {
        match byte >> 5 {
            0b000 => Self::Ack { credits: byte },
            0b001 => Self::RnrNak { timer: RnrTimer(byte & 0x1F) },
            0b011 => Self::Nak(NakCode::from_u8(byte & 0x1F)),
            _ => Self::Reserved(byte),
        }
    }

    /// The byte on the wire.
    #[inline]
    pub const fn as_u8(self) -> u8 {
        match self {
            Self::Ack { credits } => credits & 0x1F,
            Self::RnrNak { timer } => 0b001 << 5 | timer.0 & 0x1F,
            Self::Nak(code) => 0b011 << 5 | code.as_u8() & 0x1F,
            Self::Reserved(byte) => byte,
        }
    }

    /// Receive WQEs that an ACK announces beyond its MSN; `None` if it sets no limit or is no ACK.
    pub const fn credits(self) -> Option<u32> {
        match self {
            // 0, 1, 2, 3, 4, 6, 8, 12, ...: powers of two and the values half-way between them.
            Self::Ack { credits: code @ 0..=1 } => Some(code as u32),
            Self::Ack { credits: code @ 2..=30 } => Some((2 + (code as u32 & 1)) << (code / 2 - 1)),
            _ => None,
        }
    }
}

impl fmt::Display for Syndrome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ack { .. } => match self.credits() {
                Some(credits) => write!(f, "ACK credits={credits}"),
                None => f.write_str("ACK"),
            },
            Self::RnrNak { timer } => write!(f, "RNR NAK {timer}"),
            Self::Nak(code) => write!(f, "NAK {code}"),
            Self::Reserved(byte) => write!(f, "reserved syndrome {byte:#04x}"),
        }
    }
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NakCode {
    /// Code 0: packets are missing; the requester repeats from the PSN of the NAK.
    PsnSequence,
    /// Code 1: the request is not allowed or makes no sense.
    InvalidRequest,
    /// Code 2: the R_Key does not permit it.
    RemoteAccess,
    /// Code 3: the responder cannot go on.
    RemoteOperational,
    /// Code 4: reliable datagram only.
    InvalidRdRequest,
    /// Codes 5..=31.
    Reserved(u8),
}

impl NakCode {
    /// The reason with this code, 0..=31.
    #[inline]
    pub const fn from_u8(code: u8) -> Self {
        match code {
            0 => Self::PsnSequence,
            1 => Self::InvalidRequest,
            2 => Self::RemoteAccess,
            3 => Self::RemoteOperational,
            4 => Self::InvalidRdRequest,
            _ => Self::Reserved(code),
        }
    }

    /// The code, 0..=31.
    #[inline]
    pub const fn as_u8(self) -> u8 {
        match self {
            Self::PsnSequence => 0,
            Self::InvalidRequest => 1,
            Self::RemoteAccess => 2,
            Self::RemoteOperational => 3,
            Self::InvalidRdRequest => 4,
            Self::Reserved(code) => code,
        }
    }
}

impl fmt::Display for NakCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PsnSequence => f.write_str("PSN sequence error"),
            Self::InvalidRequest => f.write_str("invalid request"),
            Self::RemoteAccess => f.write_str("remote access error"),
            Self::RemoteOperational => f.write_str("remote operational error"),
            Self::InvalidRdRequest => f.write_str("invalid RD request"),
            Self::Reserved(code) => write!(f, "reserved code {code}"),
        }
    }
}

/// How long to wait after an RNR NAK: a code in 0..=31, not a number of anything. Code 0 is the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct RnrTimer(
    /// The code, 0..=31.
    pub u8,
);

impl RnrTimer {
    /// The waiting time in nanoseconds, 10 us to 655.36 ms (IBTA volume 1, 9.7.5).
    pub const fn nanos(self) -> u64 {
        const UNIT: u64 = 10_000;
        // 1, 2, 3, 4, 6, 8, 12, ... units, and after the last comes code 0.
        match self.0 & 0x1F {
            0 => 65536 * UNIT,
            1 => UNIT,
            code => ((2 + (code as u64 & 1)) << (code / 2 - 1)) * UNIT,
        }
    }

    /// The shortest timer that waits at least `nanos`; the longest of all if none does.
    pub fn at_least(nanos: u64) -> Self {
        (1..=31).map(Self).find(|timer| timer.nanos() >= nanos).unwrap_or(Self(0))
    }
}

impl fmt::Display for RnrTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = self.nanos() / 10_000;
        write!(f, "{}.{:02}ms", units / 100, units % 100)
    }
}
