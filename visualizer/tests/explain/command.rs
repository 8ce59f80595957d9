//! The command: what it prints, what it returns.

use std::process::{Command, Output, Stdio};

use crate::captures;

fn ferroce(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferroce"));
    command.args(args).current_dir(captures()).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn json_is_one_object_with_what_was_promised() {
    let output = ferroce(&["explain", "--json", "loss_read_bw.pcap"]);
    assert_eq!(output.status.code(), Some(0));
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["packets"], 117);
    assert_eq!(object["icrc_ok"], 117);
    assert_eq!(object["icrc_bad"], 0);
    assert_eq!(object["undecodable"], 0);
    assert_eq!(object["connections"].as_array().unwrap().len(), 1);
    assert_eq!(object["findings"][0]["packets"][0], 4);
    assert!(object["findings"][0]["text"].as_str().unwrap().contains("sequence NAK"));
}

#[test]
fn text_fits_80_columns_and_has_no_colours_in_a_pipe() {
    for file in ["loss_rc_send_5000.pcap", "cm_rping.pcap", "rc_send_20001_mtu4096_ipv6.pcap"] {
        let output = ferroce(&["explain", file]);
        assert_eq!(output.status.code(), Some(0));
        let text = text(&output.stdout);
        assert!(text.is_ascii(), "{text}");
        for line in text.lines() {
            assert!(line.len() <= 80 && !line.contains('\x1b'), "{line:?}");
            assert_eq!(line.trim_end(), line, "spaces at the end");
        }
    }
}

#[test]
fn packets_are_listed_with_the_numbers_of_wireshark() {
    let output = ferroce(&["explain", "--packets", "--limit", "2", "rc_send_64.pcap"]);
    let lines: Vec<&str> = text(&output.stdout).lines().collect();
    assert!(lines[0].trim_start().starts_with("1 ") && lines[0].contains("RC_SEND_ONLY"), "{}", lines[0]);
    assert!(lines[1].trim_start().starts_with("2 ") && lines[1].contains("RC_ACKNOWLEDGE"), "{}", lines[1]);
    assert_eq!(lines[2], "");
}

#[test]
fn a_capture_comes_from_standard_input_too() {
    let file = std::fs::File::open(captures().join("rc_send_64.pcap")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferroce"));
    let output = command.args(["explain", "-"]).stdin(file).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("12 packets"));
}

#[test]
fn what_cannot_be_read_is_an_error_with_a_next_step() {
    for args in [&["explain", "nothing.pcap"][..], &["explain", "README.md"], &["explain", "."]] {
        let output = ferroce(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
        let error = text(&output.stderr);
        assert!(error.starts_with("error: ") && error.contains("next: "), "{error}");
    }
}

#[test]
fn wrong_usage_is_code_2_and_help_is_code_0() {
    assert_eq!(ferroce(&["explain"]).status.code(), Some(2));
    assert_eq!(ferroce(&["no-such-command"]).status.code(), Some(2));
    assert_eq!(ferroce(&[]).status.code(), Some(2));
    let help = ferroce(&["explain", "--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help.stdout).contains("Examples:"));
    let version = ferroce(&["--version"]);
    assert_eq!(text(&version.stdout).trim(), concat!("ferroce ", env!("CARGO_PKG_VERSION")));
}
