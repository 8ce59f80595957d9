//! Packets whose bytes and ICRC are known from elsewhere: IP header first, ICRC last.

use ferroce_wire::ip::Datagram;
use ferroce_wire::*;

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Checks that the IP packet has a right ICRC and is decoded as `line`, and that one wrong bit in anything the
/// ICRC covers is noticed.
fn check(ip_packet: &str, line: &str) {
    let bytes = unhex(ip_packet);
    let (datagram, rest) = Datagram::parse(&bytes).unwrap();
    assert_eq!(rest, []);
    assert!(datagram.pseudo_header().verify(datagram.payload), "{line}");
    assert_eq!(datagram.packet().unwrap().to_string(), line);

    let variant: &[usize] =
        if bytes[0] == 0x45 { &[1, 8, 10, 11, 26, 27, 32] } else { &[0, 1, 2, 3, 7, 46, 47, 52] };
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x08;
        let Ok((datagram, _)) = Datagram::parse(&damaged) else { continue };
        let covered = !variant.contains(&at);
        assert_eq!(datagram.pseudo_header().verify(datagram.payload), !covered, "byte {at} of {line}");
    }
}

#[test]
fn send_over_ipv4() {
    check(
        "4500003412344000401114830a0000010a000002 c1a512b700200000 0430ffff0000001180abcdef
         68656c6c6f 000000 68910799",
        "RC_SEND_ONLY qp=0x000011 psn=0xabcdef A pad=3 len=5",
    );
}

#[test]
fn a_send_is_built_as_it_was_given() {
    let bytes = unhex(
        "4500003412344000401114830a0000010a000002 c1a512b700200000 0430ffff0000001180abcdef
         68656c6c6f 000000 68910799",
    );
    let bth = Bth { ack_request: true, ..Bth::new(Opcode::RC_SEND_ONLY, Qpn::new(0x11), Psn::new(0xABCDEF)) };
    let mut packet = Packet::new(Headers::new(bth), b"hello");
    let ip =
        ip::Ipv4Header { ident: 0x1234, ..ip::Ipv4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into()) };
    let pseudo = PseudoHeader::V4 {
        src: ip.src,
        dst: ip.dst,
        ident: ip.ident,
        flags_fragment: ip.flags_fragment,
        src_port: 0xC1A5,
        dst_port: UDP_PORT,
    };
    let mut head = [0; Headers::MAX_LEN];
    let head_len = packet.headers.emit(&mut head).unwrap();
    packet.icrc = pseudo.compute_parts(&head[..head_len], b"hello", 3);

    let mut payload = [0; 64];
    let len = packet.emit(&mut payload).unwrap();
    let datagram = Datagram::new(ip::IpHeader::V4(ip), 0xC1A5, &payload[..len]).unwrap();
    let mut built = [0; 64];
    let len = datagram.emit(&mut built).unwrap();
    assert_eq!(built[..len], bytes);
}

#[test]
fn acknowledgement_over_ipv4() {
    check(
        "4500003000004000401126bb0a0000020a000001 c1a512b7001c0000 1100ffff0000001200abcdef 1f000001 052713c8",
        "RC_ACKNOWLEDGE qp=0x000012 psn=0xabcdef ACK msn=1",
    );
}

#[test]
fn write_over_ipv6() {
    check(
        "60212345002c1140 fd000000000000000000000000000001 fd000000000000000000000000000002
         c00012b7002c0000 0a40ffff0000002080000001 00007f0000001000 00001234 00000004 deadbeef 0011434a",
        "RC_WRITE_ONLY qp=0x000020 psn=0x000001 M A va=0x7f0000001000 rkey=0x1234 dlen=4 len=4",
    );
}

#[test]
fn congestion_notification() {
    check(
        "45c2003c00004000401125ed0a0000020a000001 c1a512b700280000 8140ffff4000001100000000
         00000000000000000000000000000000 bcfe8d62",
        "CNP qp=0x000011 psn=0x000000 M B len=16",
    );
}

#[test]
fn of_soft_roce() {
    check(
        "45000030de0f40004011480f0a4d00020a4d0003 c4c912b7001c0000 1100ffff0000002300f5a562 1f000001 1c0f242d",
        "RC_ACKNOWLEDGE qp=0x000023 psn=0xf5a562 ACK msn=1",
    );
    check(
        "450000300e964000401117890a4d00020a4d0003 cbd112b7001c0000 1100ffff00000037005721cb 60000000 45b0ea2b",
        "RC_ACKNOWLEDGE qp=0x000037 psn=0x5721cb NAK PSN sequence error msn=0",
    );
    check(
        "4500003c8830400040119de20a4d00030a4d0002 c7e912b700280000 0c00ffff0000002d802e7232
         00005586fc0b8000 00001e0a 00000040 74b9b1da",
        "RC_READ_REQUEST qp=0x00002d psn=0x2e7232 A va=0x5586fc0b8000 rkey=0x1e0a dlen=64",
    );
    check(
        "450000488bb3400040119a530a4d00030a4d0002 c8a112b700340000 1400ffff0000002f8040074a
         00005596d13b9000 000020ca 0000000000000001 0000000000000000 966ee947",
        "RC_FETCH_ADD qp=0x00002f psn=0x40074a A va=0x5596d13b9000 rkey=0x20ca add=0x1",
    );
    check(
        "45000038f0914000401135850a4d00020a4d0003 c8a112b700240000 1200ffff0000002f0040074a
         1f000001 1ffc47515558a7ef a63709d7",
        "RC_ATOMIC_ACK qp=0x00002f psn=0x40074a ACK msn=1 original=0x1ffc47515558a7ef",
    );
}

#[test]
fn of_a_connectx_4_lx() {
    check(
        "45c2003c718c4000401191610a0011010a001201 000012b700280000 8100ffff4000011800000000
         00000000000000000000000000000000 82fd002a",
        "CNP qp=0x000118 psn=0x000000 B len=16",
    );
}

/// One UC SEND with pad 2 that was sent over both IP versions, with UDP checksums, TOS and hop limit set.
#[test]
fn of_a_nic_that_sends_udp_checksums() {
    let packet = "2460ffff 000000d3 00cf1710 4630818be28935d90e9a95505401be885e50 0000";
    let line = "UC_SEND_ONLY qp=0x0000d3 psn=0xcf1710 M pad=2 len=18";
    check(&format!("4501004004784000401100 00c0a80007c0a80007 c00012b7002caca2 {packet} 78f353f3"), line);
    check(
        &format!(
            "6e21face002c11ff 20220000000000000000000000001023 20230000000000000000000000001024
             c00012b7002ce7c5 {packet} 3e5b743b"
        ),
        line,
    );
}
