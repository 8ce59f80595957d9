//! The fabric: devices, switches, what joins them, and a clock.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ferroce_engine::{Cq, Device, DeviceConfig, Event, Time, TraceEvent, Train, Wc};

use crate::background::Flows;
use crate::dice::Dice;
use crate::drops::Drops;
use crate::events::Events;
use crate::link::{Direction, Link};
use crate::log::{Digest, Entry, Log, Watch};
use crate::packets::Packets;
use crate::port::{Host, Port};
use crate::rule::{Rule, Script};
use crate::switch::Switch;

/// A host of a fabric, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub usize);

/// Devices, what joins them, and a clock.
///
/// Two hosts that hang on no cable are joined by a direct [`Link`]; with
/// [`add_switch`](Fabric::add_switch) and [`add_cable`](Fabric::add_cable) any network can be built between
/// hosts.
///
/// `T` watches the devices: by default everything they do goes to the [`log`](Fabric::log). With
/// [`NoTrace`](ferroce_engine::NoTrace) nothing is kept but counts.
///
/// Every method that acts on a device lets it act on the world at once; packets arrive, and timers expire, only
/// while [`step`](Fabric::step) or one of the `run` methods lets time go on.
pub struct Fabric<T = Vec<(Time, TraceEvent)>> {
    pub(crate) now: Time,
    pub(crate) dice: Dice,
    pub(crate) hosts: Vec<Host<T>>,
    pub(crate) stations: BTreeMap<IpAddr, HostId>,
    pub(crate) switches: Vec<Switch>,
    /// The switches' tables are not those of the cables as they are.
    pub(crate) routes_stale: bool,
    pub(crate) events: Events,
    pub(crate) packets: Packets,
    /// Hosts that may have something to send or to tell.
    pub(crate) awake: Vec<HostId>,
    /// Hosts that raised events since they were last asked for.
    pub(crate) told: Vec<HostId>,
    /// Tokens of alarms that went off.
    pub(crate) alarms: Vec<u64>,
    pub(crate) flows: Flows,
    pub(crate) link: Link,
    pub(crate) directions: BTreeMap<(HostId, HostId), Direction>,
    pub(crate) script: Script,
    pub(crate) recording: bool,
    pub(crate) log: Log,
    pub(crate) digest: Digest,
    pub(crate) carried: Carried,
    pub(crate) drops: Drops,
    pub(crate) train: Train,
}

/// What became of packets. `sent + repeated == lost + delivered + under_way` at any time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Packets that hosts handed over; one to a multicast group counts once for each member.
    pub sent: u64,
    /// Copies that the fabric added.
    pub repeated: u64,
    /// Lost, or addressed to nobody.
    pub lost: u64,
    /// Handed to a host, damaged ones included.
    pub delivered: u64,
    /// Damaged on the way.
    pub damaged: u64,
    /// Marked "congestion experienced" on the way.
    pub marked: u64,
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
            stations: BTreeMap::new(),
            switches: Vec::new(),
            routes_stale: false,
            events: Events::default(),
            packets: Packets::default(),
            awake: Vec::new(),
            told: Vec::new(),
            alarms: Vec::new(),
            flows: Flows::default(),
            link: Link::default(),
            directions: BTreeMap::new(),
            script: Script::default(),
            recording: T::ENABLED,
            log: Log::default(),
            digest: Digest::default(),
            carried: Carried::default(),
            drops: Drops::new(),
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
            assert_eq!(self.stations.insert(*gid, host), None, "two hosts have the address {gid}");
        }
        let addrs = config.gids.clone();
        let device = Device::new(config, self.dice.any(), T::default());
        self.hosts.push(Host::new(device, addrs, self.dice.any() as u16));
        host
    }

    /// Changes how a host sends and receives. On a cable the rate is the cable's.
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
        let plugs = self.hosts.iter_mut().filter_map(|host| host.plug.as_mut());
        let ports = self.switches.iter_mut().flat_map(|switch| &mut switch.ports);
        for plug in plugs.chain(ports.map(|port| &mut port.plug)) {
            plug.cable.link = plug.cable.link.healed();
        }
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

    /// Takes the entries out of the log that nothing will change any more: those before the oldest packet under way.
    pub fn take_settled(&mut self) -> Vec<Entry> {
        let end = self.packets.entries().min().unwrap_or(self.log.end());
        self.log.take(end)
    }

    /// Takes everything out of the log. Packets under way are marked as such, and will not be seen to arrive.
    pub fn take_log(&mut self) -> Vec<Entry> {
        for entry in self.packets.entries() {
            if let Some(sent) = self.log.sent_mut(entry) {
                sent.under_way = sent.arrivals.is_empty();
            }
        }
        self.log.take(self.log.end())
    }

    /// A fingerprint of all packets so far: of their headers, times and fates. Kept whether or not anything is
    /// recorded.
    pub fn digest(&self) -> u64 {
        self.digest.value()
    }

    /// What became of the packets so far.
    pub fn carried(&self) -> Carried {
        Carried { under_way: self.packets.len() as u64, ..self.carried }
    }

    /// Where and why packets were dropped, faults of links not counted.
    pub fn drops(&self) -> &Drops {
        &self.drops
    }

    // --- acting ----------------------------------------------------------------------------------------------------

    /// Calls verbs of a device, and sends what it has to send.
    pub fn with<R>(&mut self, host: HostId, act: impl FnOnce(&mut Device<T>, Time) -> R) -> R {
        let now = self.now;
        self.hosts[host.0].device.note_time(now);
        let result = act(&mut self.hosts[host.0].device, now);
        self.wake(host);
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

    /// Takes the hosts whose devices raised events since the last call; some may be named twice.
    pub fn take_told(&mut self) -> Vec<HostId> {
        std::mem::take(&mut self.told)
    }

    /// Asks for a moment: when it has come, [`take_alarms`](Fabric::take_alarms) gives back `token`.
    pub fn set_alarm(&mut self, at: Time, token: u64) {
        self.events.push(at, crate::events::Happening::Alarm { token });
    }

    /// Takes the tokens of the alarms that went off, in the order of their moments.
    pub fn take_alarms(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.alarms)
    }

    /// A host fails: it sends nothing, and what is sent to it is lost.
    pub fn kill(&mut self, host: HostId) {
        self.hosts[host.0].dead = true;
    }
}
