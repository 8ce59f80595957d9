//! A packet by hand. Read README.md, write `packet`, then: ferroce lab check
//!
//! The check compiles this file as it is, with nothing but the standard library, and calls `packet`. Add as
//! many functions as you like; what you print is left alone.

/// A message that fits one packet, and the flow it travels in.
pub struct Message {
    pub operation: Operation,
    /// SE: the completion at the receiver shall be a solicited event.
    pub solicited: bool,
    /// MigReq: the path migration state is "migrated".
    pub migrated: bool,
    /// Partition key.
    pub pkey: u16,
    /// Number of the receiving queue pair: 24 bits.
    pub dest_qp: u32,
    /// AckReq: the responder must acknowledge.
    pub ack_request: bool,
    /// Packet sequence number: 24 bits.
    pub psn: u32,
    pub payload: Vec<u8>,
    pub flow: Flow,
}

pub enum Operation {
    Send,
    /// Into remote memory: `va` is its address there, `rkey` the key for it.
    Write { va: u64, rkey: u32 },
}

/// What the IPv4 and UDP headers will say. You need it for the last step.
pub struct Flow {
    pub src: [u8; 4],
    pub dst: [u8; 4],
    /// IPv4 Identification.
    pub identification: u16,
    /// UDP source port. The destination port is 4791.
    pub src_port: u16,
}

/// The packet for `message`: what stands in the UDP datagram, from the first byte of the BTH to the last of
/// the ICRC.
pub fn packet(message: &Message) -> Vec<u8> {
    let pad = (4 - message.payload.len() % 4) % 4;
    let mut packet = Vec::new();

    // BTH
    packet.push(match message.operation {
        Operation::Send => 0x04,
        Operation::Write { .. } => 0x0A,
    });
    packet.push((message.solicited as u8) << 7 | (message.migrated as u8) << 6 | (pad as u8) << 4);
    packet.extend_from_slice(&message.pkey.to_be_bytes());
    packet.push(0);
    packet.extend_from_slice(&message.dest_qp.to_be_bytes()[1..]);
    packet.push((message.ack_request as u8) << 7);
    packet.extend_from_slice(&message.psn.to_be_bytes()[1..]);

    // RETH
    if let Operation::Write { va, rkey } = message.operation {
        packet.extend_from_slice(&va.to_be_bytes());
        packet.extend_from_slice(&rkey.to_be_bytes());
        packet.extend_from_slice(&(message.payload.len() as u32).to_be_bytes());
    }

    packet.extend_from_slice(&message.payload);
    packet.extend_from_slice(&[0; 3][..pad]);
    let icrc = icrc(&message.flow, &packet);
    packet.extend_from_slice(&icrc.to_le_bytes());
    packet
}

/// The invariant CRC of a packet that lacks only that.
fn icrc(flow: &Flow, packet: &[u8]) -> u32 {
    let udp_len = 8 + packet.len() as u16 + 4;
    let mut covered = vec![0xFF; 8];

    // IPv4: version and length, TOS, total length, Identification, "don't fragment", TTL, UDP, checksum
    covered.extend_from_slice(&[0x45, 0xFF]);
    covered.extend_from_slice(&(20 + udp_len).to_be_bytes());
    covered.extend_from_slice(&flow.identification.to_be_bytes());
    covered.extend_from_slice(&[0x40, 0x00, 0xFF, 17, 0xFF, 0xFF]);
    covered.extend_from_slice(&flow.src);
    covered.extend_from_slice(&flow.dst);

    // UDP: ports, length, checksum
    covered.extend_from_slice(&flow.src_port.to_be_bytes());
    covered.extend_from_slice(&4791u16.to_be_bytes());
    covered.extend_from_slice(&udp_len.to_be_bytes());
    covered.extend_from_slice(&[0xFF, 0xFF]);

    let bth = covered.len();
    covered.extend_from_slice(packet);
    covered[bth + 4] = 0xFF;
    crc32(&covered)
}

/// Ethernet's CRC.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = 0xFFFF_FFFF;
    for &byte in bytes {
        crc ^= byte as u32;
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc
}
