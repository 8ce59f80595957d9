//! The tables of a scenario file.

use serde::Deserialize;

use super::described::described;
use super::sizes::Size;
use super::units::{Bytes, Rate, Share, Span};

described! {
    /// The shape of the network. Hosts are counted from 0, rack by rack.
    pub struct Topology {
        /// "pair": two hosts on one switch. "star": `hosts` hosts on one switch, for incast. "dumbbell": two
        /// switches with `hosts` hosts each. "parking-lot": a chain of `switches` switches with `hosts` hosts each.
        /// "clos": `racks` racks of `hosts` hosts, each joined to all `spines`. "three-tier": `pods` pods of two
        /// leaf switches and `racks` racks of `hosts` hosts; each leaf is joined to all `spines`. "fat-tree": the
        /// fat tree of `pods` pods (an even number), of pods³/4 hosts.
        kind: Shape = Shape::Pair,
        /// Hosts per switch, for shapes that leave it open.
        hosts: u32 = 2,
        /// Switches of a parking lot.
        switches: u32 = 3,
        /// Racks of a Clos network, or of each pod of a three-tier network.
        racks: u32 = 2,
        /// Switches at the top.
        spines: u32 = 2,
        /// Pods of a fat tree or a three-tier network.
        pods: u32 = 2,
        /// Rate of the cables of hosts.
        rate: Rate = Rate::gigabits(40),
        /// Rate of the cables between switches; 0 for that of hosts.
        uplink_rate: Rate = Rate(0),
        /// Propagation delay of each cable.
        delay: Span = Span::micros(1),
    }
}

/// The shapes a network can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Two hosts on one switch.
    Pair,
    /// Hosts on one switch.
    Star,
    /// Two switches with hosts.
    Dumbbell,
    /// A chain of switches with hosts.
    ParkingLot,
    /// Racks under spines.
    Clos,
    /// Racks under leaves under spines.
    ThreeTier,
    /// A fat tree.
    FatTree,
}

described! {
    /// All switches.
    pub struct SwitchTable {
        /// Memory of a switch, shared by its ports.
        buffer: Bytes = Bytes(12_000_000),
        /// Priorities that PFC keeps from being dropped.
        lossless: Vec<u8> = vec![3],
        /// Memory that each lossless priority of each port has for what arrives after a pause frame was sent; 0 for
        /// as much as the formula says.
        headroom: Bytes = Bytes(0),
        /// Bytes that a lossless priority of an ingress port may hold before its sender is paused; 0 for a dynamic
        /// threshold.
        pause_at: Bytes = Bytes(0),
        /// β of the dynamic threshold: a port may hold β/8 of the free memory.
        beta: u32 = 8,
        /// How far below the threshold a queue must fall before its sender may go on.
        resume_below: Bytes = Bytes(3_000),
        /// Packets are marked "congestion experienced" by the length of the queue they join.
        ecn: bool = false,
        /// Up to this length no packet is marked.
        k_min: Bytes = Bytes(5_000),
        /// From this length on every packet is.
        k_max: Bytes = Bytes(200_000),
        /// Chance of a mark at `k_max`.
        p_max: Share = Share(0.01),
        /// A lossless queue that is paused for so long is emptied; 0 for never.
        watchdog: Span = Span::micros(0),
        /// For how long it is known where a silent host is; 0 for ever.
        mac_timeout: Span = Span::micros(0),
        /// For how long it is known that a silent host exists; 0 for ever.
        arp_timeout: Span = Span::micros(0),
        /// Lossless packets to a host that is known to exist, but not where, are dropped instead of sent everywhere.
        drop_unknown: bool = true,
    }
}

described! {
    /// All hosts' NICs.
    pub struct HostTable {
        /// Path MTU: 256, 512, 1024, 2048 or 4096.
        mtu: u32 = 1024,
        /// "default", "rxe" or another set of choices that `ferroce devices` lists.
        personality: String = "default".to_owned(),
        /// What is sent again after a loss, if not what the personality says: "go-back-n",
        /// "go-back-0" or "selective-repeat".
        recovery: Option<RecoveryKind> = None,
        /// Packets that may be in flight, if not as many as the personality says.
        window: Option<u32> = None,
        /// Rate control: "none", "dcqcn" or "timely".
        congestion: CongestionKind = CongestionKind::None,
        /// DCQCN: weight of news in α.
        g: f64 = 1.0 / 256.0,
        /// DCQCN: α shrinks after such a time without a CNP.
        alpha_timer: Span = Span::micros(55),
        /// DCQCN: time between steps up.
        increase_timer: Span = Span::micros(55),
        /// DCQCN: bytes between steps up.
        byte_counter: Bytes = Bytes(10_000_000),
        /// DCQCN: steps of fast recovery.
        fast_recovery: u32 = 5,
        /// DCQCN: step of the additive increase.
        additive: Rate = Rate(40_000_000),
        /// DCQCN: step of the hyper increase.
        hyper: Rate = Rate(400_000_000),
        /// Least rate of DCQCN and TIMELY.
        min_rate: Rate = Rate(10_000_000),
        /// Least time between two CNPs of a queue pair.
        cnp_interval: Span = Span::micros(50),
        /// TIMELY: below this round trip the rate grows.
        t_low: Span = Span::micros(50),
        /// TIMELY: above this round trip it shrinks.
        t_high: Span = Span::micros(500),
        /// TIMELY: round trip of the empty network.
        min_rtt: Span = Span::micros(20),
        /// Local ACK timeout, as the exponent of 4.096 µs · 2^n.
        timeout: u8 = 14,
        /// How many times its value the timeout may reach while nothing is heard, 1 to 4, if not as the personality says.
        timeout_growth: Option<u32> = None,
        /// Retries before a connection fails; 7 is many.
        retries: u8 = 7,
    }
}

/// What is sent again after a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecoveryKind {
    /// Everything from the lost packet on.
    #[serde(rename = "go-back-n")]
    GoBackN,
    /// The whole message.
    #[serde(rename = "go-back-0")]
    GoBack0,
    /// What is missing.
    SelectiveRepeat,
}

/// Rate control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CongestionKind {
    /// None: as fast as the port.
    None,
    /// DCQCN, by marks.
    Dcqcn,
    /// TIMELY, by delay.
    Timely,
}

described! {
    /// Messages from hosts to hosts over reliable connections. Every host of `from` sends to every host of `to`
    /// but itself, each pair over a connection of its own.
    pub struct Flow {
        /// What it is called in reports.
        name: String = String::new(),
        /// The requesters: a number, a list, or "all".
        from: Hosts = Hosts::Some(vec![0]),
        /// Their peers: a number, a list, "all", "next" (the host after it), or "random" (one host each).
        to: Hosts = Hosts::Some(vec![1]),
        /// "write", "send" or "read". A READ moves data towards `from`.
        op: Operation = Operation::Write,
        /// Bytes of a message, or a distribution: "web-search", "data-mining".
        size: Size = Size::Fixed(64_000),
        /// "stream": `depth` messages are always under way. "poisson": messages come at random, `load` of them.
        /// "burst": `burst` messages at once, every `interval`. "request": one message, answered by one of
        /// `response` bytes, and again after `interval`; always by SEND.
        pattern: Arrivals = Arrivals::Stream,
        /// Messages under way at a time, of a stream.
        depth: u32 = 2,
        /// Messages altogether; 0 for no end.
        count: u64 = 0,
        /// Bits of messages per second, of a Poisson process.
        load: Rate = Rate::gigabits(1),
        /// Time between bursts, or between a response and the next request.
        interval: Span = Span::micros(100),
        /// Messages of a burst.
        burst: u32 = 1,
        /// Bytes of a response.
        response: Bytes = Bytes(64),
        /// 802.1Q priority of its packets.
        priority: u8 = 3,
        /// Connections per pair of hosts.
        connections: u32 = 1,
        /// When it begins.
        start: Span = Span::micros(0),
        /// When it posts no more; 0 for the end.
        stop: Span = Span::micros(0),
    }
}

/// A set of hosts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "HostList")]
pub enum Hosts {
    /// These.
    Some(Vec<u32>),
    /// Every one.
    All,
    /// The one after.
    Next,
    /// One by chance.
    Random,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a host's number, a list of such numbers, \"all\", \"next\" or \"random\"")]
enum HostList {
    One(u32),
    Many(Vec<u32>),
    Word(String),
}

impl TryFrom<HostList> for Hosts {
    type Error = String;

    fn try_from(list: HostList) -> Result<Hosts, String> {
        Ok(match list {
            HostList::One(host) => Hosts::Some(vec![host]),
            HostList::Many(hosts) => Hosts::Some(hosts),
            HostList::Word(word) => match word.as_str() {
                "all" => Hosts::All,
                "next" => Hosts::Next,
                "random" => Hosts::Random,
                _ => return Err(format!("{word:?} is no set of hosts: \"all\", \"next\" or \"random\"")),
            },
        })
    }
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// RDMA WRITE.
    Write,
    /// SEND.
    Send,
    /// RDMA READ.
    Read,
}

/// When messages are posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// A fixed number under way.
    Stream,
    /// At random.
    Poisson,
    /// Many at once.
    Burst,
    /// After the answer to the last.
    Request,
}

described! {
    /// A ring all-reduce: each host sends pieces of its data to the next and waits for those of the one before,
    /// 2·(n−1) times.
    pub struct AllReduce {
        /// Who takes part: a list, or "all".
        hosts: Hosts = Hosts::All,
        /// Data of each host.
        size: Bytes = Bytes(1_000_000),
        /// How often.
        rounds: u32 = 1,
        /// 802.1Q priority of its packets.
        priority: u8 = 3,
        /// When it begins.
        start: Span = Span::micros(0),
    }
}

described! {
    /// Packets that come from no NIC: only their length counts.
    pub struct BackgroundTable {
        /// The sender.
        from: u32 = 0,
        /// The receiver.
        to: u32 = 1,
        /// "steady", "poisson", or "window" (as TCP would).
        pattern: BackgroundKind = BackgroundKind::Steady,
        /// Rate of "steady" and "poisson".
        rate: Rate = Rate::gigabits(1),
        /// Bytes of a packet on the wire.
        size: u32 = 1_500,
        /// 802.1Q priority.
        priority: u8 = 0,
        /// When it begins.
        start: Span = Span::micros(0),
        /// When it ends; 0 for the end of the run.
        stop: Span = Span::micros(0),
    }
}

/// When background packets are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackgroundKind {
    /// At equal distances.
    Steady,
    /// At random.
    Poisson,
    /// As TCP would.
    Window,
}

described! {
    /// A scripted fault: what becomes of packets that satisfy all conditions given, on the cable of their sender.
    pub struct RuleTable {
        /// "drop", "corrupt", "duplicate", "delay" or "mark".
        action: Action = Action::Drop,
        /// Sent by this host.
        from: Option<u32> = None,
        /// To this host.
        to: Option<u32> = None,
        /// With this opcode, such as "RC_WRITE_MIDDLE".
        opcode: Option<String> = None,
        /// With this PSN, counted from the first of the connection.
        psn: Option<u32> = None,
        /// With an IPv4 Identification that ends in this byte.
        ident_low: Option<u8> = None,
        /// Only the packet with this number among those, counted from 1.
        nth: Option<u64> = None,
        /// Only the first so many.
        first: Option<u64> = None,
        /// How long a packet is held back, or how much later its copy comes.
        delay: Span = Span::micros(10),
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It is lost.
    Drop,
    /// Bits of it flip.
    Corrupt,
    /// It comes twice.
    Duplicate,
    /// It comes late.
    Delay,
    /// It is marked "congestion experienced".
    Mark,
}

described! {
    /// Faults of every cable, by chance.
    pub struct LinkTable {
        /// A packet is lost.
        loss: Share = Share(0.0),
        /// A packet is damaged.
        corrupt: Share = Share(0.0),
        /// A packet comes twice.
        duplicate: Share = Share(0.0),
        /// A packet is held back.
        reorder: Share = Share(0.0),
        /// For so long at most.
        reorder_by: Span = Span::micros(20),
        /// Time that a packet takes on top of the delay, at most.
        jitter: Span = Span::micros(0),
    }
}

described! {
    /// Something that breaks, or is mended, at a moment.
    pub struct Event {
        /// When.
        at: Span = Span::micros(0),
        /// "kill-host", "storm" (the host's NIC pauses its switch without end), "cut-cable", "mend-cable",
        /// "stop-switch", "start-switch".
        what: EventKind = EventKind::KillHost,
        /// The host that it is about.
        host: Option<u32> = None,
        /// The switch that it is about, or one end of the cable.
        switch: Option<u32> = None,
        /// The other end of the cable.
        peer: Option<u32> = None,
        /// Priority of a storm.
        priority: u8 = 3,
        /// The NIC's own watchdog ends a storm after so long; 0 for never.
        watchdog: Span = Span::micros(0),
    }
}

/// What happens at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A host fails.
    KillHost,
    /// A NIC sends pause frames without end.
    Storm,
    /// The cables between two switches, or of a host, are cut.
    CutCable,
    /// They are mended.
    MendCable,
    /// A switch fails.
    StopSwitch,
    /// It works again.
    StartSwitch,
}

described! {
    /// What is written down while the scenario runs.
    pub struct Measure {
        /// Time between two samples of throughput, rates and queues; 0 for none.
        sample: Span = Span::micros(0),
        /// Nothing before this counts in a flow's throughput.
        warmup: Span = Span::micros(0),
    }
}
