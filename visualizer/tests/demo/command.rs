//! `ferroce demo` as a command: what it prints, what it returns.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferroce"));
    command.arg("demo").args(args).stdin(Stdio::null());
    command
}

fn demo(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn json(args: &[&str]) -> Value {
    let output = demo(args);
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_pipe_gets_plain_text_and_everything_is_verified() {
    let output = demo(&["--seed", "5", "--messages", "5"]);
    let text = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.is_ascii() && !text.contains('\x1b'));
    assert!(text.lines().all(|line| line.len() <= 80 && line.trim_end() == line), "{text}");
    assert_eq!(text.lines().filter(|line| line.ends_with(" yes")).count(), 11, "{text}");
    assert!(text.lines().last().unwrap().starts_with("Verified: "), "{text}");
}

#[test]
fn json_counts_every_message_of_every_operation() {
    let summary = json(&["--json", "--messages", "3"]);
    assert_eq!(summary["verified"], true);
    assert_eq!(summary["interrupted"], false);
    assert_eq!(summary["failure"], Value::Null);
    let operations = summary["operations"].as_array().unwrap();
    let names: Vec<&str> = operations.iter().map(|row| row["operation"].as_str().unwrap()).collect();
    let expected = [
        ("SEND", 30),
        ("SEND with immediate", 30),
        ("WRITE", 30),
        ("WRITE with immediate", 30),
        ("READ", 30),
        ("COMPARE & SWAP", 30),
        ("FETCH & ADD", 30),
        ("READ, fence, WRITE", 30),
        ("SEND w/ invalidate", 6),
        ("all at once", 80),
    ];
    assert_eq!(names, expected.map(|(name, _)| name));
    for (row, (name, messages)) in operations.iter().zip(expected) {
        assert_eq!(row["messages"], messages, "{name}");
        assert_eq!(row["verified"], true, "{name}");
    }
    assert_eq!(summary["total"]["messages"], 326);
}

#[test]
fn a_terrible_network_changes_nothing_but_the_time_it_takes() {
    let faults = [
        "--json",
        "--drop",
        "25%",
        "--duplicate",
        "15%",
        "--reorder",
        "20%",
        "--corrupt",
        "10%",
        "--messages",
        "3",
    ];
    let summary = json(&faults);
    assert_eq!(summary["verified"], true);
    for count in ["lost", "retransmitted", "disturbed", "damaged"] {
        assert!(summary["total"][count].as_u64().unwrap() > 0, "{count}");
    }
}

#[test]
fn a_perfect_network_loses_nothing() {
    let faults =
        ["--json", "--drop", "0", "--duplicate", "0", "--reorder", "0", "--corrupt", "0%", "--messages", "3"];
    let total = &json(&faults)["total"];
    assert_eq!((&total["lost"], &total["damaged"], &total["disturbed"]), (&0.into(), &0.into(), &0.into()));
}

#[test]
fn what_makes_no_sense_is_refused_with_a_reason() {
    for args in [["--drop", "60%"], ["--drop", "5"], ["--messages", "0"], ["--seconds", "x"]] {
        let output = demo(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(text(&output.stderr).contains(args[1]), "{args:?}: {}", text(&output.stderr));
    }
}

#[test]
fn control_c_says_what_was_verified_until_then() {
    let mut child =
        command(&["--plain", "--seconds", "600", "--messages", "3"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut seen = String::new();
    while !seen.contains("WRITE") {
        assert!(lines.read_line(&mut seen).unwrap() > 0, "it ended too early: {seen}");
    }
    let kill = Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap();
    assert!(kill.success());
    lines.read_to_string(&mut seen).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{seen}");
    assert!(seen.lines().last().unwrap().starts_with("Stopped before all was done; "), "{seen}");
}

/// Through `script` (Debian package bsdutils), which gives the program a terminal.
#[test]
fn on_a_terminal_there_is_a_screen_and_afterwards_the_terminal_is_as_before() {
    let program = format!("exec {} demo", env!("CARGO_BIN_EXE_ferroce"));
    let mut script = Command::new("script");
    script.args(["-qec", &program, "/dev/null"]).env("TERM", "xterm").env_remove("NO_COLOR");
    let child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        assert!(std::env::var_os("CI").is_none(), "install the Debian package bsdutils");
        eprintln!("SKIPPED: needs 'script' from the Debian package bsdutils");
        return;
    };
    let mut input = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    let (mut seen, mut chunk) = (Vec::new(), [0; 4096]);
    let contains = |seen: &[u8], what: &str| seen.windows(what.len()).any(|bytes| bytes == what.as_bytes());
    while !contains(&seen, "\x1b[?1049h") {
        let count = output.read(&mut chunk).unwrap();
        assert!(count > 0, "no alternate screen: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&chunk[..count]);
    }
    input.write_all(b"q").unwrap();
    output.read_to_end(&mut seen).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "not every operation was seen so soon");
    assert!(contains(&seen, "\x1b[?1049l"), "the alternate screen was not left");
    assert!(contains(&seen, "Stopped"), "{}", String::from_utf8_lossy(&seen));
}
