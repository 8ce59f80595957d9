//! The lab "A packet by hand": BTH, RETH, pad and ICRC of a RoCEv2 packet, byte by byte.

mod icrc;
mod judge;
mod message;
mod rules;

use crate::course::{Lab, Language, Step, course_file};
use message::draw;

pub(crate) const PACKET_BY_HAND: Lab = Lab {
    name: "packet-by-hand",
    title: "A packet by hand",
    language: Language::Rust,
    text: course_file!("packet-by-hand/README.md"),
    file: "packet.rs",
    starter: course_file!("packet-by-hand/starter.rs"),
    harness: course_file!("packet-by-hand/harness.rs"),
    modules: &[],
    steps: &[
        Step {
            name: BTH,
            title: "the base transport header of a SEND",
            hints: &[
                "Write the twelve bytes in order, most significant byte first. Five of the fields are whole \
                 bytes; only bytes 1, 4 and 8 are put together from bits.",
                "Byte 1 is SE << 7 | MigReq << 6 | PadCnt << 4 | TVer. Byte 4 is 0. Byte 8 is AckReq << 7.",
                "u32::to_be_bytes gives four bytes; a 24-bit field is the last three of them: \
                 packet.extend_from_slice(&message.psn.to_be_bytes()[1..]).",
            ],
            questions: 32,
        },
        Step {
            name: PAD,
            title: "payload and pad",
            hints: &[
                "Everything after the headers is a multiple of four bytes long. What is missing is filled with \
                 zero bytes, and their number stands in the BTH, bits 5 and 4 of byte 1.",
                "The pad is 0 when the length is a multiple of four already, not 4. (4 - len % 4) % 4.",
            ],
            questions: 32,
        },
        Step {
            name: RETH,
            title: "an RDMA WRITE",
            hints: &[
                "A WRITE has another opcode, RC_WRITE_ONLY, and 16 bytes between the BTH and the payload.",
                "VA is 8 bytes, R_Key 4, DMALen 4, all big-endian. DMALen counts the payload, not the pad.",
            ],
            questions: 32,
        },
        Step {
            name: ICRC,
            title: "the invariant CRC",
            hints: &[
                "It is Ethernet's CRC-32 (start with all ones, polynomial 0xEDB88320 shifting right, invert at \
                 the end) of: eight bytes 0xFF, the IPv4 header, the UDP header, and your packet.",
                "Put 0xFF wherever a router may change something: TOS, TTL and checksum of IPv4, the checksum \
                 of UDP, byte 4 of the BTH. All other bytes of the headers are covered as they are.",
                "The lengths in the IPv4 and UDP headers count the four bytes of the ICRC too: UDP length = 8 + \
                 packet + 4, IPv4 total length = 20 + UDP length.",
                "The ICRC is the one thing in the packet whose least significant byte comes first: \
                 packet.extend_from_slice(&crc.to_le_bytes()).",
            ],
            questions: 64,
        },
    ],
    draw: |step, number, dice| Box::new(draw(step, number, dice)),
};

const BTH: &str = "bth";
const PAD: &str = "pad";
const RETH: &str = "reth";
const ICRC: &str = "icrc";
