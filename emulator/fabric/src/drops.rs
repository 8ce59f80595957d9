//! Packets that a network lost, by place and cause.

use std::collections::BTreeMap;

use crate::node::Node;

/// Why a packet went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropCause {
    /// A lossy queue was full.
    QueueFull,
    /// A lossless queue was full, though its sender had been asked to pause: the headroom is too small.
    HeadroomFull,
    /// No way leads to the destination.
    NoRoute,
    /// The host is known to exist, but not where; the switch is told not to send everywhere.
    UnknownStation,
    /// A copy that was sent everywhere came to somebody else.
    NotForMe,
    /// The watchdog had given the queue up.
    Watchdog,
    /// The cable or the switch has failed.
    Down,
    /// The host has failed.
    HostDown,
}

impl DropCause {
    /// What it is called in reports.
    pub const fn name(self) -> &'static str {
        match self {
            DropCause::QueueFull => "queue full",
            DropCause::HeadroomFull => "headroom full",
            DropCause::NoRoute => "no route",
            DropCause::UnknownStation => "unknown station",
            DropCause::NotForMe => "flooded to somebody else",
            DropCause::Watchdog => "watchdog",
            DropCause::Down => "link down",
            DropCause::HostDown => "host down",
        }
    }
}

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
