//! Identifiers: what a socket is to TCP.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};

use ferroce_engine::{AddressVector, CmEvent, CmId, CmListener, Qpn, VerbsError};
use ferroce_wire::cm::PortSpace;
use parking_lot::Mutex;

use crate::context::Context;

use super::channel::{News, Pending, Shared as Channel};
use super::error::CmError;
use super::event::EventKind;
use super::manager::Manager;

/// One end of a connection, or somebody who listens for one (`rdma_cm_id`). Clones are the same identifier, which
/// is destroyed when the last is dropped; the events about it that nobody has taken keep it.
///
/// A call that starts something tells by an [`Event`](super::Event) how it ended; see the methods.
#[derive(Clone)]
pub struct Id {
    pub(super) shared: Arc<Shared>,
}

/// A handle that keeps nothing.
#[derive(Clone)]
pub(super) struct WeakId(Weak<Shared>);

pub(super) struct Shared {
    pub(super) manager: Manager,
    pub(super) space: PortSpace,
    /// A number that names it among owners of ports.
    pub(super) owner: u64,
    channel: Mutex<Arc<Channel>>,
    pub(super) inner: Mutex<Inner>,
}

pub(super) struct Inner {
    pub state: State,
    pub context: Option<Context>,
    pub local: SocketAddr,
    pub peer: Option<SocketAddr>,
    /// The port that was taken, if it was.
    pub port: Option<u16>,
    pub options: Options,
    pub qpn: Option<Qpn>,
    pub engine: Option<CmId>,
    pub listeners: Vec<(Context, CmListener)>,
    /// Multicast groups, with the queue pair that is a member, if there was one when the group was joined.
    pub groups: Vec<(Option<Qpn>, IpAddr)>,
    /// What the peer asked for.
    pub asked: Asked,
    /// The end of the connection was told already.
    pub end_told: bool,
}

/// Where an identifier stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Idle,
    Bound,
    AddrResolved,
    RouteResolved,
    Listening,
    /// A request was sent, or came.
    Connecting,
    Connected,
    Disconnected,
    Destroyed,
}

/// What a request offers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    pub responder_resources: u8,
    pub initiator_depth: u8,
    pub rnr_retry_count: u8,
    pub srq: bool,
}

/// What can be set before a connection is made (`rdma_set_option`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Traffic class of all packets: DSCP in the upper six bits, ECN in the lower two.
    pub tos: u8,
    /// Share the port with others, as long as nobody listens.
    pub reuse_addr: bool,
    /// A wildcard address of IPv6 does not stand for IPv4 too.
    pub af_only: bool,
    /// Local ACK timeout of the queue pair, 0..=31: 4.096 µs · 2^value; `None` to derive it from the path.
    pub ack_timeout: Option<u8>,
}

impl Id {
    pub(super) fn new(manager: &Manager, channel: &Arc<Channel>, space: PortSpace) -> Id {
        let inner = Inner {
            state: State::Idle,
            context: None,
            local: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
            peer: None,
            port: None,
            options: Options::default(),
            qpn: None,
            engine: None,
            listeners: Vec::new(),
            groups: Vec::new(),
            asked: Asked::default(),
            end_told: false,
        };
        let shared = Shared {
            manager: manager.clone(),
            space,
            owner: manager.new_owner(),
            channel: Mutex::new(Arc::clone(channel)),
            inner: Mutex::new(inner),
        };
        Id { shared: Arc::new(shared) }
    }

    /// An identifier for a request that this one, which listens, has got.
    pub(super) fn child(&self, context: &Context, engine: CmId) -> Id {
        let child = Id::new(&self.shared.manager, &self.channel(), self.shared.space);
        {
            let mut inner = child.shared.inner.lock();
            inner.state = State::Connecting;
            inner.context = Some(context.clone());
            inner.engine = Some(engine);
        }
        child
    }

    // --- what it is ------------------------------------------------------------------------------------------------

    /// A number that no other identifier of the manager has, or will have.
    pub fn number(&self) -> u64 {
        self.shared.owner
    }

    /// Its port space.
    pub fn port_space(&self) -> PortSpace {
        self.shared.space
    }

    /// The NIC, once an address has led to one.
    pub fn context(&self) -> Option<Context> {
        self.shared.inner.lock().context.clone()
    }

    /// Its own address (`rdma_get_local_addr`); port 0 if it has none yet.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.inner.lock().local
    }

    /// The peer's address, once it is known (`rdma_get_peer_addr`).
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.shared.inner.lock().peer
    }

    /// The attached queue pair.
    pub fn qpn(&self) -> Option<Qpn> {
        self.shared.inner.lock().qpn
    }

    /// The number by which the NIC's connection manager knows the connection.
    pub fn connection(&self) -> Option<CmId> {
        self.shared.inner.lock().engine
    }

    /// Its options.
    pub fn options(&self) -> Options {
        self.shared.inner.lock().options
    }

    /// Sets its options; they count for what is done from now on.
    pub fn set_options(&self, options: Options) {
        self.shared.inner.lock().options = options;
    }

    // --- events ----------------------------------------------------------------------------------------------------

    pub(super) fn channel(&self) -> Arc<Channel> {
        Arc::clone(&self.shared.channel.lock())
    }

    pub(super) fn tell(&self, kind: EventKind, status: i32) {
        let pending = Pending { id: self.clone(), listener: None, news: News::Local(kind, status) };
        self.channel().push(pending);
    }

    pub(super) fn tell_cm(&self, listener: Option<Id>, event: CmEvent) {
        self.channel().push(Pending { id: self.clone(), listener, news: News::Cm(event) });
    }

    /// Has its events go to another channel, those included that nobody has taken (`rdma_migrate_id`).
    pub fn migrate(&self, channel: &super::EventChannel) {
        let old = {
            let mut slot = self.shared.channel.lock();
            std::mem::replace(&mut *slot, Arc::clone(&channel.shared))
        };
        for pending in old.take_out(self) {
            if pending.listener.is_some() {
                *pending.id.shared.channel.lock() = Arc::clone(&channel.shared);
            }
            channel.shared.push(pending);
        }
    }

    /// Ends it, whatever its state (`rdma_destroy_id`): the peer is told, the port is free, and events that nobody
    /// has taken are gone. What remains of the handle refuses everything.
    pub fn destroy(&self) {
        self.shared.destroy();
        drop(self.channel().take_out(self));
    }

    /// A channel of the same manager.
    pub(super) fn new_channel(&self) -> super::EventChannel {
        self.shared.manager.event_channel()
    }

    pub(super) fn downgrade(&self) -> WeakId {
        WeakId(Arc::downgrade(&self.shared))
    }
}

impl WeakId {
    pub(super) fn upgrade(&self) -> Option<Id> {
        self.0.upgrade().map(|shared| Id { shared })
    }
}

impl Shared {
    fn destroy(&self) {
        let (context, engine, listeners, port) = {
            let mut inner = self.inner.lock();
            inner.state = State::Destroyed;
            inner.leave_all();
            inner.qpn = None;
            let listeners = std::mem::take(&mut inner.listeners);
            (inner.context.take(), inner.engine.take(), listeners, inner.port.take())
        };
        if let Some(context) = &context {
            context.cm().leave(self.owner);
            if let Some(engine) = engine {
                context.cm().forget(engine);
                // It may be over already.
                context.nic().with(|device, now| device.cm_mut().destroy(now, engine)).ok();
            }
        }
        for (context, listener) in listeners {
            context.cm().forget_listener(listener);
            let stopped = context.nic().with(|device, now| device.cm_mut().unlisten(now, listener));
            debug_assert!(stopped.is_ok(), "only this stops listening: {stopped:?}");
        }
        if let Some(port) = port {
            self.manager.give_port_back(self.owner, self.space, port);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.destroy();
    }
}

impl Inner {
    /// The NIC; there is one from the moment that an address has led to it.
    pub(super) fn nic(&self, doing: &'static str) -> Result<Context, CmError> {
        self.context.clone().ok_or(CmError::State(doing))
    }

    /// The connection, as the NIC knows it.
    pub(super) fn connection(&self, doing: &'static str) -> Result<(Context, CmId), CmError> {
        let engine = self.engine.ok_or(CmError::State(doing))?;
        Ok((self.nic(doing)?, engine))
    }

    /// The way from the own address to the peer's.
    pub(super) fn av(&self, context: &Context) -> Result<AddressVector, CmError> {
        let peer = self.peer.ok_or(CmError::Verb(VerbsError::Invalid("there is no peer")))?;
        let index = index_of(context, self.local.ip())?;
        Ok(AddressVector { traffic_class: self.options.tos, ..AddressVector::new(index, peer.ip()) })
    }
}

/// The GID index of an address.
pub(super) fn index_of(context: &Context, addr: IpAddr) -> Result<u8, CmError> {
    let index = context.addresses().iter().position(|known| *known == addr);
    let index = index.and_then(|index| u8::try_from(index).ok());
    index.ok_or(CmError::AddressNotAvailable(addr))
}

impl PartialEq for Id {
    fn eq(&self, other: &Id) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for Id {}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.shared.inner.lock();
        write!(f, "Id({:?}, {}", inner.state, inner.local)?;
        if let Some(peer) = inner.peer {
            write!(f, " to {peer}")?;
        }
        f.write_str(")")
    }
}
