//! Outcomes as tables for people and for programs.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use ferroce_fabric::{Ending, FlowReport, Outcome, Scenario};
use serde::Serialize;

use super::sweep::Job;
use crate::text::{BAD, FAINT, GOOD, STRONG, WARN, thousands};

/// Connections and ports that are listed one by one.
const LISTED: usize = 24;

fn rate(bits: f64) -> String {
    if bits >= 1e9 { format!("{:.2} Gb/s", bits / 1e9) } else { format!("{:.1} Mb/s", bits / 1e6) }
}

fn time(nanos: u64) -> String {
    format!("{:.1?}", Duration::from_nanos(nanos))
}

/// Everything about one run.
pub(super) fn print(out: &mut impl Write, scenario: &Scenario, outcome: &Outcome) -> io::Result<()> {
    writeln!(out, "{STRONG}{}{STRONG:#}", outcome.title)?;
    if !scenario.about.is_empty() {
        for line in crate::text::wrap(&scenario.about, crate::text::width()) {
            writeln!(out, "{FAINT}{line}{FAINT:#}")?;
        }
    }
    let ending = match outcome.ending {
        Ending::Done => "everything done",
        Ending::TimeOver => "time over",
        Ending::PacketsOver => "packets over",
        Ending::Interrupted => "interrupted",
    };
    let (now, packets) = (time(outcome.nanos), thousands(outcome.packets));
    writeln!(out, "\nseed {}, {now} of virtual time ({ending}), {packets} packets\n", outcome.seed)?;
    print_flows(out, outcome)?;
    for reduce in &outcome.reduces {
        let rounds: Vec<String> = reduce.rounds.iter().map(|nanos| time(*nanos)).collect();
        let (hosts, size) = (reduce.hosts, thousands(reduce.size));
        writeln!(out, "all-reduce of {size} bytes among {hosts} hosts: {}", rounds.join(", "))?;
    }
    for (index, (sent, arrived, delay)) in outcome.backgrounds.iter().enumerate() {
        let (sent, arrived, delay) = (thousands(*sent), thousands(*arrived), time(*delay));
        writeln!(out, "background {index}: {arrived} of {sent} packets arrived, {delay} on average")?;
    }
    print_ports(out, outcome)?;
    print_drops(out, outcome)?;
    let numbers = [("marked", outcome.marked), ("CNPs", outcome.cnps), ("sent again", outcome.retransmitted)];
    let numbers: Vec<String> =
        numbers.iter().map(|(name, count)| format!("{name} {}", thousands(*count))).collect();
    writeln!(out, "{FAINT}{} · fingerprint {:016x}{FAINT:#}", numbers.join(" · "), outcome.digest)
}

fn print_flows(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    if outcome.flows.is_empty() {
        return Ok(());
    }
    let heading = format!(
        "{:<16} {:>11} {:>9} {:>12} {:>9} {:>9}",
        "flow", "hosts", "messages", "goodput", "median", "99 %"
    );
    writeln!(out, "{STRONG}{heading}{STRONG:#}")?;
    for flow in outcome.flows.iter().take(LISTED) {
        let FlowReport { name, from, to, messages, goodput, latency: [_, median, high], failed, .. } = flow;
        let (hosts, messages) = (format!("{from} → {to}"), thousands(*messages));
        let (goodput, median, high) = (rate(*goodput), time(*median), time(*high));
        write!(out, "{name:<16} {hosts:>11} {messages:>9} {goodput:>12} {median:>9} {high:>9}")?;
        match failed {
            Some(status) => writeln!(out, "  {BAD}{status}{BAD:#}")?,
            None => writeln!(out)?,
        }
    }
    let more = outcome.flows.len().saturating_sub(LISTED);
    if more > 0 {
        writeln!(out, "{FAINT}… and {more} more; --csv has all{FAINT:#}")?;
    }
    let total: f64 = outcome.flows.iter().map(|flow| flow.goodput).sum();
    writeln!(out, "together {}, Jain's fairness {:.3}\n", rate(total), outcome.fairness)
}

fn print_ports(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    let mut ports: Vec<_> =
        outcome.ports.iter().filter(|port| port.most_queued > 0 || port.pauses_sent > 0).collect();
    if ports.is_empty() {
        return Ok(());
    }
    ports.sort_by_key(|port| std::cmp::Reverse((port.most_queued, port.pauses_sent)));
    writeln!(
        out,
        "{STRONG}{:<10} {:<12} {:>9} {:>6} {:>11} {:>7} {:>7} {:>10}{STRONG:#}",
        "port of", "to", "packets", "busy", "most queued", "marked", "pauses", "paused for"
    )?;
    for port in ports.iter().take(LISTED) {
        let (sent, queued, marked) =
            (thousands(port.sent), thousands(port.most_queued), thousands(port.marked));
        let (busy, pauses, paused) = (port.busy * 100.0, port.pauses_sent, time(port.paused));
        writeln!(
            out,
            "{:<10} {:<12} {sent:>9} {busy:>4.0} % {queued:>11} {marked:>7} {pauses:>7} {paused:>10}",
            port.switch, port.peer
        )?;
    }
    writeln!(out)
}

fn print_drops(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    if outcome.lost == 0 {
        return writeln!(out, "{GOOD}no packet was lost{GOOD:#}");
    }
    for drop in outcome.drops.iter().take(LISTED) {
        let (packets, place) = (thousands(drop.packets), &drop.place);
        let (port, priority, cause) = (drop.port, drop.priority, drop.cause);
        writeln!(
            out,
            "{WARN}{packets} dropped{WARN:#} at {place}, port {port}, priority {priority}: {cause}"
        )?;
    }
    let elsewhere =
        outcome.lost - outcome.drops.iter().map(|drop| drop.packets).sum::<u64>().min(outcome.lost);
    if elsewhere > 0 {
        writeln!(out, "{WARN}{} lost{WARN:#} by rules and faults of cables", thousands(elsewhere))?;
    }
    Ok(())
}

/// A line per connection.
pub(super) fn csv(outcome: &Outcome) -> String {
    let mut text = "name,from,to,messages,bytes,goodput_bps,mean_ns,median_ns,p99_ns,failed\n".to_owned();
    for flow in &outcome.flows {
        let FlowReport { name, from, to, messages, bytes, goodput, latency: [mean, median, high], failed } =
            flow;
        let failed = failed.as_deref().unwrap_or("");
        let name = name.replace([',', '"', '\n'], " ");
        let _ = writeln!(
            text,
            "{name},{from},{to},{messages},{bytes},{goodput:.0},{mean},{median},{high},{failed}"
        );
    }
    text
}

/// A run of a sweep in short.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    changes: std::collections::BTreeMap<&'a str, &'a str>,
    seed: u64,
    goodput: f64,
    fairness: f64,
    median: u64,
    p99: u64,
    lost: u64,
    marked: u64,
    pauses: u64,
    retransmitted: u64,
    reduce: u64,
    digest: u64,
}

impl<'a> Line<'a> {
    pub(super) fn new(job: &'a Job, outcome: &Outcome) -> Line<'a> {
        let worst = |index: usize| outcome.flows.iter().map(|flow| flow.latency[index]).max().unwrap_or(0);
        Line {
            changes: job.changes.iter().map(|(key, value)| (&key[..], &value[..])).collect(),
            seed: outcome.seed,
            goodput: outcome.flows.iter().map(|flow| flow.goodput).sum(),
            fairness: outcome.fairness,
            median: worst(1),
            p99: worst(2),
            lost: outcome.lost,
            marked: outcome.marked,
            pauses: outcome.ports.iter().map(|port| port.pauses_sent).sum(),
            retransmitted: outcome.retransmitted,
            reduce: outcome
                .reduces
                .iter()
                .flat_map(|reduce| reduce.rounds.iter().copied())
                .max()
                .unwrap_or(0),
            digest: outcome.digest,
        }
    }
}

/// A line per run.
pub(super) fn print_sweep(out: &mut impl Write, done: &[(&Job, &Outcome)]) -> io::Result<()> {
    writeln!(
        out,
        "{STRONG}{:>6} {:>12} {:>8} {:>9} {:>9} {:>8} {:>8} {:>8}  changes{STRONG:#}",
        "seed", "goodput", "fairness", "median", "99 %", "lost", "marked", "pauses"
    )?;
    for (job, outcome) in done {
        let line = Line::new(job, outcome);
        let changes: Vec<String> = job.changes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let (goodput, median, high) = (rate(line.goodput), time(line.median), time(line.p99));
        writeln!(
            out,
            "{:>6} {goodput:>12} {:>8.3} {median:>9} {high:>9} {:>8} {:>8} {:>8}  {}",
            line.seed,
            line.fairness,
            line.lost,
            line.marked,
            line.pauses,
            changes.join(" ")
        )?;
    }
    Ok(())
}

/// A line per run, for other programs.
pub(super) fn sweep_csv(done: &[(&Job, &Outcome)]) -> String {
    let keys: Vec<&str> =
        done.first().map_or(Vec::new(), |(job, _)| job.changes.iter().map(|(key, _)| &key[..]).collect());
    let mut text = keys.iter().map(|key| format!("{key},")).collect::<String>();
    text += "seed,goodput_bps,fairness,median_ns,p99_ns,lost,marked,pauses,retransmitted,reduce_ns,digest\n";
    for (job, outcome) in done {
        let line = Line::new(job, outcome);
        job.changes.iter().for_each(|(_, value)| text += &format!("{value},"));
        let Line {
            seed,
            goodput,
            fairness,
            median,
            p99,
            lost,
            marked,
            pauses,
            retransmitted,
            reduce,
            digest,
            ..
        } = line;
        let _ = writeln!(
            text,
            "{seed},{goodput:.0},{fairness:.4},{median},{p99},{lost},{marked},{pauses},{retransmitted},{reduce},{digest:016x}"
        );
    }
    text
}
