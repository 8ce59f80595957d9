//! Connection management: how two devices come to agree on a connection (IBTA volume 1, chapter 12).

mod calls;
mod endpoint;
mod messages;
mod outbox;
mod receive;
mod timeout;
mod types;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use ferroce_wire::cm::ServiceId;
use ferroce_wire::{PathMtu, Qpn};

use crate::config::DeviceConfig;
use crate::error::VerbsError;
use crate::qp::{QpAttr, QpState};
use crate::rng::Rng;
use crate::time::Time;

use endpoint::Endpoint;
use outbox::Outbox;
use types::time_of;
pub use types::{
    CmAccept, CmConfig, CmConnect, CmCounters, CmEvent, CmEventKind, CmId, CmListener, CmSidrReply, CmState,
    CmTransport,
};

/// The connection manager of a device.
///
/// It exchanges messages with those of other devices over QP1, repeats them until they are answered, and tells
/// its owner by [events](CmEvent) what comes of it. Queue pairs it does not touch: between a message that came
/// and the answer to it, the owner brings them to the state that [`qp_attr`](Self::qp_attr) describes.
///
/// ```text
///      active                                                    passive
///  connect ─────────────────────── REQ ──────────────────────▶  Request
///  Reply   ◀────────────────────── REP ───────────────────────  queue pair to RTS, accept
///  queue pair to RTS, ready ────── RTU ──────────────────────▶  Established
///
///  disconnect ──────────────────── DREQ ─────────────────────▶  Disconnecting
///  Disconnected ◀───────────────── DREP ──────────────────────  disconnect
///  TimeWaitOver                                                  TimeWaitOver
/// ```
///
/// All that peers can make it hold is bounded by [`CmConfig::max_connections`] and the backlogs of listeners.
#[derive(Clone, Debug)]
pub struct Cm {
    config: CmConfig,
    lane: u8,
    guid: u64,
    gids: Vec<IpAddr>,
    mtu: PathMtu,
    rng: Rng,
    endpoints: BTreeMap<u32, Box<Endpoint>>,
    /// Connections by peer and its name for them.
    by_peer: BTreeMap<(IpAddr, u32), u32>,
    /// Requests for datagram services by peer and its name for them, which may be that of a connection too.
    by_asker: BTreeMap<(IpAddr, u32), u32>,
    /// Connections by the peer's queue pair.
    by_qp: BTreeMap<(IpAddr, Qpn), u32>,
    listeners: BTreeMap<u32, Listener>,
    next_listener: u32,
    listener_changes: u64,
    timers: BTreeSet<(Time, u32)>,
    outbox: Outbox,
    events: VecDeque<CmEvent>,
    counters: CmCounters,
}

#[derive(Clone, Copy, Debug)]
struct Listener {
    service_id: ServiceId,
    addr: Option<IpAddr>,
    backlog: u32,
    /// Requests that the owner has not taken.
    waiting: u32,
}

impl Cm {
    pub(crate) fn new(config: &DeviceConfig, rng: Rng) -> Cm {
        Cm {
            config: config.cm,
            lane: config.lane,
            guid: config.guid(),
            gids: config.gids.clone(),
            mtu: config.mtu,
            rng,
            endpoints: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            by_asker: BTreeMap::new(),
            by_qp: BTreeMap::new(),
            listeners: BTreeMap::new(),
            next_listener: 0,
            listener_changes: 0,
            timers: BTreeSet::new(),
            outbox: Outbox::default(),
            events: VecDeque::new(),
            counters: CmCounters::default(),
        }
    }

    // --- what there is ---------------------------------------------------------------------------------------------

    /// What it has counted.
    pub fn counters(&self) -> &CmCounters {
        &self.counters
    }

    /// Where a connection stands; `None` when there is no such connection.
    pub fn state(&self, id: CmId) -> Option<CmState> {
        self.endpoints.get(&id.0).filter(|endpoint| !endpoint.orphan).map(|endpoint| endpoint.state)
    }

    /// Connections in the order of their numbers, those included that end without an owner.
    pub fn connections(&self) -> impl Iterator<Item = (CmId, CmState)> {
        self.endpoints.iter().map(|(id, endpoint)| (CmId(*id), endpoint.state))
    }

    /// What is listened to, and at which address (`None`: at all).
    pub fn listeners(&self) -> impl Iterator<Item = (ServiceId, Option<IpAddr>)> {
        self.listeners.values().map(|listener| (listener.service_id, listener.addr))
    }

    /// Whether requests for this service at the address `local` are listened to.
    pub fn listens_on(&self, service_id: ServiceId, local: IpAddr) -> bool {
        self.listener_for(service_id, local).is_some()
    }

    /// Counts changes of [`listeners`](Self::listeners), for those who keep a copy.
    pub fn listener_changes(&self) -> u64 {
        self.listener_changes
    }

    /// What leads a queue pair of this connection to `state`, one of INIT, RTR and RTS (`rdma_init_qp_attr`).
    ///
    /// # Errors
    /// When there is no such connection, `state` is another, or the peer's queue pair is not known yet.
    pub fn qp_attr(&self, id: CmId, state: QpState) -> Result<QpAttr, VerbsError> {
        let endpoint = self.endpoints.get(&id.0).filter(|endpoint| !endpoint.orphan).ok_or(NO_CONNECTION)?;
        if matches!(endpoint.state, CmState::Idle | CmState::SidrReqSent | CmState::SidrReqReceived) {
            return Err(WRONG_MOMENT);
        }
        endpoint.link.qp_attr(state)
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<CmEvent> {
        let event = self.events.pop_front()?;
        if let Some(endpoint) = self.endpoints.get_mut(&event.id.0) {
            endpoint.events -= 1;
        }
        Some(event)
    }

    /// Whether there are events to take.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    // --- inside ------------------------------------------------------------------------------------------------------

    /// The listener for requests to this address: one at exactly this address before one at all.
    fn listener_for(&self, service_id: ServiceId, local: IpAddr) -> Option<u32> {
        let find = |addr: Option<IpAddr>| {
            let mut all = self.listeners.iter();
            all.find(|(_, listener)| (listener.service_id, listener.addr) == (service_id, addr))
        };
        find(Some(local)).or_else(|| find(None)).map(|(number, _)| *number)
    }

    /// Takes in an endpoint under a number that is hard to guess, which is what keeps strangers from meddling.
    /// `None` when there are as many as there can be.
    fn insert(&mut self, endpoint: Endpoint) -> Option<CmId> {
        const NUMBER: u32 = 0x00ff_ffff;
        if self.endpoints.len() >= (self.config.max_connections.min(NUMBER / 2)) as usize {
            return None;
        }
        // At most half of the numbers are taken: this ends soon.
        loop {
            let id = u32::from(self.lane) << 24 | self.rng.u32() & NUMBER;
            if id & NUMBER != 0 && !self.endpoints.contains_key(&id) {
                self.endpoints.insert(id, Box::new(endpoint));
                return Some(CmId(id));
            }
        }
    }

    fn endpoint(&mut self, id: CmId) -> Result<&mut Endpoint, VerbsError> {
        match self.endpoints.get_mut(&id.0) {
            Some(endpoint) if !endpoint.orphan => Ok(endpoint),
            _ => Err(NO_CONNECTION),
        }
    }

    /// Forgets a connection, with its events.
    fn remove(&mut self, id: u32) {
        self.set_deadline(id, None);
        self.taken(id);
        let Some(endpoint) = self.endpoints.remove(&id) else { return };
        let peer = endpoint.path.peer;
        let belongs = |index: &BTreeMap<(IpAddr, u32), u32>, key| index.get(&key) == Some(&id);
        if let Some(remote_id) = endpoint.remote_id {
            let key = (peer, remote_id);
            if belongs(&self.by_peer, key) {
                self.by_peer.remove(&key);
            }
            if belongs(&self.by_asker, key) {
                self.by_asker.remove(&key);
            }
        }
        self.forget_qp(id, peer, endpoint.link.remote_qpn);
        if endpoint.events > 0 {
            self.events.retain(|event| event.id.0 != id);
        }
    }

    fn forget_qp(&mut self, id: u32, peer: IpAddr, qpn: Option<Qpn>) {
        if let Some(qpn) = qpn
            && self.by_qp.get(&(peer, qpn)) == Some(&id)
        {
            self.by_qp.remove(&(peer, qpn));
        }
    }

    fn set_deadline(&mut self, id: u32, deadline: Option<Time>) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        if let Some(old) = std::mem::replace(&mut endpoint.deadline, deadline) {
            self.timers.remove(&(old, id));
        }
        if let Some(new) = deadline {
            self.timers.insert((new, id));
        }
    }

    fn raise(&mut self, id: u32, kind: CmEventKind) {
        let Some(endpoint) = self.endpoints.get_mut(&id).filter(|endpoint| !endpoint.orphan) else { return };
        endpoint.events += 1;
        self.events.push_back(CmEvent { id: CmId(id), kind });
    }

    /// Nothing more is expected of this connection; one without an owner is gone.
    fn come_to_rest(&mut self, id: u32) {
        self.set_deadline(id, None);
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        endpoint.state = CmState::Idle;
        let (orphan, peer, qpn) = (endpoint.orphan, endpoint.path.peer, endpoint.link.remote_qpn);
        self.forget_qp(id, peer, qpn);
        if orphan {
            self.remove(id);
        }
    }

    /// It has ended; for as long as packets may be about, its queue pair is remembered.
    fn enter_time_wait(&mut self, now: Time, id: u32) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        endpoint.state = CmState::TimeWait;
        let over = now + time_of(endpoint.link.ack_timeout);
        self.set_deadline(id, Some(over));
    }

    /// Its owner has taken notice of the request: it no longer counts against the backlog.
    fn taken(&mut self, id: u32) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        if let Some(CmListener(number)) = endpoint.waiting_at.take()
            && let Some(listener) = self.listeners.get_mut(&number)
        {
            listener.waiting -= 1;
        }
    }
}

const NO_CONNECTION: VerbsError = VerbsError::Stale("connection");
const WRONG_MOMENT: VerbsError =
    VerbsError::Invalid("the connection is in a state in which this makes no sense");
