//! The lab "The invariant CRC": what protects a packet from end to end, and what it leaves out.

use std::net::{Ipv4Addr, Ipv6Addr};

use ferroce_wire::{Bth, Headers, ICRC_LEN, Opcode, Packet, PseudoHeader, Psn, Qpn, UDP_PORT};

use crate::ask::Ask;
use crate::course::{Lab, Language, Question, Step, course_file};
use crate::dice::Dice;
use crate::failure::rules;
use crate::talk::hex;

pub(crate) const ICRC: Lab = Lab {
    name: "icrc",
    title: "The invariant CRC",
    language: Language::Rust,
    text: course_file!("icrc/README.md"),
    file: "icrc.rs",
    starter: course_file!("icrc/starter.rs"),
    harness: course_file!("icrc/harness.rs"),
    modules: &[],
    steps: &[
        Step {
            name: CRC,
            title: "Ethernet's CRC-32",
            hints: &[
                "Begin with all ones. For every byte: xor it into the lowest eight bits, then eight times shift right by \
                 one; whenever the bit that fell out was 1, xor with 0xEDB88320.",
                "At the end all bits are inverted. Of \"123456789\" comes 0xCBF43926.",
            ],
            questions: 16,
        },
        Step {
            name: IPV4,
            title: "the ICRC of an IPv4 packet",
            hints: &[
                "Copy the datagram, write 0xFF over what may change, put eight bytes 0xFF before it, and compute the CRC.",
                "What may change: bytes 1 (TOS), 8 (TTL), 10 and 11 (checksum) of the IPv4 header, 6 and 7 of the UDP \
                 header (which begins at 20), and 4 of the BTH (which begins at 28).",
            ],
            questions: 16,
        },
        Step {
            name: IPV6,
            title: "the ICRC of an IPv6 packet",
            hints: &[
                "The version is the upper half of byte 0; the traffic class is the eight bits behind it, and the flow \
                 label the twenty after those. So byte 0 becomes 0x6F, and bytes 1 to 3 become 0xFF.",
                "The hop limit is byte 7. The UDP header begins at 40, the BTH at 48. There is no header checksum.",
            ],
            questions: 16,
        },
        Step {
            name: VERIFY,
            title: "packets that arrive",
            hints: &[
                "The last four bytes are the ICRC, least significant byte first; compute it of what comes before.",
                "A datagram that is too short for its headers and the ICRC is wrong. Ask for its length before you look \
                 at a byte: datagram.get(0).",
            ],
            questions: 48,
        },
    ],
    draw: |step, number, dice| -> Box<dyn Question> {
        match step {
            CRC => Box::new(crc(number, dice)),
            VERIFY => Box::new(verify(number, dice)),
            _ => Box::new(icrc(step == IPV6, number, dice)),
        }
    },
};

const CRC: &str = "crc";
const IPV4: &str = "ipv4";
const IPV6: &str = "ipv6";
const VERIFY: &str = "verify";

rules! {
    CRC32 "icrc.crc32" "IEEE 802.3, 3.2.9":
        "CRC-32: begin with ones, polynomial 0x04C11DB7 (0xEDB88320 with its bits reversed), invert at the end.";
    COVERS_V4 "icrc.ipv4" "IBTA volume 1, annex A17.3.3":
        "The ICRC covers eight bytes of ones and the packet from its IPv4 header on, with ones for TOS, TTL, header \
         checksum, UDP checksum and byte 4 of the BTH.";
    COVERS_V6 "icrc.ipv6" "IBTA volume 1, annex A17.3.3":
        "The ICRC covers eight bytes of ones and the packet from its IPv6 header on, with ones for traffic class, flow \
         label, hop limit, UDP checksum and byte 4 of the BTH.";
    ACCEPT "icrc.accept" "IBTA volume 1, annex A17.3.3":
        "What routers may change does not make a packet wrong.";
    REJECT "icrc.reject" "IBTA volume 1, 9.6.1":
        "A packet in which anything else has changed is dropped, and one that is too short too.";
}

/// Places in a datagram: of the UDP header and the BTH.
const UDP_V4: usize = 20;
const UDP_V6: usize = 40;

fn crc(number: usize, dice: &mut Dice) -> Ask {
    let bytes = match number {
        0 => b"123456789".to_vec(),
        1 => Vec::new(),
        _ => dice.bytes(number * 3),
    };
    let text = hex(&bytes);
    Ask {
        shown: format!("crc32({text})"),
        line: format!("crc {text}"),
        wanted: format!("{:#010x}", crc32fast::hash(&bytes)),
        rule: &CRC32,
    }
}

fn icrc(v6: bool, number: usize, dice: &mut Dice) -> Ask {
    let datagram = draw(v6, number, dice);
    let (covered, icrc) = datagram.split_at(datagram.len() - ICRC_LEN);
    let call = if v6 { "ipv6" } else { "ipv4" };
    Ask {
        shown: format!("icrc_{call}(), {} bytes: {}", covered.len(), hex(covered)),
        line: format!("{call} {}", hex(covered)),
        wanted: hex(icrc),
        rule: if v6 { &COVERS_V6 } else { &COVERS_V4 },
    }
}

/// A datagram that arrives: as it was sent, changed as routers change it, damaged, or cut.
fn verify(number: usize, dice: &mut Dice) -> Ask {
    let v6 = number % 2 == 1;
    let mut datagram = draw(v6, number, dice);
    let udp = if v6 { UDP_V6 } else { UDP_V4 };
    let variant: &[usize] = if v6 { &[1, 2, 3, 7] } else { &[1, 8, 10, 11] };
    let (what, is_right) = match number / 2 % 6 {
        0 => ("as it was sent".to_owned(), true),
        1 => {
            for at in variant.iter().copied().chain([udp + 6, udp + 7, udp + 12]) {
                datagram[at] = dice.bits() as u8;
            }
            ("changed by routers as they may".to_owned(), true)
        }
        2 => {
            // One bit, anywhere: where nothing may be changed.
            let may = |at: usize| {
                variant.contains(&at) || [udp + 6, udp + 7, udp + 12].contains(&at) || (v6 && at == 0)
            };
            let at = std::iter::repeat_with(|| dice.bits() as usize % datagram.len()).find(|&at| !may(at));
            let (at, bit) = (at.expect("the dice never stop"), dice.number(3));
            datagram[at] ^= 1 << bit;
            (format!("bit {bit} of byte {at} has flipped"), false)
        }
        3 => {
            datagram.truncate(dice.bits() as usize % (udp + 8 + Bth::LEN + ICRC_LEN));
            (format!("cut after {} bytes", datagram.len()), false)
        }
        4 => {
            let at = datagram.len() - 1 - number / 12 % ICRC_LEN;
            datagram[at] ^= 1 << dice.number(3);
            (format!("with another byte {at}, which is one of its ICRC"), false)
        }
        _ => {
            let at = datagram.len() - ICRC_LEN;
            datagram[at..].reverse();
            let is_right = datagram[at..].iter().eq(datagram[at..].iter().rev());
            ("with the bytes of its ICRC reversed".to_owned(), is_right)
        }
    };
    let text = hex(&datagram);
    Ask {
        shown: format!("is_right(), a packet {what}: {text}"),
        line: format!("verify {text}"),
        wanted: is_right.to_string(),
        rule: if is_right { &ACCEPT } else { &REJECT },
    }
}

/// A datagram from its IP header to its ICRC.
fn draw(v6: bool, number: usize, dice: &mut Dice) -> Vec<u8> {
    let bth = Bth {
        ack_request: dice.flag(),
        ..Bth::new(Opcode::RC_SEND_ONLY, Qpn::new(dice.number(24) as u32), Psn::new(dice.number(24) as u32))
    };
    let payload = dice.bytes(4 * (number % 12));
    let mut packet = Packet::new(Headers::new(bth), &payload);
    let mut transport = vec![0; packet.wire_len()];
    let src_port = 0xC000 | dice.number(14) as u16;
    let udp_len = (8 + transport.len()) as u16;
    let (mut ip, flow) = if v6 {
        let [src, dst] =
            [(); 2].map(|()| Ipv6Addr::from(u128::from(dice.bits()) << 64 | u128::from(dice.bits())));
        (ipv6(src, dst, udp_len, dice), PseudoHeader::V6 { src, dst, src_port, dst_port: UDP_PORT })
    } else {
        let [src, dst] = [(); 2].map(|()| Ipv4Addr::from_bits(dice.number(32) as u32));
        let ident = dice.number(16) as u16;
        let flow = PseudoHeader::V4 { src, dst, ident, flags_fragment: 0x4000, src_port, dst_port: UDP_PORT };
        (ipv4(src, dst, ident, udp_len, dice), flow)
    };
    packet.emit(&mut transport).expect("the headers are those of the opcode");
    packet.icrc = flow.compute(&transport[..transport.len() - ICRC_LEN]);
    packet.emit(&mut transport).expect("as before");
    for number in [src_port, UDP_PORT, udp_len, dice.number(16) as u16] {
        ip.extend_from_slice(&number.to_be_bytes());
    }
    [ip, transport].concat()
}

fn ipv4(src: Ipv4Addr, dst: Ipv4Addr, ident: u16, udp_len: u16, dice: &mut Dice) -> Vec<u8> {
    let mut ip = vec![0x45, dice.number(8) as u8];
    for number in [udp_len + 20, ident, 0x4000] {
        ip.extend_from_slice(&number.to_be_bytes());
    }
    ip.extend_from_slice(&[dice.number(8) as u8, 17, dice.number(8) as u8, dice.number(8) as u8]);
    ip.extend_from_slice(&src.octets());
    ip.extend_from_slice(&dst.octets());
    ip
}

fn ipv6(src: Ipv6Addr, dst: Ipv6Addr, udp_len: u16, dice: &mut Dice) -> Vec<u8> {
    let mut ip = (0x6000_0000 | dice.number(28) as u32).to_be_bytes().to_vec();
    ip.extend_from_slice(&udp_len.to_be_bytes());
    ip.extend_from_slice(&[17, dice.number(8) as u8]);
    ip.extend_from_slice(&src.octets());
    ip.extend_from_slice(&dst.octets());
    ip
}
