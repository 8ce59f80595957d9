//! What happens at set moments: flows begin, things break, samples are taken.

use ferroce_engine::Time;

use super::Simulation;
use crate::background::{Background, Pattern};
use crate::fabric::HostId;
use crate::log::Watch;
use crate::node::{Node, SwitchId};
use crate::scenario::{BackgroundKind, Event, EventKind, Span};

/// What an alarm is for.
#[derive(Clone, Copy)]
pub(super) enum Wake {
    Connection(usize),
    Ring(usize),
    Event(usize),
    Sample,
}

impl<T: Watch> Simulation<T> {
    /// Puts everything into place that the scenario asks for.
    pub(super) fn prepare(&mut self) {
        for index in 0..self.scenario.rule.len() {
            self.fabric.add_rule(self.scenario.rule[index].rule());
        }
        for index in 0..self.scenario.flow.len() {
            let first = self.connections.len();
            self.add_flow(index);
            let start = Time::ZERO + self.scenario.flow[index].start.0;
            for number in first..self.connections.len() {
                self.set_wake(start, Wake::Connection(number));
            }
        }
        for index in 0..self.scenario.all_reduce.len() {
            self.add_ring(index);
        }
        for index in 0..self.scenario.background.len() {
            self.add_background(index);
        }
        for index in 0..self.scenario.event.len() {
            let at = Time::ZERO + self.scenario.event[index].at.0;
            self.set_wake(at, Wake::Event(index));
        }
        self.sampled = vec![0; self.connections.len()];
        self.samples.start(self.scenario.measure.sample.0, &self.connections, self.fabric.switches().count());
        self.sample_later();
    }

    fn add_background(&mut self, index: usize) {
        let table = &self.scenario.background[index];
        let stop = if table.stop.0.is_zero() { self.scenario.duration } else { table.stop };
        let flow = Background {
            from: HostId(table.from as usize),
            to: HostId(table.to as usize),
            size: table.size,
            priority: table.priority,
            pattern: match table.pattern {
                BackgroundKind::Steady => Pattern::Steady(table.rate.0),
                BackgroundKind::Poisson => Pattern::Poisson(table.rate.0),
                BackgroundKind::Window => Pattern::Window,
            },
            start: Time::ZERO + table.start.0,
            stop: Time::ZERO + stop.0,
        };
        let number = self.fabric.add_background(flow);
        self.backgrounds.push(number);
    }

    pub(super) fn set_wake(&mut self, at: Time, what: Wake) {
        let token = match what {
            Wake::Connection(number) => number as u64,
            Wake::Ring(number) => 1 << 32 | number as u64,
            Wake::Event(number) => 2 << 32 | number as u64,
            Wake::Sample => 3 << 32,
        };
        self.fabric.set_alarm(at, token);
    }

    pub(super) fn wake(&mut self, token: u64) {
        let number = (token & 0xffff_ffff) as usize;
        match token >> 32 {
            0 => self.go_on(number),
            1 => self.begin_round(number),
            2 => self.event(number),
            _ => {
                self.take_sample();
                self.sample_later();
            }
        }
    }

    fn sample_later(&mut self) {
        let Span(every) = self.scenario.measure.sample;
        let next = self.fabric.now() + every;
        if !every.is_zero() && next <= self.end() {
            self.set_wake(next, Wake::Sample);
        }
    }

    fn event(&mut self, index: usize) {
        let Event { what, host, switch, peer, priority, watchdog, .. } = self.scenario.event[index];
        let host = host.map(|number| HostId(number as usize));
        let switch = switch.map(|number| SwitchId(number as usize));
        let other = host.map(Node::Host).or(peer.map(|number| Node::Switch(SwitchId(number as usize))));
        match (what, host, switch, other) {
            (EventKind::KillHost, Some(host), ..) => self.fabric.kill(host),
            (EventKind::Storm, Some(host), ..) => {
                let watchdog = (!watchdog.0.is_zero()).then_some(watchdog.0);
                self.fabric.start_storm(host, priority, watchdog);
            }
            (EventKind::CutCable | EventKind::MendCable, _, Some(switch), Some(other)) => {
                self.fabric.set_cable([Node::Switch(switch), other], what == EventKind::MendCable);
            }
            (EventKind::StopSwitch | EventKind::StartSwitch, _, Some(switch), _) => {
                self.fabric.set_switch(switch, what == EventKind::StartSwitch);
            }
            // The check of the scenario lets nothing else through.
            _ => {}
        }
    }

    fn take_sample(&mut self) {
        let seconds = self.scenario.measure.sample.0.as_secs_f64();
        for (number, connection) in self.connections.iter().enumerate() {
            let moved = connection.bytes - std::mem::replace(&mut self.sampled[number], connection.bytes);
            let end = connection.ends[0];
            let paced = self.fabric.device(end.host).rate(end.qp).ok().flatten();
            self.samples.flow(number, moved as f64 * 8.0 / seconds, paced);
        }
        for id in self.fabric.switches() {
            self.samples.switch(id.0, self.fabric.stored(id));
        }
        self.samples.finish(self.fabric.now());
    }
}
