//! A switch: shared memory, queues at the ports out, pause frames to the ports in, marks.

mod buffer;
mod config;

use std::collections::VecDeque;

use ferroce_engine::Time;

pub(crate) use buffer::{Admission, Buffer};
pub use config::{PRIORITIES, Red, SwitchConfig, Threshold};

use crate::node::{Plug, Serial};
use crate::pause::Pauses;

/// A switch with its ports.
pub(crate) struct Switch {
    pub config: SwitchConfig,
    pub ports: Vec<SwitchPort>,
    pub buffer: Buffer,
    /// By switch at whose ports hosts hang: the ports that lead there on shortest ways.
    pub routes: Vec<Vec<u16>>,
    /// Makes it choose among equal ways otherwise than its neighbours do.
    pub salt: u64,
    pub up: bool,
}

/// A port of a switch.
pub(crate) struct SwitchPort {
    pub plug: Plug,
    pub serial: Serial,
    pub queues: [VecDeque<u32>; PRIORITIES],
    pub queued: [u64; PRIORITIES],
    pub pauses: Pauses,
    /// Priorities, as bits, that the watchdog has given up.
    pub dropping: u8,
    /// Somebody looks at the port when it is free.
    pub woken: bool,
    turn: usize,
    pub stats: PortStats,
}

/// What a port of a switch did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Packets sent.
    pub sent: u64,
    /// Bytes of them on the wire, preambles and gaps included.
    pub sent_bytes: u64,
    /// Packets marked "congestion experienced" in its queues.
    pub marked: u64,
    /// Pause frames sent to the peer, resumptions not counted.
    pub pauses_sent: u64,
    /// Pause frames received.
    pub pauses_received: u64,
    /// Most bytes that its queues held at any time, all priorities together.
    pub most_queued: u64,
}

impl Switch {
    pub(crate) fn new(config: SwitchConfig, salt: u64) -> Switch {
        let buffer = Buffer::default();
        Switch { config, ports: Vec::new(), buffer, routes: Vec::new(), salt, up: true }
    }

    /// Which of several equal ways a flow takes: always the same one, chosen by a hash.
    pub(crate) fn choose(&self, ways: &[u16], flow: u64) -> Option<u16> {
        let mut hash = (flow ^ self.salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 32;
        hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
        let index = (u128::from(hash) * ways.len() as u128) >> 64;
        ways.get(index as usize).copied()
    }
}

impl SwitchPort {
    pub(crate) fn new(plug: Plug) -> SwitchPort {
        SwitchPort {
            plug,
            serial: Serial::default(),
            queues: Default::default(),
            queued: [0; PRIORITIES],
            pauses: Pauses::default(),
            dropping: 0,
            woken: false,
            turn: 0,
            stats: PortStats::default(),
        }
    }

    pub(crate) fn push(&mut self, packet: u32, priority: usize, len: u64) {
        self.queues[priority].push_back(packet);
        self.queued[priority] += len;
        self.stats.most_queued = self.stats.most_queued.max(self.queued.iter().sum());
    }

    /// The packet whose turn it is, off its queue, with its priority.
    pub(crate) fn pop(&mut self, strict: u8) -> Option<(u32, usize)> {
        let may = |port: &SwitchPort, priority: usize| {
            !port.queues[priority].is_empty() && !port.pauses.is_paused(priority)
        };
        let urgent = (0..PRIORITIES).rev().filter(|priority| strict >> priority & 1 == 1);
        let others = (1..=PRIORITIES).map(|step| (self.turn + step) % PRIORITIES);
        let priority = urgent.chain(others).find(|priority| may(self, *priority))?;
        if strict >> priority & 1 == 0 {
            self.turn = priority;
        }
        Some((self.queues[priority].pop_front()?, priority))
    }

    pub(crate) fn is_busy(&self, now: Time) -> bool {
        self.serial.busy_until > now
    }
}
