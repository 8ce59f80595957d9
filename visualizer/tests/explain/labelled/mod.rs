//! How often `explain` is right: on captures of a fabric, of which the truth is known.

mod breaches;
mod faults;
mod network;
mod world;

use std::collections::BTreeMap;

use ferroce_visualizer::explain::{Finding, Severity};

use crate::report;

/// A kind of finding that must be there, and a packet that it must name if that is known.
type Truth = (&'static str, Option<u64>);

/// A capture and the truth about it.
struct Labelled {
    name: &'static str,
    seed: u64,
    file: Vec<u8>,
    truth: Vec<Truth>,
}

/// Makes the capture of a seed.
type Make = fn(u64) -> Labelled;

fn all() -> Vec<Labelled> {
    let families: [(Make, u64); 17] = [
        (faults::clean, 16),
        (faults::lossy, 24),
        (faults::gaps, 30),
        (faults::deaf, 12),
        (faults::tail, 8),
        (faults::short_reads, 6),
        (faults::not_ready, 9),
        (faults::refused, 12),
        (faults::cut, 6),
        (faults::disagree, 5),
        (network::congested, 10),
        (network::paused, 10),
        (network::two_addresses, 5),
        (breaches::cut_short, 5),
        (breaches::damaged, 5),
        (breaches::fragmented, 5),
        (breaches::bad_restart, 5),
    ];
    let mut all: Vec<Labelled> =
        families.into_iter().flat_map(|(make, count)| (0..count).map(make)).collect();
    for (name, change) in breaches::CHANGES {
        all.extend((0..5).map(|seed| breaches::changed(name, change, seed)));
    }
    all
}

/// How many findings are true, and how many truths were found.
#[derive(Clone, Copy, Debug, Default)]
struct Score {
    found: u32,
    right: u32,
    truths: u32,
}

#[test]
fn nineteen_of_twenty_findings_are_true_and_nine_of_ten_truths_are_found() {
    let captures = all();
    assert!(captures.len() >= 200, "{}", captures.len());
    let (mut scores, mut total) = (BTreeMap::<&str, Score>::new(), Score::default());
    for capture in &captures {
        let findings = report(&capture.file).findings;
        let mut unmatched: Vec<&Finding> = findings.iter().collect();
        for (kind, packet) in &capture.truth {
            let fits =
                |f: &&Finding| f.kind == *kind && packet.is_none_or(|packet| f.packets.contains(&packet));
            let at = unmatched.iter().position(fits);
            let score = scores.entry(*kind).or_default();
            score.truths += 1;
            match at {
                Some(at) => {
                    unmatched.remove(at);
                    score.right += 1;
                }
                None => println!("{} {}: missed {kind} {packet:?}", capture.name, capture.seed),
            }
        }
        for finding in &findings {
            scores.entry(finding.kind).or_default().found += 1;
        }
        for f in unmatched {
            println!("{} {}: false {} {:?}: {}", capture.name, capture.seed, f.kind, f.packets, f.text);
        }
    }
    for (kind, score) in &scores {
        println!("{kind:<20} {score:?}");
        total.found += score.found;
        total.right += score.right;
        total.truths += score.truths;
    }
    println!("all of {} captures: {total:?}", captures.len());
    assert!(scores.len() >= 30, "{} kinds of finding", scores.len());
    assert!(total.right * 100 >= total.found * 95, "precision");
    assert!(total.right * 100 >= total.truths * 90, "recall");
}

#[test]
fn a_clean_run_has_no_errors() {
    for seed in 100..140 {
        let findings = report(&faults::clean(seed).file).findings;
        let bad: Vec<&Finding> = findings.iter().filter(|f| f.severity > Severity::Note).collect();
        assert!(bad.is_empty(), "seed {seed}: {bad:#?}");
    }
}
