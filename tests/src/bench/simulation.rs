//! The simulated network: packets per second of one core, and what a packet costs when there are more hosts.

use ferroce_engine::NoTrace;
use ferroce_fabric::{Scenario, Simulation};
use nix::time::{ClockId, clock_gettime};

use super::Report;

/// Packets of one measurement.
const PACKETS: u64 = 200_000;

/// Half of the hosts send to the other half, all through one switch, with the whole engine at both ends.
fn pairs(hosts: usize) -> Scenario {
    let flows = (0..hosts / 2).map(|from| format!("[[flow]]\nfrom = {from}\nto = {}\n", from + hosts / 2));
    let flows: String = flows.collect();
    let text = format!(
        "duration = \"10s\"\nmost_packets = {PACKETS}\n[topology]\nkind = \"star\"\nhosts = {hosts}\n{flows}"
    );
    Scenario::parse(&text).expect("the scenario is right")
}

/// Millions of packets per second of processor time.
fn rate(scenario: &Scenario) -> f64 {
    let mut simulation = Simulation::<NoTrace>::new(scenario);
    let start = processor_seconds();
    while !simulation.advance(1 << 16).over {}
    simulation.outcome().packets as f64 / (processor_seconds() - start) / 1e6
}

/// What this thread has used of a processor.
fn processor_seconds() -> f64 {
    let used = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a thread can ask about itself");
    used.tv_sec() as f64 + used.tv_nsec() as f64 / 1e9
}

/// Packets per second, and how that depends on the number of hosts.
pub fn run(report: &mut Report) {
    let [two, many] = [2, 256].map(pairs);
    report.figure(
        "a simulated packet through a switch, 256 hosts",
        "µs",
        "2 hosts (at most half as much)",
        || 1.0 / rate(&many),
        || 1.0 / rate(&two),
    );
    let target = || 1.0;
    report.figure("simulated packets, one core", "million/s", "the goal", || rate(&two), target);
}
