//! What a scenario must keep within, so that its run ends and fits into memory.

use super::{Arrivals, EventKind, Flow, Hosts, Scenario, ScenarioError, Shape, Topology};

/// Hosts of a network.
const MAX_HOSTS: u64 = 4_096;

/// Connections altogether.
const MAX_CONNECTIONS: u64 = 65_536;

/// Bytes of a message.
const MAX_MESSAGE: u64 = 64_000_000;

/// Bytes that all hosts together keep messages in.
const MAX_MEMORY: u64 = 2_000_000_000;

/// Messages under way, per connection.
const MAX_DEPTH: u32 = 1_024;

/// Events, rules, background flows, flows and collectives each.
const MAX_LIST: usize = 4_096;

/// Samples of a run, times what is sampled.
const MAX_SAMPLES: u64 = 20_000_000;

fn ensure(holds: bool, fault: impl FnOnce() -> String) -> Result<(), ScenarioError> {
    if holds { Ok(()) } else { Err(ScenarioError(fault())) }
}

impl Topology {
    /// Hosts that the network has.
    pub fn host_count(&self) -> u64 {
        let [hosts, switches, racks, pods] =
            [self.hosts, self.switches, self.racks, self.pods].map(u64::from);
        match self.kind {
            Shape::Pair => 2,
            Shape::Star => hosts,
            Shape::Dumbbell => hosts.saturating_mul(2),
            Shape::ParkingLot => hosts.saturating_mul(switches),
            Shape::Clos => hosts.saturating_mul(racks),
            Shape::ThreeTier => hosts.saturating_mul(racks).saturating_mul(pods),
            Shape::FatTree => pods.saturating_mul(pods).saturating_mul(pods) / 4,
        }
    }

    fn check(&self) -> Result<(), ScenarioError> {
        let hosts = self.host_count();
        ensure((1..=MAX_HOSTS).contains(&hosts), || {
            format!("topology: {hosts} hosts; 1 to {MAX_HOSTS} can be")
        })?;
        let sizes = [("hosts", self.hosts), ("switches", self.switches), ("racks", self.racks)];
        for (key, size) in sizes.into_iter().chain([("spines", self.spines), ("pods", self.pods)]) {
            ensure((1..=1_024).contains(&size), || format!("topology: {key} is {size}; 1 to 1024 can be"))?;
        }
        let even = self.kind != Shape::FatTree || self.pods.is_multiple_of(2);
        ensure(even, || "topology: pods of a fat tree must be an even number".to_owned())?;
        let rates = [self.rate.0, self.uplink_rate.0.max(1_000_000)];
        let in_range = rates.iter().all(|rate| (1_000_000..=10_000_000_000_000).contains(rate));
        ensure(in_range, || "topology: rates are 1Mb/s to 10Tb/s".to_owned())?;
        ensure(self.delay.0.as_secs() < 1, || "topology: delay must be less than 1s".to_owned())
    }
}

impl Hosts {
    /// Checks that all of them exist.
    fn check(&self, key: &str, hosts: u64) -> Result<(), ScenarioError> {
        let Hosts::Some(list) = self else { return Ok(()) };
        ensure(list.len() as u64 <= MAX_HOSTS, || format!("{key}: more than {MAX_HOSTS} hosts"))?;
        let stranger = list.iter().find(|host| u64::from(**host) >= hosts);
        ensure(stranger.is_none(), || {
            format!("{key} names host {}; there are {hosts} hosts", stranger.unwrap_or(&0))
        })
    }

    /// How many there are, at most.
    fn most(&self, hosts: u64) -> u64 {
        match self {
            Hosts::Some(list) => list.len() as u64,
            Hosts::All => hosts,
            Hosts::Next | Hosts::Random => 1,
        }
    }
}

impl Flow {
    fn check(&self, index: usize, hosts: u64) -> Result<u64, ScenarioError> {
        let key = |name: &str| format!("flow {index}: {name}");
        self.from.check(&key("from"), hosts)?;
        self.to.check(&key("to"), hosts)?;
        let fixed = matches!(self.from, Hosts::Some(_) | Hosts::All);
        ensure(fixed, || key("from is a number, a list or \"all\""))?;
        let most = self.size.most().max(self.response.0);
        ensure(most <= MAX_MESSAGE, || key(&format!("messages have at most {MAX_MESSAGE} bytes")))?;
        ensure((1..=MAX_DEPTH).contains(&self.depth), || key(&format!("depth is 1 to {MAX_DEPTH}")))?;
        ensure((1..=MAX_DEPTH).contains(&self.burst), || key(&format!("burst is 1 to {MAX_DEPTH}")))?;
        ensure(self.priority < 8, || key("priority is 0 to 7"))?;
        let paced = matches!(self.pattern, Arrivals::Burst | Arrivals::Request);
        ensure(!paced || self.interval.0.as_nanos() >= 100, || key("interval is at least 100ns"))?;
        ensure(self.pattern != Arrivals::Poisson || self.load.0 > 0, || key("load must not be 0"))?;
        Ok(self.from.most(hosts) * self.to.most(hosts) * u64::from(self.connections.max(1)))
    }
}

impl Scenario {
    /// Checks what the types alone cannot say.
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        self.topology.check()?;
        let hosts = self.topology.host_count();
        let lists = [
            self.flow.len(),
            self.all_reduce.len(),
            self.background.len(),
            self.rule.len(),
            self.event.len(),
        ];
        ensure(lists.iter().all(|len| *len <= MAX_LIST), || {
            format!("no list may be longer than {MAX_LIST}")
        })?;
        let (mut connections, mut message) = (0u64, 64u64);
        for (index, flow) in self.flow.iter().enumerate() {
            connections = connections.saturating_add(flow.check(index, hosts)?);
            message = message.max(flow.size.most()).max(flow.response.0);
        }
        for (index, reduce) in self.all_reduce.iter().enumerate() {
            reduce.hosts.check(&format!("all_reduce {index}: hosts"), hosts)?;
            let several = matches!(&reduce.hosts, Hosts::All)
                || matches!(&reduce.hosts, Hosts::Some(list) if list.len() > 1);
            ensure(several && hosts > 1, || {
                format!("all_reduce {index}: hosts are a list of several, or \"all\"")
            })?;
            ensure(reduce.size.0 <= MAX_MESSAGE && reduce.priority < 8, || {
                format!("all_reduce {index}: too large")
            })?;
            connections = connections.saturating_add(reduce.hosts.most(hosts));
            message = message.max(reduce.size.0 / reduce.hosts.most(hosts).max(1) + 1);
        }
        ensure(connections <= MAX_CONNECTIONS, || {
            format!("{connections} connections; {MAX_CONNECTIONS} can be: let fewer hosts send to fewer")
        })?;
        let memory = hosts.saturating_mul(message).saturating_mul(2);
        ensure(memory <= MAX_MEMORY, || {
            format!("{hosts} hosts with messages of {message} bytes take too much memory")
        })?;
        self.check_host()?;
        self.check_switch()?;
        self.check_times(hosts, connections)?;
        self.check_events(hosts)
    }

    fn check_host(&self) -> Result<(), ScenarioError> {
        let host = &self.host;
        let mtus = [256, 512, 1024, 2048, 4096];
        ensure(mtus.contains(&host.mtu), || format!("host: mtu is {}; one of {mtus:?} can be", host.mtu))?;
        ensure(host.timeout <= 31, || "host: timeout is 0 to 31".to_owned())?;
        let growth = host.timeout_growth.is_none_or(|times| (1..=4).contains(&times));
        ensure(growth, || "host: timeout_growth is 1 to 4".to_owned())?;
        ensure(host.retries <= 7, || "host: retries is 0 to 7".to_owned())?;
        ensure(host.window.is_none_or(|window| window > 0), || "host: window must not be 0".to_owned())?;
        let known = ferroce_engine::Personality::by_name(&host.personality).is_some();
        ensure(known, || {
            let all = ferroce_engine::Personality::all();
            let names: Vec<&str> = all.iter().map(|personality| personality.name).collect();
            format!("host: personality is {:?}; one of {names:?} can be", host.personality)
        })
    }

    fn check_switch(&self) -> Result<(), ScenarioError> {
        let switch = &self.switch;
        ensure(switch.lossless.iter().all(|priority| *priority < 8), || {
            "switch: lossless holds priorities 0 to 7".to_owned()
        })?;
        ensure(switch.k_min.0 < switch.k_max.0, || "switch: k_min must be less than k_max".to_owned())?;
        ensure(switch.beta <= 1_000, || "switch: beta is at most 1000".to_owned())
    }

    fn check_times(&self, hosts: u64, connections: u64) -> Result<(), ScenarioError> {
        let duration = self.duration.0;
        ensure(duration.as_secs() <= 100, || "duration is at most 100s".to_owned())?;
        let sample = self.measure.sample.0.as_nanos();
        let samples = duration.as_nanos().checked_div(sample).unwrap_or(0);
        let series = u128::from(connections + hosts + 1);
        ensure(samples.saturating_mul(series) <= u128::from(MAX_SAMPLES), || {
            "measure: sample is too short for so many flows and so long a duration".to_owned()
        })
    }

    fn check_events(&self, hosts: u64) -> Result<(), ScenarioError> {
        for (index, flow) in self.background.iter().enumerate() {
            let inside =
                u64::from(flow.from.max(flow.to)) < hosts && flow.priority < 8 && flow.from != flow.to;
            ensure(inside, || {
                format!("background {index}: from and to are two of {hosts} hosts, priority 0 to 7")
            })?;
            ensure(flow.rate.0 > 0, || format!("background {index}: rate must not be 0"))?;
        }
        for (index, rule) in self.rule.iter().enumerate() {
            let named = [rule.from, rule.to].into_iter().flatten().all(|host| u64::from(host) < hosts);
            ensure(named, || format!("rule {index}: there are {hosts} hosts"))?;
            if let Some(opcode) = &rule.opcode {
                let known =
                    (0..=255).filter_map(ferroce_wire::Opcode::from_u8).any(|known| known.name() == opcode);
                ensure(known, || {
                    format!("rule {index}: opcode {opcode:?} does not exist; RC_WRITE_FIRST does")
                })?;
            }
        }
        let switches = super::topology::switch_count(&self.topology);
        for (index, event) in self.event.iter().enumerate() {
            let host = event.host.is_some_and(|host| u64::from(host) < hosts);
            let of_switch = |number: Option<u32>| number.is_some_and(|number| (number as usize) < switches);
            let right = match event.what {
                EventKind::KillHost | EventKind::Storm => host && event.priority < 8,
                EventKind::CutCable | EventKind::MendCable => {
                    of_switch(event.switch) && (host || of_switch(event.peer))
                }
                EventKind::StopSwitch | EventKind::StartSwitch => of_switch(event.switch),
            };
            ensure(right, || {
                format!(
                    "event {index}: needs a host of {hosts}, or a switch (and peer) of {switches}, as its kind asks"
                )
            })?;
        }
        Ok(())
    }
}
