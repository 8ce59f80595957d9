//! Captures made up here: the kinds of file and of link that the real ones do not have.

use std::net::{Ipv4Addr, Ipv6Addr};

use ferroce_wire::ip::{Datagram, IpHeader, Ipv4Header, Ipv6Header};
use ferroce_wire::{Bth, Headers, Opcode, Packet, Psn, Qpn};

use crate::{kinds, report};

/// What kind of file to make.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    Little,
    BigNanos,
    Ng,
    NgBig,
}

/// An Ethernet frame with an RC SEND_ONLY over IPv4, ICRC right.
pub(crate) fn frame(psn: u32) -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend([0x08, 0x00]);
    frame.extend(send(psn, false));
    frame
}

/// An IP packet with an RC SEND_ONLY, ICRC right.
fn send(psn: u32, ipv6: bool) -> Vec<u8> {
    packet(Bth { ack_request: false, ..Bth::new(Opcode::RC_SEND_ONLY, Qpn::new(0x11), Psn::new(psn)) }, ipv6)
}

fn packet(bth: Bth, ipv6: bool) -> Vec<u8> {
    let mut bytes = [0; 256];
    let len = Packet::new(Headers::new(bth), b"some data that is sent").emit(&mut bytes).unwrap();
    let ip = if ipv6 {
        IpHeader::V6(Ipv6Header::new(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST))
    } else {
        IpHeader::V4(Ipv4Header::new(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)))
    };
    let pseudo_header = Datagram::new(ip, 0xC000, &bytes[..len]).unwrap().pseudo_header();
    let icrc = pseudo_header.compute(&bytes[..len - 4]);
    bytes[len - 4..len].copy_from_slice(&icrc.to_le_bytes());
    let datagram = Datagram::new(ip, 0xC000, &bytes[..len]).unwrap();
    let mut out = vec![0; datagram.wire_len()];
    datagram.emit(&mut out).unwrap();
    out
}

/// A capture file with these packets, a millisecond apart.
pub(crate) fn file(form: Form, link: u16, packets: &[Vec<u8>]) -> Vec<u8> {
    let cut = packets.iter().map(|packet| (packet.len(), packet.as_slice())).collect::<Vec<_>>();
    cut_file(form, link, &cut)
}

/// The same of packets of which less is kept than the length that is given.
fn cut_file(form: Form, link: u16, packets: &[(usize, &[u8])]) -> Vec<u8> {
    let big = matches!(form, Form::BigNanos | Form::NgBig);
    let u32s = |values: &[u32]| -> Vec<u8> {
        values.iter().flat_map(|v| if big { v.to_be_bytes() } else { v.to_le_bytes() }).collect()
    };
    let u16s = |values: &[u16]| -> Vec<u8> {
        values.iter().flat_map(|v| if big { v.to_be_bytes() } else { v.to_le_bytes() }).collect()
    };
    let mut file = Vec::new();
    if let Form::Little | Form::BigNanos = form {
        let (magic, millisecond) = if big { (0xA1B2_3C4D, 1_000_000) } else { (0xA1B2_C3D4, 1000) };
        file.extend(u32s(&[magic, 2 << 16 | 4, 0, 0, 65535, u32::from(link)]));
        for (i, (len, kept)) in packets.iter().enumerate() {
            file.extend(u32s(&[1_700_000_000, i as u32 * millisecond, kept.len() as u32, *len as u32]));
            file.extend(*kept);
        }
        return file;
    }
    file.extend(u32s(&[0x0A0D_0D0A, 28, 0x1A2B_3C4D]));
    file.extend(u16s(&[1, 0]));
    file.extend(u32s(&[u32::MAX, u32::MAX, 28]));
    // An interface with nanosecond resolution.
    file.extend(u32s(&[1, 32]));
    file.extend(u16s(&[link, 0]));
    file.extend(u32s(&[0]));
    file.extend(u16s(&[9, 1]));
    file.extend([9, 0, 0, 0]);
    file.extend(u16s(&[0, 0]));
    file.extend(u32s(&[32]));
    // A block that nobody needs to know.
    file.extend(u32s(&[0x0BAD, 16, 0, 16]));
    for (i, (len, kept)) in packets.iter().enumerate() {
        let padded = kept.len().next_multiple_of(4);
        let block = 32 + padded as u32;
        file.extend(u32s(&[6, block, 0, 0, i as u32 * 1_000_000, kept.len() as u32, *len as u32]));
        file.extend(*kept);
        file.resize(file.len() + padded - kept.len(), 0);
        file.extend(u32s(&[block]));
    }
    file
}

#[test]
fn all_kinds_of_file_say_the_same() {
    for form in [Form::Little, Form::BigNanos, Form::Ng, Form::NgBig] {
        let report = report(&file(form, 1, &[frame(1), frame(2), frame(3)]));
        assert_eq!((report.packets, report.roce, report.icrc_ok), (3, 3, 3), "{form:?}");
        assert_eq!(report.duration_ns, 2_000_000, "{form:?}");
        assert!(report.findings.is_empty(), "{form:?}: {:?}", report.findings);
    }
}

#[test]
fn all_kinds_of_link_are_understood() {
    let with = |head: &[u8], ip: Vec<u8>| [head, &ip].concat();
    let ethernet = [2; 12];
    let cooked = |protocol: [u8; 2]| [&[0_u8; 14][..], &protocol].concat();
    let cases: [(&str, u16, Vec<u8>); 10] = [
        ("Ethernet, IPv6", 1, with(&[&ethernet[..], &[0x86, 0xDD]].concat(), send(1, true))),
        ("802.1Q", 1, with(&[&ethernet[..], &[0x81, 0, 0x60, 5, 8, 0]].concat(), send(1, false))),
        (
            "stacked tags",
            1,
            with(&[&ethernet[..], &[0x88, 0xA8, 0, 7, 0x81, 0, 0, 5, 8, 0]].concat(), send(1, false)),
        ),
        ("raw", 101, send(1, false)),
        ("raw IPv6", 229, send(1, true)),
        ("loopback", 0, with(&[2, 0, 0, 0], send(1, false))),
        ("loopback of OpenBSD", 108, with(&[0, 0, 0, 24], send(1, true))),
        ("cooked", 113, with(&cooked([8, 0]), send(1, false))),
        ("cooked, tagged", 113, with(&[&cooked([0x81, 0])[..], &[0, 5, 8, 0]].concat(), send(1, false))),
        ("cooked 2", 276, with(&[&[0x86, 0xDD][..], &[0; 18]].concat(), send(1, true))),
    ];
    for (name, link, packet) in cases {
        let report = report(&file(Form::Ng, link, &[packet]));
        assert_eq!((report.packets, report.icrc_ok), (1, 1), "{name}");
    }
}

#[test]
fn a_link_that_is_not_understood_is_said_to_be_so() {
    // IEEE 802.11 with a radio header.
    let report = report(&file(Form::Ng, 127, &[vec![0; 60], frame(1)]));
    assert_eq!((report.packets, report.roce, report.other), (2, 0, 2));
    assert_eq!(kinds(&report), ["cap.unknown-link"]);
    let text = &report.findings[0].text;
    assert!(text.starts_with("2 packets") && text.contains("type 127"), "{text}");
}

#[test]
fn pauses_of_a_whole_link_count_and_broken_ones_do_no_harm() {
    let pause = |quanta: u16| {
        let [high, low] = quanta.to_be_bytes();
        [&[1, 0x80, 0xC2, 0, 0, 1, 2, 0, 0, 0, 0, 7][..], &[0x88, 0x08, 0, 1, high, low], &[0; 42]].concat()
    };
    // 65,535 quanta are 3.4 ms at 10 Gb/s, and a millisecond later comes the next.
    let storm: Vec<Vec<u8>> = (0..40).map(|_| pause(0xFFFF)).collect();
    let storm = report(&file(Form::Ng, 1, &storm));
    assert_eq!(kinds(&storm), ["pfc.storm"]);
    let text = &storm.findings[0].text;
    assert!(
        text.contains("02:00:00:00:00:07") && text.contains("39.0 ms of 39.0 ms, in 40 frames"),
        "{text}"
    );

    let short = report(&file(Form::Ng, 1, &[pause(100), pause(0), pause(1), pause(0)]));
    assert_eq!(kinds(&short), ["pfc.paused"]);
    for len in 0..20 {
        let cut = report(&file(Form::Ng, 1, &[pause(0xFFFF)[..len].to_vec()]));
        assert_eq!(cut.findings.len(), usize::from(len >= 18), "{len}: {:?}", cut.findings);
    }
}

#[test]
fn ethernet_padding_and_other_traffic_do_no_harm() {
    let mut padded = frame(1);
    padded.extend([0; 12]);
    let mut other = frame(2);
    // Another UDP port, then another protocol altogether.
    other[14 + 20 + 3] ^= 1;
    let arp = [&[2; 12][..], &[8, 6], &[0; 28]].concat();
    let report = report(&file(Form::Little, 1, &[padded, other, arp, vec![1]]));
    assert_eq!((report.packets, report.roce, report.other), (4, 1, 3));
    assert_eq!((report.icrc_ok, report.undecodable), (1, 0));
}

#[test]
fn packets_cut_by_the_capture_are_used_but_not_verified() {
    let frames: Vec<Vec<u8>> = (1..4).map(frame).collect();
    // Kept are all headers and the first bytes of the payload.
    let cut: Vec<(usize, &[u8])> = frames.iter().map(|frame| (frame.len(), &frame[..60])).collect();
    let report = report(&cut_file(Form::Ng, 1, &cut));
    assert_eq!((report.roce, report.icrc_ok, report.icrc_unchecked), (3, 0, 3));
    assert_eq!(report.connections[0].ends[0].operations["SEND"].bytes, 3 * 22);
    assert_eq!(kinds(&report), ["cap.truncated"]);

    let headless: Vec<(usize, &[u8])> = frames.iter().map(|frame| (frame.len(), &frame[..50])).collect();
    let report = crate::report(&cut_file(Form::Ng, 1, &headless));
    assert_eq!((report.roce, report.undecodable), (0, 3));
}

#[test]
fn a_hole_in_the_psns_is_named_and_a_late_packet_fills_it() {
    let report = report(&file(Form::Little, 1, &[frame(1), frame(4), frame(5)]));
    assert_eq!(kinds(&report), ["psn.gap"]);
    assert!(report.findings[0].text.contains("PSNs 0x000002 to 0x000003"), "{}", report.findings[0].text);

    let report = crate::report(&file(Form::Little, 1, &[frame(1), frame(3), frame(2), frame(4)]));
    assert_eq!(kinds(&report), ["psn.gap", "psn.reorder"]);
}

#[test]
fn ten_thousand_connections_are_followed_and_more_do_no_harm() {
    let bth = |qp: u32| Bth::new(Opcode::RC_SEND_ONLY, Qpn::new(qp), Psn::new(qp));
    let packets: Vec<Vec<u8>> = (1..=25_000).map(|qp| packet(bth(qp), false)).collect();
    let report = report(&file(Form::Little, 101, &packets));
    assert_eq!(report.icrc_ok, 25_000);
    assert!(report.connections.len() >= 10_000 && report.connections.len() < 25_000);
    assert!(kinds(&report).contains(&"cap.too-much"));
}
