//! Groups: what is told to routers, and whose packets are taken.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetFrame, Icmpv6Packet, Icmpv6Repr, IgmpPacket, IgmpRepr, IgmpVersion, IpProtocol, Ipv4Packet,
    Ipv6Packet, MldAddressRecord, MldRecordType, MldRepr,
};
use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::ethernet::host::frames::Letter;

fn igmp(frame: &[u8]) -> (Ipv4Addr, IgmpRepr) {
    let frame = EthernetFrame::new_checked(frame).unwrap();
    let packet = Ipv4Packet::new_checked(frame.payload()).unwrap();
    assert!(packet.verify_checksum() && packet.hop_limit() == 1);
    let message = IgmpPacket::new_checked(packet.payload()).unwrap();
    assert!(message.verify_checksum());
    (packet.dst_addr(), IgmpRepr::parse(&message).unwrap())
}

/// The group and kind of the only record of a report.
fn mld(frame: &[u8]) -> (Ipv6Addr, MldRecordType) {
    let frame = EthernetFrame::new_checked(frame).unwrap();
    let packet = Ipv6Packet::new_checked(frame.payload()).unwrap();
    assert_eq!(packet.next_header(), IpProtocol::HopByHop);
    assert_eq!(packet.dst_addr().to_string(), "ff02::16");
    assert!(packet.src_addr().is_unicast_link_local());
    let message = Icmpv6Packet::new_checked(&packet.payload()[8..]).unwrap();
    let all = ChecksumCapabilities::default();
    let repr = Icmpv6Repr::parse(&packet.src_addr(), &packet.dst_addr(), &message, &all).unwrap();
    let Icmpv6Repr::Mld(MldRepr::Report { nr_mcast_addr_rcrds: 1, data }) = repr else { panic!("{repr:?}") };
    let record = MldAddressRecord::new_checked(data).unwrap();
    (record.mcast_addr(), record.record_type())
}

#[test]
fn a_group_is_joined_and_left_in_the_sight_of_ipv4_routers() {
    let mut a = station(&["10.0.0.1/24"]);
    let group = Ipv4Addr::new(239, 1, 2, 3);
    a.join(group.into());
    a.handle_timeout(at(2000));
    a.handle_timeout(at(3000));
    let member = IgmpRepr::MembershipReport { group_addr: group, version: IgmpVersion::Version2 };
    let told: Vec<_> = frames(&mut a).iter().map(|frame| igmp(frame)).collect();
    assert_eq!(told, [(group, member.clone()), (group, member)]);
    a.leave(group.into());
    let told: Vec<_> = frames(&mut a).iter().map(|frame| igmp(frame)).collect();
    assert_eq!(told, [(Ipv4Addr::new(224, 0, 0, 2), IgmpRepr::LeaveGroup { group_addr: group })]);
}

#[test]
fn a_group_is_joined_and_left_in_the_sight_of_ipv6_routers() {
    let mut a = station(&["fd00::1/64"]);
    let group: Ipv6Addr = "ff0e::1:2".parse().unwrap();
    a.join(group.into());
    a.handle_timeout(at(2000));
    a.handle_timeout(at(3000));
    a.leave(group.into());
    let told: Vec<_> = frames(&mut a).iter().map(|frame| mld(frame)).collect();
    let [joined, left] = [MldRecordType::ChangeToExclude, MldRecordType::ChangeToInclude].map(|t| (group, t));
    assert_eq!(told, [joined, joined, left]);
}

#[test]
fn the_groups_of_neighbour_discovery_are_told_when_the_station_starts() {
    let subnets = vec!["fd00::1:2/64".parse().unwrap()];
    let mac = MacAddr([2, 0, 0, 3, 4, 5]);
    let mut a = Host::new(Identity { mac, vlan: None, priority: None, subnets, gateways: Vec::new() });
    a.handle_timeout(at(0));
    let is_report = |frame: &&Vec<u8>| frame[..6] == [0x33, 0x33, 0, 0, 0, 0x16];
    let told: Vec<_> =
        frames(&mut a).iter().filter(is_report).map(|frame| mld(frame).0.to_string()).collect();
    assert_eq!(told, ["ff02::1:ff01:2", "ff02::1:ff03:405"], "of both its addresses");
    let macs: Vec<_> = a.group_macs().map(|mac| mac.to_string()).collect();
    assert_eq!(macs, ["33:33:ff:01:00:02", "33:33:ff:03:04:05"]);
}

#[test]
fn queries_are_answered() {
    let (mut a, mut router) =
        (station(&["10.0.0.1/24", "fd00::1/64"]), station(&["10.0.0.9/24", "fd00::9/64"]));
    let (v4, v6) = (Ipv4Addr::new(239, 1, 2, 3), "ff0e::1:2".parse::<Ipv6Addr>().unwrap());
    for group in [v4.into(), v6.into()] {
        a.join(group);
    }
    a.handle_timeout(at(0));
    a.handle_timeout(at(1000));
    frames(&mut a);

    let all = Ipv4Addr::new(224, 0, 0, 1);
    let letter =
        Letter { to: MacAddr::of_group(all.into()), src: Ipv4Addr::new(10, 0, 0, 9), dst: all, hop_limit: 1 };
    let query = IgmpRepr::MembershipQuery {
        max_resp_time: smoltcp::time::Duration::from_secs(1),
        group_addr: Ipv4Addr::UNSPECIFIED,
        version: IgmpVersion::Version2,
    };
    router.emit_v4_alerting(letter, IpProtocol::Igmp, query.buffer_len(), |bytes| {
        query.emit(&mut IgmpPacket::new_unchecked(bytes));
    });
    settle(at(2000), &mut a, &mut router);
    a.handle_timeout(at(3000));
    let told: Vec<_> = frames(&mut a).iter().map(|frame| igmp(frame).0).collect();
    assert_eq!(told, [v4]);

    let query = Icmpv6Repr::Mld(MldRepr::Query {
        max_resp_code: 1000,
        mcast_addr: v6,
        s_flag: false,
        qrv: 2,
        qqic: 125,
        num_srcs: 0,
        data: &[],
    });
    let (src, dst) = (router.mac.link_local(), v6);
    let letter = Letter { to: MacAddr::of_group(v6.into()), src, dst, hop_limit: 1 };
    router.emit_v6(letter, IpProtocol::HopByHop, 8 + query.buffer_len(), |bytes| {
        bytes[..8].copy_from_slice(&[58, 0, 5, 2, 0, 0, 1, 0]);
        let mut packet = Icmpv6Packet::new_unchecked(&mut bytes[8..]);
        query.emit(&src, &dst, &mut packet, &ChecksumCapabilities::default());
    });
    settle(at(4000), &mut a, &mut router);
    a.handle_timeout(at(5000));
    let told: Vec<_> = frames(&mut a).iter().map(|frame| mld(frame)).collect();
    assert_eq!(told, [(v6, MldRecordType::ModeIsExclude)]);
}

#[test]
fn packets_to_a_group_are_taken_by_its_members() {
    for (own, other, group) in
        [("10.0.0.1/24", "10.0.0.2/24", "239.1.2.3"), ("fd00::1/64", "fd00::2/64", "ff0e::1:2")]
    {
        let (mut a, mut b) = (station(&[own]), station(&[other]));
        let flow = Flow { dst: ip(group), ..flow(own.split('/').next().unwrap(), group) };
        let frame = send(&mut a, at(0), &flow, &[1]).expect("a group need not be sought");
        assert!(accept(&mut b, at(0), &frame).is_empty());
        b.join(ip(group));
        assert_eq!(accept(&mut b, at(0), &frame).len(), 1);
        b.leave(ip(group));
        assert!(accept(&mut b, at(0), &frame).is_empty());
    }
}
