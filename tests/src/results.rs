//! What became of the cases of an interop run, per device: written by the run, read for the table in the book.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::tally::Verdict;

/// Which side Ferroce was on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It posted the requests, or called the other.
    Requester,
    /// It was the one that was asked.
    Responder,
}

/// A device that Ferroce met, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Met {
    /// Heading of its columns, such as `soft-RoCE, Linux 6.1`.
    pub title: String,
    /// What it is, as its driver says.
    pub model: String,
    /// Kernel driver.
    pub driver: String,
    /// Firmware version.
    pub firmware: String,
    /// Release of the kernel.
    pub kernel: String,
}

/// One case with both roles. An empty cell was not played.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Name of the case.
    pub case: String,
    /// What happens in it.
    pub about: String,
    /// Ferroce as requester: `passed`, or `failed: ` or `skipped: ` with the reason.
    pub requester: String,
    /// Ferroce as responder, likewise.
    pub responder: String,
}

/// The results with one device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Results {
    /// Whom Ferroce met.
    pub device: Met,
    /// In the order in which they were played.
    pub rows: Vec<Row>,
}

impl Results {
    /// No results yet.
    pub fn with(device: Met) -> Self {
        Self { device, rows: Vec::new() }
    }

    /// Adds what became of a case.
    pub fn add(&mut self, case: &str, about: &str, role: Role, verdict: &Verdict) {
        let index = self.rows.iter().position(|row| row.case == case).unwrap_or_else(|| {
            self.rows.push(Row { case: case.to_owned(), about: about.to_owned(), ..Row::default() });
            self.rows.len() - 1
        });
        let cell = match verdict {
            Verdict::Passed => "passed".to_owned(),
            Verdict::Failed(why) => format!("failed: {}", one_line(why)),
            Verdict::Skipped(why) => format!("skipped: {}", one_line(why)),
        };
        match role {
            Role::Requester => self.rows[index].requester = cell,
            Role::Responder => self.rows[index].responder = cell,
        }
    }

    /// Takes over what another run of the same device says about the cases that it has played.
    pub fn update(&mut self, newer: Self) {
        self.device = newer.device;
        for row in newer.rows {
            match self.rows.iter_mut().find(|old| old.case == row.case) {
                None => self.rows.push(row),
                Some(old) => {
                    for (cell, new) in
                        [(&mut old.requester, row.requester), (&mut old.responder, row.responder)]
                    {
                        if !new.is_empty() {
                            *cell = new;
                        }
                    }
                    old.about = row.about;
                }
            }
        }
    }

    /// Reads results back.
    ///
    /// # Errors
    /// When there is no such file, or it holds something else.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is not a result file", path.display()))
    }

    /// Writes them with one line for each case, so that a change shows which.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let device = serde_json::to_string_pretty(&self.device)?.replace('\n', "\n  ");
        let rows: Result<Vec<String>, _> = self.rows.iter().map(serde_json::to_string).collect();
        let text =
            format!("{{\n  \"device\": {device},\n  \"rows\": [\n    {}\n  ]\n}}\n", rows?.join(",\n    "));
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Reads all results of a directory, in the order of their file names.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn read_all(directory: &Path) -> Result<Vec<Self>> {
        let mut paths: Vec<PathBuf> = fs::read_dir(directory)
            .with_context(|| format!("cannot read {}", directory.display()))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .collect();
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }
}

/// Where the results that the book shows are kept.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/interop")
}

/// A reason as one line of a table, of bearable length and without the place of this checkout.
fn one_line(text: &str) -> String {
    const LONGEST: usize = 300;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"));
    let text = text.replace(&format!("{}/", root.display()), "").replace('|', "/");
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_was_played_again_replaces_what_was_there() {
        let passed = Verdict::Passed;
        let failed = Verdict::Failed("late".into());
        let mut results = Results::with(Met::default());
        results.add("first", "SEND", Role::Requester, &failed);
        results.add("first", "SEND", Role::Responder, &failed);
        let mut newer = Results::with(Met { kernel: "7".into(), ..Met::default() });
        newer.add("first", "SEND", Role::Requester, &passed);
        newer.add("second", "READ", Role::Responder, &passed);
        results.update(newer);
        let cells: Vec<_> = results.rows.iter().map(|row| [row.requester.as_str(), &row.responder]).collect();
        assert_eq!(cells, [["passed", "failed: late"], ["", "passed"]]);
        assert_eq!(results.device.kernel, "7");
    }

    #[test]
    fn results_are_read_as_they_were_written() {
        let mut results = Results::with(Met { title: "a device".into(), ..Met::default() });
        results.add("rc_send_ok", "SEND", Role::Requester, &Verdict::Passed);
        results.add("rc_read_ok", "READ", Role::Requester, &Verdict::Skipped("no\nREAD".into()));
        results.add("rc_send_ok", "SEND", Role::Responder, &Verdict::Failed("late".into()));
        let directory = std::env::temp_dir().join(format!("ferroce-results-{}", std::process::id()));
        results.write(&directory.join("a.json")).unwrap();
        let read = Results::read_all(&directory).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(read, [results]);
        let cells: Vec<_> = read[0].rows.iter().map(|row| (&row.requester[..], &row.responder[..])).collect();
        assert_eq!(cells, [("passed", "failed: late"), ("skipped: no READ", "")]);
        let here = format!("{}/data is | wrong {}", env!("CARGO_MANIFEST_DIR"), "x".repeat(999));
        let line = one_line(&here);
        assert!(line.starts_with("tests/data is / wrong xxx") && line.chars().count() == 301, "{line}");
    }
}
