//! What makes a film again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Film;
use super::network::NetworkStory;
use super::story::{Fault, Story, StoryError};

/// What makes a film again. In JSON the two are told apart by their keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Origin {
    /// Two hosts and what they send each other.
    Pair(Story),
    /// A scenario of the simulated network.
    Network(NetworkStory),
}

impl Origin {
    /// Plays it.
    ///
    /// # Errors
    /// When it asks for what is not to be had.
    pub fn play(&self) -> Result<Film, StoryError> {
        let film = match self {
            Origin::Pair(story) => story.play()?,
            Origin::Network(story) => story.play()?,
        };
        Ok(Film { origin: Some(self.clone()), ..film })
    }

    /// Packets that meet a fate of their own.
    pub fn faults(&self) -> &[Fault] {
        match self {
            Origin::Pair(story) => &story.faults,
            Origin::Network(story) => &story.faults,
        }
    }

    /// How long a requester waits for an answer before it goes back, if the scenario says so.
    pub fn timeout(&self) -> Option<Duration> {
        let code = match self {
            Origin::Pair(story) => story.timeout,
            Origin::Network(story) => story.scenario().ok()?.host.timeout,
        };
        // IBTA 11.6.2: 4.096 us times two to the power of the code; 0 waits for ever.
        (1..=31).contains(&code).then(|| Duration::from_nanos(4_096 << code))
    }

    /// The same with another fate for a packet, instead of one that it had.
    pub(super) fn with(&self, fault: Fault) -> Origin {
        let mut other = self.clone();
        let faults = match &mut other {
            Origin::Pair(story) => &mut story.faults,
            Origin::Network(story) => &mut story.faults,
        };
        faults.retain(|old| (old.host, old.nth) != (fault.host, fault.nth));
        faults.push(fault);
        other
    }
}
