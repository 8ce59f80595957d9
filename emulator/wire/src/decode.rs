//! What a packet says, for people: one line with [`Display`](fmt::Display), or every field with [`fields`].

use core::fmt;
use core::ops::Range;

use crate::{DEFAULT_PKEY, EmitError, Feth, Headers, Opcode, Operation, Packet, Part, Qpn, Syndrome};

impl fmt::Display for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bth = &self.bth;
        write!(f, "{} qp={} psn={}", bth.opcode, bth.dest_qp, bth.psn)?;
        let flags = [
            (bth.solicited, "S"),
            (bth.migrated, "M"),
            (bth.ack_request, "A"),
            (bth.fecn, "F"),
            (bth.becn, "B"),
        ];
        for (_, letter) in flags.iter().filter(|(set, _)| *set) {
            write!(f, " {letter}")?;
        }
        if bth.version != 0 {
            write!(f, " tver={}", bth.version)?;
        }
        if bth.pkey != DEFAULT_PKEY {
            write!(f, " pkey={:#06x}", bth.pkey)?;
        }
        self.fmt_extensions(f)
    }
}

impl Headers {
    fn fmt_extensions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(rdeth) = &self.rdeth {
            write!(f, " eec={:#x}", rdeth.ee_context)?;
        }
        if let Some(deth) = &self.deth {
            write!(f, " qkey={:#x} src_qp={}", deth.qkey, deth.src_qp)?;
        }
        if let Some(xrceth) = &self.xrceth {
            write!(f, " srqn={:#x}", xrceth.srqn)?;
        }
        if let Some(feth) = &self.feth {
            write!(f, " placement={} selectivity={}", feth.placement, feth.selectivity)?;
        }
        if let Some(reth) = &self.reth {
            write!(f, " va={:#x} rkey={:#x} dlen={}", reth.va, reth.rkey, reth.len)?;
        }
        if let Some(atomic) = &self.atomic {
            write!(f, " va={:#x} rkey={:#x}", atomic.va, atomic.rkey)?;
            match self.bth.opcode.operation() {
                Operation::FetchAdd => write!(f, " add={:#x}", atomic.swap_or_add)?,
                _ => write!(f, " compare={:#x} swap={:#x}", atomic.compare, atomic.swap_or_add)?,
            }
        }
        if let Some(aeth) = &self.aeth {
            write!(f, " {} msn={}", aeth.syndrome, aeth.msn)?;
        }
        if let Some(atomic_ack) = &self.atomic_ack {
            write!(f, " original={:#x}", atomic_ack.original)?;
        }
        if let Some(imm) = &self.imm {
            write!(f, " imm={:#010x}", u32::from_be_bytes(imm.0))?;
        }
        if let Some(ieth) = &self.ieth {
            write!(f, " invalidate={:#x}", ieth.rkey)?;
        }
        Ok(())
    }
}

/// One line, as in `RC_SEND_ONLY qp=0x000012 psn=0x00abcd A pad=3 len=5`.
///
/// After the PSN come the flags that are set (**S**olicited, **M**igrated, **A**ckReq, **F**ECN, **B**ECN),
/// what is unusual (TVer, P_Key), the extension headers, and the pad and payload lengths unless they are 0.
impl fmt::Display for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.headers.fmt(f)?;
        if self.headers.bth.pad != 0 {
            write!(f, " pad={}", self.headers.bth.pad)?;
        }
        if !self.payload.is_empty() {
            write!(f, " len={}", self.payload.len())?;
        }
        Ok(())
    }
}

/// A field of a packet: where it lies, what its value is and what that means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The header it belongs to.
    pub part: Part,
    /// Its name in the IBTA specification.
    pub name: &'static str,
    /// Its first byte, counted from the start of the BTH.
    pub byte: usize,
    /// Its first bit in that byte; 0 is the most significant.
    pub bit: usize,
    /// How many bits it has.
    pub bits: usize,
    /// Its value as a number; of the payload, its length in bytes.
    pub value: u64,
    /// What the value means.
    pub meaning: Meaning,
}

impl Field {
    /// The bytes of which it has at least a bit, counted from the start of the BTH.
    pub const fn bytes(&self) -> Range<usize> {
        self.byte..self.byte + (self.bit + self.bits).div_ceil(8)
    }
}

/// What the value of a field means. Prints as nothing when it is just a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A number.
    Number,
    /// These words.
    Words(&'static str),
    /// This opcode.
    Opcode(Opcode),
    /// This syndrome.
    Syndrome(Syndrome),
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number => Ok(()),
            Self::Words(words) => f.pad(words),
            Self::Opcode(opcode) => opcode.fmt(f),
            Self::Syndrome(syndrome) => syndrome.fmt(f),
        }
    }
}

/// Calls `visit` for every field in wire order. Together they are every bit of the packet, once.
///
/// # Errors
/// When the headers are not those of the opcode; that cannot happen with a packet that was parsed.
pub fn fields(packet: &Packet<'_>, visit: &mut dyn FnMut(Field)) -> Result<(), EmitError> {
    let mut bytes = [0; Headers::MAX_LEN];
    let header_len = packet.headers.emit(&mut bytes)?;

    let mut bit = 0;
    for part in core::iter::once(Part::Bth).chain(packet.headers.present().iter()) {
        for &(name, bits) in layout(part) {
            let value = read_bits(&bytes, bit, bits);
            let meaning = meaning(part, name, value);
            visit(Field { part, name, byte: bit / 8, bit: bit % 8, bits, value, meaning });
            bit += bits;
        }
    }

    let pad_len = usize::from(packet.headers.bth.pad & 0x3);
    let pad = packet.padding[..pad_len].iter().fold(0, |value, &byte| value << 8 | u64::from(byte));
    let pad_meaning = if pad == 0 { Meaning::Number } else { Meaning::Words("should be zero") };
    let tail = [
        (Part::Payload, packet.payload.len(), packet.payload.len() as u64, Meaning::Number),
        (Part::Pad, pad_len, pad, pad_meaning),
        (Part::Icrc, 4, u64::from(packet.icrc), Meaning::Number),
    ];
    let mut byte = header_len;
    for (part, len, value, meaning) in tail.into_iter().filter(|(_, len, ..)| *len > 0) {
        visit(Field { part, name: part.name(), byte, bit: 0, bits: len * 8, value, meaning });
        byte += len;
    }
    Ok(())
}

/// Names and widths in bits of the fields of a header, in order.
const fn layout(part: Part) -> &'static [(&'static str, usize)] {
    match part {
        Part::Bth => &[
            ("OpCode", 8),
            ("SE", 1),
            ("MigReq", 1),
            ("PadCnt", 2),
            ("TVer", 4),
            ("P_Key", 16),
            ("FECN", 1),
            ("BECN", 1),
            (RESERVED, 6),
            ("DestQP", 24),
            ("AckReq", 1),
            (RESERVED, 7),
            ("PSN", 24),
        ],
        Part::Rdeth => &[(RESERVED, 8), ("EE-Context", 24)],
        Part::Deth => &[("Q_Key", 32), (RESERVED, 8), ("SrcQP", 24)],
        Part::Xrceth => &[(RESERVED, 8), ("XRCSRQ", 24)],
        Part::Feth => &[(RESERVED, 26), ("SEL", 2), ("PLT", 4)],
        Part::Reth => &[("VA", 64), ("R_Key", 32), ("DMALen", 32)],
        Part::AtomicEth => &[("VA", 64), ("R_Key", 32), ("SwapDt", 64), ("CmpDt", 64)],
        Part::Aeth => &[("Syndrome", 8), ("MSN", 24)],
        Part::AtomicAckEth => &[("OrigRemDt", 64)],
        Part::ImmDt => &[("ImmDt", 32)],
        Part::Ieth => &[("R_Key", 32)],
        Part::Payload | Part::Pad | Part::Icrc => &[],
    }
}

const RESERVED: &str = "reserved";

fn meaning(part: Part, name: &str, value: u64) -> Meaning {
    const GLOBAL: u64 = Feth::GLOBAL as u64;
    const PERSISTENT: u64 = Feth::PERSISTENT as u64;
    const GSI: u64 = Qpn::GSI.value() as u64;
    const MULTICAST: u64 = Qpn::MULTICAST.value() as u64;
    let words = match (part, name, value) {
        (Part::Bth, "OpCode", _) => {
            return Opcode::from_u8(value as u8).map_or(Meaning::Number, Meaning::Opcode);
        }
        (Part::Aeth, "Syndrome", _) => return Meaning::Syndrome(Syndrome::from_u8(value as u8)),
        (Part::Bth, "SE", 1) => "the receiver's completion is a solicited event",
        (Part::Bth, "MigReq", 1) => "path migration state: migrated",
        (Part::Bth, "TVer", 1..) => "not a version of this transport",
        (Part::Bth, "P_Key", 0xFFFF) => "default partition, full member",
        (Part::Bth, "P_Key", 0x8000..) => "full member",
        (Part::Bth, "P_Key", _) => "limited member",
        (Part::Bth, "FECN", 1) => "congestion on the way",
        (Part::Bth, "BECN", 1) => "congestion on the way to the receiver of this packet's sender",
        (Part::Bth, "DestQP", GSI) => "general service interface",
        (Part::Bth, "DestQP", MULTICAST) => "multicast",
        (Part::Bth, "AckReq", 1) => "the responder must acknowledge",
        (Part::Deth, "Q_Key", 0x8001_0000) => "that of every QP1",
        (Part::Deth, "SrcQP", GSI) => "general service interface",
        (Part::Feth, "SEL", 0) => "memory range",
        (Part::Feth, "SEL", 1) => "whole memory region",
        (Part::Feth, "PLT", GLOBAL) => "globally visible",
        (Part::Feth, "PLT", PERSISTENT) => "persistent",
        (Part::Feth, "PLT", 3) => "globally visible and persistent",
        (_, RESERVED, 1..) => "should be zero",
        _ => return Meaning::Number,
    };
    Meaning::Words(words)
}

/// `bits` (at most 64) bits from `bit` as a big-endian number.
fn read_bits(bytes: &[u8], bit: usize, bits: usize) -> u64 {
    (bit..bit + bits).fold(0, |value, i| value << 1 | u64::from(bytes[i / 8] >> (7 - i % 8) & 1))
}
