//! How the hosts of a program are joined: each to each, or by switches.

use std::time::Duration;

use ferroce_engine::{PathMtu, Time};
use ferroce_fabric::{Cable, Fabric, HostId, Node, SwitchConfig, SwitchId, Threshold, Watch, headroom};

use crate::plan::Plan;
use crate::program::*;

/// Bytes of the longest headers and trailers around a packet's data.
const AROUND: u64 = 120;
/// Cables on the longest way.
const MOST_CABLES: u32 = 4;

/// The cables of a network, as the fabric knows them.
#[derive(Default)]
pub(crate) struct Cables {
    hosts: Vec<[Node; 2]>,
    between: Vec<[Node; 2]>,
    tops: Vec<SwitchId>,
}

/// Something that fails for a while.
enum Part {
    Cable([Node; 2]),
    Switch(SwitchId),
}

impl Cables {
    /// Joins all hosts, if the program wants more than links from each to each.
    pub(crate) fn lay<T: Watch>(fabric: &mut Fabric<T>, plan: &Plan, hosts: &[HostId]) -> Cables {
        let Some(wiring) = plan.program.wiring else { return Cables::default() };
        let cable = Cable { rate: wiring.rate, link: plan.program.link };
        let mut switches = |count, tier| -> Vec<SwitchId> {
            (0..count).map(|_| fabric.add_switch(config(plan, &wiring, tier))).collect()
        };
        let (leaves, tops) = (switches(wiring.leaves, 0), switches(wiring.tops, 1));
        let mut cables = Cables { tops, ..Cables::default() };
        for (host, leaf) in hosts.iter().zip(leaves.iter().cycle()) {
            cables.hosts.push([Node::Host(*host), Node::Switch(*leaf)]);
        }
        for leaf in leaves {
            cables.between.extend(cables.tops.iter().map(|top| [Node::Switch(leaf), Node::Switch(*top)]));
        }
        cables.hosts.iter().chain(&cables.between).for_each(|ends| fabric.add_cable(*ends, cable));
        cables
    }

    /// Cuts all hosts off.
    pub(crate) fn cut<T: Watch>(&self, fabric: &mut Fabric<T>) {
        self.hosts.iter().for_each(|ends| fabric.set_cable(*ends, false));
    }

    /// Lets what is to fail for a while fail, or work again.
    pub(crate) fn set<T: Watch>(&self, fabric: &mut Fabric<T>, outage: &Outage, up: bool) {
        match self.part(outage.what) {
            Some(Part::Cable(ends)) => fabric.set_cable(ends, up),
            Some(Part::Switch(switch)) => fabric.set_switch(switch, up),
            None => {}
        }
    }

    fn part(&self, what: usize) -> Option<Part> {
        let cables = self.hosts.iter().chain(&self.between).map(|ends| Part::Cable(*ends));
        let mut parts: Vec<_> = cables.chain(self.tops.iter().map(|top| Part::Switch(*top))).collect();
        let count = parts.len();
        (count > 0).then(|| parts.swap_remove(what % count))
    }
}

/// A switch that loses nothing while cables lose nothing: it pauses senders in time, or holds all that there is.
fn config(plan: &Plan, wiring: &Wiring, tier: u8) -> SwitchConfig {
    let link = plan.program.link;
    let longest = PathMtu::Mtu4096.bytes() as u64 + AROUND;
    let room = headroom(wiring.rate, link.latency + link.jitter, longest);
    let all = SwitchConfig {
        tier,
        buffer: 1 << 32,
        drop_at: Threshold::Static(1 << 31),
        ..SwitchConfig::default()
    };
    if wiring.lossless {
        SwitchConfig { lossless: 0xff, headroom: room, pause_at: Threshold::Static(wiring.pause_at), ..all }
    } else {
        SwitchConfig { lossless: 0, ..all }
    }
}

/// How much longer packets take than on a link of their own.
pub(crate) fn slowness(program: &Program) -> u32 {
    program.wiring.map_or(1, |_| MOST_CABLES)
}

/// When the outage begins and ends, if the faults of links end at `heals`.
pub(crate) fn outage(program: &Program, heals: Time) -> Option<(Outage, [Time; 2])> {
    let outage = program.wiring?.outage?;
    let part = |sixteenths: u32| -> Duration { heals.since(Time::ZERO) * sixteenths / 16 };
    let begin = Time::ZERO + part(outage.from);
    Some((outage, [begin, begin + part(outage.lasts)]))
}
