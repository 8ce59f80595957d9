//! The event loop.

use std::time::Duration;

use ferroce_engine::Time;

use crate::events::Happening;
use crate::fabric::{Fabric, HostId};
use crate::log::Watch;
use crate::node::Node;

impl<T: Watch> Fabric<T> {
    /// When something happens next, if nobody acts.
    pub fn next_moment(&self) -> Option<Time> {
        self.events.next().map(|time| time.max(self.now))
    }

    /// Goes to the next moment at which something happens, and lets it happen: packets arrive in the order in
    /// which they were sent, then timers expire, then devices send. False when nothing is left to happen.
    pub fn step(&mut self) -> bool {
        let Some(next) = self.next_moment() else { return false };
        self.now = next;
        while let Some(what) = self.events.pop_until(next) {
            self.happen(what);
        }
        self.pump();
        true
    }

    /// Steps until nothing is left to happen; false if that is not so after `most` steps.
    #[must_use = "a fabric that does not come to rest has a story to tell"]
    pub fn run_until_idle(&mut self, most: u64) -> bool {
        (0..most).any(|_| !self.step())
    }

    /// Lets everything up to `end` happen, and makes it `end`.
    pub fn run_until(&mut self, end: Time) {
        while self.next_moment().is_some_and(|next| next <= end) {
            self.step();
        }
        self.now = self.now.max(end);
    }

    /// Lets everything within `span` happen.
    pub fn run_for(&mut self, span: Duration) {
        self.run_until(self.now + span);
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Deliver { host, packet } => self.deliver(HostId(host as usize), packet),
            Happening::Arrive { switch, port, packet } => self.arrive(switch as usize, port, packet),
            Happening::Free { switch, port } => {
                self.switches[switch as usize].ports[usize::from(port)].woken = false;
                self.send_on(switch as usize, port);
            }
            Happening::HostFree { host } => {
                self.hosts[host as usize].woken = false;
                self.wake(HostId(host as usize));
            }
            Happening::Pause { node, port, priority, on } => self.pause(node.into(), port, priority, on),
            Happening::PauseOver { node, port, priority } => self.pause_over(node.into(), port, priority),
            Happening::Refresh { switch, port, priority } => {
                let pausing = self.switches[switch as usize].buffer.is_pausing(port.into(), priority.into());
                if pausing {
                    self.send_pause(switch as usize, port, priority, true);
                }
            }
            Happening::Watchdog { switch, port, priority } => {
                self.look_at_watchdog(switch as usize, port, priority);
            }
            Happening::Storm { host, priority } => self.storm_on(HostId(host as usize), priority),
            Happening::Alarm { token } => self.alarms.push(token),
            Happening::Background { flow } => self.background(flow),
            Happening::Timer { host } => self.expire(HostId(host as usize)),
        }
    }

    fn expire(&mut self, id: HostId) {
        let now = self.now;
        let host = &mut self.hosts[id.0];
        if host.timer.is_some_and(|timer| timer <= now) {
            host.timer = None;
            if !host.dead {
                host.device.handle_timeout(now);
                self.wake(id);
            }
        }
    }

    /// The owner of a port that a frame came to.
    pub(crate) fn is_host(node: Node) -> Option<HostId> {
        if let Node::Host(host) = node { Some(host) } else { None }
    }
}
