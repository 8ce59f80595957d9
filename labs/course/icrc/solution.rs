//! The invariant CRC. Read README.md, write the four functions, then: ferroce lab check

/// Ethernet's CRC-32 of `bytes`.
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut register = !0_u32;
    for &byte in bytes {
        register ^= u32::from(byte);
        for _ in 0..8 {
            let bit = register & 1;
            register >>= 1;
            if bit == 1 {
                register ^= 0xEDB8_8320;
            }
        }
    }
    !register
}

/// The ICRC of an IPv4 datagram that begins with its IP header and ends where the ICRC comes. There are no IP options.
pub fn icrc_ipv4(datagram: &[u8]) -> [u8; 4] {
    // TOS, TTL, header checksum; UDP checksum; the BTH's byte for marks.
    icrc(datagram, &[1, 8, 10, 11, 20 + 6, 20 + 7, 28 + 4])
}

/// The same for an IPv6 datagram. There are no extension headers.
pub fn icrc_ipv6(datagram: &[u8]) -> [u8; 4] {
    let mut datagram = datagram.to_vec();
    datagram[0] |= 0x0F;
    icrc(&datagram, &[1, 2, 3, 7, 40 + 6, 40 + 7, 48 + 4])
}

/// The CRC with ones before the datagram and in these places.
fn icrc(datagram: &[u8], ones: &[usize]) -> [u8; 4] {
    let mut covered = vec![0xFF; 8];
    covered.extend_from_slice(datagram);
    for at in ones {
        covered[8 + at] = 0xFF;
    }
    crc32(&covered).to_le_bytes()
}

/// Whether a packet that arrived, from its IP header to its ICRC, is as it was sent. Anything can arrive.
pub fn is_right(datagram: &[u8]) -> bool {
    let version = datagram.first().map(|byte| byte >> 4);
    let Some((covered, found)) = datagram.split_last_chunk::<4>() else { return false };
    match version {
        Some(4) => covered.len() >= 28 + 12 && icrc_ipv4(covered) == *found,
        Some(6) => covered.len() >= 48 + 12 && icrc_ipv6(covered) == *found,
        _ => false,
    }
}
