//! The queue pairs of a device: found by number in constant time, scheduled fairly, woken by one timer heap.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use ferroce_wire::Qpn;

use crate::policy::Numbering;
use crate::qp::{Qp, QpInit};
use crate::rng::Rng;
use crate::time::Time;

/// Bits of a queue-pair number that are its slot. The others are the device's lane.
const SLOT_BITS: u32 = 16;

/// Numbers 0 and 1 are QP0 and QP1, and nobody should have to tell a small number from those.
const FIRST_SLOT: u16 = 16;

/// Numbers that there are.
const SLOTS: usize = (1 << SLOT_BITS) - FIRST_SLOT as usize;

/// Slots that become available together, so that a device with few queue pairs is small.
const PAGE: usize = 256;

/// Slots that were given up last and are not used again yet, so that late packets do not reach a stranger.
const RESTING: usize = 4096;

/// The queue-pair numbers of a lane, see [`DeviceConfig::lane`](crate::DeviceConfig::lane).
#[inline]
pub const fn qpns_of(lane: u8) -> core::ops::Range<u32> {
    let first = (lane as u32) << SLOT_BITS;
    first | FIRST_SLOT as u32..first + (1 << SLOT_BITS)
}

/// The lane of which a queue pair is, at a NIC that deals in them.
#[inline]
pub(crate) const fn lane_of(qpn: Qpn) -> u8 {
    (qpn.value() >> SLOT_BITS) as u8
}

/// Where a queue pair is kept. Places lie side by side, however far apart the numbers are: with thousands of queue pairs
/// what is read on the way to one of them is in the cache.
#[derive(Clone, Debug, Default)]
struct Place {
    qp: Option<Box<Qp>>,
    alarm: Alarm,
}

/// When a queue pair wants to be looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Alarm {
    deadline: Option<Time>,
    /// The earliest entry for it among the timers.
    armed: Option<Time>,
}

#[derive(Clone, Debug)]
pub(crate) struct QpTable {
    lane: u8,
    /// For each slot of a number the place of its queue pair and 1, or 0.
    index: Vec<Option<Box<[u16; PAGE]>>>,
    places: Vec<Place>,
    /// Those of which the queue pair is gone.
    free: Vec<u16>,
    limit: usize,
    numbering: Numbering,
    /// Where the search for a slot begins when numbering is sequential.
    next: u16,
    /// Slots that were given up, oldest first.
    resting: VecDeque<u16>,
    /// Places of queue pairs with something to send, in turn.
    ready: VecDeque<u16>,
    /// When to look at which place. An entry that is not what the alarm there is armed for is void.
    timers: BinaryHeap<Reverse<(Time, u16)>>,
}

impl QpTable {
    pub(crate) fn new(lane: u8, limit: u32, numbering: Numbering) -> QpTable {
        QpTable {
            lane,
            index: vec![None; (1 << SLOT_BITS) / PAGE],
            places: Vec::new(),
            free: Vec::new(),
            limit: (limit as usize).min(SLOTS),
            numbering,
            next: FIRST_SLOT,
            resting: VecDeque::new(),
            ready: VecDeque::new(),
            timers: BinaryHeap::new(),
        }
    }

    fn count(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Makes a queue pair; `None` when there are as many as there can be.
    pub(crate) fn create(&mut self, rng: &mut Rng, init: QpInit) -> Option<Qpn> {
        if self.count() == self.limit {
            return None;
        }
        while self.resting.len() > RESTING || self.count() + self.resting.len() >= SLOTS {
            self.resting.pop_front();
        }
        let slot = self.free_slot(rng);
        let qpn = Qpn::new(u32::from(self.lane) << SLOT_BITS | u32::from(slot));
        let place = self.free.pop().unwrap_or(self.places.len() as u16);
        if usize::from(place) == self.places.len() {
            self.places.push(Place::default());
        }
        self.places[usize::from(place)].qp = Some(Box::new(Qp::new(qpn, init)));
        let (page, entry) = entry_of(slot);
        self.index[page].get_or_insert_with(|| Box::new([0; PAGE]))[entry] = place + 1;
        Some(qpn)
    }

    /// A slot that is neither taken nor resting. There must be one.
    fn free_slot(&mut self, rng: &mut Rng) -> u16 {
        let mut slot = match self.numbering {
            Numbering::Random => rng.u32() as u16,
            Numbering::Sequential => self.next,
        };
        while slot < FIRST_SLOT || self.place_of(slot).is_some() || self.resting.contains(&slot) {
            slot = slot.wrapping_add(1);
        }
        self.next = slot.wrapping_add(1);
        slot
    }

    pub(crate) fn destroy(&mut self, qpn: Qpn) -> Option<Box<Qp>> {
        self.get(qpn)?;
        let slot = slot_of(qpn);
        let place = self.place_of(slot)?;
        let (page, entry) = entry_of(slot);
        self.index[page].as_mut()?[entry] = 0;
        self.free.push(place);
        self.resting.push_back(slot);
        std::mem::take(&mut self.places[usize::from(place)]).qp
    }

    #[inline]
    pub(crate) fn get(&self, qpn: Qpn) -> Option<&Qp> {
        self.at(self.place_of(slot_of(qpn))?).filter(|qp| qp.conn.qpn == qpn)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, qpn: Qpn) -> Option<&mut Qp> {
        self.at_mut(self.place_of(slot_of(qpn))?).filter(|qp| qp.conn.qpn == qpn)
    }

    #[inline]
    fn place_of(&self, slot: u16) -> Option<u16> {
        let (page, entry) = entry_of(slot);
        self.index[page].as_ref()?[entry].checked_sub(1)
    }

    #[inline]
    fn at(&self, place: u16) -> Option<&Qp> {
        self.places.get(usize::from(place))?.qp.as_deref()
    }

    #[inline]
    fn at_mut(&mut self, place: u16) -> Option<&mut Qp> {
        self.places.get_mut(usize::from(place))?.qp.as_deref_mut()
    }

    /// All queue pairs in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Qp> {
        let entries = self.index.iter().flatten().flat_map(|page| page.iter());
        entries.filter_map(|entry| self.at(entry.checked_sub(1)?))
    }

    /// After everything that happened to a queue pair: puts it in line if it may have something to send, and
    /// sees that its deadline will not be missed.
    pub(crate) fn schedule(&mut self, qpn: Qpn, has_work: bool) {
        let Some(place) = self.place_of(slot_of(qpn)) else { return };
        let Place { qp: Some(qp), alarm } = &mut self.places[usize::from(place)] else { return };
        if has_work && !core::mem::replace(&mut qp.scheduled, true) {
            self.ready.push_back(place);
        }
        alarm.deadline = qp.deadline();
        match alarm.deadline {
            Some(deadline) if alarm.armed.is_none_or(|armed| deadline < armed) => {
                alarm.armed = Some(deadline);
                self.timers.push(Reverse((deadline, place)));
            }
            Some(_) => {}
            None if alarm.armed.is_some() => self.drop_void_timers(),
            None => {}
        }
    }

    /// So that a NIC does not wake for them.
    fn drop_void_timers(&mut self) {
        while let Some(Reverse((time, place))) = self.timers.peek().copied() {
            let alarm = &mut self.places[usize::from(place)].alarm;
            if alarm.armed == Some(time) {
                if alarm.deadline.is_some() {
                    return;
                }
                alarm.armed = None;
            }
            self.timers.pop();
        }
    }

    /// Queue pairs in line to send; some may be gone.
    pub(crate) fn in_line(&self) -> usize {
        self.ready.len()
    }

    /// The queue pair whose turn it is to send. It leaves the line.
    pub(crate) fn next_ready(&mut self) -> Option<Qpn> {
        while let Some(place) = self.ready.pop_front() {
            // Empty, or its new tenant is not in line, if the queue pair was destroyed meanwhile.
            if let Some(qp) = self.at_mut(place)
                && core::mem::take(&mut qp.scheduled)
            {
                return Some(qp.conn.qpn);
            }
        }
        None
    }

    /// Puts the queue pair whose turn it was back to where it stood.
    pub(crate) fn keep_first(&mut self, qpn: Qpn) {
        let Some(place) = self.place_of(slot_of(qpn)) else { return };
        if let Some(qp) = self.at_mut(place) {
            qp.scheduled = true;
            self.ready.push_front(place);
        }
    }

    /// The queue pair that is the `turn`-th in line, if it is not gone.
    pub(crate) fn in_turn(&self, turn: usize) -> Option<&Qp> {
        self.at(*self.ready.get(turn)?)
    }

    /// The second in line comes before the first.
    pub(crate) fn swap_first(&mut self) {
        self.ready.swap(0, 1);
    }

    /// A queue pair whose deadline has come.
    pub(crate) fn next_expired(&mut self, now: Time) -> Option<Qpn> {
        while let Some(Reverse((time, place))) = self.timers.peek().copied() {
            if time > now {
                return None;
            }
            self.timers.pop();
            let Place { qp, alarm } = &mut self.places[usize::from(place)];
            if alarm.armed != Some(time) {
                continue;
            }
            // It may have been put off meanwhile.
            alarm.armed = alarm.deadline.filter(|deadline| *deadline > now);
            match alarm.armed {
                Some(deadline) => self.timers.push(Reverse((deadline, place))),
                None if alarm.deadline.is_some() => return qp.as_ref().map(|qp| qp.conn.qpn),
                None => {}
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

/// Page of the index, and entry in it.
#[inline]
fn entry_of(slot: u16) -> (usize, usize) {
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
