//! Hosts send and receive.

use ferroce_engine::{Flow, Time, Train};

use crate::crossing::Crossing;
use crate::drops::DropCause;
use crate::events::Happening;
use crate::fabric::{Fabric, HostId};
use crate::link::Direction;
use crate::log::{Arrival, Entry, Sent, Watch, What};
use crate::node::{Node, Plug};
use crate::packets::{Load, Packet};
use crate::port::on_the_wire;

impl<T: Watch> Fabric<T> {
    /// A host may have something to send or to tell.
    pub(crate) fn wake(&mut self, id: HostId) {
        if !std::mem::replace(&mut self.hosts[id.0].awake, true) {
            self.awake.push(id);
        }
    }

    /// Lets every device that was touched send, as far as its port is free, and tell.
    pub(crate) fn pump(&mut self) {
        let mut awake = std::mem::take(&mut self.awake);
        awake.sort_unstable();
        for id in awake.drain(..) {
            self.hosts[id.0].awake = false;
            if !self.hosts[id.0].dead {
                self.pump_host(id);
            }
        }
        // Nobody wakes while others are pumped; this keeps the memory of the list.
        self.awake = awake;
    }

    fn pump_host(&mut self, id: HostId) {
        let mut train = std::mem::take(&mut self.train);
        loop {
            let host = &mut self.hosts[id.0];
            if host.serial.busy_until > self.now {
                self.look_again(id);
                break;
            }
            if let Some(packet) = host.next_background() {
                self.carry(id, packet);
                continue;
            }
            let limits = host.limits(self.recording);
            if !host.device.poll_transmit(self.now, &limits, &mut train) {
                break;
            }
            host.ident = host.ident.wrapping_add(train.len() as u16);
            self.drain_trace(id);
            self.carry_train(id, limits.first_ident, &mut train);
        }
        self.train = train;
        let host = &mut self.hosts[id.0];
        while let Some(event) = host.device.poll_event() {
            host.events.push(event);
        }
        if !host.events.is_empty() {
            self.told.push(id);
        }
        self.arm(id);
        self.drain_trace(id);
    }

    /// Sends the packets of a train on their ways.
    fn carry_train(&mut self, id: HostId, first_ident: u16, train: &mut Train) {
        let flow = *train.flow();
        if flow.dst.is_multicast() {
            for (index, bytes) in train.packets().enumerate() {
                let ident = first_ident.wrapping_add(index as u16);
                self.carry_to_members(id, flow, ident, bytes, train.is_sealed());
            }
            return;
        }
        let to = self.stations.get(&flow.dst).copied();
        if train.len() == 1 {
            // It travels in the memory that it was made in.
            let mut buffer = self.packets.spare();
            let len = train.exchange(&mut buffer);
            return self.carry(id, packet(id, to, flow, first_ident, (buffer, len), train.is_sealed()));
        }
        for (index, bytes) in train.packets().enumerate() {
            let buffer = (self.packets.buffer(bytes), bytes.len());
            let ident = first_ident.wrapping_add(index as u16);
            self.carry(id, packet(id, to, flow, ident, buffer, train.is_sealed()));
        }
    }

    /// Sees that the host is looked at when its port is free.
    fn look_again(&mut self, id: HostId) {
        let host = &mut self.hosts[id.0];
        if !std::mem::replace(&mut host.woken, true) {
            let free = host.serial.busy_until;
            self.events.push(free, Happening::HostFree { host: id.0 as u32 });
        }
    }

    /// Sees that the device's deadline is not missed.
    fn arm(&mut self, id: HostId) {
        let host = &mut self.hosts[id.0];
        if let Some(deadline) = host.device.next_timeout()
            && host.timer.is_none_or(|timer| deadline < timer)
        {
            host.timer = Some(deadline);
            self.events.push(deadline.max(self.now), Happening::Timer { host: id.0 as u32 });
        }
    }

    /// A packet to a multicast group becomes one to each member, which all leave through the sender's port; the
    /// sender's own, if it is a member, included.
    fn carry_to_members(&mut self, from: HostId, flow: Flow, ident: u16, bytes: &[u8], sealed: bool) {
        let is_member = |id: &HostId| {
            let mut groups = self.hosts[id.0].device.mcast_groups();
            groups.any(|(group, _)| group == flow.dst)
        };
        let members: Vec<HostId> = self.hosts().filter(is_member).collect();
        for to in members {
            let buffer = (self.packets.buffer(bytes), bytes.len());
            self.carry(from, packet(from, Some(to), flow, ident, buffer, sealed));
        }
    }

    /// Sends a packet on its way, or not.
    pub(crate) fn carry(&mut self, from: HostId, packet: Packet) {
        self.carried.sent += 1;
        let host = &mut self.hosts[from.0];
        let departs = host.occupy(self.now, packet.wire);
        let known = (packet.to.0 < self.hosts.len()).then_some(packet.to);
        let crossing = known.map_or_else(Crossing::default, |to| {
            let scripted = match packet.load {
                Load::Roce => self.script.fate(from, Some(to), packet.ident, packet.bytes()),
                Load::Background { .. } => None,
            };
            let (link, last) = self.way_out(from, to);
            let mut last_arrival = last;
            let crossing = Crossing::roll(&link, &mut last_arrival, departs, scripted, &mut self.dice);
            self.set_last(from, to, last_arrival);
            crossing
        });
        let number = self.packets.insert(packet);
        self.launch(from, number, crossing);
    }

    /// The link by which packets leave a host, and when the last one arrives.
    fn way_out(&mut self, from: HostId, to: HostId) -> (crate::link::Link, Time) {
        if let Some(plug) = &self.hosts[from.0].plug {
            return (plug.cable.link, plug.last);
        }
        let link = self.link;
        let fresh = || Direction { link, last: Time::ZERO };
        let direction = self.directions.entry((from, to)).or_insert_with(fresh);
        (direction.link, direction.last)
    }

    fn set_last(&mut self, from: HostId, to: HostId, last: Time) {
        if let Some(plug) = &mut self.hosts[from.0].plug {
            plug.last = last;
        } else if let Some(direction) = self.directions.get_mut(&(from, to)) {
            direction.last = last;
        }
    }

    /// Puts the copies of a packet that reach the other end of the first link in the queue.
    fn launch(&mut self, from: HostId, number: u32, crossing: Crossing) {
        let plug = self.hosts[from.0].plug;
        let count = crossing.arrivals().count() as u64;
        self.carried.lost += u64::from(count == 0);
        self.carried.repeated += count.saturating_sub(1);
        self.carried.damaged += u64::from(crossing.damaged);
        self.note(from, number, crossing, plug.is_some());
        let packet = self.packets.get_mut(number);
        if crossing.damaged {
            packet.damage(&mut self.dice);
        }
        if crossing.marked {
            packet.flow.traffic_class |= 3;
            self.carried.marked += 1;
        }
        let mut arrivals = crossing.arrivals();
        let first = arrivals.next();
        if let Some(second) = arrivals.next() {
            let copy = self.packets.copy(number);
            self.send_into(plug, second, copy);
        }
        match first {
            Some(first) => self.send_into(plug, first, number),
            None => self.packets.remove(number),
        }
    }

    fn send_into(&mut self, plug: Option<Plug>, at: Time, number: u32) {
        match plug {
            Some(plug) => self.send_along(&plug, at, number),
            None => self.hand_to(self.packets.get(number).to, at, number),
        }
    }

    /// A packet comes to the other end of a cable at `at`.
    pub(crate) fn send_along(&mut self, plug: &Plug, at: Time, packet: u32) {
        match plug.peer {
            Node::Host(host) => self.hand_to(host, at, packet),
            Node::Switch(switch) => {
                let switch = switch.0 as u32;
                self.events.push(at, Happening::Arrive { switch, port: plug.port, packet });
            }
        }
    }

    fn hand_to(&mut self, host: HostId, at: Time, packet: u32) {
        let at = self.hosts[host.0].handled_at(at);
        self.events.push(at, Happening::Deliver { host: host.0 as u32, packet });
    }

    /// Adds a packet to the fingerprint, and to the log if there is one.
    fn note(&mut self, from: HostId, number: u32, crossing: Crossing, on_cable: bool) {
        let packet = self.packets.get_mut(number);
        self.digest.number(self.now.nanos());
        let count = crossing.arrivals().count() as u64;
        self.digest.number((from.0 as u64) << 32 | u64::from(packet.ident) << 16 | count);
        self.digest.packet(packet.bytes());
        for at in crossing.arrivals() {
            self.digest.number(at.nanos() << 1 | u64::from(crossing.damaged));
        }
        if !self.recording || packet.load != Load::Roce {
            return;
        }
        let to = (packet.to.0 < self.hosts.len()).then_some(packet.to);
        let arrival = |at| Arrival {
            at: to.map_or(at, |to| self.hosts[to.0].handled_at(at)),
            damaged: crossing.damaged,
        };
        let arrivals = if on_cable { Vec::new() } else { crossing.arrivals().map(arrival).collect() };
        let (flow, ident, bytes) = (packet.flow, packet.ident, packet.bytes().into());
        let sent = Sent { to, flow, ident, bytes, arrivals, under_way: false };
        let entry = self.log.add(Entry { at: self.now, host: from, what: What::Packet(sent) });
        packet.entry = on_cable.then_some(entry);
    }

    /// A packet is handed to a host.
    pub(crate) fn deliver(&mut self, id: HostId, number: u32) {
        let packet = self.packets.get(number);
        self.digest.number(self.now.nanos() << 8 | u64::from(packet.flow.traffic_class));
        if self.hosts[id.0].dead {
            return self.lose_at_host(id, number, DropCause::HostDown);
        }
        if packet.flooded && id != packet.to {
            return self.lose_at_host(id, number, DropCause::NotForMe);
        }
        self.carried.delivered += 1;
        if let Some(entry) = packet.entry
            && let Some(sent) = self.log.sent_mut(entry)
        {
            sent.arrivals.push(Arrival { at: self.now, damaged: packet.damaged });
        }
        let (load, from, damaged) = (packet.load, packet.from, packet.damaged);
        if load == Load::Roce {
            self.hosts[id.0].device.handle_packet(self.now, &packet.meta(), packet.bytes());
        }
        self.packets.remove(number);
        match load {
            Load::Roce => {
                self.wake(id);
                self.drain_trace(id);
            }
            Load::Background { .. } if damaged => {}
            Load::Background { flow, number } => self.background_arrived(id, from, flow, number),
        }
    }

    pub(crate) fn drain_trace(&mut self, id: HostId) {
        if !T::ENABLED {
            return;
        }
        for (at, event) in self.hosts[id.0].device.trace_mut().take() {
            self.log.add(Entry { at, host: id, what: What::Device(event) });
        }
    }
}

/// A packet of a device, in a buffer of which so many bytes count.
fn packet(
    from: HostId,
    to: Option<HostId>,
    flow: Flow,
    ident: u16,
    (buffer, len): (Vec<u8>, usize),
    sealed: bool,
) -> Packet {
    Packet {
        buffer,
        len,
        flow,
        ident,
        from,
        to: to.unwrap_or(HostId(usize::MAX)),
        sealed,
        wire: on_the_wire(len),
        damaged: false,
        flooded: false,
        ingress: 0,
        entry: None,
        load: Load::Roce,
    }
}
