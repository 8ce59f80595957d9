//! The interop table of the book, made from the results of runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::results::{Results, Row};

/// Words in names of cases, and the operation that a case with such a word is counted under. The first one that fits
/// holds.
const OPERATIONS: &[(&str, &str)] = &[
    ("station", "as a machine of its own (TAP)"),
    ("program", "unmodified programs on both sides"),
    ("pingpong", "ping-pong with the programs of rdma-core"),
    ("bulk", "data in bulk, with and without loss"),
    ("mw", "memory windows"),
    ("inv", "invalidation"),
    ("atomic", "atomics"),
    ("mtu", "path MTUs that differ"),
    ("dup", "packets that come twice or wrong"),
    ("opcode", "packets that come twice or wrong"),
    ("wrong", "packets that come twice or wrong"),
    ("retry", "loss and retries"),
    ("timeout", "loss and retries"),
    ("peer", "loss and retries"),
    ("rnr", "receivers that are not ready"),
    ("read", "READ"),
    ("write", "WRITE"),
    ("srq", "shared receive queues"),
    ("mcast", "multicast"),
    ("multicast", "multicast"),
    ("connecting", "connection management"),
    ("cm", "connection management"),
    ("local", "mistakes of the requester"),
    ("psn", "PSNs that wrap"),
    ("fence", "order"),
    ("cq", "queues and notification"),
    ("solicited", "queues and notification"),
    ("notify", "queues and notification"),
    ("qps", "queues and notification"),
    ("sqd", "states of queue pairs"),
    ("flush", "states of queue pairs"),
    ("modify", "states of queue pairs"),
    ("post", "states of queue pairs"),
    ("posted", "states of queue pairs"),
    ("traffic", "header fields"),
    ("send", "SEND"),
    ("recv", "SEND"),
    ("inline", "SEND"),
    ("sge", "SEND"),
    ("unsignaled", "SEND"),
    // Datagrams know no other operation.
    ("ud", "SEND"),
];

/// The page with the table. [`make`] says what is in it.
pub fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../book/src/tables/interop.md")
}

/// Writes the table to its [`path`].
///
/// # Errors
/// When results cannot be read or the page cannot be written.
pub fn write() -> Result<()> {
    let text = make(&Results::read_all(&crate::results::directory())?);
    if let Some(directory) = path().parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(path(), text).with_context(|| format!("cannot write {}", path().display()))
}

/// The devices; operation by service and role; every cell that did not pass; every case.
pub fn make(all: &[Results]) -> String {
    let mut text = String::from("<!-- Made by `tests/run interop --table`: do not edit. -->\n\n");
    devices(&mut text, all);
    summary(&mut text, all);
    exceptions(&mut text, all);
    cases(&mut text, all);
    text
}

fn devices(text: &mut String, all: &[Results]) {
    text.push_str("| device | model | driver | firmware | kernel |\n| --- | --- | --- | --- | --- |\n");
    for Results { device, .. } in all {
        let cells = [&device.title, &device.model, &device.driver, &device.firmware, &device.kernel];
        let cells = cells.map(|cell| if cell.is_empty() { "–" } else { cell.as_str() });
        line(text, &cells);
    }
}

/// The header of a table with two columns for each device.
fn header(text: &mut String, first: &[&str], all: &[Results]) {
    let roles = ["requests", "responds"];
    let columns =
        all.iter().flat_map(|results| roles.map(|role| format!("{}: {role}", results.device.title)));
    let columns: Vec<String> = first.iter().map(|&name| name.to_owned()).chain(columns).collect();
    line(text, &columns);
    line(text, &vec!["---"; columns.len()]);
}

fn summary(text: &mut String, all: &[Results]) {
    text.push_str(
        "\nHow many cases passed, by service and operation, with Ferroce as the side that requests and as the one \
         that responds:\n\n",
    );
    header(text, &["service", "operation"], all);
    let mut groups: BTreeMap<(String, &str), Vec<[Count; 2]>> = BTreeMap::new();
    for (column, results) in all.iter().enumerate() {
        for row in &results.rows {
            let counts = groups.entry((service(&row.case), operation(&row.case))).or_default();
            counts.resize(all.len(), [Count::default(); 2]);
            for (count, cell) in counts[column].iter_mut().zip([&row.requester, &row.responder]) {
                count.add(cell);
            }
        }
    }
    for ((service, operation), counts) in groups {
        let counts = counts.iter().flatten().map(Count::to_string);
        let cells: Vec<String> = [service, operation.to_owned()].into_iter().chain(counts).collect();
        line(text, &cells);
    }
}

/// What did not pass, with the reasons.
fn exceptions(text: &mut String, all: &[Results]) {
    let mut lines = String::new();
    for Results { device, rows } in all {
        for Row { case, requester, responder, .. } in rows {
            for (role, cell) in [("requests", requester), ("responds", responder)] {
                if let Some((verdict, why)) = cell.split_once(": ") {
                    writeln!(lines, "* `{case}`, Ferroce {role}, {}: {verdict}. {why}", device.title).ok();
                }
            }
        }
    }
    if lines.is_empty() {
        text.push_str("\nNothing failed, and nothing was skipped.\n");
    } else {
        write!(text, "\nWhat did not pass, and why:\n\n{lines}").ok();
    }
}

fn cases(text: &mut String, all: &[Results]) {
    text.push_str("\n<details><summary>Every case</summary>\n\n");
    header(text, &["case", "what happens"], all);
    let mut names: Vec<(&str, &str)> = Vec::new();
    for row in all.iter().flat_map(|results| &results.rows) {
        if !names.iter().any(|(case, _)| *case == row.case) {
            names.push((&row.case, &row.about));
        }
    }
    for (case, about) in names {
        let mut cells = vec![format!("`{case}`"), about.to_owned()];
        for results in all {
            let row = results.rows.iter().find(|row| row.case == case);
            let both = row.map_or(["", ""], |row| [&row.requester, &row.responder]);
            cells.extend(both.map(|cell| cell.split(':').next().unwrap_or_default().to_owned()));
        }
        line(text, &cells);
    }
    text.push_str("\n</details>\n");
}

fn line(text: &mut String, cells: &[impl AsRef<str>]) {
    let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
    writeln!(text, "| {} |", cells.join(" | ")).ok();
}

/// The service that a case's name begins with, perhaps after the program that plays it; `RC` without one. What
/// connects by librdmacm is counted under `CM`.
fn service(case: &str) -> String {
    if case.starts_with("connecting") {
        return "CM".to_owned();
    }
    const OTHERS: [&str; 4] = ["UC", "UD", "XRC", "CM"];
    let words = case.split(['_', ' ', ',']).filter(|word| !word.is_empty()).map(str::to_uppercase);
    let near = if case.starts_with("program") { usize::MAX } else { 2 };
    words.take(near).find(|word| OTHERS.contains(&word.as_str())).unwrap_or_else(|| "RC".to_owned())
}

fn operation(case: &str) -> &'static str {
    let words: Vec<&str> = case.split(['_', ' ', ',']).collect();
    let named = OPERATIONS.iter().find(|(name, _)| words.iter().any(|word| word.starts_with(name)));
    named.map_or("others", |(_, operation)| operation)
}

/// Cells of one kind.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Count {
    fn add(&mut self, cell: &str) {
        match cell.split(':').next() {
            Some("passed") => self.passed += 1,
            Some("failed") => self.failed += 1,
            Some("skipped") => self.skipped += 1,
            _ => {}
        }
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = self.passed + self.failed + self.skipped;
        match (all, self.failed, self.skipped) {
            (0, ..) => f.write_str("–"),
            (_, 0, 0) => write!(f, "all {all}"),
            (_, 0, _) => write!(f, "{} of {all}", self.passed),
            (_, failed, _) => write!(f, "{} of {all}, **{failed} failed**", self.passed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Met, Role};
    use crate::tally::Verdict;

    #[test]
    fn the_table_in_the_book_is_made_from_the_results_in_the_tree() {
        let made = make(&Results::read_all(&crate::results::directory()).unwrap());
        let there = fs::read_to_string(path()).unwrap();
        assert!(made == there, "run `tests/run interop --table`");
    }

    #[test]
    fn every_scenario_is_counted_under_an_operation() {
        for scenario in crate::scenarios::Scenario::all() {
            assert_ne!(operation(scenario.name), "others", "{}: see OPERATIONS", scenario.name);
        }
    }

    #[test]
    fn the_service_is_in_the_name() {
        for (case, name) in [
            ("rc_send_ok", "RC"),
            ("uc_write_ok", "UC"),
            ("pingpong, UD, 64 bytes", "UD"),
            ("bulk, MTU 256", "RC"),
            ("connecting: udaddy, original client, IPv4", "CM"),
        ] {
            assert_eq!(service(case), name, "{case}");
        }
    }

    #[test]
    fn a_cell_says_what_passed_or_why_not() {
        let mut results = Results::with(Met { title: "card".into(), ..Met::default() });
        results.add("rc_send_ok", "SEND", Role::Requester, &Verdict::Passed);
        results.add("rc_send_ok", "SEND", Role::Responder, &Verdict::Failed("a byte is wrong".into()));
        results.add("ud_send_ok", "SEND", Role::Requester, &Verdict::Skipped("no UD".into()));
        let text = make(&[results]);
        assert!(text.contains("| RC | SEND | all 1 | 0 of 1, **1 failed** |"), "{text}");
        assert!(text.contains("| UD | SEND | 0 of 1 | – |"), "{text}");
        assert!(text.contains("* `rc_send_ok`, Ferroce responds, card: failed. a byte is wrong"), "{text}");
        assert!(text.contains("| `ud_send_ok` | SEND | skipped |  |"), "{text}");
    }
}
