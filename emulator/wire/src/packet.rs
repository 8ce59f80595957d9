//! Whole packets: all headers of one, and headers with payload, pad and ICRC.

use crate::bth::UnknownOpcode;
use crate::{
    Aeth, AtomicAckEth, AtomicEth, Bth, Deth, Feth, HeaderSet, ICRC_LEN, Ieth, ImmDt, Opcode, Part, Rdeth,
    Reth, Xrceth,
};

/// The headers of one packet. Which extension headers are there must be what `bth.opcode` says.
///
/// ```
/// # use ferroce_wire::*;
/// # let bth = Bth::new(Opcode::RC_READ_REQUEST, Qpn::new(1), Psn::new(1));
/// let headers = Headers { reth: Some(Reth { va: 0x1000, rkey: 7, len: 64 }), ..Headers::new(bth) };
/// assert_eq!(headers.len(), 28);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Base transport header.
    pub bth: Bth,
    /// In all RD packets.
    pub rdeth: Option<Rdeth>,
    /// In UD packets and RD requests.
    pub deth: Option<Deth>,
    /// In XRC requests.
    pub xrceth: Option<Xrceth>,
    /// In FLUSH.
    pub feth: Option<Feth>,
    /// In whatever begins to access remote memory.
    pub reth: Option<Reth>,
    /// In atomic requests.
    pub atomic: Option<AtomicEth>,
    /// In acknowledgements and in READ responses, the middle ones excepted.
    pub aeth: Option<Aeth>,
    /// In atomic responses.
    pub atomic_ack: Option<AtomicAckEth>,
    /// In the opcodes named "IMM".
    pub imm: Option<ImmDt>,
    /// In the opcodes named "INV".
    pub ieth: Option<Ieth>,
}

impl Headers {
    /// Bytes of the longest headers there are: RD atomics.
    pub const MAX_LEN: usize = 52;

    /// A BTH alone.
    #[inline]
    pub const fn new(bth: Bth) -> Self {
        Self {
            bth,
            rdeth: None,
            deth: None,
            xrceth: None,
            feth: None,
            reth: None,
            atomic: None,
            aeth: None,
            atomic_ack: None,
            imm: None,
            ieth: None,
        }
    }

    /// Bytes on the wire, as the opcode has it.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "there is always a BTH")]
    pub const fn len(&self) -> usize {
        self.bth.opcode.header_len()
    }

    /// The extension headers that are there.
    #[inline]
    pub const fn present(&self) -> HeaderSet {
        HeaderSet::EMPTY
            .with_if(Part::Rdeth, self.rdeth.is_some())
            .with_if(Part::Deth, self.deth.is_some())
            .with_if(Part::Xrceth, self.xrceth.is_some())
            .with_if(Part::Feth, self.feth.is_some())
            .with_if(Part::Reth, self.reth.is_some())
            .with_if(Part::AtomicEth, self.atomic.is_some())
            .with_if(Part::Aeth, self.aeth.is_some())
            .with_if(Part::AtomicAckEth, self.atomic_ack.is_some())
            .with_if(Part::ImmDt, self.imm.is_some())
            .with_if(Part::Ieth, self.ieth.is_some())
    }

    /// Reads the headers at the start of a UDP payload and returns them with what follows.
    ///
    /// # Errors
    /// When the opcode is unknown or the bytes end inside a header.
    #[inline]
    pub fn parse(udp_payload: &[u8]) -> Result<(Self, &[u8]), ParseError> {
        let mut input = Input { rest: udp_payload };
        let mut headers = Self::new(Bth::parse(input.take(Part::Bth)?)?);
        let set = headers.bth.opcode.headers();
        if set.is_empty() {
            return Ok((headers, input.rest));
        }
        headers.rdeth = input.take_if(set, Part::Rdeth, Rdeth::parse)?;
        headers.deth = input.take_if(set, Part::Deth, Deth::parse)?;
        headers.xrceth = input.take_if(set, Part::Xrceth, Xrceth::parse)?;
        headers.feth = input.take_if(set, Part::Feth, Feth::parse)?;
        headers.reth = input.take_if(set, Part::Reth, Reth::parse)?;
        headers.atomic = input.take_if(set, Part::AtomicEth, AtomicEth::parse)?;
        headers.aeth = input.take_if(set, Part::Aeth, Aeth::parse)?;
        headers.atomic_ack = input.take_if(set, Part::AtomicAckEth, AtomicAckEth::parse)?;
        headers.imm = input.take_if(set, Part::ImmDt, ImmDt::parse)?;
        headers.ieth = input.take_if(set, Part::Ieth, Ieth::parse)?;
        Ok((headers, input.rest))
    }

    /// Writes the headers to the start of `out` and returns how many bytes they are.
    ///
    /// # Errors
    /// When the headers are not those of the opcode, or do not fit. Then `out` has no meaningful content.
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let opcode = self.bth.opcode;
        let present = self.present();
        if present != opcode.headers() {
            return Err(EmitError::Headers { opcode, present });
        }
        let available = out.len();
        let mut output = Output { rest: out };
        self.emit_all(&mut output).ok_or(EmitError::Buffer { needed: self.len(), available })?;
        Ok(self.len())
    }

    #[inline]
    fn emit_all(&self, out: &mut Output<'_>) -> Option<()> {
        self.bth.emit(out.take()?);
        if self.bth.opcode.headers().is_empty() {
            return Some(());
        }
        if let Some(rdeth) = &self.rdeth {
            rdeth.emit(out.take()?);
        }
        if let Some(deth) = &self.deth {
            deth.emit(out.take()?);
        }
        if let Some(xrceth) = &self.xrceth {
            xrceth.emit(out.take()?);
        }
        if let Some(feth) = &self.feth {
            feth.emit(out.take()?);
        }
        if let Some(reth) = &self.reth {
            reth.emit(out.take()?);
        }
        if let Some(atomic) = &self.atomic {
            atomic.emit(out.take()?);
        }
        if let Some(aeth) = &self.aeth {
            aeth.emit(out.take()?);
        }
        if let Some(atomic_ack) = &self.atomic_ack {
            atomic_ack.emit(out.take()?);
        }
        if let Some(imm) = &self.imm {
            imm.emit(out.take()?);
        }
        if let Some(ieth) = &self.ieth {
            ieth.emit(out.take()?);
        }
        Some(())
    }
}

/// A packet: the payload of a UDP datagram to port 4791.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// BTH and extension headers.
    pub headers: Headers,
    /// The data, without pad.
    pub payload: &'a [u8],
    /// The pad bytes, of which the first `headers.bth.pad` count. Zero, unless a peer sent something else.
    pub padding: [u8; 3],
    /// The ICRC as a number; the wire has its least significant byte first. Not checked by `parse`, not
    /// computed by `emit`: see [`crate::icrc`].
    pub icrc: u32,
}

impl<'a> Packet<'a> {
    /// A packet with the pad that its payload needs. The ICRC, which depends on the IP header, is 0.
    #[inline]
    pub const fn new(headers: Headers, payload: &'a [u8]) -> Self {
        let pad = payload.len().wrapping_neg() as u8 & 0x3;
        let headers = Headers { bth: Bth { pad, ..headers.bth }, ..headers };
        Self { headers, payload, padding: [0; 3], icrc: 0 }
    }

    /// Reads the payload of a UDP datagram.
    ///
    /// Only what cannot be read is refused: neither TVer nor the length of the payload nor the ICRC is judged.
    ///
    /// # Errors
    /// When the opcode is unknown or the bytes end before the headers, the pad and the ICRC do.
    #[inline]
    pub fn parse(udp_payload: &'a [u8]) -> Result<Self, ParseError> {
        let (headers, rest) = Headers::parse(udp_payload)?;
        let Some((data, icrc)) = rest.split_last_chunk::<ICRC_LEN>() else {
            return Err(ParseError::Truncated { part: Part::Icrc, needed: ICRC_LEN, available: rest.len() });
        };
        let pad = usize::from(headers.bth.pad);
        let Some(payload_len) = data.len().checked_sub(pad) else {
            return Err(ParseError::Truncated { part: Part::Pad, needed: pad, available: data.len() });
        };
        let (payload, pad_bytes) = data.split_at(payload_len);
        let mut padding = [0; 3];
        for (kept, received) in padding.iter_mut().zip(pad_bytes) {
            *kept = *received;
        }
        Ok(Self { headers, payload, padding, icrc: u32::from_le_bytes(*icrc) })
    }

    /// Bytes on the wire, ICRC included.
    #[inline]
    pub const fn wire_len(&self) -> usize {
        self.headers.len() + self.payload.len() + (self.headers.bth.pad & 0x3) as usize + ICRC_LEN
    }

    /// Writes the packet to the start of `out` and returns its length.
    ///
    /// # Errors
    /// As [`Headers::emit`].
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let (needed, available) = (self.wire_len(), out.len());
        let out = out.get_mut(..needed).ok_or(EmitError::Buffer { needed, available })?;
        let header_len = self.headers.emit(out)?;
        let (payload, tail) = out[header_len..].split_at_mut(self.payload.len());
        payload.copy_from_slice(self.payload);
        let (pad, icrc) = tail.split_at_mut(tail.len() - ICRC_LEN);
        pad.copy_from_slice(&self.padding[..pad.len()]);
        icrc.copy_from_slice(&self.icrc.to_le_bytes());
        Ok(needed)
    }
}

/// Why bytes are not a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The bytes end too early.
    #[error("{part} needs {needed} bytes, there are {available}")]
    Truncated {
        /// What should stand here.
        part: Part,
        /// Its bytes.
        needed: usize,
        /// The bytes left for it.
        available: usize,
    },
    /// The first byte is no opcode.
    #[error(transparent)]
    Opcode(#[from] UnknownOpcode),
}

/// Why a packet could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmitError {
    /// The output is too short.
    #[error("{needed} bytes to write, room for {available}")]
    Buffer {
        /// Bytes to write.
        needed: usize,
        /// Bytes there are.
        available: usize,
    },
    /// The opcode has other headers.
    #[error("{opcode} does not have the extension headers {present:?}")]
    Headers {
        /// The opcode in the BTH.
        opcode: Opcode,
        /// The headers given.
        present: HeaderSet,
    },
}

struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    #[inline]
    fn take<const N: usize>(&mut self, part: Part) -> Result<&'a [u8; N], ParseError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(ParseError::Truncated {
            part,
            needed: N,
            available: self.rest.len(),
        })?;
        self.rest = rest;
        Ok(bytes)
    }

    #[inline]
    fn take_if<const N: usize, H>(
        &mut self,
        set: HeaderSet,
        part: Part,
        parse: impl Fn(&[u8; N]) -> H,
    ) -> Result<Option<H>, ParseError> {
        if set.contains(part) { self.take(part).map(|bytes| Some(parse(bytes))) } else { Ok(None) }
    }
}

struct Output<'a> {
    rest: &'a mut [u8],
}

impl<'a> Output<'a> {
    #[inline]
    fn take<const N: usize>(&mut self) -> Option<&'a mut [u8; N]> {
        let (bytes, rest) = core::mem::take(&mut self.rest).split_first_chunk_mut()?;
        self.rest = rest;
        Some(bytes)
    }
}
