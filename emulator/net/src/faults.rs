//! Faults on purpose: middleware that loses, repeats, damages and swaps packets.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::time::Duration;

use ferroce_engine::{Flow, RxMeta, Time, TxLimits};
use ferroce_wire::cm::ServiceId;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

use crate::link::{Burst, Layer, Link, LinkCounters, LinkInfo, sealed};

/// How often packets of one direction suffer. Probabilities from 0 to 1, drawn for each packet.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FaultRates {
    /// It is lost.
    pub drop: f64,
    /// It arrives twice.
    pub duplicate: f64,
    /// One of its bits is flipped.
    pub corrupt: f64,
    /// It arrives after one to four packets that were behind it, or half a millisecond later.
    pub reorder: f64,
}

impl FaultRates {
    /// Nothing goes wrong.
    pub const NONE: FaultRates = FaultRates { drop: 0.0, duplicate: 0.0, corrupt: 0.0, reorder: 0.0 };

    fn is_none(&self) -> bool {
        *self == FaultRates::NONE
    }
}

/// Faults to be injected between a device and its link. The same seed decides the same for the same sequence
/// of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// Decides which packets suffer.
    pub seed: u64,
    /// On the way out.
    pub transmit: FaultRates,
    /// On the way in.
    pub receive: FaultRates,
}

impl Faults {
    /// Loses this share of the packets sent.
    pub fn loss(drop: f64, seed: u64) -> Faults {
        Faults { seed, transmit: FaultRates { drop, ..FaultRates::NONE }, receive: FaultRates::NONE }
    }

    /// True when nothing will ever go wrong.
    pub fn is_none(&self) -> bool {
        self.transmit.is_none() && self.receive.is_none()
    }
}

/// Longest time that a packet is held back to be overtaken.
const HOLD: Duration = Duration::from_micros(500);

/// After this time the inner link, if it was full, is asked again.
const RETRY: Duration = Duration::from_micros(100);

/// Most packets that overtake a held one.
const OVERTAKERS: u32 = 4;

/// A link that injects faults. Packets travel one by one through it, without segmentation offload.
pub struct FaultyLink<L> {
    inner: L,
    transmit: Lane<Flow>,
    receive: Lane<RxMeta>,
    departing: VecDeque<(Flow, Vec<u8>)>,
    /// When to try again to send what the inner link did not take.
    retry: Option<Time>,
    arriving: VecDeque<(RxMeta, Vec<u8>)>,
}

impl<L: Link> FaultyLink<L> {
    /// Puts faults before `inner`.
    pub fn new(inner: L, faults: &Faults) -> FaultyLink<L> {
        FaultyLink {
            inner,
            transmit: Lane::new(faults.transmit, faults.seed, 0),
            receive: Lane::new(faults.receive, faults.seed, 1),
            departing: VecDeque::new(),
            retry: None,
            arriving: VecDeque::new(),
        }
    }

    /// Whether packets need not be looked at one by one.
    fn is_idle(&self) -> bool {
        self.transmit.is_idle() && self.receive.is_idle() && self.departing.is_empty()
    }

    /// Sends what passed, as far as the inner link takes it.
    fn depart(&mut self, now: Time) {
        self.retry = None;
        while let Some((flow, bytes)) = self.departing.front() {
            if self.inner.send(now, &[Burst::single(flow, bytes)]) == 0 {
                self.retry = Some(now + RETRY);
                break;
            }
            self.departing.pop_front();
        }
    }
}

impl<L: Link> Link for FaultyLink<L> {
    fn tx_limits(&self) -> TxLimits {
        if self.is_idle() {
            self.inner.tx_limits()
        } else {
            TxLimits { ident_step: 0, seal: true, ..self.inner.tx_limits() }
        }
    }

    fn send(&mut self, now: Time, bursts: &[Burst<'_>]) -> usize {
        if self.is_idle() {
            return self.inner.send(now, bursts);
        }
        self.depart(now);
        if !self.departing.is_empty() {
            return 0;
        }
        for burst in bursts {
            for packet in burst.packets() {
                self.transmit.pass(now, burst.flow, packet, &mut self.departing);
            }
        }
        self.depart(now);
        bursts.len()
    }

    fn receive(&mut self, now: Time, deliver: &mut dyn FnMut(&RxMeta, &[u8])) -> usize {
        if self.is_idle() {
            return self.inner.receive(now, deliver);
        }
        self.transmit.release(now, &mut self.departing);
        self.depart(now);
        let (lane, arriving) = (&mut self.receive, &mut self.arriving);
        // What is damaged here must be found out as if it had come a way on which that can happen.
        let taken = self.inner.receive(now, &mut |meta, packet| match sealed(meta, packet) {
            Some((meta, packet)) => lane.pass(now, &meta, &packet, arriving),
            None => lane.pass(now, meta, packet, arriving),
        });
        lane.release(now, arriving);
        let delivered = arriving.len();
        for (meta, packet) in arriving.drain(..) {
            deliver(&meta, &packet);
        }
        taken.max(delivered)
    }

    fn next_timeout(&self) -> Option<Time> {
        let held = [self.transmit.next_timeout(), self.receive.next_timeout()];
        held.into_iter().chain([self.retry, self.inner.next_timeout()]).flatten().min()
    }

    fn join(&mut self, group: IpAddr) {
        self.inner.join(group);
    }

    fn leave(&mut self, group: IpAddr) {
        self.inner.leave(group);
    }

    fn claim(&mut self, service: ServiceId, addr: Option<IpAddr>) -> bool {
        self.inner.claim(service, addr)
    }

    fn release(&mut self, service: ServiceId) {
        self.inner.release(service);
    }

    fn descriptors(&self, to: &mut Vec<RawFd>) {
        self.inner.descriptors(to);
    }

    fn goes_through_memory(&self, burst: &Burst<'_>) -> bool {
        self.inner.goes_through_memory(burst)
    }

    fn retry_at(&self, now: Time) -> Option<Time> {
        if self.is_idle() { self.inner.retry_at(now) } else { None }
    }

    fn change(&mut self, layer: &mut Layer, now: Time) -> bool {
        let Layer::Faults(faults) = layer else { return self.inner.change(layer, now) };
        (self.transmit.rates, self.receive.rates) = (faults.transmit, faults.receive);
        true
    }

    fn counters(&self) -> LinkCounters {
        let (tx_faults, rx_faults) = (self.transmit.injected, self.receive.injected);
        LinkCounters { tx_faults, rx_faults, ..self.inner.counters() }
    }

    fn info(&self) -> LinkInfo {
        let mut info = self.inner.info();
        if !self.is_idle() {
            info.layers.insert(0, "faults");
        }
        info
    }
}

/// One direction.
struct Lane<M> {
    rates: FaultRates,
    rng: ChaCha8Rng,
    held: Vec<Held<M>>,
    injected: u64,
}

struct Held<M> {
    meta: M,
    packet: Vec<u8>,
    /// Packets that have yet to overtake it.
    overtakers: u32,
    until: Time,
}

impl<M: Copy> Lane<M> {
    fn new(rates: FaultRates, seed: u64, stream: u64) -> Lane<M> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Lane { rates, rng, held: Vec::new(), injected: 0 }
    }

    fn is_idle(&self) -> bool {
        self.rates.is_none() && self.held.is_empty()
    }

    /// Decides about a packet and puts what becomes of it into `out`.
    fn pass(&mut self, now: Time, meta: &M, packet: &[u8], out: &mut VecDeque<(M, Vec<u8>)>) {
        // All draws are made for every packet, so that changing one rate leaves the others' victims alone.
        let rates = self.rates;
        let [drop, duplicate, corrupt, reorder] =
            [rates.drop, rates.duplicate, rates.corrupt, rates.reorder].map(|rate| self.happens(rate));
        let (bit, overtakers) = (self.rng.next_u32(), 1 + self.rng.next_u32() % OVERTAKERS);
        if drop {
            return;
        }
        let mut packet = packet.to_vec();
        if corrupt && !packet.is_empty() {
            let bit = bit as usize % (8 * packet.len());
            packet[bit / 8] ^= 1 << (bit % 8);
        }
        if duplicate {
            out.push_back((*meta, packet.clone()));
        }
        if reorder {
            self.held.push(Held { meta: *meta, packet, overtakers, until: now + HOLD });
            return;
        }
        out.push_back((*meta, packet));
        for held in &mut self.held {
            held.overtakers = held.overtakers.saturating_sub(1);
        }
        self.release(now, out);
    }

    /// Lets go of held packets that were overtaken, or waited long enough.
    fn release(&mut self, now: Time, out: &mut VecDeque<(M, Vec<u8>)>) {
        let free = self.held.extract_if(.., |held| held.overtakers == 0 || held.until <= now);
        out.extend(free.map(|held| (held.meta, held.packet)));
    }

    fn next_timeout(&self) -> Option<Time> {
        self.held.iter().map(|held| held.until).min()
    }

    fn happens(&mut self, probability: f64) -> bool {
        // 53 bits are what an f64 holds exactly.
        let drawn = (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let happens = drawn < probability;
        self.injected += u64::from(happens);
        happens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(rates: FaultRates, seed: u64, packets: u8) -> Vec<Vec<u8>> {
        let (mut lane, mut out) = (Lane::new(rates, seed, 0), VecDeque::new());
        for number in 0..packets {
            lane.pass(Time::ZERO, &(), &[number, 0, 0, 0], &mut out);
        }
        lane.release(Time::ZERO + HOLD, &mut out);
        out.into_iter().map(|(_, packet)| packet).collect()
    }

    #[test]
    fn without_faults_everything_passes_in_order() {
        let passed = fates(FaultRates::NONE, 1, 100);
        assert!(passed.iter().map(|packet| packet[0]).eq(0..100));
    }

    #[test]
    fn the_seed_decides_who_suffers() {
        let rates = FaultRates { drop: 0.1, duplicate: 0.1, corrupt: 0.1, reorder: 0.1 };
        assert_eq!(fates(rates, 7, 200), fates(rates, 7, 200));
        assert_ne!(fates(rates, 7, 200), fates(rates, 8, 200));
    }

    #[test]
    fn each_rate_does_what_it_says() {
        let only = |rates| fates(rates, 3, 200);
        assert!(only(FaultRates { drop: 1.0, ..FaultRates::NONE }).is_empty());
        assert_eq!(only(FaultRates { duplicate: 1.0, ..FaultRates::NONE }).len(), 400);
        let corrupted = only(FaultRates { corrupt: 1.0, ..FaultRates::NONE });
        for (number, packet) in corrupted.iter().enumerate() {
            let flipped = packet.iter().zip([number as u8, 0, 0, 0]).map(|(a, b)| (a ^ b).count_ones());
            assert_eq!(flipped.sum::<u32>(), 1);
        }
        let mut reordered = only(FaultRates { reorder: 0.3, ..FaultRates::NONE });
        assert!(!reordered.is_sorted());
        reordered.sort();
        assert!(reordered.iter().map(|packet| packet[0]).eq(0..200), "all arrive nevertheless");
    }
}
