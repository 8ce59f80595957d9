//! Packets that a network lost, by place and cause.

use std::collections::BTreeMap;

pub use ferroce_recording::DropCause;

use crate::node::Node;

/// Where and why packets were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DropPlace {
    /// The switch or host.
    pub node: Node,
    /// Port of the queue: the one in for [`DropCause::HeadroomFull`], else the one out; for packets that had no
    /// way out, the one in.
    pub port: u16,
    /// Priority of the packets.
    pub priority: u8,
    /// The reason.
    pub cause: DropCause,
}

/// Counts of dropped packets.
pub type Drops = BTreeMap<DropPlace, u64>;
