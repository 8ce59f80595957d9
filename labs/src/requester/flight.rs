//! What every requester must keep in mind, whatever it does about losses: what is posted, sent, acknowledged.

use ferroce_wire::Psn;

use super::Fault;
use super::rules::{IN_ORDER, KEEP_GOING, NOTHING_POSTED, PSN_RANGE, WINDOW};
use crate::failure::{Rule, count};

/// Packets of a connection. They are counted from its first, without wrapping.
pub(crate) struct Flight {
    first: Psn,
    window: u64,
    /// The oldest packet without acknowledgement.
    pub(crate) oldest: u64,
    /// The packet after the last that was ever sent.
    pub(crate) sent: u64,
    pub(crate) posted: u64,
    /// Where each message ends.
    ends: Vec<u64>,
}

impl Flight {
    pub(super) fn new(first: Psn, window: u32) -> Flight {
        Flight { first, window: window.into(), oldest: 0, sent: 0, posted: 0, ends: Vec::new() }
    }

    pub(super) fn post(&mut self, packets: u32) {
        self.posted += u64::from(packets);
        self.ends.push(self.posted);
    }

    /// The PSN of a packet.
    pub(crate) fn psn(&self, packet: u64) -> Psn {
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

    /// True when everything that was posted is acknowledged.
    pub(super) fn is_done(&self) -> bool {
        self.oldest == self.posted
    }

    /// Whether the window lets this packet be sent.
    pub(crate) fn may_send(&self, packet: u64) -> bool {
        packet < self.posted && packet - self.oldest < self.window
    }

    /// How far a packet that was sent and is not acknowledged is from the oldest such.
    pub(crate) fn distance(&self, psn: Psn) -> Option<u64> {
        let distance = psn.distance(self.psn(self.oldest));
        u64::try_from(distance).ok().filter(|&distance| distance < self.sent - self.oldest)
    }

    /// Compares what is sent with what must be. `why` is the rule if the packet that is due is due for a special reason,
    /// and `next` the first packet that was never sent, or is to be sent again.
    pub(crate) fn compare(
        &self,
        due: Option<u64>,
        seen: Option<u32>,
        why: Option<&'static Rule>,
        next: u64,
    ) -> Result<(), Fault> {
        let expected = due.map(|packet| self.psn(packet));
        if seen == expected.map(Psn::value) {
            return Ok(());
        }
        let rule = match (seen, why) {
            (Some(psn), _) if psn > 0x00ff_ffff => &PSN_RANGE,
            (_, Some(why)) if due.is_some() => why,
            (None, _) => &KEEP_GOING,
            (Some(_), _) if due.is_some() => &IN_ORDER,
            (Some(_), _) if next == self.posted => &NOTHING_POSTED,
            (Some(_), _) => &WINDOW,
        };
        let nothing = match self.posted - next {
            0 => "nothing: all that is posted is sent".to_owned(),
            _ => {
                format!("nothing: without acknowledgement there are already {}", count(self.window, "packet"))
            }
        };
        let expected = expected.map_or(nothing, |psn| format!("PSN {psn} is sent"));
        let seen = seen.map_or("nothing is sent".to_owned(), |psn| format!("PSN {psn:#08x} is sent"));
        Err(Fault { rule, expected, seen })
    }

    /// Compares what the requester says is completed, after it has heard something that acknowledged all before
    /// `oldest`, which was `before`.
    pub(crate) fn compare_completed(
        &self,
        completed: usize,
        before: u64,
        rule: &'static Rule,
    ) -> Result<(), Fault> {
        if completed == self.completed() {
            return Ok(());
        }
        let covered = match self.oldest - before {
            0 => "it acknowledges nothing new".to_owned(),
            packets => format!("it acknowledges {}", count(packets, "more packet")),
        };
        Err(Fault {
            rule,
            expected: format!("completed() is {}: {covered}", self.completed()),
            seen: format!("completed() is {completed}"),
        })
    }
}
