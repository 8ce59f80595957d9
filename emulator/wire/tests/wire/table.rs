//! The tables of the specification, written down a second time.

use ferroce_wire::Position::{First, Last, Middle, Only};
use ferroce_wire::flow::*;
use ferroce_wire::*;

/// Operation codes in order with name, bytes of own headers, position, and what the payload may be at a path
/// MTU of 256: its least and greatest length.
const OPERATIONS: [(u8, &str, usize, Position, usize, usize); 26] = [
    (0x00, "SEND_FIRST", 0, First, 256, 256),
    (0x01, "SEND_MIDDLE", 0, Middle, 256, 256),
    (0x02, "SEND_LAST", 0, Last, 1, 256),
    (0x03, "SEND_LAST_IMM", 4, Last, 1, 256),
    (0x04, "SEND_ONLY", 0, Only, 0, 256),
    (0x05, "SEND_ONLY_IMM", 4, Only, 0, 256),
    (0x06, "WRITE_FIRST", 16, First, 256, 256),
    (0x07, "WRITE_MIDDLE", 0, Middle, 256, 256),
    (0x08, "WRITE_LAST", 0, Last, 1, 256),
    (0x09, "WRITE_LAST_IMM", 4, Last, 1, 256),
    (0x0A, "WRITE_ONLY", 16, Only, 0, 256),
    (0x0B, "WRITE_ONLY_IMM", 20, Only, 0, 256),
    (0x0C, "READ_REQUEST", 16, Only, 0, 0),
    (0x0D, "READ_RESP_FIRST", 4, First, 256, 256),
    (0x0E, "READ_RESP_MIDDLE", 0, Middle, 256, 256),
    (0x0F, "READ_RESP_LAST", 4, Last, 1, 256),
    (0x10, "READ_RESP_ONLY", 4, Only, 0, 256),
    (0x11, "ACKNOWLEDGE", 4, Only, 0, 0),
    (0x12, "ATOMIC_ACK", 12, Only, 0, 0),
    (0x13, "COMPARE_SWAP", 28, Only, 0, 0),
    (0x14, "FETCH_ADD", 28, Only, 0, 0),
    (0x15, "RESYNC", 0, Only, 0, 0),
    (0x16, "SEND_LAST_INV", 4, Last, 1, 256),
    (0x17, "SEND_ONLY_INV", 4, Only, 0, 256),
    (0x1C, "FLUSH", 20, Only, 0, 0),
    (0x1D, "ATOMIC_WRITE", 16, Only, 8, 8),
];

/// Services with the upper bits and the first part of the name of their opcodes.
const SERVICES: [(Service, u8, &str); 5] = [
    (Service::Rc, 0x00, "RC"),
    (Service::Uc, 0x20, "UC"),
    (Service::Rd, 0x40, "RD"),
    (Service::Ud, 0x60, "UD"),
    (Service::Xrc, 0xA0, "XRC"),
];

fn has(service: Service, code: u8) -> bool {
    match service {
        Service::Rc => matches!(code, 0x00..=0x14 | 0x16..=0x17 | 0x1C..=0x1D),
        Service::Uc => code <= 0x0B,
        Service::Rd => code <= 0x15,
        Service::Ud => matches!(code, 0x04..=0x05),
        Service::Xrc => matches!(code, 0x00..=0x14 | 0x16..=0x17),
        Service::Cnp => false,
    }
}

#[test]
fn opcodes() {
    let mut defined = vec![Opcode::CNP];
    for (service, class, prefix) in SERVICES {
        for (code, name, own_headers, position, least, greatest) in OPERATIONS {
            let byte = class | code;
            if !has(service, code) {
                assert_eq!(Opcode::from_u8(byte), None, "{byte:#04x}");
                continue;
            }
            let opcode = Opcode::from_u8(byte).unwrap();
            defined.push(opcode);
            let response = (0x0D..=0x12).contains(&code);
            let service_headers = match service {
                Service::Rd if response => 4,
                Service::Rd => 12,
                Service::Ud => 8,
                Service::Xrc if !response => 4,
                _ => 0,
            };
            assert_eq!(opcode.as_u8(), byte);
            assert_eq!(opcode.name(), format!("{prefix}_{name}"));
            assert_eq!(opcode.service(), service);
            assert_eq!(Opcode::new(service, opcode.operation()), Some(opcode));
            assert_eq!((opcode.is_request(), opcode.is_response()), (!response, response));
            assert_eq!(opcode.position(), position, "{opcode}");
            assert_eq!(opcode.header_len(), 12 + service_headers + own_headers, "{opcode}");
            let lengths: Vec<usize> =
                (0..300).filter(|&len| opcode.payload_rule().allows(len, 256)).collect();
            assert_eq!((lengths.first(), lengths.last()), (Some(&least), Some(&greatest)), "{opcode}");
            assert_eq!(lengths.len(), greatest - least + 1, "{opcode}");
        }
    }
    let mut all = Opcode::ALL.to_vec();
    for list in [&mut all, &mut defined] {
        list.sort_by_key(|opcode| opcode.as_u8());
    }
    assert_eq!(all, defined);
    assert_eq!(all, (0..=255).filter_map(Opcode::from_u8).collect::<Vec<_>>());
}

#[test]
fn the_cnp_is_alone_in_its_class() {
    assert_eq!(Opcode::new(Service::Cnp, Operation::Notify), Some(Opcode::CNP));
    assert_eq!(Opcode::new(Service::Cnp, Operation::SendMiddle), None);
    assert_eq!(Opcode::new(Service::Rc, Operation::Notify), None);
    assert_eq!((Opcode::CNP.as_u8(), Opcode::CNP.header_len()), (0x81, 12));
    assert_eq!((Opcode::CNP.is_request(), Opcode::CNP.is_response()), (false, false));
    assert_eq!(Opcode::CNP.payload_rule(), PayloadRule::Fixed(16));
}

#[test]
fn headers_follow_in_the_order_of_the_specification() {
    let order = |opcode: Opcode| opcode.headers().iter().map(Part::name).collect::<Vec<_>>();
    assert_eq!(order(Opcode::RD_WRITE_ONLY_IMM), ["RDETH", "DETH", "RETH", "ImmDt"]);
    assert_eq!(order(Opcode::RD_ATOMIC_ACK), ["RDETH", "AETH", "AtomicAckETH"]);
    assert_eq!(order(Opcode::XRC_SEND_LAST_INV), ["XRCETH", "IETH"]);
    assert_eq!(order(Opcode::RC_FLUSH), ["FETH", "RETH"]);
    assert_eq!(order(Opcode::UD_SEND_ONLY_IMM), ["DETH", "ImmDt"]);
    assert_eq!(order(Opcode::RC_COMPARE_SWAP), ["AtomicETH"]);
    assert!(order(Opcode::RC_SEND_ONLY).is_empty());
}

#[test]
fn syndromes() {
    for byte in 0..=255 {
        let syndrome = Syndrome::from_u8(byte);
        assert_eq!(syndrome.as_u8(), byte);
        match byte {
            0x00..=0x1F => assert_eq!(syndrome, Syndrome::Ack { credits: byte }),
            0x20..=0x3F => assert_eq!(syndrome, Syndrome::RnrNak { timer: RnrTimer(byte - 0x20) }),
            0x60..=0x7F => assert_eq!(syndrome, Syndrome::Nak(NakCode::from_u8(byte - 0x60))),
            _ => assert_eq!(syndrome, Syndrome::Reserved(byte)),
        }
    }
    assert_eq!(Syndrome::from_u8(0x60), Syndrome::Nak(NakCode::PsnSequence));
    assert_eq!(Syndrome::from_u8(0x62), Syndrome::Nak(NakCode::RemoteAccess));
    assert_eq!(Syndrome::from_u8(0x65), Syndrome::Nak(NakCode::Reserved(5)));
}

#[test]
fn rnr_timers_in_microseconds() {
    let table = [
        655_360, 10, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640, 960, 1_280, 1_920, 2_560, 3_840,
        5_120, 7_680, 10_240, 15_360, 20_480, 30_720, 40_960, 61_440, 81_920, 122_880, 163_840, 245_760,
        327_680, 491_520,
    ];
    for (code, micros) in (0..).zip(table) {
        assert_eq!(RnrTimer(code).nanos(), micros * 1000, "code {code}");
        assert_eq!(RnrTimer::at_least(micros * 1000), RnrTimer(code));
    }
    assert_eq!(RnrTimer::at_least(0), RnrTimer(1));
    assert_eq!(RnrTimer::at_least(10_001), RnrTimer(2));
    assert_eq!(RnrTimer::at_least(u64::MAX), RnrTimer(0));
    assert_eq!(RnrTimer(12).to_string(), "0.64ms");
}

#[test]
fn credits() {
    let table = [
        0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048,
        3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768,
    ];
    for (code, credits) in (0..).zip(table) {
        assert_eq!(Syndrome::Ack { credits: code }.credits(), Some(credits), "code {code}");
    }
    assert_eq!(Syndrome::ACK.credits(), None);
    assert_eq!(Syndrome::Nak(NakCode::PsnSequence).credits(), None);
}

/// The ports that soft-RoCE used between QPs with these numbers.
#[test]
fn source_ports() {
    let connected =
        |local, remote| port_from_flow_label(flow_label_for_qps(Qpn::new(local), Qpn::new(remote)));
    assert_eq!(connected(0x23, 0x23), 0xC4C9);
    assert_eq!(connected(0x2B, 0x2B), 0xC739);
    assert_eq!(connected(0x30, 0x30), 0xC900);
    assert_eq!(connected(0x123456, 0x654321), 0xF787);
    assert_eq!(connected(0x654321, 0x123456), 0xF787);

    assert_eq!(flow_label_for_cm(57413, 7174), 0xB4461);
    assert_eq!(port_from_flow_label(0xB4461), 0xC44C);
    assert_eq!(flow_label_for_cm(45650, 7471), 0x5B51D);
    assert_eq!(port_from_flow_label(0x5B51D), 0xF50B);

    for (qpn, port) in [(1, 0xD872), (0x31, 0xEDD8), (0x28, 0xD1D5), (0x34, 0xF72E), (0x36, 0xE813)] {
        assert_eq!(port_for_datagram_qp(Qpn::new(qpn)), port);
    }
}

#[test]
fn path_mtus() {
    for (value, bytes) in [(1, 256), (2, 512), (3, 1024), (4, 2048), (5, 4096)] {
        let mtu = PathMtu::from_ib_value(value).unwrap();
        assert_eq!((mtu.ib_value(), mtu.bytes()), (value, bytes));
        assert_eq!(PathMtu::from_bytes(bytes), Some(mtu));
    }
    assert_eq!(PathMtu::from_ib_value(0), None);
    assert_eq!(PathMtu::from_ib_value(6), None);
    assert_eq!(PathMtu::from_bytes(1500), None);
    for (len, packets) in [(0, 1), (1, 1), (1024, 1), (1025, 2), (1 << 31, 1 << 21), (u64::MAX, u32::MAX)] {
        assert_eq!(PathMtu::Mtu1024.packets_for(len), packets);
    }
}
