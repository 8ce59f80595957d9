//! What people read about a packet.

use ferroce_wire::decode::fields;
use ferroce_wire::*;

fn headers(opcode: Opcode) -> Headers {
    Headers::new(Bth::new(opcode, Qpn::new(0x12), Psn::new(0x34)))
}

#[test]
fn one_line_names_every_header() {
    let reth = Some(Reth { va: 0x1000, rkey: 0x77, len: 64 });
    let deth = Some(Deth::new(0x8001_0000, Qpn::GSI));
    let xrceth = Some(Xrceth { reserved: 0, srqn: 0x9 });
    let atomic = Some(AtomicEth { va: 0x1000, rkey: 0x77, swap_or_add: 5, compare: 4 });
    let rnr = Some(Aeth { syndrome: Syndrome::RnrNak { timer: RnrTimer(12) }, msn: 3 });
    let feth = Some(Feth { placement: Feth::PERSISTENT, selectivity: Feth::MEMORY_REGION, reserved: 0 });
    let imm = Some(ImmDt([1, 2, 3, 4]));
    let lines = [
        (
            Headers { deth, ..headers(Opcode::UD_SEND_ONLY) },
            "UD_SEND_ONLY",
            "qkey=0x80010000 src_qp=0x000001",
        ),
        (
            Headers { xrceth, imm, ..headers(Opcode::XRC_SEND_ONLY_IMM) },
            "XRC_SEND_ONLY_IMM",
            "srqn=0x9 imm=0x01020304",
        ),
        (
            Headers { atomic, ..headers(Opcode::RC_COMPARE_SWAP) },
            "RC_COMPARE_SWAP",
            "va=0x1000 rkey=0x77 compare=0x4 swap=0x5",
        ),
        (Headers { aeth: rnr, ..headers(Opcode::RC_ACKNOWLEDGE) }, "RC_ACKNOWLEDGE", "RNR NAK 0.64ms msn=3"),
        (
            Headers { feth, reth, ..headers(Opcode::RC_FLUSH) },
            "RC_FLUSH",
            "placement=2 selectivity=1 va=0x1000 rkey=0x77 dlen=64",
        ),
        (
            Headers { ieth: Some(Ieth { rkey: 0x77 }), ..headers(Opcode::RC_SEND_ONLY_INV) },
            "RC_SEND_ONLY_INV",
            "invalidate=0x77",
        ),
    ];
    for (headers, name, rest) in lines {
        assert_eq!(headers.to_string(), format!("{name} qp=0x000012 psn=0x000034 {rest}"));
    }
}

#[test]
fn one_line_shows_what_is_unusual() {
    let mut headers = headers(Opcode::RC_SEND_ONLY);
    headers.bth = Bth { solicited: true, fecn: true, version: 1, pkey: 0x7FFF, ..headers.bth };
    let line = Packet::new(headers, &[0; 4]).to_string();
    assert_eq!(line, "RC_SEND_ONLY qp=0x000012 psn=0x000034 S F tver=1 pkey=0x7fff len=4");
}

#[test]
fn every_field_has_its_place_and_meaning() {
    let aeth = Some(Aeth { syndrome: Syndrome::ACK, msn: 7 });
    let mut packet = Packet::new(Headers { aeth, ..headers(Opcode::RC_READ_RESP_ONLY) }, b"hello");
    packet.headers.bth = Bth { pkey: 0x7FFF, resv7: 1, ..packet.headers.bth };
    packet.padding = [0, 0, 9];
    packet.icrc = 0x1234_5678;

    let mut lines = Vec::new();
    fields(&packet, &mut |field| {
        let line = format!(
            "{} {} at {}.{} of {} bits = {:#x} {}",
            field.part, field.name, field.byte, field.bit, field.bits, field.value, field.meaning
        );
        lines.push(line.trim_end().to_owned());
    })
    .unwrap();
    let expected = [
        "BTH OpCode at 0.0 of 8 bits = 0x10 RC_READ_RESP_ONLY",
        "BTH SE at 1.0 of 1 bits = 0x0",
        "BTH MigReq at 1.1 of 1 bits = 0x0",
        "BTH PadCnt at 1.2 of 2 bits = 0x3",
        "BTH TVer at 1.4 of 4 bits = 0x0",
        "BTH P_Key at 2.0 of 16 bits = 0x7fff limited member",
        "BTH FECN at 4.0 of 1 bits = 0x0",
        "BTH BECN at 4.1 of 1 bits = 0x0",
        "BTH reserved at 4.2 of 6 bits = 0x0",
        "BTH DestQP at 5.0 of 24 bits = 0x12",
        "BTH AckReq at 8.0 of 1 bits = 0x0",
        "BTH reserved at 8.1 of 7 bits = 0x1 should be zero",
        "BTH PSN at 9.0 of 24 bits = 0x34",
        "AETH Syndrome at 12.0 of 8 bits = 0x1f ACK",
        "AETH MSN at 13.0 of 24 bits = 0x7",
        "payload payload at 16.0 of 40 bits = 0x5",
        "pad pad at 21.0 of 24 bits = 0x9 should be zero",
        "ICRC ICRC at 24.0 of 32 bits = 0x12345678",
    ];
    assert_eq!(lines, expected);
}
