//! Capture files, read record by record: pcap in both byte orders and resolutions, and pcapng.
//!
//! A capture is input from a stranger: it may end anywhere and say anything. Whatever can be read is handed
//! out; the first thing that cannot be read ends the file with a [`Damage`] that says where and why. Memory
//! is bounded by one record, whatever the file claims.

use std::io::{self, Read};

/// The longest record that is believed, in bytes: four times the longest IP packet.
const MAX_RECORD: u32 = 256 * 1024;
/// pcapng interfaces that are remembered per section.
const MAX_INTERFACES: usize = 4096;

/// One packet as it was captured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    /// Its place in the file, counted from 1 as Wireshark does.
    pub(super) number: u64,
    /// When it was captured, in nanoseconds since 1970; `None` if the file does not say.
    pub(super) time: Option<u64>,
    /// The link type (`LINKTYPE_*` of tcpdump.org); `None` if its interface was never described.
    pub(super) link: Option<u16>,
    /// How long it was on the wire, in bytes. More than there is in `data` if the capture cut it.
    pub(super) wire_len: u32,
    /// What was kept of it.
    pub(super) data: &'a [u8],
}

/// Why a file is not a capture.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// There is not even a whole file header.
    #[error("the file ends inside its header")]
    TooShort,
    /// It starts with the mark of another format.
    #[error("the file is compressed with {0}; unpack it first")]
    Compressed(&'static str),
    /// It starts with something else.
    #[error("neither pcap nor pcapng: the file starts with {0:02x?}")]
    Unknown([u8; 4]),
}

/// Why reading stopped before the end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    /// The file ends inside a record.
    #[error("the file ends in the middle of a record")]
    Cut,
    /// A length or a mark that cannot be.
    #[error("{0}, so nothing after it can be read")]
    Mangled(&'static str),
    /// The system would not give more bytes.
    #[error("reading failed: {0}")]
    Io(#[from] io::Error),
}

/// A capture file being read.
#[derive(Debug)]
pub(super) struct Capture<R> {
    input: R,
    format: Format,
    number: u64,
    buffer: Vec<u8>,
}

#[derive(Debug)]
enum Format {
    Pcap { order: Order, nanos_per_tick: u64, link: u16 },
    PcapNg { order: Order, interfaces: Vec<Interface> },
}

impl<R: Read> Capture<R> {
    /// Reads the file header.
    ///
    /// # Errors
    /// When this is no capture file.
    pub(super) fn open(mut input: R) -> Result<Self, OpenError> {
        let mut magic = [0; 4];
        if read_up_to(&mut input, &mut magic)? < magic.len() {
            return Err(OpenError::TooShort);
        }
        let format = match u32::from_le_bytes(magic) {
            0xA1B2_C3D4 => open_pcap(&mut input, Order::Little, 1000)?,
            0xA1B2_3C4D => open_pcap(&mut input, Order::Little, 1)?,
            0xD4C3_B2A1 => open_pcap(&mut input, Order::Big, 1000)?,
            0x4D3C_B2A1 => open_pcap(&mut input, Order::Big, 1)?,
            BLOCK_SECTION => open_pcapng(&mut input)?,
            0x0000_8B1F..=0xFFFF_FFFF if magic[..2] == [0x1F, 0x8B] => {
                return Err(OpenError::Compressed("gzip"));
            }
            0xFD2F_B528 => return Err(OpenError::Compressed("zstd")),
            _ => return Err(OpenError::Unknown(magic)),
        };
        Ok(Self { input, format, number: 0, buffer: Vec::new() })
    }

    /// `pcap` or `pcapng`.
    pub(super) fn format_name(&self) -> &'static str {
        match self.format {
            Format::Pcap { .. } => "pcap",
            Format::PcapNg { .. } => "pcapng",
        }
    }

    /// The next packet, `None` at the end of the file.
    ///
    /// # Errors
    /// When the file is damaged here. Do not call this again then: nothing that follows would make sense.
    pub(super) fn next_record(&mut self) -> Result<Option<Record<'_>>, Damage> {
        let place = match &mut self.format {
            Format::Pcap { order, nanos_per_tick, link } => {
                pcap_record(&mut self.input, &mut self.buffer, *order, *nanos_per_tick, *link)?
            }
            Format::PcapNg { order, interfaces } => loop {
                let Some(kind) = read_block(&mut self.input, &mut self.buffer, order)? else { break None };
                let place = understand_block(kind, &self.buffer, *order, interfaces)?;
                if place.is_some() {
                    break place;
                }
            },
        };
        let Some(Place { time, link, wire_len, start, len }) = place else { return Ok(None) };
        self.number += 1;
        let data = &self.buffer[start..start + len];
        Ok(Some(Record { number: self.number, time, link, wire_len, data }))
    }
}

/// A packet that lies in the buffer.
struct Place {
    time: Option<u64>,
    link: Option<u16>,
    wire_len: u32,
    start: usize,
    len: usize,
}

/// Byte order of a file.
#[derive(Clone, Copy, Debug)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let value = [bytes[at], bytes[at + 1]];
        match self {
            Self::Little => u16::from_le_bytes(value),
            Self::Big => u16::from_be_bytes(value),
        }
    }

    fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let value = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        match self {
            Self::Little => u32::from_le_bytes(value),
            Self::Big => u32::from_be_bytes(value),
        }
    }
}

// ---- pcap ----

fn open_pcap(input: &mut impl Read, order: Order, nanos_per_tick: u64) -> Result<Format, OpenError> {
    let mut rest = [0; 20];
    if read_up_to(input, &mut rest)? < rest.len() {
        return Err(OpenError::TooShort);
    }
    // The upper half of the word tells of frame check sequences, which do not matter here.
    let link = order.u32(&rest, 16) as u16;
    Ok(Format::Pcap { order, nanos_per_tick, link })
}

fn pcap_record(
    input: &mut impl Read,
    buffer: &mut Vec<u8>,
    order: Order,
    nanos_per_tick: u64,
    link: u16,
) -> Result<Option<Place>, Damage> {
    let mut header = [0; 16];
    match read_up_to(input, &mut header)? {
        0 => return Ok(None),
        16 => {}
        _ => return Err(Damage::Cut),
    }
    let seconds = u64::from(order.u32(&header, 0));
    let ticks = u64::from(order.u32(&header, 4));
    let len = order.u32(&header, 8);
    if len > MAX_RECORD {
        return Err(Damage::Mangled("a record claims an impossible length"));
    }
    fill(input, buffer, len)?;
    Ok(Some(Place {
        time: Some(seconds * 1_000_000_000 + ticks * nanos_per_tick),
        link: Some(link),
        wire_len: order.u32(&header, 12),
        start: 0,
        len: len as usize,
    }))
}

// ---- pcapng ----

const BLOCK_SECTION: u32 = 0x0A0D_0D0A;
const BLOCK_INTERFACE: u32 = 1;
const BLOCK_PACKET_OBSOLETE: u32 = 2;
const BLOCK_PACKET_SIMPLE: u32 = 3;
const BLOCK_PACKET: u32 = 6;

/// Bytes of a block around its content: type, length, and length again.
const BLOCK_FRAME: u32 = 12;
const BYTE_ORDER_MARK: u32 = 0x1A2B_3C4D;

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: u16,
    snaplen: u32,
    /// Ticks per second.
    resolution: u128,
    /// Seconds to add to every time.
    offset: i64,
}

impl Interface {
    fn nanos(&self, high: u32, low: u32) -> Option<u64> {
        let ticks = u128::from(high) << 32 | u128::from(low);
        let nanos = i128::try_from(ticks * 1_000_000_000 / self.resolution).ok()?;
        u64::try_from(nanos + i128::from(self.offset) * 1_000_000_000).ok()
    }
}

fn open_pcapng(input: &mut impl Read) -> Result<Format, OpenError> {
    // The type has been read; length and byte order mark follow.
    let mut head = [0; 8];
    if read_up_to(input, &mut head)? < head.len() {
        return Err(OpenError::TooShort);
    }
    match finish_section_header(input, &head) {
        Ok(order) => Ok(Format::PcapNg { order, interfaces: Vec::new() }),
        Err(Damage::Io(error)) => Err(OpenError::Io(error)),
        Err(Damage::Cut) => Err(OpenError::TooShort),
        Err(Damage::Mangled(_)) => Err(OpenError::Unknown(BLOCK_SECTION.to_le_bytes())),
    }
}

/// Reads what follows type, length and byte order mark of a section header; returns the section's byte order.
fn finish_section_header(input: &mut impl Read, head: &[u8; 8]) -> Result<Order, Damage> {
    let order = match Order::Big.u32(head, 4) {
        BYTE_ORDER_MARK => Order::Big,
        mark if mark.swap_bytes() == BYTE_ORDER_MARK => Order::Little,
        _ => return Err(Damage::Mangled("a section header has no byte order mark")),
    };
    let len = order.u32(head, 0);
    let rest = len.checked_sub(BLOCK_FRAME).filter(|_| len % 4 == 0);
    // Of type, length, mark and the length at the end, the last is still to come.
    let rest = rest.ok_or(Damage::Mangled("a section header claims an impossible length"))?;
    skip(input, u64::from(rest))?;
    Ok(order)
}

/// Reads the next block; its content, without the lengths, is in `buffer` afterwards. Returns its type.
/// Blocks that hold no packets and are too long to keep come back empty.
fn read_block(input: &mut impl Read, buffer: &mut Vec<u8>, order: &mut Order) -> Result<Option<u32>, Damage> {
    let mut head = [0; 8];
    match read_up_to(input, &mut head)? {
        0 => return Ok(None),
        8 => {}
        _ => return Err(Damage::Cut),
    }
    buffer.clear();
    if order.u32(&head, 0) == BLOCK_SECTION {
        let mut section = [0; 8];
        section[..4].copy_from_slice(&head[4..]);
        if read_up_to(input, &mut section[4..])? < 4 {
            return Err(Damage::Cut);
        }
        *order = finish_section_header(input, &section)?;
        return Ok(Some(BLOCK_SECTION));
    }
    let (kind, len) = (order.u32(&head, 0), order.u32(&head, 4));
    let content = len.checked_sub(BLOCK_FRAME).filter(|_| len % 4 == 0);
    let content = content.ok_or(Damage::Mangled("a block claims an impossible length"))?;
    if content <= MAX_RECORD {
        fill(input, buffer, content)?;
    } else if matches!(kind, BLOCK_PACKET | BLOCK_PACKET_SIMPLE | BLOCK_PACKET_OBSOLETE) {
        return Err(Damage::Mangled("a packet claims an impossible length"));
    } else {
        skip(input, u64::from(content))?;
    }
    let mut len_again = [0; 4];
    if read_up_to(input, &mut len_again)? < 4 {
        return Err(Damage::Cut);
    }
    if order.u32(&len_again, 0) != len {
        return Err(Damage::Mangled("the two lengths of a block differ"));
    }
    Ok(Some(kind))
}

fn understand_block(
    kind: u32,
    content: &[u8],
    order: Order,
    interfaces: &mut Vec<Interface>,
) -> Result<Option<Place>, Damage> {
    const TOO_SHORT: Damage = Damage::Mangled("a packet is longer than its block");
    match kind {
        BLOCK_SECTION => interfaces.clear(),
        BLOCK_INTERFACE if content.len() >= 8 && interfaces.len() < MAX_INTERFACES => {
            interfaces.push(parse_interface(content, order));
        }
        BLOCK_PACKET | BLOCK_PACKET_OBSOLETE => {
            if content.len() < 20 {
                return Err(TOO_SHORT);
            }
            let interface = match kind {
                BLOCK_PACKET => order.u32(content, 0) as usize,
                _ => usize::from(order.u16(content, 0)),
            };
            let interface = interfaces.get(interface);
            let len = order.u32(content, 12) as usize;
            if len > content.len() - 20 {
                return Err(TOO_SHORT);
            }
            return Ok(Some(Place {
                time: interface.and_then(|i| i.nanos(order.u32(content, 4), order.u32(content, 8))),
                link: interface.map(|i| i.link),
                wire_len: order.u32(content, 16),
                start: 20,
                len,
            }));
        }
        BLOCK_PACKET_SIMPLE if content.len() >= 4 => {
            let wire_len = order.u32(content, 0);
            let interface = interfaces.first();
            let kept = match interface.map(|i| i.snaplen) {
                Some(snaplen @ 1..) => wire_len.min(snaplen),
                _ => wire_len,
            };
            let len = (kept as usize).min(content.len() - 4);
            return Ok(Some(Place { time: None, link: interface.map(|i| i.link), wire_len, start: 4, len }));
        }
        _ => {}
    }
    Ok(None)
}

fn parse_interface(content: &[u8], order: Order) -> Interface {
    const OPTION_END: u16 = 0;
    const OPTION_RESOLUTION: u16 = 9;
    const OPTION_OFFSET: u16 = 14;
    let mut interface = Interface {
        link: order.u16(content, 0),
        snaplen: order.u32(content, 4),
        resolution: 1_000_000,
        offset: 0,
    };
    let mut options = &content[8..];
    while options.len() >= 4 {
        let (code, len) = (order.u16(options, 0), usize::from(order.u16(options, 2)));
        let Some(value) = options.get(4..4 + len) else { break };
        match (code, value) {
            (OPTION_END, _) => break,
            (OPTION_RESOLUTION, &[exponent]) => {
                let base: u128 = if exponent & 0x80 != 0 { 2 } else { 10 };
                // A resolution beyond what fits is nonsense; the usual one does no harm then.
                let resolution = base.checked_pow(u32::from(exponent & 0x7F));
                interface.resolution = resolution.unwrap_or(interface.resolution);
            }
            (OPTION_OFFSET, value) if value.len() == 8 => {
                let (first, second) = (order.u32(value, 0), order.u32(value, 4));
                let (high, low) = match order {
                    Order::Big => (first, second),
                    Order::Little => (second, first),
                };
                interface.offset = (u64::from(high) << 32 | u64::from(low)) as i64;
            }
            _ => {}
        }
        options = options.get(4 + len.next_multiple_of(4)..).unwrap_or_default();
    }
    interface
}

// ---- bytes ----

/// Reads until `out` is full or the input ends; returns how many bytes there were.
fn read_up_to(input: &mut impl Read, out: &mut [u8]) -> io::Result<usize> {
    let mut have = 0;
    while have < out.len() {
        match input.read(&mut out[have..]) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(have)
}

/// Replaces the content of `buffer` by the next `len` bytes.
fn fill(input: &mut impl Read, buffer: &mut Vec<u8>, len: u32) -> Result<(), Damage> {
    buffer.clear();
    let read = input.by_ref().take(u64::from(len)).read_to_end(buffer)?;
    if read < len as usize { Err(Damage::Cut) } else { Ok(()) }
}

fn skip(input: &mut impl Read, len: u64) -> Result<(), Damage> {
    let skipped = io::copy(&mut input.by_ref().take(len), &mut io::sink())?;
    if skipped < len { Err(Damage::Cut) } else { Ok(()) }
}
