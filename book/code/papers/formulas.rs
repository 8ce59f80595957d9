//! Results that are arithmetic, and runs beside arithmetic.

use ferroce_engine::{NoTrace, Time};
use ferroce_fabric::{Background, Cable, Fabric, Node, Pattern, Scenario, Simulation, SwitchConfig};

use super::Claim;
use super::plot::{Curve, Form, Plot};

/// Buffer thresholds of a switch (Zhu et al., SIGCOMM 2015, §4). All in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// The largest static threshold at which every port and priority can pause in time.
    pub static_pfc: f64,
    /// Below this a queue is marked before its sender is paused, with a dynamic threshold.
    pub ecn: f64,
}

impl Thresholds {
    /// For a memory of `buffer` bytes, shared by `ports` ports with `priorities` priorities each, with so much
    /// headroom for each of them, and a dynamic threshold of β/8 of the free memory.
    pub fn new(buffer: f64, ports: f64, priorities: f64, headroom: f64, beta: f64) -> Thresholds {
        let shared = buffer - ports * priorities * headroom;
        Thresholds {
            static_pfc: shared / (ports * priorities),
            // All ports and priorities hold t_ECN, and the threshold β·(shared − n·8·t)/8 is not reached.
            ecn: beta * shared / (priorities * ports * (beta + 1.0)),
        }
    }
}

/// The calculator against the paper's numbers.
pub(super) fn thresholds(plots: &mut Vec<Plot>) -> Vec<Claim> {
    let Thresholds { static_pfc, ecn } = Thresholds::new(12e6, 32.0, 8.0, 22_400.0, 8.0);
    let claim = |what: &str, says: &str, value: f64, paper: f64| Claim {
        source: "Zhu 2015, §4",
        what: what.to_owned(),
        says: says.to_owned(),
        gives: format!("{:.2} KB", value / 1e3),
        tolerance: "0.01 KB: rounding",
        holds: (value / 1e3 - paper).abs() <= 0.01,
    };
    let ecn_at = |beta: f64| Thresholds::new(12e6, 32.0, 8.0, 22_400.0, beta).ecn / 1e3;
    let betas = (1..=64).map(|quarter| f64::from(quarter) / 4.0);
    let marking = betas.clone().map(|beta| (beta, ecn_at(beta))).collect();
    let pausing = betas.map(|beta| (beta, static_pfc / 1e3)).collect();
    plots.push(Plot {
        name: "result-thresholds",
        title: "Below which a queue must be marked to be marked before it is paused",
        unit: "KB",
        form: Form::Curves {
            over: "β of the dynamic threshold",
            curves: vec![Curve::line("marking", marking), Curve::line("pausing, static threshold", pausing)],
        },
    });
    vec![
        claim("static PFC threshold, 12 MB, 32 ports, 8 priorities", "at most 24.47 KB", static_pfc, 24.47),
        claim("marking threshold for ECN before PFC, β = 8", "below 21.75 KB", ecn, 21.75),
    ]
}

/// Queueing and windows.
pub(super) fn closed_forms(plots: &mut Vec<Plot>) -> Vec<Claim> {
    let mut measured = Vec::new();
    let mut claims: Vec<Claim> =
        [0.5, 0.8, 0.9].into_iter().map(|load| queueing(load, &mut measured)).collect();
    let theory =
        (1..=92).map(|percent| f64::from(percent) / 100.0).map(|load| (load, mean_wait(load))).collect();
    plots.push(Plot {
        name: "result-queueing",
        title: "Random arrivals, equal packets: the mean wait in a queue",
        unit: "ns",
        form: Form::Curves {
            over: "load",
            curves: vec![Curve::line("M/D/1", theory), Curve::dots("Ferroce", measured)],
        },
    });
    claims.extend([16, 32].map(window));
    claims
}

const RATE: u64 = 10_000_000_000;
const SIZE: u32 = 1_250;

/// Nanoseconds that a packet takes on the wire.
const SERVICE: f64 = SIZE as f64 * 8e9 / RATE as f64;

/// What theory says, in nanoseconds (Pollaczek and Khinchine).
fn mean_wait(load: f64) -> f64 {
    SERVICE * load / (2.0 * (1.0 - load))
}

/// One queue with random arrivals and equal packets: the sender's own port, so that nothing comes before it.
fn queueing(load: f64, measured: &mut Vec<(f64, f64)>) -> Claim {
    let mut net: Fabric<NoTrace> = Fabric::new(11);
    let switch = net.add_switch(SwitchConfig::default());
    let hosts = ["a", "b"].map(|name| net.add_host(name));
    let cable = Cable::new(RATE, std::time::Duration::ZERO);
    hosts.iter().for_each(|host| net.add_cable([Node::Host(*host), Node::Switch(switch)], cable));
    let pattern = Pattern::Poisson((RATE as f64 * load) as u64);
    let (start, stop) = (Time::ZERO, Time::from_micros(300_000));
    let flow = net.add_background(Background {
        from: hosts[0],
        to: hosts[1],
        size: SIZE,
        priority: 0,
        pattern,
        start,
        stop,
    });
    net.run_for(std::time::Duration::from_millis(301));
    let stats = net.background_stats(flow);
    let waited = stats.delay.as_nanos() as f64 / stats.arrived as f64 - 2.0 * SERVICE;
    let theory = mean_wait(load);
    measured.push((load, waited));
    Claim {
        source: "M/D/1",
        what: format!("mean wait in a queue at load {load}"),
        says: format!("{theory:.0} ns"),
        gives: format!("{waited:.0} ns ({:+.1} %)", (waited / theory - 1.0) * 100.0),
        tolerance: "8 %: the mean of 150 000 to 270 000 packets that are not independent",
        holds: (waited / theory - 1.0).abs() < 0.08,
    }
}

/// So many packets per round trip, and no more.
fn window(packets: u32) -> Claim {
    let text = format!(
        "duration = \"20ms\"\n[topology]\ndelay = \"10us\"\n[host]\nwindow = {packets}\n[[flow]]\nsize = \"100KB\"\ndepth = 40\n[measure]\nwarmup = \"1ms\""
    );
    let scenario = Scenario::parse(&text).expect("it is right");
    let outcome = Simulation::<NoTrace>::new(&scenario).run();
    let goodput = outcome.flows[0].goodput / 1e9;
    // A packet there over two cables, an ACK of 86 bytes back.
    let (packet, ack) = (1_106.0 * 8.0 / 40.0, 86.0 * 8.0 / 40.0);
    let trip = 40_000.0 + 2.0 * packet + 2.0 * ack;
    let theory = f64::from(packets) * 1024.0 * 8.0 / trip;
    Claim {
        source: "window / round trip",
        what: format!("{packets} packets in flight, four cables of 10 µs"),
        says: format!("{theory:.2} Gb/s at most"),
        gives: format!("{goodput:.2} Gb/s"),
        tolerance: "15 % below: an ACK is asked for every eighth of the window, not for each packet",
        holds: goodput < 1.01 * theory && goodput > 0.85 * theory,
    }
}
