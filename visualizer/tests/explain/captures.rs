//! What is said about real captures, against what is known of how they were made.

use std::collections::BTreeSet;
use std::fs;

use ferroce_visualizer::explain::{Decoded, IcrcCheck, Pairing, explain};

use crate::{capture, captures, faults, kinds, pcaps, report};

#[test]
fn every_packet_of_every_capture_is_understood() {
    for path in pcaps(captures()).into_iter().chain(pcaps(captures().join("edge"))) {
        let report = report(&fs::read(&path).unwrap());
        let name = path.display();
        assert!(report.packets > 0, "{name}");
        assert_eq!(report.packets, report.roce, "{name}");
        assert_eq!((report.undecodable, report.other, report.icrc_unchecked), (0, 0, 0), "{name}");
        assert_eq!(report.icrc_ok + report.icrc_bad, report.packets, "{name}");
        assert_eq!(report.icrc_bad, report.icrc_rxe_flush, "{name}");
        assert_eq!(report.opcodes.values().sum::<u64>(), report.packets, "{name}");
    }
}

#[test]
fn the_only_wrong_icrcs_are_those_of_soft_roce_flush_requests() {
    let mut faulty = BTreeSet::new();
    for path in pcaps(captures().join("edge")) {
        let bytes = fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let watch = &mut |_, _, decoded: &Decoded<'_>| {
            let Decoded::Roce(s) = decoded else { return };
            if s.check != IcrcCheck::Right {
                assert_eq!((s.check, s.opcode().name()), (IcrcCheck::RxeFlush, "RC_FLUSH"), "{name}");
                faulty.insert(name.clone());
            }
        };
        explain(&bytes[..], watch).unwrap();
    }
    assert!(faulty.len() >= 5, "{faulty:?}");
    assert!(faulty.iter().all(|name| name.starts_with("rc_flush_")), "{faulty:?}");
}

#[test]
fn undisturbed_traffic_has_no_faults() {
    for path in pcaps(captures()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("loss_") && !name.starts_with("reorder_") {
            let report = report(&fs::read(&path).unwrap());
            assert!(faults(&report).is_empty(), "{name}: {:#?}", report.findings);
        }
    }
}

#[test]
fn losses_are_followed_from_gap_to_retransmission() {
    let report = report(&capture("loss_rc_send_5000.pcap"));
    let first: Vec<_> = report.findings.iter().take(3).map(|f| (f.kind, f.packets.clone())).collect();
    assert_eq!(first, [("psn.gap", vec![3]), ("nak.seq", vec![4]), ("rtx.nak", vec![5, 6, 7])]);
    assert!(report.findings[2].text.starts_with("retransmission: 10.77.0.3 sends PSNs 0x5721cb to 0x5721cd"));
    assert!(report.findings[2].text.contains("the NAK in packet 4"));

    // The acknowledgement of packet 7 never came, so all was sent once more.
    assert_eq!((report.findings[3].kind, &report.findings[3].packets), ("rtx.tail-loss", &vec![8, 9, 10]));

    // Nothing of what was sent again counts twice.
    let [client, server] = &report.connections[0].ends;
    assert_eq!((client.operations["SEND"].messages, client.operations["SEND"].bytes), (20, 100_000));
    assert_eq!((server.operations["SEND"].messages, server.operations["SEND"].bytes), (20, 100_000));
    assert!(client.resent > 0 && server.resent > 0);
}

#[test]
fn lost_read_requests_are_found_by_the_psns_of_their_responses() {
    let report = report(&capture("loss_read_bw.pcap"));
    assert_eq!(kinds(&report), ["nak.seq", "psn.gap", "rtx.nak", "psn.gap", "nak.seq", "rtx.nak"]);
    let client = &report.connections[0].ends[0];
    assert_eq!((client.operations["READ"].messages, client.operations["READ"].bytes), (10, 100_000));
}

#[test]
fn reordered_packets_are_not_taken_for_retransmissions() {
    let report = report(&capture("reorder_write_bw.pcap"));
    let late = report.findings.iter().find(|finding| finding.kind == "psn.reorder").unwrap();
    assert!(late.packets.starts_with(&[3, 4, 5]), "{late:?}");
    let again = report.findings.iter().filter(|finding| finding.kind.starts_with("rtx."));
    assert!(again.clone().count() > 0);
    // The first 44 packets bring nothing twice.
    assert!(again.flat_map(|finding| &finding.packets).all(|&packet| packet > 44));
}

#[test]
fn psns_that_wrap_and_reads_that_take_many_are_no_gaps() {
    for path in pcaps(captures().join("edge")) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("rc_psn_wrap") || name.starts_with("rc_read_depth") {
            let report = report(&fs::read(&path).unwrap());
            assert!(report.findings.is_empty(), "{name}: {:#?}", report.findings);
        }
    }
}

#[test]
fn both_ends_of_a_connection_are_found() {
    for (name, pairing) in [
        ("rc_send_64.pcap", Pairing::Psn),
        ("uc_send_3000.pcap", Pairing::UdpPort),
        ("ud_send_1000.pcap", Pairing::Datagram),
    ] {
        let report = report(&capture(name));
        assert_eq!(report.connections.len(), 1, "{name}");
        let connection = &report.connections[0];
        assert_eq!(connection.paired_by, Some(pairing), "{name}");
        assert!(connection.ends.iter().all(|end| end.qpn.is_some() && end.packets > 0), "{name}");
    }
    let report = report(&capture("srq_2qp.pcap"));
    assert_eq!(report.connections.len(), 2);
    assert_eq!(report.connections.iter().map(|c| c.ends[0].packets).sum::<u64>(), 8);
}

#[test]
fn connection_management_names_the_ends() {
    let report = report(&capture("cm_rping.pcap"));
    let services: Vec<_> = report.connections.iter().map(|c| (c.service, c.paired_by)).collect();
    assert_eq!(services, [("UD", Some(Pairing::Datagram)), ("RC", Some(Pairing::Cm))]);
    let data = &report.connections[1];
    assert_eq!(data.mtu, Some(4096));
    assert_eq!((data.ends[0].qpn, data.ends[1].qpn), (Some(0x32), Some(0x32)));
}

/// The programs at both ends wrote down what they were told: each failure must be among the findings, and no
/// refusal may be invented.
#[test]
fn what_the_programs_were_told_is_found_on_the_wire() {
    // The requester asks for packets of 2048 bytes and gets 1024: nothing on the wire is wrong by itself.
    const INVISIBLE: [&str; 1] = ["rc_mtu_2048_to_1024_read"];
    const REFUSALS: [&str; 3] = ["mem.access", "op.invalid", "op.failed"];
    let results = fs::read_to_string(captures().join("edge/results.jsonl")).unwrap();
    let mut failures = 0;
    for line in results.lines() {
        let result: serde_json::Value = serde_json::from_str(line).unwrap();
        let scenario = result["scenario"].as_str().unwrap();
        let name = format!("edge/{scenario}.{}.pcap", result["direction"].as_str().unwrap());
        if !captures().join(&name).exists() || INVISIBLE.contains(&scenario) {
            continue;
        }
        let statuses = result["requester"]["wcs"].as_array().into_iter().flatten();
        let expected: BTreeSet<&str> = statuses
            .filter_map(|wc| match wc["status"].as_str().unwrap() {
                "REM_ACCESS_ERR" => Some("mem.access"),
                "REM_INV_REQ_ERR" => Some("op.invalid"),
                "REM_OP_ERR" => Some("op.failed"),
                "RNR_RETRY_EXC_ERR" => Some("rnr.nak"),
                "RETRY_EXC_ERR" => Some("req.unanswered"),
                _ => None,
            })
            .collect();
        let report = report(&capture(&name));
        let found: BTreeSet<&str> = kinds(&report).into_iter().collect();
        assert!(expected.is_subset(&found), "{name}: {expected:?} expected, {found:?} found");
        for refusal in REFUSALS {
            assert_eq!(found.contains(refusal), expected.contains(refusal), "{name}: {refusal}");
        }
        failures += expected.len();
    }
    assert!(failures > 100, "only {failures} failures were looked for");
}

#[test]
fn unanswered_and_rejected_connection_requests_are_named() {
    let report_of = |name: &str| report(&capture(&format!("edge/{name}.61to612.pcap")));
    let rejected = report_of("cm_reject_no_listener");
    assert_eq!(kinds(&rejected), ["cm.rejected"]);
    assert!(rejected.findings[0].text.contains("nobody listens"), "{:?}", rejected.findings[0]);
    let unanswered = report_of("cm_unanswered");
    assert_eq!(kinds(&unanswered), ["cm.unanswered"]);
    assert!(unanswered.findings[0].text.contains("16 times"), "{:?}", unanswered.findings[0]);
}
