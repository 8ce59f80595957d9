//! What a link does to the packets it carries in one direction.

use std::time::Duration;

use ferroce_engine::Time;

use crate::dice::{Chance, Dice};
use crate::rule::Fate;

/// The nature of one direction of a link.
///
/// Packets stay in order, whatever the jitter, except those picked by `reorder`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Time that every packet takes.
    pub latency: Duration,
    /// Time that a packet takes on top, at most.
    pub jitter: Duration,
    /// A packet is lost.
    pub loss: Chance,
    /// A packet arrives twice; the copy takes a time of its own, up to `reorder_by` longer.
    pub duplicate: Chance,
    /// A packet is held back, so that later ones overtake it.
    pub reorder: Chance,
    /// How long it is held back, at most.
    pub reorder_by: Duration,
    /// A packet is damaged: one to three bits of its UDP payload flip.
    pub corrupt: Chance,
}

impl Link {
    /// A link of this latency without any fault.
    pub const fn perfect(latency: Duration) -> Link {
        Link {
            latency,
            jitter: Duration::ZERO,
            loss: Chance::NEVER,
            duplicate: Chance::NEVER,
            reorder: Chance::NEVER,
            reorder_by: Duration::from_micros(20),
            corrupt: Chance::NEVER,
        }
    }

    /// The same link with its faults gone.
    pub const fn healed(&self) -> Link {
        Link { jitter: self.jitter, ..Link::perfect(self.latency) }
    }

    /// What happens to the next packet.
    pub(crate) fn fate(&self, dice: &mut Dice) -> Fate {
        if dice.happens(self.loss) {
            Fate::Drop
        } else if dice.happens(self.corrupt) {
            Fate::Corrupt
        } else if dice.happens(self.duplicate) {
            Fate::Duplicate(span(self.reorder_by, dice))
        } else if dice.happens(self.reorder) {
            Fate::Delay(span(self.reorder_by, dice))
        } else {
            Fate::Deliver
        }
    }

    /// How long the next packet is under way, holding back aside.
    pub(crate) fn transit(&self, dice: &mut Dice) -> Duration {
        if self.jitter.is_zero() { self.latency } else { self.latency + span(self.jitter, dice) }
    }
}

impl Default for Link {
    /// Without faults, 2 µs.
    fn default() -> Link {
        Link::perfect(Duration::from_micros(2))
    }
}

fn span(most: Duration, dice: &mut Dice) -> Duration {
    Duration::from_nanos(dice.below(most.as_nanos() as u64 + 1))
}

/// One direction between two hosts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Direction {
    pub link: Link,
    /// When the last packet that kept its place arrives.
    pub last: Time,
}
