//! What an explanation amounts to: plain data, for printing, for JSON and for panels.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

use super::connection::Pairing;
use super::finding::Finding;
use super::message::{Message, Total};

/// A capture, explained.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `pcap` or `pcapng`.
    pub format: &'static str,
    /// Packets in the file, of any kind.
    pub packets: u64,
    /// RoCEv2 packets that could be decoded.
    pub roce: u64,
    /// Packets to port 4791 that are none.
    pub undecodable: u64,
    /// Packets that have nothing to do with RoCEv2.
    pub other: u64,
    /// Packets with a right ICRC.
    pub icrc_ok: u64,
    /// Packets with a wrong ICRC, `icrc_rxe_flush` included.
    pub icrc_bad: u64,
    /// Of those, FLUSH requests with the known fault of Linux soft-RoCE.
    pub icrc_rxe_flush: u64,
    /// Packets that the capture cut, so that their ICRC cannot be checked.
    pub icrc_unchecked: u64,
    /// Nanoseconds from the first packet to the last.
    pub duration_ns: u64,
    /// Packets by opcode.
    pub opcodes: BTreeMap<&'static str, u64>,
    /// Who talked to whom, in order of appearance.
    pub connections: Vec<ConnectionReport>,
    /// What is worth knowing, in order of appearance.
    pub findings: Vec<Finding>,
    /// Findings beyond those that are kept.
    pub findings_left_out: u64,
    /// Queue pairs that came to their end, and why.
    pub deaths: Vec<Death>,
}

/// How the queue pairs of a connection came to their end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Death {
    /// Stable name of the reason, as in `retries-exhausted`.
    pub reason: &'static str,
    /// The `id` of the connection.
    pub connection: Option<usize>,
    /// The packets that show it, in order.
    pub packets: Vec<u64>,
    /// What happened.
    pub happened: String,
    /// What led there.
    pub because: String,
    /// What to change.
    pub change: &'static str,
}

/// Two queue pairs and what passed between them.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionReport {
    /// From 1; findings refer to it.
    pub id: usize,
    /// `RC`, `UC`, `UD`, `XRC` or `RD`.
    pub service: &'static str,
    /// How it is known that these two belong together; `None` if they are not known to.
    pub paired_by: Option<Pairing>,
    /// Path MTU in bytes, if packets or connection management told it.
    pub mtu: Option<usize>,
    /// The number of its first packet.
    pub first_packet: u64,
    /// The number of its last packet.
    pub last_packet: u64,
    /// Packets with ECN "congestion experienced".
    pub congested: u64,
    /// The two ends; the first is the one that was seen sending first.
    pub ends: [EndReport; 2],
}

/// One end of a connection.
#[derive(Clone, Debug, Serialize)]
pub struct EndReport {
    /// Its address.
    pub address: IpAddr,
    /// Its queue pair, if a packet or connection management told it.
    pub qpn: Option<u32>,
    /// Packets that it sent.
    pub packets: u64,
    /// Request packets among them.
    pub requests: u64,
    /// Of those, sent again.
    pub resent: u64,
    /// CNPs that it sent.
    pub cnps: u64,
    /// What it asked for, by operation.
    pub operations: BTreeMap<&'static str, Total>,
    /// Its first messages.
    pub messages: Vec<Message>,
}
