//! Wireshark's own decoder as an independent witness.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use ferroce_visualizer::explain::{Decoded, explain};

use crate::{captures, pcaps};

#[test]
fn tshark_sees_the_same_opcodes_psns_and_queue_pairs() {
    if Command::new("tshark").arg("--version").output().is_err() {
        let message = "tshark is missing: install the Debian package 'tshark'";
        assert!(std::env::var_os("CI").is_none(), "{message}");
        eprintln!("SKIPPED tshark_sees_the_same_opcodes_psns_and_queue_pairs: {message}");
        return;
    }
    for path in pcaps(captures()) {
        let mut ours = BTreeMap::new();
        let watch = &mut |number, _, decoded: &Decoded<'_>| {
            if let Decoded::Roce(s) = decoded {
                let bth = &s.headers.bth;
                let fields = (u32::from(bth.opcode.as_u8()), bth.psn.value(), bth.dest_qp.value());
                ours.insert(number, fields);
            }
        };
        explain(&fs::read(&path).unwrap()[..], watch).unwrap();
        assert_eq!(ours, by_tshark(&path), "{}", path.display());
    }
}

/// Opcode, PSN and destination QP by packet number.
fn by_tshark(path: &std::path::Path) -> BTreeMap<u64, (u32, u32, u32)> {
    let fields = ["frame.number", "infiniband.bth.opcode", "infiniband.bth.psn", "infiniband.bth.destqp"];
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(path).args(["-T", "fields"]);
    tshark.args(fields.iter().flat_map(|field| ["-e", field]));
    let output = tshark.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).unwrap(),
        None => text.parse().unwrap(),
    };
    let lines = String::from_utf8(output.stdout).unwrap();
    lines
        .lines()
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            (fields[0].parse().unwrap(), (number(fields[1]), number(fields[2]), number(fields[3])))
        })
        .collect()
}
