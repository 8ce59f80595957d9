//! A requester with selective repeat. Read README.md, write `Requester`, then: ferroce lab check

/// The sending half of a reliable connection, for a responder that keeps what comes early.
pub struct Requester {
    next: u32,
}

impl Requester {
    /// A connection whose first packet has the PSN `first_psn`. At most `window` packets, counted from the oldest without
    /// acknowledgement, may be on their way.
    pub fn new(first_psn: u32, window: u32) -> Requester {
        let _ = window;
        Requester { next: first_psn }
    }

    /// The application has posted a message of `packets` packets, 1 or more.
    pub fn post(&mut self, packets: u32) {
        let _ = packets;
    }

    /// The network can take a packet. Which PSN is sent? `None`: nothing is to be sent now.
    pub fn next_packet(&mut self) -> Option<u32> {
        // Sends for ever, whatever was posted.
        let psn = self.next;
        self.next += 1;
        Some(psn)
    }

    /// The responder has everything up to and including `psn`.
    pub fn on_ack(&mut self, psn: u32) {
        let _ = psn;
    }

    /// The responder has everything before `expected`, and waits for that; of what comes behind it has `arrived`, and perhaps
    /// more.
    pub fn on_gap(&mut self, expected: u32, arrived: u32) {
        let _ = (expected, arrived);
    }

    /// Nothing was heard for the time that the requester waits.
    pub fn on_timeout(&mut self) {}

    /// How many messages, counted from the first, are acknowledged as a whole.
    pub fn completed(&self) -> u32 {
        0
    }
}
