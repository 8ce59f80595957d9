//! A requester with selective repeat. Read README.md, write `Requester`, then: ferroce lab check

use std::collections::VecDeque;

/// What is known of a packet that was sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It is on its way.
    Sent,
    /// It is to be sent again.
    Lost,
    /// It was sent again.
    Repaired,
    Arrived,
}

/// The sending half of a reliable connection, for a responder that keeps what comes early.
pub struct Requester {
    /// PSN of the oldest packet without acknowledgement.
    oldest: u32,
    window: u32,
    /// Packets from `oldest` on that are posted.
    posted: u32,
    /// Those that were sent, from `oldest` on.
    sent: VecDeque<Known>,
    /// Packets that the messages still lack, oldest message first.
    messages: VecDeque<u32>,
    completed: u32,
}

const PSN_MASK: u32 = 0x00FF_FFFF;

impl Requester {
    /// A connection whose first packet has the PSN `first_psn`. At most `window` packets, counted from the oldest without
    /// acknowledgement, may be on their way.
    pub fn new(first_psn: u32, window: u32) -> Requester {
        let (sent, messages) = (VecDeque::new(), VecDeque::new());
        Requester { oldest: first_psn, window, posted: 0, sent, messages, completed: 0 }
    }

    /// The application has posted a message of `packets` packets, 1 or more.
    pub fn post(&mut self, packets: u32) {
        self.posted += packets;
        self.messages.push_back(packets);
    }

    /// The network can take a packet. Which PSN is sent? `None`: nothing is to be sent now.
    pub fn next_packet(&mut self) -> Option<u32> {
        if let Some(lost) = self.sent.iter().position(|known| *known == Known::Lost) {
            self.sent[lost] = Known::Repaired;
            return Some((self.oldest + lost as u32) & PSN_MASK);
        }
        let next = self.sent.len() as u32;
        if next == self.posted || next == self.window {
            return None;
        }
        self.sent.push_back(Known::Sent);
        Some((self.oldest + next) & PSN_MASK)
    }

    /// The responder has everything up to and including `psn`.
    pub fn on_ack(&mut self, psn: u32) {
        if let Some(distance) = self.distance(psn) {
            self.acknowledge(distance + 1);
        }
    }

    /// The responder has everything before `expected`, and waits for that; of what comes behind it has `arrived`, and perhaps
    /// more.
    pub fn on_gap(&mut self, expected: u32, arrived: u32) {
        if let Some(distance) = self.distance(expected) {
            self.acknowledge(distance);
        }
        if let Some(distance) = self.distance(arrived).filter(|&distance| distance > 0) {
            self.sent[distance as usize] = Known::Arrived;
            for known in self.sent.range_mut(..distance as usize) {
                if *known == Known::Sent {
                    *known = Known::Lost;
                }
            }
        }
    }

    /// Nothing was heard for the time that the requester waits.
    pub fn on_timeout(&mut self) {
        for known in &mut self.sent {
            if *known != Known::Arrived {
                *known = Known::Lost;
            }
        }
    }

    /// How many messages, counted from the first, are acknowledged as a whole.
    pub fn completed(&self) -> u32 {
        self.completed
    }

    /// How far a packet that was sent is behind the oldest.
    fn distance(&self, psn: u32) -> Option<u32> {
        let distance = psn.wrapping_sub(self.oldest) & PSN_MASK;
        (distance < self.sent.len() as u32).then_some(distance)
    }

    /// The oldest `packets` packets have arrived.
    fn acknowledge(&mut self, mut packets: u32) {
        self.oldest = (self.oldest + packets) & PSN_MASK;
        self.posted -= packets;
        self.sent.drain(..packets as usize);
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
