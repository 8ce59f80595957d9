//! What must come of one direction of a connection: each message takes effect once, whole, and in turn.

use crate::plan::{EndPlanned, Memory, Plan, Planned, Range};
use crate::program::{EndRef, Kind};

/// The memory that the messages of one end can change, as it is after some of them.
#[derive(Clone, Debug)]
pub(crate) struct Oracle<'p> {
    sender: &'p EndPlanned,
    receiver: &'p EndPlanned,
    /// Messages executed.
    pub(crate) done: usize,
    /// The sender's own memory.
    pub(crate) local: Vec<u8>,
    /// Of the receiver.
    pub(crate) inbox: Vec<u8>,
    pub(crate) window: Vec<u8>,
    /// The word at the receiver's host that only this direction uses.
    pub(crate) word: u64,
}

impl<'p> Oracle<'p> {
    /// Before the first message of `end`.
    pub(crate) fn new(plan: &'p Plan, end: EndRef) -> Oracle<'p> {
        let (sender, receiver) = (plan.end(end), plan.end(end.peer()));
        let Memory { inbox, window, .. } = receiver.memory.clone();
        let word = plan.words[receiver.host][private_word(end)];
        Oracle { sender, receiver, done: 0, local: sender.memory.local.clone(), inbox, window, word }
    }

    /// After all messages.
    pub(crate) fn finished(plan: &'p Plan, end: EndRef) -> Oracle<'p> {
        let mut oracle = Oracle::new(plan, end);
        while oracle.step() {}
        oracle
    }

    /// Executes the next message; false when there is none.
    pub(crate) fn step(&mut self) -> bool {
        let Some(planned) = self.sender.messages.get(self.done) else { return false };
        self.execute(planned);
        self.done += 1;
        true
    }

    fn execute(&mut self, planned: &Planned) {
        match planned.message.kind {
            Kind::Send | Kind::SendImm | Kind::SendInv => {
                let data = gather(&self.local, &planned.sges);
                let recv = &self.receiver.recvs[planned.recv.expect("SENDs use receives")];
                scatter(&mut self.inbox, &recv.sges, &data);
            }
            Kind::Write | Kind::WriteImm | Kind::AtomicWrite => {
                let data = gather(&self.local, &planned.sges);
                self.window[planned.remote.bytes()].copy_from_slice(&data);
            }
            Kind::Read => {
                let data = self.window[planned.remote.bytes()].to_vec();
                scatter(&mut self.local, &planned.sges, &data);
            }
            Kind::FetchAdd => {
                let original = self.word;
                self.word = original.wrapping_add(planned.operand());
                scatter(&mut self.local, &planned.sges, &original.to_ne_bytes());
            }
            Kind::CompareSwap => {
                let original = self.word;
                if original == self.compare(planned) {
                    self.word = planned.swap();
                }
                scatter(&mut self.local, &planned.sges, &original.to_ne_bytes());
            }
            // Checked together with all others that use the word.
            Kind::SharedAdd | Kind::SharedSwap => {}
            Kind::Flush | Kind::BindMw | Kind::RegMr | Kind::LocalInv => {}
        }
    }

    /// What a CAS on the word of its own compares with: every other one with what it will find.
    fn compare(&self, planned: &Planned) -> u64 {
        if planned.message.place.is_multiple_of(2) { self.word } else { planned.operand() }
    }
}

/// What each CAS of an end compares with, by message.
pub(crate) fn compares(plan: &Plan, end: EndRef) -> Vec<u64> {
    let mut oracle = Oracle::new(plan, end);
    let mut all = Vec::new();
    while let Some(planned) = oracle.sender.messages.get(oracle.done) {
        all.push(match planned.message.kind {
            // The shared one starts from what the word holds first, or from what some peer may have left.
            Kind::SharedSwap => shared_compare(plan, end, planned),
            _ => oracle.compare(planned),
        });
        oracle.step();
    }
    all
}

/// Other swaps of the same word, or its first value: a CAS that guesses so succeeds now and then.
fn shared_compare(plan: &Plan, end: EndRef, planned: &Planned) -> u64 {
    let host = plan.end(end.peer()).host;
    let mut guesses = vec![plan.words[host][crate::plan::SHARED_SWAP]];
    for other in plan.ends.iter().filter(|other| plan.end(other.end.peer()).host == host) {
        let swaps = other.messages.iter().filter(|planned| planned.message.kind == Kind::SharedSwap);
        guesses.extend(swaps.map(|planned| shared_swap(other.end, planned)));
    }
    guesses[planned.message.place as usize % guesses.len().min(3)]
}

/// What a shared CAS stores: a value that no other stores.
pub(crate) fn shared_swap(end: EndRef, planned: &Planned) -> u64 {
    planned.swap() ^ ((end.conn * 2 + end.side + 1) as u64) << 56
}

/// Index of the word that only `end` uses, at its peer's host.
pub(crate) fn private_word(end: EndRef) -> usize {
    2 + end.conn * 2 + end.side
}

pub(crate) fn gather(region: &[u8], ranges: &[Range]) -> Vec<u8> {
    ranges.iter().flat_map(|range| &region[range.bytes()]).copied().collect()
}

pub(crate) fn scatter(region: &mut [u8], ranges: &[Range], data: &[u8]) {
    let mut rest = data;
    for range in ranges {
        let here = range.len.min(rest.len());
        region[range.at..range.at + here].copy_from_slice(&rest[..here]);
        rest = &rest[here..];
    }
}
