//! Wireshark's own decoder as an independent witness.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use ferroce_visualizer::explain::{Decoded, explain};

use crate::{captures, pcaps, report};

/// Whether there is a tshark. In CI there must be.
fn has_tshark(test: &str) -> bool {
    let found = Command::new("tshark").arg("--version").output().is_ok();
    let message = "tshark is missing: install the Debian package 'tshark'";
    assert!(found || std::env::var_os("CI").is_none(), "{message}");
    if !found {
        eprintln!("SKIPPED {test}: {message}");
    }
    found
}

/// These fields of all packets, as tshark has them, addresses as numbers; 0 where a packet has no such field.
fn by_tshark<const N: usize>(path: &Path, fields: [&str; N]) -> Vec<[u32; N]> {
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(path).args(["-T", "fields"]);
    tshark.args(fields.iter().flat_map(|field| ["-e", field]));
    let output = tshark.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).unwrap(),
        None => text.parse().unwrap_or_else(|_| text.parse().map_or(0, Ipv4Addr::to_bits)),
    };
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| {
            let values: Vec<u32> = line.split('\t').map(number).collect();
            values.try_into().unwrap()
        })
        .collect()
}

#[test]
fn tshark_sees_the_same_opcodes_psns_and_queue_pairs() {
    if !has_tshark("tshark_sees_the_same_opcodes_psns_and_queue_pairs") {
        return;
    }
    for path in pcaps(captures()) {
        let mut ours = Vec::new();
        let watch = &mut |number, _, decoded: &Decoded<'_>| {
            if let Decoded::Roce(s) = decoded {
                let bth = &s.headers.bth;
                ours.push([number as u32, bth.opcode.as_u8().into(), bth.psn.value(), bth.dest_qp.value()]);
            }
        };
        explain(&fs::read(&path).unwrap()[..], watch).unwrap();
        let fields = ["frame.number", "infiniband.bth.opcode", "infiniband.bth.psn", "infiniband.bth.destqp"];
        assert_eq!(ours, by_tshark(&path, fields), "{}", path.display());
    }
}

/// What can be counted by PSNs alone: the packets that show that requests before them are missing, with the PSNs of
/// these, and the packets of requests that do not go beyond what was seen: sent again, or late.
#[derive(Debug, Default, PartialEq)]
struct Count {
    missing: BTreeMap<u32, (u32, u32)>,
    again: BTreeSet<u32>,
}

fn count_by_tshark(path: &Path) -> Count {
    const MTU: u32 = 1024;
    const READ_REQUEST: u32 = 0x0C;
    const SEQUENCE_NAK: u32 = 0x60;
    let fields = [
        "frame.number",
        "infiniband.bth.opcode",
        "infiniband.bth.psn",
        "infiniband.bth.destqp",
        "infiniband.reth.dmalen",
        "infiniband.aeth.syndrome",
        "ip.src",
        "ip.dst",
    ];
    let mut count = Count::default();
    let mut next_of_qp: BTreeMap<(u32, u32), u32> = BTreeMap::new();
    let mut oldest_of_host: BTreeMap<u32, u32> = BTreeMap::new();
    for [number, opcode, psn, qp, len, syndrome, src, dst] in by_tshark(path, fields) {
        // Answers of a reliable connection: READ responses, ACKs and answers to atomics.
        if (0x0D..=0x12).contains(&opcode) {
            // What it asks for was lost before the capture saw anything; no PSNs wrap in these captures.
            if let Some(oldest) =
                oldest_of_host.get(&dst).filter(|oldest| syndrome == SEQUENCE_NAK && psn < **oldest)
            {
                count.missing.insert(number, (psn, oldest - 1));
            }
            continue;
        }
        let packets = if opcode == READ_REQUEST { len.div_ceil(MTU).max(1) } else { 1 };
        let oldest = oldest_of_host.entry(src).or_insert(psn);
        *oldest = psn.min(*oldest);
        let next = next_of_qp.entry((src, qp)).or_insert(psn);
        let ahead = psn.wrapping_sub(*next) & 0xFF_FFFF;
        if ahead >= 1 << 23 {
            count.again.insert(number);
            continue;
        }
        if ahead > 0 {
            count.missing.insert(number, (*next, psn.wrapping_sub(1) & 0xFF_FFFF));
        }
        *next = (psn + packets) & 0xFF_FFFF;
    }
    count
}

#[test]
fn tshark_counts_the_same_losses_and_retransmissions() {
    if !has_tshark("tshark_counts_the_same_losses_and_retransmissions") {
        return;
    }
    let troubled = |name: &str| ["loss_", "reorder_"].iter().any(|word| name.starts_with(word));
    let mut total = (0, 0);
    for path in pcaps(captures()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let quiet = ["write_bw_10000.pcap", "read_bw_10000.pcap", "rc_send_5000_mtu1024.pcap"];
        if !troubled(&name) && !quiet.contains(&name.as_str()) {
            continue;
        }
        let mut ours = Count::default();
        for finding in report(&fs::read(&path).unwrap()).findings {
            let packets = finding.packets.iter().map(|packet| *packet as u32);
            if finding.kind.starts_with("rtx.") || finding.kind == "psn.reorder" {
                assert_eq!(finding.packet_count, finding.packets.len() as u64, "{name}: not all are named");
                ours.again.extend(packets);
            } else if ["psn.gap", "cap.unseen-acked"].contains(&finding.kind) {
                ours.missing.extend(packets.map(|packet| (packet, finding.psns.unwrap())));
            }
        }
        let theirs = count_by_tshark(&path);
        assert_eq!(ours, theirs, "{name}");
        total = (total.0 + theirs.missing.len(), total.1 + theirs.again.len());
        println!("{name}: {} gaps, {} packets again or late", theirs.missing.len(), theirs.again.len());
    }
    assert!(total.0 > 5 && total.1 > 50, "{total:?}");
}
