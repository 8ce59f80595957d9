//! `explain` on captures of real devices, on damaged files and on files made up for the purpose, and the
//! command around it.

mod captures;
mod command;
mod damage;
mod labelled;
mod made;
mod tshark;

use std::fs;
use std::path::PathBuf;

use ferroce_visualizer::explain::{Finding, Report, Severity, explain};

/// Captures of traffic between two Linux kernels' soft-RoCE.
fn captures() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/captures"))
}

/// All pcap files in a folder, in order of name.
fn pcaps(folder: PathBuf) -> Vec<PathBuf> {
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "pcap"));
    files.sort();
    assert!(!files.is_empty(), "no captures in {}", folder.display());
    files
}

fn capture(name: &str) -> Vec<u8> {
    fs::read(captures().join(name)).unwrap()
}

fn report(bytes: &[u8]) -> Report {
    explain(bytes, &mut |_, _, _| {}).unwrap()
}

fn kinds(report: &Report) -> Vec<&'static str> {
    report.findings.iter().map(|finding| finding.kind).collect()
}

/// The findings that say that something went wrong.
fn faults(report: &Report) -> Vec<&Finding> {
    report.findings.iter().filter(|finding| finding.severity > Severity::Note).collect()
}
