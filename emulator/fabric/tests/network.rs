//! Switches: what they carry, pause, mark and drop.

use std::time::Duration;

use ferroce_engine::{DeviceConfig, NoTrace, Time};
use ferroce_fabric::*;

const RATE: u64 = 40_000_000_000;
const DELAY: Duration = Duration::from_micros(1);
const SIZE: u32 = 1_106;
const LOSSLESS: u8 = 3;

type Net = Fabric<NoTrace>;

fn host(net: &mut Net, switch: SwitchId, cable: Cable) -> HostId {
    let host = net.add_host("host");
    net.add_cable([Node::Host(host), Node::Switch(switch)], cable);
    host
}

fn flow(from: HostId, to: HostId, pattern: Pattern) -> Background {
    let stop = Time::from_micros(1_000);
    Background { from, to, size: SIZE, priority: LOSSLESS, pattern, start: Time::ZERO, stop }
}

/// So many hosts on one switch.
fn star(hosts: usize, config: SwitchConfig, seed: u64) -> (Net, SwitchId, Vec<HostId>) {
    let mut net = Net::new(seed);
    let switch = net.add_switch(config);
    let hosts = (0..hosts).map(|_| host(&mut net, switch, Cable::new(RATE, DELAY))).collect();
    (net, switch, hosts)
}

fn sized(headroom: u64) -> SwitchConfig {
    let pause_at = Threshold::Static(20_000);
    SwitchConfig { headroom, pause_at, buffer: 2_000_000, ..SwitchConfig::default() }
}

fn needed() -> u64 {
    headroom(RATE, DELAY, u64::from(SIZE))
}

#[test]
fn a_packet_takes_two_cables_and_is_stored_in_between() {
    let (mut net, _, hosts) = star(2, SwitchConfig::default(), 1);
    let once = Background { stop: Time::from_nanos(1), ..flow(hosts[0], hosts[1], Pattern::Steady(RATE)) };
    let number = net.add_background(once);
    assert!(net.run_until_idle(1_000));
    let stats = net.background_stats(number);
    let wire = Duration::from_nanos(u64::from(SIZE) * 8 / 40);
    assert_eq!((stats.arrived, stats.delay), (1, 2 * (wire + DELAY)));
}

/// Three senders to one receiver.
fn incast(headroom: u64, seed: u64) -> (Net, Vec<HostId>, [usize; 3]) {
    let (mut net, _, hosts) = star(4, sized(headroom), seed);
    let flows = [0, 1, 2].map(|from| net.add_background(flow(hosts[from], hosts[3], Pattern::Steady(RATE))));
    net.run_for(Duration::from_millis(3));
    (net, hosts, flows)
}

#[test]
fn pauses_keep_an_incast_from_losing_packets_and_share_the_link() {
    let (net, hosts, flows) = incast(needed(), 1);
    assert!(net.drops().is_empty(), "{:?}", net.drops());
    assert!(net.paused_for(Node::Host(hosts[0]), 0) > Duration::from_micros(500));
    let arrived = flows.map(|flow| net.background_stats(flow).arrived);
    let fair = arrived.iter().sum::<u64>() / 3;
    assert!(arrived.iter().all(|arrived| arrived.abs_diff(fair) * 20 < fair), "{arrived:?}");
}

#[test]
fn headroom_that_is_too_small_loses_packets_and_the_report_says_where() {
    let (net, _, _) = incast(needed() / 2, 1);
    let causes: Vec<_> = net.drops().keys().map(|place| (place.cause, place.priority, place.node)).collect();
    assert!(!causes.is_empty());
    let expected = (DropCause::HeadroomFull, LOSSLESS, Node::Switch(SwitchId(0)));
    assert!(causes.iter().all(|cause| *cause == expected), "{causes:?}");
}

/// A tree of switches with hosts at the leaves, and everybody sends to somebody.
fn random_network(seed: u64, headroom_percent: u64) -> Net {
    let mut dice = Dice::new(seed);
    let mut net = Net::new(seed);
    let rates = [10_000_000_000, 25_000_000_000, 100_000_000_000];
    let rate = rates[dice.below(3) as usize];
    let delay = Duration::from_nanos(100 + dice.below(3_000));
    let room = headroom(rate, delay, u64::from(SIZE)) * headroom_percent / 100;
    let count = 1 + dice.below(4) as usize;
    let config = |tier| SwitchConfig {
        tier,
        headroom: room,
        pause_at: Threshold::Static(5_000 + 10_000 * u64::from(tier)),
        buffer: 4_000_000,
        ..SwitchConfig::default()
    };
    let cable = Cable::new(rate, delay);
    let top = net.add_switch(config(1));
    let mut hosts = Vec::new();
    for _ in 0..count {
        let leaf = net.add_switch(config(0));
        net.add_cable([Node::Switch(leaf), Node::Switch(top)], cable);
        for _ in 0..1 + dice.below(4) {
            hosts.push(host(&mut net, leaf, cable));
        }
    }
    let victim = hosts[dice.below(hosts.len() as u64) as usize];
    for from in &hosts {
        let to = if dice.happens(Chance::percent(60)) {
            victim
        } else {
            hosts[dice.below(hosts.len() as u64) as usize]
        };
        let pattern =
            if dice.happens(Chance::percent(50)) { Pattern::Steady(rate) } else { Pattern::Poisson(rate) };
        net.add_background(flow(*from, to, pattern));
    }
    net
}

#[test]
fn no_lossless_packet_is_lost_in_any_network_with_enough_headroom() {
    let mut paused = 0;
    for seed in 0..24 {
        let mut net = random_network(seed, 100);
        net.run_for(Duration::from_millis(2));
        assert!(net.drops().is_empty(), "seed {seed}: {:?}", net.drops());
        paused += u64::from(net.switches().any(|id| net.ports(id).any(|(_, stats)| stats.pauses_sent > 0)));
        let carried = net.carried();
        assert_eq!(carried.sent, carried.delivered + carried.under_way, "seed {seed}");
    }
    assert!(paused > 12, "most of these networks are too small for their traffic: {paused}");
}

#[test]
fn in_many_networks_half_the_headroom_is_not_enough() {
    let losing = (0..24).filter(|seed| {
        let mut net = random_network(*seed, 30);
        net.run_for(Duration::from_millis(2));
        net.drops().keys().any(|place| place.cause == DropCause::HeadroomFull)
    });
    assert!(losing.count() > 6);
}

#[test]
fn flows_spread_over_equal_ways_and_each_stays_on_its_own() {
    let mut net = Net::new(3);
    let config = |tier| SwitchConfig { tier, ..SwitchConfig::default() };
    let cable = Cable::new(RATE, DELAY);
    let leaves = [net.add_switch(config(0)), net.add_switch(config(0))];
    for _ in 0..4 {
        let spine = net.add_switch(config(1));
        leaves.iter().for_each(|leaf| net.add_cable([Node::Switch(*leaf), Node::Switch(spine)], cable));
    }
    let (from, to) = (host(&mut net, leaves[0], cable), host(&mut net, leaves[1], cable));
    for _ in 0..64 {
        net.add_background(flow(from, to, Pattern::Steady(RATE / 100)));
    }
    net.run_for(Duration::from_millis(2));
    let up: Vec<u64> = net.ports(leaves[0]).take(4).map(|(_, stats)| stats.sent).collect();
    assert!(up.iter().all(|sent| *sent > 0), "{up:?}");
    let per_flow = net.background_stats(0).sent;
    assert!(up.iter().all(|sent| sent % per_flow == 0), "whole flows: {up:?} of {per_flow} each");

    let used = up.iter().position(|sent| *sent > 0).unwrap();
    net.set_cable([Node::Switch(leaves[0]), Node::Switch(SwitchId(2 + used))], false);
    let number = net.add_background(Background {
        start: Time::from_micros(2_000),
        stop: Time::from_micros(2_500),
        ..flow(from, to, Pattern::Steady(RATE / 100))
    });
    net.run_for(Duration::from_millis(1));
    let stats = net.background_stats(number);
    assert_eq!(stats.sent, stats.arrived, "another way is found");
}

#[test]
fn a_watchdog_ends_what_a_broken_nic_began() {
    let run = |watchdog| {
        let config = SwitchConfig { watchdog, ..sized(needed()) };
        let (mut net, _, hosts) = star(3, config, 1);
        net.start_storm(hosts[2], LOSSLESS, None);
        // Two flows share the sender's queue; only one goes to the broken NIC.
        let stop = Time::from_micros(40_000);
        net.add_background(Background { stop, ..flow(hosts[0], hosts[2], Pattern::Steady(RATE / 4)) });
        let good =
            net.add_background(Background { stop, ..flow(hosts[0], hosts[1], Pattern::Steady(RATE / 4)) });
        net.run_for(Duration::from_millis(40));
        net.background_stats(good).arrived
    };
    let (without, with) = (run(None), run(Some(Duration::from_millis(5))));
    assert!(without < 100, "everything stands still: {without}");
    assert!(with > 20_000, "after 5 ms it goes on: {with}");
}

#[test]
fn a_lossy_queue_drops_its_tail_and_a_window_flow_takes_what_is_left() {
    let config = SwitchConfig { buffer: 200_000, lossless: 0, ..SwitchConfig::default() };
    let (mut net, switch, hosts) = star(3, config, 1);
    let stop = Time::from_micros(20_000);
    let half = net.add_background(Background { stop, ..flow(hosts[0], hosts[2], Pattern::Steady(RATE / 2)) });
    let tcp = net.add_background(Background { stop, ..flow(hosts[1], hosts[2], Pattern::Window) });
    net.run_for(Duration::from_millis(20));
    let place =
        DropPlace { node: Node::Switch(switch), port: 2, priority: LOSSLESS, cause: DropCause::QueueFull };
    assert_eq!(net.drops().keys().collect::<Vec<_>>(), [&place]);
    let (half, tcp) = (net.background_stats(half), net.background_stats(tcp));
    assert!(tcp.losses > 0 && tcp.arrived > half.arrived / 2, "{tcp:?} beside {half:?}");
}

#[test]
fn a_queue_with_random_arrivals_is_as_long_as_theory_says() {
    let (mut net, _, hosts) = star(3, SwitchConfig { lossless: 0, ..SwitchConfig::default() }, 7);
    let stop = Time::from_micros(200_000);
    // Each half of the load comes over a link of its own, where packets meet none.
    let flows = [0, 1].map(|from| {
        let half = Pattern::Poisson(RATE * 4 / 10);
        net.add_background(Background { stop, ..flow(hosts[from], hosts[2], half) })
    });
    net.run_for(Duration::from_millis(201));
    let stats = flows.map(|flow| net.background_stats(flow));
    let packets = stats.iter().map(|stats| stats.arrived).sum::<u64>();
    let delay = stats.iter().map(|stats| stats.delay).sum::<Duration>().as_nanos() as f64 / packets as f64;
    let service = f64::from(SIZE) * 8.0 / 40.0;
    let waiting = |load: f64| service * load / (2.0 * (1.0 - load));
    // The first queue is M/D/1 at 0.4. Its output is smoother than Poisson, so the second waits less than M/D/1.
    let first = waiting(0.4);
    let second = delay - 2.0 * service - 2_000.0 - first;
    assert!(
        second > 0.5 * waiting(0.8) && second < waiting(0.8),
        "{second} ns, M/D/1 would be {}",
        waiting(0.8)
    );
}

#[test]
fn a_host_that_died_is_flooded_for_until_nobody_believes_in_it() {
    let run = |drop_unknown| {
        let config = SwitchConfig {
            mac_timeout: Some(Duration::from_micros(100)),
            arp_timeout: Some(Duration::from_micros(500)),
            drop_unknown,
            ..SwitchConfig::default()
        };
        let (mut net, switch, hosts) = star(4, config, 1);
        net.kill(hosts[3]);
        net.add_background(flow(hosts[0], hosts[3], Pattern::Steady(RATE / 10)));
        net.run_for(Duration::from_millis(2));
        let count = |cause| {
            net.drops().iter().filter(|(place, _)| place.cause == cause).map(|(_, n)| *n).sum::<u64>()
        };
        let elsewhere = net.ports(switch).nth(1).unwrap().1.sent;
        (elsewhere, count(DropCause::HostDown), count(DropCause::UnknownStation))
    };
    let (elsewhere, lost, unknown) = run(false);
    assert!(elsewhere > 150 && lost > elsewhere && unknown > 150, "{elsewhere} {lost} {unknown}");
    let (elsewhere, _, unknown) = run(true);
    assert!(elsewhere == 0 && unknown > 350, "{elsewhere} {unknown}");
}

#[test]
fn two_runs_from_one_seed_are_the_same() {
    let digest = |seed| {
        let mut net = random_network(seed, 100);
        net.run_for(Duration::from_millis(1));
        net.digest()
    };
    assert_eq!(digest(5), digest(5));
    assert_ne!(digest(5), digest(6));
}

#[test]
fn hosts_on_cables_and_hosts_without_do_not_reach_each_other() {
    let (mut net, _, hosts) = star(1, SwitchConfig::default(), 1);
    let alone = net.add_device(DeviceConfig::new("alone", [std::net::Ipv4Addr::new(192, 0, 2, 1).into()]));
    net.add_background(flow(hosts[0], alone, Pattern::Steady(RATE / 100)));
    net.run_for(Duration::from_millis(2));
    assert!(net.drops().keys().all(|place| place.cause == DropCause::NoRoute) && !net.drops().is_empty());
    assert_eq!(net.carried().delivered, 0);
}

#[test]
fn a_damaged_packet_of_a_background_flow_does_not_arrive() {
    let mut net = Net::new(1);
    let switch = net.add_switch(SwitchConfig::default());
    let link = Link { corrupt: Chance::percent(50), ..Link::perfect(DELAY) };
    let from = host(&mut net, switch, Cable { rate: RATE, link });
    let to = host(&mut net, switch, Cable::new(RATE, DELAY));
    let number = net.add_background(flow(from, to, Pattern::Steady(RATE / 4)));
    net.run_for(Duration::from_millis(2));
    let (stats, damaged) = (net.background_stats(number), net.carried().damaged);
    assert!(damaged > stats.sent / 4, "{damaged} of {stats:?}");
    assert_eq!(stats.arrived + damaged, stats.sent);
}
