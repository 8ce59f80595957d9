//! Frames by hand: VLAN tags, and everything that makes a frame useless to RoCEv2.

use ferroce_wire::frame::{Frame, FrameError, Layer, VlanTag};
use ferroce_wire::ip::{Datagram, IpHeader, Ipv4Header, Ipv6Header};
use ferroce_wire::{EmitError, ParseError};

const PAYLOAD: [u8; 16] = [0x04, 0, 0xFF, 0xFF, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0];

fn v4() -> IpHeader {
    IpHeader::V4(Ipv4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into()))
}

fn v6() -> IpHeader {
    IpHeader::V6(Ipv6Header::new(1.into(), 2.into()))
}

fn frame(ip: IpHeader, tag_bytes: &[u8], trailer: &[u8]) -> Vec<u8> {
    let datagram = Datagram::new(ip, 0xC000, &PAYLOAD).unwrap();
    let frame = Frame { dst: [2; 6], src: [4; 6], tag_bytes, datagram, trailer };
    let mut bytes = vec![0; frame.wire_len()];
    assert_eq!(frame.emit(&mut bytes), Ok(bytes.len()));
    bytes
}

/// What is wrong with a good frame in which the byte at `at` is `value`.
fn error(ip: IpHeader, at: usize, value: u8) -> FrameError {
    let mut bytes = frame(ip, &[], &[]);
    bytes[at] = value;
    Frame::parse(&bytes).unwrap_err()
}

#[test]
fn vlan_tags_stack() {
    let outer = VlanTag { tpid: 0x88A8, pcp: 0, dei: true, vid: 4094 };
    let inner = VlanTag { tpid: 0x8100, pcp: 3, dei: false, vid: 100 };
    let tag_bytes = [outer.bytes(), inner.bytes()].concat();
    assert_eq!(tag_bytes, [0x88, 0xA8, 0x1F, 0xFE, 0x81, 0x00, 0x60, 0x64]);
    for ip in [v4(), v6()] {
        let bytes = frame(ip, &tag_bytes, &[]);
        let parsed = Frame::parse(&bytes).unwrap();
        assert_eq!(parsed.tags().collect::<Vec<_>>(), [outer, inner]);
        assert_eq!(parsed.datagram.payload, PAYLOAD);
    }
    let untagged = frame(v4(), &[], &[]);
    assert_eq!(Frame::parse(&untagged).unwrap().tags().next(), None);
}

#[test]
fn the_udp_length_counts_and_not_that_of_the_frame() {
    let bytes = frame(v4(), &[], &[0xEE; 2]);
    assert_eq!(bytes.len(), 60);
    let parsed = Frame::parse(&bytes).unwrap();
    assert_eq!(parsed.datagram.payload, PAYLOAD);
    assert_eq!(parsed.trailer, [0xEE; 2]);
}

#[test]
fn what_roce_cannot_use_is_named() {
    assert_eq!(error(v4(), 12, 0x09), FrameError::EtherType(0x0900));
    assert_eq!(error(v6(), 12, 0x08), FrameError::EtherType(0x08DD));
    assert_eq!(error(v4(), 14, 0x55), FrameError::IpVersion(5));
    assert_eq!(error(v4(), 14, 0x46), FrameError::Ipv4HeaderLength(6));
    assert_eq!(error(v4(), 14, 0x44), FrameError::Ipv4HeaderLength(4));
    assert_eq!(error(v4(), 20, 0x20), FrameError::Fragment);
    assert_eq!(error(v4(), 21, 0x01), FrameError::Fragment);
    assert_eq!(error(v4(), 23, 6), FrameError::Protocol(6));
    assert_eq!(error(v6(), 20, 44), FrameError::Protocol(44));
    assert_eq!(FrameError::Protocol(6).to_string(), "IP protocol 6 is not UDP");
}

#[test]
fn the_ethertype_must_be_that_of_the_packet() {
    let mut bytes = frame(v4(), &[], &[]);
    bytes[12..14].copy_from_slice(&[0x86, 0xDD]);
    assert_eq!(Frame::parse(&bytes), Err(FrameError::EtherType(0x86DD)));
}

#[test]
fn lengths_that_lie_are_found() {
    assert_eq!(error(v4(), 17, 19), FrameError::Length { layer: Layer::Ipv4, claimed: 19 });
    assert_eq!(error(v4(), 39, 25), FrameError::Length { layer: Layer::Udp, claimed: 25 });
    assert_eq!(error(v4(), 39, 7), FrameError::Length { layer: Layer::Udp, claimed: 7 });
    assert_eq!(error(v6(), 19, 23), FrameError::Length { layer: Layer::Udp, claimed: 24 });
    assert_eq!(error(v4(), 17, 45), FrameError::Truncated { layer: Layer::Udp, needed: 25, available: 24 });
    assert_eq!(error(v4(), 17, 27), FrameError::Truncated { layer: Layer::Udp, needed: 8, available: 7 });
}

#[test]
fn what_is_too_long_or_has_no_room_is_refused() {
    let longest = vec![0; 65_535 - 28];
    assert!(Datagram::new(v4(), 0, &longest).is_ok());
    let too_long = vec![0; 65_535 - 27];
    assert_eq!(Datagram::new(v4(), 0, &too_long), Err(FrameError::TooLong(65_508)));
    assert!(Datagram::new(v6(), 0, &too_long).is_ok());

    let datagram = Datagram::new(v4(), 0, &PAYLOAD).unwrap();
    assert_eq!(datagram.emit(&mut [0; 43]), Err(EmitError::Buffer { needed: 44, available: 43 }));
}

#[test]
fn a_packet_cut_short_says_where() {
    let message = |bytes: &[u8]| ferroce_wire::Packet::parse(bytes).unwrap_err().to_string();
    assert_eq!(message(&PAYLOAD[..11]), "BTH needs 12 bytes, there are 11");
    assert_eq!(message(&PAYLOAD[..15]), "ICRC needs 4 bytes, there are 3");

    let mut padded = PAYLOAD;
    padded[1] = 0x20;
    assert_eq!(message(&padded), "pad needs 2 bytes, there are 0");

    let mut write = PAYLOAD;
    write[0] = 0x0A;
    assert_eq!(message(&write), "RETH needs 16 bytes, there are 4");

    let mut unknown = PAYLOAD;
    unknown[0] = 0x1E;
    assert_eq!(message(&unknown), "unknown opcode 0x1e");
    assert!(matches!(ferroce_wire::Packet::parse(&unknown), Err(ParseError::Opcode(code)) if code.0 == 0x1E));
}
