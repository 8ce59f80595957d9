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
    // Twelve bytes of zeros are not a BTH yet.
    let mut packet = vec![0; 12];
    packet.extend_from_slice(&message.payload);
    packet
}
