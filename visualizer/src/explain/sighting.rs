//! From a record of a capture to a RoCEv2 packet: what was under it, what it says, and whether its ICRC is
//! right.

use std::net::IpAddr;

use crc32fast::Hasher;
use ferroce_wire::ip::{Datagram, IpHeader, PROTOCOL_UDP};
use ferroce_wire::{Headers, ICRC_LEN, Opcode, UDP_PORT};

use super::capture::Record;

/// What a record turned out to be.
#[derive(Clone, Debug)]
pub enum Decoded<'a> {
    /// A RoCEv2 packet.
    Roce(Box<Sighting<'a>>),
    /// A datagram to port 4791 that is no packet, and why.
    Undecodable(String),
    /// The first part of a datagram to port 4791 that IP has cut in pieces.
    Fragment,
    /// RoCE version 1, directly over Ethernet: not understood here.
    RoceV1,
    /// A frame that asks the neighbour to pause, or to go on.
    Pause(PauseFrame),
    /// The file has a link type under which no IP is known to be found.
    UnknownLink(u16),
    /// Something else.
    Other,
}

/// A frame of priority-based flow control (IEEE 802.1Qbb) or of the older one for a whole link (802.3 annex 31B).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PauseFrame {
    /// The port that asks.
    pub src: [u8; 6],
    /// For how long each priority is to pause, in units of 512 bit times; 0 lets it go on. `None` for those of which
    /// the frame does not speak.
    pub quanta: [Option<u16>; 8],
}

/// A RoCEv2 packet that was seen.
#[derive(Clone, Debug)]
pub struct Sighting<'a> {
    /// Its number in the capture, from 1.
    pub number: u64,
    /// Nanoseconds since 1970; 0 if unknown.
    pub time: u64,
    /// Sender.
    pub src: IpAddr,
    /// Receiver.
    pub dst: IpAddr,
    /// UDP source port.
    pub src_port: u16,
    /// IPv4 Identification; `None` with IPv6.
    pub ident: Option<u16>,
    /// ECN "congestion experienced".
    pub congested: bool,
    /// BTH and extension headers.
    pub headers: Headers,
    /// Bytes of payload on the wire, pad excluded.
    pub payload_len: usize,
    /// What the capture kept of the payload.
    pub payload: &'a [u8],
    /// The ICRC as it stands in the packet; 0 if it was not captured.
    pub icrc: u32,
    /// Whether it is right.
    pub check: IcrcCheck,
}

impl Sighting<'_> {
    /// The opcode.
    pub fn opcode(&self) -> Opcode {
        self.headers.bth.opcode
    }
}

/// What became of checking an ICRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcrcCheck {
    /// It is right.
    Right,
    /// It is wrong in the way of Linux' soft-RoCE, which counts the headers of a FLUSH twice.
    RxeFlush,
    /// It is wrong: a receiver drops this packet.
    Wrong {
        /// What it should be.
        expected: u32,
    },
    /// The capture does not have the whole packet.
    Unchecked,
}

/// Decodes a record. `scratch` is room for packets that the capture cut.
pub(super) fn decode<'a>(record: &Record<'a>, scratch: &'a mut Vec<u8>) -> Decoded<'a> {
    let ip_at = match find_ip(record.link, record.data) {
        Network::Ip(ip_at) => ip_at,
        Network::RoceV1 => return Decoded::RoceV1,
        Network::Pause(frame) => return Decoded::Pause(frame),
        Network::UnknownLink(link) => return Decoded::UnknownLink(link),
        Network::Other => return Decoded::Other,
    };
    let kept = record.data.len();
    let frame = whole_length(record, scratch);
    let ip = &frame[ip_at..];
    if !goes_to_roce_port(ip) {
        return Decoded::Other;
    }
    if is_fragment(ip) {
        return Decoded::Fragment;
    }
    let datagram = match Datagram::parse(ip) {
        Ok((datagram, _)) => datagram,
        Err(reason) => return Decoded::Undecodable(reason.to_string()),
    };
    let bth_at = ip_at + datagram.wire_len() - datagram.payload.len();
    let kept_of_packet = kept.saturating_sub(bth_at).min(datagram.payload.len());
    let packet = match datagram.packet() {
        Ok(packet) => packet,
        Err(reason) => return Decoded::Undecodable(reason.to_string()),
    };
    let header_len = packet.headers.len();
    if kept_of_packet < header_len {
        return Decoded::Undecodable("the capture cut it inside its headers".to_owned());
    }
    let whole = kept_of_packet == datagram.payload.len();
    Decoded::Roce(Box::new(Sighting {
        number: record.number,
        time: record.time.unwrap_or(0),
        src: datagram.ip.src(),
        dst: datagram.ip.dst(),
        src_port: datagram.udp.src_port,
        ident: match datagram.ip {
            IpHeader::V4(ip) => Some(ip.ident),
            IpHeader::V6(_) => None,
        },
        congested: datagram.ip.traffic_class() & 0x3 == 0x3,
        headers: packet.headers,
        payload_len: packet.payload.len(),
        payload: &packet.payload[..packet.payload.len().min(kept_of_packet - header_len)],
        icrc: if whole { packet.icrc } else { 0 },
        check: if whole { check_icrc(&datagram, packet.headers.bth.opcode) } else { IcrcCheck::Unchecked },
    }))
}

/// The record as long as it was on the wire: what the capture cut is zero.
fn whole_length<'a>(record: &Record<'a>, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    // No IP packet is longer; room for the headers under it does not need to be exact.
    const LONGEST: usize = 0xFFFF + 256;
    let wire_len = (record.wire_len as usize).min(LONGEST);
    if wire_len <= record.data.len() {
        return record.data;
    }
    scratch.clear();
    scratch.extend_from_slice(record.data);
    scratch.resize(wire_len, 0);
    scratch
}

fn check_icrc(datagram: &Datagram<'_>, opcode: Opcode) -> IcrcCheck {
    let Some((transport, icrc)) = datagram.payload.split_last_chunk::<ICRC_LEN>() else {
        return IcrcCheck::Unchecked;
    };
    let (expected, found) = (datagram.pseudo_header().compute(transport), u32::from_le_bytes(*icrc));
    if expected == found {
        IcrcCheck::Right
    } else if opcode == Opcode::RC_FLUSH && rxe_flush_icrc(expected, transport) == found {
        IcrcCheck::RxeFlush
    } else {
        IcrcCheck::Wrong { expected }
    }
}

/// What soft-RoCE of Linux 6.2 and later puts into a FLUSH: the right ICRC continued over BTH, FETH and RETH
/// once more, nothing masked.
fn rxe_flush_icrc(right: u32, transport: &[u8]) -> u32 {
    let mut crc = Hasher::new_with_initial(right);
    crc.update(&transport[..transport.len().min(Opcode::RC_FLUSH.header_len())]);
    crc.finalize()
}

enum Network {
    /// An IP packet may begin at this byte of the record.
    Ip(usize),
    RoceV1,
    Pause(PauseFrame),
    UnknownLink(u16),
    Other,
}

/// Finds the IP header under which link layer ever.
fn find_ip(link: Option<u16>, data: &[u8]) -> Network {
    const NULL: u16 = 0;
    const ETHERNET: u16 = 1;
    const RAW_BSD: u16 = 12;
    const RAW_OPENBSD: u16 = 14;
    const RAW: u16 = 101;
    const LOOP: u16 = 108;
    const LINUX_COOKED: u16 = 113;
    const IPV4: u16 = 228;
    const IPV6: u16 = 229;
    const LINUX_COOKED_2: u16 = 276;
    match link {
        Some(ETHERNET) => after_ethertype(data, 12, 14),
        Some(LINUX_COOKED) => after_ethertype(data, 14, 16),
        Some(LINUX_COOKED_2) => after_ethertype(data, 0, 20),
        // Four bytes of address family, in the byte order of the machine that captured. IP says it as well.
        Some(NULL | LOOP) if data.len() > 4 => Network::Ip(4),
        Some(RAW_BSD | RAW_OPENBSD | RAW | IPV4 | IPV6) => Network::Ip(0),
        Some(unknown) if !matches!(unknown, NULL | LOOP) => Network::UnknownLink(unknown),
        _ => Network::Other,
    }
}

/// Looks at the EtherType at `type_at`; what it names begins at `next`, after any 802.1Q tags.
fn after_ethertype(data: &[u8], type_at: usize, next: usize) -> Network {
    const ROCE_V1: u16 = 0x8915;
    const MAC_CONTROL: u16 = 0x8808;
    let (mut type_at, mut next) = (type_at, next);
    loop {
        let Some(&[high, low]) = data.get(type_at..type_at + 2) else { return Network::Other };
        match u16::from_be_bytes([high, low]) {
            0x0800 | 0x86DD if next <= data.len() => return Network::Ip(next),
            0x8100 | 0x88A8 | 0x9100 => (type_at, next) = (next + 2, next + 4),
            ROCE_V1 => return Network::RoceV1,
            MAC_CONTROL => return pause_frame(data, next).map_or(Network::Other, Network::Pause),
            _ => return Network::Other,
        }
    }
}

/// A MAC control frame whose opcode stands at `at`, if it is about pauses. The sender's address is known from Ethernet
/// only, the one link on which such frames are captured.
fn pause_frame(data: &[u8], at: usize) -> Option<PauseFrame> {
    const PAUSE: u16 = 0x0001;
    const PRIORITY_PAUSE: u16 = 0x0101;
    let word = |index: usize| {
        let bytes = data.get(at + 2 * index..)?.first_chunk()?;
        Some(u16::from_be_bytes(*bytes))
    };
    let quanta = match word(0)? {
        PAUSE => [Some(word(1)?); 8],
        PRIORITY_PAUSE => {
            let enabled = word(1)?;
            let mut quanta = [None; 8];
            for (priority, quanta) in quanta.iter_mut().enumerate().filter(|(n, _)| enabled >> n & 1 == 1) {
                *quanta = Some(word(2 + priority)?);
            }
            quanta
        }
        _ => return None,
    };
    Some(PauseFrame { src: *data.get(6..)?.first_chunk()?, quanta })
}

/// Whether this is an IPv4 packet with "more fragments".
fn is_fragment(ip: &[u8]) -> bool {
    ip[0] >> 4 == 4 && ip[6] & 0x20 != 0
}

/// Whether this is the start of a UDP datagram to port 4791, however broken the rest may be.
fn goes_to_roce_port(ip: &[u8]) -> bool {
    let (protocol, fragment, udp_at) = match ip {
        [first, ..] if first >> 4 == 4 && ip.len() >= 20 => {
            (ip[9], u16::from_be_bytes([ip[6], ip[7]]) & 0x1FFF, usize::from(first & 0xF) * 4)
        }
        [first, ..] if first >> 4 == 6 && ip.len() >= 40 => (ip[6], 0, 40),
        _ => return false,
    };
    let port = ip.get(udp_at + 2..udp_at + 4);
    protocol == PROTOCOL_UDP && fragment == 0 && port == Some(&UDP_PORT.to_be_bytes())
}
