//! Which packets belong together.
//!
//! A packet of a connection names only the queue pair that it goes to, so each direction is known at first as
//! half of a connection. Two halves are joined when connection management said so, when an answer has a PSN
//! that only one other half waits for, or when both have the UDP source port that Linux computes from the two
//! queue pair numbers.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use ferroce_wire::flow::{flow_label_for_qps, port_from_flow_label};
use ferroce_wire::{PathMtu, Position, Qpn, Service};
use serde::Serialize;

use super::pace::Pace;
use super::sighting::Sighting;
use super::stream::Stream;

/// Connections that are followed; packets of others are only counted.
const MAX_CONNECTIONS: usize = 20_000;
/// Halves between two addresses that may wait for their other half.
const MAX_WAITING: usize = 256;

/// How it is known that two halves are one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pairing {
    /// Connection management named both queue pairs.
    Cm,
    /// The PSN of an answer fits no other requests.
    Psn,
    /// Both UDP source ports follow from the two queue pair numbers.
    UdpPort,
    /// Datagrams name both queue pairs.
    Datagram,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) address: IpAddr,
    pub(super) qpn: Option<Qpn>,
}

/// Two queue pairs that talk to each other, as far as they have been seen.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) service: Service,
    pub(super) ends: [End; 2],
    pub(super) pairing: Option<Pairing>,
    pub(super) mtu: Option<PathMtu>,
    /// Requests by the end that sends them.
    pub(super) streams: [Stream; 2],
    /// How fast each end sends data.
    pub(super) paces: [Pace; 2],
    /// Packets by the end that sends them.
    pub(super) packets: [u64; 2],
    /// CNPs by the end that sends them, and the first of them.
    pub(super) notifications: [(u64, u64); 2],
    /// Packets with ECN "congestion experienced" by the end that sends them, and the first of them.
    pub(super) congested: [(u64, u64); 2],
    /// The first P_Key by the end that sends it.
    pub(super) pkeys: [Option<u16>; 2],
    pub(super) first_packet: u64,
    pub(super) last_packet: u64,
    /// The connection of which this turned out to be the other half.
    pub(super) merged_into: Option<usize>,
    /// UDP source port of what the first end sends.
    pub(super) src_port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Half {
    service: Service,
    src: IpAddr,
    dst: IpAddr,
    dest_qp: Qpn,
    /// Datagrams only.
    src_qp: Option<Qpn>,
}

/// All connections of a capture.
#[derive(Debug, Default)]
pub(super) struct Connections {
    pub(super) all: Vec<Connection>,
    /// Packets of connections beyond the limit.
    pub(super) unfollowed: u64,
    halves: HashMap<Half, (usize, usize)>,
    /// Connections of which only the half from the first to the second address is known.
    waiting: HashMap<(Service, IpAddr, IpAddr), VecDeque<usize>>,
}

impl Connections {
    /// The connection of a packet, and which end sent it. `None` if there are too many connections.
    pub(super) fn place(&mut self, s: &Sighting<'_>) -> Option<(usize, usize)> {
        let (index, side) = match s.opcode().service() {
            Service::Cnp => self.place_notification(s)?,
            Service::Ud => self.place_datagram(s)?,
            _ => self.place_connected(s)?,
        };
        let connection = &mut self.all[index];
        connection.packets[side] += 1;
        connection.last_packet = s.number;
        if s.congested {
            let (count, first) = &mut connection.congested[side];
            *count += 1;
            *first = if *count == 1 { s.number } else { *first };
        }
        connection.pkeys[side] = connection.pkeys[side].or(Some(s.headers.bth.pkey));
        if matches!(s.opcode().position(), Position::First | Position::Middle) && connection.mtu.is_none() {
            connection.mtu = PathMtu::from_bytes(s.payload_len);
        }
        Some((index, side))
    }

    /// Connection management names the two ends of a connection: the one that asked, and the one that
    /// accepts.
    pub(super) fn establish(
        &mut self,
        service: Service,
        ends: [(IpAddr, Qpn); 2],
        mtu: Option<PathMtu>,
        packet: u64,
    ) {
        let [(asker, asker_qp), (accepter, accepter_qp)] = ends;
        let to_accepter = Half { service, src: asker, dst: accepter, dest_qp: accepter_qp, src_qp: None };
        let to_asker = Half { service, src: accepter, dst: asker, dest_qp: asker_qp, src_qp: None };
        if let (Some(one), Some(other)) = (self.halves.get(&to_accepter), self.halves.get(&to_asker))
            && one.0 == other.0
            && self.all[one.0].packets == [0, 0]
        {
            return; // the same reply once more
        }
        let ends = ends.map(|(address, qpn)| End { address, qpn: Some(qpn) });
        let Some(index) = self.add(service, ends, packet, 0) else { return };
        self.all[index].pairing = Some(Pairing::Cm);
        self.all[index].mtu = mtu;
        self.halves.insert(to_accepter, (index, 0));
        self.halves.insert(to_asker, (index, 1));
    }

    fn place_connected(&mut self, s: &Sighting<'_>) -> Option<(usize, usize)> {
        let service = s.opcode().service();
        let half = Half { service, src: s.src, dst: s.dst, dest_qp: s.headers.bth.dest_qp, src_qp: None };
        let known = self.halves.get(&half).copied();
        if let Some((index, _)) = known
            && (self.all[index].pairing.is_some() || s.opcode().is_request())
        {
            return known;
        }
        let mine = known.map(|(index, _)| index);
        if let Some((other, pairing)) = self.other_half(s, mine) {
            let place = match mine {
                Some(mine) => self.merge(mine, other),
                None => (other, 1),
            };
            let connection = &mut self.all[place.0];
            connection.pairing = Some(pairing);
            connection.ends[1 - place.1].qpn = Some(half.dest_qp);
            self.halves.insert(half, place);
            self.forget_waiting(service, place.0);
            return Some(place);
        }
        if known.is_some() {
            return known;
        }
        let ends = [End { address: s.src, qpn: None }, End { address: s.dst, qpn: Some(half.dest_qp) }];
        let index = self.add(service, ends, s.number, s.src_port)?;
        self.halves.insert(half, (index, 0));
        let waiting = self.waiting.entry((service, s.src, s.dst)).or_default();
        if waiting.len() == MAX_WAITING {
            waiting.pop_front();
        }
        waiting.push_back(index);
        Some((index, 0))
    }

    /// The half that goes the other way, if it is clear which one that is.
    fn other_half(&self, s: &Sighting<'_>, mine: Option<usize>) -> Option<(usize, Pairing)> {
        let bth = &s.headers.bth;
        let waiting = self.waiting.get(&(s.opcode().service(), s.dst, s.src))?;
        let others = || waiting.iter().copied().filter(|&index| Some(index) != mine);
        let port_fits = |index: &usize| {
            let other = &self.all[*index];
            let port = other.ends[1].qpn.map(|qpn| flow_label_for_qps(bth.dest_qp, qpn));
            other.src_port == s.src_port && port.map(port_from_flow_label) == Some(s.src_port)
        };
        let waits = |index: &usize| {
            let other = &self.all[*index];
            other.streams[0].expects(bth.psn, other.mtu)
        };
        if s.opcode().is_response() {
            let by_psn = only(others().filter(waits));
            let by_both = || only(others().filter(waits).filter(port_fits));
            if let Some(index) = by_psn.or_else(by_both) {
                return Some((index, Pairing::Psn));
            }
        }
        only(others().filter(port_fits)).map(|index| (index, Pairing::UdpPort))
    }

    /// Makes one connection of two halves; returns it and the end that sends the half of `mine`.
    fn merge(&mut self, mine: usize, other: usize) -> (usize, usize) {
        let (kept, gone) = (mine.min(other), mine.max(other));
        let stream = std::mem::take(&mut self.all[gone].streams[0]);
        let pace = std::mem::take(&mut self.all[gone].paces[0]);
        let [packets, _] = self.all[gone].packets;
        let Connection { ends, congested, pkeys, last_packet, mtu, service, .. } = self.all[gone];
        self.all[gone].merged_into = Some(kept);
        let connection = &mut self.all[kept];
        connection.ends[0].qpn = ends[1].qpn;
        connection.streams[1] = stream;
        connection.paces[1] = pace;
        connection.packets[1] = packets;
        connection.congested[1] = congested[0];
        connection.pkeys[1] = pkeys[0];
        connection.last_packet = connection.last_packet.max(last_packet);
        connection.mtu = connection.mtu.or(mtu);
        if let Some(dest_qp) = ends[1].qpn {
            let half = Half { service, src: ends[0].address, dst: ends[1].address, dest_qp, src_qp: None };
            self.halves.insert(half, (kept, 1));
        }
        self.forget_waiting(service, gone);
        (kept, usize::from(kept == other))
    }

    fn forget_waiting(&mut self, service: Service, index: usize) {
        let [one, other] = self.all[index].ends;
        if let Some(waiting) = self.waiting.get_mut(&(service, one.address, other.address)) {
            waiting.retain(|&waits| waits != index);
        }
    }

    /// A CNP names the queue pair whose packets met congestion, whatever its service is.
    fn place_notification(&mut self, s: &Sighting<'_>) -> Option<(usize, usize)> {
        let dest_qp = s.headers.bth.dest_qp;
        let place = [Service::Rc, Service::Uc, Service::Xrc].into_iter().find_map(|service| {
            self.halves.get(&Half { service, src: s.src, dst: s.dst, dest_qp, src_qp: None }).copied()
        });
        let (index, side) = place?;
        let (count, first) = &mut self.all[index].notifications[side];
        *count += 1;
        if *count == 1 {
            *first = s.number;
        }
        Some((index, side))
    }

    fn place_datagram(&mut self, s: &Sighting<'_>) -> Option<(usize, usize)> {
        let (service, dest_qp) = (Service::Ud, s.headers.bth.dest_qp);
        let src_qp = s.headers.deth?.src_qp;
        let there = Half { service, src: s.src, dst: s.dst, dest_qp, src_qp: Some(src_qp) };
        if let Some(&place) = self.halves.get(&there) {
            return Some(place);
        }
        let back = Half { service, src: s.dst, dst: s.src, dest_qp: src_qp, src_qp: Some(dest_qp) };
        let ends = [End { address: s.src, qpn: Some(src_qp) }, End { address: s.dst, qpn: Some(dest_qp) }];
        let index = self.add(service, ends, s.number, s.src_port)?;
        self.all[index].pairing = Some(Pairing::Datagram);
        self.halves.insert(back, (index, 1));
        self.halves.insert(there, (index, 0));
        Some((index, 0))
    }

    fn add(&mut self, service: Service, ends: [End; 2], packet: u64, src_port: u16) -> Option<usize> {
        if self.all.len() >= MAX_CONNECTIONS {
            return None;
        }
        self.all.push(Connection {
            service,
            ends,
            pairing: None,
            mtu: None,
            streams: Default::default(),
            paces: Default::default(),
            packets: [0, 0],
            notifications: [(0, 0); 2],
            congested: [(0, 0); 2],
            pkeys: [None; 2],
            first_packet: packet,
            last_packet: packet,
            merged_into: None,
            src_port,
        });
        Some(self.all.len() - 1)
    }
}

/// The item of an iterator that has just one.
pub(super) fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next()?;
    items.next().is_none().then_some(first)
}
