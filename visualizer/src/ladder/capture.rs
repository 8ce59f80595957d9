//! The ladder of a connection in a capture.

use std::collections::HashMap;

use ferroce_wire::{NakCode, Operation, Syndrome};

use super::{Ladder, Rung};
use crate::explain::{ConnectionReport, EndReport, Finding, Report, Step, Trail};

impl Ladder {
    /// The packets of a connection, at most `most` of them, with what the findings say about each. Packets that
    /// are missing stand where they were missed. `None` if there is no such connection.
    pub fn of_capture(report: &Report, trail: &Trail, connection: usize, most: usize) -> Option<Ladder> {
        let about = report.connections.iter().find(|about| about.id == connection)?;
        let mut notes: HashMap<u64, &Finding> = HashMap::new();
        for finding in report.findings.iter().filter(|finding| finding.connection == Some(connection)) {
            for packet in &finding.packets {
                let known = notes.entry(*packet).or_insert(finding);
                if known.severity < finding.severity {
                    *known = finding;
                }
            }
        }
        let start = trail.steps.first().map_or(0, |step| step.time);
        let mut ladder = Ladder { ends: names(about), rungs: Vec::new(), left_out: 0 };
        for step in trail.steps.iter().filter(|step| step.connection == connection) {
            if ladder.rungs.len() >= most {
                ladder.left_out += 1;
                continue;
            }
            let finding = notes.get(&step.number).copied();
            let at = step.time.saturating_sub(start);
            if let Some((kind, what)) = finding.and_then(missing) {
                let note = if kind == "psn.gap" { "never seen" } else { "not in the capture" };
                let from = step.from;
                ladder.rungs.push(Rung {
                    number: None,
                    at,
                    from,
                    label: what,
                    answer: kind == "read.gap",
                    again: false,
                    lost: true,
                    note: note.to_owned(),
                });
            }
            ladder.rungs.push(rung(step, at, finding));
        }
        Some(ladder)
    }

    /// The connection that has most to tell: the most findings, then the most packets.
    pub fn most_eventful(report: &Report) -> Option<usize> {
        let findings = |id| report.findings.iter().filter(|f| f.connection == Some(id)).count();
        let packets = |c: &ConnectionReport| c.ends[0].packets + c.ends[1].packets;
        report
            .connections
            .iter()
            .max_by_key(|c| (findings(c.id), packets(c), std::cmp::Reverse(c.id)))
            .map(|c| c.id)
    }
}

/// What a finding says is missing before its packet.
fn missing(finding: &Finding) -> Option<(&'static str, String)> {
    let kind = finding.kind;
    if !matches!(kind, "psn.gap" | "read.gap" | "cap.unseen-acked") {
        return None;
    }
    let what = match finding.psns? {
        (from, to) if from == to => format!("PSN {from:#08x}"),
        (from, to) => format!("PSNs {from:#08x} to {to:#08x}"),
    };
    Some((kind, what))
}

fn rung(step: &Step, at: u64, finding: Option<&Finding>) -> Rung {
    let kind = finding.map_or("", |finding| finding.kind);
    let note = match kind {
        "psn.gap" | "cap.unseen-acked" | "read.gap" => "",
        _ if !step.intact => "ICRC wrong: dropped",
        "" => "",
        kind => short(kind),
    };
    Rung {
        number: Some(step.number),
        at,
        from: step.from,
        label: label(step),
        answer: step.opcode.is_response(),
        again: kind.starts_with("rtx.") && step.opcode.is_request(),
        lost: !step.intact,
        note: note.to_owned(),
    }
}

/// A kind of finding in the words that fit beside an arrow.
fn short(kind: &'static str) -> &'static str {
    match kind {
        "rtx.nak" => "again, as asked",
        "rtx.timeout" => "again, timed out",
        "rtx.spurious" => "again, for nothing",
        "rtx.rnr" => "again, after a wait",
        "rtx.read" => "again, for READ data",
        "rtx.storm" => "again and again",
        "psn.reorder" => "late",
        "cap.duplicate" | "psn.dup-req" => "seen before",
        "nak.seq" => "a packet is missing",
        "rnr.nak" | "rnr.storm" => "no receive posted",
        "mem.access" => "access refused",
        "op.invalid" => "invalid request",
        "op.failed" => "could not do it",
        "req.unanswered" => "never answered",
        "cm.rejected" => "rejected",
        "cm.unanswered" => "never answered",
        other => other,
    }
}

fn label(step: &Step) -> String {
    let psn = step.psn;
    match (step.opcode.operation(), step.syndrome) {
        (Operation::Acknowledge, Some(Syndrome::RnrNak { .. })) => format!("RNR NAK {psn}"),
        (Operation::Acknowledge, Some(Syndrome::Nak(NakCode::PsnSequence))) => format!("NAK {psn}"),
        (Operation::Acknowledge, Some(Syndrome::Nak(code))) => format!("NAK {psn} {code}"),
        (Operation::Acknowledge, _) => format!("ACK {psn}"),
        _ => {
            let name = step.opcode.name();
            format!("{} {psn}", name.split_once('_').map_or(name, |(_, name)| name))
        }
    }
}

fn names(about: &ConnectionReport) -> [String; 2] {
    let name = |end: &EndReport| match end.qpn {
        Some(qpn) => format!("{} qp {qpn:#x}", end.address),
        None => end.address.to_string(),
    };
    [name(&about.ends[0]), name(&about.ends[1])]
}
