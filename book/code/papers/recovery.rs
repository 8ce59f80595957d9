//! Losses: livelock, and what happens around one lost packet.

use ferroce_engine::{Time, TraceEvent};
use ferroce_fabric::{Scenario, Simulation, named};
use ferroce_wire::Opcode;

use super::plot::{Curve, Form, Plot};
use super::{Claim, run};

/// Payload rate of a 40 Gb/s link with 1024-byte packets, in Gb/s.
const LINE: f64 = 40.0 * 1024.0 / 1106.0;

/// Guo et al., SIGCOMM 2016, §4.1.
pub(super) fn livelock(plots: &mut Vec<Plot>) -> Vec<Claim> {
    let (mut claims, mut bars) = (Vec::new(), Vec::new());
    for op in ["write", "send", "read"] {
        let with = |recovery: &str| {
            run(
                "livelock",
                &[("flow.op", &format!("\"{op}\"")), ("host.recovery", &format!("\"{recovery}\""))],
            )
        };
        let (zero, n, selective) = (with("go-back-0"), with("go-back-n"), with("selective-repeat"));
        let busy = zero.ports.iter().map(|port| port.busy).fold(0.0, f64::max);
        let goodput = |outcome: &ferroce_fabric::Outcome| outcome.flows[0].goodput / 1e9;
        for (name, outcome) in [("go-back-0", &zero), ("go-back-N", &n), ("selective repeat", &selective)] {
            bars.push((format!("{}, {name}", op.to_uppercase()), goodput(outcome)));
        }
        claims.push(Claim {
            source: "Guo 2016, §4.1",
            what: format!("go-back-0, 4 MB by {}, 1 packet in 256 lost", op.to_uppercase()),
            says: "goodput 0, link fully busy".to_owned(),
            gives: format!("{:.1} Gb/s, link {:.0} % busy", goodput(&zero), busy * 100.0),
            tolerance: "exactly 0; 90 %, for NAKs take a round trip",
            holds: goodput(&zero) == 0.0 && busy > 0.9,
        });
        claims.push(Claim {
            source: "Guo 2016, §4.1",
            what: format!("go-back-N, the same by {}", op.to_uppercase()),
            says: "progress".to_owned(),
            gives: format!("{:.1} of {LINE:.1} Gb/s", goodput(&n)),
            tolerance: "a loss costs at most a round trip, 4.4 µs of 57 µs, but a lost NAK or last packet costs a timeout: 50 %",
            holds: goodput(&n) > 0.5 * LINE,
        });
        let resent =
            |outcome: &ferroce_fabric::Outcome| outcome.retransmitted as f64 / outcome.packets as f64;
        claims.push(Claim {
            source: "Mittal 2018, §3",
            what: format!("selective repeat, the same by {}", op.to_uppercase()),
            says: "only what was lost is sent again".to_owned(),
            gives: format!(
                "{:.1} Gb/s, {:.1} % of all packets sent again (go-back-N: {:.1} %)",
                goodput(&selective),
                resent(&selective) * 100.0,
                resent(&n) * 100.0
            ),
            tolerance: "goodput not below go-back-N's; at most 1 % of all packets again, where 1 in 256 is lost",
            holds: goodput(&selective) >= goodput(&n) && resent(&selective) < 0.01,
        });
    }
    plots.push(Plot {
        name: "result-livelock",
        title: "Messages of 4 MB where one packet in 256 is lost",
        unit: "goodput, Gb/s",
        form: Form::Bars(bars),
    });
    claims
}

/// In the manner of Lumina (Yu et al., SIGCOMM 2023).
pub(super) fn micro_behaviour(plots: &mut Vec<Plot>) -> Vec<Claim> {
    vec![dropped(plots), marked()]
}

type Watched = Simulation<Vec<(Time, TraceEvent)>>;

fn watch(changes: &[(&str, &str)], rule: &str) -> Watched {
    let text = format!("{}{rule}", named("micro-drop").expect("a scenario of the library"));
    let scenario = Scenario::parse_with(&text, changes).expect("its keys exist");
    let mut simulation = Watched::new(&scenario);
    while !simulation.advance(1 << 16).over {}
    simulation
}

fn dropped(plots: &mut Vec<Plot>) -> Claim {
    let simulation = watch(&[], "");
    let events = || {
        let hosts = simulation.fabric().hosts();
        hosts.flat_map(|host| simulation.fabric().log().device(host))
    };
    let gap = events().find_map(|(at, event)| matches!(event, TraceEvent::Gap { .. }).then_some(at));
    let nak = events().find_map(|(at, event)| match event {
        TraceEvent::Sent { syndrome: Some(syndrome), .. } if syndrome.to_string().contains("sequence") => {
            Some(at)
        }
        _ => None,
    });
    let again: Vec<(Time, u32)> = events()
        .filter_map(|(at, event)| match event {
            TraceEvent::Sent { psn, again: true, .. } => Some((at, psn.value() - 0x1000)),
            _ => None,
        })
        .collect();
    let sent = |repeated: bool| {
        let sent = events().filter_map(move |(at, event)| match event {
            TraceEvent::Sent { psn, again, syndrome: None, .. } if *again == repeated => {
                Some((at.nanos() as f64 / 1e3, f64::from(psn.value() - 0x1000)))
            }
            _ => None,
        });
        sent.collect()
    };
    plots.push(Plot {
        name: "result-lost-packet",
        title: "Packet 20 is lost: what the requester sends, and sends again",
        unit: "packet",
        form: Form::Curves {
            over: "µs",
            curves: vec![Curve::dots("sent", sent(false)), Curve::dots("sent again", sent(true))],
        },
    });
    let naks = simulation
        .fabric()
        .hosts()
        .map(|host| simulation.fabric().device(host).counters().seq_nak_sent)
        .sum::<u64>();
    let (Some(gap), Some(nak), Some((first, psn))) = (gap, nak, again.first().copied()) else {
        unreachable!("the rule of the scenario drops a packet");
    };
    let (generation, reaction) = (nak.since(gap).as_nanos(), first.since(nak).as_nanos());
    Claim {
        source: "Lumina 2023, §5",
        what: "one dropped packet: NACK generation, reaction, first packet sent again".to_owned(),
        says: "generation 2 µs and reaction 2–6 µs on recent NICs; go-back-N from the lost PSN".to_owned(),
        gives: format!(
            "{generation} ns, {reaction} ns (two cables and a packet on its way), PSN +{psn}, {naks} NAK"
        ),
        tolerance: "one NAK, the lost PSN first, in order; an engine in virtual time has no delays of its own",
        holds: naks == 1 && psn == 20 && again.windows(2).all(|pair| pair[1].1 == pair[0].1 + 1),
    }
}

fn marked() -> Claim {
    let rule = "\n[[rule]]\nfrom = 0\naction = \"mark\"\n";
    let simulation = watch(&[("host.congestion", "dcqcn"), ("flow.size", "1MB"), ("duration", "10ms")], rule);
    let sent = simulation.fabric().hosts().flat_map(|host| simulation.fabric().log().device(host));
    let cnps: Vec<u64> = sent
        .filter_map(|(at, event)| match event {
            TraceEvent::Sent { opcode: Opcode::CNP, .. } => Some(at.nanos()),
            _ => None,
        })
        .collect();
    let least = cnps.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or(0);
    Claim {
        source: "Lumina 2023, §5",
        what: "every packet marked: spacing of CNPs".to_owned(),
        says: "not less than the interval that is set (50 µs in DCQCN)".to_owned(),
        gives: format!("{} CNPs, at least {:.1} µs apart", cnps.len(), least as f64 / 1e3),
        tolerance: "exact: an interval is a rule",
        holds: cnps.len() > 3 && least >= 50_000,
    }
}
