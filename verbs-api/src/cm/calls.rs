//! What an identifier can be asked to do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ferroce_engine::{
    AddressVector, CmAccept, CmConnect, CmSidrReply, CmTransport, QpAttr, QpEvent, QpState, QpType, Qpn,
};
use ferroce_wire::cm::{IpCmHeader, PortSpace, RejectReason, ServiceId, SidrStatus};
use ferroce_wire::flow::flow_label_for_cm;

use crate::context::Context;
use crate::queue_pair::QueuePair;

use super::error::CmError;
use super::event::EventKind;
use super::id::{Id, Inner, State, index_of};
use super::param::ConnParam;

impl Id {
    /// Takes an address and port (`rdma_bind_addr`). With a wildcard address it stands for all NICs, and is good
    /// for listening; so it does with a loopback address if no NIC has one. Port 0 takes any that is free.
    ///
    /// # Errors
    /// When it has an address already, no NIC has that address, or the port is taken.
    pub fn bind(&self, addr: SocketAddr) -> Result<(), CmError> {
        let mut inner = self.shared.inner.lock();
        if inner.state != State::Idle {
            return Err(CmError::State("bind"));
        }
        let (context, addr) = match self.shared.manager.is_any(addr.ip()) {
            true => (None, SocketAddr::new(unspecified(addr.ip()), addr.port())),
            false => (Some(self.shared.manager.at(addr.ip())?), addr),
        };
        self.take_port(&mut inner, addr, true)?;
        inner.context = context;
        inner.state = State::Bound;
        let context = inner.context.clone();
        drop(inner);
        self.enter(context);
        Ok(())
    }

    /// Finds the NIC that leads to `to` (`rdma_resolve_addr`). [`AddrResolved`](EventKind::AddrResolved) or
    /// [`AddrError`](EventKind::AddrError) follows. `from` is the address to connect from, for those who care.
    ///
    /// The answer is known at once; `timeout` is there because the interface has it.
    ///
    /// # Errors
    /// When it makes no sense now, or `from` cannot be had.
    pub fn resolve_addr(
        &self,
        from: Option<SocketAddr>,
        to: SocketAddr,
        timeout: Duration,
    ) -> Result<(), CmError> {
        let _ = timeout;
        let mut inner = self.shared.inner.lock();
        if !matches!(inner.state, State::Idle | State::Bound) {
            return Err(CmError::State("resolve an address"));
        }
        let wanted = from.unwrap_or(inner.local);
        // "Any" stands for this machine, as in other address families.
        let target = if self.shared.manager.is_any(to.ip()) { self.here(to.ip())? } else { to.ip() };
        let found = if self.shared.manager.is_any(wanted.ip()) {
            self.shared.manager.towards(target)
        } else {
            self.shared.manager.at(wanted.ip()).map(|context| (context, wanted.ip()))
        };
        let (context, local) = match found {
            Ok((context, local)) if local.is_ipv4() == target.is_ipv4() => (context, local),
            Ok(_) | Err(CmError::NoDevice(_)) => {
                drop(inner);
                self.tell(EventKind::AddrError, -CmError::NoDevice(target).errno());
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        match inner.port {
            None => self.take_port(&mut inner, SocketAddr::new(local, wanted.port()), wanted.port() != 0)?,
            Some(port) => inner.local = SocketAddr::new(local, port),
        }
        inner.peer = Some(SocketAddr::new(target, to.port()));
        inner.context = Some(context.clone());
        inner.state = State::AddrResolved;
        drop(inner);
        self.enter(Some(context));
        self.tell(EventKind::AddrResolved, 0);
        Ok(())
    }

    /// Finds the path to the peer (`rdma_resolve_route`); on Ethernet it is known already.
    /// [`RouteResolved`](EventKind::RouteResolved) follows.
    ///
    /// # Errors
    /// When the address is not resolved.
    pub fn resolve_route(&self, timeout: Duration) -> Result<(), CmError> {
        let _ = timeout;
        let mut inner = self.shared.inner.lock();
        if inner.state != State::AddrResolved {
            return Err(CmError::State("resolve a route"));
        }
        inner.state = State::RouteResolved;
        drop(inner);
        self.tell(EventKind::RouteResolved, 0);
        Ok(())
    }

    /// Has the connection made for this queue pair, which must be of the same NIC and in INIT, where
    /// [`build`](crate::QueuePairBuilder::build) leaves it. It must live as long as the connection.
    ///
    /// # Errors
    /// When there is no NIC yet, or it is another.
    pub fn attach(&self, qp: &QueuePair) -> Result<(), CmError> {
        let mut inner = self.shared.inner.lock();
        if !inner.nic("attach a queue pair")?.is_same(qp.context()) {
            return Err(CmError::State("attach a queue pair of another NIC"));
        }
        inner.qpn = Some(qp.qpn());
        Ok(())
    }

    /// Has the connection made for the queue pair of this number, or for one that is not known here
    /// ([`ConnParam::qp_num`]). `None` takes the queue pair out of the multicast groups that were joined with it.
    pub fn attach_number(&self, qpn: Option<Qpn>) {
        let mut inner = self.shared.inner.lock();
        if qpn.is_none() {
            inner.leave_all();
        }
        inner.qpn = qpn;
    }

    /// Asks the peer for a connection (`rdma_connect`), or for the queue pair of a datagram service.
    /// [`Established`](EventKind::Established), [`ConnectResponse`](EventKind::ConnectResponse),
    /// [`Rejected`](EventKind::Rejected), [`Unreachable`](EventKind::Unreachable) or
    /// [`ConnectError`](EventKind::ConnectError) follows.
    ///
    /// # Errors
    /// When the route is not resolved, there is too much private data, or the NIC has no room.
    pub fn connect(&self, param: &ConnParam) -> Result<(), CmError> {
        let mut inner = self.shared.inner.lock();
        if inner.state != State::RouteResolved {
            return Err(CmError::State("connect"));
        }
        let context = inner.nic("connect")?;
        let mut av = inner.av(&context)?;
        let peer = inner.peer.ok_or(CmError::State("connect"))?;
        let service_id = ServiceId::ip(self.shared.space, peer.port());
        let header = IpCmHeader { src_port: inner.local.port(), src: inner.local.ip(), dst: peer.ip() };
        let engine = if self.is_datagram() {
            let data = with_header::<216>(&header, &param.private_data)?;
            context.cm().connect(&context, self, |device, now| {
                device.cm_mut().sidr_request(now, service_id, &av, &data)
            })?
        } else {
            let data = with_header::<92>(&header, &param.private_data)?;
            av.flow_label = flow_label_for_cm(inner.local.port(), peer.port());
            let (qpn, transport) = transport(&context, inner.qpn, param)?;
            let most = context.limits().max_qp_rd_atom;
            let request = CmConnect {
                service_id,
                av,
                path_mtu: context.path_mtu(),
                transport,
                qpn,
                responder_resources: at_most(param.responder_resources, most),
                initiator_depth: at_most(param.initiator_depth, most),
                flow_control: param.flow_control,
                retry_count: param.retry_count.min(7),
                rnr_retry_count: param.rnr_retry_count.min(7),
                srq: param.srq,
                ack_timeout: inner.options.ack_timeout,
                private_data: &data,
            };
            context.cm().connect(&context, self, |device, now| device.cm_mut().connect(now, &request))?
        };
        inner.engine = Some(engine);
        inner.state = State::Connecting;
        Ok(())
    }

    /// Listens for requests (`rdma_listen`); each becomes a [`ConnectRequest`](EventKind::ConnectRequest) with an
    /// identifier of its own. At most `backlog` wait to be taken from the channel (0: 1024); what comes on top is
    /// not answered, and comes again.
    ///
    /// # Errors
    /// When there is no address yet, or another has the port too.
    pub fn listen(&self, backlog: u32) -> Result<(), CmError> {
        let mut inner = self.shared.inner.lock();
        if inner.state == State::Idle {
            let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
            self.take_port(&mut inner, any, true)?;
            inner.state = State::Bound;
        }
        if inner.state != State::Bound {
            return Err(CmError::State("listen"));
        }
        let local = inner.local;
        let space = self.shared.space;
        if !self.shared.manager.shared.ports.lock().listen(self.shared.owner, space, local.port()) {
            return Err(CmError::AddressInUse(local));
        }
        let at = Some(local.ip()).filter(|ip| !ip.is_unspecified());
        let contexts = match &inner.context {
            Some(context) => vec![context.clone()],
            None => self.shared.manager.contexts(),
        };
        // Nothing that waits is too much for who does not care.
        let backlog = if backlog == 0 { 1024 } else { backlog };
        for context in contexts {
            let service_id = ServiceId::ip(space, local.port());
            let listener = context
                .cm()
                .listen(&context, self, |device, _| device.cm_mut().listen(service_id, at, backlog))?;
            inner.listeners.push((context, listener));
        }
        inner.state = State::Listening;
        Ok(())
    }

    /// Accepts a request (`rdma_accept`): the queue pair is made ready, and the peer told.
    /// [`Established`](EventKind::Established) follows when the peer is ready too.
    ///
    /// # Errors
    /// When it is no request that waits for an answer, more READs are to be open than the peer has offered, there
    /// is too much private data, or the queue pair cannot be made ready.
    pub fn accept(&self, param: &ConnParam) -> Result<(), CmError> {
        let mut inner = self.shared.inner.lock();
        let (context, engine) = inner.connection("accept")?;
        if self.is_datagram() {
            let reply = CmSidrReply {
                status: SidrStatus::OK,
                qpn: inner.qpn.unwrap_or(param.qp_num),
                qkey: param.qkey,
                private_data: fits(&param.private_data, 136)?,
            };
            context.nic().with(|device, _| device.cm_mut().sidr_reply(engine, &reply))?;
            inner.state = State::Connected;
            return Ok(());
        }
        let asked = inner.asked;
        let (resources, depth) = (param.responder_resources, param.initiator_depth);
        let is_more = |wanted: u8, offered: u8| wanted != ConnParam::MAX && wanted > offered;
        if is_more(resources, asked.responder_resources) || is_more(depth, asked.initiator_depth) {
            return Err(CmError::State("accept with more READs than the peer offers"));
        }
        let most = context.limits().max_qp_rd_atom;
        let answer = CmAccept {
            qpn: inner.qpn.unwrap_or(param.qp_num),
            responder_resources: at_most(resources, asked.responder_resources.min(most)),
            initiator_depth: at_most(depth, asked.initiator_depth.min(most)),
            flow_control: param.flow_control,
            rnr_retry_count: param.rnr_retry_count.min(7),
            srq: param.srq,
            private_data: fits(&param.private_data, 196)?,
        };
        if let Some(qpn) = inner.qpn {
            let depths = Some((answer.responder_resources, answer.initiator_depth));
            make_ready(&context, &inner, qpn, depths)?;
        }
        context.nic().with(|device, now| device.cm_mut().accept(now, engine, &answer))?;
        Ok(())
    }

    /// Rejects a request (`rdma_reject`), with at most 148 bytes of private data.
    ///
    /// # Errors
    /// When there is nothing to reject, or too much private data.
    pub fn reject(&self, private_data: &[u8]) -> Result<(), CmError> {
        self.reject_because(RejectReason::CONSUMER_DEFINED, private_data)
    }

    /// Rejects a request for a reason of one's own choice.
    ///
    /// # Errors
    /// As for [`reject`](Self::reject).
    pub fn reject_because(&self, reason: RejectReason, private_data: &[u8]) -> Result<(), CmError> {
        let mut inner = self.shared.inner.lock();
        let (context, engine) = inner.connection("reject")?;
        if self.is_datagram() {
            let reply = CmSidrReply {
                status: SidrStatus::REJECTED,
                qpn: Qpn::default(),
                qkey: 0,
                private_data: fits(private_data, 136)?,
            };
            context.nic().with(|device, _| device.cm_mut().sidr_reply(engine, &reply))?;
        } else {
            let data = fits(private_data, 148)?;
            context.nic().with(|device, now| device.cm_mut().reject(now, engine, reason, &[], data))?;
        }
        inner.state = State::Disconnected;
        drop(inner);
        last_word(&context);
        Ok(())
    }

    /// Ends the connection (`rdma_disconnect`): the queue pair goes to the error state, and the peer is told.
    /// [`Disconnected`](EventKind::Disconnected) follows if it was not told already, and
    /// [`TimewaitExit`](EventKind::TimewaitExit).
    ///
    /// # Errors
    /// When there is no connection.
    pub fn disconnect(&self) -> Result<(), CmError> {
        let inner = self.shared.inner.lock();
        let (context, engine) = inner.connection("disconnect")?;
        to_error(&context, inner.qpn);
        context.nic().with(|device, now| device.cm_mut().disconnect(now, engine, &[]))?;
        drop(inner);
        last_word(&context);
        Ok(())
    }

    /// Tells the peer that a queue pair which is not known here is ready (`rdma_establish`), after
    /// [`ConnectResponse`](EventKind::ConnectResponse).
    ///
    /// # Errors
    /// When no answer waits for this.
    pub fn establish(&self) -> Result<(), CmError> {
        let mut inner = self.shared.inner.lock();
        let (context, engine) = inner.connection("establish")?;
        context.nic().with(|device, _| device.cm_mut().ready(engine, &[]))?;
        inner.state = State::Connected;
        Ok(())
    }

    /// Tells of an asynchronous event of the queue pair (`rdma_notify`):
    /// [`CommEst`](QpEvent::CommEst) says that the peer is ready, whose message to that effect may be lost.
    ///
    /// # Errors
    /// When no connection waits for this.
    pub fn notify(&self, event: QpEvent) -> Result<(), CmError> {
        if event != QpEvent::CommEst {
            return Ok(());
        }
        let inner = self.shared.inner.lock();
        let (context, engine) = inner.connection("notify")?;
        context.nic().with(|device, _| device.cm_mut().established(engine))?;
        Ok(())
    }

    /// What leads a queue pair to `state` (`rdma_init_qp_attr`), for those who do it themselves.
    ///
    /// # Errors
    /// When the connection has not come so far.
    pub fn init_qp_attr(&self, state: QpState) -> Result<QpAttr, CmError> {
        let inner = self.shared.inner.lock();
        match inner.connection("describe a queue pair") {
            Ok((context, engine)) if !self.is_datagram() => {
                Ok(context.nic().with(|device, _| device.cm().qp_attr(engine, state))?)
            }
            _ if state == QpState::Init => Ok(QpAttr::init(ferroce_engine::Access::REMOTE_WRITE)),
            _ => Err(CmError::State("describe a queue pair")),
        }
    }

    /// The way to the peer, as its address and the options say.
    ///
    /// # Errors
    /// When no address was resolved.
    pub fn address_vector(&self) -> Result<AddressVector, CmError> {
        let inner = self.shared.inner.lock();
        inner.av(&inner.nic("name the way to the peer")?)
    }

    // --- inside ------------------------------------------------------------------------------------------------------

    pub(super) fn is_datagram(&self) -> bool {
        matches!(self.shared.space, PortSpace::Udp | PortSpace::IpoIb)
    }

    /// Takes a port, any for 0. If it is to be `known`, no other process on the address has it, and requests for it
    /// come here.
    fn take_port(&self, inner: &mut Inner, addr: SocketAddr, known: bool) -> Result<(), CmError> {
        let (owner, shared) = (self.shared.owner, inner.options.reuse_addr);
        let port = self.shared.manager.take_port(owner, self.shared.space, addr, shared, known);
        let port = port.ok_or(CmError::AddressInUse(addr))?;
        inner.port = Some(port);
        inner.local = SocketAddr::new(addr.ip(), port);
        Ok(())
    }

    fn enter(&self, context: Option<Context>) {
        if let Some(context) = context {
            context.cm().enter(self.shared.owner, self);
        }
    }

    /// An address of this machine's NICs of the same version of IP.
    fn here(&self, like: IpAddr) -> Result<IpAddr, CmError> {
        let loopback = match like {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        self.shared.manager.towards(loopback).map(|(_, addr)| addr)
    }
}

/// The wildcard of an address's version of IP.
fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Leads the queue pair to RTS. `depths`: READs that it answers and that it may have open, where that is not what
/// the connection manager knows.
pub(super) fn make_ready(
    context: &Context,
    inner: &Inner,
    qpn: Qpn,
    depths: Option<(u8, u8)>,
) -> Result<(), CmError> {
    let (_, engine) = inner.connection("make the queue pair ready")?;
    context.nic().with(|device, now| {
        let mut rtr = device.cm().qp_attr(engine, QpState::Rtr)?;
        let mut rts = device.cm().qp_attr(engine, QpState::Rts)?;
        if let Some((resources, depth)) = depths {
            rtr.max_dest_rd_atomic = rtr.max_dest_rd_atomic.map(|_| resources);
            rts.max_rd_atomic = rts.max_rd_atomic.map(|_| depth);
        }
        device.modify_qp(now, qpn, &rtr)?;
        device.modify_qp(now, qpn, &rts)
    })?;
    Ok(())
}

/// A queue pair whose connection is over takes nothing more. If it is gone itself that is as good.
pub(super) fn to_error(context: &Context, qpn: Option<Qpn>) {
    if let Some(qpn) = qpn {
        context.nic().with(|device, now| device.modify_qp(now, qpn, &QpAttr::to(QpState::Err))).ok();
    }
}

/// What was said reaches a peer on the same address even if the program ends now. The kernel's connection manager,
/// which programs know, lives on.
fn last_word(context: &Context) {
    context.nic().progress();
}

fn transport(context: &Context, qpn: Option<Qpn>, param: &ConnParam) -> Result<(Qpn, CmTransport), CmError> {
    let Some(qpn) = qpn else { return Ok((param.qp_num, CmTransport::Rc)) };
    let info = context.nic().with(|device, _| device.query_qp(qpn))?;
    match info.init.qp_type {
        QpType::Rc => Ok((qpn, CmTransport::Rc)),
        QpType::Uc => Ok((qpn, CmTransport::Uc)),
        QpType::XrcInitiator | QpType::XrcTarget => Ok((qpn, CmTransport::Xrc)),
        QpType::Ud => Err(CmError::State("connect a queue pair for datagrams")),
    }
}

/// `wanted`, or as many as possible.
fn at_most(wanted: u8, most: u8) -> u8 {
    wanted.min(most)
}

fn fits(data: &[u8], room: usize) -> Result<&[u8], CmError> {
    if data.len() > room { Err(CmError::PrivateData(room)) } else { Ok(data) }
}

/// Private data behind the addresses that a request begins with.
fn with_header<const ROOM: usize>(header: &IpCmHeader, data: &[u8]) -> Result<Vec<u8>, CmError> {
    let mut bytes = [0; IpCmHeader::LEN];
    header.emit(&mut bytes);
    fits(data, ROOM - IpCmHeader::LEN)?;
    Ok([&bytes, data].concat())
}

/// The GID index that packets from an address carry.
pub(super) fn gid_index(context: &Context, addr: IpAddr) -> u8 {
    index_of(context, addr).unwrap_or(0)
}
