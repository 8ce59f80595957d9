//! How a switch is built.

use std::time::Duration;

/// Priorities of 802.1Q.
pub const PRIORITIES: usize = 8;

/// How a switch is built and configured.
///
/// The memory is shared by all ports. Each lossless priority of each port has `headroom` bytes of it for its
/// own, for what still arrives after a pause frame was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct SwitchConfig {
    /// Its name in reports.
    pub name: String,
    /// Its floor in the network: hosts hang on the lowest. Packets go up, then down, never up again.
    pub tier: u8,
    /// Bytes of packet memory.
    pub buffer: u64,
    /// Priorities, as bits, whose packets are never dropped for want of memory if PFC works.
    pub lossless: u8,
    /// Bytes that a lossless priority of an ingress port may hold beyond its threshold.
    pub headroom: u64,
    /// What a lossless priority of an ingress port may hold before the sender is paused.
    pub pause_at: Threshold,
    /// How far below `pause_at` it must fall before the sender is let go on, in bytes.
    pub resume_below: u64,
    /// What a lossy priority of an egress port may hold before packets are dropped.
    pub drop_at: Threshold,
    /// Marking of packets; the same for all priorities of `marked`.
    pub red: Option<Red>,
    /// Priorities, as bits, that are marked.
    pub marked: u8,
    /// Priorities, as bits, that go before all others, the highest first. The others take turns.
    pub strict: u8,
    /// A lossless queue that was paused for so long is emptied, and its packets are dropped until the pauses
    /// end.
    pub watchdog: Option<Duration>,
    /// For how long it remembers behind which port a silent host is. `None` for ever.
    pub mac_timeout: Option<Duration>,
    /// For how long it remembers that a silent host exists. `None` for ever.
    pub arp_timeout: Option<Duration>,
    /// Lossless packets to a host that is known to exist, but not where, are dropped instead of sent everywhere.
    pub drop_unknown: bool,
}

impl Default for SwitchConfig {
    /// 12 MB, PFC on priority 3 with the headroom of the DCQCN paper and dynamic thresholds, no marking.
    fn default() -> SwitchConfig {
        SwitchConfig {
            name: "switch".to_owned(),
            tier: 0,
            buffer: 12_000_000,
            lossless: 1 << 3,
            headroom: 22_400,
            pause_at: Threshold::Dynamic { eighths: 8 },
            resume_below: 3_000,
            drop_at: Threshold::Dynamic { eighths: 8 },
            red: None,
            marked: 0xff,
            strict: 1 << 6 | 1 << 7,
            watchdog: None,
            mac_timeout: None,
            arp_timeout: None,
            drop_unknown: true,
        }
    }
}

/// A limit for what a queue may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    /// So many bytes.
    Static(u64),
    /// So many eighths of the shared memory that is still free (the DCQCN paper's β).
    Dynamic {
        /// 8 means as much as is free.
        eighths: u32,
    },
}

impl Threshold {
    /// In bytes, when so much of the shared memory is free.
    pub fn bytes(self, free: u64) -> u64 {
        match self {
            Threshold::Static(bytes) => bytes,
            Threshold::Dynamic { eighths } => free.saturating_mul(u64::from(eighths)) / 8,
        }
    }
}

/// Random early detection, for marks: by the length of the egress queue that a packet joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Red {
    /// Up to so many bytes no packet is marked.
    pub k_min: u64,
    /// From so many bytes on every packet is.
    pub k_max: u64,
    /// Chance at `k_max`, in millionths. In between it grows linearly.
    pub p_max: u32,
}

impl Red {
    /// The DCQCN paper's choice: 5 KB, 200 KB, 1 %.
    pub const PAPER: Red = Red { k_min: 5_000, k_max: 200_000, p_max: 10_000 };

    /// Chance of a mark in millionths when the queue holds so many bytes.
    pub fn chance(&self, queued: u64) -> u32 {
        if queued <= self.k_min {
            0
        } else if queued >= self.k_max {
            1_000_000
        } else {
            let part = u128::from(queued - self.k_min) * u128::from(self.p_max);
            (part / u128::from(self.k_max - self.k_min)) as u32
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_likelier_between_the_thresholds() {
        let chance = |queued| Red::PAPER.chance(queued);
        assert_eq!((chance(0), chance(5_000), chance(200_000)), (0, 0, 1_000_000));
        assert_eq!(chance(102_500), 5_000, "half way, half of one percent");
    }
}
