//! The UDP link on its own: what goes in at one end comes out at the other.

#[expect(dead_code, reason = "no NICs here")]
mod common;

use std::net::IpAddr;
use std::time::Instant;

use common::{PATIENCE, fresh_address};
use ferroce_engine::{DONT_FRAGMENT, Flow, Ident, RxMeta, Time};
use ferroce_net::*;
use ferroce_wire::{ICRC_LEN, PseudoHeader, UDP_PORT};

fn open(check: IcrcCheck) -> Option<(UdpLink, IpAddr)> {
    loop {
        let addr = fresh_address();
        match UdpLink::open(&[addr], check) {
            Ok(link) => return Some((link, addr)),
            Err(NetError::PortInUse { .. }) => {}
            Err(error @ NetError::NoPermission(_)) => {
                assert!(std::env::var_os("CI").is_none(), "{error}");
                eprintln!("SKIPPED the full check: {error}");
                return None;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn flow(src: IpAddr, dst: IpAddr) -> Flow {
    Flow { src, dst, src_port: UDP_PORT, traffic_class: 0, hop_limit: 64, flow_label: 0 }
}

/// `count` packets of `segment` bytes, the last one shorter, with right ICRCs.
fn train(flow: &Flow, count: u16, segment: usize, ident_step: u16) -> Vec<u8> {
    let last = segment / 2;
    let mut bytes = vec![0; usize::from(count - 1) * segment + last];
    for (number, packet) in (0..).zip(bytes.chunks_mut(segment)) {
        let (covered, icrc) = packet.split_last_chunk_mut::<ICRC_LEN>().unwrap();
        // The destination QP, 0, is nobody's in particular.
        covered[8..].fill(number as u8);
        *icrc = flow.pseudo_header(number * ident_step).compute(covered).to_le_bytes();
    }
    bytes
}

fn receive(link: &mut UdpLink, count: usize) -> Vec<(RxMeta, Vec<u8>)> {
    let (mut got, start) = (Vec::new(), Instant::now());
    while got.len() < count {
        link.receive(Time::ZERO, &mut |meta, packet| got.push((*meta, packet.to_vec())));
        assert!(start.elapsed() < PATIENCE, "{} of {count} packets: {:?}", got.len(), link.counters());
    }
    got
}

/// Whether the ICRC is right, as far as the link lets us know.
fn is_right(meta: &RxMeta, packet: &[u8]) -> bool {
    let (IpAddr::V4(src), IpAddr::V4(dst)) = (meta.src, meta.dst) else { panic!("{meta:?}") };
    let (src_port, dst_port) = (meta.src_port, UDP_PORT);
    let pseudo =
        |ident, flags_fragment| PseudoHeader::V4 { src, dst, ident, flags_fragment, src_port, dst_port };
    match meta.ident {
        Ident::Known { ident, flags_fragment } => pseudo(ident, flags_fragment).verify(packet),
        Ident::Hidden { .. } => pseudo(0, DONT_FRAGMENT).solve_ident(packet).is_some(),
        Ident::Vouched | Ident::Local { .. } => panic!("nothing comes through shared memory here"),
    }
}

#[test]
fn trains_and_single_packets_arrive_in_order_with_right_icrcs() {
    for check in [IcrcCheck::Full, IcrcCheck::Partial] {
        let (Some((mut a, from)), Some((mut b, to))) = (open(check), open(check)) else { continue };
        let flow = flow(from, to);
        // With ident_step 1 the kernel cuts the train up; with 0 each packet must go on its own.
        for ident_step in [1, 0] {
            let bytes = train(&flow, 15, 1000, ident_step);
            let burst = Burst { flow: &flow, bytes: &bytes, segment: 1000, ident_step, sealed: true };
            let single = Burst::single(&flow, &bytes[..1000]);
            let before = a.counters().tx_pieces;
            assert_eq!(a.send(Time::ZERO, &[burst, single, burst]), 3);
            assert_eq!(a.counters().tx_pieces - before, if ident_step == 1 { 3 } else { 31 });
            let got = receive(&mut b, 31);
            let expected: Vec<&[u8]> =
                burst.packets().chain([&bytes[..1000]]).chain(burst.packets()).collect();
            assert_eq!(got.len(), expected.len());
            for ((meta, packet), expected) in got.iter().zip(expected) {
                assert_eq!(packet, expected);
                assert_eq!((meta.src, meta.dst, meta.src_port), (from, to, UDP_PORT));
                assert_eq!(matches!(meta.ident, Ident::Known { .. }), check == IcrcCheck::Full);
                assert!(is_right(meta, packet), "{check:?} {meta:?}");
            }
        }
    }
}

#[test]
fn traffic_class_and_its_congestion_bits_travel() {
    for check in [IcrcCheck::Full, IcrcCheck::Partial] {
        let (Some((mut a, from)), Some((mut b, to))) = (open(check), open(check)) else { continue };
        for traffic_class in [0xb8 | 2, 3, 0] {
            let flow = Flow { traffic_class, hop_limit: 3, ..flow(from, to) };
            let bytes = train(&flow, 4, 200, 1);
            a.send(
                Time::ZERO,
                &[Burst { flow: &flow, bytes: &bytes, segment: 200, ident_step: 1, sealed: true }],
            );
            let got = receive(&mut b, 4);
            assert!(got.iter().all(|(meta, _)| meta.traffic_class == traffic_class), "{check:?} {got:?}");
        }
    }
}

#[test]
fn what_cannot_be_sent_is_counted_and_forgotten() {
    let (mut a, from) = open(IcrcCheck::Partial).unwrap();
    let (mut b, to) = open(IcrcCheck::Partial).unwrap();
    // A broadcast address needs a permission that the socket does not have.
    let nowhere = flow(from, "255.255.255.255".parse().unwrap());
    let (lost, good) = (train(&nowhere, 3, 100, 1), flow(from, to));
    let kept = train(&good, 3, 100, 1);
    let bursts = [
        Burst { flow: &nowhere, bytes: &lost, segment: 100, ident_step: 1, sealed: true },
        Burst { flow: &good, bytes: &kept, segment: 100, ident_step: 1, sealed: true },
    ];
    assert_eq!(a.send(Time::ZERO, &bursts), 2);
    assert_eq!(receive(&mut b, 3).len(), 3);
    assert_eq!(a.counters().tx_errors, 3);
    let error = a.info().last_error.unwrap();
    assert!(error.contains("sending to 255.255.255.255"), "{error}");
}

#[test]
fn a_train_that_the_kernel_refuses_goes_packet_by_packet() {
    let (mut a, from) = open(IcrcCheck::Partial).unwrap();
    let (mut b, to) = open(IcrcCheck::Partial).unwrap();
    let flow = flow(from, to);
    // More segments than any kernel cuts a datagram into.
    let bytes = train(&flow, 600, 100, 1);
    let burst = Burst { flow: &flow, bytes: &bytes, segment: 100, ident_step: 1, sealed: true };
    assert_eq!(a.send(Time::ZERO, &[burst]), 1);
    let got = receive(&mut b, 600);
    assert!(got.iter().all(|(meta, packet)| is_right(meta, packet)));
    assert!(
        got.iter()
            .map(|(_, packet)| packet.as_slice())
            .zip(burst.packets())
            .all(|(a, b)| a[..90.min(a.len() - 4)] == b[..90.min(b.len() - 4)])
    );
    assert!(!a.info().ports[0].segmentation, "and from then on all do");
    assert_eq!(a.tx_limits().ident_step, 0);
}

#[test]
fn on_loopback_privileged_or_not_the_automatic_check_is_the_partial_one() {
    let (link, _) = open(IcrcCheck::Auto).unwrap();
    let port = &link.info().ports[0];
    assert_eq!(port.icrc, IcrcMode::Partial);
    assert!(port.icrc_reason.as_ref().is_some_and(|reason| reason.contains("never leave this machine")));
}
