//! Interop. Read README.md, write `read`, `explain` and `mend`, then: ferroce lab check

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    pub opcode: u8,
    /// The queue pair that it goes to.
    pub dest_qp: u32,
    pub psn: u32,
    /// The syndrome of an answer; requests have none.
    pub syndrome: Option<u8>,
}

/// What must be mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: everything was acknowledged in the end.
    Nothing,
    /// Nobody answers: wrong address, GID or queue pair number, or the responder's queue pair is not ready.
    Unreachable,
    /// The responder's first PSN is not what the requester begins with.
    FirstPsn,
    /// The requester's path MTU is larger than the responder's.
    PathMtu,
    /// The responder's program posts no receives.
    NoReceive,
    /// Key, address, length or right are wrong.
    Key,
}

/// How the requester's queue pair is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub first_psn: u32,
    pub path_mtu: u32,
    /// How often it tries again after "receiver not ready"; 7 is for ever.
    pub rnr_retry: u8,
}

/// Reads an Ethernet frame; `None` if there is no RoCEv2 packet over IPv4 in it, or not all of its headers.
pub fn read(frame: &[u8]) -> Option<Packet> {
    let (ethernet, ip) = frame.split_at_checked(14)?;
    let header = 4 * usize::from(ip.first()? & 15);
    let (ip, udp) = ip.split_at_checked(header)?;
    let (udp, bth) = udp.split_at_checked(8)?;
    if ethernet[12..] != [8, 0] || ip[9] != 17 || udp[2..4] != 4791_u16.to_be_bytes() {
        return None;
    }
    let number = |at: usize| u32::from_be_bytes([0, bth[at], bth[at + 1], bth[at + 2]]);
    if bth.len() < 12 {
        return None;
    }
    let has_aeth = matches!(bth[0], 0x0d | 0x0f..=0x12);
    let syndrome = if has_aeth { Some(*bth.get(12)?) } else { None };
    Some(Packet { opcode: bth[0], dest_qp: number(5), psn: number(9), syndrome })
}

/// Kinds of answers, by bits 6 and 5 of the syndrome and those below.
fn is_ack(syndrome: u8) -> bool {
    syndrome >> 5 == 0
}

fn is_rnr(syndrome: u8) -> bool {
    syndrome >> 5 == 1
}

const SEQUENCE: u8 = 0x60;
const INVALID: u8 = 0x61;
const ACCESS: u8 = 0x62;

/// What is wrong with a session, whose frames these are from the first on.
pub fn explain(frames: &[Vec<u8>]) -> Fault {
    let answers: Vec<u8> = frames.iter().filter_map(|frame| read(frame)?.syndrome).collect();
    if answers.is_empty() {
        return Fault::Unreachable;
    }
    if answers.contains(&ACCESS) {
        return Fault::Key;
    }
    if answers.contains(&INVALID) {
        return Fault::PathMtu;
    }
    if answers.iter().any(|&syndrome| is_ack(syndrome)) {
        return Fault::Nothing;
    }
    if answers.contains(&SEQUENCE) {
        return Fault::FirstPsn;
    }
    Fault::NoReceive
}

/// The session with these settings failed, and these were its frames: what should the settings be?
pub fn mend(settings: Settings, frames: &[Vec<u8>]) -> Settings {
    // The first answer that is no ACK. "Not ready" is nothing to mend once it is waited for.
    let is_waited_for = |syndrome: u8| is_rnr(syndrome) && settings.rnr_retry == 7;
    let is_bad = |syndrome: u8| !is_ack(syndrome) && !is_waited_for(syndrome);
    let mut packets = frames.iter().filter_map(|frame| read(frame));
    let Some(nak) = packets.find(|packet| packet.syndrome.is_some_and(is_bad)) else { return settings };
    match nak.syndrome {
        Some(SEQUENCE) => Settings { first_psn: nak.psn, ..settings },
        Some(INVALID) => Settings { path_mtu: settings.path_mtu / 2, ..settings },
        Some(syndrome) if is_rnr(syndrome) => Settings { rnr_retry: 7, ..settings },
        _ => settings,
    }
}
