//! What is still to happen, in order of time and then of age.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use ferroce_engine::Time;

use crate::fabric::HostId;
use crate::node::{Node, SwitchId};

/// Something that happens at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Happening {
    /// A packet is handed to a host.
    Deliver { host: u32, packet: u32 },
    /// The last bit of a packet has come to a port of a switch.
    Arrive { switch: u32, port: u16, packet: u32 },
    /// A port of a switch has sent what it was sending.
    Free { switch: u32, port: u16 },
    /// A host's port has.
    HostFree { host: u32 },
    /// A pause frame has come, to stop a priority or to let it go on.
    Pause { node: Spot, port: u16, priority: u8, on: bool },
    /// A pause ends, unless another frame has prolonged it.
    PauseOver { node: Spot, port: u16, priority: u8 },
    /// A switch that is still full says so again.
    Refresh { switch: u32, port: u16, priority: u8 },
    /// A pause may have lasted too long.
    Watchdog { switch: u32, port: u16, priority: u8 },
    /// A broken NIC sends its next pause frame.
    Storm { host: u32, priority: u8 },
    /// A background flow sends, or gives up waiting.
    Background { flow: u32 },
    /// Somebody outside asked to be woken.
    Alarm { token: u64 },
    /// A device's deadline. After everything else of the same moment.
    Timer { host: u32 },
}

/// A node in four bytes: the queue moves about what is to happen, so that must be small.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot(u32);

/// Set for switches.
const SWITCH: u32 = 1 << 31;

impl From<Node> for Spot {
    fn from(node: Node) -> Spot {
        match node {
            Node::Host(HostId(number)) => Spot(number as u32),
            Node::Switch(SwitchId(number)) => Spot(number as u32 | SWITCH),
        }
    }
}

impl From<Spot> for Node {
    fn from(Spot(number): Spot) -> Node {
        match number & SWITCH {
            0 => Node::Host(HostId(number as usize)),
            _ => Node::Switch(SwitchId((number & !SWITCH) as usize)),
        }
    }
}

/// Something that is still to happen.
struct Coming {
    /// Its moment above; below, what decides among those of the same moment. In one number because the queue compares
    /// little else.
    order: u128,
    what: Happening,
}

impl Ord for Coming {
    /// The first to happen is the greatest, as the heap wants it.
    fn cmp(&self, other: &Coming) -> Ordering {
        other.order.cmp(&self.order)
    }
}

impl PartialOrd for Coming {
    fn partial_cmp(&self, other: &Coming) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Coming {
    fn eq(&self, other: &Coming) -> bool {
        self.order == other.order
    }
}

impl Eq for Coming {}

/// All that is still to happen.
#[derive(Default)]
pub(crate) struct Events {
    heap: BinaryHeap<Coming>,
    age: u64,
}

/// Timers come after packets of the same moment: what arrived in time has arrived in time.
const LATE: u64 = 1 << 63;

impl Events {
    pub(crate) fn push(&mut self, at: Time, what: Happening) {
        self.age += 1;
        let late = if matches!(what, Happening::Timer { .. }) { LATE } else { 0 };
        let order = u128::from(at.nanos()) << 64 | u128::from(late | self.age);
        self.heap.push(Coming { order, what });
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.heap.peek().map(|first| Time::from_nanos((first.order >> 64) as u64))
    }

    /// The oldest of what happens up to `now`.
    pub(crate) fn pop_until(&mut self, now: Time) -> Option<Happening> {
        self.next().filter(|at| *at <= now)?;
        self.heap.pop().map(|first| first.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_survives_being_small() {
        for node in [Node::Host(HostId(0)), Node::Host(HostId(70_000)), Node::Switch(SwitchId(5))] {
            assert_eq!(Node::from(Spot::from(node)), node);
        }
    }
}
