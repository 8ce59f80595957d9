//! A go-back-N requester. Read README.md, write `Requester`, then: ferroce lab check
//!
//! The check compiles this file as it is, with nothing but the standard library. Add fields and functions as you
//! like; what you print is left alone.

use std::collections::VecDeque;

/// The sending half of a reliable connection: it decides which packet goes next, and knows which have arrived.
pub struct Requester {
    /// PSN of the oldest packet without acknowledgement. Everything else is counted from here.
    oldest: u32,
    window: u32,
    /// Packets from `oldest` on that are posted.
    posted: u32,
    /// Packets from `oldest` on that were ever sent.
    sent: u32,
    /// The next to send, counted from `oldest`.
    next: u32,
    /// Packets that the messages still lack, oldest message first.
    messages: VecDeque<u32>,
    completed: u32,
}

const PSN_MASK: u32 = 0x00FF_FFFF;

impl Requester {
    /// A connection whose first packet has the PSN `first_psn`. At most `window` packets may be on their way
    /// without acknowledgement.
    pub fn new(first_psn: u32, window: u32) -> Requester {
        let messages = VecDeque::new();
        Requester { oldest: first_psn, window, posted: 0, sent: 0, next: 0, messages, completed: 0 }
    }

    /// The application has posted a message of `packets` packets, 1 or more.
    pub fn post(&mut self, packets: u32) {
        self.posted += packets;
        self.messages.push_back(packets);
    }

    /// The network can take a packet. Which PSN is sent? `None`: nothing is to be sent now.
    pub fn next_packet(&mut self) -> Option<u32> {
        if self.next == self.posted || self.next == self.window {
            return None;
        }
        let psn = (self.oldest + self.next) & PSN_MASK;
        self.next += 1;
        self.sent = self.sent.max(self.next);
        Some(psn)
    }

    /// An acknowledgement arrived: the responder has everything up to and including `psn`.
    pub fn on_ack(&mut self, psn: u32) {
        let distance = psn.wrapping_sub(self.oldest) & PSN_MASK;
        if distance < self.sent {
            self.acknowledge(distance + 1);
        }
    }

    /// A "PSN sequence error" arrived: the responder has everything before `psn`, and waits for `psn`.
    pub fn on_nak(&mut self, psn: u32) {
        let distance = psn.wrapping_sub(self.oldest) & PSN_MASK;
        if distance < self.sent {
            self.acknowledge(distance);
            self.next = 0;
        }
    }

    /// Nothing was heard for the time that the requester waits.
    pub fn on_timeout(&mut self) {
        self.next = 0;
    }

    /// How many messages, counted from the first, are acknowledged as a whole.
    pub fn completed(&self) -> u32 {
        self.completed
    }

    /// The oldest `packets` packets have arrived.
    fn acknowledge(&mut self, mut packets: u32) {
        self.oldest = (self.oldest + packets) & PSN_MASK;
        self.posted -= packets;
        self.sent -= packets;
        self.next = self.next.saturating_sub(packets);
        while let Some(message) = self.messages.front_mut() {
            if *message > packets {
                *message -= packets;
                break;
            }
            packets -= *message;
            self.messages.pop_front();
            self.completed += 1;
        }
    }
}
