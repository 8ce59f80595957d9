//! The queue pairs of a device: found by number in constant time, scheduled fairly, woken by one timer heap.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use ferroce_wire::Qpn;

use crate::policy::Numbering;
use crate::qp::{Qp, QpInit};
use crate::rng::Rng;
use crate::time::Time;

/// Bits of a queue-pair number that are its place in the table. The others are the device's lane.
const SLOT_BITS: u32 = 16;

/// Numbers 0 and 1 are QP0 and QP1, and nobody should have to tell a small number from those.
const FIRST_SLOT: u16 = 16;

/// Places in the table.
const SLOTS: usize = (1 << SLOT_BITS) - FIRST_SLOT as usize;

/// Places that become available together, so that a device with few queue pairs is small.
const PAGE: usize = 256;

/// Places that were given up last and are not used again yet, so that late packets do not reach a stranger.
const RESTING: usize = 4096;

/// The queue-pair numbers of a lane, see [`DeviceConfig::lane`](crate::DeviceConfig::lane).
#[inline]
pub const fn qpns_of(lane: u8) -> core::ops::Range<u32> {
    let first = (lane as u32) << SLOT_BITS;
    first | FIRST_SLOT as u32..first + (1 << SLOT_BITS)
}

type Page = [Option<Box<Qp>>; PAGE];

#[derive(Clone, Debug)]
pub(crate) struct QpTable {
    lane: u8,
    pages: Vec<Option<Box<Page>>>,
    count: usize,
    limit: usize,
    numbering: Numbering,
    /// Where the search for a place begins when numbering is sequential.
    next: u16,
    /// Places that were given up, oldest first.
    resting: VecDeque<u16>,
    /// Queue pairs with something to send, in turn.
    ready: VecDeque<u16>,
    /// When to look at which queue pair. An entry that its queue pair no longer remembers is void.
    timers: BinaryHeap<Reverse<(Time, u16)>>,
}

impl QpTable {
    pub(crate) fn new(lane: u8, limit: u32, numbering: Numbering) -> QpTable {
        QpTable {
            lane,
            pages: vec![None; (1 << SLOT_BITS) / PAGE],
            count: 0,
            limit: (limit as usize).min(SLOTS),
            numbering,
            next: FIRST_SLOT,
            resting: VecDeque::new(),
            ready: VecDeque::new(),
            timers: BinaryHeap::new(),
        }
    }

    /// Makes a queue pair; `None` when there are as many as there can be.
    pub(crate) fn create(&mut self, rng: &mut Rng, init: QpInit) -> Option<Qpn> {
        if self.count == self.limit {
            return None;
        }
        while self.resting.len() > RESTING || self.count + self.resting.len() >= SLOTS {
            self.resting.pop_front();
        }
        let slot = self.free_slot(rng);
        let qpn = Qpn::new(u32::from(self.lane) << SLOT_BITS | u32::from(slot));
        let (page, place) = place_of(slot);
        let page = self.pages[page].get_or_insert_with(|| Box::new([const { None }; PAGE]));
        page[place] = Some(Box::new(Qp::new(qpn, init)));
        self.count += 1;
        Some(qpn)
    }

    /// A place that is neither taken nor resting. There must be one.
    fn free_slot(&mut self, rng: &mut Rng) -> u16 {
        let mut slot = match self.numbering {
            Numbering::Random => rng.u32() as u16,
            Numbering::Sequential => self.next,
        };
        while slot < FIRST_SLOT || self.at(slot).is_some() || self.resting.contains(&slot) {
            slot = slot.wrapping_add(1);
        }
        self.next = slot.wrapping_add(1);
        slot
    }

    pub(crate) fn destroy(&mut self, qpn: Qpn) -> Option<Box<Qp>> {
        self.get(qpn)?;
        let slot = slot_of(qpn);
        let (page, place) = place_of(slot);
        self.count -= 1;
        self.resting.push_back(slot);
        self.pages[page].as_mut()?[place].take()
    }

    #[inline]
    pub(crate) fn get(&self, qpn: Qpn) -> Option<&Qp> {
        self.at(slot_of(qpn)).filter(|qp| qp.conn.qpn == qpn)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, qpn: Qpn) -> Option<&mut Qp> {
        self.at_mut(slot_of(qpn)).filter(|qp| qp.conn.qpn == qpn)
    }

    #[inline]
    fn at(&self, slot: u16) -> Option<&Qp> {
        let (page, place) = place_of(slot);
        self.pages[page].as_ref()?[place].as_deref()
    }

    #[inline]
    fn at_mut(&mut self, slot: u16) -> Option<&mut Qp> {
        let (page, place) = place_of(slot);
        self.pages[page].as_mut()?[place].as_deref_mut()
    }

    /// All queue pairs in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Qp> {
        self.pages.iter().flatten().flat_map(|page| page.iter()).filter_map(|slot| slot.as_deref())
    }

    /// After everything that happened to a queue pair: puts it in line if it may have something to send, and
    /// sees that its deadline will not be missed.
    pub(crate) fn schedule(&mut self, qpn: Qpn, has_work: bool) {
        let slot = slot_of(qpn);
        let Some(qp) = self.at_mut(slot) else { return };
        let joins = has_work && !qp.scheduled;
        qp.scheduled |= has_work;
        let deadline = qp.deadline().filter(|at| qp.timer_armed.is_none_or(|armed| *at < armed));
        qp.timer_armed = deadline.or(qp.timer_armed);
        if joins {
            self.ready.push_back(slot);
        }
        if let Some(deadline) = deadline {
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
            if let Some(qp) = self.at_mut(slot)
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
            if let Some(qp) = self.at_mut(slot)
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
fn slot_of(qpn: Qpn) -> u16 {
    qpn.value() as u16
}

/// Page, and place in it.
#[inline]
fn place_of(slot: u16) -> (usize, usize) {
    (usize::from(slot) / PAGE, usize::from(slot) % PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;

    fn init() -> QpInit {
        let mut device = crate::Device::new(
            crate::DeviceConfig::new("test", [std::net::Ipv4Addr::LOCALHOST.into()]),
            1,
            crate::NoTrace,
        );
        let pd = device.alloc_pd().unwrap();
        let cq = device.create_cq(1).unwrap();
        QpInit::new(crate::QpType::Rc, pd, cq)
    }

    #[test]
    fn every_number_is_of_the_lane_and_none_comes_back_soon() {
        for numbering in [Numbering::Random, Numbering::Sequential] {
            let (mut table, mut rng, init) =
                (QpTable::new(0xab, 10, numbering), Rng::new(Seed::from(3)), init());
            let mut seen = std::collections::HashSet::new();
            for _ in 0..RESTING {
                let qpn = table.create(&mut rng, init).unwrap();
                assert_eq!(qpn.value() >> SLOT_BITS, 0xab);
                assert!(seen.insert(qpn), "{qpn:?} again");
                assert!(table.destroy(qpn).is_some() && table.get(qpn).is_none());
            }
        }
    }

    #[test]
    fn a_full_table_refuses_and_gives_places_that_rested_when_no_others_are_left() {
        let (mut table, mut rng, init) =
            (QpTable::new(0, u32::MAX, Numbering::Random), Rng::new(Seed::from(3)), init());
        let all: Vec<Qpn> = std::iter::from_fn(|| table.create(&mut rng, init)).collect();
        assert_eq!(all.len(), SLOTS);
        assert!(all.iter().all(|qpn| qpn.value() >= u32::from(FIRST_SLOT)));
        table.destroy(all[7]).unwrap();
        assert_eq!(table.create(&mut rng, init), Some(all[7]));
        assert_eq!(table.iter().count(), SLOTS);
    }
}
