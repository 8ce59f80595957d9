//! One of the two NICs of a slow demo: a device and its link, without a clock of their own.

use std::time::Duration;

use ferroce_engine::{
    Cq, Device, DeviceConfig, Flow, Personality, Snapshot, Time, TraceEvent, Train, TxLimits, VerbsError, Wc,
};
use ferroce_net::{Burst, Link};

use super::tape::Tape;
use crate::demo::host::Host;

/// How often a link is asked for a packet that was sent to it, before the packet is taken for lost.
const LOOKS: u32 = 200;

/// A device on a link. Time is what the stage says it is.
pub(super) struct Actor {
    device: Device<Tape>,
    link: Box<dyn Link>,
    train: Train,
    pub(super) now: Time,
    /// When the line is free for the next packet.
    pub(super) line_free: Time,
    /// The device may have something to send.
    pub(super) may_send: bool,
    /// When the application looks at its completions next.
    pub(super) look_at: Option<Time>,
}

impl Actor {
    pub(super) fn new(
        name: &str,
        addr: std::net::IpAddr,
        link: Box<dyn Link>,
        seed: u64,
        nature: &Personality,
    ) -> Actor {
        let personality = Personality {
            window: 16,
            // However much is lost, something passes in the end.
            retry_7_is_infinite: true,
            // Numbers that a person can read and compare.
            numbering: Personality::predictable().numbering,
            ..nature.clone()
        };
        let config = DeviceConfig { personality, ..DeviceConfig::new(name, [addr]) };
        Actor {
            device: Device::new(config, seed, Tape::default()),
            link,
            train: Train::new(),
            now: Time::ZERO,
            line_free: Time::ZERO,
            may_send: false,
            look_at: None,
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.device.snapshot()
    }

    /// What happened in the device since the last time.
    pub(super) fn next_event(&mut self) -> Option<TraceEvent> {
        self.device.trace_mut().pop().map(|(_, event)| event)
    }

    pub(super) fn next_timeout(&self) -> Option<Time> {
        self.device.next_timeout()
    }

    pub(super) fn handle_timeout(&mut self) {
        let now = self.now;
        self.device.handle_timeout(now);
        self.may_send = true;
    }

    /// The next packet that the device wants to send.
    pub(super) fn take_packet(&mut self) -> Option<(Flow, Vec<u8>)> {
        let limits = TxLimits { ident_step: 0, ..TxLimits::SINGLE };
        let limits = TxLimits { src_port: self.link.tx_limits().src_port, ..limits };
        self.may_send = self.device.poll_transmit(self.now, &limits, &mut self.train);
        self.may_send.then(|| (*self.train.flow(), self.train.bytes().to_vec()))
    }

    /// Hands a packet to the network.
    pub(super) fn send(&mut self, flow: &Flow, bytes: &[u8]) {
        let burst = Burst::single(flow, bytes);
        while self.link.send(self.now, &[burst]) == 0 {
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    /// Takes what has arrived from the network. The packet that was just sent through the loopback interface
    /// is there at once; waiting is for a busy machine.
    pub(super) fn receive(&mut self) {
        for _ in 0..LOOKS {
            let (device, now) = (&mut self.device, self.now);
            let found = self.link.receive(now, &mut |meta, packet| device.handle_packet(now, meta, packet));
            if found > 0 {
                break;
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        self.may_send = true;
    }
}

impl Host for Actor {
    type Sink = Tape;

    fn with<R>(&mut self, act: impl FnOnce(&mut Device<Tape>, Time) -> R) -> R {
        self.may_send = true;
        act(&mut self.device, self.now)
    }

    fn poll(&mut self, cq: Cq, out: &mut [Wc]) -> Result<usize, VerbsError> {
        self.device.poll_cq(cq, out)
    }
}
