//! Messages as they arrive.

use ferroce_wire::cm::{
    CmMad, CmMessage, Drep, Dreq, Mra, Rej, RejectReason, Rep, Req, Rtu, SidrRep, SidrReq, SidrStatus, gid_of,
};
use ferroce_wire::{PathMtu, Psn};

use crate::io::RxMeta;
use crate::qp::AddressVector;
use crate::time::Time;

use super::Cm;
use super::calls::unconnected;
use super::endpoint::{Link, Path};
use super::messages::{About, rejection};
use super::types::{CmEventKind, CmListener, CmState, CmTransport, time_of};

/// The longest that a peer's MRA is believed: 137 s.
const MAX_SERVICE_TIMEOUT: u8 = 25;

/// The bits of a traffic class that an answer repeats; the others are marks of the network.
const DSCP: u8 = 0xfc;

/// Where a message came from, and what an answer must repeat.
#[derive(Clone, Copy)]
struct From {
    now: Time,
    path: Path,
    transaction_id: u64,
}

impl Cm {
    /// A datagram for QP1 with the right Q_Key. Whatever the bytes are, the worst that happens is a counted drop.
    pub(crate) fn receive(&mut self, now: Time, meta: &RxMeta, payload: &[u8]) {
        let Ok(mad) = CmMad::parse(payload) else {
            self.counters.drop_malformed += 1;
            return;
        };
        self.counters.received += 1;
        let path = Path { local: meta.dst, peer: meta.src, traffic_class: meta.traffic_class & DSCP };
        let from = From { now, path, transaction_id: mad.transaction_id };
        match &mad.message {
            CmMessage::Req(req) => self.on_req(from, req),
            CmMessage::Mra(mra) => self.on_mra(from, mra),
            CmMessage::Rej(rej) => self.on_rej(from, rej),
            CmMessage::Rep(rep) => self.on_rep(from, rep),
            CmMessage::Rtu(rtu) => self.on_rtu(from, rtu),
            CmMessage::Dreq(dreq) => self.on_dreq(from, dreq),
            CmMessage::Drep(drep) => self.on_drep(from, drep),
            CmMessage::SidrReq(req) => self.on_sidr_req(from, req),
            CmMessage::SidrRep(rep) => self.on_sidr_rep(from, rep),
            // There is no path migration on RoCE; Linux does not answer either.
            CmMessage::Lap(_) | CmMessage::Apr(_) => self.unexpected(),
        }
    }

    fn unexpected(&mut self) {
        self.counters.drop_unexpected += 1;
    }

    /// The connection that a message is about: ours by our name, the peer's address and the peer's name for it.
    /// Before the peer's name is known, any will do; a REJ from a peer that has given it no name has 0.
    fn find(&self, from: From, local_id: u32, remote_id: u32) -> Option<(u32, CmState)> {
        let endpoint = self.endpoints.get(&local_id)?;
        let same = |path: Path| (path.local, path.peer) == (from.path.local, from.path.peer);
        let is_it = same(endpoint.path) && endpoint.remote_id.is_none_or(|known| known == remote_id);
        is_it.then_some((local_id, endpoint.state))
    }

    fn on_req(&mut self, from: From, req: &Req) {
        if let Some(&id) = self.by_peer.get(&(from.path.peer, req.local_id)) {
            self.counters.duplicates += 1;
            return self.on_repeated_req(from, id, req);
        }
        let refuse = |cm: &mut Cm, reason, info: &[u8]| {
            cm.refuse(&from.path, from.transaction_id, req.local_id, About::Req, (reason, info));
        };
        let (transport, path_mtu) = match self.check_req(from, req) {
            Ok(right) => right,
            Err((reason, info)) => return refuse(self, reason, &info),
        };
        if let Some(&old) = self.by_qp.get(&(from.path.peer, req.local_qpn)) {
            refuse(self, RejectReason::STALE_CONNECTION, &[]);
            return self.end_stale(from.now, old);
        }
        let Some(number) = self.listener_for(req.service_id, from.path.local) else {
            return refuse(self, RejectReason::INVALID_SERVICE_ID, &[]);
        };
        let Some(listener) = self.open_listener(number) else { return };
        let link = Link {
            transport,
            asks: false,
            av: self.av_to(from, req.primary.flow_label, req.primary.hop_limit),
            path_mtu,
            local_qpn: Default::default(),
            remote_qpn: Some(req.local_qpn),
            rq_psn: Psn::new(self.rng.u32()),
            sq_psn: req.starting_psn,
            responder_resources: req.initiator_depth,
            initiator_depth: req.responder_resources,
            retry_count: req.retry_count,
            rnr_retry_count: req.rnr_retry_count,
            ack_timeout: req.primary.ack_timeout,
        };
        let mut endpoint = self.new_endpoint(CmState::ReqReceived, from.path, req.service_id, link);
        endpoint.remote_id = Some(req.local_id);
        endpoint.transaction_id = from.transaction_id;
        endpoint.waiting_at = Some(listener);
        endpoint.patience = time_of(req.local_response_timeout);
        endpoint.max_retries = req.max_cm_retries;
        let Some(id) = self.insert(endpoint) else { return refuse(self, RejectReason::NO_RESOURCES, &[]) };
        self.count_waiting(number);
        self.by_peer.insert((from.path.peer, req.local_id), id.0);
        self.by_qp.insert((from.path.peer, req.local_qpn), id.0);
        let (local, peer) = (from.path.local, from.path.peer);
        self.raise(id.0, CmEventKind::Request { listener, req: Box::new(*req), local, peer });
    }

    /// What must hold for every request.
    fn check_req(&self, from: From, req: &Req) -> Result<(CmTransport, PathMtu), (RejectReason, Vec<u8>)> {
        let transport = CmTransport::from_bits(req.transport, req.extended_transport)
            .ok_or((RejectReason::INVALID_TRANSPORT, Vec::new()))?;
        let mtu = PathMtu::from_ib_value(req.path_mtu).filter(|mtu| *mtu <= self.mtu);
        let path_mtu = mtu.ok_or((RejectReason::INVALID_MTU, vec![self.mtu.ib_value()]))?;
        // A path between others than those who talk would have the data go to a stranger.
        let ends = [req.primary.local_gid, req.primary.remote_gid];
        if ends != [gid_of(from.path.peer), gid_of(from.path.local)] {
            return Err((RejectReason::INVALID_GID, gid_of(from.path.local).octets().to_vec()));
        }
        Ok((transport, path_mtu))
    }

    /// The answer to a request that came before was lost, or is not there yet.
    fn on_repeated_req(&mut self, from: From, id: u32, req: &Req) {
        let Some(endpoint) = self.endpoints.get(&id) else { return };
        match endpoint.state {
            CmState::ReqReceived => self.send_mra(id, About::Req),
            // A reply, or a rejection.
            CmState::RepSent | CmState::Idle => self.send_again(id),
            CmState::TimeWait => {
                let stale = (RejectReason::STALE_CONNECTION, &[][..]);
                self.refuse(&from.path, from.transaction_id, req.local_id, About::Req, stale);
            }
            _ => {}
        }
    }

    /// The peer uses the queue pair of this connection for another one: it knows of this one no more.
    fn end_stale(&mut self, now: Time, id: u32) {
        let established =
            self.endpoints.get(&id).is_some_and(|endpoint| endpoint.state == CmState::Established);
        if established {
            let started = self.start_disconnect(now, id, &[]);
            debug_assert!(started.is_ok(), "no private data is never too much");
        }
    }

    fn on_rep(&mut self, from: From, rep: &Rep) {
        let Some((id, state)) = self.find(from, rep.remote_id, rep.local_id) else {
            let unknown = (RejectReason::INVALID_COMM_ID, &[][..]);
            return self.refuse(&from.path, from.transaction_id, rep.local_id, About::Rep, unknown);
        };
        match state {
            CmState::ReqSent => {}
            CmState::RepReceived => {
                self.counters.duplicates += 1;
                return self.send_mra(id, About::Rep);
            }
            CmState::Established => {
                self.counters.duplicates += 1;
                return self.send_again(id);
            }
            _ => return self.unexpected(),
        }
        self.set_deadline(id, None);
        if let Some(&old) = self.by_qp.get(&(from.path.peer, rep.local_qpn)) {
            let stale = (RejectReason::STALE_CONNECTION, &[][..]);
            self.refuse(&from.path, from.transaction_id, rep.local_id, About::Rep, stale);
            self.end_stale(from.now, old);
            let rej = Rej { local_id: rep.local_id, remote_id: id, ..rejection(stale.0, stale.1) };
            self.raise(id, CmEventKind::Rejected(Box::new(rej)));
            return self.come_to_rest(id);
        }
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        endpoint.state = CmState::RepReceived;
        endpoint.remote_id = Some(rep.local_id);
        let link = &mut endpoint.link;
        link.remote_qpn = Some(rep.local_qpn);
        link.sq_psn = rep.starting_psn;
        link.initiator_depth = rep.responder_resources;
        link.responder_resources = rep.initiator_depth;
        link.rnr_retry_count = rep.rnr_retry_count;
        self.by_peer.insert((from.path.peer, rep.local_id), id);
        self.by_qp.insert((from.path.peer, rep.local_qpn), id);
        self.raise(id, CmEventKind::Reply(Box::new(*rep)));
    }

    fn on_rtu(&mut self, from: From, rtu: &Rtu) {
        match self.find(from, rtu.remote_id, rtu.local_id) {
            Some((id, CmState::RepSent)) => {
                self.set_deadline(id, None);
                if let Some(endpoint) = self.endpoints.get_mut(&id) {
                    endpoint.state = CmState::Established;
                }
                self.raise(id, CmEventKind::Established(Box::new(*rtu)));
            }
            Some((_, CmState::Established)) => self.counters.duplicates += 1,
            _ => self.unexpected(),
        }
    }

    fn on_mra(&mut self, from: From, mra: &Mra) {
        let about = match self.find(from, mra.remote_id, mra.local_id) {
            Some((id, CmState::ReqSent)) => (id, About::Req),
            Some((id, CmState::RepSent)) => (id, About::Rep),
            _ => return self.unexpected(),
        };
        if about.1 as u8 != mra.message {
            return self.unexpected();
        }
        let travel = 2 * time_of(self.config.packet_life_time);
        let wait = time_of(mra.service_timeout.min(MAX_SERVICE_TIMEOUT)) + travel;
        // Only for this answer: what is said later may be lost as well, and is repeated as soon as ever.
        self.set_deadline(about.0, Some(from.now + wait));
    }

    fn on_rej(&mut self, from: From, rej: &Rej) {
        let found = if rej.reason == RejectReason::TIMEOUT && rej.remote_id == 0 {
            // The peer gives up a request to which it saw no answer, and so knows no name of ours.
            let id = self.by_peer.get(&(from.path.peer, rej.local_id)).copied();
            id.and_then(|id| self.find(from, id, rej.local_id))
        } else {
            let known = self.endpoints.get(&rej.remote_id).and_then(|endpoint| endpoint.remote_id);
            // A peer that knows nothing of the connection has no name for it.
            let name = if rej.local_id == 0 { known.unwrap_or(0) } else { rej.local_id };
            self.find(from, rej.remote_id, name)
        };
        let Some((id, state)) = found else { return self.unexpected() };
        let stale = rej.reason == RejectReason::STALE_CONNECTION;
        match state {
            CmState::ReqSent | CmState::ReqReceived | CmState::RepSent if !stale => {
                self.raise(id, CmEventKind::Rejected(Box::new(*rej)));
                self.taken(id);
                self.come_to_rest(id);
            }
            CmState::ReqSent
            | CmState::ReqReceived
            | CmState::RepSent
            | CmState::RepReceived
            | CmState::Established
            | CmState::DreqSent => {
                self.raise(id, CmEventKind::Rejected(Box::new(*rej)));
                self.taken(id);
                self.enter_time_wait(from.now, id);
            }
            _ => self.unexpected(),
        }
    }

    fn on_dreq(&mut self, from: From, dreq: &Dreq) {
        let Some((id, state)) = self.find(from, dreq.remote_id, dreq.local_id) else {
            // Whatever it was is over here: the peer need not ask again.
            return self.send_drep(&from.path, from.transaction_id, dreq);
        };
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        if dreq.remote_qpn != endpoint.link.local_qpn {
            return self.unexpected();
        }
        match state {
            CmState::Established | CmState::RepSent | CmState::RepReceived => {
                endpoint.state = CmState::DreqReceived;
                endpoint.transaction_id = from.transaction_id;
                self.set_deadline(id, None);
                self.raise(id, CmEventKind::Disconnecting(Box::new(*dreq)));
            }
            // Both ends at once.
            CmState::DreqSent => {
                self.send_drep(&from.path, from.transaction_id, dreq);
                self.raise(id, CmEventKind::Disconnected(None));
                self.enter_time_wait(from.now, id);
            }
            CmState::TimeWait => {
                self.counters.duplicates += 1;
                self.send_drep(&from.path, from.transaction_id, dreq);
            }
            CmState::DreqReceived => self.counters.duplicates += 1,
            _ => self.unexpected(),
        }
    }

    fn on_drep(&mut self, from: From, drep: &Drep) {
        match self.find(from, drep.remote_id, drep.local_id) {
            Some((id, CmState::DreqSent)) => {
                self.raise(id, CmEventKind::Disconnected(Some(Box::new(*drep))));
                self.enter_time_wait(from.now, id);
            }
            _ => self.unexpected(),
        }
    }

    fn on_sidr_req(&mut self, from: From, req: &SidrReq) {
        let key = (from.path.peer, req.request_id);
        if let Some(&id) = self.by_asker.get(&key) {
            self.counters.duplicates += 1;
            // Without an answer yet there is nothing to send.
            return self.send_again(id);
        }
        let Some(number) = self.listener_for(req.service_id, from.path.local) else {
            self.counters.refused += 1;
            let (request_id, service_id) = (req.request_id, req.service_id);
            let status = SidrStatus::UNSUPPORTED;
            let rep = SidrRep { request_id, service_id, status, ..SidrRep::default() };
            return self.send_once(&from.path, from.transaction_id, rep);
        };
        let Some(listener) = self.open_listener(number) else { return };
        let link = unconnected(self.av_to(from, 0, 64));
        let mut endpoint = self.new_endpoint(CmState::SidrReqReceived, from.path, req.service_id, link);
        endpoint.remote_id = Some(req.request_id);
        endpoint.transaction_id = from.transaction_id;
        endpoint.waiting_at = Some(listener);
        // The peer will ask again, and there may be room then.
        let Some(id) = self.insert(endpoint) else { return self.unexpected() };
        self.count_waiting(number);
        self.by_asker.insert(key, id.0);
        let (local, peer) = (from.path.local, from.path.peer);
        self.raise(id.0, CmEventKind::SidrRequest { listener, req: Box::new(*req), local, peer });
    }

    fn on_sidr_rep(&mut self, from: From, rep: &SidrRep) {
        match self.find(from, rep.request_id, 0) {
            Some((id, CmState::SidrReqSent)) => {
                self.raise(id, CmEventKind::SidrReply(Box::new(*rep)));
                self.come_to_rest(id);
            }
            _ => self.unexpected(),
        }
    }

    /// The listener, if it wants another request.
    fn open_listener(&mut self, number: u32) -> Option<CmListener> {
        let listener = self.listeners.get(&number)?;
        if listener.waiting >= listener.backlog {
            self.counters.drop_backlog += 1;
            return None;
        }
        Some(CmListener(number))
    }

    fn count_waiting(&mut self, number: u32) {
        if let Some(listener) = self.listeners.get_mut(&number) {
            listener.waiting += 1;
        }
    }

    /// The way back to who asked.
    fn av_to(&self, from: From, flow_label: u32, hop_limit: u8) -> AddressVector {
        let index = self.gids.iter().position(|gid| *gid == from.path.local).unwrap_or(0);
        AddressVector {
            traffic_class: from.path.traffic_class,
            flow_label,
            hop_limit,
            ..AddressVector::new(index as u8, from.path.peer)
        }
    }
}
