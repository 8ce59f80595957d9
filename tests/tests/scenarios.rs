//! Every scenario, and every operation with every size, between two Ferroce NICs of this process.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::Result;
use ferroce_net::{Faults, Hub, Nic};
use ferroce_tests::peer::FerrocePeer;
use ferroce_tests::scenarios::{Bulk, Scenario};
use ferroce_tests::tally::Verdict;

/// Scenarios at a time. They mostly wait for what should not happen.
const THREADS: usize = 16;

/// Two fresh peers; each loses `loss` of what it sends, chosen by `seed`.
fn peers(loss: f64, seed: u64) -> Result<[FerrocePeer; 2]> {
    let hub = Hub::new();
    let peer = |host: u8| {
        let ipv6 = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, host.into());
        let faults = Faults::loss(loss, seed + u64::from(host));
        FerrocePeer::open(Nic::builder().hub(&hub).faults(faults), Ipv4Addr::new(10, 77, 0, host), ipv6)
    };
    Ok([peer(1)?, peer(2)?])
}

fn play(scenario: &Scenario) -> Result<Verdict> {
    let [mut requester, mut responder] = peers(0.0, 0)?;
    scenario.run(&mut requester, &mut responder)
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

#[test]
fn data_arrive_with_every_size_and_path_mtu_however_much_is_lost() {
    for (mtu, ipv6, loss) in [(256, false, 0.0), (1024, true, 0.05), (4096, false, 0.05)] {
        let bulk = Bulk { mtu, ipv6, shortest: 0, longest: 1 << 20 };
        let [mut requester, mut responder] = peers(loss, 1).unwrap();
        let verdict = bulk.run(&mut requester, &mut responder).unwrap();
        assert_eq!(verdict, Verdict::Passed, "{bulk}, {loss} lost");
    }
}
