//! Packets on their way through switches.

use std::time::Duration;

use ferroce_engine::Time;
use ferroce_recording::{PacketName, SwitchStep};

use crate::crossing::Crossing;
use crate::dice::Chance;
use crate::drops::{DropCause, DropPlace};
use crate::events::Happening;
use crate::fabric::{Fabric, HostId};
use crate::log::{Entry, Incident, Watch, What};
use crate::node::{Cable, Node, Plug, SwitchId};
use crate::packets::Packet;
use crate::route;
use crate::switch::{Admission, PRIORITIES, PortStats, Switch, SwitchConfig, SwitchPort};

impl<T: Watch> Fabric<T> {
    // --- building ------------------------------------------------------------------------------------------------

    /// Adds a switch, without ports.
    pub fn add_switch(&mut self, config: SwitchConfig) -> SwitchId {
        let salt = self.dice.any();
        self.switches.push(Switch::new(config, salt));
        SwitchId(self.switches.len() - 1)
    }

    /// Joins two nodes, at least one of which is a switch; a host takes one cable only. Ports are numbered in
    /// the order in which cables are added.
    ///
    /// # Panics
    /// When two hosts are joined, or a host has a cable already.
    pub fn add_cable(&mut self, ends: [Node; 2], cable: Cable) {
        let ports = ends.map(|node| match node {
            Node::Host(_) => 0,
            Node::Switch(switch) => self.switches[switch.0].ports.len() as u16,
        });
        for (me, other) in [(0, 1), (1, 0)] {
            let plug = Plug { cable, peer: ends[other], port: ports[other], up: true, last: Time::ZERO };
            match ends[me] {
                Node::Host(host) => {
                    assert!(matches!(ends[other], Node::Switch(_)), "two hosts need no cable");
                    let old = self.hosts[host.0].plug.replace(plug);
                    assert!(old.is_none(), "a host has one cable");
                }
                Node::Switch(switch) => {
                    let switch = &mut self.switches[switch.0];
                    switch.buffer.add_port(&switch.config);
                    switch.ports.push(SwitchPort::new(plug));
                }
            }
        }
        self.routes_stale = true;
    }

    // --- looking ---------------------------------------------------------------------------------------------------

    /// All switches.
    pub fn switches(&self) -> impl Iterator<Item = SwitchId> + use<T> {
        (0..self.switches.len()).map(SwitchId)
    }

    /// How a switch is configured.
    pub fn switch(&self, id: SwitchId) -> &SwitchConfig {
        &self.switches[id.0].config
    }

    /// What the ports of a switch did, in the order of the ports, with what they are joined to.
    pub fn ports(&self, id: SwitchId) -> impl Iterator<Item = (Node, PortStats)> {
        self.switches[id.0].ports.iter().map(|port| (port.plug.peer, port.stats))
    }

    /// Bytes in the queue of a port, all priorities together.
    pub fn queued(&self, id: SwitchId, port: usize) -> u64 {
        self.switches[id.0].ports[port].queued.iter().sum()
    }

    /// Time that a port of a switch, or a host's port, was asked to pause by its peer, summed over priorities.
    pub fn paused_for(&self, node: Node, port: usize) -> Duration {
        match node {
            Node::Host(host) => self.hosts[host.0].pauses.total(self.now),
            Node::Switch(switch) => self.switches[switch.0].ports[port].pauses.total(self.now),
        }
    }

    /// Whether a priority of a switch's port is paused now, and since when.
    pub fn paused_since(&self, id: SwitchId, port: usize, priority: usize) -> Option<Time> {
        self.switches[id.0].ports[port].pauses.since(priority)
    }

    /// Bytes that a switch holds.
    pub fn stored(&self, id: SwitchId) -> u64 {
        self.switches[id.0].buffer.stored()
    }

    // --- failures --------------------------------------------------------------------------------------------------

    /// Cuts or mends the cables between two nodes. What waits to go over a cut cable is lost; ways are found
    /// anew at once.
    pub fn set_cable(&mut self, ends: [Node; 2], up: bool) {
        for (me, other) in [(0, 1), (1, 0)] {
            match ends[me] {
                Node::Host(host) => {
                    if let Some(plug) = &mut self.hosts[host.0].plug {
                        plug.up = up;
                    }
                }
                Node::Switch(switch) => {
                    for port in 0..self.switches[switch.0].ports.len() {
                        let plug = &mut self.switches[switch.0].ports[port].plug;
                        if plug.peer == ends[other] {
                            plug.up = up;
                            self.empty_port(switch.0, port as u16, 0xff, DropCause::Down);
                        }
                    }
                }
            }
        }
        self.routes_stale = true;
    }

    /// A switch fails, or comes back. What it holds is lost.
    pub fn set_switch(&mut self, id: SwitchId, up: bool) {
        self.switches[id.0].up = up;
        for port in 0..self.switches[id.0].ports.len() {
            self.empty_port(id.0, port as u16, 0xff, DropCause::Down);
        }
        self.routes_stale = true;
    }

    // --- a packet comes --------------------------------------------------------------------------------------------

    pub(crate) fn arrive(&mut self, switch: usize, port: u16, number: u32) {
        if std::mem::take(&mut self.routes_stale) {
            route::compute(&mut self.switches);
        }
        let now = self.now;
        let at = &self.switches[switch];
        let peer = at.ports[usize::from(port)].plug.peer;
        let up = at.up && at.ports[usize::from(port)].plug.up;
        let packet = self.packets.get_mut(number);
        packet.ingress = port;
        let to = packet.to;
        if let Some(host) = Self::is_host(peer) {
            self.hosts[host.0].heard = now;
        }
        if !up {
            return self.drop_packet(switch, port, number, DropCause::Down);
        }
        match self.hosts[to.0].plug {
            Some(plug) if plug.peer == Node::Switch(SwitchId(switch)) => {
                self.reach_station(switch, plug.port, number, to);
            }
            // A frame for the station's own address, not for this router's.
            _ if self.packets.get(number).flooded => {
                self.drop_packet(switch, port, number, DropCause::NotForMe);
            }
            plug => {
                let edge = plug.and_then(|plug| Self::is_switch(plug.peer));
                let flow = flow_hash(self.packets.get(number));
                let at = &self.switches[switch];
                match edge.and_then(|edge| at.choose(&at.routes[edge.0], flow)) {
                    Some(out) => self.enqueue(switch, out, number),
                    None => self.drop_packet(switch, port, number, DropCause::NoRoute),
                }
            }
        }
    }

    fn is_switch(node: Node) -> Option<SwitchId> {
        if let Node::Switch(switch) = node { Some(switch) } else { None }
    }

    /// To a host of this switch's, if it knows that and where it is.
    fn reach_station(&mut self, switch: usize, out: u16, number: u32, host: HostId) {
        let silent = self.now.since(self.hosts[host.0].heard);
        let config = &self.switches[switch].config;
        let (ingress, lossless) = {
            let packet = self.packets.get(number);
            (packet.ingress, config.lossless >> packet.priority() & 1 == 1)
        };
        if config.arp_timeout.is_some_and(|timeout| silent > timeout) {
            return self.drop_packet(switch, ingress, number, DropCause::UnknownStation);
        }
        if config.mac_timeout.is_none_or(|timeout| silent <= timeout) {
            return self.enqueue(switch, out, number);
        }
        if lossless && config.drop_unknown {
            return self.drop_packet(switch, ingress, number, DropCause::UnknownStation);
        }
        self.packets.get_mut(number).flooded = true;
        let outs: Vec<u16> =
            (0..self.switches[switch].ports.len() as u16).filter(|out| *out != ingress).collect();
        for out in outs {
            let copy = self.packets.copy(number);
            self.carried.repeated += 1;
            self.enqueue(switch, out, copy);
        }
        // One of the copies stands for the packet itself.
        self.carried.repeated -= 1;
        self.packets.remove(number);
    }

    /// Puts a packet into the queue of a port, if there is room.
    fn enqueue(&mut self, switch: usize, out: u16, number: u32) {
        let packet = self.packets.get(number);
        let (priority, ingress, len) = (packet.priority(), packet.ingress, u64::from(packet.wire));
        let Switch { config, ports, buffer, .. } = &mut self.switches[switch];
        let port = &mut ports[usize::from(out)];
        if port.dropping >> priority & 1 == 1 {
            return self.drop_packet(switch, out, number, DropCause::Watchdog);
        }
        if !port.plug.up {
            return self.drop_packet(switch, out, number, DropCause::Down);
        }
        let queued = port.queued[priority];
        match buffer.admit(config, ingress.into(), priority, len, queued) {
            Admission::Full => return self.drop_packet(switch, out, number, DropCause::QueueFull),
            Admission::HeadroomFull => {
                return self.drop_packet(switch, ingress, number, DropCause::HeadroomFull);
            }
            Admission::Stored => {}
            Admission::StoredAndPause => self.send_pause(switch, ingress, priority as u8, true),
        }
        self.mark(switch, out, number, queued);
        self.switches[switch].ports[usize::from(out)].push(number, priority, len);
        self.report(switch, out, number, SwitchStep::Queued);
        self.send_on(switch, out);
    }

    /// Marks a packet, by chance, if its sender understands marks.
    fn mark(&mut self, switch: usize, out: u16, number: u32, queued: u64) {
        let Switch { config, ports, .. } = &mut self.switches[switch];
        let Some(red) = config.red else { return };
        let packet = self.packets.get_mut(number);
        let capable = packet.flow.traffic_class & 3 != 0;
        let chance = red.chance(queued);
        let wanted = capable && chance > 0 && config.marked >> packet.priority() & 1 == 1;
        if wanted && self.dice.happens(Chance::millionths(chance)) {
            packet.flow.traffic_class |= 3;
            ports[usize::from(out)].stats.marked += 1;
            self.carried.marked += 1;
            self.report(switch, out, number, SwitchStep::Marked);
        }
    }

    // --- a packet goes ---------------------------------------------------------------------------------------------

    /// Sends the next packet of a port that is free.
    pub(crate) fn send_on(&mut self, switch: usize, out: u16) {
        let now = self.now;
        let Switch { config, ports, buffer, .. } = &mut self.switches[switch];
        let port = &mut ports[usize::from(out)];
        if port.is_busy(now) {
            return self.look_at_port_again(switch, out);
        }
        let Some((number, priority)) = port.pop(config.strict) else { return };
        let packet = self.packets.get(number);
        let (len, ingress) = (u64::from(packet.wire), packet.ingress);
        port.queued[priority] -= len;
        port.stats.sent += 1;
        port.stats.sent_bytes += len;
        let departs = port.serial.occupy(now, packet.wire, Some(port.plug.cable.rate));
        let plug = &mut port.plug;
        let crossing = Crossing::roll(&plug.cable.link, &mut plug.last, departs, None, &mut self.dice);
        let plug = *plug;
        if buffer.release(config, ingress.into(), priority, len) {
            self.send_pause(switch, ingress, priority as u8, false);
        }
        if self.recording {
            let packet = self.packets.get(number);
            self.write_down(switch, out, priority, SwitchStep::Sent, Some((packet.from, packet.name())));
        }
        self.cross(plug, crossing, number);
        self.look_at_port_again(switch, out);
    }

    /// Sees that a port with something in its queues is looked at when it is free.
    fn look_at_port_again(&mut self, switch: usize, out: u16) {
        let port = &mut self.switches[switch].ports[usize::from(out)];
        let has_more = port.queued.iter().any(|queued| *queued > 0);
        if has_more && !std::mem::replace(&mut port.woken, true) {
            self.events.push(port.serial.busy_until, Happening::Free { switch: switch as u32, port: out });
        }
    }

    fn cross(&mut self, plug: Plug, crossing: Crossing, number: u32) {
        if crossing.damaged {
            self.packets.get_mut(number).damage(&mut self.dice);
            self.carried.damaged += 1;
        }
        let mut arrivals = crossing.arrivals();
        let Some(first) = arrivals.next() else {
            self.carried.lost += 1;
            return self.packets.remove(number);
        };
        if let Some(second) = arrivals.next() {
            let copy = self.packets.copy(number);
            self.carried.repeated += 1;
            self.send_along(&plug, second, copy);
        }
        self.send_along(&plug, first, number);
    }

    // --- a packet is lost --------------------------------------------------------------------------------------------

    fn drop_packet(&mut self, switch: usize, port: u16, number: u32, cause: DropCause) {
        self.report(switch, port, number, SwitchStep::Dropped(cause));
        self.lose(Node::Switch(SwitchId(switch)), port, number, cause);
    }

    pub(crate) fn lose_at_host(&mut self, host: HostId, number: u32, cause: DropCause) {
        self.lose(Node::Host(host), 0, number, cause);
    }

    fn lose(&mut self, node: Node, port: u16, number: u32, cause: DropCause) {
        self.carried.lost += 1;
        let priority = self.packets.get(number).priority() as u8;
        *self.drops.entry(DropPlace { node, port, priority, cause }).or_default() += 1;
        self.packets.remove(number);
    }

    /// Empties queues of a port without sending.
    pub(crate) fn empty_port(&mut self, switch: usize, out: u16, priorities: u8, cause: DropCause) {
        for priority in (0..PRIORITIES).filter(|priority| priorities >> priority & 1 == 1) {
            while let Some(number) =
                self.switches[switch].ports[usize::from(out)].queues[priority].pop_front()
            {
                let packet = self.packets.get(number);
                let (ingress, len) = (packet.ingress, u64::from(packet.wire));
                let Switch { config, ports, buffer, .. } = &mut self.switches[switch];
                ports[usize::from(out)].queued[priority] -= len;
                if buffer.release(config, ingress.into(), priority, len) {
                    self.send_pause(switch, ingress, priority as u8, false);
                }
                self.drop_packet(switch, out, number, cause);
            }
        }
    }

    // --- what is written down ------------------------------------------------------------------------------------

    /// A switch did something with a packet that is under way.
    fn report(&mut self, switch: usize, port: u16, number: u32, step: SwitchStep) {
        if self.recording {
            let packet = self.packets.get(number);
            let (from, priority, name) = (packet.from, packet.priority(), packet.name());
            self.write_down(switch, port, priority, step, Some((from, name)));
        }
    }

    /// A switch did something, with a packet of this host's if with one.
    pub(crate) fn write_down(
        &mut self,
        switch: usize,
        port: u16,
        priority: usize,
        step: SwitchStep,
        packet: Option<(HostId, Option<PacketName>)>,
    ) {
        if !self.recording {
            return;
        }
        let queued = self.switches[switch].ports[usize::from(port)].queued[priority];
        let (host, packet) = packet.unwrap_or((HostId(0), None));
        let (switch, priority) = (SwitchId(switch), priority as u8);
        let incident = Incident { switch, port, priority, step, queued, packet };
        self.log.add(Entry { at: self.now, host, what: What::Switch(incident) });
    }
}

/// What keeps the packets of a flow on one way: addresses and UDP source port.
fn flow_hash(packet: &Packet) -> u64 {
    let (from, to) = (packet.from.0 as u64, packet.to.0 as u64);
    (from << 40 ^ to << 16 ^ u64::from(packet.flow.src_port)).wrapping_mul(0xa076_1d64_78bd_642f)
}
