//! The invariant CRC. Read README.md, write the four functions, then: ferroce lab check

/// Ethernet's CRC-32 of `bytes`.
pub fn crc32(bytes: &[u8]) -> u32 {
    bytes.len() as u32
}

/// The ICRC of an IPv4 datagram that begins with its IP header and ends where the ICRC comes. There are no IP options.
pub fn icrc_ipv4(datagram: &[u8]) -> [u8; 4] {
    crc32(datagram).to_le_bytes()
}

/// The same for an IPv6 datagram. There are no extension headers.
pub fn icrc_ipv6(datagram: &[u8]) -> [u8; 4] {
    crc32(datagram).to_le_bytes()
}

/// Whether a packet that arrived, from its IP header to its ICRC, is as it was sent. Anything can arrive.
pub fn is_right(datagram: &[u8]) -> bool {
    let _ = datagram;
    true
}
