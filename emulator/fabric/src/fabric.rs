//! The event loop: one queue, ordered by time and then by age.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use ferroce_engine::{
    Cq, DONT_FRAGMENT, Device, DeviceConfig, Event, Flow, Ident, RxMeta, Time, TraceEvent, Train, Wc,
};

use crate::dice::Dice;
use crate::link::{Direction, Link};
use crate::log::{Arrival, Digest, Entry, Log, Sent, Watch, What};
use crate::port::{Host, Port};
use crate::rule::{Fate, Rule, Script};

/// A host of a fabric, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub usize);

/// Devices, the links between them, and a clock.
///
/// `T` watches the devices: by default everything they do goes to the [`log`](Fabric::log). With
/// [`NoTrace`](ferroce_engine::NoTrace) nothing is kept but counts.
///
/// Every method that acts on a device lets it act on the world at once; packets arrive, and timers expire, only
/// while [`step`](Fabric::step) or one of the `run` methods lets time go on.
pub struct Fabric<T = Vec<(Time, TraceEvent)>> {
    now: Time,
    dice: Dice,
    hosts: Vec<Host<T>>,
    routes: BTreeMap<IpAddr, HostId>,
    flights: BTreeMap<(Time, u64), Flight>,
    /// Flights so far.
    age: u64,
    link: Link,
    directions: BTreeMap<(HostId, HostId), Direction>,
    script: Script,
    recording: bool,
    log: Log,
    digest: Digest,
    carried: Carried,
    train: Train,
}

/// A packet under way.
struct Flight {
    to: HostId,
    meta: RxMeta,
    bytes: Arc<[u8]>,
}

/// What became of packets. `sent + repeated == lost + delivered + under_way` at any time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Packets that devices handed over.
    pub sent: u64,
    /// Copies that the fabric added.
    pub repeated: u64,
    /// Lost, or addressed to nobody.
    pub lost: u64,
    /// Handed to a device, damaged ones included.
    pub delivered: u64,
    /// Damaged on the way.
    pub damaged: u64,
    /// Neither lost nor delivered yet.
    pub under_way: u64,
}

impl<T: Watch> Fabric<T> {
    /// An empty fabric. `seed` decides all that is random: faults, delays, and the devices' own seeds.
    pub fn new(seed: u64) -> Fabric<T> {
        Fabric {
            now: Time::ZERO,
            dice: Dice::new(seed),
            hosts: Vec::new(),
            routes: BTreeMap::new(),
            flights: BTreeMap::new(),
            age: 0,
            link: Link::default(),
            directions: BTreeMap::new(),
            script: Script::default(),
            recording: T::ENABLED,
            log: Log::default(),
            digest: Digest::default(),
            carried: Carried::default(),
            train: Train::new(),
        }
    }

    // --- building ------------------------------------------------------------------------------------------------

    /// Adds a device with the next free address of 10.0.0.0/8: 10.0.0.1 for the first.
    pub fn add_host(&mut self, name: &str) -> HostId {
        let address = Ipv4Addr::from_bits(0x0a00_0001 + self.hosts.len() as u32);
        self.add_device(DeviceConfig::new(name, [address.into()]))
    }

    /// Adds a device. Packets to its addresses reach it.
    ///
    /// # Panics
    /// When it has no address, or one that another host has.
    pub fn add_device(&mut self, config: DeviceConfig) -> HostId {
        let host = HostId(self.hosts.len());
        assert!(!config.gids.is_empty(), "a host needs an address");
        for gid in &config.gids {
            assert_eq!(self.routes.insert(*gid, host), None, "two hosts have the address {gid}");
        }
        let addrs = config.gids.clone();
        let device = Device::new(config, self.dice.any(), T::default());
        self.hosts.push(Host {
            device,
            addrs,
            port: Port::default(),
            awake: false,
            busy_until: Time::ZERO,
            ident: self.dice.any() as u16,
            events: Vec::new(),
        });
        host
    }

    /// Changes how a host sends and receives.
    pub fn set_port(&mut self, host: HostId, port: Port) {
        self.hosts[host.0].port = port;
    }

    /// Makes this the link between all hosts, in both directions.
    pub fn set_links(&mut self, link: Link) {
        self.link = link;
        for direction in self.directions.values_mut() {
            direction.link = link;
        }
    }

    /// Changes one direction between two hosts.
    pub fn set_link(&mut self, from: HostId, to: HostId, link: Link) {
        self.directions.entry((from, to)).or_default().link = link;
    }

    /// Ends all faults of links. Packets already under way stay as they are; rules stay too.
    pub fn heal(&mut self) {
        self.link = self.link.healed();
        for direction in self.directions.values_mut() {
            direction.link = direction.link.healed();
        }
    }

    /// Adds a scripted fault. The first rule that applies to a packet decides.
    pub fn add_rule(&mut self, rule: Rule) {
        self.script.add(rule);
    }

    /// Removes all scripted faults.
    pub fn clear_rules(&mut self) {
        self.script.clear();
    }

    /// Whether packets go to the log. They do from the start when the devices are watched.
    pub fn record(&mut self, recording: bool) {
        self.recording = recording;
    }

    // --- looking ---------------------------------------------------------------------------------------------------

    /// The time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The first address of a host.
    pub fn address(&self, host: HostId) -> IpAddr {
        self.hosts[host.0].addrs[0]
    }

    /// A device, to look at.
    pub fn device(&self, host: HostId) -> &Device<T> {
        &self.hosts[host.0].device
    }

    /// All hosts.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> + use<T> {
        (0..self.hosts.len()).map(HostId)
    }

    /// What happened so far.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// A fingerprint of all packets so far: of their bytes, times and fates. Kept whether or not anything is
    /// recorded.
    pub fn digest(&self) -> u64 {
        self.digest.value()
    }

    /// What became of the packets so far.
    pub fn carried(&self) -> Carried {
        Carried { under_way: self.flights.len() as u64, ..self.carried }
    }

    // --- acting ----------------------------------------------------------------------------------------------------

    /// Calls verbs of a device, and sends what it has to send.
    pub fn with<R>(&mut self, host: HostId, act: impl FnOnce(&mut Device<T>, Time) -> R) -> R {
        let now = self.now;
        let result = act(&mut self.hosts[host.0].device, now);
        self.hosts[host.0].awake = true;
        self.pump();
        result
    }

    /// Takes all completions out of a queue.
    ///
    /// # Panics
    /// When there is no such queue.
    pub fn poll(&mut self, host: HostId, cq: Cq) -> Vec<Wc> {
        let mut all = Vec::new();
        let mut some = [Wc::default(); 16];
        loop {
            let count = self.hosts[host.0].device.poll_cq(cq, &mut some).expect("the queue exists");
            all.extend_from_slice(&some[..count]);
            if count < some.len() {
                return all;
            }
        }
    }

    /// Takes the events that a device raised.
    pub fn take_events(&mut self, host: HostId) -> Vec<Event> {
        std::mem::take(&mut self.hosts[host.0].events)
    }

    // --- time ------------------------------------------------------------------------------------------------------

    /// When something happens next, if nobody acts.
    pub fn next_moment(&self) -> Option<Time> {
        let flight = self.flights.first_key_value().map(|((time, _), _)| *time);
        let hosts = self.hosts.iter().flat_map(|host| {
            let free = host.awake.then_some(host.busy_until);
            [free, host.device.next_timeout()].into_iter().flatten()
        });
        hosts.chain(flight).min().map(|time| time.max(self.now))
    }

    /// Goes to the next moment at which something happens, and lets it happen: packets arrive in the order in
    /// which they were sent, then timers expire, then devices send. False when nothing is left to happen.
    pub fn step(&mut self) -> bool {
        let Some(next) = self.next_moment() else { return false };
        self.now = next;
        while let Some(entry) = self.flights.first_entry().filter(|entry| entry.key().0 <= next) {
            let flight = entry.remove();
            self.carried.delivered += 1;
            let host = &mut self.hosts[flight.to.0];
            host.device.handle_packet(next, &flight.meta, &flight.bytes);
            host.awake = true;
            self.drain_trace(flight.to);
        }
        for index in 0..self.hosts.len() {
            let host = &mut self.hosts[index];
            if host.device.next_timeout().is_some_and(|deadline| deadline <= next) {
                host.device.handle_timeout(next);
                host.awake = true;
            }
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

    // --- inside ----------------------------------------------------------------------------------------------------

    /// Lets every device that was touched send, as far as its port is free, and tell.
    fn pump(&mut self) {
        for index in 0..self.hosts.len() {
            if self.hosts[index].awake {
                self.pump_host(HostId(index));
            }
        }
    }

    fn pump_host(&mut self, id: HostId) {
        let mut train = std::mem::take(&mut self.train);
        loop {
            let host = &mut self.hosts[id.0];
            if host.busy_until > self.now {
                break;
            }
            let limits = host.limits();
            if !host.device.poll_transmit(self.now, &limits, &mut train) {
                host.awake = false;
                break;
            }
            host.ident = host.ident.wrapping_add(train.len() as u16);
            self.drain_trace(id);
            for (index, packet) in train.packets().enumerate() {
                let ident = limits.first_ident.wrapping_add(index as u16);
                let departs = self.hosts[id.0].occupy(self.now, packet.len());
                self.carry(id, departs, *train.flow(), ident, packet);
            }
        }
        self.train = train;
        let host = &mut self.hosts[id.0];
        while let Some(event) = host.device.poll_event() {
            host.events.push(event);
        }
        self.drain_trace(id);
    }

    /// Sends a packet on its way, or not.
    fn carry(&mut self, from: HostId, departs: Time, flow: Flow, ident: u16, packet: &[u8]) {
        self.carried.sent += 1;
        let to = self.routes.get(&flow.dst).copied();
        let arrivals = match to {
            Some(to) => self.launch((from, to), departs, flow, ident, packet),
            None => Vec::new(),
        };
        if arrivals.is_empty() {
            self.carried.lost += 1;
        }
        self.digest.number(self.now.nanos());
        self.digest.number((from.0 as u64) << 32 | u64::from(ident) << 16 | arrivals.len() as u64);
        self.digest.bytes(packet);
        for arrival in &arrivals {
            self.digest.number(arrival.at.nanos() << 1 | u64::from(arrival.damaged));
        }
        if self.recording {
            let sent = Sent { to, flow, ident, bytes: packet.into(), arrivals };
            self.log.entries.push(Entry { at: self.now, host: from, what: What::Packet(sent) });
        }
    }

    /// Rolls a packet's fate and puts its copies in the queue.
    fn launch(
        &mut self,
        (from, to): (HostId, HostId),
        departs: Time,
        flow: Flow,
        ident: u16,
        packet: &[u8],
    ) -> Vec<Arrival> {
        let link = self.link;
        let fresh = || Direction { link, last: Time::ZERO };
        let direction = self.directions.entry((from, to)).or_insert_with(fresh);
        let scripted = self.script.fate(from, Some(to), packet);
        let fate = scripted.unwrap_or_else(|| direction.link.fate(&mut self.dice));
        if fate == Fate::Drop {
            return Vec::new();
        }
        let arrives = departs + direction.link.transit(&mut self.dice);
        let in_place = arrives.max(direction.last);
        let mut times = vec![in_place];
        match fate {
            Fate::Delay(by) => times[0] = in_place + by,
            Fate::Duplicate(by) => times.push(in_place + by),
            Fate::Deliver | Fate::Drop | Fate::Corrupt => {}
        }
        if !matches!(fate, Fate::Delay(_)) {
            direction.last = in_place;
        }
        let damaged = fate == Fate::Corrupt;
        let bytes: Arc<[u8]> = if damaged { damage(packet, &mut self.dice) } else { packet.into() };
        self.carried.damaged += u64::from(damaged);
        self.carried.repeated += times.len() as u64 - 1;
        let ident = Ident::Known { ident, flags_fragment: DONT_FRAGMENT };
        let Flow { src, dst, src_port, traffic_class, .. } = flow;
        let meta = RxMeta { src, dst, src_port, traffic_class, ident };
        let mut arrivals = Vec::with_capacity(times.len());
        for time in times {
            let at = self.hosts[to.0].handled_at(time);
            self.age += 1;
            self.flights.insert((at, self.age), Flight { to, meta, bytes: Arc::clone(&bytes) });
            arrivals.push(Arrival { at, damaged });
        }
        arrivals
    }

    fn drain_trace(&mut self, id: HostId) {
        if !T::ENABLED {
            return;
        }
        for (at, event) in self.hosts[id.0].device.trace_mut().take() {
            self.log.entries.push(Entry { at, host: id, what: What::Device(event) });
        }
    }
}

/// The byte of a BTH with the congestion bits, which switches may set and no checksum covers.
const CONGESTION_BYTE: usize = 4;

/// A copy with one to three bits flipped that the ICRC covers.
fn damage(packet: &[u8], dice: &mut Dice) -> Arc<[u8]> {
    let mut bytes = packet.to_vec();
    let mut flips = Vec::new();
    let wanted = 1 + dice.below(3) as usize;
    while flips.len() < wanted {
        let bit = dice.below(bytes.len() as u64 * 8) as usize;
        // Flipped twice, a bit would be whole again.
        if !flips.contains(&bit) && bit / 8 != CONGESTION_BYTE {
            flips.push(bit);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
    bytes.into()
}
