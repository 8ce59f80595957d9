//! Ways through the network: shortest ones that go up, then down, and never up again.

use crate::node::{Node, SwitchId};
use crate::switch::Switch;

const FAR: u32 = u32::MAX;

/// Fills in the tables of all switches.
pub(crate) fn compute(switches: &mut [Switch]) {
    let links: Vec<Vec<(u16, usize)>> = switches.iter().map(|switch| neighbours(switch, switches)).collect();
    let tiers: Vec<u8> = switches.iter().map(|switch| switch.config.tier).collect();
    let holds_hosts =
        |switch: &Switch| switch.ports.iter().any(|port| matches!(port.plug.peer, Node::Host(_)));
    let edges: Vec<bool> = switches.iter().map(holds_hosts).collect();
    for switch in switches.iter_mut() {
        switch.routes = vec![Vec::new(); edges.len()];
    }
    for target in (0..edges.len()).filter(|index| edges[*index]) {
        let distances = Distances::to(target, &links, &tiers);
        for (index, switch) in switches.iter_mut().enumerate() {
            switch.routes[target] = distances.ways(index, &links, &tiers);
        }
    }
}

/// Ports that lead to other switches, with those.
fn neighbours(switch: &Switch, all: &[Switch]) -> Vec<(u16, usize)> {
    let usable = switch.ports.iter().enumerate().filter(|(_, port)| switch.up && port.plug.up);
    let to_switch = usable.filter_map(|(index, port)| match port.plug.peer {
        Node::Switch(SwitchId(peer)) if all[peer].up => Some((index as u16, peer)),
        _ => None,
    });
    to_switch.collect()
}

/// Distances of all switches to one.
struct Distances {
    /// Without going up.
    down: Vec<u32>,
    /// Going up first.
    any: Vec<u32>,
}

impl Distances {
    fn to(target: usize, links: &[Vec<(u16, usize)>], tiers: &[u8]) -> Distances {
        let mut down = vec![FAR; links.len()];
        down[target] = 0;
        relax(&mut down, links, |from, to| tiers[to] <= tiers[from]);
        let mut any = down.clone();
        relax(&mut any, links, |from, to| tiers[to] >= tiers[from]);
        Distances { down, any }
    }

    /// The ports by which `from` comes one step nearer.
    fn ways(&self, from: usize, links: &[Vec<(u16, usize)>], tiers: &[u8]) -> Vec<u16> {
        let descends = self.down[from] != FAR;
        let table = if descends { &self.down } else { &self.any };
        if table[from] == FAR || table[from] == 0 {
            return Vec::new();
        }
        let legal = |to: usize| if descends { tiers[to] <= tiers[from] } else { tiers[to] >= tiers[from] };
        let nearer = links[from].iter().filter(|(_, to)| legal(*to) && table[*to] == table[from] - 1);
        nearer.map(|(port, _)| *port).collect()
    }
}

/// Lowers distances over links that `legal` allows until nothing changes.
fn relax(distances: &mut [u32], links: &[Vec<(u16, usize)>], legal: impl Fn(usize, usize) -> bool) {
    let mut changed = true;
    while changed {
        changed = false;
        for from in 0..links.len() {
            let through = links[from].iter().filter(|(_, to)| legal(from, *to));
            let best = through.map(|(_, to)| distances[*to].saturating_add(1)).min().unwrap_or(FAR);
            if best < distances[from] {
                distances[from] = best;
                changed = true;
            }
        }
    }
}
