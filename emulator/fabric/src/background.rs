//! Traffic that comes from no device: packets of which only the length counts.

use std::time::Duration;

use ferroce_engine::{Flow, Time};

use crate::events::Happening;
use crate::fabric::{Fabric, HostId};
use crate::log::Watch;
use crate::packets::{Load, Packet};

/// Packets from one host to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Background {
    /// The sender.
    pub from: HostId,
    /// The receiver.
    pub to: HostId,
    /// Bytes of each packet on the wire, preamble and gap included; 84 to 65,535.
    pub size: u32,
    /// 802.1Q priority, 0 to 7.
    pub priority: u8,
    /// When they are sent.
    pub pattern: Pattern,
    /// The first moment of sending.
    pub start: Time,
    /// No packet is sent from then on.
    pub stop: Time,
}

/// When the packets of a background flow are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pattern {
    /// At equal distances, so many bits per second.
    Steady(u64),
    /// At random distances (a Poisson process), so many bits per second on average.
    Poisson(u64),
    /// As TCP would (Reno, without its handshakes): a window that doubles each round trip until the first loss,
    /// then grows by one packet per round trip and is halved by each loss.
    Window,
}

/// What a background flow did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowStats {
    /// Packets sent.
    pub sent: u64,
    /// Packets that arrived.
    pub arrived: u64,
    /// Time from sending to arriving, summed over the packets that arrived.
    pub delay: Duration,
    /// Losses that a [`Pattern::Window`] flow noticed.
    pub losses: u64,
}

/// All background flows.
#[derive(Default)]
pub(crate) struct Flows(Vec<State>);

struct State {
    flow: Background,
    stats: FlowStats,
    next: u32,
    /// When the packets were sent that may still arrive, by number from `oldest` on.
    sent_at: std::collections::VecDeque<Time>,
    oldest: u32,
    window: Window,
}

/// Packets of a flow whose moment of sending is remembered.
const REMEMBERED: usize = 1 << 16;

/// Bytes of an acknowledgement of a [`Pattern::Window`] flow on the wire.
const ACK: u32 = 84;

/// Without any acknowledgement for so long, everything is taken for lost.
const TIMEOUT: Duration = Duration::from_millis(10);

#[derive(Clone, Copy)]
struct Window {
    size: f64,
    threshold: f64,
    /// The next packet to be acknowledged, and those behind it that were.
    acked: u32,
    ahead: u32,
    heard: Time,
}

impl<T: Watch> Fabric<T> {
    /// Adds a background flow, and returns its number.
    pub fn add_background(&mut self, flow: Background) -> usize {
        let number = self.flows.0.len() as u32;
        let flow = Background { size: flow.size.clamp(84, 65_535), priority: flow.priority & 7, ..flow };
        let window = Window { size: 2.0, threshold: 1e9, acked: 0, ahead: 0, heard: flow.start };
        let sent_at = std::collections::VecDeque::new();
        self.flows.0.push(State { flow, stats: FlowStats::default(), next: 0, sent_at, oldest: 0, window });
        self.events.push(flow.start.max(self.now), Happening::Background { flow: number });
        number as usize
    }

    /// What a background flow did so far.
    pub fn background_stats(&self, number: usize) -> FlowStats {
        self.flows.0[number].stats
    }

    /// A flow's moment to send has come.
    pub(crate) fn background(&mut self, number: u32) {
        let state = &self.flows.0[number as usize];
        let flow = state.flow;
        if self.now >= flow.stop {
            return;
        }
        let gap = match flow.pattern {
            Pattern::Window => {
                self.fill_window(number);
                TIMEOUT
            }
            Pattern::Steady(rate) => {
                self.send_background(number);
                spacing(flow.size, rate)
            }
            Pattern::Poisson(rate) => {
                self.send_background(number);
                // The logarithm of a uniform number in (0, 1].
                let uniform = (self.dice.below(1 << 53) + 1) as f64 / (1u64 << 53) as f64;
                let mean = spacing(flow.size, rate).as_nanos() as f64;
                Duration::from_nanos((-uniform.ln() * mean) as u64)
            }
        };
        self.events.push(self.now + gap.max(Duration::from_nanos(1)), Happening::Background { flow: number });
    }

    fn send_background(&mut self, number: u32) {
        let state = &mut self.flows.0[number as usize];
        state.stats.sent += 1;
        state.sent_at.push_back(self.now);
        if state.sent_at.len() > REMEMBERED {
            state.sent_at.pop_front();
            state.oldest += 1;
        }
        let load = Load::Background { flow: number, number: state.next };
        state.next += 1;
        let Background { from, to, size, priority, .. } = state.flow;
        self.send_plain(from, to, size, priority, number, load);
    }

    fn send_plain(&mut self, from: HostId, to: HostId, wire: u32, priority: u8, number: u32, load: Load) {
        let flow = Flow {
            src: self.address(from),
            dst: self.address(to),
            src_port: number as u16,
            traffic_class: priority << 5,
            hop_limit: 64,
            flow_label: 0,
        };
        let packet = Packet {
            buffer: Vec::new(),
            len: 0,
            sealed: false,
            flow,
            ident: 0,
            from,
            to,
            wire,
            damaged: false,
            flooded: false,
            ingress: 0,
            entry: None,
            load,
        };
        self.hosts[from.0].outbox.push_back(packet);
        self.wake(from);
    }

    /// A packet of a flow, or the acknowledgement of one, has come.
    pub(crate) fn background_arrived(&mut self, at: HostId, from: HostId, flow: u32, number: u32) {
        let now = self.now;
        let state = &mut self.flows.0[flow as usize];
        if at == state.flow.to && from == state.flow.from {
            state.stats.arrived += 1;
            if let Some(sent) =
                number.checked_sub(state.oldest).and_then(|index| state.sent_at.get(index as usize))
            {
                state.stats.delay += now.since(*sent);
            }
            if state.flow.pattern == Pattern::Window {
                let (from, to, priority) = (state.flow.to, state.flow.from, state.flow.priority);
                self.send_plain(from, to, ACK, priority, flow, Load::Background { flow, number });
            }
        } else {
            state.acknowledged(number, now);
            self.fill_window(flow);
        }
    }

    fn fill_window(&mut self, number: u32) {
        let state = &mut self.flows.0[number as usize];
        if state.in_flight() > 0 && self.now.since(state.window.heard) >= TIMEOUT {
            state.lost_all(self.now);
        }
        while self.now < self.flows.0[number as usize].flow.stop
            && f64::from(self.flows.0[number as usize].in_flight())
                < self.flows.0[number as usize].window.size
        {
            self.send_background(number);
        }
    }
}

impl State {
    fn in_flight(&self) -> u32 {
        self.next - self.window.acked - self.window.ahead
    }

    fn acknowledged(&mut self, number: u32, now: Time) {
        let window = &mut self.window;
        window.heard = now;
        window.size += if window.size < window.threshold { 1.0 } else { 1.0 / window.size };
        if number == window.acked {
            window.acked += 1 + std::mem::take(&mut window.ahead);
        } else if number > window.acked {
            window.ahead += 1;
        }
        // Three packets behind a gap tell that what was in it is lost; half the window is the answer.
        if window.ahead >= 3 {
            window.acked = (number + 1).min(self.next);
            window.ahead = 0;
            window.threshold = (window.size / 2.0).max(2.0);
            window.size = window.threshold;
            self.stats.losses += 1;
        }
    }

    fn lost_all(&mut self, now: Time) {
        let window = &mut self.window;
        window.threshold = (window.size / 2.0).max(2.0);
        (window.size, window.acked, window.ahead, window.heard) = (1.0, self.next, 0, now);
        self.stats.losses += 1;
    }
}

/// Time between packets of this size at this rate.
fn spacing(size: u32, rate: u64) -> Duration {
    let nanos = u128::from(size) * 8_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
