//! What a program does, from a seed.

use std::time::Duration;

use ferroce_fabric::{Chance, Dice, Link};

/// Most bytes of a message on a connection: five packets.
pub(crate) const LONGEST: u32 = 5_000;

/// Payload of a full packet.
pub(crate) const MTU: u32 = 1024;

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) hosts: usize,
    pub(crate) link: Link,
    /// Hosts whose queue pair for datagrams is in the group.
    pub(crate) members: Vec<bool>,
    /// Receives are all posted before anything is sent.
    pub(crate) early: bool,
    pub(crate) steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Time since the step before.
    pub(crate) gap: Duration,
    pub(crate) act: Act,
}

/// Whose work a step is; of two hosts the second is another than the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// A message on the connection from one host to another.
    Message { from: usize, to: usize, len: u32, write: bool },
    /// A datagram to a host, or to the group.
    Datagram { from: usize, to: Option<usize>, len: u32 },
    /// Receives for messages of a peer.
    Receive { at: usize, from: usize, count: usize },
    /// Receives for datagrams.
    ReceiveDatagrams { at: usize, count: usize },
}

impl Act {
    pub(crate) fn receives(self) -> bool {
        matches!(self, Act::Receive { .. } | Act::ReceiveDatagrams { .. })
    }
}

impl Plan {
    /// The first `steps` steps of the program of a seed.
    pub(crate) fn new(seed: u64, steps: usize) -> Plan {
        let mut dice = Dice::new(seed);
        let hosts = 2 + dice.below(2) as usize;
        let link = link(&mut dice);
        let members = (0..hosts).map(|_| dice.below(3) > 0).collect();
        let early = dice.below(2) == 0;
        let mut steps: Vec<Step> = (0..steps).map(|_| step(&mut dice, hosts)).collect();
        if early {
            // Stable: among receives, and among the others, the order stays.
            steps.sort_by_key(|step| !step.act.receives());
        }
        Plan { seed, hosts, link, members, early, steps }
    }

    /// The network does nothing to packets but take its time.
    pub(crate) fn is_quiet(&self) -> bool {
        self.link == self.link.healed()
    }
}

fn link(dice: &mut Dice) -> Link {
    let perfect = Link {
        jitter: Duration::from_nanos(dice.below(3_000)),
        ..Link::perfect(Duration::from_nanos(dice.below(5_000)))
    };
    if dice.below(4) == 0 {
        return perfect;
    }
    let mut chance = || if dice.below(3) == 0 { 0 } else { dice.below(250_000) as u32 };
    let [loss, duplicate, reorder, corrupt] =
        [chance(), chance(), chance(), chance()].map(Chance::millionths);
    let reorder_by = Duration::from_micros(1 + dice.below(50));
    Link { loss, duplicate, reorder, reorder_by, corrupt, ..perfect }
}

fn step(dice: &mut Dice, hosts: usize) -> Step {
    let from = dice.below(hosts as u64) as usize;
    let to = (from + 1 + dice.below(hosts as u64 - 1) as usize) % hosts;
    let count = 1 + dice.below(5) as usize;
    let len = |dice: &mut Dice, most: u32| match dice.below(6) {
        0 => 0,
        1 => 1 + dice.below(8) as u32,
        2 => most - dice.below(2) as u32,
        3 => (MTU + dice.below(3) as u32 - 1).min(most),
        _ => dice.below(u64::from(most) + 1) as u32,
    };
    let act = match dice.below(8) {
        0..=2 => Act::Message { from, to, len: len(dice, LONGEST), write: dice.below(3) == 0 },
        3 | 4 => {
            let to = (dice.below(3) > 0).then_some(to);
            Act::Datagram { from, to, len: len(dice, MTU) }
        }
        5 | 6 => Act::Receive { at: from, from: to, count },
        _ => Act::ReceiveDatagrams { at: from, count: 2 * count },
    };
    let gap = if dice.below(3) == 0 { dice.below(40_000) } else { 0 };
    Step { gap: Duration::from_nanos(gap), act }
}

/// The bytes of message `number`: no two messages have the same.
pub(crate) fn contents(number: u32, len: u32) -> Vec<u8> {
    let mut dice = Dice::new(0x5eed_0000_0000 + u64::from(number));
    let words = std::iter::repeat_with(|| dice.any().to_le_bytes());
    words.flatten().take(len as usize).collect()
}
