//! Pause frames, what they stop, and what stops them.

use std::time::Duration;

use ferroce_engine::Time;
use ferroce_recording::SwitchStep;

use crate::drops::DropCause;
use crate::events::Happening;
use crate::fabric::{Fabric, HostId};
use crate::log::Watch;
use crate::node::{Node, SwitchId};
use crate::pause::{PAUSE_FRAME, longest_pause};

impl<T: Watch> Fabric<T> {
    /// Makes a host's NIC a broken one, which asks its switch without end to pause a priority. A watchdog in
    /// the NIC, if it has one, ends that after a while.
    pub fn start_storm(&mut self, host: HostId, priority: u8, watchdog: Option<Duration>) {
        let never = Time::from_nanos(u64::MAX);
        self.hosts[host.0].storm_until = watchdog.map_or(never, |watchdog| self.now + watchdog);
        self.events.push(self.now, Happening::Storm { host: host.0 as u32, priority: priority & 7 });
    }

    pub(crate) fn storm_on(&mut self, id: HostId, priority: u8) {
        let host = &self.hosts[id.0];
        let Some(plug) = host.plug.filter(|_| self.now < host.storm_until) else { return };
        let at = self.now + plug.cable.link.latency;
        self.events
            .push(at, Happening::Pause { node: plug.peer.into(), port: plug.port, priority, on: true });
        let again = self.now + longest_pause(plug.cable.rate) / 2;
        self.events.push(again, Happening::Storm { host: id.0 as u32, priority });
    }

    /// Asks whoever is at the other end of a port to pause a priority, or to let it go on. The frame waits for
    /// the packet that the port is sending, not for those in its queues.
    pub(crate) fn send_pause(&mut self, switch: usize, port: u16, priority: u8, on: bool) {
        let sender = &self.switches[switch].ports[usize::from(port)];
        let plug = sender.plug;
        let mut serial = sender.serial;
        let departs = serial.occupy(self.now, PAUSE_FRAME as u32, Some(plug.cable.rate));
        let at = departs + plug.cable.link.latency;
        self.events.push(at, Happening::Pause { node: plug.peer.into(), port: plug.port, priority, on });
        let step = if on { SwitchStep::AsksToPause } else { SwitchStep::AsksToGoOn };
        self.write_down(switch, port, priority.into(), step, None);
        if on {
            let sender = &mut self.switches[switch].ports[usize::from(port)];
            sender.stats.pauses_sent += 1;
            let again = self.now + longest_pause(plug.cable.rate) / 2;
            self.events.push(again, Happening::Refresh { switch: switch as u32, port, priority });
        }
    }

    /// A pause frame came.
    pub(crate) fn pause(&mut self, node: Node, port: u16, priority: u8, on: bool) {
        let now = self.now;
        let (pauses, rate, watchdog) = match node {
            Node::Host(host) => {
                let host = &mut self.hosts[host.0];
                (&mut host.pauses, host.plug.map_or(1, |plug| plug.cable.rate), None)
            }
            Node::Switch(SwitchId(index)) => {
                let switch = &mut self.switches[index];
                let at = &mut switch.ports[usize::from(port)];
                at.stats.pauses_received += u64::from(on);
                (&mut at.pauses, at.plug.cable.rate, switch.config.watchdog)
            }
        };
        if !on {
            return self.end_pause(node, port, priority);
        }
        let until = now + longest_pause(rate);
        let begins = !pauses.is_paused(priority.into());
        pauses.pause(priority.into(), now, until);
        self.events.push(until, Happening::PauseOver { node: node.into(), port, priority });
        if let (true, Some(watchdog), Node::Switch(SwitchId(index))) = (begins, watchdog, node) {
            let switch = index as u32;
            self.events.push(now + watchdog, Happening::Watchdog { switch, port, priority });
        }
        if let (true, Node::Switch(SwitchId(index))) = (begins, node) {
            self.write_down(index, port, priority.into(), SwitchStep::Pauses, None);
        }
        self.tell_device(node);
    }

    pub(crate) fn pause_over(&mut self, node: Node, port: u16, priority: u8) {
        let pauses = match node {
            Node::Host(host) => &self.hosts[host.0].pauses,
            Node::Switch(switch) => &self.switches[switch.0].ports[usize::from(port)].pauses,
        };
        if pauses.is_over(priority.into(), self.now) {
            self.end_pause(node, port, priority);
        }
    }

    fn end_pause(&mut self, node: Node, port: u16, priority: u8) {
        match node {
            Node::Host(host) => {
                self.hosts[host.0].pauses.resume(priority.into(), self.now);
                self.tell_device(node);
                self.wake(host);
            }
            Node::Switch(switch) => {
                let at = &mut self.switches[switch.0].ports[usize::from(port)];
                let was_paused = at.pauses.resume(priority.into(), self.now);
                at.dropping &= !(1 << priority);
                if was_paused {
                    self.write_down(switch.0, port, priority.into(), SwitchStep::GoesOn, None);
                }
                self.send_on(switch.0, port);
            }
        }
    }

    fn tell_device(&mut self, node: Node) {
        if let Some(host) = Self::is_host(node) {
            let host = &mut self.hosts[host.0];
            host.device.set_paused(host.pauses.dscps());
        }
    }

    /// A queue that was paused for as long as the watchdog waits loses its packets.
    pub(crate) fn look_at_watchdog(&mut self, switch: usize, port: u16, priority: u8) {
        let at = &mut self.switches[switch];
        let Some(watchdog) = at.config.watchdog else { return };
        let at = &mut at.ports[usize::from(port)];
        let stuck = at.pauses.since(priority.into()).is_some_and(|since| self.now.since(since) >= watchdog);
        if stuck {
            at.dropping |= 1 << priority;
            self.empty_port(switch, port, 1 << priority, DropCause::Watchdog);
        }
    }
}
