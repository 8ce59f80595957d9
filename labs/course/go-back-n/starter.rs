//! A go-back-N requester. Read README.md, write `Requester`, then: ferroce lab check
//!
//! The check compiles this file as it is, with nothing but the standard library. Add fields and functions as you
//! like; what you print is left alone.

/// The sending half of a reliable connection: it decides which packet goes next, and knows which have arrived.
pub struct Requester {
    next: u32,
}

impl Requester {
    /// A connection whose first packet has the PSN `first_psn`. At most `window` packets may be on their way
    /// without acknowledgement.
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

    /// An acknowledgement arrived: the responder has everything up to and including `psn`.
    pub fn on_ack(&mut self, psn: u32) {
        let _ = psn;
    }

    /// A "PSN sequence error" arrived: the responder has everything before `psn`, and waits for `psn`.
    pub fn on_nak(&mut self, psn: u32) {
        let _ = psn;
    }

    /// Nothing was heard for the time that the requester waits.
    pub fn on_timeout(&mut self) {}

    /// How many messages, counted from the first, are acknowledged as a whole.
    pub fn completed(&self) -> u32 {
        0
    }
}
