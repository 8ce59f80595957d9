//! Two stations: they find each other, talk, move and fall silent.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{EthernetFrame, EthernetProtocol, Icmpv4Packet, Icmpv4Repr, IpProtocol};

use super::*;
use crate::ethernet::host::frames::Letter;

const PAIRS: [[&str; 2]; 3] =
    [["10.0.0.1/24", "10.0.0.2/24"], ["fd00::1/64", "fd00::2/64"], ["fe80::1/64", "fe80::2/64"]];

fn bare(subnet: &str) -> &str {
    subnet.split('/').next().unwrap()
}

#[test]
fn packets_wait_until_the_neighbour_has_answered_and_keep_their_header_fields() {
    for [one, other] in PAIRS {
        for vlan in [None, Some(7)] {
            let (mut a, mut b) = (tagged(&[one], vlan), tagged(&[other], vlan));
            let flow = flow(bare(one), bare(other));
            for number in 0..3 {
                assert_eq!(send(&mut a, at(0), &flow, &[number; 60]), None, "{one}: not known yet");
            }
            let [to_a, to_b] = settle(at(0), &mut a, &mut b);
            assert!(to_a.is_empty());
            let numbers: Vec<u8> = to_b.iter().map(|(_, packet)| packet[0]).collect();
            assert_eq!(numbers, [0, 1, 2], "{one} vlan {vlan:?}");
            let meta = RxMeta {
                src: flow.src,
                dst: flow.dst,
                src_port: 0xC123,
                traffic_class: 0x69,
                ident: match flow.src {
                    IpAddr::V4(_) => Ident::Known { ident: 0, flags_fragment: 0x4000 },
                    IpAddr::V6(_) => Ident::Known { ident: 0, flags_fragment: 0 },
                },
            };
            assert_eq!(to_b[0].0, meta);
            assert_eq!((a.counters.tx_packets, a.counters.tx_bytes), (3, 180));
            assert_eq!((b.counters.rx_packets, b.counters.rx_bytes), (3, 180));
            // Now both know each other: the question told where the asker is.
            let frame = send(&mut b, at(1), &super::flow(bare(other), bare(one)), &[9]).expect("at once");
            assert_eq!(accept(&mut a, at(1), &frame).len(), 1);
            let tag = &frame[12..16];
            assert_eq!(tag == [0x81, 0x00, 0x69 >> 5 << 5, 7], vlan.is_some(), "{tag:02x?}");
        }
    }
}

#[test]
fn a_station_hears_its_own_vlan_only() {
    let mut hears = [None, Some(0), Some(7), Some(8)].map(|vlan| tagged(&["10.0.0.2/24"], vlan));
    let mut heard = |sender: Option<u16>| {
        let mut a = tagged(&["10.0.0.1/24"], sender);
        let to = hears[0].mac;
        a.neighbours.learn(at(0), ip("10.0.0.2"), to, neighbours::Source::Asked);
        let frame = send(&mut a, at(0), &flow("10.0.0.1", "10.0.0.2"), &[1]).unwrap();
        hears.each_mut().map(|host| accept(host, at(0), &frame).len())
    };
    assert_eq!(heard(None), [1, 1, 0, 0]);
    assert_eq!(heard(Some(0)), [1, 1, 0, 0], "a priority without VLAN");
    assert_eq!(heard(Some(7)), [0, 0, 1, 0]);
}

#[test]
fn a_tag_that_the_kernel_took_off_counts_as_one() {
    let mut b = tagged(&["10.0.0.2/24"], Some(7));
    let mut a = station(&["10.0.0.1/24"]);
    a.neighbours.learn(at(0), ip("10.0.0.2"), b.mac, neighbours::Source::Asked);
    let frame = send(&mut a, at(0), &flow("10.0.0.1", "10.0.0.2"), &[1]).unwrap();
    let mut accept = |tag| {
        let arrived = Arrived { bytes: &frame, tag, segment: None, unsummed: false };
        b.accept(at(0), arrived, &mut |_, _| {})
    };
    assert_eq!((accept(Some(0x6007)), accept(Some(0x6008)), accept(None)), (1, 0, 0));
}

#[test]
fn a_neighbour_that_does_not_answer_costs_its_packets_and_is_named() {
    let mut a = station(&["10.0.0.1/24"]);
    send(&mut a, at(0), &flow("10.0.0.1", "10.0.0.9"), &[1]);
    for question in 1..=3 {
        assert_eq!(frames(&mut a).len(), 1, "question {question}");
        assert_eq!(a.next_timeout(), Some(at(question * 1000)));
        a.handle_timeout(at(question * 1000));
    }
    assert_eq!((a.counters.tx_unresolved, a.next_timeout()), (1, None));
    let trouble = a.trouble.unwrap().to_string();
    assert!(trouble.contains("no station answers for 10.0.0.9"), "{trouble}");
}

#[test]
fn peers_elsewhere_are_reached_through_the_router_if_there_is_one() {
    for (own, router, peer) in
        [("10.0.0.1/24", "10.0.0.254", "192.0.2.1"), ("fd00::1/64", "fe80::9", "2001:db8::1")]
    {
        let mut a = station(&[own]);
        let flow = flow(bare(own), peer);
        assert_eq!(a.way(at(0), &flow), Way::Nowhere);
        assert!(a.trouble.unwrap().to_string().contains("via="), "{:?}", a.trouble);
        a.gateways = vec![ip(router)];
        assert_eq!(a.way(at(0), &flow), Way::Sought(ip(router)));
        let mac = MacAddr([2, 0, 0, 0, 0, 9]);
        a.neighbours.learn(at(0), ip(router), mac, neighbours::Source::Answered);
        assert_eq!(a.way(at(0), &flow), Way::To(mac));
    }
}

#[test]
fn packets_to_itself_come_back() {
    let mut a = station(&["10.0.0.1/24"]);
    send(&mut a, at(5), &flow("10.0.0.1", "10.0.0.1"), &[7]);
    assert_eq!(a.next_timeout(), Some(Time::ZERO), "at once");
    let mut got = Vec::new();
    assert_eq!(a.deliver_looped(&mut |meta, packet| got.push((meta.src, packet.to_vec()))), 1);
    assert_eq!(got, [(ip("10.0.0.1"), vec![7])]);
    assert_eq!(a.next_timeout(), None);
}

#[test]
fn an_announcement_of_a_station_that_moved_redirects_its_packets() {
    for [one, other] in PAIRS {
        let (mut a, mut b) = (station(&[one]), station(&[other]));
        let flow = flow(bare(one), bare(other));
        send(&mut a, at(0), &flow, &[1]);
        settle(at(0), &mut a, &mut b);
        assert_eq!(a.way(at(1), &flow), Way::To(b.mac));
        b.mac = MacAddr([2, 0, 0, 0, 0, 42]);
        b.announce();
        settle(at(1), &mut a, &mut b);
        assert_eq!(a.way(at(1), &flow), Way::To(b.mac), "{one}");
    }
}

#[test]
fn a_second_station_with_our_address_is_noticed() {
    for [one, _] in PAIRS {
        let (mut a, mut b) = (station(&[one]), station(&[one]));
        b.mac = MacAddr([2, 0, 0, 0, 0, 42]);
        b.announce();
        settle(at(0), &mut a, &mut b);
        for host in [&a, &b] {
            let trouble = host.trouble.expect("both know").to_string();
            assert!(trouble.contains("also the address"), "{one}: {trouble}");
        }
    }
}

/// An ICMP echo request as a frame.
fn echo(from: &mut Host, to: &Host, dst: &str, data: &[u8]) -> Vec<u8> {
    let repr = Icmpv4Repr::EchoRequest { ident: 1, seq_no: 2, data };
    let (IpAddr::V4(src), IpAddr::V4(dst)) = (from.subnets[0].addr(), ip(dst)) else { unreachable!() };
    let letter = Letter { to: to.mac, src, dst, hop_limit: 64 };
    from.emit_v4(letter, IpProtocol::Icmp, repr.buffer_len(), |bytes| {
        repr.emit(&mut Icmpv4Packet::new_unchecked(bytes), &ChecksumCapabilities::default());
    });
    frames(from).remove(0)
}

#[test]
fn ping_is_answered_with_what_it_brought_unless_it_is_for_another() {
    let (mut a, mut b) = (station(&["10.0.0.1/24"]), station(&["10.0.0.2/24"]));
    let question = echo(&mut a, &b, "10.0.0.2", b"hello");
    accept(&mut b, at(0), &question);
    let answer = frames(&mut b).remove(0);
    let frame = EthernetFrame::new_checked(&answer).unwrap();
    assert_eq!((frame.dst_addr(), frame.ethertype()), (a.mac.into(), EthernetProtocol::Ipv4));
    assert!(answer.ends_with(b"hello"));
    for dst in ["10.0.0.3", "10.0.0.255", "255.255.255.255", "224.0.0.1"] {
        let question = echo(&mut a, &b, dst, b"hello");
        accept(&mut b, at(0), &question);
        assert!(frames(&mut b).is_empty(), "{dst}");
    }
}
