//! The base transport header, first in every packet.

use crate::{DEFAULT_PKEY, Opcode, Psn, Qpn};

/// Base transport header (IBTA volume 1, 9.2).
///
/// Fields narrower than their Rust type are masked when written: `pad` to 2 bits, `version` to 4, `resv6` to
/// 6 and `resv7` to 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bth {
    /// What the packet is.
    pub opcode: Opcode,
    /// SE: the receiver's completion should raise a solicited event. Counts on the last packet of a message.
    pub solicited: bool,
    /// MigReq: the sender's path is in the "migrated" state. Path-migration-aware hardware sets it always.
    pub migrated: bool,
    /// Pad bytes after the payload, 0..=3.
    pub pad: u8,
    /// TVer, transport header version; 0 is the only one there is.
    pub version: u8,
    /// Partition key; bit 15 is full membership.
    pub pkey: u16,
    /// Forward congestion notification; unused by RoCEv2, which has ECN in the IP header.
    pub fecn: bool,
    /// Backward congestion notification; set in CNPs.
    pub becn: bool,
    /// Six reserved bits beside FECN and BECN. Like those, not covered by the ICRC.
    pub resv6: u8,
    /// The queue pair that shall have the packet.
    pub dest_qp: Qpn,
    /// A: the responder must acknowledge.
    pub ack_request: bool,
    /// Seven reserved bits beside A.
    pub resv7: u8,
    /// Packet sequence number.
    pub psn: Psn,
}

/// A byte that is no opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("unknown opcode {0:#04x}")]
pub struct UnknownOpcode(
    /// The byte.
    pub u8,
);

impl Bth {
    /// Bytes on the wire.
    pub const LEN: usize = 12;

    /// A header of the default partition with all flags clear.
    #[inline]
    pub const fn new(opcode: Opcode, dest_qp: Qpn, psn: Psn) -> Self {
        Self {
            opcode,
            solicited: false,
            migrated: false,
            pad: 0,
            version: 0,
            pkey: DEFAULT_PKEY,
            fecn: false,
            becn: false,
            resv6: 0,
            dest_qp,
            ack_request: false,
            resv7: 0,
            psn,
        }
    }

    /// Reads a header.
    ///
    /// # Errors
    /// When the first byte is no opcode. A `version` other than 0 is no error here.
    #[inline]
    pub fn parse(bytes: &[u8; Self::LEN]) -> Result<Self, UnknownOpcode> {
        let &[code, flags, p0, p1, congestion, q0, q1, q2, ack, s0, s1, s2] = bytes;
        Ok(Self {
            opcode: Opcode::from_u8(code).ok_or(UnknownOpcode(code))?,
            solicited: flags & 0x80 != 0,
            migrated: flags & 0x40 != 0,
            pad: flags >> 4 & 0x3,
            version: flags & 0xF,
            pkey: u16::from_be_bytes([p0, p1]),
            fecn: congestion & 0x80 != 0,
            becn: congestion & 0x40 != 0,
            resv6: congestion & 0x3F,
            dest_qp: Qpn::new(u32::from_be_bytes([0, q0, q1, q2])),
            ack_request: ack & 0x80 != 0,
            resv7: ack & 0x7F,
            psn: Psn::new(u32::from_be_bytes([0, s0, s1, s2])),
        })
    }

    /// Writes the header.
    #[inline]
    pub fn emit(&self, out: &mut [u8; Self::LEN]) {
        let [p0, p1] = self.pkey.to_be_bytes();
        let [_, q0, q1, q2] = self.dest_qp.value().to_be_bytes();
        let [_, s0, s1, s2] = self.psn.value().to_be_bytes();
        let flags = u8::from(self.solicited) << 7
            | u8::from(self.migrated) << 6
            | (self.pad & 0x3) << 4
            | self.version & 0xF;
        let congestion = u8::from(self.fecn) << 7 | u8::from(self.becn) << 6 | self.resv6 & 0x3F;
        let ack = u8::from(self.ack_request) << 7 | self.resv7 & 0x7F;
        *out = [self.opcode.as_u8(), flags, p0, p1, congestion, q0, q1, q2, ack, s0, s1, s2];
    }
}
