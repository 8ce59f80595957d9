//! What the owner asks for.

use std::net::IpAddr;

use ferroce_wire::cm::{CmMessage, Drep, Rej, RejectReason, Rep, Rtu, ServiceId, SidrRep, SidrReq};
use ferroce_wire::{DEFAULT_PKEY, PathMtu, Psn, Qpn};

use crate::error::VerbsError;
use crate::io::{Train, TxLimits};
use crate::qp::AddressVector;
use crate::time::Time;

use super::endpoint::{Endpoint, Link, Path, ack_timeout};
use super::messages::{About, dreq, private, rejection};
use super::types::{
    CmAccept, CmConnect, CmEventKind, CmId, CmListener, CmSidrReply, CmState, CmTransport, time_of,
};
use super::{Cm, Listener, NO_CONNECTION, WRONG_MOMENT};

impl Cm {
    /// Listens for requests for a service, at one address or at all. At most `backlog` requests wait to be
    /// [taken](Self::take_request); more are dropped, and come again when the peer repeats them.
    ///
    /// # Errors
    /// When the service is listened to there already.
    pub fn listen(
        &mut self,
        service_id: ServiceId,
        addr: Option<IpAddr>,
        backlog: u32,
    ) -> Result<CmListener, VerbsError> {
        if self.listeners().any(|listener| listener == (service_id, addr)) {
            return Err(VerbsError::Busy("the service is listened to already"));
        }
        let number = self.next_listener;
        self.next_listener = number.checked_add(1).ok_or(VerbsError::Exhausted("listeners"))?;
        self.listeners.insert(number, Listener { service_id, addr, backlog, waiting: 0 });
        self.listener_changes += 1;
        Ok(CmListener(number))
    }

    /// Stops listening. Requests that were not taken are rejected.
    ///
    /// # Errors
    /// When there is no such listener.
    pub fn unlisten(&mut self, now: Time, listener: CmListener) -> Result<(), VerbsError> {
        self.listeners.remove(&listener.0).ok_or(VerbsError::Stale("listener"))?;
        self.listener_changes += 1;
        let waits = |endpoint: &Endpoint| endpoint.waiting_at == Some(listener);
        let waiting: Vec<u32> =
            self.endpoints.iter().filter(|(_, endpoint)| waits(endpoint)).map(|(id, _)| *id).collect();
        for id in waiting {
            self.destroy(now, CmId(id))?;
        }
        Ok(())
    }

    /// Takes notice of a request, which from now on does not count against the backlog.
    ///
    /// # Errors
    /// When there is no such request.
    pub fn take_request(&mut self, id: CmId) -> Result<(), VerbsError> {
        self.endpoint(id)?;
        self.taken(id.0);
        Ok(())
    }

    /// Asks for a connection. [`Reply`](CmEventKind::Reply), [`Rejected`](CmEventKind::Rejected) or
    /// [`Unreachable`](CmEventKind::Unreachable) will follow.
    ///
    /// # Errors
    /// When there are too many connections, or an argument is out of its range.
    pub fn connect(&mut self, now: Time, request: &CmConnect<'_>) -> Result<CmId, VerbsError> {
        let path = self.path(&request.av)?;
        if request.retry_count > 7 || request.rnr_retry_count > 7 {
            return Err(VerbsError::Invalid("retry counts are 0 to 7"));
        }
        let config = &self.config;
        let from_path = ack_timeout(config.ack_delay, config.packet_life_time);
        let link = Link {
            transport: request.transport,
            asks: true,
            av: request.av,
            path_mtu: request.path_mtu,
            local_qpn: request.qpn,
            remote_qpn: None,
            rq_psn: Psn::new(self.rng.u32()),
            sq_psn: Psn::default(),
            responder_resources: request.responder_resources,
            initiator_depth: request.initiator_depth,
            retry_count: request.retry_count,
            rnr_retry_count: request.rnr_retry_count,
            ack_timeout: request.ack_timeout.unwrap_or(from_path).min(31),
        };
        let endpoint = self.new_endpoint(CmState::ReqSent, path, request.service_id, link);
        // Before anything changes, as this is where private data may turn out to be too long.
        let req = self.req(0, &endpoint, request)?;
        let id = self.insert(endpoint).ok_or(VerbsError::Exhausted("connections"))?;
        self.start(now, id, ferroce_wire::cm::Req { local_id: id.0, ..req });
        Ok(id)
    }

    /// Accepts a request. [`Established`](CmEventKind::Established) will follow, or one of the events that say
    /// that it came to nothing. The queue pair must be ready to receive, and may be ready to send.
    ///
    /// # Errors
    /// When the connection is no request that waits for an answer, or an argument is out of its range.
    pub fn accept(&mut self, now: Time, id: CmId, answer: &CmAccept<'_>) -> Result<(), VerbsError> {
        let private_data = private(answer.private_data)?;
        let (guid, ack_delay) = (self.guid, self.config.ack_delay.min(31));
        if answer.rnr_retry_count > 7 {
            return Err(VerbsError::Invalid("retry counts are 0 to 7"));
        }
        let endpoint = self.endpoint(id)?;
        if endpoint.state != CmState::ReqReceived {
            return Err(WRONG_MOMENT);
        }
        endpoint.state = CmState::RepSent;
        endpoint.link.local_qpn = answer.qpn;
        endpoint.link.responder_resources = answer.responder_resources;
        endpoint.link.initiator_depth = answer.initiator_depth;
        endpoint.retries_left = endpoint.max_retries;
        let rep = Rep {
            local_id: id.0,
            remote_id: endpoint.remote_id.unwrap_or(0),
            local_qpn: answer.qpn,
            starting_psn: endpoint.link.rq_psn,
            responder_resources: answer.responder_resources,
            initiator_depth: answer.initiator_depth,
            target_ack_delay: ack_delay,
            flow_control: answer.flow_control,
            rnr_retry_count: answer.rnr_retry_count,
            srq: answer.srq,
            local_ca_guid: guid,
            private_data,
            ..Rep::default()
        };
        let (transaction_id, next) = (endpoint.transaction_id, now + endpoint.patience);
        self.taken(id.0);
        self.send_kept(id.0, transaction_id, rep);
        self.set_deadline(id.0, Some(next));
        Ok(())
    }

    /// Tells the peer, whose reply came, that the queue pair here is ready too. At most 224 bytes of private
    /// data.
    ///
    /// # Errors
    /// When the connection has no reply that waits for this, or there is too much private data.
    pub fn ready(&mut self, id: CmId, private_data: &[u8]) -> Result<(), VerbsError> {
        let private_data = private(private_data)?;
        let endpoint = self.endpoint(id)?;
        if endpoint.state != CmState::RepReceived {
            return Err(WRONG_MOMENT);
        }
        endpoint.state = CmState::Established;
        let remote_id = endpoint.remote_id.unwrap_or(0);
        let transaction_id = endpoint.transaction_id;
        self.send_kept(id.0, transaction_id, Rtu { local_id: id.0, remote_id, private_data });
        Ok(())
    }

    /// The peer's packets have come to the queue pair of an accepted request, so that the peer must be ready even
    /// if its RTU was lost (`rdma_notify` with `IBV_EVENT_COMM_EST`).
    ///
    /// # Errors
    /// When there is no such connection, or it was not accepted.
    pub fn established(&mut self, id: CmId) -> Result<(), VerbsError> {
        let endpoint = self.endpoint(id)?;
        match endpoint.state {
            CmState::Established => return Ok(()),
            CmState::RepSent => endpoint.state = CmState::Established,
            _ => return Err(WRONG_MOMENT),
        }
        let remote_id = endpoint.remote_id.unwrap_or(0);
        self.set_deadline(id.0, None);
        let rtu = Rtu { local_id: remote_id, remote_id: id.0, ..Rtu::default() };
        self.raise(id.0, CmEventKind::Established(Box::new(rtu)));
        Ok(())
    }

    /// Rejects a request or a reply, with up to 72 bytes that say more about the reason, and up to 148 bytes of
    /// private data.
    ///
    /// # Errors
    /// When there is nothing to reject, or there is too much data.
    pub fn reject(
        &mut self,
        now: Time,
        id: CmId,
        reason: RejectReason,
        info: &[u8],
        private_data: &[u8],
    ) -> Result<(), VerbsError> {
        if info.len() > 72 {
            return Err(VerbsError::Invalid("at most 72 bytes of further information"));
        }
        let private_data = private(private_data)?;
        let endpoint = self.endpoint(id)?;
        let about = match endpoint.state {
            CmState::ReqReceived => About::Req,
            CmState::RepReceived => About::Rep,
            CmState::ReqSent | CmState::RepSent => About::Other,
            _ => return Err(WRONG_MOMENT),
        };
        let was_accepted = endpoint.state == CmState::RepSent;
        let (remote_id, transaction_id) = (endpoint.remote_id.unwrap_or(0), endpoint.transaction_id);
        let message = about as u8;
        let rej = Rej { local_id: id.0, remote_id, message, private_data, ..rejection(reason, info) };
        self.taken(id.0);
        self.send_kept(id.0, transaction_id, rej);
        if was_accepted {
            self.enter_time_wait(now, id.0)
        } else {
            self.come_to_rest(id.0)
        }
        Ok(())
    }

    /// Ends a connection, or agrees to the end that the peer asked for.
    /// [`Disconnected`](CmEventKind::Disconnected) follows in the first case, and
    /// [`TimeWaitOver`](CmEventKind::TimeWaitOver) in both. At most 220 bytes of private data.
    ///
    /// # Errors
    /// When there is no connection to end.
    pub fn disconnect(&mut self, now: Time, id: CmId, private_data: &[u8]) -> Result<(), VerbsError> {
        match self.endpoint(id)?.state {
            CmState::Established => {
                private::<{ ferroce_wire::cm::Dreq::PRIVATE_DATA_LEN }>(private_data)?;
                self.start_disconnect(now, id.0, private_data)
            }
            CmState::DreqReceived => {
                let private_data = private(private_data)?;
                let endpoint = self.endpoint(id)?;
                let remote_id = endpoint.remote_id.unwrap_or(0);
                let transaction_id = endpoint.transaction_id;
                self.send_kept(id.0, transaction_id, Drep { local_id: id.0, remote_id, private_data });
                self.enter_time_wait(now, id.0);
                Ok(())
            }
            _ => Err(WRONG_MOMENT),
        }
    }

    pub(super) fn start_disconnect(&mut self, now: Time, id: u32, data: &[u8]) -> Result<(), VerbsError> {
        let endpoint = self.endpoints.get_mut(&id).ok_or(NO_CONNECTION)?;
        let message = dreq(id, endpoint.remote_id.unwrap_or(0), endpoint.link.remote_qpn, data)?;
        endpoint.state = CmState::DreqSent;
        endpoint.retries_left = endpoint.max_retries;
        let next = now + endpoint.patience;
        let transaction_id = u64::from(id);
        self.send_kept(id, transaction_id, message);
        self.set_deadline(id, Some(next));
        Ok(())
    }

    /// Gives a connection up, whatever its state. The peer is told, as far as it matters to it; there will be no
    /// more events.
    ///
    /// # Errors
    /// When there is no such connection.
    pub fn destroy(&mut self, now: Time, id: CmId) -> Result<(), VerbsError> {
        let state = self.endpoint(id)?.state;
        match state {
            CmState::ReqSent => {
                let guid = self.guid.to_be_bytes();
                self.reject(now, id, RejectReason::TIMEOUT, &guid, &[])?;
            }
            CmState::ReqReceived | CmState::RepReceived | CmState::RepSent => {
                self.reject(now, id, RejectReason::CONSUMER_DEFINED, &[], &[])?;
            }
            CmState::Established => self.start_disconnect(now, id.0, &[])?,
            CmState::DreqReceived => self.disconnect(now, id, &[])?,
            CmState::SidrReqReceived => {
                let no = CmSidrReply {
                    status: ferroce_wire::cm::SidrStatus::REJECTED,
                    qpn: Qpn::default(),
                    qkey: 0,
                    private_data: &[],
                };
                self.sidr_reply(id, &no)?;
            }
            CmState::SidrReqSent | CmState::DreqSent | CmState::TimeWait | CmState::Idle => {}
        }
        let endpoint = self.endpoint(id)?;
        if matches!(endpoint.state, CmState::DreqSent | CmState::TimeWait) {
            endpoint.orphan = true;
            if std::mem::take(&mut endpoint.events) > 0 {
                self.events.retain(|event| event.id != id);
            }
            self.taken(id.0);
        } else {
            self.remove(id.0);
        }
        Ok(())
    }

    /// Gives all connections up, as [`destroy`](Self::destroy) does: the program ends.
    pub fn destroy_all(&mut self, now: Time) {
        let owned = self.endpoints.iter().filter(|(_, endpoint)| !endpoint.orphan);
        let owned: Vec<CmId> = owned.map(|(id, _)| CmId(*id)).collect();
        for id in owned {
            // What cannot be told to a peer any more is left.
            self.destroy(now, id).ok();
        }
    }

    /// Asks for the queue pair of a datagram service, with at most 216 bytes of private data.
    /// [`SidrReply`](CmEventKind::SidrReply) or [`Unreachable`](CmEventKind::Unreachable) will follow.
    ///
    /// # Errors
    /// When there are too many connections, or an argument is out of its range.
    pub fn sidr_request(
        &mut self,
        now: Time,
        service_id: ServiceId,
        av: &AddressVector,
        private_data: &[u8],
    ) -> Result<CmId, VerbsError> {
        let path = self.path(av)?;
        let private_data = private(private_data)?;
        let mut endpoint = self.new_endpoint(CmState::SidrReqSent, path, service_id, unconnected(*av));
        endpoint.patience = time_of(self.config.response_timeout);
        let id = self.insert(endpoint).ok_or(VerbsError::Exhausted("connections"))?;
        self.start(now, id, SidrReq { request_id: id.0, pkey: DEFAULT_PKEY, service_id, private_data });
        Ok(id)
    }

    /// Answers a request for a datagram service.
    ///
    /// # Errors
    /// When there is no such request that waits for an answer, or there is too much private data.
    pub fn sidr_reply(&mut self, id: CmId, answer: &CmSidrReply<'_>) -> Result<(), VerbsError> {
        let private_data = private(answer.private_data)?;
        let endpoint = self.endpoint(id)?;
        if endpoint.state != CmState::SidrReqReceived {
            return Err(WRONG_MOMENT);
        }
        endpoint.state = CmState::Idle;
        let (request_id, transaction_id) = (endpoint.remote_id.unwrap_or(0), endpoint.transaction_id);
        let CmSidrReply { status, qpn, qkey, .. } = *answer;
        let service_id = endpoint.service_id;
        let rep = SidrRep { request_id, status, qpn, service_id, qkey, private_data, ..SidrRep::default() };
        self.taken(id.0);
        self.send_kept(id.0, transaction_id, rep);
        Ok(())
    }

    pub(crate) fn wants_to_send(&self) -> bool {
        !self.outbox.is_empty()
    }

    pub(crate) fn emit(&mut self, migrated: bool, limits: &TxLimits, out: &mut Train) -> bool {
        self.outbox.emit(migrated, limits, out)
    }

    // --- inside ------------------------------------------------------------------------------------------------------

    fn path(&self, av: &AddressVector) -> Result<Path, VerbsError> {
        let local = self.gids.get(usize::from(av.sgid_index)).copied();
        match local {
            Some(local) if local.is_ipv4() == av.dgid.is_ipv4() && av.flow_label < 1 << 20 => {
                Ok(Path { local, peer: av.dgid, traffic_class: av.traffic_class })
            }
            _ => Err(VerbsError::Invalid("av")),
        }
    }

    pub(super) fn new_endpoint(
        &self,
        state: CmState,
        path: Path,
        service_id: ServiceId,
        link: Link,
    ) -> Endpoint {
        let config = &self.config;
        let max_retries = config.max_retries.min(15);
        Endpoint {
            state,
            orphan: false,
            waiting_at: None,
            events: 0,
            path,
            service_id,
            remote_id: None,
            transaction_id: 0,
            link,
            patience: 2 * time_of(config.packet_life_time) + time_of(config.response_timeout),
            max_retries,
            retries_left: max_retries,
            deadline: None,
            sent: None,
        }
    }

    /// Sends the first message of a connection.
    fn start(&mut self, now: Time, id: CmId, message: impl Into<CmMessage>) {
        let Some(endpoint) = self.endpoints.get_mut(&id.0) else { return };
        endpoint.transaction_id = u64::from(id.0);
        let next = now + endpoint.patience;
        self.send_kept(id.0, u64::from(id.0), message);
        self.set_deadline(id.0, Some(next));
    }
}

/// What stands in for a link between queue pairs where there is none.
pub(super) fn unconnected(av: AddressVector) -> Link {
    Link {
        transport: CmTransport::Rc,
        asks: true,
        av,
        path_mtu: PathMtu::Mtu256,
        local_qpn: Qpn::default(),
        remote_qpn: None,
        rq_psn: Psn::default(),
        sq_psn: Psn::default(),
        responder_resources: 0,
        initiator_depth: 0,
        retry_count: 0,
        rnr_retry_count: 0,
        ack_timeout: 0,
    }
}
