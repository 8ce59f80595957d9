//! A network of devices in virtual time.
//!
//! A [`Fabric`] holds any number of devices and carries their packets through links that delay, lose, repeat,
//! reorder and damage them, by chance or by script ([`Rule`]), and through switches that queue, mark, pause and
//! drop them ([`SwitchConfig`]). All chance comes from one seed, so a run can be
//! had again packet for packet; a second of it takes as long as its packets take to compute.
//!
//! ```
//! use ferroce_engine::*;
//! use ferroce_fabric::*;
//! use std::time::Duration;
//!
//! let mut fabric: Fabric = Fabric::new(7);
//! let mut ends = Vec::new();
//! for name in ["left", "right"] {
//!     let host = fabric.add_host(name);
//!     let (pd, cq) = fabric.with(host, |device, _| (device.alloc_pd().unwrap(), device.create_cq(16).unwrap()));
//!     let init = QpInit { signal_all: true, ..QpInit::new(QpType::Rc, pd, cq) };
//!     let qp = fabric.with(host, |device, _| device.create_qp(&init).unwrap());
//!     ends.push((End { host, qp }, cq));
//! }
//! let [(left, left_cq), (right, right_cq)] = ends[..] else { unreachable!() };
//! fabric.connect([left, right], &Connection::default())?;
//!
//! // The first packet is lost on its way; the requester notices and sends it again.
//! fabric.add_rule(Rule::new(Match::from(left.host).nth(1), Fate::Drop));
//! fabric.post_recv(right, &[RecvWr { wr_id: 2, sges: &[] }]).unwrap();
//! let flags = SendFlags::SIGNALED;
//! fabric.post_send(left, &[SendWr { flags, ..SendWr::new(1, SendOp::Send, Payload::Sges(&[])) }]).unwrap();
//! fabric.run_until_idle(1_000);
//! assert_eq!(fabric.poll(left.host, left_cq)[0].wr_id, 1);
//! assert_eq!(fabric.poll(right.host, right_cq)[0].wr_id, 2);
//! assert!(fabric.now() > Time::ZERO + Duration::from_millis(67), "that took a timeout");
//! # Ok::<_, VerbsError>(())
//! ```

mod background;
mod clockwork;
mod connect;
mod crossing;
mod dice;
mod drops;
mod events;
mod fabric;
mod flow_control;
mod link;
mod log;
mod network;
mod nic;
mod node;
mod packets;
mod pause;
mod pcap;
mod port;
mod recording;
mod route;
mod rule;
mod scenario;
mod sim;
mod switch;

pub use background::{Background, FlowStats, Pattern};
pub use connect::{Connection, End};
pub use dice::{Chance, Dice};
pub use drops::{DropCause, DropPlace, Drops};
pub use fabric::{Carried, Fabric, HostId};
pub use ferroce_recording::{PacketName, SwitchStep};
pub use link::Link;
pub use log::{Arrival, Entry, Incident, Log, Sent, Watch, What};
pub use node::{Cable, Node, SwitchId};
pub use pause::{PAUSE_FRAME, headroom, longest_pause};
pub use port::Port;
pub use rule::{Fate, Match, Occurrence, Rule};
pub use scenario::{
    Action, AllReduce, Arrivals, BackgroundKind, BackgroundTable, Bytes, CongestionKind, Described,
    Event as EventTable, EventKind, Flow, HostTable, Hosts, Key, LinkTable, Measure, Operation, Rate,
    RecoveryKind, RuleTable, Scenario, ScenarioError, Shape, Share, Size, Span, SwitchTable, Topology,
    library, named, reference,
};
pub use sim::{
    Advance, Distribution, DropReport, Ending, FlowReport, Outcome, PortReport, ReduceReport, Samples,
    Simulation, jain,
};
pub use switch::{PRIORITIES, PortStats, Red, SwitchConfig, Threshold};
