//! "A packet by hand": what is right passes, what is wrong is told by the rule it breaks.

use ferroce_labs::fresh_seed;

use crate::classroom::{Classroom, lab_tests, mutant};

const LAB: &str = "packet-by-hand";

lab_tests! {
    packet_by_hand "packet-by-hand" starter: "bth.opcode" "expected  0x04  (RC_SEND_ONLY)" &[
        ("=> 0x04", "=> 0x64", "bth.opcode", "UD_SEND_ONLY"),
        ("(message.solicited as u8) << 7", "(message.solicited as u8) << 6", "bth.se", "byte 1 bit 7"),
        ("(message.migrated as u8) << 6", "0", "bth.migreq", "byte 1 bit 6"),
        ("(pad as u8) << 4", "(pad as u8)", "bth.padcnt", "byte 1 bits 5-4"),
        ("message.pkey.to_be_bytes()", "message.pkey.to_le_bytes()", "bth.pkey", "reverse order"),
        ("&message.pkey.to_be_bytes()", "&[0xFF, 0xFF]", "bth.pkey", "0xffff"),
        ("packet.push(0);", "packet.push(0x40);", "bth.congestion", "BECN"),
        ("dest_qp.to_be_bytes()[1..]", "dest_qp.to_be_bytes()[..3]", "bth.destqp", "bytes 5-7"),
        ("(message.ack_request as u8) << 7", "0x80", "bth.ackreq", "byte 8 bit 7"),
        ("message.psn.to_be_bytes()[1..]", "message.psn.to_le_bytes()[..3]", "bth.psn", "reverse order"),
        ("(4 - message.payload.len() % 4) % 4", "message.payload.len() % 4", "bth.padcnt", "step 2 of 4"),
        ("&[0; 3][..pad]", "&[0xAA; 3][..pad]", "pad", "0x"),
        ("&va.to_be_bytes()", "&va.to_le_bytes()", "reth.va", "reverse order"),
        ("&rkey.to_be_bytes()", "&[]", "reth.rkey", "RETH R_Key"),
        (
            "(message.payload.len() as u32)",
            "((message.payload.len() + pad) as u32)",
            "reth.dmalen",
            "counts the pad",
        ),
        ("icrc.to_le_bytes()", "icrc.to_be_bytes()", "icrc", "bytes in the wrong order"),
        ("vec![0xFF; 8]", "Vec::new()", "icrc", "without the eight bytes of ones"),
        ("&[0x45, 0xFF]", "&[0x45, 0]", "icrc", "a TOS of 0"),
        ("[0x40, 0x00, 0xFF, 17", "[0x40, 0x00, 64, 17", "icrc", "a TTL of 64"),
        ("covered[bth + 4] = 0xFF;", "let _ = bth;", "icrc", "byte 4 of the BTH"),
        ("8 + packet.len() as u16 + 4", "8 + packet.len() as u16", "icrc", "neither length counts the ICRC"),
        ("    !crc\n", "    crc\n", "icrc", "not inverted"),
        ("flow.identification.to_be_bytes()", "0u16.to_be_bytes()", "icrc", "Identification of 0"),
        (
            "    packet.extend_from_slice(&icrc.to_le_bytes());",
            "    let _ = icrc;",
            "icrc",
            "the packet ends after",
        ),
    ];
}

#[test]
fn answers_to_other_questions_do_not_help() {
    let room = Classroom::new(LAB);
    // Right for one PSN only, such as one that was seen in an earlier message.
    room.write(&mutant(LAB, "message.psn.to_be_bytes()[1..]", "0xABCDEFu32.to_be_bytes()[1..]"));
    assert_eq!(room.fail(fresh_seed()).rule(), Some("bth.psn"));
}

#[test]
fn the_same_seed_tells_the_same() {
    let room = Classroom::new(LAB);
    room.write(&mutant(LAB, "&[0x45, 0xFF]", "&[0x45, 1]"));
    let (one, two, other) = (room.fail(41), room.fail(41), room.fail(42));
    assert_eq!(one.to_string(), two.to_string());
    assert_ne!(one.to_string(), other.to_string());
}

#[test]
fn bytes_after_the_end_are_noticed() {
    let room = Classroom::new(LAB);
    room.write(&mutant(LAB, "&icrc.to_le_bytes());", "&icrc.to_le_bytes()); packet.push(0);"));
    assert_eq!(room.fail(fresh_seed()).rule(), Some("length"));
}
