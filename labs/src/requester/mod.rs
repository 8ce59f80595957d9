//! A requester of the student's against the engine's responder, through a network with faults.

mod flight;
mod game;
pub(crate) mod rules;

use ferroce_engine::{Personality, Psn};

use crate::failure::Rule;
use crate::network::Faults;

pub(crate) use flight::Flight;
pub(crate) use game::Game;

/// A requester as it must be, beside the student's.
pub(crate) trait Judge {
    /// What it has in mind.
    fn flight(&mut self) -> &mut Flight;

    /// The network can take a packet, and the student's requester sends this one: which packet that is.
    fn sends(&mut self, seen: Option<u32>) -> Result<Option<u64>, Fault>;

    /// Something is heard, after which the student's requester says that so many messages are completed.
    fn hears(&mut self, heard: Heard, completed: usize) -> Result<(), Fault>;
}

/// Something that a requester hears.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Heard {
    /// Everything up to here has arrived.
    Ack(Psn),
    /// Everything before `expected` has arrived, and `expected` has not; what has, of what comes behind, as far as it
    /// is told.
    Nak {
        expected: Psn,
        arrived: Option<Psn>,
    },
    Timeout,
}

/// What is wrong: the rule, what is expected, and what is seen.
pub(crate) struct Fault {
    pub(crate) rule: &'static Rule,
    pub(crate) expected: String,
    pub(crate) seen: String,
}

/// What is done about losses.
#[derive(Clone, Debug)]
pub(crate) struct Scheme {
    /// What the responder is like.
    pub(crate) personality: fn() -> Personality,
    /// The requester that is right.
    pub(crate) judge: fn(Flight) -> Box<dyn Judge>,
}

/// What a network does to a game.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// Faults of packets and of acknowledgements.
    pub(crate) faults: [Faults; 2],
    /// Last packets of messages are never lost, so that every loss shows as a gap.
    pub(crate) spares_last: bool,
    /// Acknowledgements that nobody sent arrive in between.
    pub(crate) nonsense: bool,
}
