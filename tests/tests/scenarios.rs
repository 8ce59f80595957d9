//! Every scenario, played by two Ferroce NICs of this process.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::Result;
use ferroce_net::{Hub, Nic};
use ferroce_tests::peer::FerrocePeer;
use ferroce_tests::scenarios::Scenario;
use ferroce_tests::tally::Verdict;

/// Scenarios at a time. They mostly wait for what should not happen.
const THREADS: usize = 16;

fn play(scenario: &Scenario) -> Result<Verdict> {
    let hub = Hub::new();
    let peer = |host: u8| {
        let ipv6 = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, host.into());
        FerrocePeer::open(Nic::builder().hub(&hub), Ipv4Addr::new(10, 77, 0, host), ipv6)
    };
    scenario.run(&mut peer(1)?, &mut peer(2)?)
}

#[test]
fn two_ferroces_do_in_every_scenario_what_the_table_says() {
    let scenarios: Vec<_> = Scenario::all().collect();
    let (next, problems) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
            let problem = match play(scenario) {
                Ok(Verdict::Failed(why)) => why,
                Err(error) => format!("{error:#}"),
                Ok(Verdict::Passed | Verdict::Skipped(_)) => continue,
            };
            problems.lock().unwrap().push(format!("{}: {problem}", scenario.name));
        }
    };
    thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(work))));
    let problems = problems.into_inner().unwrap();
    assert!(problems.is_empty(), "{} of {}:\n{}", problems.len(), scenarios.len(), problems.join("\n"));
}
