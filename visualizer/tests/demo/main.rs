//! The demo: at full speed as a command, in slow motion as a screen.

mod command;
mod keys;
mod screens;
mod stage;

use std::net::IpAddr;

use ferroce_engine::Personality;
use ferroce_net::{Hub, Link};
use ferroce_visualizer::demo::FaultShares;
use ferroce_visualizer::demo::stage::Stage;

/// Faults of every kind.
const FAULTS: FaultShares = FaultShares { drop: 0.08, duplicate: 0.04, reorder: 0.04, corrupt: 0.04 };

/// A stage without sockets, on which the seed decides everything.
fn stage(seed: u64, faults: FaultShares) -> Stage {
    stage_of(&Personality::default(), seed, faults)
}

fn stage_of(nature: &Personality, seed: u64, faults: FaultShares) -> Stage {
    let hub = Hub::new();
    let link = |addr: &str| {
        let addr: IpAddr = addr.parse().unwrap();
        (addr, Box::new(hub.link(&[addr]).unwrap()) as Box<dyn Link>)
    };
    Stage::new([link("192.0.2.1"), link("192.0.2.2")], seed, faults, nature).unwrap()
}
