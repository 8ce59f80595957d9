//! A connection of a flow: when it posts what, and how it fared.

use std::collections::VecDeque;
use std::time::Duration;

use ferroce_engine::{Payload, Psn, RecvWr, SendFlags, SendOp, SendWr, Time, VerbsError, Wc, WcStatus};

use super::Simulation;
use super::distribution::Distribution;
use super::events::Wake;
use crate::connect::{Connection as Joined, End};
use crate::log::Watch;
use crate::scenario::{Arrivals, FIRST_PSN, Flow, Hosts, Operation};

/// Messages of a Poisson process that wait for room in the send queue. More are not kept.
const BACKLOG: usize = 1 << 16;

/// Send queue of a connection whose messages come at random.
const RANDOM_DEPTH: u32 = 64;

pub(super) struct Connection {
    /// Its flow in the scenario, or the ring that it belongs to.
    pub owner: Owner,
    pub ends: [End; 2],
    posted: u64,
    /// When the messages under way began, and their bytes.
    under_way: VecDeque<(Time, u64)>,
    backlog: VecDeque<(Time, u64)>,
    pub messages: u64,
    pub bytes: u64,
    /// Bytes that were moved after the warm-up.
    pub counted: u64,
    pub latency: Distribution,
    pub failed: Option<WcStatus>,
    pub last: Time,
    finite: u64,
    closed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Flow(usize),
    Ring(usize),
}

/// What a completion is about, in the lowest two bits of its number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Message = 0,
    Received = 1,
    Response = 2,
    Answered = 3,
}

impl Connection {
    pub(super) fn is_done(&self) -> bool {
        let complete = self.finite > 0 && self.messages >= self.finite;
        complete || self.failed.is_some()
    }
}

impl<T: Watch> Simulation<T> {
    // --- setting up --------------------------------------------------------------------------------------------

    /// Connects every pair of a flow.
    pub(super) fn add_flow(&mut self, index: usize) {
        let flow = self.scenario.flow[index].clone();
        let hosts = self.stations.len() as u32;
        let all = |set: &Hosts| match set {
            Hosts::Some(list) => list.clone(),
            _ => (0..hosts).collect(),
        };
        for from in all(&flow.from) {
            let peers = match &flow.to {
                Hosts::Next => vec![(from + 1) % hosts],
                Hosts::Random => vec![self.other_host(from, hosts)],
                set => all(set),
            };
            for to in peers.into_iter().filter(|to| *to != from) {
                for _ in 0..flow.connections.max(1) {
                    self.add_connection(Owner::Flow(index), from as usize, to as usize, &flow);
                }
            }
        }
    }

    fn other_host(&mut self, host: u32, hosts: u32) -> u32 {
        let other = self.dice.below(u64::from(hosts.saturating_sub(1)).max(1)) as u32;
        if other >= host { other + 1 } else { other }
    }

    pub(super) fn add_connection(&mut self, owner: Owner, from: usize, to: usize, flow: &Flow) -> usize {
        let depth = match flow.pattern {
            Arrivals::Stream => flow.depth,
            Arrivals::Burst => flow.burst,
            Arrivals::Poisson | Arrivals::Request => RANDOM_DEPTH,
        };
        let number = self.connections.len();
        let ends =
            self.join([from, to], depth, flow.priority).expect("a checked scenario fits into the devices");
        let sends = flow.op == Operation::Send || flow.pattern == Arrivals::Request;
        let takes_receives = sends || matches!(owner, Owner::Ring(_));
        self.connections.push(Connection {
            owner,
            ends,
            posted: 0,
            under_way: VecDeque::new(),
            backlog: VecDeque::new(),
            messages: 0,
            bytes: 0,
            counted: 0,
            latency: Distribution::default(),
            failed: None,
            last: Time::ZERO,
            finite: flow.count,
            closed: matches!(owner, Owner::Ring(_)),
        });
        self.open += usize::from(matches!(owner, Owner::Flow(_)));
        if takes_receives {
            for _ in 0..2 * depth {
                self.post_recv(number, 1, Kind::Received);
                self.post_recv(number, 0, Kind::Answered);
            }
        }
        number
    }

    fn join(&mut self, hosts: [usize; 2], depth: u32, priority: u8) -> Result<[End; 2], VerbsError> {
        let mut ends = Vec::with_capacity(2);
        for host in hosts {
            let station = &self.stations[host];
            ends.push(End { host: station.id, qp: station.create_qp(&mut self.fabric, depth)? });
        }
        let ends = [ends[0], ends[1]];
        let host = &self.scenario.host;
        let how = Joined {
            mtu: host.path_mtu(),
            psns: [Psn::new(FIRST_PSN), Psn::new(FIRST_PSN)],
            traffic_class: priority << 5,
            timeout: host.timeout,
            retries: host.retries,
            ..Joined::default()
        };
        self.fabric.connect(ends, &how)?;
        Ok(ends)
    }

    // --- posting -----------------------------------------------------------------------------------------------

    /// The flow's moment to begin, or to go on, has come.
    pub(super) fn go_on(&mut self, number: usize) {
        let Owner::Flow(index) = self.connections[number].owner else { return };
        let flow = &self.scenario.flow[index];
        let (pattern, interval, burst, depth) = (flow.pattern, flow.interval.0, flow.burst, flow.depth);
        match pattern {
            Arrivals::Stream => (0..depth).for_each(|_| self.post_next(number)),
            Arrivals::Request => self.post_next(number),
            Arrivals::Burst => {
                (0..burst).for_each(|_| self.post_next(number));
                self.go_on_after(number, interval);
            }
            Arrivals::Poisson => {
                let mean = flow.size.mean() * 8e9 / flow.load.0 as f64;
                self.post_next(number);
                let uniform = (self.dice.below(1 << 53) + 1) as f64 / (1u64 << 53) as f64;
                let gap = Duration::from_nanos((-uniform.ln() * mean) as u64);
                self.go_on_after(number, gap.max(Duration::from_nanos(1)));
            }
        }
    }

    fn go_on_after(&mut self, number: usize, span: Duration) {
        if self.may_post(number) {
            self.set_wake(self.fabric.now() + span, Wake::Connection(number));
        }
    }

    /// Whether the flow has messages left.
    fn may_post(&self, number: usize) -> bool {
        let connection = &self.connections[number];
        let Owner::Flow(index) = connection.owner else { return false };
        let flow = &self.scenario.flow[index];
        let stop = if flow.stop.0.is_zero() { self.end() } else { Time::ZERO + flow.stop.0 };
        connection.failed.is_none()
            && self.fabric.now() < stop
            && (flow.count == 0 || connection.posted < flow.count)
    }

    fn post_next(&mut self, number: usize) {
        if !self.may_post(number) {
            return;
        }
        let Owner::Flow(index) = self.connections[number].owner else { return };
        let len = self.scenario.flow[index].size.roll(&mut self.dice);
        let now = self.fabric.now();
        let connection = &mut self.connections[number];
        connection.posted += 1;
        if connection.backlog.len() < BACKLOG {
            connection.backlog.push_back((now, len));
        }
        self.post_backlog(number);
    }

    fn post_backlog(&mut self, number: usize) {
        let Owner::Flow(index) = self.connections[number].owner else { return };
        let flow = &self.scenario.flow[index];
        let op = if flow.pattern == Arrivals::Request { Operation::Send } else { flow.op };
        while let Some((since, len)) = self.connections[number].backlog.front().copied() {
            let peer = self.connections[number].ends[1].host;
            let remote = self.stations[peer.0].remote();
            let op = match op {
                Operation::Write => SendOp::Write(remote),
                Operation::Send => SendOp::Send,
                Operation::Read => SendOp::Read(remote),
            };
            if !self.post(number, 0, op, len, Kind::Message) {
                return;
            }
            let connection = &mut self.connections[number];
            connection.backlog.pop_front();
            connection.under_way.push_back((since, len));
        }
    }

    /// Posts a message at one end; false when the queue is full.
    fn post(&mut self, number: usize, end: usize, op: SendOp, len: u64, kind: Kind) -> bool {
        let at = self.connections[number].ends[end];
        let sges = [self.stations[at.host.0].outgoing(len)];
        let wr_id = (number as u64) << 2 | kind as u64;
        let wr = SendWr { flags: SendFlags::SIGNALED, ..SendWr::new(wr_id, op, Payload::Sges(&sges)) };
        self.fabric.post_send(at, &[wr]).is_ok()
    }

    /// Posts a piece of an all-reduce, which consumes a receive of the peer's.
    pub(super) fn post_piece(&mut self, number: usize, len: u64) {
        let peer = self.connections[number].ends[1].host;
        let op = SendOp::WriteImm(self.stations[peer.0].remote(), ferroce_engine::ImmDt([0; 4]));
        if self.post(number, 0, op, len, Kind::Message) {
            let now = self.fabric.now();
            self.connections[number].under_way.push_back((now, len));
        }
    }

    fn post_recv(&mut self, number: usize, end: usize, kind: Kind) {
        let at = self.connections[number].ends[end];
        let sges = [self.stations[at.host.0].incoming()];
        let wr_id = (number as u64) << 2 | kind as u64;
        // A queue pair that has failed takes no more, which its completions have told already.
        let _ = self.fabric.post_recv(at, &[RecvWr { wr_id, sges: &sges }]);
    }

    // --- completions -------------------------------------------------------------------------------------------

    pub(super) fn completed(&mut self, wc: &Wc) {
        let number = (wc.wr_id >> 2) as usize;
        if wc.status != WcStatus::Success {
            let failed = &mut self.connections[number].failed;
            failed.get_or_insert(wc.status);
            return self.close_if_done(number);
        }
        let owner = self.connections[number].owner;
        let request = match owner {
            Owner::Flow(index) => self.scenario.flow[index].pattern == Arrivals::Request,
            Owner::Ring(_) => false,
        };
        match wc.wr_id & 3 {
            0 if !request => self.message_done(number),
            1 => {
                self.post_recv(number, 1, Kind::Received);
                match owner {
                    Owner::Ring(ring) => self.piece_arrived(ring, number),
                    Owner::Flow(index) if request => {
                        let len = self.scenario.flow[index].response.0;
                        self.post(number, 1, SendOp::Send, len, Kind::Response);
                    }
                    Owner::Flow(_) => {}
                }
            }
            3 => {
                self.post_recv(number, 0, Kind::Answered);
                self.message_done(number);
            }
            _ => {}
        }
    }

    fn message_done(&mut self, number: usize) {
        let now = self.fabric.now();
        let warm = now >= Time::ZERO + self.scenario.measure.warmup.0;
        let connection = &mut self.connections[number];
        let Some((since, len)) = connection.under_way.pop_front() else { return };
        connection.messages += 1;
        connection.bytes += len;
        connection.last = now;
        if warm {
            connection.counted += len;
        }
        connection.latency.add(now.since(since));
        self.close_if_done(number);
        let Owner::Flow(index) = self.connections[number].owner else { return };
        let flow = &self.scenario.flow[index];
        match flow.pattern {
            Arrivals::Stream => self.post_next(number),
            Arrivals::Request => self.go_on_after(number, flow.interval.0),
            Arrivals::Poisson | Arrivals::Burst => self.post_backlog(number),
        }
    }

    fn close_if_done(&mut self, number: usize) {
        let connection = &mut self.connections[number];
        if connection.is_done() && !std::mem::replace(&mut connection.closed, true) {
            self.open -= 1;
        }
    }
}
