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

#[test]
fn a_ladder_shows_where_packets_were_lost_and_sent_again() {
    let output = ferroce(&["explain", "--ladder", "--limit", "8", "loss_rc_send_5000.pcap"]);
    let lines: Vec<&str> = text(&output.stdout).lines().collect();
    assert_eq!(lines.len(), 10);
    assert!(
        lines[0].contains("10.77.0.3 qp 0x37") && lines[0].ends_with("10.77.0.2 qp 0x37"),
        "{}",
        lines[0]
    );
    assert!(
        lines[3].contains("PSNs 0x5721cb to 0x5721cc") && lines[3].ends_with("never seen"),
        "{}",
        lines[3]
    );
    assert!(lines[5].contains("NAK 0x5721cb") && lines[5].ends_with("a packet is missing"), "{}", lines[5]);
    assert!(lines[6].contains("again SEND_MIDDLE 0x5721cb"), "{}", lines[6]);
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
    let output = ferroce(&["explain", "--ladder", "--connection", "7", "loss_rc_send_5000.pcap"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("there is no connection 7"));
}

#[test]
fn a_picture_is_one_svg_that_says_in_words_what_it_shows() {
    let file = std::env::temp_dir().join(format!("ferroce-explain-{}.svg", std::process::id()));
    let output = ferroce(&["explain", "--svg", file.to_str().unwrap(), "loss_read_bw.pcap"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let svg = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert_eq!(svg.matches("<svg").count(), 1);
    assert!(svg.contains("READ_REQUEST") && svg.contains("again, as asked"));
    assert!(svg.contains("<desc>10.77.0.3 qp"));
}

#[test]
fn a_dead_connection_is_told_in_three_sentences() {
    for (file, reason, words) in [
        (
            "edge/rc_write_bad_rkey.61to612.pcap",
            "remote-access",
            ["RC_WRITE_ONLY in packet 1", "R_Key 0xdeadbe00"],
        ),
        ("edge/rc_retry_count_7.61to612.pcap", "retries-exhausted", ["57 times", "No packet of 10.77.0.3"]),
        (
            "edge/rc_rnr_exhausted.61to612.pcap",
            "receiver-not-ready",
            ["after sending it 3 times", "\"receiver not ready\" 3 times"],
        ),
    ] {
        let output = ferroce(&["explain", "--json", file]);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let death = &report["deaths"][0];
        assert_eq!(death["reason"], reason, "{file}");
        let told = format!("{} {}", death["happened"].as_str().unwrap(), death["because"].as_str().unwrap());
        assert!(words.iter().all(|word| told.contains(word)), "{file}: {told}");
        assert!(!death["change"].as_str().unwrap().is_empty());
        let plain = ferroce(&["explain", file]);
        assert!(text(&plain.stdout).contains(&format!("Why connection 1 died: {reason}")));
    }
}
