//! From decoded packets to a report: counts what there is and hands each packet to its connection.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ferroce_wire::cm::{CmMad, CmMessage, SidrStatus};
use ferroce_wire::{PathMtu, Qpn, Service};

use super::capture::Damage;
use super::connection::{Connection, Connections};
use super::detail::Detail;
use super::ending::death;
use super::finding::{Draft, Findings};
use super::pauses::Pauses;
use super::report::{ConnectionReport, Death, EndReport, Report};
use super::sighting::{Decoded, IcrcCheck, Sighting};
use super::stream::Context;
use super::trail::Trail;

/// Connection requests that are remembered until they are answered.
const MAX_ASKED: usize = 1024;
/// Queue pairs whose Q_Keys are remembered.
const MAX_QKEYS: usize = 20_000;

/// An analysis under way.
#[derive(Debug, Default)]
pub(super) struct Analysis {
    pub(super) counts: Counts,
    pub(super) times: Option<(u64, u64)>,
    pub(super) connections: Connections,
    pub(super) findings: Findings,
    /// Connection requests by sender and its name for the connection.
    pub(super) asked: BTreeMap<(IpAddr, u32), Asked>,
    /// The Q_Key of the first datagram to each queue pair.
    qkeys: HashMap<(IpAddr, Qpn), u32>,
    pub(super) pauses: Pauses,
    trail: Trail,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    packets: u64,
    roce: u64,
    undecodable: u64,
    other: u64,
    pub(super) roce_v1: u64,
    /// Packets on links that are not understood, the first of them, and the link type of that.
    pub(super) unknown_link: (u64, u64, u16),
    icrc_ok: u64,
    icrc_bad: u64,
    icrc_rxe_flush: u64,
    pub(super) icrc_unchecked: u64,
    opcodes: BTreeMap<&'static str, u64>,
}

/// A connection request.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) connection: usize,
    pub(super) side: usize,
    pub(super) packet: u64,
    pub(super) sends: u32,
    qpn: Qpn,
    mtu: Option<PathMtu>,
    service: Service,
    pub(super) answered: bool,
}

impl Analysis {
    /// Takes in the next packet of the capture.
    pub(super) fn packet(&mut self, number: u64, time: Option<u64>, decoded: &Decoded<'_>) {
        self.counts.packets += 1;
        if let Some(time) = time {
            let (first, last) = self.times.unwrap_or((time, time));
            self.times = Some((first.min(time), last.max(time)));
        }
        match decoded {
            Decoded::Other => self.counts.other += 1,
            Decoded::Pause(frame) => {
                self.counts.other += 1;
                self.pauses.take(frame, number, time.unwrap_or(0));
            }
            Decoded::UnknownLink(link) => {
                self.counts.other += 1;
                let (count, first, of_first) = self.counts.unknown_link;
                self.counts.unknown_link =
                    if count == 0 { (1, number, *link) } else { (count + 1, first, of_first) };
            }
            Decoded::RoceV1 => {
                self.counts.other += 1;
                self.counts.roce_v1 += 1;
            }
            Decoded::Fragment => {
                self.counts.undecodable += 1;
                self.findings.add(None, number, Detail::Fragment);
            }
            Decoded::Undecodable(reason) => {
                self.counts.undecodable += 1;
                self.findings.add(None, number, Detail::Undecodable { reason: reason.clone() });
            }
            Decoded::Roce(s) => {
                self.counts.roce += 1;
                *self.counts.opcodes.entry(s.opcode().name()).or_default() += 1;
                if self.check(s) {
                    self.follow(s);
                }
            }
        }
    }

    /// The rest of the file cannot be read.
    pub(super) fn damaged(&mut self, damage: &Damage) {
        let reason = format!("after packet {} {damage}", self.counts.packets);
        self.findings.add(None, 0, Detail::FileDamaged { reason });
    }

    /// Notes what is to say of the ICRC; whether a receiver may have accepted the packet.
    fn check(&mut self, s: &Sighting<'_>) -> bool {
        match s.check {
            IcrcCheck::Right => self.counts.icrc_ok += 1,
            IcrcCheck::Unchecked => self.counts.icrc_unchecked += 1,
            IcrcCheck::RxeFlush => {
                self.counts.icrc_bad += 1;
                self.counts.icrc_rxe_flush += 1;
                self.findings.add(None, s.number, Detail::IcrcRxeFlush);
            }
            IcrcCheck::Wrong { expected } => {
                self.counts.icrc_bad += 1;
                self.findings.add(None, s.number, Detail::IcrcWrong { found: s.icrc, expected });
                return false;
            }
        }
        true
    }

    fn follow(&mut self, s: &Sighting<'_>) {
        let Some((index, side)) = self.connections.place(s) else {
            // A CNP may be about a queue pair of which nothing else was captured.
            self.connections.unfollowed += u64::from(s.opcode().service() != Service::Cnp);
            return;
        };
        self.trail.add(s, index, side);
        let connection = &mut self.connections.all[index];
        match s.opcode().service() {
            Service::Cnp => connection.paces[1 - side].asked(s.number, s.time),
            _ if s.payload_len > 0 => connection.paces[side].sent(s.time, s.payload_len),
            _ => {}
        }
        match s.opcode().service() {
            Service::Ud => {
                let stream = &mut connection.streams[side];
                stream.requests += 1;
                stream.messages.add(s);
                self.check_qkey(s, index, side);
                if s.headers.bth.dest_qp == Qpn::GSI {
                    self.connection_management(s, index, side);
                }
            }
            Service::Rc | Service::Uc | Service::Xrc => {
                let requester = if s.opcode().is_request() { side } else { 1 - side };
                let (findings, mtu) = (&mut self.findings, connection.mtu);
                let mut cx = Context { findings, about: (index, requester), mtu };
                let stream = &mut connection.streams[requester];
                if s.opcode().is_request() {
                    stream.request(s, &mut cx);
                } else {
                    stream.response(s, &mut cx);
                }
            }
            Service::Cnp | Service::Rd => {}
        }
    }

    /// A queue pair takes datagrams with its own Q_Key only.
    fn check_qkey(&mut self, s: &Sighting<'_>, connection: usize, side: usize) {
        const GSI_QKEY: u32 = 0x8001_0000;
        let (dest_qp, Some(deth)) = (s.headers.bth.dest_qp, s.headers.deth) else { return };
        let gsi = dest_qp == Qpn::GSI;
        let fresh = if gsi { GSI_QKEY } else { deth.qkey };
        let room = self.qkeys.len() < MAX_QKEYS;
        let first = match self.qkeys.get(&(s.dst, dest_qp)) {
            Some(first) => *first,
            None if room => *self.qkeys.entry((s.dst, dest_qp)).or_insert(fresh),
            None => fresh,
        };
        if first != deth.qkey {
            let detail = Detail::QkeyDiffers { first, other: deth.qkey, gsi };
            self.findings.add(Some((connection, side)), s.number, detail);
        }
    }

    fn connection_management(&mut self, s: &Sighting<'_>, connection: usize, side: usize) {
        let Ok(mad) = CmMad::parse(s.payload) else { return };
        match mad.message {
            CmMessage::Req(req) => {
                let service = if req.transport == 0 { Service::Rc } else { Service::Uc };
                let mtu = PathMtu::from_ib_value(req.path_mtu);
                self.check_gids(s, &req.primary, (connection, side));
                let asked = Asked { qpn: req.local_qpn, mtu, service, ..Asked::new(s, connection, side) };
                self.ask(s, req.local_id, asked);
            }
            CmMessage::SidrReq(req) => {
                self.ask(s, req.request_id, Asked::new(s, connection, side));
            }
            CmMessage::Rep(rep) => {
                if let Some(asked) = self.asked.get_mut(&(s.dst, rep.remote_id)) {
                    asked.answered = true;
                    let ends = [(s.dst, asked.qpn), (s.src, rep.local_qpn)];
                    self.connections.establish(asked.service, ends, asked.mtu, s.number);
                }
            }
            CmMessage::Mra(mra) => self.answer(s, mra.remote_id),
            CmMessage::Rej(rej) => {
                self.answer(s, rej.remote_id);
                let detail = Detail::Rejected { reason: rej.reason };
                self.findings.add(Some((connection, 1 - side)), s.number, detail);
            }
            CmMessage::SidrRep(rep) => {
                self.answer(s, rep.request_id);
                if rep.status != SidrStatus::OK {
                    let detail = Detail::SidrRefused { status: rep.status };
                    self.findings.add(Some((connection, 1 - side)), s.number, detail);
                }
            }
            _ => {}
        }
    }

    fn ask(&mut self, s: &Sighting<'_>, id: u32, asked: Asked) {
        let room = self.asked.len() < MAX_ASKED;
        match self.asked.entry((s.src, id)) {
            std::collections::btree_map::Entry::Occupied(mut known) => known.get_mut().sends += 1,
            std::collections::btree_map::Entry::Vacant(new) if room => {
                new.insert(asked);
            }
            std::collections::btree_map::Entry::Vacant(_) => {
                self.asked.retain(|_, asked| !asked.answered);
            }
        }
    }

    fn answer(&mut self, s: &Sighting<'_>, id: u32) {
        // A requester that gives up says so with a rejection of its own, and that answers nothing.
        if let Some(asked) = self.asked.get_mut(&(s.dst, id)) {
            asked.answered = true;
        }
    }

    /// Puts everything together.
    pub(super) fn finish(mut self, format: &'static str) -> (Report, Trail) {
        self.last_findings();
        let Self { counts, times, connections, mut findings, mut trail, .. } = self;
        let all = connections.all;

        let mut ids: HashMap<usize, usize> = HashMap::new();
        let mut reports = Vec::new();
        for (index, connection) in all.iter().enumerate().filter(|(_, c)| c.merged_into.is_none()) {
            ids.insert(index, reports.len() + 1);
            reports.push(connection_report(reports.len() + 1, connection));
        }
        // Where a connection turned out to be the other half of another one, its first end is that one's second.
        let kept = |index: usize, side: usize| match all[index].merged_into {
            Some(kept) => (kept, 1 - side),
            None => (index, side),
        };
        trail.settle(|index, side| {
            let (index, side) = kept(index, side);
            (ids.get(&index).copied().unwrap_or(0), side)
        });
        findings.drafts.sort_by_key(Draft::first_packet);
        let (mut told, mut deaths) = (Vec::new(), Vec::new());
        // Of all the capture: the request that was given up stands before the NAKs that led there.
        let mut rnr_naks = BTreeMap::<_, u64>::new();
        for draft in findings.drafts.iter().filter(|draft| matches!(draft.detail, Detail::RnrNak { .. })) {
            let about = draft.connection.map(|index| kept(index, draft.requester));
            *rnr_naks.entry(about).or_default() += 1;
        }
        for draft in findings.drafts {
            let Some(index) = draft.connection else {
                told.push(draft.finish(None, "", ""));
                continue;
            };
            let (index, requester) = kept(index, draft.requester);
            let (names, id) = (names(&all[index]), ids.get(&index).copied());
            let (requester_name, responder_name) = (names[requester].as_str(), names[1 - requester].as_str());
            let naks = rnr_naks.get(&Some((index, requester))).copied().unwrap_or(0);
            let death = death(&draft, [requester_name, responder_name], naks);
            deaths.extend(death.map(|death| Death { connection: id, ..death }));
            told.push(draft.finish(id, requester_name, responder_name));
        }
        let report = Report {
            format,
            packets: counts.packets,
            roce: counts.roce,
            undecodable: counts.undecodable,
            other: counts.other,
            icrc_ok: counts.icrc_ok,
            icrc_bad: counts.icrc_bad,
            icrc_rxe_flush: counts.icrc_rxe_flush,
            icrc_unchecked: counts.icrc_unchecked,
            duration_ns: times.map_or(0, |(first, last)| last - first),
            opcodes: counts.opcodes,
            connections: reports,
            findings_left_out: findings.left_out,
            findings: told,
            deaths,
        };
        (report, trail)
    }
}

impl Asked {
    fn new(s: &Sighting<'_>, connection: usize, side: usize) -> Self {
        Self {
            connection,
            side,
            packet: s.number,
            sends: 1,
            qpn: Qpn::GSI,
            mtu: None,
            service: Service::Rc,
            answered: false,
        }
    }
}

/// What the two ends are called in sentences.
fn names(connection: &Connection) -> [String; 2] {
    let [one, other] = connection.ends;
    connection.ends.map(|end| match end.qpn {
        Some(qpn) if one.address == other.address => format!("{} ({qpn})", end.address),
        _ => end.address.to_string(),
    })
}

fn connection_report(id: usize, connection: &Connection) -> ConnectionReport {
    let end = |side: usize| {
        let (end, stream) = (&connection.ends[side], &connection.streams[side]);
        EndReport {
            address: end.address,
            qpn: end.qpn.map(Qpn::value),
            packets: connection.packets[side],
            requests: stream.requests,
            resent: stream.resent,
            cnps: connection.notifications[side].0,
            operations: stream.messages.totals.clone(),
            messages: stream.messages.listed.clone(),
        }
    };
    ConnectionReport {
        id,
        service: match connection.service {
            Service::Rc => "RC",
            Service::Uc => "UC",
            Service::Rd => "RD",
            Service::Ud => "UD",
            Service::Cnp => "CNP",
            Service::Xrc => "XRC",
        },
        paired_by: connection.pairing,
        mtu: connection.mtu.map(PathMtu::bytes),
        first_packet: connection.first_packet,
        last_packet: connection.last_packet,
        congested: connection.congested.iter().map(|(packets, _)| packets).sum(),
        ends: [end(0), end(1)],
    }
}
