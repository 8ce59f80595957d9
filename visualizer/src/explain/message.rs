//! Messages put together from packets: which operation, how many bytes, from which packet to which.

use std::collections::BTreeMap;

use ferroce_wire::{Operation, Position, Psn};
use serde::Serialize;

use super::sighting::Sighting;

/// A message whose packets were all sent at least once.
#[derive(Clone, Debug, Serialize)]
pub struct Message {
    /// As libibverbs calls it, without the prefix: `SEND`, `WRITE_IMM`, `READ`.
    pub operation: &'static str,
    /// Bytes of data that it moves.
    pub bytes: u64,
    /// The PSN of its first packet.
    pub psn: u32,
    /// The first and the last packet of its requests, by number.
    pub packets: (u64, u64),
}

/// What one operation amounts to.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Total {
    /// Messages.
    pub messages: u64,
    /// Bytes of data, those sent again not counted twice.
    pub bytes: u64,
}

/// Messages listed per direction; the totals go on.
const MAX_LISTED: usize = 256;
/// Messages of several packets that may be under way at once.
const MAX_OPEN: usize = 256;

/// Assembles the messages that one QP sends.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    pub(super) totals: BTreeMap<&'static str, Total>,
    pub(super) listed: Vec<Message>,
    /// Begun and not ended, in PSN order but for losses.
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    psn: Psn,
    /// Where a later message begins: the end must lie before it.
    bound: Option<Psn>,
    packet: u64,
    /// Payload of the first packet, which is that of every packet but the last.
    step: u64,
    /// The length that a WRITE announces.
    announced: Option<u32>,
}

impl Assembler {
    /// A packet that was not seen before.
    pub(super) fn add(&mut self, s: &Sighting<'_>) {
        let psn = s.headers.bth.psn;
        let announced = s.headers.reth.map(|reth| reth.len);
        match s.opcode().position() {
            Position::First => {
                self.bound(psn);
                if self.open.len() == MAX_OPEN {
                    self.open.remove(0);
                }
                let step = s.payload_len as u64;
                self.open.push(Open { psn, bound: None, packet: s.number, step, announced });
            }
            Position::Middle => {}
            Position::Last => self.end(s),
            Position::Only => {
                self.bound(psn);
                let bytes = match s.opcode().operation() {
                    Operation::CompareSwap | Operation::FetchAdd => 8,
                    Operation::ReadRequest | Operation::Flush => u64::from(announced.unwrap_or(0)),
                    _ => s.payload_len as u64,
                };
                self.complete(s, bytes, psn, s.number);
            }
        }
    }

    /// A packet that was seen before: it matters if it ends a message whose start was missing then.
    pub(super) fn add_again(&mut self, s: &Sighting<'_>) {
        if s.opcode().position() == Position::Last {
            self.end(s);
        }
    }

    /// Forgets what is under way.
    pub(super) fn restart(&mut self) {
        self.open.clear();
    }

    fn end(&mut self, s: &Sighting<'_>) {
        let psn = s.headers.bth.psn;
        let belongs =
            |open: &Open| !psn.is_before(open.psn) && open.bound.is_none_or(|bound| psn.is_before(bound));
        let Some(index) = self.open.iter().rposition(belongs) else { return };
        let open = self.open.remove(index);
        let before = u64::from(psn.distance(open.psn).unsigned_abs()) * open.step;
        let bytes = open.announced.map_or(before + s.payload_len as u64, u64::from);
        self.complete(s, bytes, open.psn, open.packet);
    }

    /// A message begins here, so those before it end before it.
    fn bound(&mut self, psn: Psn) {
        for open in self.open.iter_mut().rev() {
            if open.psn.is_before(psn) && open.bound.is_none_or(|bound| psn.is_before(bound)) {
                open.bound = Some(psn);
            }
        }
    }

    fn complete(&mut self, s: &Sighting<'_>, bytes: u64, psn: Psn, first_packet: u64) {
        let operation = operation_name(s.opcode().operation());
        let total = self.totals.entry(operation).or_default();
        total.messages += 1;
        total.bytes += bytes;
        if self.listed.len() < MAX_LISTED {
            let packets = (first_packet, s.number);
            self.listed.push(Message { operation, bytes, psn: psn.value(), packets });
        }
    }
}

/// What libibverbs calls the work request.
const fn operation_name(operation: Operation) -> &'static str {
    match operation {
        Operation::SendFirst | Operation::SendMiddle | Operation::SendLast | Operation::SendOnly => "SEND",
        Operation::SendLastImm | Operation::SendOnlyImm => "SEND_IMM",
        Operation::SendLastInv | Operation::SendOnlyInv => "SEND_INV",
        Operation::WriteFirst | Operation::WriteMiddle | Operation::WriteLast | Operation::WriteOnly => {
            "WRITE"
        }
        Operation::WriteLastImm | Operation::WriteOnlyImm => "WRITE_IMM",
        Operation::ReadRequest => "READ",
        Operation::CompareSwap => "COMPARE_SWAP",
        Operation::FetchAdd => "FETCH_ADD",
        Operation::Flush => "FLUSH",
        Operation::AtomicWrite => "ATOMIC_WRITE",
        _ => "OTHER",
    }
}
