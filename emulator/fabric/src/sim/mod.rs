//! A scenario, run.

mod allreduce;
mod connection;
mod distribution;
mod events;
mod outcome;
mod station;

use std::time::Duration;

use ferroce_engine::{NoTrace, Time, Wc};
use ferroce_recording::Record;

pub use distribution::Distribution;
pub use outcome::{DropReport, Ending, FlowReport, Outcome, PortReport, ReduceReport, Samples, jain};

use crate::dice::Dice;
use crate::fabric::{Fabric, HostId};
use crate::log::Watch;
use crate::rule::Rule;
use crate::scenario::{Built, Scenario};
use allreduce::Ring;
use connection::Connection;

use station::Station;

/// A scenario under way.
///
/// [`advance`](Simulation::advance) lets it go on for a while; in between, whoever drives it can show progress,
/// stop, and ask for the [`outcome`](Simulation::outcome) so far. What happens does not depend on how often it is
/// interrupted.
pub struct Simulation<T = NoTrace> {
    scenario: Scenario,
    fabric: Fabric<T>,
    dice: Dice,
    stations: Vec<Station>,
    connections: Vec<Connection>,
    rings: Vec<Ring>,

    backgrounds: Vec<usize>,
    samples: Samples,
    /// Bytes that each connection had moved at the last sample.
    sampled: Vec<u64>,
    /// Connections of flows and rings that are not done.
    open: usize,
    ending: Option<Ending>,
    told: Vec<HostId>,
    alarms: Vec<u64>,
    completions: Vec<Wc>,
}

/// How far a simulation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// Virtual time that has passed.
    pub now: Duration,
    /// Of so much.
    pub of: Duration,
    /// Packets that hosts have sent.
    pub packets: u64,
    /// It is over.
    pub over: bool,
}

impl<T: Watch> Simulation<T> {
    /// Builds what the scenario describes. Nothing has happened yet.
    pub fn new(scenario: &Scenario) -> Simulation<T> {
        Simulation::with_rules(scenario, &[])
    }

    /// The same with scripted faults that go before those of the scenario.
    pub fn with_rules(scenario: &Scenario, rules: &[Rule]) -> Simulation<T> {
        let Built { mut fabric, hosts } = Built::new(scenario);
        rules.iter().for_each(|rule| fabric.add_rule(*rule));
        let mut simulation = Simulation {
            scenario: scenario.clone(),
            fabric,
            // Apart from the fabric's dice, so that a fault more does not change the traffic.
            dice: Dice::new(scenario.seed ^ 0x5eed),
            stations: Vec::new(),
            connections: Vec::new(),
            rings: Vec::new(),

            backgrounds: Vec::new(),
            samples: Samples::default(),
            sampled: Vec::new(),
            open: 0,
            ending: None,
            told: Vec::new(),
            alarms: Vec::new(),
            completions: vec![Wc::default(); 256],
        };
        simulation.furnish(&hosts);
        simulation.prepare();
        simulation
    }

    /// Makes so many steps of the fabric at most.
    pub fn advance(&mut self, steps: u64) -> Advance {
        for _ in 0..steps {
            if self.ending.is_some() {
                break;
            }
            self.step();
        }
        let packets = self.fabric.carried().sent;
        let now = self.fabric.now().since(Time::ZERO);
        Advance { now, of: self.scenario.duration.0, packets, over: self.ending.is_some() }
    }

    /// Runs to the end.
    pub fn run(mut self) -> Outcome {
        while !self.advance(1 << 20).over {}
        self.outcome()
    }

    /// The network, to look at.
    pub fn fabric(&self) -> &Fabric<T> {
        &self.fabric
    }

    /// What has happened since the last time, as it stands in recordings, as far as nothing will change it any more.
    /// Once the simulation is over, that is everything: packets under way have not arrived then.
    pub fn take_records(&mut self) -> impl Iterator<Item = Record> {
        let entries = match self.ending {
            Some(_) => self.fabric.take_log(),
            None => self.fabric.take_settled(),
        };
        entries.into_iter().map(|entry| entry.record())
    }

    fn step(&mut self) {
        let end = self.end();
        let idle = self.fabric.next_moment().is_none_or(|next| next > end);
        if idle || self.fabric.carried.sent >= self.scenario.most_packets {
            let at_rest = idle && self.everything_is_done();
            self.ending = Some(match (idle, at_rest) {
                (true, true) => Ending::Done,
                (true, false) => Ending::TimeOver,
                (false, _) => Ending::PacketsOver,
            });
            if idle && !at_rest {
                self.fabric.run_until(end);
            }
            return;
        }
        self.fabric.step();
        std::mem::swap(&mut self.alarms, &mut self.fabric.alarms);
        for index in 0..self.alarms.len() {
            self.wake(self.alarms[index]);
        }
        self.alarms.clear();
        std::mem::swap(&mut self.told, &mut self.fabric.told);
        for index in 0..self.told.len() {
            self.collect(self.told[index]);
        }
        self.told.clear();
        if self.everything_is_done() {
            self.ending = Some(Ending::Done);
        }
    }

    fn end(&self) -> Time {
        Time::ZERO + self.scenario.duration.0
    }

    /// Nothing that ends by itself is left to be done, and something was.
    fn everything_is_done(&self) -> bool {
        let any = !self.connections.is_empty();
        any && self.open == 0 && self.backgrounds.is_empty()
    }
}
