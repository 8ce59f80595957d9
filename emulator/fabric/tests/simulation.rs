//! Scenarios, run: what students and scripts would see of them.

use ferroce_engine::{NoTrace, Time, TraceEvent};
use ferroce_fabric::*;
use proptest::prelude::*;

fn run(text: &str) -> Outcome {
    let scenario = Scenario::parse(text).unwrap_or_else(|error| panic!("{error}"));
    Simulation::<NoTrace>::new(&scenario).run()
}

const STAR: &str = "
duration = \"2ms\"
[topology]
kind = \"star\"
hosts = 5
";

fn star(rest: &str) -> Outcome {
    run(&format!("{STAR}{rest}"))
}

#[test]
fn four_senders_share_one_receiver_and_pauses_lose_nothing() {
    let outcome = star(
        "[switch]\npause_at = \"30KB\"\n[[flow]]\nfrom = [0, 1, 2, 3]\nto = 4\n[measure]\nwarmup = \"500us\"\nsample = \"100us\"",
    );
    assert_eq!((outcome.lost, outcome.ending), (0, Ending::TimeOver));
    assert!(outcome.fairness > 0.99, "{}", outcome.fairness);
    let total: f64 = outcome.flows.iter().map(|flow| flow.goodput).sum();
    // 1024 of 1106 bytes of a packet are payload; ACKs go the other way.
    let most = 40e9 * 1024.0 / 1106.0;
    assert!(total > 0.97 * most && total < 1.03 * most, "{total}");
    assert!(outcome.ports.iter().any(|port| port.pauses_sent > 0));
    assert_eq!((outcome.samples.at.len(), outcome.samples.goodput.len()), (20, 4));
}

#[test]
fn every_operation_and_pattern_moves_messages() {
    for op in ["write", "send", "read"] {
        let outcome = star(&format!("[[flow]]\nop = \"{op}\"\ncount = 20\nsize = \"10KB\""));
        assert_eq!((outcome.flows[0].messages, outcome.ending), (20, Ending::Done), "{op}");
    }
    for (pattern, least) in [("poisson", 10), ("burst", 40), ("request", 10)] {
        let outcome = star(&format!(
            "[[flow]]\npattern = \"{pattern}\"\nop = \"send\"\nsize = \"1KB\"\nload = \"100Mb/s\"\nburst = 4\ninterval = \"50us\""
        ));
        let flow = &outcome.flows[0];
        assert!(flow.messages >= least && flow.failed.is_none(), "{pattern}: {flow:?}");
    }
}

#[test]
fn a_request_takes_two_ways_through_the_switch() {
    let outcome = star("[[flow]]\npattern = \"request\"\nsize = \"64B\"\nresponse = \"64B\"\ncount = 10");
    let [mean, ..] = outcome.flows[0].latency;
    // Four cables of 1 µs, 146 bytes four times at 40 Gb/s, and once the ACK that goes first.
    assert!((4_116..4_140).contains(&mean), "{mean} ns");
}

#[test]
fn a_ring_all_reduce_takes_what_its_bandwidth_allows() {
    let outcome = star("[[all_reduce]]\nsize = \"1MB\"\nrounds = 2");
    assert_eq!(outcome.ending, Ending::Done);
    let rounds = &outcome.reduces[0].rounds;
    // Each host sends 2·(n−1)/n of its data.
    let bound = 1e6 * 8.0 * 8.0 / 5.0 / 40.0 * 1106.0 / 1024.0;
    assert_eq!(rounds.len(), 2);
    assert!(
        rounds.iter().all(|nanos| (*nanos as f64) > bound && (*nanos as f64) < 1.2 * bound),
        "{rounds:?} {bound}"
    );
}

#[test]
fn interruptions_and_watchers_change_nothing() {
    let text = format!("{STAR}[link]\nloss = 0.001\n[[flow]]\nfrom = [0, 1]\nto = 4\nsize = \"web-search\"");
    let scenario = Scenario::parse(&text).unwrap();
    let whole = Simulation::<NoTrace>::new(&scenario).run();
    let mut pieces = Simulation::<NoTrace>::new(&scenario);
    while !pieces.advance(7).over {}
    assert_eq!(pieces.outcome(), whole);
    let mut watched = Simulation::<Vec<(Time, TraceEvent)>>::new(&scenario);
    while !watched.advance(1 << 20).over {}
    assert_eq!(watched.outcome(), whole);
    assert!(watched.fabric().log().packets().count() as u64 == whole.packets);
    let mut stopped = Simulation::<NoTrace>::new(&scenario);
    stopped.advance(1_000);
    assert_eq!(stopped.outcome().ending, Ending::Interrupted);
    assert_ne!(whole.digest, Simulation::<NoTrace>::new(&Scenario { seed: 2, ..scenario }).run().digest);
}

#[test]
fn dcqcn_slows_down_where_nothing_else_does() {
    let with = |congestion: &str| {
        star(&format!(
            "[switch]\npause_at = \"30KB\"\nk_max = \"20KB\"\necn = true\n[host]\ncongestion = \"{congestion}\"\n[[flow]]\nfrom = [0, 1, 2, 3]\nto = 4"
        ))
    };
    let (none, dcqcn) = (with("none"), with("dcqcn"));
    let paused = |outcome: &Outcome| outcome.ports.iter().map(|port| port.pauses_sent).sum::<u64>();
    assert_eq!((none.cnps, none.marked), (0, 0), "without ECT there are no marks");
    assert!(dcqcn.cnps > 8 && dcqcn.marked > 20, "{} {}", dcqcn.cnps, dcqcn.marked);
    assert!(paused(&dcqcn) < paused(&none) / 2, "{} against {}", paused(&dcqcn), paused(&none));
}

#[test]
fn every_shape_carries_from_everywhere_to_everywhere() {
    for (shape, hosts) in [
        ("kind = \"pair\"", 2),
        ("kind = \"dumbbell\"\nhosts = 2", 4),
        ("kind = \"parking-lot\"\nhosts = 2\nswitches = 3", 6),
        ("kind = \"clos\"\nhosts = 2\nracks = 3\nspines = 2", 6),
        ("kind = \"three-tier\"\nhosts = 2\nracks = 2\npods = 2\nspines = 2", 8),
        ("kind = \"fat-tree\"\npods = 4", 16),
    ] {
        let text = format!(
            "duration = \"20ms\"\n[topology]\n{shape}\n[[flow]]\nfrom = \"all\"\nto = \"all\"\ncount = 1\nsize = \"3KB\""
        );
        let outcome = run(&text);
        assert_eq!(outcome.flows.len(), hosts * (hosts - 1), "{shape}");
        assert!(outcome.flows.iter().all(|flow| flow.messages == 1), "{shape}: {:?}", outcome.drops);
        assert_eq!(outcome.lost, 0, "{shape}");
    }
}

/// Tables of a file with their keys.
fn tables() -> Vec<(&'static str, Vec<Key>)> {
    vec![
        ("", Scenario::keys()),
        ("[topology]", Topology::keys()),
        ("[switch]", SwitchTable::keys()),
        ("[host]", HostTable::keys()),
        ("[link]", LinkTable::keys()),
        ("[[flow]]", Flow::keys()),
        ("[[all_reduce]]", AllReduce::keys()),
        ("[[background]]", BackgroundTable::keys()),
        ("[[rule]]", RuleTable::keys()),
        ("[[event]]", EventTable::keys()),
        ("[measure]", Measure::keys()),
    ]
}

/// Values that fit somewhere, by spaces.
const VALUES: &str = "0 1 3 7 64 1000 4096 -1 1.5 1e99 18446744073709551615 true [] [0,1] \"1us\" \"100s\" \"0s\" \
    \"40Gb/s\" \"1b/s\" \"64MB\" \"1B\" \"all\" \"next\" \"random\" \"fat-tree\" \"star\" \"clos\" \"read\" \"send\" \
    \"poisson\" \"burst\" \"request\" \"window\" \"storm\" \"kill-host\" \"cut-cable\" \"dcqcn\" \"timely\" \
    \"go-back-0\" \"web-search\" \"drop\"";

/// A file of keys that exist, with values that may be anything.
fn hostile() -> impl Strategy<Value = String> {
    let tables = tables();
    let value = prop_oneof![
        prop::sample::select(VALUES.split_whitespace().map(str::to_owned).collect::<Vec<_>>()),
        any::<i64>().prop_map(|number| number.to_string()),
        "[a-z\"\\[\\]{}=.]{0,12}",
    ];
    let line = (0..tables.len(), any::<prop::sample::Index>(), value);
    prop::collection::vec(line, 1..8).prop_map(move |mut lines| {
        lines.sort_by_key(|line| line.0);
        let mut text = String::from("most_packets = 3000\n");
        let mut last = 0;
        for (table, key, value) in lines {
            let (heading, keys) = &tables[table];
            if table != last {
                text += &format!("{heading}\n");
                last = table;
            }
            text += &format!("{} = {value}\n", key.get(keys).name);
        }
        text
    })
}

proptest! {
    #[test]
    fn property_a_hostile_file_is_refused_or_its_run_ends(text in hostile()) {
        if let Ok(scenario) = Scenario::parse(&text) {
            let mut simulation = Simulation::<NoTrace>::new(&scenario);
            let steps = 200_000;
            simulation.advance(steps);
            simulation.outcome();
        }
    }

    #[test]
    fn property_bytes_that_are_no_scenario_are_refused(text in ".{0,200}") {
        let _ = Scenario::parse(&text);
    }
}

/// Nobody looks at the packets of such a run, so that only those get an ICRC that are damaged.
#[test]
fn damaged_packets_are_noticed_where_nothing_is_recorded() {
    let rule = |nth: u32| format!("[[rule]]\nfrom = 0\nnth = {nth}\naction = \"corrupt\"\n");
    let flow = "[[flow]]\nfrom = 0\nto = 1\nsize = \"64KB\"\ncount = 1\n";
    let text = format!("{STAR}{flow}{}{}", rule(3), rule(9));
    let mut simulation = Simulation::<NoTrace>::new(&Scenario::parse(&text).unwrap());
    while !simulation.advance(1 << 16).over {}
    let outcome = simulation.outcome();
    let dropped =
        simulation.fabric().hosts().map(|host| simulation.fabric().device(host).counters().drop_icrc);
    assert_eq!(dropped.sum::<u64>(), 2);
    assert!(outcome.retransmitted >= 2 && outcome.ending == Ending::Done, "{outcome:?}");
}
