//! From a program to all its addresses, and to what must come of it: an executor that takes every message of a
//! direction in turn and knows nothing of packets.

use ferroce_engine::ImmDt;
use ferroce_fabric::Dice;

use crate::program::*;

/// A stretch of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) at: usize,
    pub(crate) len: usize,
}

impl Range {
    pub(crate) fn overlaps(self, other: Range) -> bool {
        self.len > 0 && other.len > 0 && self.at < other.at + other.len && other.at < self.at + self.len
    }

    pub(crate) fn bytes(self) -> std::ops::Range<usize> {
        self.at..self.at + self.len
    }
}

/// A message with its addresses.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) message: Message,
    pub(crate) wr_id: u64,
    /// Local memory, in the region `local` of the sender.
    pub(crate) sges: Vec<Range>,
    /// In the peer's `window`, or of `words` of its host.
    pub(crate) remote: Range,
    /// Number of the receive that it uses, counted from 0 over the life of the connection.
    pub(crate) recv: Option<usize>,
    /// It must wait for the READs before it, which would otherwise see what it writes.
    pub(crate) fence: bool,
    /// The message that bound the window, or registered the memory, which this one shuts.
    pub(crate) shuts: Option<usize>,
}

impl Planned {
    pub(crate) fn imm(&self) -> Option<ImmDt> {
        self.message.kind.has_imm().then_some(ImmDt(self.message.value.to_be_bytes()))
    }

    /// Operands of an atomic: what to add, or what to compare with and what to store.
    pub(crate) fn operand(&self) -> u64 {
        u64::from(self.message.value) + 1
    }

    pub(crate) fn swap(&self) -> u64 {
        self.wr_id << 32 | u64::from(self.message.value)
    }
}

/// A receive with its addresses, in the region `inbox`.
#[derive(Clone, Debug)]
pub(crate) struct PlannedRecv {
    pub(crate) wr_id: u64,
    pub(crate) sges: Vec<Range>,
    /// The message of the peer's that uses it.
    pub(crate) message: Option<usize>,
}

/// One end of a connection: what it sends, what it receives, and its memory at the start.
#[derive(Clone, Debug)]
pub(crate) struct EndPlanned {
    pub(crate) end: EndRef,
    pub(crate) host: usize,
    pub(crate) messages: Vec<Planned>,
    pub(crate) recvs: Vec<PlannedRecv>,
    pub(crate) memory: Memory,
}

/// The three regions of an end. Peers reach only the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) local: Vec<u8>,
    pub(crate) inbox: Vec<u8>,
    pub(crate) window: Vec<u8>,
}

/// Words of a host: two that all share, then one for each end that is somewhere else.
pub(crate) const SHARED_ADD: usize = 0;
pub(crate) const SHARED_SWAP: usize = 1;

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) program: Program,
    pub(crate) ends: Vec<EndPlanned>,
    /// Of each host: its words at the start.
    pub(crate) words: Vec<Vec<u64>>,
}

impl Plan {
    pub(crate) fn new(program: &Program) -> Plan {
        let refs = (0..program.conns.len()).flat_map(|conn| [0, 1].map(|side| EndRef { conn, side }));
        let mut ends: Vec<_> = refs.map(|end| lay_out(program, end)).collect();
        for index in 0..ends.len() {
            let messages = ends[index ^ 1].messages.clone();
            place_receives(program, &mut ends[index], &messages);
        }
        let mut dice = Dice::new(program.seed ^ 0xda7a);
        for end in &mut ends {
            for region in [&mut end.memory.local, &mut end.memory.inbox, &mut end.memory.window] {
                fill(region, dice.any());
            }
        }
        let words = 2 + ends.len();
        let words = program.hosts.iter().map(|_| (0..words).map(|_| dice.any()).collect()).collect();
        Plan { program: program.clone(), ends, words }
    }

    pub(crate) fn end(&self, end: EndRef) -> &EndPlanned {
        &self.ends[end.conn * 2 + end.side]
    }

    pub(crate) fn end_plan(&self, end: EndRef) -> &EndPlan {
        &self.program.conns[end.conn].ends[end.side]
    }

    /// Bytes of all messages.
    pub(crate) fn total_bytes(&self) -> u64 {
        let messages = self.ends.iter().flat_map(|end| &end.messages);
        messages.map(|planned| u64::from(planned.message.len)).sum()
    }
}

/// A region from which ranges are taken one after the other, with gaps that nobody may touch.
struct Arena<'a> {
    used: usize,
    dice: &'a mut Dice,
}

impl Arena<'_> {
    /// `len` bytes in so many ranges, some perhaps empty, not always in order.
    fn take(&mut self, len: usize, pieces: u8) -> Vec<Range> {
        let mut ranges = Vec::new();
        let mut left = len;
        for piece in (1..=usize::from(pieces)).rev() {
            let here = if piece == 1 { left } else { self.dice.below(left as u64 + 1) as usize };
            left -= here;
            self.used += self.dice.below(9) as usize;
            ranges.push(Range { at: self.used, len: here });
            self.used += here;
        }
        // The list is in the order of the message, the ranges may lie in another.
        if self.dice.below(2) == 0 && ranges.len() > 1 && ranges[0].len == ranges[1].len {
            ranges.swap(0, 1);
        }
        ranges
    }
}

/// Gives all messages of an end their memory.
fn lay_out(program: &Program, end: EndRef) -> EndPlanned {
    let mut dice = Dice::new(program.seed ^ (end.conn * 2 + end.side + 1) as u64);
    let steps = program.steps.iter().filter(|step| step.end == end);
    let messages: Vec<_> = steps
        .filter_map(|step| if let Act::Send(message) = &step.act { Some(*message) } else { None })
        .collect();
    let largest = messages.iter().map(|message| message.len as usize).max().unwrap_or(0);
    // Little more than the largest message, so that messages overlap.
    let window = largest + 64;
    let mut arena = Arena { used: 0, dice: &mut dice };
    let mut planned: Vec<Planned> = Vec::new();
    let mut recvs = 0;
    let mut bound = Vec::new();
    for (index, mut message) in messages.into_iter().enumerate() {
        let shuts = if message.kind == Kind::LocalInv { bound.pop() } else { None };
        if message.kind.is_local() && shuts.is_none() {
            if message.kind == Kind::LocalInv {
                message.kind = Kind::BindMw;
            }
            bound.push(index);
        }
        let len = message.len as usize;
        let remote = match message.kind {
            Kind::SharedAdd => Range { at: SHARED_ADD * 8, len: 8 },
            Kind::SharedSwap => Range { at: SHARED_SWAP * 8, len: 8 },
            Kind::CompareSwap | Kind::FetchAdd => Range { at: (2 + end.conn * 2 + end.side) * 8, len: 8 },
            // Not at the very start: one byte before it must still be memory, where that is tried.
            Kind::AtomicWrite => Range { at: 8 + message.place as usize % (window / 8 - 1) * 8, len },
            Kind::Flush => {
                let at = message.place as usize % window;
                Range { at, len: 1 + message.value as usize % (window - at) }
            }
            _ => Range { at: message.place as usize % (window - len + 1), len },
        };
        let recv = message.kind.consumes_receive().then_some(recvs);
        recvs += usize::from(recv.is_some());
        let fence = message.fence || races_with_a_read(&planned, &message, remote);
        let sges = arena.take(len, message.pieces[0]);
        planned.push(Planned { message, wr_id: index as u64 + 1, sges, remote, recv, fence, shuts });
    }
    let memory = Memory { local: vec![0; arena.used + 8], inbox: Vec::new(), window: Vec::new() };
    let host = program.conns[end.conn].ends[end.side].host;
    EndPlanned { end, host, messages: planned, recvs: Vec::new(), memory }
}

/// A WRITE changes what a READ before it may still be fetching, or fetching again.
fn races_with_a_read(before: &[Planned], message: &Message, remote: Range) -> bool {
    if !message.kind.writes() {
        return false;
    }
    let unfenced = before.iter().rposition(|planned| planned.fence).unwrap_or(0);
    before[unfenced..]
        .iter()
        .any(|earlier| earlier.message.kind == Kind::Read && earlier.remote.overlaps(remote))
}

/// Gives an end the receives that the messages of its peer need, and its window.
fn place_receives(program: &Program, end: &mut EndPlanned, messages: &[Planned]) {
    let mut dice = Dice::new(program.seed ^ (end.end.conn * 2 + end.end.side + 1001) as u64);
    let mut arena = Arena { used: 0, dice: &mut dice };
    let mut recvs = Vec::new();
    for (index, planned) in messages.iter().enumerate().filter(|(_, planned)| planned.recv.is_some()) {
        // A WRITE with immediate data uses a receive, but not its memory.
        let needed = if planned.message.kind == Kind::WriteImm { 0 } else { planned.message.len as usize };
        let spare = [0, 0, 1, 100][planned.message.place as usize % 4];
        let sges = arena.take(needed + spare, planned.message.pieces[1]);
        recvs.push(PlannedRecv { wr_id: 1000 + recvs.len() as u64, sges, message: Some(index) });
    }
    for _ in 0..program.conns[end.end.conn].ends[end.end.side].spare_recvs {
        let sges = arena.take(64, 1);
        recvs.push(PlannedRecv { wr_id: 1000 + recvs.len() as u64, sges, message: None });
    }
    end.memory.inbox = vec![0; arena.used + 8];
    end.recvs = recvs;
    let largest = messages.iter().map(|planned| planned.message.len as usize).max().unwrap_or(0);
    end.memory.window = vec![0; largest + 64];
}

/// Bytes that look random and depend on their place.
fn fill(region: &mut [u8], seed: u64) {
    let mut state = seed | 1;
    for chunk in region.chunks_mut(8) {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let word = (state ^ state >> 31).to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
}

impl Plan {
    /// The kind of trouble, if any connection is to fail.
    pub(crate) fn trouble_kind(&self) -> Option<TroubleKind> {
        self.program.trouble.map(|trouble| trouble.kind)
    }

    /// The message that the trouble befalls, if it is about one and fits one.
    pub(crate) fn culprit(&self) -> Option<(EndRef, usize)> {
        let trouble = self.program.trouble.filter(|trouble| trouble.kind.is_about_message())?;
        let messages = self.end(trouble.end).messages.iter().enumerate();
        let mut fits = messages.filter(|(_, planned)| trouble.kind.fits(&planned.message));
        let index = fits.find(|(index, _)| *index >= trouble.at)?.0;
        Some((trouble.end, index))
    }

    /// Whether this connection fails, or may.
    pub(crate) fn is_troubled(&self, conn: usize) -> bool {
        match self.program.trouble {
            None => false,
            Some(Trouble { kind: TroubleKind::Cut, .. }) => true,
            Some(trouble) if trouble.kind.is_about_message() => {
                self.culprit().is_some_and(|(end, _)| end.conn == conn)
            }
            Some(trouble) => trouble.end.conn == conn,
        }
    }

    /// Whether links, switches and rules leave all packets alone.
    pub(crate) fn is_quiet(&self) -> bool {
        let failing = self.program.wiring.is_some_and(|wiring| wiring.outage.is_some());
        self.program.link == self.program.link.healed() && self.program.rules.is_empty() && !failing
    }
}
