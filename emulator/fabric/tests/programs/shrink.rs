//! Cutting a failing program down to what is needed to fail.

use std::fmt;
use std::time::Duration;

use ferroce_engine::{AckRequests, PathMtu};
use ferroce_fabric::{Chance, Port};
use proptest::prelude::any;
use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::program::*;

/// Programs from random seeds, which shrink step by step.
pub(crate) struct Programs {
    pub(crate) make: fn(u64) -> Program,
}

impl fmt::Debug for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Programs")
    }
}

impl Strategy for Programs {
    type Tree = Tree;
    type Value = Program;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let seed = u64::from(any::<u32>().new_tree(runner)?.current());
        let program = (self.make)(seed);
        Ok(Tree { best: program.clone(), candidate: program, next: 0 })
    }
}

/// The smallest failing program so far, and the one to try.
pub(crate) struct Tree {
    best: Program,
    candidate: Program,
    /// The reduction to try next.
    next: usize,
}

impl Tree {
    /// Makes the next reduction of the best program the candidate.
    fn advance(&mut self) -> bool {
        while let Some(reduced) = reduction(&self.best, self.next) {
            self.next += 1;
            if let Some(program) = reduced {
                self.candidate = program;
                return true;
            }
        }
        self.candidate = self.best.clone();
        false
    }
}

impl ValueTree for Tree {
    type Value = Program;

    fn current(&self) -> Program {
        self.candidate.clone()
    }

    fn simplify(&mut self) -> bool {
        self.best = self.candidate.clone();
        // A reduction that worked may work again at the same place.
        self.next = self.next.saturating_sub(1);
        self.advance()
    }

    fn complicate(&mut self) -> bool {
        self.advance()
    }
}

/// The same without proptest: the smallest program that fails, and how.
pub(crate) fn smallest(
    program: Program,
    why: String,
    judge: fn(&Program) -> Result<(), String>,
) -> (Program, String) {
    let mut tree = Tree { best: program.clone(), candidate: program, next: 0 };
    let mut reason = why;
    let mut more = tree.simplify();
    while more {
        more = match judge(&tree.current()) {
            Err(why) => {
                reason = why;
                tree.simplify()
            }
            Ok(()) => tree.complicate(),
        };
    }
    (tree.best, reason)
}

/// Reduction number `index`: `None` when there are no more, `Some(None)` when this one changes nothing.
fn reduction(program: &Program, index: usize) -> Option<Option<Program>> {
    // First steps, in ever smaller chunks; then faults and choices; then what each step is.
    let steps = program.steps.len();
    let mut number = index;
    let mut chunk = steps.div_ceil(2);
    while chunk > 0 {
        let chunks = steps.div_ceil(chunk);
        if number < chunks {
            return Some(without_steps(program, number * chunk, chunk));
        }
        number -= chunks;
        chunk /= 2;
    }
    if number < program.rules.len() {
        let mut less = program.clone();
        less.rules.remove(number);
        return Some(Some(less));
    }
    number -= program.rules.len();
    if number < SIMPLER.len() {
        let mut less = program.clone();
        SIMPLER[number](&mut less);
        return Some(differs(program, less));
    }
    number -= SIMPLER.len();
    if number < steps * SIMPLER_STEP.len() {
        let mut less = program.clone();
        SIMPLER_STEP[number % SIMPLER_STEP.len()](&mut less.steps[number / SIMPLER_STEP.len()]);
        return Some(differs(program, less));
    }
    None
}

fn differs(before: &Program, after: Program) -> Option<Program> {
    (format!("{before:?}") != format!("{after:?}")).then_some(after)
}

fn without_steps(program: &Program, start: usize, count: usize) -> Option<Program> {
    let mut less = program.clone();
    let end = (start + count).min(less.steps.len());
    // Later steps keep their time.
    let gap: Duration = less.steps.drain(start..end).map(|step| step.gap).sum();
    if let Some(next) = less.steps.get_mut(start) {
        next.gap += gap;
    }
    if let Some(trouble) = &mut less.trouble
        && !trouble.kind.is_about_message()
        && trouble.at >= end
    {
        trouble.at -= end - start;
    }
    (!less.steps.is_empty()).then_some(less)
}

const SIMPLER: [fn(&mut Program); 25] = [
    |p| p.ipv6 = false,
    |p| p.wiring = None,
    |p| p.wiring.iter_mut().for_each(|wiring| wiring.outage = None),
    |p| p.wiring.iter_mut().for_each(|wiring| wiring.lossless = false),
    |p| p.link.loss = Chance::NEVER,
    |p| p.link.duplicate = Chance::NEVER,
    |p| p.link.reorder = Chance::NEVER,
    |p| p.link.corrupt = Chance::NEVER,
    |p| p.link.jitter = Duration::ZERO,
    |p| p.steps.iter_mut().for_each(|step| step.gap = Duration::ZERO),
    |p| p.hosts.iter_mut().for_each(|host| host.personality = "default"),
    |p| p.hosts.iter_mut().for_each(|host| host.read_chunk = 1 << 22),
    |p| p.hosts.iter_mut().for_each(|host| host.window = 512),
    |p| p.hosts.iter_mut().for_each(|host| host.ack_coalescing = 1),
    |p| p.hosts.iter_mut().for_each(|host| host.ack_requests = AckRequests::EveryMessage),
    |p| p.hosts.iter_mut().for_each(|host| host.port = Port::default()),
    |p| p.hosts.iter_mut().for_each(|host| host.polling = Polling::Busy),
    |p| p.hosts.iter_mut().for_each(|host| host.shared_cq = true),
    |p| p.conns.iter_mut().for_each(|conn| conn.mtu = PathMtu::Mtu256),
    |p| for_each_end(p, |end| (end.send_depth, end.recv_depth) = (64, 64)),
    |p| for_each_end(p, |end| (end.max_rd_atomic, end.spare_rd_atomic) = (16, 0)),
    |p| for_each_end(p, |end| end.first_psn = 0),
    |p| for_each_end(p, |end| end.rnr_timer = 1),
    |p| for_each_end(p, |end| (end.signal_all, end.spare_recvs) = (true, 0)),
    |p| for_each_end(p, |end| end.shared_receives = false),
];

fn for_each_end(program: &mut Program, change: fn(&mut EndPlan)) {
    program.conns.iter_mut().flat_map(|conn| &mut conn.ends).for_each(change);
}

const SIMPLER_STEP: [fn(&mut Step); 7] = [
    |step| step.gap = Duration::ZERO,
    |step| change(step, |message| shorten(message, 0)),
    |step| change(step, |message| shorten(message, message.len / 2)),
    |step| change(step, |message| message.pieces = [1, 1]),
    |step| change(step, |message| (message.fence, message.solicited, message.inline) = (false, false, false)),
    |step| change(step, |message| message.signaled = true),
    |step| change(step, |message| (message.place, message.value) = (0, 0)),
];

fn shorten(message: &mut Message, len: u32) {
    if !message.kind.is_atomic() && message.kind != Kind::AtomicWrite {
        message.len = len;
    }
}

fn change(step: &mut Step, change: fn(&mut Message)) {
    if let Act::Send(message) = &mut step.act {
        change(message);
    }
}
