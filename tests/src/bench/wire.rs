//! What a packet costs before anybody looks at it.

use std::hint::black_box;
use std::net::Ipv4Addr;

use ferroce_wire::{Bth, Headers, Opcode, Packet, PseudoHeader, Psn, Qpn, Reth};

use super::{Report, nanos_per};

const CALLS: u32 = 200_000;

/// Parsing, emitting and checking a packet, beside the copy or the bare checksum of as many bytes.
pub fn run(report: &mut Report) {
    for len in [8, 4096] {
        let payload = vec![0x5a; len];
        let bth = Bth::new(Opcode::RC_WRITE_ONLY, Qpn::new(0x1234), Psn::new(77));
        let reth = Some(Reth { va: 0x7f00_1234_5678, rkey: 0xabcd, len: len as u32 });
        let packet = Packet::new(Headers { reth, ..Headers::new(bth) }, &payload);
        let mut bytes = vec![0; packet.wire_len()];
        let (mut out, mut copy) = (bytes.clone(), bytes.clone());
        packet.emit(&mut bytes).expect("there is room");
        report.figure(
            &format!("parse a WRITE of {len} bytes"),
            "ns",
            "copying its 28 header bytes",
            || nanos_per(CALLS, || Packet::parse(black_box(&bytes))),
            || nanos_per(CALLS, || black_box(&mut copy[..28]).copy_from_slice(black_box(&bytes[..28]))),
        );
        report.figure(
            &format!("emit a WRITE of {len} bytes"),
            "ns",
            "copying the packet",
            || nanos_per(CALLS, || black_box(&packet).emit(&mut out)),
            || nanos_per(CALLS, || black_box(&mut copy[..]).copy_from_slice(black_box(&bytes))),
        );
        let header = PseudoHeader::V4 {
            src: Ipv4Addr::LOCALHOST,
            dst: Ipv4Addr::LOCALHOST,
            ident: 1,
            flags_fragment: 0x4000,
            src_port: 49152,
            dst_port: 4791,
        };
        let covered = &bytes[..bytes.len() - 4];
        report.figure(
            &format!("ICRC of a WRITE of {len} bytes"),
            "ns",
            "CRC-32 of as many bytes",
            || nanos_per(CALLS, || header.compute(black_box(covered))),
            || nanos_per(CALLS, || crc32fast::hash(black_box(covered))),
        );
    }
}
