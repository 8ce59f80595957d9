//! What a go-back-N requester must do, step by step.

use ferroce_wire::Psn;

use super::rules::{
    CUMULATIVE, IN_ORDER, KEEP_GOING, NAK_ACKS, NOTHING_POSTED, PSN_RANGE, RESTART_NAK, RESTART_TIMEOUT,
    STALE, WINDOW,
};
use crate::failure::Rule;

/// A requester as it must be. Packets are counted from the first of the connection, without wrapping.
pub(super) struct Judge {
    first: Psn,
    window: u64,
    pub(super) oldest: u64,
    pub(super) next: u64,
    sent: u64,
    posted: u64,
    /// Where each message ends.
    ends: Vec<u64>,
    /// What decides about the next packet.
    cause: Cause,
}

/// The latest thing that moved the requester.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    Going,
    Nak,
    Timeout,
}

/// Something that the requester hears.
#[derive(Clone, Copy, Debug)]
pub(super) enum Heard {
    Ack(Psn),
    Nak(Psn),
    Timeout,
}

/// What is wrong: the rule, what is expected, and what is seen.
pub(super) struct Fault {
    pub(super) rule: &'static Rule,
    pub(super) expected: String,
    pub(super) seen: String,
}

impl Judge {
    pub(super) fn new(first: Psn, window: u32) -> Judge {
        let window = window.into();
        Judge { first, window, oldest: 0, next: 0, sent: 0, posted: 0, ends: Vec::new(), cause: Cause::Going }
    }

    pub(super) fn post(&mut self, packets: u32) {
        self.posted += u64::from(packets);
        self.ends.push(self.posted);
    }

    /// The PSN of a packet.
    pub(super) fn psn(&self, packet: u64) -> Psn {
        self.first + (packet & 0x00ff_ffff) as u32
    }

    /// Messages that are acknowledged as a whole.
    pub(super) fn completed(&self) -> usize {
        self.ends.iter().filter(|&&end| end <= self.oldest).count()
    }

    /// The first packet of the message that `packet` belongs to, and the packet after its last.
    pub(super) fn message(&self, packet: u64) -> (u64, u64) {
        let index = self.ends.partition_point(|&end| end <= packet);
        let begin = if index == 0 { 0 } else { self.ends[index - 1] };
        (begin, self.ends[index])
    }

    /// The packet after the last that was ever sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// True when everything that was posted is acknowledged.
    pub(super) fn is_done(&self) -> bool {
        self.oldest == self.posted
    }

    /// Judges what the requester sends next.
    pub(super) fn sends(&mut self, seen: Option<u32>) -> Result<(), Fault> {
        let may = self.next < self.posted && self.next - self.oldest < self.window;
        let expected = may.then(|| self.psn(self.next));
        if seen == expected.map(Psn::value) {
            if may {
                self.next += 1;
                self.sent = self.sent.max(self.next);
                self.cause = Cause::Going;
            }
            return Ok(());
        }
        let rule = match (seen, self.cause) {
            (Some(psn), _) if psn > 0x00ff_ffff => &PSN_RANGE,
            (_, Cause::Nak) if may => &RESTART_NAK,
            (_, Cause::Timeout) if may => &RESTART_TIMEOUT,
            (None, _) => &KEEP_GOING,
            (Some(_), _) if may => &IN_ORDER,
            (Some(_), _) if self.next == self.posted => &NOTHING_POSTED,
            (Some(_), _) => &WINDOW,
        };
        let nothing = match self.posted - self.next {
            0 => "nothing: all that is posted is sent".to_owned(),
            _ => format!("nothing: {} packets are without acknowledgement", self.window),
        };
        let expected = expected.map_or(nothing, |psn| format!("PSN {psn} is sent"));
        let seen = seen.map_or("nothing is sent".to_owned(), |psn| format!("PSN {psn:#08x} is sent"));
        Err(Fault { rule, expected, seen })
    }

    /// Something is heard, after which the requester says that so many messages are completed.
    pub(super) fn hears(&mut self, heard: Heard, completed: usize) -> Result<(), Fault> {
        let before = self.oldest;
        let rule = match heard {
            Heard::Timeout => {
                self.next = self.oldest;
                self.cause = Cause::Timeout;
                &STALE
            }
            Heard::Ack(psn) => match self.distance(psn) {
                Some(distance) => {
                    self.acknowledge(distance + 1);
                    &CUMULATIVE
                }
                None => &STALE,
            },
            Heard::Nak(psn) => match self.distance(psn) {
                Some(distance) => {
                    self.acknowledge(distance);
                    self.next = self.oldest;
                    self.cause = Cause::Nak;
                    &NAK_ACKS
                }
                None => &STALE,
            },
        };
        if completed == self.completed() {
            return Ok(());
        }
        let covered = match self.oldest - before {
            0 => "it acknowledges nothing new".to_owned(),
            packets => format!("it acknowledges {packets} more packets"),
        };
        Err(Fault {
            rule,
            expected: format!("completed() is {}: {covered}", self.completed()),
            seen: format!("completed() is {completed}"),
        })
    }

    /// How far a packet that was sent and is not acknowledged is from the oldest such.
    fn distance(&self, psn: Psn) -> Option<u64> {
        let distance = psn.distance(self.psn(self.oldest));
        u64::try_from(distance).ok().filter(|&distance| distance < self.sent - self.oldest)
    }

    fn acknowledge(&mut self, packets: u64) {
        self.oldest += packets;
        self.next = self.next.max(self.oldest);
    }
}
