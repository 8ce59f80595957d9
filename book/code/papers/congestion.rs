//! DCQCN: fairness, a burst, and its fixed point.

use ferroce_fabric::{Outcome, Samples, jain};

use super::plot::{Form, Plot, over_time};
use super::{Claim, run};

/// Zhu et al., SIGCOMM 2015, §3 and figure 10.
pub(super) fn convergence(plots: &mut Vec<Plot>) -> Vec<Claim> {
    let lists = [
        (2, "[0, 1]"),
        (4, "[0, 1, 2, 3]"),
        (8, "[0, 1, 2, 3, 4, 5, 6, 7]"),
        (16, "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]"),
    ];
    let indices: Vec<(usize, f64)> = lists
        .into_iter()
        .map(|(count, list)| {
            let outcome = run("convergence", &[("flow.from", list)]);
            if count == 4 {
                plots.push(rates(
                    "result-convergence",
                    "Four senders to one receiver: what DCQCN allows",
                    4,
                    &outcome,
                ));
            }
            (count, outcome.fairness)
        })
        .collect();
    let text: Vec<String> = indices.iter().map(|(count, index)| format!("{count}: {index:.3}")).collect();
    vec![Claim {
        source: "Zhu 2015, §3, fig. 10",
        what: "2 to 16 senders to one receiver: Jain's index, 20 to 40 ms after the start".to_owned(),
        says: "equal shares".to_owned(),
        gives: text.join(", "),
        tolerance: "0.98",
        holds: indices.iter().all(|(_, index)| *index >= 0.98),
    }]
}

/// The rates of the first `count` connections, where the link has 40 Gb/s.
fn rates(name: &'static str, title: &'static str, count: usize, outcome: &Outcome) -> Plot {
    let Samples { at, rate, .. } = &outcome.samples;
    let curves = rate.iter().enumerate().take(count).map(|(number, rates)| {
        let gbits = rates.iter().map(|rate| if *rate == 0 { 40.0 } else { *rate as f64 / 1e9 });
        over_time(format!("sender {}", number + 1), at, gbits)
    });
    Plot { name, title, unit: "Gb/s", form: Form::Curves { over: "ms", curves: curves.collect() } }
}

/// The public repository DCQCN-validation.
pub(super) fn bursts(plots: &mut Vec<Plot>) -> Vec<Claim> {
    let outcome = run("bursts", &[]);
    plots.push(rates(
        "result-burst",
        "Two long flows and a burst from 3 to 4 ms: what DCQCN allows",
        2,
        &outcome,
    ));
    let samples = &outcome.samples;
    let after = |nanos: u64| samples.at.iter().position(|at| *at >= nanos).unwrap_or(0);
    let long = [0, 1];
    let rate = |index: usize| {
        long.iter()
            .map(move |flow| samples.rate[*flow][index])
            .map(|rate| if rate == 0 { 40_000_000_000 } else { rate })
    };
    let lowest = (after(3_000_000)..after(6_000_000)).flat_map(rate).min().unwrap_or(0) as f64 / 1e9;
    // Samples in which both flows still have something to send, and the link is not full.
    let last = samples
        .at
        .iter()
        .zip(0..)
        .filter(|(_, index)| long.iter().all(|flow| samples.goodput[*flow][*index] > 0.0))
        .map(|(_, index)| index)
        .max()
        .unwrap_or(0);
    let full = 0.95 * 40e9 * 1024.0 / 1106.0;
    let idle = (after(4_000_000)..last)
        .filter(|index| long.iter().map(|flow| samples.goodput[*flow][*index]).sum::<f64>() < full)
        .count();
    let under_used = idle as f64 / 10.0;
    let paused = outcome.ports.iter().map(|port| port.pauses_sent).sum::<u64>();
    let one = |what: &str, says: &str, gives: String, tolerance, holds| Claim {
        source: "DCQCN-validation",
        what: what.to_owned(),
        says: says.to_owned(),
        gives,
        tolerance,
        holds,
    };
    vec![
        one(
            "a burst at 3 ms: the long flows' rate falls to",
            "≈ 9 Gb/s each",
            format!("{lowest:.1} Gb/s"),
            "a factor of two",
            (4.5..18.0).contains(&lowest),
        ),
        one(
            "how long the link is under-used afterwards",
            "≈ 16 ms",
            format!("{under_used:.1} ms, {paused} pause frames"),
            "more than 1 ms, so long after a burst of 1 ms; the length depends on how deep the cut was",
            under_used > 1.0,
        ),
    ]
}

/// Zhu et al., "ECN or Delay", CoNEXT 2016, equation 9: the queue at which DCQCN settles.
pub(super) fn fixed_point() -> Vec<Claim> {
    // Packets per second and packets, as in the paper; the packet is the one on the wire.
    let packet = 1_106.0 * 8.0;
    let (c, r_ai, b, t, n): (f64, f64, f64, f64, f64) =
        (40e9 / packet, 40e6 / packet, 10e6 / 1_106.0, 55e-6, 2.0);
    let p: f64 = (r_ai * n * n / (t * c * c) * (1.0 / b + n / (t * c)).powi(2)).cbrt();
    let queue = 5.0 + p / 0.01 * 195.0;
    let outcome: Outcome = run("convergence", &[("duration", "60ms"), ("measure.warmup", "30ms")]);
    let stored = &outcome.samples.stored[0];
    let late = &stored[stored.len() / 2..];
    let mean = late.iter().sum::<u64>() as f64 / late.len() as f64 / 1e3;
    let shares: Vec<f64> = outcome.flows.iter().map(|flow| flow.goodput).collect();
    vec![Claim {
        source: "Zhu 2016 (CoNEXT), fixed point",
        what: "two flows: mean queue, 30 to 60 ms after the start".to_owned(),
        says: format!("{queue:.0} KB (p* = {:.2} %)", p * 100.0),
        gives: format!("{mean:.0} KB, Jain {:.3}", jain(&shares)),
        tolerance: "a factor of two: the fluid model has no packets, and CNPs come at most every 50 µs",
        holds: mean > queue / 2.0 && mean < queue * 2.0,
    }]
}
