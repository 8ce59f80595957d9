//! Scenarios of two peers: what completes, with which status, in which state the queue pairs end, what is in
//! memory. Normal operation, and above all what happens when something goes wrong.
//!
//! A [`Scenario`] drives a [`Stage`] with a requester and a responder, which may be any two [`Peer`]s. What should
//! come of it stands beside it: what Linux soft-RoCE does, as recorded between two kernels in both directions, and
//! any deliberate difference of this project with its reason.
//!
//! Work request numbers: the requester sends 1, 2, ...; the responder receives 101, 102, ... and, when a receive is
//! posted late, 201, 202, ...; 900 is a receive that only a flush can complete.

mod atomic;
mod bulk;
mod end;
mod expect;
mod local;
mod mtu;
mod order;
mod placement;
mod queues;
mod read;
#[cfg(test)]
mod recorded;
mod resend;
mod send;
mod setup;
mod srq;
mod stage;
mod states;
mod uc;
mod ud;
mod windows;
mod write;

use anyhow::{Context, Result};

use crate::peer::{Kind, Peer};
use crate::tally::Verdict;
pub use bulk::{Bulk, SIZES};
pub use end::End;
pub use expect::{Case, When};
pub use setup::Setup;
pub use stage::Stage;

/// One thing that can happen between two peers.
#[derive(Debug)]
pub struct Scenario {
    /// Unique; `rc_`, `uc_` or `ud_` for the transport.
    pub name: &'static str,
    /// What the requester does and what is special about it.
    pub about: &'static str,
    play: fn(&mut Stage<'_>) -> Result<()>,
    /// The first case that fits the two peers holds.
    pub cases: &'static [Case],
}

impl Scenario {
    /// Every scenario there is.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        [
            send::SCENARIOS,
            write::SCENARIOS,
            read::SCENARIOS,
            atomic::SCENARIOS,
            placement::SCENARIOS,
            local::SCENARIOS,
            resend::SCENARIOS,
            states::SCENARIOS,
            order::SCENARIOS,
            mtu::SCENARIOS,
            queues::SCENARIOS,
            srq::SCENARIOS,
            windows::SCENARIOS,
            uc::SCENARIOS,
            ud::SCENARIOS,
        ]
        .into_iter()
        .flatten()
    }

    /// What should come of it between these two.
    ///
    /// # Panics
    /// When the table has no case for them: every table ends with one for everybody.
    pub fn case(&self, requester: Kind, responder: Kind) -> &'static Case {
        self.cases
            .iter()
            .find(|case| case.when.fits(requester, responder))
            .unwrap_or_else(|| panic!("{} has no case for {requester} and {responder}", self.name))
    }

    /// Plays it and compares. Both peers must be fresh.
    ///
    /// # Errors
    /// When a peer is lost or refuses what every peer must do; what differs from the expectation is a
    /// [`Verdict::Failed`].
    pub fn run(&self, requester: &mut dyn Peer, responder: &mut dyn Peer) -> Result<Verdict> {
        let case = self.case(requester.kind(), responder.kind());
        let mut stage = Stage::new(requester, responder);
        (self.play)(&mut stage).context(self.about)?;
        let problems = expect::compare(case, &mut stage)?;
        if problems.is_empty() {
            return Ok(Verdict::Passed);
        }
        let why =
            if case.why.is_empty() { String::new() } else { format!("\nexpected because: {}", case.why) };
        Ok(Verdict::Failed(format!("{}{why}\n{}", self.about, problems.join("\n"))))
    }
}
