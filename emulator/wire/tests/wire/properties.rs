//! What holds for every packet, and for every string of bytes.

use ferroce_wire::decode::{Field, fields};
use ferroce_wire::frame::Frame;
use ferroce_wire::ip::Datagram;
use ferroce_wire::*;
use proptest::collection::vec;
use proptest::prelude::*;

prop_compose! {
    fn any_bth()(
        (solicited, migrated, fecn, becn, ack_request) in any::<(bool, bool, bool, bool, bool)>(),
        (pad, version, resv6, resv7) in (0..4u8, 0..16u8, 0..64u8, 0..128u8),
        (pkey, dest_qp, psn) in any::<(u16, u32, u32)>(),
    ) -> Bth {
        Bth {
            opcode: Opcode::CNP, solicited, migrated, pad, version, pkey, fecn, becn, resv6,
            dest_qp: Qpn::new(dest_qp), ack_request, resv7, psn: Psn::new(psn),
        }
    }
}

prop_compose! {
    /// Headers with all extensions, which no opcode has; [`restrict`] makes them those of one opcode.
    fn any_headers()(
        bth in any_bth(),
        rdeth in (any::<u8>(), 0..1u32 << 24),
        deth in any::<(u32, u8, u32)>(),
        xrceth in (any::<u8>(), 0..1u32 << 24),
        feth in (0..16u8, 0..4u8, 0..1u32 << 26),
        reth in any::<(u64, u32, u32)>(),
        atomic in any::<(u64, u32, u64, u64)>(),
        aeth in (any::<u8>(), 0..1u32 << 24),
        (original, imm, rkey) in any::<(u64, [u8; 4], u32)>(),
    ) -> Headers {
        Headers {
            bth,
            rdeth: Some(Rdeth { reserved: rdeth.0, ee_context: rdeth.1 }),
            deth: Some(Deth { qkey: deth.0, reserved: deth.1, src_qp: Qpn::new(deth.2) }),
            xrceth: Some(Xrceth { reserved: xrceth.0, srqn: xrceth.1 }),
            feth: Some(Feth { placement: feth.0, selectivity: feth.1, reserved: feth.2 }),
            reth: Some(Reth { va: reth.0, rkey: reth.1, len: reth.2 }),
            atomic: Some(AtomicEth { va: atomic.0, rkey: atomic.1, swap_or_add: atomic.2, compare: atomic.3 }),
            aeth: Some(Aeth { syndrome: Syndrome::from_u8(aeth.0), msn: aeth.1 }),
            atomic_ack: Some(AtomicAckEth { original }),
            imm: Some(ImmDt(imm)),
            ieth: Some(Ieth { rkey }),
        }
    }
}

fn restrict(all: &Headers, opcode: Opcode) -> Headers {
    let set = opcode.headers();
    Headers {
        bth: Bth { opcode, ..all.bth },
        rdeth: all.rdeth.filter(|_| set.contains(Part::Rdeth)),
        deth: all.deth.filter(|_| set.contains(Part::Deth)),
        xrceth: all.xrceth.filter(|_| set.contains(Part::Xrceth)),
        feth: all.feth.filter(|_| set.contains(Part::Feth)),
        reth: all.reth.filter(|_| set.contains(Part::Reth)),
        atomic: all.atomic.filter(|_| set.contains(Part::AtomicEth)),
        aeth: all.aeth.filter(|_| set.contains(Part::Aeth)),
        atomic_ack: all.atomic_ack.filter(|_| set.contains(Part::AtomicAckEth)),
        imm: all.imm.filter(|_| set.contains(Part::ImmDt)),
        ieth: all.ieth.filter(|_| set.contains(Part::Ieth)),
    }
}

prop_compose! {
    fn any_pseudo_header()(
        v6 in any::<bool>(), src in any::<u128>(), dst in any::<u128>(),
        (ident, flags_fragment, src_port, dst_port) in any::<(u16, u16, u16, u16)>(),
    ) -> PseudoHeader {
        if v6 {
            PseudoHeader::V6 { src: src.into(), dst: dst.into(), src_port, dst_port }
        } else {
            let (src, dst) = ((src as u32).into(), (dst as u32).into());
            PseudoHeader::V4 { src, dst, ident, flags_fragment, src_port, dst_port }
        }
    }
}

/// Bytes that begin with an opcode as a rule.
fn likely_packet() -> impl Strategy<Value = Vec<u8>> {
    let opcode =
        prop_oneof![9 => (0..Opcode::ALL.len()).prop_map(|i| Opcode::ALL[i].as_u8()), 1 => any::<u8>()];
    (opcode, vec(any::<u8>(), 0..120)).prop_map(|(opcode, mut bytes)| {
        if let Some(first) = bytes.first_mut() {
            *first = opcode;
        }
        bytes
    })
}

fn emit(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = vec![0xA5; packet.wire_len()];
    assert_eq!(packet.emit(&mut bytes), Ok(bytes.len()));
    bytes
}

/// The number that stands in the bits which a field says it has.
fn bits_of(field: &Field, bytes: &[u8]) -> u64 {
    let value = bytes[field.bytes()].iter().fold(0u128, |value, &byte| value << 8 | u128::from(byte));
    let below = field.bytes().len() * 8 - field.bit - field.bits;
    (value >> below & ((1 << field.bits) - 1)) as u64
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        all in any_headers(), payload in vec(any::<u8>(), 0..64), padding: [u8; 3], icrc: u32,
    ) {
        for &opcode in Opcode::ALL {
            let headers = restrict(&all, opcode);
            let mut padding = padding;
            padding[headers.bth.pad as usize..].fill(0);
            let packet = Packet { headers, payload: &payload, padding, icrc };
            prop_assert_eq!(headers.len(), opcode.header_len());
            let bytes = emit(&packet);
            prop_assert_eq!(Packet::parse(&bytes), Ok(packet));
        }
    }

    #[test]
    fn headers_that_are_not_those_of_the_opcode_are_refused(all in any_headers(), room in 0..52usize) {
        for &opcode in Opcode::ALL {
            let wrong = Headers { bth: Bth { opcode, ..all.bth }, ..all };
            let refused = Err(EmitError::Headers { opcode, present: wrong.present() });
            prop_assert_eq!(wrong.emit(&mut [0; 200]), refused);

            let headers = restrict(&all, opcode);
            let expected = match headers.len() {
                needed if needed <= room => Ok(needed),
                needed => Err(EmitError::Buffer { needed, available: room }),
            };
            prop_assert_eq!(headers.emit(&mut [0; 52][..room]), expected);
        }
    }

    #[test]
    fn what_is_read_is_written_again(bytes in likely_packet()) {
        match Packet::parse(&bytes) {
            Ok(packet) => prop_assert_eq!(emit(&packet), bytes),
            Err(ParseError::Opcode(code)) => prop_assert_eq!(Opcode::from_u8(code.0), None),
            Err(ParseError::Truncated { needed, available, .. }) => prop_assert!(available < needed),
        }
    }

    #[test]
    fn fields_are_every_bit_of_a_packet_once(bytes in likely_packet()) {
        let Ok(packet) = Packet::parse(&bytes) else { return Ok(()) };
        let mut bit = 0;
        let mut parts = Vec::new();
        fields(&packet, &mut |field| {
            assert_eq!((field.byte, field.bit), (bit / 8, bit % 8), "{field:?}");
            match field.part {
                Part::Payload => assert_eq!(field.value, packet.payload.len() as u64),
                Part::Icrc => assert_eq!(field.value, u64::from(packet.icrc)),
                _ => assert_eq!(field.value, bits_of(&field, &bytes), "{field:?}"),
            }
            bit += field.bits;
            parts.push(field.part);
        }).unwrap();
        prop_assert_eq!(bit, bytes.len() * 8);
        prop_assert!(parts.is_sorted());
        prop_assert!(packet.to_string().starts_with(packet.headers.bth.opcode.name()));
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in vec(any::<u8>(), 0..200), pseudo in any_pseudo_header(), pad: usize) {
        let _ = Packet::parse(&bytes);
        let _ = Headers::parse(&bytes);
        let _ = Datagram::parse(&bytes);
        let _ = Frame::parse(&bytes);
        pseudo.verify(&bytes);
        pseudo.solve_ident(&bytes);
        pseudo.compute_parts(&bytes, &bytes, pad);
    }

    #[test]
    fn damaged_frames_do_not_make_a_parser_panic(at in 0..54usize, value: u8, cut in 0..100usize, v6: bool) {
        let packet: [u8; 16] = [4, 0, 255, 255, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0];
        let ip = if v6 {
            ip::IpHeader::V6(ip::Ipv6Header::new(1.into(), 2.into()))
        } else {
            ip::IpHeader::V4(ip::Ipv4Header::new(1.into(), 2.into()))
        };
        let datagram = Datagram::new(ip, 1, &packet).unwrap();
        let frame = Frame { dst: [1; 6], src: [2; 6], tag_bytes: &[0x81, 0, 0, 1], datagram, trailer: &[] };
        let mut bytes = vec![0; frame.wire_len()];
        frame.emit(&mut bytes).unwrap();
        bytes[at] = value;
        bytes.truncate(cut.max(at));
        if let Ok(frame) = Frame::parse(&bytes) {
            let mut again = vec![0; frame.wire_len()];
            frame.emit(&mut again).unwrap();
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn the_icrc_does_not_depend_on_how_a_packet_is_cut(
        pseudo in any_pseudo_header(), bytes in vec(any::<u8>(), 12..200), cut in 12..64usize, pad in 0..4usize,
    ) {
        let (headers, payload) = bytes.split_at(cut.min(bytes.len()));
        let padded = [&bytes, &[0; 3][..pad]].concat();
        prop_assert_eq!(pseudo.compute_parts(headers, payload, pad), pseudo.compute(&padded));
    }

    #[test]
    fn every_identification_is_found(pseudo in any_pseudo_header(), bytes in vec(any::<u8>(), 0..9000)) {
        let with_icrc = [&bytes[..], &pseudo.compute(&bytes).to_le_bytes()].concat();
        prop_assert!(pseudo.verify(&with_icrc));
        let expected = match pseudo {
            PseudoHeader::V4 { ident, .. } => Some(ident),
            PseudoHeader::V6 { .. } => None,
        };
        prop_assert_eq!(pseudo.solve_ident(&with_icrc), expected);
    }

    /// If some Identification fits damaged bytes, it really is one that makes the ICRC right.
    #[test]
    fn an_identification_that_is_found_fits(pseudo in any_pseudo_header(), bytes in vec(any::<u8>(), 16..100)) {
        if let Some(found) = pseudo.solve_ident(&bytes) {
            let mut pseudo = pseudo;
            if let PseudoHeader::V4 { ident, .. } = &mut pseudo {
                *ident = found;
            }
            prop_assert!(pseudo.verify(&bytes));
        }
    }

    #[test]
    fn psns_go_round(a: u32, b: u32, steps in 0..1u32 << 23) {
        let (psn, other) = (Psn::new(a), Psn::new(b));
        prop_assert_eq!(other + psn.distance(other) as u32, psn);
        prop_assert!((-(1 << 23)..1 << 23).contains(&psn.distance(other)));
        prop_assert_eq!((psn + steps).distance(psn), steps as i32);
        prop_assert_eq!((psn - steps).distance(psn), -(steps as i32));
        prop_assert_eq!(psn + steps - steps, psn);
        prop_assert_eq!((psn + steps).is_after(psn), steps > 0);
        prop_assert_eq!((psn - steps).is_before(psn), steps > 0);
        prop_assert_eq!(psn.next(), psn + 1);
        prop_assert_eq!(psn + (1 << 24), psn);
        if psn.distance(other) != -(1 << 23) {
            prop_assert_eq!(psn.distance(other), -other.distance(psn));
            prop_assert_eq!(psn.is_before(other), other.is_after(psn));
        }
    }
}

#[test]
fn psns_wrap_after_the_last() {
    let last = Psn::new(0xFF_FFFF);
    assert_eq!(last.next(), Psn::new(0));
    assert_eq!(Psn::new(0) - 1, last);
    assert!(last.is_before(Psn::new(0)));
    assert_eq!(Psn::new(0).distance(last), 1);
    assert_eq!(Psn::new(0x80_0000).distance(Psn::new(0)), -(1 << 23));
    assert_eq!(Psn::new(0x1234_5678).value(), 0x0034_5678);
    assert_eq!(Psn::new(0xABCD).to_string(), "0x00abcd");
}
