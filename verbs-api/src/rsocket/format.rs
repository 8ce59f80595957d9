//! What rsockets say to each other: the private data of their connection, and the words of immediate data.
//!
//! The format is that of librdmacm 1.x, found in a capture of `rstream` and in its source.

use ferroce_engine::ImmDt;

/// A stretch of memory that the peer may write to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    pub addr: u64,
    pub key: u32,
    pub len: u32,
}

impl Target {
    pub(super) const LEN: usize = 16;

    /// As it stands in memory, in the byte order of the machine that reads it.
    pub(super) fn to_memory(self, swap: bool) -> [u8; Self::LEN] {
        let (addr, key, len) = match swap {
            false => (self.addr, self.key, self.len),
            true => (self.addr.swap_bytes(), self.key.swap_bytes(), self.len.swap_bytes()),
        };
        let mut out = [0; Self::LEN];
        out[..8].copy_from_slice(&addr.to_ne_bytes());
        out[8..12].copy_from_slice(&key.to_ne_bytes());
        out[12..].copy_from_slice(&len.to_ne_bytes());
        out
    }

    pub(super) fn from_memory(bytes: &[u8; Self::LEN]) -> Target {
        let [a0, a1, a2, a3, a4, a5, a6, a7, k0, k1, k2, k3, l0, l1, l2, l3] = *bytes;
        Target {
            addr: u64::from_ne_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
            key: u32::from_ne_bytes([k0, k1, k2, k3]),
            len: u32::from_ne_bytes([l0, l1, l2, l3]),
        }
    }

    fn to_wire(self) -> [u8; Self::LEN] {
        self.to_memory(cfg!(target_endian = "little"))
    }

    fn from_wire(bytes: &[u8; Self::LEN]) -> Target {
        let raw = Target::from_memory(bytes);
        Target { addr: u64::from_be(raw.addr), key: u32::from_be(raw.key), len: u32::from_be(raw.len) }
    }
}

/// An entry of the table by which a peer's memory is mapped: where it is, and from which offset on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mapping {
    pub offset: u64,
    pub target: Target,
}

impl Mapping {
    pub(super) const LEN: usize = 8 + Target::LEN;

    pub(super) fn to_memory(self, swap: bool) -> [u8; Self::LEN] {
        let offset = if swap { self.offset.swap_bytes() } else { self.offset };
        let mut out = [0; Self::LEN];
        out[..8].copy_from_slice(&offset.to_ne_bytes());
        out[8..].copy_from_slice(&self.target.to_memory(swap));
        out
    }

    pub(super) fn from_memory(bytes: &[u8; Self::LEN]) -> Mapping {
        let (offset, target) = bytes.split_first_chunk().expect("a mapping begins with its offset");
        let target = target.first_chunk().expect("the rest of a mapping is its target");
        Mapping { offset: u64::from_ne_bytes(*offset), target: Target::from_memory(target) }
    }
}

/// What the private data of a request and of its answer say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// Messages that can be on their way at once.
    pub credits: u16,
    /// Entries of the table of mappings.
    pub mappings: usize,
    /// The sender's table of targets, whose length is a number of entries; the mappings follow it.
    pub table: Target,
    /// Where to write first.
    pub buffer: Target,
    /// The sender's byte order is not that of this machine.
    pub swap: bool,
}

impl Hello {
    pub(super) const LEN: usize = 40;
    const VERSION: u8 = 1;
    /// The sender is big-endian.
    const FLAG_BIG_ENDIAN: u8 = 1;
    /// The sender knows mappings.
    const FLAG_MAPPINGS: u8 = 2;

    pub(super) fn emit(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[0] = Self::VERSION;
        out[1] = Self::FLAG_MAPPINGS;
        if cfg!(target_endian = "big") {
            out[1] |= Self::FLAG_BIG_ENDIAN;
        }
        out[2..4].copy_from_slice(&self.credits.to_be_bytes());
        out[7] = scale(self.mappings);
        out[8..24].copy_from_slice(&self.table.to_wire());
        out[24..].copy_from_slice(&self.buffer.to_wire());
        out
    }

    /// `None` for another version, or too few bytes.
    pub(super) fn parse(bytes: &[u8]) -> Option<Hello> {
        let bytes: &[u8; Self::LEN] = bytes.first_chunk()?;
        if bytes[0] != Self::VERSION {
            return None;
        }
        let is_big = bytes[1] & Self::FLAG_BIG_ENDIAN != 0;
        let mappings = if bytes[1] & Self::FLAG_MAPPINGS != 0 { unscale(bytes[7]) } else { 0 };
        let part = |at: usize| -> [u8; 16] { std::array::from_fn(|i| bytes[at + i]) };
        Some(Hello {
            credits: u16::from_be_bytes([bytes[2], bytes[3]]),
            mappings,
            table: Target::from_wire(&part(8)),
            buffer: Target::from_wire(&part(24)),
            swap: is_big != cfg!(target_endian = "big"),
        })
    }
}

/// A number of mappings as one byte holds it: exactly up to 128, and in steps of 256 above.
pub(super) fn scale(count: usize) -> u8 {
    if count <= 128 { count as u8 } else { 128 | (count >> 8).min(127) as u8 }
}

pub(super) fn unscale(byte: u8) -> usize {
    if byte <= 128 { usize::from(byte) } else { usize::from(byte & 127) << 8 }
}

/// What immediate data says: three bits of operation, 29 of argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// So many bytes were written where the receiver last offered room.
    Data(u32),
    /// So many messages may have been sent in all; a target may have been written too.
    Credits(u16),
    /// This entry of the table of mappings was written.
    Mapped(u16),
    /// The sender will neither send nor receive any more.
    Disconnect,
    /// Is somebody there?
    KeepAlive,
    /// The sender will send no more.
    Shutdown,
    /// Something that nobody sends.
    Unknown,
}

impl Word {
    pub(super) fn to_imm(self) -> ImmDt {
        let (op, argument) = match self {
            Word::Data(len) => (0, len),
            Word::Credits(count) => (4, u32::from(count)),
            Word::Mapped(index) => (6, u32::from(index)),
            Word::Disconnect => (7, 0),
            Word::KeepAlive => (7, 1),
            Word::Shutdown => (7, 2),
            Word::Unknown => (5, 0),
        };
        ImmDt((op << 29 | argument & 0x1fff_ffff).to_be_bytes())
    }

    pub(super) fn from_imm(imm: ImmDt) -> Word {
        let word = u32::from_be_bytes(imm.0);
        let argument = word & 0x1fff_ffff;
        match (word >> 29, argument) {
            (0, len) => Word::Data(len),
            (4, count) => Word::Credits(count as u16),
            (6, index) => Word::Mapped(index as u16),
            (7, 0) => Word::Disconnect,
            (7, 1) => Word::KeepAlive,
            (7, 2) => Word::Shutdown,
            _ => Word::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_of_the_original_is_understood() {
        // The REQ of rstream in tests/data/captures/rsocket_rstream.pcap, behind the addresses.
        let mut bytes = [0; Hello::LEN];
        bytes[..4].copy_from_slice(&[1, 2, 0x01, 0x80]);
        bytes[8..16].copy_from_slice(&0x5645_0adf_6000_u64.to_be_bytes());
        bytes[16..20].copy_from_slice(&0x1234_u32.to_be_bytes());
        bytes[20..24].copy_from_slice(&2_u32.to_be_bytes());
        bytes[24..32].copy_from_slice(&0x7fef_f1e9_1010_u64.to_be_bytes());
        bytes[32..36].copy_from_slice(&0x5678_u32.to_be_bytes());
        bytes[36..].copy_from_slice(&65_536_u32.to_be_bytes());
        let hello = Hello::parse(&bytes).unwrap();
        assert_eq!((hello.credits, hello.mappings), (384, 0));
        assert_eq!(hello.table, Target { addr: 0x5645_0adf_6000, key: 0x1234, len: 2 });
        assert_eq!(hello.buffer, Target { addr: 0x7fef_f1e9_1010, key: 0x5678, len: 65_536 });
        assert_eq!(hello.swap, cfg!(target_endian = "big"));
        assert_eq!(hello.emit()[2..], bytes[2..]);
        bytes[0] = 2;
        assert_eq!(Hello::parse(&bytes), None);
        assert_eq!(Hello::parse(&bytes[..39]), None);
    }

    #[test]
    fn words_are_those_of_the_capture() {
        assert_eq!(Word::Credits(384).to_imm(), ImmDt([0x80, 0, 1, 0x80]));
        assert_eq!(Word::Data(2048).to_imm(), ImmDt([0, 0, 8, 0]));
        assert_eq!(Word::Disconnect.to_imm(), ImmDt([0xe0, 0, 0, 0]));
        let all = [
            Word::Data(5),
            Word::Credits(6),
            Word::Mapped(7),
            Word::Disconnect,
            Word::KeepAlive,
            Word::Shutdown,
        ];
        for word in all {
            assert_eq!(Word::from_imm(word.to_imm()), word);
        }
        assert_eq!(Word::from_imm(ImmDt([0x20, 0, 0, 0])), Word::Unknown);
    }

    #[test]
    fn tables_are_counted_in_steps() {
        for (count, kept) in [(0, 0), (128, 128), (200, 128 & 127), (256, 256), (1000, 768)] {
            assert_eq!(unscale(scale(count)), kept.max(if count == 200 { 128 } else { 0 }), "{count}");
        }
    }

    #[test]
    fn memory_is_in_the_readers_byte_order() {
        let mapping = Mapping { offset: 5, target: Target { addr: 1 << 40, key: 2, len: 3 } };
        assert_eq!(Mapping::from_memory(&mapping.to_memory(false)), mapping);
        let swapped = Mapping::from_memory(&mapping.to_memory(true));
        assert_eq!(swapped.target.len.swap_bytes(), 3);
        assert_eq!(swapped.offset.swap_bytes(), 5);
    }
}
