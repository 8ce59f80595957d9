//! What came out of a simulation, as plain data.

use std::time::Duration;

use ferroce_engine::Time;
use serde::Serialize;

use super::Simulation;
use super::connection::{Connection, Owner};
use crate::fabric::Carried;
use crate::log::Watch;
use crate::node::Node;

/// Everything that came out of a simulation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// The scenario's title.
    pub title: String,
    /// Its seed.
    pub seed: u64,
    /// Why it ended.
    pub ending: Ending,
    /// Virtual time at the end, in nanoseconds.
    pub nanos: u64,
    /// Packets that hosts sent.
    pub packets: u64,
    /// Packets that were lost, by faults of links too.
    pub lost: u64,
    /// Packets that were marked "congestion experienced".
    pub marked: u64,
    /// Request packets that NICs sent again.
    pub retransmitted: u64,
    /// CNPs that NICs sent.
    pub cnps: u64,
    /// A fingerprint of all packets, see [`Fabric::digest`](crate::Fabric::digest): that of a run that is made again.
    pub digest: u64,
    /// Connections of flows.
    pub flows: Vec<FlowReport>,
    /// Jain's index of their throughputs.
    pub fairness: f64,
    /// All-reduces.
    pub reduces: Vec<ReduceReport>,
    /// Background flows: packets sent, arrived, mean delay in nanoseconds.
    pub backgrounds: Vec<(u64, u64, u64)>,
    /// Ports of switches that carried something, or paused somebody.
    pub ports: Vec<PortReport>,
    /// Where packets were dropped.
    pub drops: Vec<DropReport>,
    /// What was sampled.
    pub samples: Samples,
}

/// Why a simulation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Everything was done.
    Done,
    /// The scenario's duration was over.
    TimeOver,
    /// The scenario's number of packets was sent.
    PacketsOver,
    /// Somebody asked for the outcome before the end.
    Interrupted,
}

/// A connection of a flow.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FlowReport {
    /// The flow's name, or its number.
    pub name: String,
    /// The requester's host.
    pub from: usize,
    /// Its peer.
    pub to: usize,
    /// Messages that were completed.
    pub messages: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Bits per second of messages, from the flow's start (or the end of the warm-up) to its last completion if it
    /// has an end, else to the end of the run.
    pub goodput: f64,
    /// Mean, median and 99th percentile of the time from posting to completion, in nanoseconds.
    pub latency: [u64; 3],
    /// How the connection failed.
    pub failed: Option<String>,
}

/// An all-reduce.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReduceReport {
    /// Hosts that took part.
    pub hosts: usize,
    /// Bytes of each host's data.
    pub size: u64,
    /// How long each round took, in nanoseconds.
    pub rounds: Vec<u64>,
}

/// A port of a switch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PortReport {
    /// The switch.
    pub switch: String,
    /// The port.
    pub port: usize,
    /// What it is joined to.
    pub peer: String,
    /// Packets sent.
    pub sent: u64,
    /// Packets marked.
    pub marked: u64,
    /// Pause frames sent to the peer.
    pub pauses_sent: u64,
    /// Time that the peer kept it paused, in nanoseconds, summed over priorities.
    pub paused: u64,
    /// Most bytes in its queues.
    pub most_queued: u64,
    /// Share of its time that it was sending.
    pub busy: f64,
}

/// Packets that were dropped in one place for one reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DropReport {
    /// The switch or host.
    pub place: String,
    /// The port: the way in where headroom was full, else the way out.
    pub port: u16,
    /// Their priority.
    pub priority: u8,
    /// The reason.
    pub cause: &'static str,
    /// How many.
    pub packets: u64,
}

/// What was sampled, one value per moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Samples {
    /// The moments in nanoseconds.
    pub at: Vec<u64>,
    /// Bits of completed messages per second since the moment before, by connection.
    pub goodput: Vec<Vec<f64>>,
    /// Bits per second that rate control allowed, by connection; 0 where it set no limit.
    pub rate: Vec<Vec<u64>>,
    /// Bytes that each switch held.
    pub stored: Vec<Vec<u64>>,
}

impl Samples {
    pub(super) fn start(&mut self, every: Duration, connections: &[Connection], switches: usize) {
        if !every.is_zero() {
            self.goodput = vec![Vec::new(); connections.len()];
            self.rate = vec![Vec::new(); connections.len()];
            self.stored = vec![Vec::new(); switches];
        }
    }

    pub(super) fn flow(&mut self, number: usize, goodput: f64, rate: Option<u64>) {
        self.goodput[number].push(goodput);
        self.rate[number].push(rate.unwrap_or(0));
    }

    pub(super) fn switch(&mut self, number: usize, stored: u64) {
        self.stored[number].push(stored);
    }

    pub(super) fn finish(&mut self, now: Time) {
        self.at.push(now.nanos());
    }
}

/// Jain's fairness index: 1 when all are equal, 1/n when one has everything. 1 for none.
pub fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    if squares == 0.0 { 1.0 } else { sum * sum / (shares.len() as f64 * squares) }
}

impl<T: Watch> Simulation<T> {
    /// What has come out so far.
    pub fn outcome(&self) -> Outcome {
        let Carried { sent, lost, marked, .. } = self.fabric.carried();
        let flows: Vec<FlowReport> =
            self.connections.iter().filter_map(|one| self.flow_report(one)).collect();
        let counters = || self.fabric.hosts().map(|host| *self.fabric.device(host).counters());
        let goodputs: Vec<f64> = flows.iter().map(|flow| flow.goodput).collect();
        Outcome {
            title: self.scenario.title.clone(),
            seed: self.scenario.seed,
            ending: self.ending.unwrap_or(Ending::Interrupted),
            nanos: self.fabric.now().nanos(),
            packets: sent,
            lost,
            marked,
            retransmitted: counters().map(|counters| counters.retransmitted_pkts).sum(),
            cnps: counters().map(|counters| counters.np_cnp_sent).sum(),
            digest: self.fabric.digest(),
            fairness: jain(&goodputs),
            flows,
            reduces: self.reduce_reports(),
            backgrounds: self.background_reports(),
            ports: self.port_reports(),
            drops: self.drop_reports(),
            samples: self.samples.clone(),
        }
    }

    fn flow_report(&self, one: &Connection) -> Option<FlowReport> {
        let Owner::Flow(index) = one.owner else { return None };
        let flow = &self.scenario.flow[index];
        let end = if flow.count > 0 && one.is_done() { one.last } else { self.fabric.now() };
        let stop = if flow.stop.0.is_zero() { end } else { end.min(Time::ZERO + flow.stop.0) };
        let begin = Time::ZERO + flow.start.0.max(self.scenario.measure.warmup.0);
        let seconds = stop.since(begin).as_secs_f64();
        let nanos = |time: Duration| time.as_nanos() as u64;
        Some(FlowReport {
            name: if flow.name.is_empty() { format!("flow {index}") } else { flow.name.clone() },
            from: one.ends[0].host.0,
            to: one.ends[1].host.0,
            messages: one.messages,
            bytes: one.bytes,
            goodput: if seconds > 0.0 { one.counted as f64 * 8.0 / seconds } else { 0.0 },
            latency: [one.latency.mean(), one.latency.quantile(0.5), one.latency.quantile(0.99)].map(nanos),
            failed: one.failed.map(|status| format!("{status:?}")),
        })
    }

    fn reduce_reports(&self) -> Vec<ReduceReport> {
        let nanos = |time: &Duration| time.as_nanos() as u64;
        let report = |ring: &super::Ring| ReduceReport {
            hosts: ring.len(),
            size: ring.size(),
            rounds: ring.rounds.iter().map(nanos).collect(),
        };
        self.rings.iter().map(report).collect()
    }

    fn background_reports(&self) -> Vec<(u64, u64, u64)> {
        let all = self.backgrounds.iter().map(|number| self.fabric.background_stats(*number));
        all.map(|stats| {
            (stats.sent, stats.arrived, (stats.delay.as_nanos() / u128::from(stats.arrived.max(1))) as u64)
        })
        .collect()
    }

    fn port_reports(&self) -> Vec<PortReport> {
        let mut reports = Vec::new();
        let seconds = self.fabric.now().since(Time::ZERO).as_secs_f64().max(1e-9);
        for id in self.fabric.switches() {
            for (port, (peer, stats)) in self.fabric.ports(id).enumerate() {
                if stats.sent + stats.pauses_sent + stats.pauses_received == 0 {
                    continue;
                }
                let rate = self.fabric.switches[id.0].ports[port].plug.cable.rate as f64;
                reports.push(PortReport {
                    switch: self.fabric.name(Node::Switch(id)).to_owned(),
                    port,
                    peer: self.fabric.name(peer).to_owned(),
                    sent: stats.sent,
                    marked: stats.marked,
                    pauses_sent: stats.pauses_sent,
                    paused: self.fabric.paused_for(Node::Switch(id), port).as_nanos() as u64,
                    most_queued: stats.most_queued,
                    busy: (stats.sent_bytes as f64 * 8.0 / rate / seconds).min(1.0),
                });
            }
        }
        reports
    }

    fn drop_reports(&self) -> Vec<DropReport> {
        let all = self.fabric.drops().iter();
        all.map(|(place, packets)| DropReport {
            place: self.fabric.name(place.node).to_owned(),
            port: place.port,
            priority: place.priority,
            cause: place.cause.name(),
            packets: *packets,
        })
        .collect()
    }
}
