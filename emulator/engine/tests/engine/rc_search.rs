//! Every order of events that a small network allows, tried with two real queue pairs: packets are lost, doubled and
//! overtaken, and timers run out early.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use ferroce_engine::*;

use crate::pair::{End, Pair, Setup, Trace};

/// A packet under way: who sent it, what its receiver is told of it, and its bytes.
type Flying = (usize, RxMeta, Vec<u8>);

/// What one end asks of the other, and what the network may do.
#[derive(Clone, Copy)]
struct Plot {
    personality: fn() -> Personality,
    post: fn(&Ends, &mut Device<Trace>),
    /// Packets that may be lost, and that may be doubled.
    faults: (u8, u8),
    /// Times that a clock may run out.
    timeouts: u8,
}

type Ends = [End; 2];

#[derive(Clone)]
struct World {
    /// Memory, addresses and handles, which all worlds share.
    ends: Rc<Ends>,
    devices: [Device<Trace>; 2],
    /// What this world has in the memory that it shares with the others.
    memory: [Vec<u8>; 2],
    now: Time,
    flying: Vec<Flying>,
    /// Completions so far.
    done: [Vec<Wc>; 2],
    plot: Plot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    Deliver(usize),
    Lose(usize),
    Double(usize),
    Timeout(usize),
}

/// Bytes of memory that matter.
const BYTES: usize = 4096;

impl World {
    fn new(plot: Plot) -> World {
        let setup = Setup { mtu: PathMtu::Mtu256, personality: (plot.personality)(), ..Setup::default() };
        let Pair { ends, .. } = Pair::new(setup);
        ends[0].buffer.write(0, &(0..BYTES).map(|at| at as u8).collect::<Vec<_>>());
        ends[1].buffer.write(2048, &[7; 1024]);
        let mut devices = [ends[0].device.clone(), ends[1].device.clone()];
        for wr_id in 101..=102 {
            let sges = [ends[1].sge(wr_id as usize * 8, 600)];
            devices[1].post_recv(Time::ZERO, ends[1].qp, &[RecvWr { wr_id, sges: &sges }]).unwrap();
        }
        (plot.post)(&ends, &mut devices[0]);
        let memory = [0, 1].map(|side: usize| ends[side].buffer.to_vec(0, BYTES));
        let (ends, done) = (Rc::new(ends), [Vec::new(), Vec::new()]);
        let mut world = World { ends, devices, memory, now: Time::ZERO, flying: Vec::new(), done, plot };
        world.collect();
        world
    }

    /// Everything that decides what can happen next. How far clocks are does not: they are moves.
    fn key(&self) -> u64 {
        let mut flying: Vec<_> = self.flying.iter().map(|(from, _, bytes)| (from, bytes)).collect();
        flying.sort_unstable();
        let qps = self.devices.each_ref().map(|device| format!("{:?}", device.snapshot().qps));
        let clocks = self.devices.each_ref().map(|device| device.next_timeout().is_some());
        let done = self.done.each_ref().map(Vec::len);
        let Plot { faults, timeouts, .. } = self.plot;
        let mut hasher = DefaultHasher::new();
        (flying, qps, clocks, done, faults, timeouts, &self.memory[1]).hash(&mut hasher);
        hasher.finish()
    }

    fn collect(&mut self) {
        let mut train = Train::new();
        for from in 0..2 {
            while self.devices[from].poll_transmit(self.now, &TxLimits::SINGLE, &mut train) {
                let Flow { src, dst, src_port, traffic_class, .. } = *train.flow();
                let ident = Ident::Known { ident: 0, flags_fragment: DONT_FRAGMENT };
                let meta = RxMeta { src, dst, src_port, traffic_class, ident };
                self.flying.push((from, meta, train.bytes().to_vec()));
            }
            while self.devices[from].poll_event().is_some() {}
            self.devices[from].trace_mut().clear();
            let mut wcs = [Wc::default(); 16];
            let count = self.devices[from].poll_cq(self.ends[from].cq, &mut wcs).unwrap();
            for wc in &wcs[..count] {
                let last = self.done[from].last().map_or(wc.wr_id / 100 * 100, |last| last.wr_id);
                assert_eq!((wc.wr_id, wc.status), (last + 1, WcStatus::Success), "one by one, in order");
                self.done[from].push(*wc);
            }
        }
    }

    fn moves(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        for index in 0..self.flying.len() {
            moves.push(Move::Deliver(index));
            moves.extend((self.plot.faults.0 > 0).then_some(Move::Lose(index)));
            moves.extend((self.plot.faults.1 > 0).then_some(Move::Double(index)));
        }
        for side in 0..2 {
            let runs = self.devices[side].next_timeout().is_some() && self.plot.timeouts > 0;
            moves.extend(runs.then_some(Move::Timeout(side)));
        }
        moves
    }

    fn make(&mut self, step: Move) {
        // Other worlds have left something else in the memory.
        for side in 0..2 {
            self.ends[side].buffer.write(0, &self.memory[side]);
        }
        match step {
            Move::Deliver(index) => {
                let (from, meta, bytes) = self.flying.swap_remove(index);
                self.devices[1 - from].handle_packet(self.now, &meta, &bytes);
            }
            Move::Lose(index) => {
                self.plot.faults.0 -= 1;
                self.flying.swap_remove(index);
            }
            Move::Double(index) => {
                self.plot.faults.1 -= 1;
                self.flying.push(self.flying[index].clone());
            }
            Move::Timeout(side) => {
                self.plot.timeouts = self.plot.timeouts.saturating_sub(1);
                self.now = self.now.max(self.devices[side].next_timeout().unwrap());
                self.devices[side].handle_timeout(self.now);
            }
        }
        self.collect();
        self.memory = [0, 1].map(|side: usize| self.ends[side].buffer.to_vec(0, BYTES));
    }

    /// From here on nothing goes wrong: where does it end?
    fn outcome(&self) -> World {
        let mut world = self.clone();
        for _ in 0..500 {
            world.plot.faults = (0, 0);
            let next = match world.flying.is_empty() {
                false => Some(Move::Deliver(0)),
                true => (0..2).find(|side| world.devices[*side].next_timeout().is_some()).map(Move::Timeout),
            };
            match next {
                Some(step) => world.make(step),
                None => return world,
            }
        }
        panic!("it does not come to rest");
    }
}

/// Visits everything that can happen, and from everywhere sees where it ends: with the same completions and the same
/// memory as if nothing had gone wrong.
fn explore(plot: Plot, at_most: usize) -> usize {
    let first = World::new(plot);
    let right = World::new(Plot { faults: (0, 0), timeouts: 0, ..plot }).outcome();
    let result = |world: &World| {
        let done = world.done.each_ref().map(|wcs| wcs.iter().map(|wc| (wc.wr_id, wc.byte_len)).collect());
        let done: [Vec<_>; 2] = done;
        (done, world.memory.clone())
    };
    let right = result(&right);
    assert!(!right.0[0].is_empty());
    let mut seen = BTreeSet::from([first.key()]);
    let mut open = VecDeque::from([(first, Vec::new())]);
    while let Some((world, path)) = open.pop_front() {
        assert!(result(&world.outcome()) == right, "another end after {path:?}");
        for step in world.moves() {
            let mut next = world.clone();
            next.make(step);
            if seen.insert(next.key()) {
                assert!(seen.len() < at_most, "more than {at_most} situations");
                let mut path = path.clone();
                path.push(step);
                open.push_back((next, path));
            }
        }
    }
    seen.len()
}

fn post(ends: &Ends, device: &mut Device<Trace>, wr_id: u64, op: SendOp, at: usize, len: u32) {
    let sges = [ends[0].sge(at, len)];
    let flags = SendFlags::SIGNALED;
    let wr = SendWr { flags, ..SendWr::new(wr_id, op, Payload::Sges(&sges)) };
    device.post_send(Time::ZERO, ends[0].qp, &[wr]).unwrap();
}

fn writes_and_sends(ends: &Ends, device: &mut Device<Trace>) {
    post(ends, device, 1, SendOp::Write(ends[1].remote(2048)), 256, 300);
    post(ends, device, 2, SendOp::Send, 64, 10);
}

fn reads_and_atomics(ends: &Ends, device: &mut Device<Trace>) {
    post(ends, device, 1, SendOp::FetchAdd { remote: ends[1].remote(0), add: 3 }, 3000, 8);
    post(ends, device, 2, SendOp::Read(ends[1].remote(2048)), 1024, 300);
}

fn sends(ends: &Ends, device: &mut Device<Trace>) {
    post(ends, device, 1, SendOp::Send, 64, 300);
    post(ends, device, 2, SendOp::Send, 0, 10);
}

/// One packet is lost, or one is doubled, or a clock runs out too early. All of it together is too much for a test that
/// is run often.
const TROUBLES: [((u8, u8), u8); 3] = [((1, 0), 0), ((0, 1), 0), ((0, 0), 1)];

fn explore_all(personality: fn() -> Personality, post: fn(&Ends, &mut Device<Trace>)) {
    for (faults, timeouts) in TROUBLES {
        let visited = explore(Plot { personality, post, faults, timeouts }, 100_000);
        assert!(visited > 30, "{visited}");
    }
}

#[test]
fn writes_and_sends_take_effect_once_whatever_is_lost_doubled_or_overtaken() {
    explore_all(Personality::ferroce, writes_and_sends);
}

#[test]
fn reads_and_atomics_take_effect_once_whatever_is_lost_doubled_or_overtaken() {
    explore_all(Personality::ferroce, reads_and_atomics);
}

#[test]
fn selective_repeat_changes_nothing_about_what_happens() {
    explore_all(Personality::selective_repeat, writes_and_sends);
    explore_all(Personality::selective_repeat, sends);
}
