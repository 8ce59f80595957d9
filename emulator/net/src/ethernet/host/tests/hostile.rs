//! Frames that are damaged, incomplete, or made to do harm.

use proptest::prelude::*;

use super::*;

/// A frame with a RoCE packet from one station to another that are known to each other, and the receiver.
fn packet(addresses: [&str; 2], payload: &[u8]) -> (Vec<u8>, Host) {
    let (mut a, b) = (station(&[addresses[0]]), station(&[addresses[1]]));
    let [src, dst] = addresses.map(|subnet| subnet.split('/').next().unwrap());
    a.neighbours.learn(at(0), ip(dst), b.mac, neighbours::Source::Asked);
    (send(&mut a, at(0), &flow(src, dst), payload).unwrap(), b)
}

const V4: [&str; 2] = ["10.0.0.1/24", "10.0.0.2/24"];
const V6: [&str; 2] = ["fd00::1/64", "fd00::2/64"];

/// Adds up 16-bit words as the checksums of IP do (RFC 1071).
fn sum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let total: u32 = words.map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0))).sum();
    let folded = (total & 0xffff) + (total >> 16);
    ((folded & 0xffff) + (folded >> 16)) as u16
}

/// Puts a right UDP checksum into a frame over IPv4.
fn checksum(frame: &mut [u8]) {
    let udp_len = (frame.len() - 34) as u16;
    let pseudo = [[0, 17], udp_len.to_be_bytes()].concat();
    let sum = sum(&[&frame[26..34], &pseudo, &frame[34..]]);
    frame[40..42].copy_from_slice(&(!sum).to_be_bytes());
}

#[test]
fn udp_checksums_are_checked_where_there_are_any() {
    let (mut frame, mut b) = packet(V4, &[7; 31]);
    assert_eq!(accept(&mut b, at(0), &frame).len(), 1, "0 stands for none");
    checksum(&mut frame);
    assert_eq!(accept(&mut b, at(0), &frame).len(), 1);
    *frame.last_mut().unwrap() ^= 1;
    assert!(accept(&mut b, at(0), &frame).is_empty());
    assert_eq!((b.counters.rx_packets, b.counters.rx_checksum_errors), (2, 1));
    let arrived = Arrived { bytes: &frame, tag: None, segment: None, unsummed: true };
    assert_eq!(
        b.accept(at(0), arrived, &mut |_, _| {}),
        1,
        "a checksum that was never computed is not wrong"
    );
}

#[test]
fn damaged_ip_headers_and_fragments_are_counted() {
    let (frame, mut b) = packet(V4, &[7; 31]);
    let mut damaged = frame.clone();
    damaged[22] ^= 1;
    assert!(accept(&mut b, at(0), &damaged).is_empty());
    assert_eq!(b.counters.rx_checksum_errors, 1);
    for flags in [[0x20, 0x00], [0x00, 0x01]] {
        let mut fragment = frame.clone();
        fragment[20..22].copy_from_slice(&flags);
        fragment[24..26].fill(0);
        let right = !sum(&[&fragment[14..34]]);
        fragment[24..26].copy_from_slice(&right.to_be_bytes());
        assert!(accept(&mut b, at(0), &fragment).is_empty());
    }
    assert_eq!(b.counters.rx_fragments, 2);

    let (mut fragment, mut b) = packet(V6, &[7; 31]);
    fragment[20] = 44;
    assert!(accept(&mut b, at(0), &fragment).is_empty());
    assert_eq!(b.counters.rx_fragments, 1);
}

#[test]
fn a_train_is_taken_apart() {
    let (frame, mut b) = packet(V4, &[[1; 10], [2; 10], [3; 10]].concat());
    let mut got = Vec::new();
    let arrived = Arrived { bytes: &frame, tag: None, segment: Some(10), unsummed: true };
    b.accept(at(0), arrived, &mut |meta, packet| got.push((meta.ident, packet[0])));
    let ident = |ident| Ident::Known { ident, flags_fragment: 0x4000 };
    assert_eq!(got, [(ident(0), 1), (ident(1), 2), (ident(2), 3)], "numbered as the kernel would have");
}

#[test]
fn what_is_for_others_is_not_counted_as_anything() {
    let (frame, mut b) = packet(V4, &[7; 31]);
    let mut c = station(&["10.0.0.3/24"]);
    c.mac = b.mac;
    assert!(accept(&mut c, at(0), &frame).is_empty(), "another IP address");
    let mut astray = frame.clone();
    astray[0] ^= 4;
    assert!(accept(&mut b, at(0), &astray).is_empty(), "another Ethernet address");
    assert_eq!(b.counters, LinkCounters::default());
    assert_eq!(c.counters, LinkCounters::default());
}

/// Frames of every kind that a station sends or answers, to be damaged.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![packet(V4, &[7; 64]).0, packet(V6, &[7; 64]).0];
    for vlan in [None, Some(0)] {
        let mut a = tagged(&["10.0.0.1/24", "fd00::1/64"], vlan);
        for group in ["239.1.2.3", "ff0e::1:2"] {
            a.join(ip(group));
            a.leave(ip(group));
        }
        a.announce();
        for dst in ["10.0.0.2", "fd00::2"] {
            a.solicit(ip(dst), None);
            a.solicit(ip(dst), Some(MacAddr([2, 0, 0, 0, 0, 2])));
        }
        seeds.extend(frames(&mut a));
    }
    seeds
}

/// What a station may at most have become, whatever it was sent.
fn check_bounds(host: &mut Host, delivered: &Delivered) {
    assert!(host.outgoing.len() <= OUTGOING);
    for (meta, packet) in delivered {
        assert!(!packet.is_empty());
        assert!(host.is_own(meta.dst), "{meta:?}");
    }
    host.handle_timeout(at(1_000_000));
}

proptest! {
    #[test]
    fn random_bytes_do_no_harm(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        tag in any::<Option<u16>>(),
        segment in proptest::option::of(0..70_usize),
        unsummed in any::<bool>(),
    ) {
        let mut b = station(&["10.0.0.2/24", "fd00::2/64"]);
        let mut delivered = Vec::new();
        let mut bytes = bytes;
        let mac = b.mac.0;
        if bytes.len() > 6 { bytes[..6].copy_from_slice(&mac); }
        let arrived = Arrived { bytes: &bytes, tag, segment, unsummed };
        b.accept(at(0), arrived, &mut |meta, packet| delivered.push((*meta, packet.to_vec())));
        check_bounds(&mut b, &delivered);
    }

    #[test]
    fn random_damage_to_any_frame_does_no_harm(
        which in any::<proptest::sample::Index>(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        length in proptest::option::of(any::<proptest::sample::Index>()),
        mended in any::<bool>(),
    ) {
        let seeds = seeds();
        let mut frame = which.get(&seeds).clone();
        let mut b = station(&["10.0.0.2/24", "fd00::2/64"]);
        if frame[0] & 1 == 0 { frame[..6].copy_from_slice(&b.mac.0); }
        for (place, value) in changes {
            let place = place.index(frame.len());
            frame[place] = value;
        }
        if let Some(length) = length {
            frame.truncate(length.index(frame.len() + 1));
        }
        if mended && frame.len() > 34 && frame[12..14] == [8, 0] {
            frame[24..26].fill(0);
            let right = !sum(&[&frame[14..34]]);
            frame[24..26].copy_from_slice(&right.to_be_bytes());
        }
        let delivered = accept(&mut b, at(0), &frame);
        check_bounds(&mut b, &delivered);
    }
}
