//! The queue pairs of a device: found by number in constant time, scheduled fairly, woken by one timer heap.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use ferroce_wire::Qpn;

use crate::policy::Numbering;
use crate::qp::{Qp, QpInit};
use crate::rng::Rng;
use crate::time::Time;

/// Bits of a queue-pair number that are its place in the table. The others tell one life of a place from the
/// next, so that late packets do not reach a stranger.
const SLOT_BITS: u32 = 16;

/// Numbers 0 and 1 are QP0 and QP1, and nobody should have to tell a small number from those.
const FIRST_SLOT: usize = 16;

#[derive(Clone, Debug)]
pub(crate) struct QpTable {
    slots: Vec<Option<Box<Qp>>>,
    free: Vec<u16>,
    limit: usize,
    numbering: Numbering,
    /// Counts lives when numbering is sequential.
    lives: u32,
    /// Queue pairs with something to send, in turn.
    ready: VecDeque<u16>,
    /// When to look at which queue pair. An entry that its queue pair no longer remembers is void.
    timers: BinaryHeap<Reverse<(Time, u16)>>,
}

impl QpTable {
    pub(crate) fn new(limit: u32, numbering: Numbering) -> QpTable {
        // The last place would have the number of multicast, in one of its lives.
        let limit = (limit as usize).min((1 << SLOT_BITS) - FIRST_SLOT - 1);
        QpTable {
            slots: Vec::new(),
            free: Vec::new(),
            limit,
            numbering,
            lives: 0,
            ready: VecDeque::new(),
            timers: BinaryHeap::new(),
        }
    }

    /// Makes a queue pair; `None` when there are as many as there can be.
    pub(crate) fn create(&mut self, rng: &mut Rng, init: QpInit) -> Option<Qpn> {
        let slot = match self.free.pop() {
            Some(slot) => usize::from(slot),
            None if self.slots.len() < self.limit + FIRST_SLOT => {
                self.slots.resize_with((self.slots.len() + 1).max(FIRST_SLOT + 1), || None);
                self.slots.len() - 1
            }
            None => return None,
        };
        let life = match self.numbering {
            Numbering::Random => rng.u32(),
            Numbering::Sequential => self.lives / (self.limit as u32 + 1),
        };
        self.lives = self.lives.wrapping_add(1);
        let qpn = Qpn::new((life << SLOT_BITS) & 0x00ff_0000 | slot as u32);
        self.slots[slot] = Some(Box::new(Qp::new(qpn, init)));
        Some(qpn)
    }

    pub(crate) fn destroy(&mut self, qpn: Qpn) -> Option<Box<Qp>> {
        self.get(qpn)?;
        let slot = slot_of(qpn);
        self.free.push(slot as u16);
        self.slots[slot].take()
    }

    #[inline]
    pub(crate) fn get(&self, qpn: Qpn) -> Option<&Qp> {
        self.slots.get(slot_of(qpn))?.as_deref().filter(|qp| qp.conn.qpn == qpn)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, qpn: Qpn) -> Option<&mut Qp> {
        self.slots.get_mut(slot_of(qpn))?.as_deref_mut().filter(|qp| qp.conn.qpn == qpn)
    }

    /// All queue pairs in the order of their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Qp> {
        self.slots.iter().filter_map(|slot| slot.as_deref())
    }

    /// After everything that happened to a queue pair: puts it in line if it may have something to send, and
    /// sees that its deadline will not be missed.
    pub(crate) fn schedule(&mut self, qpn: Qpn, has_work: bool) {
        let slot = slot_of(qpn) as u16;
        let Some(qp) = self.slots[usize::from(slot)].as_deref_mut() else { return };
        if has_work && !qp.scheduled {
            qp.scheduled = true;
            self.ready.push_back(slot);
        }
        if let Some(deadline) = qp.deadline()
            && qp.timer_armed.is_none_or(|armed| deadline < armed)
        {
            qp.timer_armed = Some(deadline);
            self.timers.push(Reverse((deadline, slot)));
        }
    }

    /// Queue pairs in line to send; some may be gone.
    pub(crate) fn in_line(&self) -> usize {
        self.ready.len()
    }

    /// The queue pair whose turn it is to send. It leaves the line.
    pub(crate) fn next_ready(&mut self) -> Option<Qpn> {
        while let Some(slot) = self.ready.pop_front() {
            // Empty, or its new tenant is not in line, if the queue pair was destroyed meanwhile.
            if let Some(qp) = self.slots[usize::from(slot)].as_deref_mut()
                && core::mem::take(&mut qp.scheduled)
            {
                return Some(qp.conn.qpn);
            }
        }
        None
    }

    /// A queue pair whose deadline has come.
    pub(crate) fn next_expired(&mut self, now: Time) -> Option<Qpn> {
        while let Some(Reverse((time, slot))) = self.timers.peek().copied() {
            if time > now {
                return None;
            }
            self.timers.pop();
            if let Some(qp) = self.slots[usize::from(slot)].as_deref_mut()
                && qp.timer_armed == Some(time)
            {
                qp.timer_armed = None;
                return Some(qp.conn.qpn);
            }
        }
        None
    }

    /// The earliest deadline, or an earlier moment that turns out to be nothing.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.timers.peek().map(|Reverse((time, _))| *time)
    }
}

#[inline]
fn slot_of(qpn: Qpn) -> usize {
    (qpn.value() & ((1 << SLOT_BITS) - 1)) as usize
}
