//! `ferroce sim` as a user and a script see it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

fn ferroce(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ferroce")).arg("sim").args(args).output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn scratch(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("sim");
    fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

const SHORT: [&str; 3] = ["incast", "--set", "duration=200us"];

#[test]
fn a_scenario_by_name_gives_tables_and_the_same_again() {
    let run = || text(&ferroce(&SHORT));
    let first = run();
    for words in
        ["Fifteen senders, one receiver", "goodput", "Jain's fairness", "no packet was lost", "fingerprint"]
    {
        assert!(first.contains(words), "no {words:?} in\n{first}");
    }
    assert_eq!(first, run());
    let other = text(&ferroce(&[&SHORT[..], &["--seed", "9"]].concat()));
    assert!(other.contains("seed 9"));
}

#[test]
fn a_sweep_is_the_same_on_one_thread_and_two_and_in_parts() {
    let sweep = [&SHORT[..], &["--sweep", "host.mtu=1024,4096", "--seeds", "2", "--json"]].concat();
    let with = |more: &[&str]| text(&ferroce(&[&sweep[..], more].concat()));
    let whole = with(&["--threads", "1"]);
    assert_eq!(whole.lines().count(), 4);
    assert_eq!(whole, with(&["--threads", "2"]));
    let mut parts: Vec<String> = Vec::new();
    for shard in ["1/2", "2/2"] {
        parts.extend(with(&["--shard", shard]).lines().map(str::to_owned));
    }
    parts.sort();
    let mut lines: Vec<&str> = whole.lines().collect();
    lines.sort_unstable();
    assert_eq!(parts, lines);
}

#[test]
fn files_are_written_as_asked_for() {
    let (csv, plots, pcap) = (scratch("out.csv"), scratch("plots"), scratch("out.pcap"));
    let args = [
        "--csv",
        csv.to_str().unwrap(),
        "--plots",
        plots.to_str().unwrap(),
        "--pcap",
        pcap.to_str().unwrap(),
        "--json",
        // Long enough for messages to arrive.
        "--set",
        "duration=1ms",
    ];
    let json: serde_json::Value =
        serde_json::from_str(&text(&ferroce(&[&SHORT[..], &args].concat()))).unwrap();
    assert_eq!(json["flows"].as_array().unwrap().len(), 15);
    assert_eq!(fs::read_to_string(csv).unwrap().lines().count(), 16);
    let svg = fs::read_to_string(plots.join("goodput.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("Gb/s"));
    assert!(fs::metadata(pcap).unwrap().len() > 100_000);
}

#[test]
fn a_recording_of_a_run_is_replayed() {
    let (file, again) = (scratch("out.frec"), scratch("again.frec"));
    let run = |file: &PathBuf| text(&ferroce(&[&SHORT[..], &["--record", file.to_str().unwrap()]].concat()));
    assert_eq!(run(&file), text(&ferroce(&SHORT)), "to be watched changes nothing");
    run(&again);
    assert!(fs::read(&file).unwrap() == fs::read(&again).unwrap(), "the same bytes");
    let mut replay = Command::new(env!("CARGO_BIN_EXE_ferroce"));
    let replayed = text(&replay.arg("replay").args(["--plain", file.to_str().unwrap()]).output().unwrap());
    for words in ["switch queues PSN", "host15 receives"] {
        assert!(replayed.contains(words), "no {words:?}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let file = scratch("wrong.toml");
    fs::write(&file, "[switch]\nk_mim = \"5KB\"\n").unwrap();
    let output = ferroce(&[file.to_str().unwrap()]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(error.contains("line 2") && error.contains("k_mim") && error.contains("k_min"), "{error}");
    let output = ferroce(&["no-such-scenario"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("ferroce sim --list"));
    assert_eq!(ferroce(&["incast", "--set", "switch"]).status.code(), Some(2));
}

#[test]
fn every_scenario_is_listed_and_shown() {
    let list = text(&ferroce(&["--list"]));
    for line in list.lines() {
        let name = line.split_whitespace().next().unwrap();
        assert!(text(&ferroce(&["--show", name])).contains("title = "), "{name}");
    }
    assert!(list.lines().count() >= 8);
    assert!(text(&ferroce(&["--reference"])).contains("`k_min`"));
}
