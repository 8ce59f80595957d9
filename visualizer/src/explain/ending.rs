//! What can be said only when nothing more comes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ferroce::why::Reason;
use ferroce_wire::{NakCode, Service};

use super::analysis::Analysis;
use super::connection::Connection;
use super::detail::{Detail, Peer};
use super::finding::{Draft, Duration, Findings};
use super::pace::Unmoved;
use super::report::Death;

/// Connections over one UDP source port from which on that is worth a word.
const MANY: usize = 4;
/// Retries after which silence is called the end.
const GIVEN_UP: u32 = 3;

impl Analysis {
    pub(super) fn last_findings(&mut self) {
        let end = self.times.map_or(0, |(_, last)| last);
        for (index, connection) in self.connections.all.iter().enumerate() {
            for side in 0..2 {
                unanswered(&mut self.findings, connection, (index, side), end);
                congestion(&mut self.findings, connection, (index, side));
            }
            if let [Some(one), Some(other)] = connection.pkeys
                && (one ^ other) & 0x7FFF != 0
            {
                let detail = Detail::PkeyDiffers { keys: [one, other] };
                self.findings.add(Some((index, 0)), connection.first_packet, detail);
            }
        }
        self.shared_ports();
        self.answers_from_elsewhere();
        self.pauses.finish(end, &mut self.findings);
        for asked in self.asked.values().filter(|asked| !asked.answered) {
            let detail = Detail::CmUnanswered { sends: asked.sends };
            self.findings.add(Some((asked.connection, asked.side)), asked.packet, detail);
        }
        let (cut, old, more) = (self.counts.icrc_unchecked, self.counts.roce_v1, self.connections.unfollowed);
        let notes = [
            (cut, Detail::PacketsCut { count: cut }),
            (old, Detail::RoceV1 { count: old }),
            (more, Detail::TooMuch { what: "packets of connections", count: more }),
        ];
        let (unknown, first, link) = self.counts.unknown_link;
        if unknown > 0 {
            self.findings.add(None, first, Detail::UnknownLink { count: unknown, link });
        }
        for (_, detail) in notes.into_iter().filter(|(count, _)| *count > 0) {
            self.findings.add(None, 0, detail);
        }
    }

    /// Many connections between the same hosts over one UDP source port.
    fn shared_ports(&mut self) {
        let mut ports: BTreeMap<(IpAddr, IpAddr, u16), (usize, u64)> = BTreeMap::new();
        for connection in self.connections.all.iter().filter(|c| c.merged_into.is_none()) {
            if matches!(connection.service, Service::Rc | Service::Uc | Service::Xrc) {
                let [one, other] = connection.ends;
                let key = (one.address, other.address, connection.src_port);
                let (count, _) = ports.entry(key).or_insert((0, connection.first_packet));
                *count += 1;
            }
        }
        let total: BTreeMap<(IpAddr, IpAddr), usize> =
            ports.iter().fold(BTreeMap::new(), |mut total, ((one, other, _), (count, _))| {
                *total.entry((*one, *other)).or_default() += count;
                total
            });
        for ((one, other, port), (connections, packet)) in ports {
            if connections >= MANY && port != 0 && total.get(&(one, other)) == Some(&connections) {
                self.findings.add(None, packet, Detail::OnePort { connections, port });
            }
        }
    }
}

fn unanswered(findings: &mut Findings, connection: &Connection, about: (usize, usize), end: u64) {
    let side = about.1;
    let stream = &connection.streams[side];
    let Some((requests, first)) = stream.pending.unanswered() else { return };
    let peer = match connection.packets[1 - side] {
        0 => Peer::Silent,
        _ if stream.receiver_is_not_ready() => Peer::NotReady,
        _ => Peer::Busy,
    };
    if peer == Peer::Silent && first.sends == 1 && requests > 1 {
        findings.add(Some(about), first.packet, Detail::OneSided { requests });
        return;
    }
    let (sends, psn) = (first.sends, first.psn);
    let idle = end.saturating_sub(first.time);
    let detail = Detail::Unanswered { requests, sends, first: psn, idle, peer };
    findings.add(Some(about), first.packet, detail);
}

fn congestion(findings: &mut Findings, connection: &Connection, (index, side): (usize, usize)) {
    let (marked, first_marked) = connection.congested[side];
    let (asked, first_asked) = connection.notifications[1 - side];
    let about = Some((index, side));
    if marked > 0 {
        findings.add(about, first_marked, Detail::Marked { packets: marked });
    }
    if asked > 0 {
        findings.add(about, first_asked, Detail::Congestion { notifications: asked });
    } else if marked > 0 && connection.packets[1 - side] > 0 {
        findings.add(about, first_marked, Detail::NoNotification { packets: marked });
    }
    if let Some(Unmoved { packet, asked, before, after }) = connection.paces[side].unmoved() {
        findings.add(about, packet, Detail::NoSlowdown { asked, before, after });
    }
}

/// How a connection ended, if this finding says so.
pub(super) fn death(draft: &Draft, names: [&str; 2], rnr_naks: u64) -> Option<Death> {
    let [requester, responder] = names;
    let first = draft.first_packet();
    let (reason, packets, happened, because) = match &draft.detail {
        Detail::FatalNak { psn, code, target } => {
            let reason = Reason::of_nak(*code)?;
            let request = target.map_or(format!("PSN {psn}"), |target| super::words::about(&target));
            (
                reason,
                target.iter().map(|target| target.packet).chain([first]).collect(),
                format!(
                    "The queue pairs of {requester} and {responder} went to the error state at packet {first}."
                ),
                format!(
                    "There {responder} refused what {requester} had asked for ({request}): {}",
                    said(*code)
                ),
            )
        }
        Detail::Unanswered { sends, first: psn, idle, peer: Peer::NotReady, .. } if rnr_naks > 1 => (
            Reason::ReceiverNotReady,
            vec![first],
            format!("{requester} gave up PSN {psn} after sending it {sends} times."),
            format!(
                "{responder} said \"receiver not ready\" {rnr_naks} times; {} later it still was not.",
                Duration(*idle)
            ),
        ),
        Detail::Unanswered { sends, first: psn, peer, .. } if *sends >= GIVEN_UP => (
            Reason::RetriesExhausted,
            vec![first],
            format!("{requester} sent PSN {psn} {sends} times (first in packet {first}) and then gave up."),
            match peer {
                Peer::Silent => format!("No packet of {responder} is in the capture at all."),
                _ => format!("{responder} sent other packets, but never an answer to this one."),
            },
        ),
        _ => return None,
    };
    Some(Death {
        reason: reason.name(),
        connection: None,
        packets,
        happened,
        because,
        change: reason.change(),
    })
}

/// What a refusal says.
fn said(code: NakCode) -> &'static str {
    match code {
        NakCode::InvalidRequest => "the operation, its order or its length is not allowed.",
        NakCode::RemoteAccess => "the R_Key, its rights or its range do not permit it.",
        _ => "it could not carry it out.",
    }
}
