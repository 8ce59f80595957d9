//! A capture as a film: as much of what devices do as their packets tell.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;
use std::net::IpAddr;

use ferroce_engine::{Time, TraceEvent};
use ferroce_recording::{Arrived, HostRecord, PacketRecord, Record, What};
use ferroce_wire::{Operation, Packet, Psn, Qpn, Syndrome};

use super::{Film, MAX_FRAMES};
use crate::explain::{Decoded, OpenError, Report, Sighting, Step, explain_with_trail};

/// Frames of one packet, at most: it is sent, it leaves, it is received, and that means something.
const PER_PACKET: usize = 4;

impl Film {
    /// Reads a capture in pcap or pcapng format. Packets arrive when they were captured; those that never were are
    /// not in it, but the gaps are.
    ///
    /// # Errors
    /// When this is no capture.
    pub fn of_capture(input: impl Read) -> Result<Film, OpenError> {
        let mut packets = BTreeMap::new();
        let mut first = None;
        let (report, trail) = explain_with_trail(input, &mut |number, time, decoded| {
            first = first.or(time);
            if let Decoded::Roce(sighting) = decoded
                && packets.len() < MAX_FRAMES / PER_PACKET
            {
                packets.insert(number, record(sighting));
            }
        })?;
        let mut film = Film::default();
        if trail.left_out > 0 || packets.len() < trail.steps.len() {
            film.remarks.push(format!("Only the first {} packets are shown.", packets.len()));
        }
        let findings = Findings::new(&report);
        let mut hosts: HashMap<IpAddr, u32> = HashMap::new();
        for step in &trail.steps {
            let Some(packet) = packets.remove(&step.number) else { continue };
            let mut host = |address: IpAddr| {
                let next = hosts.len() as u32;
                *hosts.entry(address).or_insert_with(|| {
                    film.hosts.push(HostRecord { name: address.to_string(), addresses: vec![address] });
                    next
                })
            };
            let ends = [host(packet.src), host(packet.dst)];
            let at = Time::from_nanos(step.time.saturating_sub(first.unwrap_or(0)));
            let arrivals = vec![Arrived { at, damaged: !step.intact }];
            let packet = PacketRecord { to: Some(ends[1]), arrivals, ..packet };
            film.frames.extend(frames(step, at, ends, packet, &report, &findings));
        }
        Ok(film)
    }
}

/// What the findings say about single packets.
struct Findings {
    again: HashSet<u64>,
    gaps: HashMap<u64, (u32, u32)>,
}

impl Findings {
    fn new(report: &Report) -> Findings {
        let kind = |prefix: &'static str| report.findings.iter().filter(move |f| f.kind.starts_with(prefix));
        let gaps = kind("psn.gap").filter_map(|f| Some((*f.packets.first()?, f.psns?)));
        Findings {
            again: kind("rtx.").flat_map(|f| f.packets.iter().copied()).collect(),
            gaps: gaps.collect(),
        }
    }
}

fn frames(
    step: &Step,
    at: Time,
    [from, to]: [u32; 2],
    packet: PacketRecord,
    report: &Report,
    findings: &Findings,
) -> Vec<Record> {
    let connection = report.connections.get(step.connection.wrapping_sub(1));
    let qpn = |end: usize| connection.and_then(|c| c.ends[end].qpn).map_or(Qpn::default(), Qpn::new);
    let (mine, theirs) = (qpn(step.from), qpn(1 - step.from));
    let Step { opcode, psn, len, ack_request, syndrome, .. } = *step;
    let again = opcode.is_request() && findings.again.contains(&step.number);
    let device = |host, event| Record { at, host, what: What::Device(event) };
    let mut frames = vec![
        device(from, TraceEvent::Sent { qp: mine, opcode, psn, len, ack_request, syndrome, again }),
        Record { at, host: from, what: What::Packet(packet) },
    ];
    if !step.intact {
        return frames;
    }
    frames.push(device(to, TraceEvent::Received { qp: theirs, opcode, psn, len, syndrome }));
    if let Some((expected, _)) = findings.gaps.get(&step.number) {
        frames.push(device(to, TraceEvent::Gap { qp: theirs, expected: Psn::new(*expected), got: psn }));
    }
    if opcode.operation() == Operation::Acknowledge {
        let unacked = if matches!(syndrome, Some(Syndrome::Ack { .. })) { psn.next() } else { psn };
        frames.push(device(to, TraceEvent::Acknowledged { qp: theirs, unacked }));
    }
    frames
}

/// A packet with what the capture kept of it; what it cut is zero.
fn record(s: &Sighting<'_>) -> PacketRecord {
    let mut payload = s.payload.to_vec();
    payload.resize(s.payload_len, 0);
    let packet = Packet { icrc: s.icrc, ..Packet::new(s.headers, &payload) };
    let mut bytes = vec![0; packet.wire_len()];
    if packet.emit(&mut bytes).is_err() {
        bytes.clear();
    }
    PacketRecord {
        src: s.src,
        dst: s.dst,
        src_port: s.src_port,
        traffic_class: if s.congested { 3 } else { 0 },
        ident: s.ident.unwrap_or(0),
        bytes,
        to: None,
        arrivals: Vec::new(),
        under_way: false,
        local: false,
    }
}
