//! Every order of events that a small network allows, tried with the real connection managers: messages are
//! lost, doubled and overtaken, applications answer early and late, and either may end the connection.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};

use ferroce_engine::*;
use ferroce_wire::cm::{PortSpace, RejectReason, ServiceId};

const SERVICE: ServiceId = ServiceId::ip(PortSpace::Tcp, 1);

/// What the two applications are up to.
#[derive(Clone, Copy, Debug)]
struct Plot {
    /// The passive side accepts.
    accepts: bool,
    /// Which sides may end the connection once it is made.
    ends: [bool; 2],
    /// The active side may lose patience.
    gives_up: bool,
    /// Messages that may be lost, and that may be doubled.
    faults: (u8, u8),
    /// Times that a clock may run ahead of messages under way.
    early_timeouts: u8,
}

#[derive(Clone)]
struct World {
    devices: [Device<NoTrace>; 2],
    addrs: [IpAddr; 2],
    now: Time,
    /// Messages under way, with their sender: in any order, as the network has none.
    flying: Vec<(usize, Vec<u8>)>,
    owners: [Owner; 2],
    plot: Plot,
}

/// An application.
#[derive(Clone, Debug, Default)]
struct Owner {
    id: Option<CmId>,
    inbox: VecDeque<CmEventKind>,
    /// What it was told, by name.
    told: Vec<&'static str>,
    up: bool,
    gone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    Deliver(usize),
    Lose(usize),
    Double(usize),
    Think(usize),
    End(usize),
    GiveUp,
    Timeout(usize),
}

impl World {
    fn new(plot: Plot) -> World {
        let addrs = [1, 2].map(|number| IpAddr::V4(Ipv4Addr::new(192, 0, 2, number)));
        let cm = CmConfig { max_retries: 15, ..CmConfig::default() };
        let device = |index: usize| {
            Device::new(DeviceConfig { cm, ..DeviceConfig::new("x", [addrs[index]]) }, index as u64, NoTrace)
        };
        let mut devices = [device(0), device(1)];
        devices[1].cm_mut().listen(SERVICE, None, 9).unwrap();
        let request = CmConnect::new(SERVICE, AddressVector::new(0, addrs[1]), Qpn::new(0x11));
        let id = devices[0].cm_mut().connect(Time::ZERO, &request).unwrap();
        let owners = [Owner { id: Some(id), ..Owner::default() }, Owner::default()];
        let mut world = World { devices, addrs, now: Time::ZERO, flying: Vec::new(), owners, plot };
        world.collect();
        world
    }

    /// Everything that decides what can happen next. Moments and retries left do not: clocks are moves.
    fn key(&self) -> String {
        let states: Vec<_> = self.devices.iter().map(|d| d.cm().connections().collect::<Vec<_>>()).collect();
        let clocks: Vec<_> = self.devices.iter().map(|d| d.next_timeout().is_some()).collect();
        let mut flying: Vec<_> = self.flying.iter().map(|(from, bytes)| (*from, &bytes[20..276])).collect();
        flying.sort_unstable();
        format!("{states:?} {clocks:?} {flying:?} {:?} {:?}", self.owners, self.plot)
    }

    fn collect(&mut self) {
        let mut train = Train::new();
        for from in 0..2 {
            while self.devices[from].poll_transmit(self.now, &TxLimits::SINGLE, &mut train) {
                self.flying.push((from, train.bytes().to_vec()));
            }
            while let Some(event) = self.devices[from].cm_mut().poll_event() {
                let owner = &mut self.owners[from];
                assert!(!owner.gone, "an owner that is gone hears nothing");
                if matches!(event.kind, CmEventKind::Request { .. }) {
                    assert!(owner.id.replace(event.id).is_none(), "one request, told twice");
                }
                assert_eq!(owner.id, Some(event.id));
                owner.inbox.push_back(event.kind);
            }
        }
    }

    fn moves(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        for index in 0..self.flying.len() {
            moves.push(Move::Deliver(index));
            if self.plot.faults.0 > 0 {
                moves.push(Move::Lose(index));
            }
            if self.plot.faults.1 > 0 {
                moves.push(Move::Double(index));
            }
        }
        for side in 0..2 {
            let owner = &self.owners[side];
            if !owner.inbox.is_empty() {
                moves.push(Move::Think(side));
            }
            if owner.up && self.plot.ends[side] {
                moves.push(Move::End(side));
            }
            let early = self.plot.early_timeouts > 0 || self.flying.is_empty();
            if self.devices[side].next_timeout().is_some() && early {
                moves.push(Move::Timeout(side));
            }
        }
        if self.plot.gives_up && !self.owners[0].gone && !self.owners[0].up {
            moves.push(Move::GiveUp);
        }
        moves
    }

    fn make(&mut self, step: Move) {
        match step {
            Move::Deliver(index) => {
                let (from, bytes) = self.flying.swap_remove(index);
                self.hand_over(from, &bytes);
            }
            Move::Lose(index) => {
                self.plot.faults.0 -= 1;
                self.flying.swap_remove(index);
            }
            Move::Double(index) => {
                self.plot.faults.1 -= 1;
                self.flying.push(self.flying[index].clone());
            }
            Move::Think(side) => self.think(side),
            Move::End(side) => {
                self.plot.ends[side] = false;
                self.owners[side].up = false;
                let id = self.owners[side].id.unwrap();
                // If the peer was first this agrees; if even that is over there is nothing left to end.
                let _ = self.devices[side].cm_mut().disconnect(self.now, id, b"");
            }
            Move::GiveUp => {
                let id = self.owners[0].id.unwrap();
                self.devices[0].cm_mut().destroy(self.now, id).unwrap();
                self.owners[0].gone = true;
                self.owners[0].inbox.clear();
            }
            Move::Timeout(side) => {
                if !self.flying.is_empty() {
                    self.plot.early_timeouts -= 1;
                }
                self.now = self.now.max(self.devices[side].next_timeout().unwrap());
                self.devices[side].handle_timeout(self.now);
            }
        }
        self.collect();
    }

    fn hand_over(&mut self, from: usize, bytes: &[u8]) {
        let meta = RxMeta {
            src: self.addrs[from],
            dst: self.addrs[1 - from],
            src_port: ferroce_wire::flow::port_for_datagram_qp(Qpn::GSI),
            traffic_class: 0,
            ident: Ident::Known { ident: 0, flags_fragment: DONT_FRAGMENT },
        };
        self.devices[1 - from].handle_packet(self.now, &meta, bytes);
    }

    /// An application deals with the next event.
    fn think(&mut self, side: usize) {
        let owner = &mut self.owners[side];
        let (Some(event), Some(id)) = (owner.inbox.pop_front(), owner.id) else { return };
        let cm = self.devices[side].cm_mut();
        let mut tell = |word: &'static str| {
            assert!(!owner.told.contains(&word), "told {word} twice: {:?}", owner.told);
            owner.told.push(word);
        };
        match event {
            CmEventKind::Request { .. } => {
                tell("request");
                let answer = CmAccept {
                    qpn: Qpn::new(0x22),
                    responder_resources: 1,
                    initiator_depth: 1,
                    flow_control: false,
                    rnr_retry_count: 7,
                    srq: false,
                    private_data: b"",
                };
                // The peer may have given up meanwhile, and then there is nothing to answer.
                let _ = match self.plot.accepts {
                    true => cm.accept(self.now, id, &answer),
                    false => cm.reject(self.now, id, RejectReason::CONSUMER_DEFINED, b"", b""),
                };
            }
            CmEventKind::Reply(_) => {
                tell("reply");
                if cm.ready(id, b"").is_ok() {
                    owner.up = true;
                }
            }
            CmEventKind::Established(_) => {
                tell("established");
                owner.up = true;
            }
            CmEventKind::Rejected(_) => {
                tell("rejected");
                owner.up = false;
            }
            CmEventKind::Unreachable => tell("unreachable"),
            CmEventKind::Disconnecting(_) => {
                tell("end");
                owner.up = false;
                let _ = cm.disconnect(self.now, id, b"");
            }
            CmEventKind::Disconnected(_) => {
                tell("end");
                owner.up = false;
            }
            CmEventKind::TimeWaitOver => tell("over"),
            other => panic!("{other:?}"),
        }
    }

    /// From here on nothing goes wrong and nobody dawdles: where does it end?
    fn outcome(&self) -> World {
        let mut world = self.clone();
        for _ in 0..500 {
            let plot = &mut world.plot;
            (plot.faults, plot.gives_up, plot.ends) = ((0, 0), false, [false; 2]);
            let quick = world.moves().into_iter().find(|step| !matches!(step, Move::Timeout(_)));
            let next = quick.or_else(|| {
                let due = (0..2).filter_map(|side| Some((world.devices[side].next_timeout()?, side))).min();
                due.map(|(_, side)| Move::Timeout(side))
            });
            match next {
                Some(step) => world.make(step),
                None => return world,
            }
        }
        panic!("it does not come to rest: {:?}", world.owners);
    }

    /// What must hold when all is quiet.
    fn check_rest(&self) {
        let state = |side: usize| {
            let owner = &self.owners[side];
            owner.id.and_then(|id| self.devices[side].cm().state(id))
        };
        let states = [state(0), state(1)];
        let both_up = states == [Some(CmState::Established); 2];
        let both_down = states.iter().all(|state| matches!(state, None | Some(CmState::Idle)));
        assert!(both_up || both_down, "the two disagree: {states:?}");
        for (side, owner) in self.owners.iter().enumerate() {
            let has = |word| owner.told.contains(&word);
            let heard_of_end = has("rejected") || has("end") || has("unreachable");
            if both_up {
                assert!(!heard_of_end && has(["reply", "established"][side]), "{side}: {owner:?}");
            } else if (has("established") || has("reply")) && !owner.gone {
                assert!(heard_of_end, "{side} was never told that it is over: {owner:?}");
            }
            assert!(self.devices[side].cm().connections().count() <= 1, "nothing is left behind");
        }
    }
}

/// Visits everything that can happen, and from everywhere sees where it ends.
fn explore(plot: Plot, at_most: usize) -> usize {
    let first = World::new(plot);
    let mut seen = BTreeSet::from([first.key()]);
    let mut open = VecDeque::from([(first, Vec::new())]);
    while let Some((world, path)) = open.pop_front() {
        // Shown only if an assertion fails.
        println!("{path:?}");
        world.outcome().check_rest();
        for step in world.moves() {
            let mut next = world.clone();
            next.make(step);
            // Clocks could be let run for ever; what they lead to is what the outcome shows.
            let timeouts = path.iter().filter(|step| matches!(step, Move::Timeout(_))).count();
            if timeouts > 3 {
                continue;
            }
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

const QUIET: Plot =
    Plot { accepts: true, ends: [false; 2], gives_up: false, faults: (0, 0), early_timeouts: 0 };

#[test]
fn a_connection_is_made_whatever_is_lost_doubled_or_overtaken() {
    let visited = explore(Plot { faults: (2, 1), early_timeouts: 1, ..QUIET }, 20_000);
    assert!(visited > 100, "{visited}");
}

#[test]
fn a_rejection_arrives_whatever_is_lost() {
    explore(Plot { accepts: false, faults: (2, 1), early_timeouts: 1, ..QUIET }, 20_000);
}

#[test]
fn an_end_is_an_end_for_both() {
    explore(Plot { ends: [true, true], faults: (1, 1), ..QUIET }, 20_000);
}

#[test]
fn who_loses_patience_leaves_nothing_half_made() {
    explore(Plot { gives_up: true, faults: (1, 1), early_timeouts: 1, ..QUIET }, 20_000);
}
