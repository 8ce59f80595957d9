//! Answers that come from another address than the requests went to.
//!
//! A queue pair takes packets only from the address that it was given, and drops all others without a word. When the two
//! ends were told GIDs that do not belong together, requests go one way, answers another, and neither gets through.

use std::collections::BTreeSet;

use ferroce_wire::cm::{Path, gid_of};
use ferroce_wire::flow::{flow_label_for_qps, port_from_flow_label};

use super::analysis::Analysis;
use super::connection::{Connection, only};
use super::detail::Detail;
use super::sighting::Sighting;

/// Halves of connections that are compared with each other.
const MAX_COMPARED: usize = 256;

impl Analysis {
    /// Looks for the answers to requests that seem to have none.
    pub(super) fn answers_from_elsewhere(&mut self) {
        let all = &self.connections.all;
        let halves: Vec<usize> =
            (0..all.len()).filter(|&index| is_half(&all[index])).take(MAX_COMPARED).collect();
        let mut told = BTreeSet::new();
        for &asks in &halves {
            let unanswered = all[asks].streams[0].pending.unanswered();
            let Some((_, first)) = unanswered.filter(|(_, first)| first.sends > 1) else { continue };
            let others = halves.iter().copied().filter(|&other| other != asks);
            let Some(other) = only(others.filter(|&other| answers(&all[asks], &all[other]))) else {
                continue;
            };
            if told.contains(&(other, asks)) {
                continue;
            }
            told.insert((asks, other));
            let (to, from) = (all[asks].ends[1].address, all[other].ends[0].address);
            let back_to = all[other].ends[1].address;
            let detail = Detail::AnswerElsewhere { to, from, back_to };
            let draft = self.findings.add(Some((asks, 0)), first.packet, detail);
            if let Some(draft) = self.findings.draft(draft) {
                draft.add_packet(all[other].first_packet);
            }
        }
    }

    /// Connection management names GIDs, and comes from the address of one to that of the other.
    pub(super) fn check_gids(&mut self, s: &Sighting<'_>, path: &Path, about: (usize, usize)) {
        for (named, address) in [(path.local_gid, s.src), (path.remote_gid, s.dst)] {
            if named != gid_of(address) {
                self.findings.add(Some(about), s.number, Detail::GidNamed { named, address });
            }
        }
    }
}

/// Of which only one direction is known.
fn is_half(connection: &Connection) -> bool {
    connection.merged_into.is_none() && connection.pairing.is_none()
}

/// Whether the second half looks like the answers to the first, though an address is another.
fn answers(asks: &Connection, other: &Connection) -> bool {
    let ([a, b], [from, to]) = (asks.ends, other.ends);
    let same_host = a.address == to.address || b.address == from.address;
    let other_family = a.address.is_ipv4() != to.address.is_ipv4();
    let elsewhere = (a.address, b.address) != (to.address, from.address);
    let (Some(responder), Some(requester)) = (b.qpn, to.qpn) else { return false };
    let port = port_from_flow_label(flow_label_for_qps(requester, responder));
    let by_port = asks.src_port == port && other.src_port == port;
    let by_psn = other.streams[1].last_answer.is_some_and(|psn| asks.streams[0].expects(psn, asks.mtu));
    asks.service == other.service && elsewhere && (same_host || other_family) && (by_port || by_psn)
}
