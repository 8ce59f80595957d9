//! What the demo has verified, as data.

use std::net::IpAddr;

use serde::Serialize;

/// The outcome of a demo.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Everything that was to be verified was, and nothing was wrong.
    pub verified: bool,
    /// Somebody stopped it before it was through.
    pub interrupted: bool,
    /// What was wrong.
    pub failure: Option<String>,
    /// Repeats the decisions about messages and faults.
    pub seed: u64,
    /// The faults that were asked for: probabilities from 0 to 1, for each packet.
    pub faults: FaultShares,
    /// The two NICs.
    pub nics: Vec<NicSummary>,
    /// What was done, one entry for each operation.
    pub operations: Vec<Row>,
    /// All of it together.
    pub total: Row,
}

/// Probabilities from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct FaultShares {
    /// Packets lost.
    pub drop: f64,
    /// Packets that arrive twice.
    pub duplicate: f64,
    /// Packets that arrive late.
    pub reorder: f64,
    /// Packets with a flipped bit.
    pub corrupt: f64,
}

/// A NIC of the demo.
#[derive(Clone, Debug, Serialize)]
pub struct NicSummary {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// How much of the ICRC of received packets it checks.
    pub icrc_check: String,
}

/// What one operation took.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Row {
    /// Its name.
    pub operation: String,
    /// Messages of which every byte (or the word, for atomics) was found right.
    pub messages: u64,
    /// Bytes of these messages.
    pub bytes: u64,
    /// Packets sent by both NICs, acknowledgements and retransmissions included.
    pub packets: u64,
    /// Request packets sent again.
    pub retransmitted: u64,
    /// Packets lost on the way, on purpose.
    pub lost: u64,
    /// Packets that a NIC threw away because they were damaged on the way.
    pub damaged: u64,
    /// Packets that arrived twice, late or damaged, on purpose.
    pub disturbed: u64,
    /// Seconds it took.
    pub seconds: f64,
    /// Nothing was wrong, and nothing is missing.
    pub verified: bool,
}

impl Row {
    pub(crate) fn new(operation: &str) -> Row {
        Row { operation: operation.to_owned(), ..Row::default() }
    }

    /// Adds what another row counted.
    pub(crate) fn add(&mut self, other: &Row) {
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.packets += other.packets;
        self.retransmitted += other.retransmitted;
        self.lost += other.lost;
        self.damaged += other.damaged;
        self.disturbed += other.disturbed;
        self.seconds += other.seconds;
    }
}

impl Summary {
    /// Marks the rows and the whole, now that it is known how it ended. `expected` tells what a row needs.
    pub(crate) fn close(&mut self, expected: impl Fn(&Row) -> u64) {
        for row in &mut self.operations {
            row.verified &= row.messages >= expected(row).max(1);
        }
        let mut total = Row { verified: true, ..Row::new("total") };
        for row in &self.operations {
            total.add(row);
            total.verified &= row.verified;
        }
        self.verified = total.verified && self.failure.is_none() && !self.interrupted;
        self.total = total;
    }
}
