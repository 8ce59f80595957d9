//! Ring all-reduce: who sends the next piece when.

use std::time::Duration;

use ferroce_engine::Time;

use super::Simulation;
use super::connection::Owner;
use super::events::Wake;
use crate::log::Watch;
use crate::scenario::{AllReduce, Arrivals, Flow, Hosts, Operation};

/// One all-reduce among hosts in a ring.
pub(super) struct Ring {
    spec: AllReduce,
    /// The connection from each host to the next, in the order of the ring.
    connections: Vec<usize>,
    /// Pieces that each has received in this round.
    received: Vec<u32>,
    /// Hosts that have all pieces.
    finished: usize,
    began: Time,
    /// How long each finished round took.
    pub rounds: Vec<Duration>,
}

impl Ring {
    pub(super) fn is_done(&self) -> bool {
        self.rounds.len() >= self.spec.rounds as usize
    }

    /// Pieces that each host receives in a round.
    fn steps(&self) -> u32 {
        2 * (self.connections.len() as u32 - 1)
    }

    /// One host more has all pieces; says whether it was the last.
    fn finish_one(&mut self) -> bool {
        self.finished += 1;
        self.finished == self.connections.len()
    }

    fn piece(&self) -> u64 {
        self.spec.size.0.div_ceil(self.connections.len() as u64)
    }

    /// Hosts in it.
    pub(super) fn len(&self) -> usize {
        self.connections.len()
    }

    /// Bytes of each host's data.
    pub(super) fn size(&self) -> u64 {
        self.spec.size.0
    }
}

impl<T: Watch> Simulation<T> {
    pub(super) fn add_ring(&mut self, index: usize) {
        let spec = self.scenario.all_reduce[index].clone();
        let members: Vec<usize> = match &spec.hosts {
            Hosts::Some(list) => list.iter().map(|host| *host as usize).collect(),
            _ => (0..self.stations.len()).collect(),
        };
        let like = Flow {
            op: Operation::Write,
            pattern: Arrivals::Stream,
            depth: 4,
            priority: spec.priority,
            ..Flow::default()
        };
        let connections: Vec<usize> = (0..members.len())
            .map(|at| {
                self.add_connection(Owner::Ring(index), members[at], members[(at + 1) % members.len()], &like)
            })
            .collect();
        let start = spec.start.0;
        let received = vec![0; connections.len()];
        self.rings.push(Ring {
            spec,
            connections,
            received,
            finished: 0,
            began: Time::ZERO,
            rounds: Vec::new(),
        });
        self.open += 1;
        self.set_wake(Time::ZERO + start, Wake::Ring(index));
    }

    /// A round begins: everybody sends a piece.
    pub(super) fn begin_round(&mut self, index: usize) {
        let now = self.fabric.now();
        let ring = &mut self.rings[index];
        ring.began = now;
        ring.received.fill(0);
        ring.finished = 0;
        let (piece, connections) = (ring.piece(), ring.connections.clone());
        for number in connections {
            self.post_piece(number, piece);
        }
    }

    /// The peer of a connection has a piece more, and passes one on, until the round is over.
    pub(super) fn piece_arrived(&mut self, index: usize, number: usize) {
        let now = self.fabric.now();
        let ring = &mut self.rings[index];
        // They were made one after the other.
        let from = number - ring.connections[0];
        let at = (from + 1) % ring.connections.len();
        ring.received[at] += 1;
        let steps = ring.steps();
        if ring.received[at] < steps {
            let (next, piece) = (ring.connections[at], ring.piece());
            self.post_piece(next, piece);
        } else if ring.finish_one() {
            ring.rounds.push(now.since(ring.began));
            if ring.is_done() {
                self.open -= 1;
            } else {
                self.begin_round(index);
            }
        }
    }
}
