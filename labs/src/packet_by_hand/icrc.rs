//! Recognises mistakes in an ICRC by making them.

use ferroce_wire::{Bth, ICRC_LEN, PseudoHeader};

use super::message::Message;

/// Lengths of what comes before the BTH.
const ONES: usize = 8;
const IPV4: usize = 20;
const UDP: usize = 8;

/// Places in what the ICRC covers.
const TOS: usize = ONES + 1;
const TOTAL_LEN: usize = ONES + 2;
const IDENT: usize = ONES + 4;
const FLAGS: usize = ONES + 6;
const TTL: usize = ONES + 8;
const IP_CHECKSUM: usize = ONES + 10;
const UDP_LEN: usize = ONES + IPV4 + 4;
const UDP_CHECKSUM: usize = ONES + IPV4 + 6;
const BTH: usize = ONES + IPV4 + UDP;
const BTH_CONGESTION: usize = BTH + 4;

/// What the ICRC at the end of `seen` is instead of the right one, if it is something well known.
pub(super) fn recognise(message: &Message, expected: &[u8], seen: &[u8]) -> Option<String> {
    let at = expected.len() - ICRC_LEN;
    let got: [u8; ICRC_LEN] = seen[at..at + ICRC_LEN].try_into().expect("four bytes");
    if got == [0; ICRC_LEN] {
        return Some("There are only zeros where the ICRC comes.".to_owned());
    }
    let covered = cover(message, &expected[..at]);
    let right = crc(&covered);
    if got == right.to_be_bytes() {
        return Some("This is the right CRC with its bytes in the wrong order.".to_owned());
    }
    let found = mistakes(message, &covered).into_iter().find(|(mistaken, _)| {
        let value = crc(mistaken);
        got == value.to_le_bytes() || got == value.to_be_bytes()
    });
    if let Some((_, what)) = found {
        return Some(format!("This is the CRC that comes out {what}."));
    }
    let inverted = got == (!right).to_le_bytes();
    inverted.then(|| "This is the right CRC, but it was not inverted at the end.".to_owned())
}

fn crc(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// What the ICRC of a packet covers, laid out in one piece.
fn cover(message: &Message, transport: &[u8]) -> Vec<u8> {
    let PseudoHeader::V4 { src, dst, ident, flags_fragment, src_port, dst_port } = message.flow else {
        unreachable!("drawn as IPv4")
    };
    let udp_len = (UDP + transport.len() + ICRC_LEN) as u16;
    let mut bytes = vec![0xFF; BTH];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(ONES, &[0x45]);
    put(TOTAL_LEN, &(IPV4 as u16 + udp_len).to_be_bytes());
    put(IDENT, &ident.to_be_bytes());
    put(FLAGS, &flags_fragment.to_be_bytes());
    put(ONES + 9, &[17]);
    put(ONES + 12, &src.octets());
    put(ONES + 16, &dst.octets());
    put(ONES + IPV4, &src_port.to_be_bytes());
    put(ONES + IPV4 + 2, &dst_port.to_be_bytes());
    put(UDP_LEN, &udp_len.to_be_bytes());
    bytes.extend_from_slice(transport);
    bytes[BTH_CONGESTION] = 0xFF;
    bytes
}

/// Other bytes than the right ones, each with a name for the mistake: "the CRC that comes out ...".
fn mistakes(message: &Message, covered: &[u8]) -> Vec<(Vec<u8>, &'static str)> {
    let with = |changes: &[(usize, &[u8])]| {
        let mut bytes = covered.to_vec();
        for (at, value) in changes {
            bytes[*at..at + value.len()].copy_from_slice(value);
        }
        bytes
    };
    let lens = |total: usize, udp: usize| {
        let (total, udp) = (total as u16, udp as u16);
        with(&[(TOTAL_LEN, &total.to_be_bytes()), (UDP_LEN, &udp.to_be_bytes())])
    };
    let transport = covered.len() - BTH;
    let (udp, total) = (UDP + transport + ICRC_LEN, IPV4 + UDP + transport + ICRC_LEN);
    let pad = message.packet().headers.bth.pad;
    let without_pad = covered.len() - usize::from(pad);
    let PseudoHeader::V4 { ident, .. } = message.flow else { unreachable!("drawn as IPv4") };
    let cleared = with(&[
        (TOS, &[0]),
        (TTL, &[0]),
        (IP_CHECKSUM, &[0, 0]),
        (UDP_CHECKSUM, &[0, 0]),
        (BTH_CONGESTION, &[0]),
    ]);
    vec![
        (covered[ONES..].to_vec(), "without the eight bytes of ones before the IP header"),
        (covered[ONES + IPV4..].to_vec(), "without the IP header"),
        (covered[BTH..].to_vec(), "without the IP and UDP headers"),
        ([&[0xFF; ONES], &covered[BTH..]].concat(), "without the IP and UDP headers"),
        (covered[BTH + Bth::LEN..].to_vec(), "over what follows the BTH only"),
        (message.payload.clone(), "over the payload only"),
        (covered[..without_pad].to_vec(), "without the pad bytes"),
        (cleared, "with zeros instead of ones for what may change on the way"),
        (with(&[(TOS, &[0])]), "with a TOS of 0 instead of ones"),
        (with(&[(TTL, &[0])]), "with a TTL of 0 instead of ones"),
        (with(&[(TTL, &[64])]), "with a TTL of 64 instead of ones"),
        (with(&[(IP_CHECKSUM, &[0, 0])]), "with an IP checksum of 0 instead of ones"),
        (with(&[(UDP_CHECKSUM, &[0, 0])]), "with a UDP checksum of 0 instead of ones"),
        (with(&[(BTH_CONGESTION, &[0])]), "with byte 4 of the BTH as it is instead of ones"),
        (with(&[(IDENT, &[0, 0])]), "with an Identification of 0"),
        (with(&[(IDENT, &ident.to_le_bytes())]), "with the bytes of the Identification swapped"),
        (with(&[(FLAGS, &[0, 0])]), "without the flag \"don't fragment\""),
        (lens(total - ICRC_LEN, udp - ICRC_LEN), "if neither length counts the ICRC"),
        (lens(total, udp - ICRC_LEN), "if the UDP length does not count the ICRC"),
        (lens(total - ICRC_LEN, udp), "if the IP total length does not count the ICRC"),
        (lens(udp, udp), "if the IP total length does not count the IP header"),
        (lens(total, udp - UDP), "if the UDP length does not count the UDP header"),
    ]
}
