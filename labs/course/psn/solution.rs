//! PSN arithmetic, and a responder that takes every packet once. Read README.md, write what is here, then:
//! ferroce lab check

const MASK: u32 = 0x00FF_FFFF;

/// The PSN that is `count` after `psn`.
pub fn add(psn: u32, count: u32) -> u32 {
    psn.wrapping_add(count) & MASK
}

/// How far `to` is after `from`: negative if it is before. From -2^23 to 2^23 - 1.
pub fn distance(from: u32, to: u32) -> i32 {
    // Moved to the top of the word, the 24 bits have their sign where i32 has it.
    (to.wrapping_sub(from) << 8) as i32 >> 8
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
    /// The gap before `expected` was reported.
    reported: bool,
}

impl Responder {
    /// A connection on which the packet with PSN `expected` comes first.
    pub fn new(expected: u32) -> Responder {
        Responder { expected, reported: false }
    }

    /// A request packet arrived. `ack_request`: the requester asks for an acknowledgement (the AckReq bit).
    pub fn on_request(&mut self, psn: u32, ack_request: bool) -> Answer {
        let ahead = distance(self.expected, psn);
        if ahead > 0 {
            if self.reported {
                return Answer::Drop;
            }
            self.reported = true;
            return Answer::Nak(self.expected);
        }
        if ahead < 0 {
            return if ack_request { Answer::Ack(add(self.expected, MASK)) } else { Answer::Drop };
        }
        self.expected = add(psn, 1);
        self.reported = false;
        if ack_request { Answer::ExecuteAndAck(psn) } else { Answer::Execute }
    }
}
