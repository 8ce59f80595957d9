//! Where programs with network cards play: each is a process of the student's.
//!
//! Programs in Rust call verbs of cards in a simulated network, where a run depends on nothing but the seed. Programs in
//! other languages call the verbs of libibverbs, and have cards on addresses of this computer; what is checked is the same.

mod actor;
mod connecting;
mod real;
mod simulated;
mod transcript;
mod verbs;

use ferroce_engine::QpState;
use ferroce_fabric::Link;

use crate::course::Language;
use crate::failure::{Row, Rule, Wrong};
use crate::talk::{Players, Stop};
use real::Real;
use simulated::Simulated;

const WAITS: Rule = Rule {
    name: "stage.waits",
    text: "Somebody must have something to do: here everybody waits for what nobody will send.",
    source: "this lab",
};

/// The module by which the student's programs call.
pub(crate) const RDMA: (&str, &str) = ("rdma", include_str!("../../course/rdma.rs"));

/// Sockets on top of it.
pub(crate) const STREAM: (&str, &str) = ("stream", include_str!("../../course/stream.rs"));

/// Programs, their cards, and the network between them.
pub(crate) enum Stage {
    Simulated(Box<Simulated>),
    Real(Real),
}

/// Asks whichever it is.
macro_rules! either {
    ($stage:expr, $inner:ident => $what:expr) => {
        match $stage {
            Stage::Simulated($inner) => $what,
            Stage::Real($inner) => $what,
        }
    };
}

impl Stage {
    /// Starts a program for each part: its name, and what its function is given. The name may have a number behind
    /// a dash, as in "client-2", for programs that play the same part.
    pub(crate) fn open(
        players: &mut Players<'_>,
        seed: u64,
        link: Link,
        parts: &[(String, String)],
    ) -> Result<Stage, Stop> {
        match players.program().language() {
            Language::Rust => Ok(Stage::Simulated(Box::new(Simulated::open(players, seed, link, parts)?))),
            Language::C | Language::Python => Ok(Stage::Real(Real::open(players, seed, link, parts)?)),
        }
    }

    /// From now on a message that finds no receive posted breaks this rule.
    pub(crate) fn forbid_rnr(&mut self, rule: &'static Rule) {
        either!(self, stage => stage.forbid_rnr(rule));
    }

    /// Plays until every program has ended, and gives what their functions returned.
    pub(crate) fn play(&mut self, players: &mut Players<'_>) -> Result<Vec<String>, Stop> {
        either!(self, stage => stage.play(players))
    }

    /// A wrong run: the rule that it breaks, and rows before the last things that happened.
    pub(crate) fn wrong(&self, rule: &'static Rule, rows: Vec<Row>) -> Wrong {
        either!(self, stage => stage.wrong(rule, rows))
    }

    /// Bytes of all packets that a program's card has sent.
    pub(crate) fn sent_bytes(&self, program: usize) -> u64 {
        either!(self, stage => stage.sent_bytes(program))
    }

    /// What a program has told another that has not heard it.
    pub(crate) fn told(&self, from: usize, to: usize) -> Vec<&str> {
        either!(self, stage => stage.told(from, to).collect())
    }

    /// How often programs have told each other something outside of RDMA.
    pub(crate) fn tells(&self) -> usize {
        either!(self, stage => stage.tells())
    }

    /// Completions that a program has taken out of its queues.
    pub(crate) fn completions(&self, program: usize) -> u64 {
        either!(self, stage => stage.completions(program))
    }

    /// The states of a program's queue pairs, in the order in which they were made.
    pub(crate) fn states(&self, program: usize) -> Vec<QpState> {
        either!(self, stage => stage.states(program))
    }

    /// What is in a program's memory region, counted in the order of registration.
    pub(crate) fn memory(&self, program: usize, region: usize) -> Option<Vec<u8>> {
        either!(self, stage => stage.memory(program, region))
    }

    /// Bytes of the longest packet that was sent with SEND.
    pub(crate) fn longest_send(&self) -> Option<usize> {
        either!(self, stage => stage.longest_send())
    }

    /// Requests for connections that a program has rejected.
    pub(crate) fn rejected(&self, program: usize) -> usize {
        either!(self, stage => stage.rejected(program))
    }
}
