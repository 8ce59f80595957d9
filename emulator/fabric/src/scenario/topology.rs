//! Networks by name.

use ferroce_engine::DeviceConfig;

use super::{Scenario, Shape, Topology};
use crate::fabric::{Fabric, HostId};
use crate::log::Watch;
use crate::node::{Cable, Node, SwitchId};
use crate::pause::headroom;
use crate::port::on_the_wire;
use crate::switch::{Red, SwitchConfig, Threshold};

/// Bytes of BTH, RETH, immediate data and ICRC around a full payload.
const TRANSPORT: usize = 12 + 16 + 4 + 4;

/// A network that was built.
pub(crate) struct Built<T> {
    pub fabric: Fabric<T>,
    pub hosts: Vec<HostId>,
}

/// How many switches a shape has.
pub(super) fn switch_count(topology: &Topology) -> usize {
    let [switches, racks, spines, pods] =
        [topology.switches, topology.racks, topology.spines, topology.pods].map(|count| count as usize);
    match topology.kind {
        Shape::Pair | Shape::Star => 1,
        Shape::Dumbbell => 2,
        Shape::ParkingLot => switches,
        Shape::Clos => racks + spines,
        Shape::ThreeTier => pods * (racks + 2) + spines,
        Shape::FatTree => pods * pods + pods * pods / 4,
    }
}

struct Builder<'a, T> {
    scenario: &'a Scenario,
    built: Built<T>,
}

impl<T: Watch> Built<T> {
    /// Builds the network of a checked scenario.
    pub(crate) fn new(scenario: &Scenario) -> Built<T> {
        let fabric = Fabric::new(scenario.seed);
        let mut builder = Builder { scenario, built: Built { fabric, hosts: Vec::new() } };
        builder.build();
        builder.built
    }
}

impl<T: Watch> Builder<'_, T> {
    fn build(&mut self) {
        let Topology { kind, hosts, switches, racks, spines, pods, .. } = self.scenario.topology;
        match kind {
            Shape::Pair => drop(self.racks(1, 2, "switch")),
            Shape::Star => drop(self.racks(1, hosts, "switch")),
            Shape::Dumbbell | Shape::ParkingLot => {
                let count = if kind == Shape::Dumbbell { 2 } else { switches };
                let chain = self.racks(count, hosts, "switch");
                chain.windows(2).for_each(|pair| self.join(pair[0], pair[1]));
            }
            Shape::Clos => {
                let racks = self.racks(racks, hosts, "tor");
                let spines: Vec<_> =
                    (0..spines).map(|index| self.switch(1, &format!("spine{index}"))).collect();
                self.mesh(&racks, &spines);
            }
            Shape::ThreeTier => self.three_tier(pods, racks, hosts, spines),
            Shape::FatTree => self.fat_tree(pods),
        }
    }

    /// So many switches with so many hosts each, numbered if there are several.
    fn racks(&mut self, count: u32, hosts: u32, name: &str) -> Vec<SwitchId> {
        let name = |index| if count == 1 { name.to_owned() } else { format!("{name}{index}") };
        (0..count).map(|index| self.rack(hosts, &name(index))).collect()
    }

    fn three_tier(&mut self, pods: u32, racks: u32, hosts: u32, spines: u32) {
        let mut leaves = Vec::new();
        for pod in 0..pods {
            let tors: Vec<_> = (0..racks).map(|rack| self.rack(hosts, &format!("tor{pod}.{rack}"))).collect();
            let pair: Vec<_> = (0..2).map(|leaf| self.switch(1, &format!("leaf{pod}.{leaf}"))).collect();
            self.mesh(&tors, &pair);
            leaves.extend(pair);
        }
        let spines: Vec<_> = (0..spines).map(|index| self.switch(2, &format!("spine{index}"))).collect();
        self.mesh(&leaves, &spines);
    }

    /// Al-Fares et al., "A Scalable, Commodity Data Center Network Architecture", SIGCOMM 2008.
    fn fat_tree(&mut self, pods: u32) {
        let half = pods / 2;
        let mut aggregation = Vec::new();
        for pod in 0..pods {
            let edges: Vec<_> =
                (0..half).map(|index| self.rack(half, &format!("edge{pod}.{index}"))).collect();
            let above: Vec<_> =
                (0..half).map(|index| self.switch(1, &format!("aggr{pod}.{index}"))).collect();
            self.mesh(&edges, &above);
            aggregation.push(above);
        }
        // Core switches come in groups; the n-th group is joined to the n-th of each pod's upper switches.
        for number in 0..half * half {
            let (group, index) = (number / half, number % half);
            let core = self.switch(2, &format!("core{group}.{index}"));
            aggregation.iter().for_each(|above| self.join(above[group as usize], core));
        }
    }

    /// Every lower switch to every upper one.
    fn mesh(&mut self, lower: &[SwitchId], upper: &[SwitchId]) {
        for below in lower {
            upper.iter().for_each(|above| self.join(*below, *above));
        }
    }

    fn join(&mut self, a: SwitchId, b: SwitchId) {
        let topology = &self.scenario.topology;
        let rate = if topology.uplink_rate.0 == 0 { topology.rate.0 } else { topology.uplink_rate.0 };
        self.cable([Node::Switch(a), Node::Switch(b)], rate);
    }

    fn cable(&mut self, ends: [Node; 2], rate: u64) {
        let (link, delay) = (self.scenario.link.link(), self.scenario.topology.delay.0);
        let link = crate::link::Link { latency: delay, ..link };
        self.built.fabric.add_cable(ends, Cable { rate, link });
    }

    /// A switch with so many hosts.
    fn rack(&mut self, hosts: u32, name: &str) -> SwitchId {
        let switch = self.switch(0, name);
        for _ in 0..hosts {
            let number = self.built.hosts.len();
            let address = std::net::Ipv4Addr::from_bits(0x0a00_0001 + number as u32);
            let personality = self.scenario.host.personality(self.scenario.topology.rate.0);
            let config =
                DeviceConfig { personality, ..DeviceConfig::new(format!("host{number}"), [address.into()]) };
            let host = self.built.fabric.add_device(config);
            self.built.hosts.push(host);
            self.cable([Node::Host(host), Node::Switch(switch)], self.scenario.topology.rate.0);
        }
        switch
    }

    fn switch(&mut self, tier: u8, name: &str) -> SwitchId {
        self.built.fabric.add_switch(self.scenario.switch_config(tier, name))
    }
}

impl Scenario {
    /// Bytes of a full packet on the wire, the longest background packet included.
    pub fn longest_packet(&self) -> u64 {
        let data = on_the_wire(self.host.mtu as usize + TRANSPORT);
        let background = self.background.iter().map(|flow| flow.size.min(65_535)).max().unwrap_or(0);
        u64::from(data.max(background))
    }

    /// The headroom that each lossless priority of each port has.
    pub fn headroom(&self) -> u64 {
        let (topology, switch) = (&self.topology, &self.switch);
        let rate = topology.rate.0.max(topology.uplink_rate.0);
        let needed = headroom(rate, topology.delay.0 + self.link.jitter.0, self.longest_packet());
        if switch.headroom.0 == 0 { needed } else { switch.headroom.0 }
    }

    fn switch_config(&self, tier: u8, name: &str) -> SwitchConfig {
        let table = &self.switch;
        let some = |span: super::Span| (!span.0.is_zero()).then_some(span.0);
        let red = Red { k_min: table.k_min.0, k_max: table.k_max.0, p_max: table.p_max.millionths() };
        let dynamic = Threshold::Dynamic { eighths: table.beta };
        SwitchConfig {
            name: name.to_owned(),
            tier,
            buffer: table.buffer.0,
            lossless: table.lossless.iter().fold(0, |bits, priority| bits | 1 << priority),
            headroom: self.headroom(),
            pause_at: if table.pause_at.0 == 0 { dynamic } else { Threshold::Static(table.pause_at.0) },
            resume_below: table.resume_below.0,
            drop_at: dynamic,
            red: table.ecn.then_some(red),
            watchdog: some(table.watchdog),
            mac_timeout: some(table.mac_timeout),
            arp_timeout: some(table.arp_timeout),
            drop_unknown: table.drop_unknown,
            ..SwitchConfig::default()
        }
    }
}
