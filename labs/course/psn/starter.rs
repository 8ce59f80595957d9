//! PSN arithmetic, and a responder that takes every packet once. Read README.md, write what is here, then:
//! ferroce lab check

/// The PSN that is `count` after `psn`.
pub fn add(psn: u32, count: u32) -> u32 {
    psn + count
}

/// How far `to` is after `from`: negative if it is before. From -2^23 to 2^23 - 1.
pub fn distance(from: u32, to: u32) -> i32 {
    to as i32 - from as i32
}

/// What a responder does with a request packet.
pub enum Answer {
    /// Carry it out.
    Execute,
    /// Carry it out, and send an ACK with this PSN.
    ExecuteAndAck(u32),
    /// It was carried out before: send an ACK with this PSN, and do nothing else.
    Ack(u32),
    /// Packets are missing before it: send a NAK "PSN sequence error" with this PSN.
    Nak(u32),
    /// Nothing at all.
    Drop,
}

/// The receiving half of a reliable connection, as far as PSNs go.
pub struct Responder {
    expected: u32,
}

impl Responder {
    /// A connection on which the packet with PSN `expected` comes first.
    pub fn new(expected: u32) -> Responder {
        Responder { expected }
    }

    /// A request packet arrived. `ack_request`: the requester asks for an acknowledgement (the AckReq bit).
    pub fn on_request(&mut self, psn: u32, ack_request: bool) -> Answer {
        let _ = (psn, ack_request, self.expected);
        Answer::Execute
    }
}
