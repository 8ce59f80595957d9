//! What priority flow control does to those who are not guilty.

use ferroce_engine::NoTrace;
use ferroce_fabric::{Scenario, Simulation};

use super::plot::{Curve, Form, Plot, over_time};
use super::{Claim, goodputs, row, run};

/// Zhu et al., SIGCOMM 2015, figures 3 and 8.
pub(super) fn unfairness(plots: &mut Vec<Plot>) -> Vec<Claim> {
    let (pfc, dcqcn) = (
        run("unfairness", &[]),
        run("unfairness", &[("host.congestion", "dcqcn"), ("duration", "20ms"), ("measure.warmup", "8ms")]),
    );
    let shares = goodputs(&pfc, "to host 4");
    let mut others = shares[..3].to_vec();
    others.sort_by(f64::total_cmp);
    let most = others[2];
    let fair = goodputs(&dcqcn, "to host 4");
    let bars = [("PFC alone", &shares), ("DCQCN", &fair)].into_iter().flat_map(|(name, shares)| {
        let host = |index| {
            if index == 3 { "the host next door".to_owned() } else { format!("far host {}", index + 1) }
        };
        shares.iter().enumerate().map(move |(index, share)| (format!("{name}, {}", host(index)), *share))
    });
    plots.push(Plot {
        name: "result-unfairness",
        title: "Three hosts of another rack, and the one next door, send to one",
        unit: "goodput, Gb/s",
        form: Form::Bars(bars.collect()),
    });
    vec![
        Claim {
            source: "Zhu 2015, fig. 3",
            what: "PFC alone: three hosts of another rack, and the one next door".to_owned(),
            says: "the one next door gets the most".to_owned(),
            gives: format!("{} Gb/s", row(&shares)),
            tolerance: "at least as much as any, and 1.5 times the median of the others; one that has an uplink for itself gets as much",
            holds: shares[3] > 0.97 * most && shares[3] > 1.5 * others[1],
        },
        Claim {
            source: "Zhu 2015, fig. 8",
            what: "the same with DCQCN".to_owned(),
            says: "four equal shares".to_owned(),
            gives: format!("{} Gb/s, Jain {:.3}", row(&fair), dcqcn.fairness),
            tolerance: "Jain's index 0.95",
            holds: dcqcn.fairness > 0.95,
        },
    ]
}

/// Zhu et al., SIGCOMM 2015, figures 4 and 9.
pub(super) fn victim(plots: &mut Vec<Plot>) -> Vec<Claim> {
    let text = ferroce_fabric::named("victim").expect("a scenario of the library");
    let without = text.split("[[flow]]\nname = \"more incast\"").next().unwrap_or_default();
    let with = |congestion: &str, text: &str| {
        // DCQCN takes some ten milliseconds to give back what the start has cost.
        let (duration, warmup) = if congestion == "none" { ("10ms", "2ms") } else { ("50ms", "35ms") };
        let changes = [("host.congestion", congestion), ("duration", duration), ("measure.warmup", warmup)];
        let scenario = Scenario::parse_with(text, &changes).expect("its keys exist");
        goodputs(&Simulation::<NoTrace>::new(&scenario).run(), "victim")[0]
    };
    let (few, many) = (with("none", without), with("none", text));
    let (kept, kept_too) = (with("dcqcn", without), with("dcqcn", text));
    let bars = [
        ("PFC alone, alone on its links", few),
        ("PFC alone, with senders elsewhere", many),
        ("DCQCN, alone on its links", kept),
        ("DCQCN, with senders elsewhere", kept_too),
    ];
    plots.push(Plot {
        name: "result-victim",
        title: "A flow that shares no link with those who cause congestion",
        unit: "goodput, Gb/s",
        form: Form::Bars(bars.map(|(name, value)| (name.to_owned(), value)).into()),
    });
    vec![
        Claim {
            source: "Zhu 2015, fig. 4",
            what: "PFC alone: the victim, without and with senders in a third rack".to_owned(),
            says: "falls as senders are added that share no link with it".to_owned(),
            gives: format!("{} Gb/s", row(&[few, many])),
            tolerance: "falls by 5 % or more (from 10 to 4.5 Gb/s in the paper): by how much depends on which uplink it shares",
            holds: many < 0.95 * few,
        },
        Claim {
            source: "Zhu 2015, fig. 9",
            what: "the same with DCQCN".to_owned(),
            says: "keeps its rate".to_owned(),
            gives: format!("{} Gb/s", row(&[kept, kept_too])),
            tolerance: "a tenth: what the senders' first round trips at line rate take",
            holds: kept_too > 0.9 * kept && kept_too > many,
        },
    ]
}

/// Guo et al., SIGCOMM 2016, §4.2.
pub(super) fn deadlock(plots: &mut Vec<Plot>) -> Vec<Claim> {
    let ((flooding, flooded), (dropping, dropped)) = (stuck(false), stuck(true));
    plots.push(Plot {
        name: "result-deadlock",
        title: "Lossless packets to dead servers; the last is sent at 5 ms",
        unit: "stored in switches, KB",
        form: Form::Curves {
            over: "ms",
            curves: vec![Curve::line("flooded", flooded), Curve::line("dropped", dropped)],
        },
    });
    let tell = |stuck: bool| if stuck { "pauses that never clear" } else { "clears" }.to_owned();
    vec![
        Claim {
            source: "Guo 2016, §4.2",
            what: "lossless packets to dead servers are flooded (ARP alive, MAC gone)".to_owned(),
            says: "deadlock".to_owned(),
            gives: tell(flooding),
            tolerance: "a boolean: packets still stored and paused 15 ms after the last was sent",
            holds: flooding,
        },
        Claim {
            source: "Guo 2016, §4.2",
            what: "lossless packets with an incomplete ARP entry are dropped".to_owned(),
            says: "no deadlock".to_owned(),
            gives: tell(dropping),
            tolerance: "the same boolean",
            holds: !dropping,
        },
    ]
}

/// Whether something is stuck in the end, and what switches held on the way, in KB over ms.
fn stuck(drop_unknown: bool) -> (bool, Vec<(f64, f64)>) {
    let text = ferroce_fabric::named("deadlock").expect("a scenario of the library");
    let changes = [("switch.drop_unknown", if drop_unknown { "true" } else { "false" })];
    let scenario = Scenario::parse_with(text, &changes).expect("its keys exist");
    let mut simulation = Simulation::<NoTrace>::new(&scenario);
    while !simulation.advance(1 << 16).over {}
    let net = simulation.fabric();
    let is_stuck = net.switches().any(|id| {
        let mut ports = 0..net.ports(id).count();
        net.stored(id) > 0 && ports.any(|port| net.paused_since(id, port, 3).is_some())
    });
    let samples = simulation.outcome().samples;
    let held = samples.at.iter().enumerate().map(|(index, at)| {
        let stored: u64 = samples.stored.iter().map(|values| values[index]).sum();
        (*at as f64 / 1e6, stored as f64 / 1e3)
    });
    (is_stuck, held.collect())
}

/// Guo et al., SIGCOMM 2016, §4.3.
pub(super) fn storm(plots: &mut Vec<Plot>) -> Vec<Claim> {
    let mut curves = Vec::new();
    let mut elsewhere = |name: &str, change: Option<(&str, &str)>| {
        let changes: Vec<_> = change.into_iter().chain([("measure.sample", "2ms")]).collect();
        let outcome = run("pause-storm", &changes);
        let samples = &outcome.samples;
        let flows =
            || outcome.flows.iter().zip(&samples.goodput).filter(|(flow, _)| flow.name == "elsewhere");
        let sum = |index: usize| flows().map(|(_, values)| values[index]).sum::<f64>() / 1e9;
        curves.push(over_time(name, &samples.at, (0..samples.at.len()).map(sum)));
        goodputs(&outcome, "elsewhere").iter().sum::<f64>()
    };
    let without = elsewhere("no watchdog", None);
    let switch = elsewhere("in switches", Some(("switch.watchdog", "100ms")));
    let nic = elsewhere("in the NIC", Some(("event.watchdog", "100ms")));
    plots.push(Plot {
        name: "result-pause-storm",
        title: "One NIC pauses without end; watchdogs of 100 ms",
        unit: "goodput to another host, Gb/s",
        form: Form::Curves { over: "ms", curves },
    });
    let of = 10.0 * 1024.0 / 1106.0;
    vec![
        Claim {
            source: "Guo 2016, §4.3",
            what: "one NIC pauses without end: flows to another host, 110 ms later".to_owned(),
            says: "the network stands still".to_owned(),
            gives: format!("{without:.2} of {of:.2} Gb/s"),
            tolerance: "less than 1 %",
            holds: without < 0.01 * of,
        },
        Claim {
            source: "Guo 2016, §4.3",
            what: "the same with a watchdog of 100 ms in switches, or in the NIC".to_owned(),
            says: "contained".to_owned(),
            gives: format!("{switch:.2}, {nic:.2} of {of:.2} Gb/s"),
            tolerance: "more than a twentieth: what went to the mended host is still in the way",
            holds: switch > 0.05 * of && nic > 0.05 * of,
        },
    ]
}
