//! What switches do, as it stands in a recording.

use ferroce_wire::{Psn, Qpn};
use serde::{Deserialize, Serialize};

/// A switch that takes part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchHeader {
    /// Its name.
    pub name: String,
    /// What each of its ports is joined to.
    pub ports: Vec<String>,
}

/// A switch did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchRecord {
    /// An index into the header's switches.
    pub switch: u32,
    /// The port: by which the packet leaves or, if it never gets so far, came in.
    pub port: u16,
    /// 802.1Q priority, 0 to 7.
    pub priority: u8,
    /// What it did.
    pub step: SwitchStep,
    /// Bytes that wait at the port in this priority after that.
    pub queued: u64,
    /// The packet, if it is one of a device's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet: Option<PacketName>,
}

/// What switches do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwitchStep {
    /// A packet waits at the port.
    Queued,
    /// A packet leaves by the port.
    Sent,
    /// A packet is marked "congestion experienced".
    Marked,
    /// A packet goes no further.
    Dropped(DropCause),
    /// It asks whoever is joined to the port to pause the priority.
    AsksToPause,
    /// It asks it to go on.
    AsksToGoOn,
    /// It was asked to pause the priority, and does.
    Pauses,
    /// The pause is over.
    GoesOn,
}

/// What tells a packet from others of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketName {
    /// The queue pair that it goes to.
    pub qp: Qpn,
    /// Its PSN.
    pub psn: Psn,
}

/// Why a packet goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
