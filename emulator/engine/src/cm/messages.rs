//! Messages as they leave.

use ferroce_wire::cm::{
    CmMad, CmMessage, Drep, Dreq, Mra, Path as WirePath, Rej, RejectReason, Req, gid_of, padded,
};
use ferroce_wire::{DEFAULT_PKEY, Qpn};

use crate::error::VerbsError;

use super::Cm;
use super::endpoint::{Endpoint, Path};
use super::types::CmConnect;

/// What a REJ or MRA is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    Req = 0,
    Rep = 1,
    Other = 2,
}

impl Cm {
    /// Sends a message that belongs to no connection, or is not to be repeated.
    pub(super) fn send_once(&mut self, path: &Path, transaction_id: u64, message: impl Into<CmMessage>) {
        let mad = CmMad { transaction_id, modifier: 0, message: message.into() };
        self.send_bytes(path, Box::new(mad.emit()));
    }

    fn send_bytes(&mut self, path: &Path, mad: Box<[u8; ferroce_wire::mad::MAD_LEN]>) {
        match self.outbox.push(path.flow(), mad) {
            true => self.counters.sent += 1,
            false => self.counters.drop_outbox += 1,
        }
    }

    /// Sends a message of a connection, and keeps it to be repeated.
    pub(super) fn send_kept(&mut self, id: u32, transaction_id: u64, message: impl Into<CmMessage>) {
        let mad = CmMad { transaction_id, modifier: 0, message: message.into() };
        if let Some(endpoint) = self.endpoints.get_mut(&id) {
            endpoint.sent = Some(Box::new(mad.emit()));
        }
        self.send_again(id);
    }

    /// Sends the last message of a connection once more.
    pub(super) fn send_again(&mut self, id: u32) {
        let Some(endpoint) = self.endpoints.get(&id) else { return };
        let (path, sent) = (endpoint.path, endpoint.sent.clone());
        if let Some(mad) = sent {
            self.send_bytes(&path, mad);
        }
    }

    /// Tells a peer that repeats itself that its message has come.
    pub(super) fn send_mra(&mut self, id: u32, about: About) {
        let Some(endpoint) = self.endpoints.get(&id) else { return };
        let (path, transaction_id) = (endpoint.path, endpoint.transaction_id);
        let mra = Mra {
            local_id: id,
            remote_id: endpoint.remote_id.unwrap_or(0),
            message: about as u8,
            service_timeout: self.config.service_timeout,
            ..Mra::default()
        };
        self.send_once(&path, transaction_id, mra);
    }

    /// Rejects a message for which there is no connection here.
    pub(super) fn refuse(
        &mut self,
        path: &Path,
        transaction_id: u64,
        remote_id: u32,
        about: About,
        (reason, info): (RejectReason, &[u8]),
    ) {
        self.counters.refused += 1;
        let rej = Rej { remote_id, message: about as u8, ..rejection(reason, info) };
        self.send_once(path, transaction_id, rej);
    }

    /// Answers a DREQ.
    pub(super) fn send_drep(&mut self, path: &Path, transaction_id: u64, dreq: &Dreq) {
        let drep = Drep { local_id: dreq.remote_id, remote_id: dreq.local_id, ..Drep::default() };
        self.send_once(path, transaction_id, drep);
    }

    /// The REQ for a new connection.
    pub(super) fn req(
        &self,
        id: u32,
        endpoint: &Endpoint,
        request: &CmConnect<'_>,
    ) -> Result<Req, VerbsError> {
        let (transport, extended_transport) = request.transport.bits();
        let (path, link) = (&endpoint.path, &endpoint.link);
        // On Ethernet there are no LIDs; a path through a router has the permissive one.
        let lid = if link.av.hop_limit > 1 { 0xffff } else { 0 };
        Ok(Req {
            local_id: id,
            service_id: request.service_id,
            local_ca_guid: self.guid,
            local_qpn: request.qpn,
            responder_resources: request.responder_resources,
            initiator_depth: request.initiator_depth,
            remote_response_timeout: self.config.response_timeout.min(31),
            transport,
            flow_control: request.flow_control,
            starting_psn: link.rq_psn,
            local_response_timeout: self.config.response_timeout.min(31),
            retry_count: request.retry_count,
            pkey: DEFAULT_PKEY,
            path_mtu: request.path_mtu.ib_value(),
            rnr_retry_count: request.rnr_retry_count,
            max_cm_retries: self.config.max_retries.min(15),
            srq: request.srq,
            extended_transport,
            primary: WirePath {
                local_lid: lid,
                remote_lid: lid,
                local_gid: gid_of(path.local),
                remote_gid: gid_of(path.peer),
                flow_label: link.av.flow_label,
                traffic_class: link.av.traffic_class,
                hop_limit: link.av.hop_limit,
                subnet_local: lid == 0,
                ack_timeout: link.ack_timeout,
                ..Req::default().primary
            },
            private_data: private(request.private_data)?,
            ..Req::default()
        })
    }
}

/// A rejection with its reason; whose it is has to be added.
pub(super) fn rejection(reason: RejectReason, info: &[u8]) -> Rej {
    let info = &info[..info.len().min(72)];
    Rej {
        reason,
        info_len: info.len() as u8,
        info: padded(info).expect("it was cut to what fits"),
        ..Rej::default()
    }
}

/// Private data of a message that has room for `N` bytes.
pub(super) fn private<const N: usize>(data: &[u8]) -> Result<[u8; N], VerbsError> {
    padded(data).ok_or(VerbsError::Invalid("more private data than the message has room for"))
}

/// Names the queue pair of the other end in a DREQ.
pub(super) fn dreq(
    id: u32,
    remote_id: u32,
    remote_qpn: Option<Qpn>,
    data: &[u8],
) -> Result<Dreq, VerbsError> {
    Ok(Dreq {
        local_id: id,
        remote_id,
        remote_qpn: remote_qpn.unwrap_or_default(),
        private_data: private(data)?,
    })
}
