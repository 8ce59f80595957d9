//! The device: a value that packets, verbs and time go into, and packets, completions and events come out of.

mod memory;

use std::collections::VecDeque;

use ferroce_wire::{Packet, PseudoHeader, Qpn, Service};

use crate::config::DeviceConfig;
use crate::counters::Counters;
use crate::cq::{Arm, CompletionQueue, Cq, CqInfo, Moderation};
use crate::error::{PostError, VerbsError};
use crate::event::Event;
use crate::io::{Flow, Ident, RxMeta, Train, TxLimits, pseudo_header};
use crate::memory::{Domain, Memory, Pd};
use crate::qp::{Ctx, Port, Qp, QpAttr, QpInfo, QpInit, QpState, Step};
use crate::qps::QpTable;
use crate::rng::{Rng, Seed};
use crate::snapshot::{self, Snapshot};
use crate::table::Table;
use crate::time::Time;
use crate::trace::{DropReason, TraceSink};
use crate::work::{Payload, RecvWqe, RecvWr, SendWqe, SendWr, Wc};

/// The ECN bits of a traffic class, all set: "congestion experienced" (RFC 3168).
const CONGESTION_EXPERIENCED: u8 = 3;

/// A RoCEv2 NIC.
///
/// It never reads a clock, opens a socket, starts a thread or asks for randomness: the same calls give the same
/// packets, completions and events, bit for bit.
///
/// # Driving it
///
/// After any call that changes something, and after every packet or batch of packets handed in:
///
/// 1. call [`poll_transmit`](Device::poll_transmit) until it gives nothing more, and send what it gives;
/// 2. call [`poll_event`](Device::poll_event) until it gives nothing more;
/// 3. ask for [`next_timeout`](Device::next_timeout), and call [`handle_timeout`](Device::handle_timeout) when
///    that moment has come. Calling it too early, or for nothing, does nothing.
///
/// ```
/// use ferroce_engine::*;
/// use std::net::Ipv4Addr;
///
/// let config = DeviceConfig::new("ferroce0", [Ipv4Addr::new(192, 0, 2, 1).into()]);
/// let mut device = Device::new(config, 7, NoTrace);
/// let pd = device.alloc_pd()?;
/// let buffer = Buffer::new(4096);
/// let mr = device.reg_mr(pd, MrInit::new(&buffer, Access::LOCAL_WRITE))?;
/// let cq = device.create_cq(16)?;
/// # assert!(mr.lkey > 0 && device.poll_cq(cq, &mut [])? == 0);
/// # Ok::<_, VerbsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Device<T = crate::NoTrace> {
    rng: Rng,
    pds: Table<Domain>,
    qps: QpTable,
    core: Core<T>,
}

/// What queue pairs work with; apart from them, so that both can be borrowed at once.
#[derive(Clone, Debug)]
struct Core<T> {
    config: DeviceConfig,
    memory: Memory,
    cqs: Table<CompletionQueue>,
    events: VecDeque<Event>,
    counters: Counters,
    trace: T,
}

impl<T: TraceSink> Core<T> {
    #[inline]
    fn ctx(&mut self, now: Time) -> Ctx<'_, T> {
        Ctx {
            now,
            memory: &mut self.memory,
            cqs: &mut self.cqs,
            events: &mut self.events,
            counters: &mut self.counters,
            policy: &self.config.personality,
            trace: &mut self.trace,
            overflowed: false,
        }
    }
}

impl<T: TraceSink> Device<T> {
    /// A new device. `seed` decides all that is random about it.
    pub fn new(config: DeviceConfig, seed: impl Into<Seed>, trace: T) -> Device<T> {
        let numbering = config.personality.numbering;
        Device {
            rng: Rng::new(seed.into()),
            pds: Table::new(config.limits.max_pd as usize),
            qps: QpTable::new(config.limits.max_qp, numbering),
            core: Core {
                memory: Memory::new(&config.limits, numbering),
                cqs: Table::new(config.limits.max_cq as usize),
                events: VecDeque::new(),
                counters: Counters::default(),
                config,
                trace,
            },
        }
    }

    /// What it was made with.
    pub fn config(&self) -> &DeviceConfig {
        &self.core.config
    }

    /// What it counted so far.
    pub fn counters(&self) -> &Counters {
        &self.core.counters
    }

    /// The trace sink.
    pub fn trace(&self) -> &T {
        &self.core.trace
    }

    /// The trace sink, to take out what it holds.
    pub fn trace_mut(&mut self) -> &mut T {
        &mut self.core.trace
    }

    /// The device as it is now, for those who look at it.
    pub fn snapshot(&self) -> Snapshot {
        let core = &self.core;
        snapshot::take(&core.config.name, &self.qps, &core.cqs, &core.memory, &core.counters)
    }

    // --- control verbs -----------------------------------------------------------------------------------------

    /// Makes a protection domain (`ibv_alloc_pd`).
    pub fn alloc_pd(&mut self) -> Result<Pd, VerbsError> {
        self.pds.insert(Domain { users: 0 }).ok_or(VerbsError::Exhausted("protection domains"))
    }

    /// Removes a protection domain that nothing uses any more (`ibv_dealloc_pd`).
    pub fn dealloc_pd(&mut self, pd: Pd) -> Result<(), VerbsError> {
        if self.domain(pd)?.users > 0 {
            return Err(VerbsError::Busy("queue pairs or memory regions are in the protection domain"));
        }
        self.pds.remove(pd);
        Ok(())
    }

    /// Makes a completion queue with room for `cqe` completions (`ibv_create_cq`).
    pub fn create_cq(&mut self, cqe: u32) -> Result<Cq, VerbsError> {
        self.check_cqe(cqe)?;
        self.core.cqs.insert(CompletionQueue::new(cqe)).ok_or(VerbsError::Exhausted("completion queues"))
    }

    /// Changes the room of a completion queue (`ibv_resize_cq`). What is in it must fit.
    pub fn resize_cq(&mut self, cq: Cq, cqe: u32) -> Result<(), VerbsError> {
        self.check_cqe(cqe)?;
        if self.cq(cq)?.resize(cqe) {
            Ok(())
        } else {
            Err(VerbsError::Invalid("more completions are queued"))
        }
    }

    /// Asks for moderation of notifications (`ibv_modify_cq`).
    pub fn modify_cq(&mut self, cq: Cq, moderation: Moderation) -> Result<(), VerbsError> {
        self.cq(cq)?.moderation = moderation;
        Ok(())
    }

    /// Everything about a completion queue.
    pub fn query_cq(&self, cq: Cq) -> Result<CqInfo, VerbsError> {
        let queue = self.core.cqs.get(cq).ok_or(VerbsError::Stale("completion queue"))?;
        Ok(queue.info())
    }

    /// Removes a completion queue to which no queue pair completes any more (`ibv_destroy_cq`).
    pub fn destroy_cq(&mut self, cq: Cq) -> Result<(), VerbsError> {
        if self.cq(cq)?.users > 0 {
            return Err(VerbsError::Busy("queue pairs complete to this queue"));
        }
        self.core.cqs.remove(cq);
        Ok(())
    }

    /// Asks for one [`Event::Completion`] (`ibv_req_notify_cq`), for a completion that is added from now on.
    /// Poll once more after this: completions that are already there give no event.
    pub fn req_notify_cq(&mut self, cq: Cq, arm: Arm) -> Result<(), VerbsError> {
        self.cq(cq)?.request_notify(arm);
        Ok(())
    }

    /// Moves completions to `out`, as many as there are and fit, and says how many (`ibv_poll_cq`).
    pub fn poll_cq(&mut self, cq: Cq, out: &mut [Wc]) -> Result<usize, VerbsError> {
        Ok(self.cq(cq)?.poll(out))
    }

    /// Makes a queue pair, in RESET (`ibv_create_qp`).
    pub fn create_qp(&mut self, init: &QpInit) -> Result<Qpn, VerbsError> {
        let (cap, limits) = (&init.cap, &self.core.config.limits);
        let too_much = [
            (cap.max_send_wr == 0 || cap.max_send_wr > limits.max_qp_wr, "max_send_wr"),
            (cap.max_recv_wr == 0 || cap.max_recv_wr > limits.max_qp_wr, "max_recv_wr"),
            (cap.max_send_sge == 0 || cap.max_send_sge > limits.max_sge, "max_send_sge"),
            (cap.max_recv_sge == 0 || cap.max_recv_sge > limits.max_sge, "max_recv_sge"),
            (cap.max_inline_data > limits.max_inline_data, "max_inline_data"),
        ];
        if let Some((_, name)) = too_much.iter().find(|(is_wrong, _)| *is_wrong) {
            return Err(VerbsError::Invalid(name));
        }
        self.domain(init.pd)?;
        self.cq(init.send_cq)?;
        self.cq(init.recv_cq)?;
        let qpn = self.qps.create(&mut self.rng, *init).ok_or(VerbsError::Exhausted("queue pairs"))?;
        self.domain(init.pd)?.users += 1;
        self.cq(init.send_cq)?.users += 1;
        self.cq(init.recv_cq)?.users += 1;
        Ok(qpn)
    }

    /// Removes a queue pair with everything that is posted to it; completions already queued stay
    /// (`ibv_destroy_qp`).
    pub fn destroy_qp(&mut self, qpn: Qpn) -> Result<(), VerbsError> {
        let qp = self.qps.destroy(qpn).ok_or(VerbsError::Stale("queue pair"))?;
        let init = qp.conn.init;
        self.domain(init.pd)?.users -= 1;
        self.cq(init.send_cq)?.users -= 1;
        self.cq(init.recv_cq)?.users -= 1;
        Ok(())
    }

    /// Changes state and attributes of a queue pair (`ibv_modify_qp`): all that is asked for, or nothing.
    pub fn modify_qp(&mut self, now: Time, qpn: Qpn, change: &QpAttr) -> Result<(), VerbsError> {
        let gids = self.core.config.gids.clone();
        let port = Port {
            gids: &gids,
            mtu: self.core.config.mtu,
            max_rd_atomic: self.core.config.limits.max_qp_rd_atom,
        };
        let result = self.with_qp(now, qpn, |qp, ctx| qp.modify(change, &port, ctx));
        result.unwrap_or(Err(VerbsError::Stale("queue pair")))
    }

    /// Everything about a queue pair (`ibv_query_qp`).
    pub fn query_qp(&self, qpn: Qpn) -> Result<QpInfo, VerbsError> {
        self.qps.get(qpn).map(Qp::info).ok_or(VerbsError::Stale("queue pair"))
    }

    // --- data verbs --------------------------------------------------------------------------------------------

    /// Posts send requests (`ibv_post_send`).
    pub fn post_send(&mut self, now: Time, qpn: Qpn, wrs: &[SendWr<'_>]) -> Result<(), PostError> {
        let posted = self.with_qp(now, qpn, |qp, ctx| {
            for (index, wr) in wrs.iter().enumerate() {
                let wqe = check_send(qp, wr).map_err(|cause| PostError { index, cause })?;
                qp.push_send(wqe, wr.payload, ctx);
            }
            Ok(())
        });
        posted.unwrap_or(Err(PostError { index: 0, cause: VerbsError::Stale("queue pair") }))
    }

    /// Posts receive requests (`ibv_post_recv`).
    pub fn post_recv(&mut self, now: Time, qpn: Qpn, wrs: &[RecvWr<'_>]) -> Result<(), PostError> {
        let posted = self.with_qp(now, qpn, |qp, ctx| {
            for (index, wr) in wrs.iter().enumerate() {
                check_recv(qp, wr).map_err(|cause| PostError { index, cause })?;
                qp.push_recv(RecvWqe { wr_id: wr.wr_id }, Payload::Sges(wr.sges), ctx);
            }
            Ok(())
        });
        posted.unwrap_or(Err(PostError { index: 0, cause: VerbsError::Stale("queue pair") }))
    }

    // --- the world acts on the device ----------------------------------------------------------------------------

    /// A datagram arrived at port 4791: its UDP payload, from BTH to ICRC. Whatever the bytes are, the worst
    /// that happens is a counted drop.
    pub fn handle_packet(&mut self, now: Time, meta: &RxMeta, udp_payload: &[u8]) {
        match self.accept(meta, udp_payload) {
            Ok(packet) => {
                let qpn = packet.headers.bth.dest_qp;
                let marked = meta.traffic_class & CONGESTION_EXPERIENCED == CONGESTION_EXPERIENCED;
                self.with_qp(now, qpn, |qp, ctx| {
                    if marked {
                        qp.congestion_met(ctx);
                    }
                    qp.handle_packet(&packet, ctx);
                });
            }
            Err((qp, why)) => self.core.ctx(now).dropped(qp, why),
        }
    }

    /// The checks before a packet reaches its queue pair (IBTA 9.6.1).
    fn accept<'p>(
        &mut self,
        meta: &RxMeta,
        udp_payload: &'p [u8],
    ) -> Result<Packet<'p>, (Option<Qpn>, DropReason)> {
        let packet = Packet::parse(udp_payload).map_err(|_| (None, DropReason::Malformed))?;
        let bth = &packet.headers.bth;
        let fault = |why| (Some(bth.dest_qp), why);
        if bth.version != 0 {
            return Err(fault(DropReason::Version));
        }
        if !self.core.config.gids.contains(&meta.dst) {
            return Err(fault(DropReason::NotOurs));
        }
        let qp = self.qps.get(bth.dest_qp).ok_or(fault(DropReason::NoQp))?;
        if !matches!(bth.opcode.service(), Service::Rc | Service::Cnp) {
            return Err(fault(DropReason::Service));
        }
        let flow = qp.conn.flow.ok_or(fault(DropReason::QpState))?;
        if (meta.src, meta.dst) != (flow.dst, flow.src) {
            return Err(fault(DropReason::NotPeer));
        }
        if !self.icrc_is_right(meta, udp_payload) {
            return Err(fault(DropReason::Icrc));
        }
        Ok(packet)
    }

    fn icrc_is_right(&mut self, meta: &RxMeta, udp_payload: &[u8]) -> bool {
        let (ident, flags, hidden) = match meta.ident {
            Ident::Known { ident, flags_fragment } => (ident, flags_fragment, false),
            Ident::Hidden => (0, crate::io::DONT_FRAGMENT, true),
        };
        let Some(header) = pseudo_header(meta.src, meta.dst, meta.src_port, ident, flags) else {
            return false;
        };
        if hidden && matches!(header, PseudoHeader::V4 { .. }) {
            self.core.counters.icrc_partial += 1;
            return header.solve_ident(udp_payload).is_some();
        }
        header.verify(udp_payload)
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(qpn) = self.qps.next_expired(now) {
            self.with_qp(now, qpn, |qp, ctx| {
                if qp.deadline().is_some_and(|deadline| deadline <= now) {
                    qp.handle_timeout(ctx);
                }
            });
        }
    }

    // --- the device acts on the world ------------------------------------------------------------------------------

    /// Fills `out` with the next packets to send; false when there are none.
    ///
    /// Queue pairs take turns, one train each.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Time, limits: &TxLimits, out: &mut Train) -> bool {
        while let Some(qpn) = self.qps.next_ready() {
            let Some(qp) = self.qps.get_mut(qpn) else { continue };
            let has_more = fill_train(qp, limits, out, &mut self.core.ctx(now));
            self.qps.schedule(qpn, has_more);
            if !out.is_empty() {
                return true;
            }
        }
        false
    }

    /// The next event for the owner of the device.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.core.events.pop_front()
    }

    /// When to call [`handle_timeout`](Device::handle_timeout).
    #[must_use]
    pub fn next_timeout(&self) -> Option<Time> {
        self.qps.next_deadline()
    }

    // --- inside ------------------------------------------------------------------------------------------------------

    /// Lets `act` work on a queue pair, and then sees to what follows.
    #[inline]
    fn with_qp<R>(
        &mut self,
        now: Time,
        qpn: Qpn,
        act: impl FnOnce(&mut Qp, &mut Ctx<'_, T>) -> R,
    ) -> Option<R> {
        let qp = self.qps.get_mut(qpn)?;
        let result = act(qp, &mut self.core.ctx(now));
        let has_work = qp.wants_to_send();
        self.qps.schedule(qpn, has_work);
        Some(result)
    }

    fn domain(&mut self, pd: Pd) -> Result<&mut Domain, VerbsError> {
        self.pds.get_mut(pd).ok_or(VerbsError::Stale("protection domain"))
    }

    fn cq(&mut self, cq: Cq) -> Result<&mut CompletionQueue, VerbsError> {
        self.core.cqs.get_mut(cq).ok_or(VerbsError::Stale("completion queue"))
    }

    fn check_cqe(&self, cqe: u32) -> Result<(), VerbsError> {
        if cqe == 0 || cqe > self.core.config.limits.max_cqe {
            return Err(VerbsError::Invalid("cqe"));
        }
        Ok(())
    }
}

/// As many packets of one queue pair as the train takes. Says whether there are more.
fn fill_train<T: TraceSink>(qp: &mut Qp, limits: &TxLimits, out: &mut Train, ctx: &mut Ctx<'_, T>) -> bool {
    let Some(flow) = qp.conn.flow else {
        // Reset while it was in line. What the train held before must not be sent again.
        out.clear();
        return false;
    };
    out.restart(flow, limits);
    if let Some(policy) = qp.cnp_due() {
        // It travels in a class of its own, so in a train of its own.
        out.restart(Flow { traffic_class: policy.traffic_class, ..flow }, limits);
        qp.emit_cnp(limits, out, ctx);
        return true;
    }
    loop {
        match qp.emit(limits, out, ctx) {
            Step::Sent => {}
            step => return step == Step::Full,
        }
    }
}

/// What `ibv_post_send` checks at once; everything else is found out when the request's turn comes.
fn check_send(qp: &Qp, wr: &SendWr<'_>) -> Result<SendWqe, VerbsError> {
    if !matches!(qp.state, QpState::Rts | QpState::Sqd | QpState::Sqe | QpState::Err) {
        return Err(VerbsError::WrongState(qp.state));
    }
    let sq = &qp.requester.sq;
    let (len, inline) = match wr.payload {
        Payload::Sges(list) if list.len() > sq.max_sge() as usize => {
            return Err(VerbsError::Invalid("more scatter/gather entries than max_send_sge"));
        }
        Payload::Sges(list) => (list.iter().map(|sge| u64::from(sge.len)).sum(), false),
        Payload::Inline(_) if wr.op.wants_response() => {
            return Err(VerbsError::Invalid("READ and atomics cannot be inline"));
        }
        Payload::Inline(data) if data.len() > sq.max_inline() as usize => {
            return Err(VerbsError::Invalid("more inline data than max_inline_data"));
        }
        Payload::Inline(data) => (data.len() as u64, true),
    };
    if sq.is_full() {
        return Err(VerbsError::QueueFull { depth: sq.depth() });
    }
    let first = ferroce_wire::Psn::default();
    let (op, flags) = (wr.op, wr.flags);
    Ok(SendWqe { wr_id: wr.wr_id, op, flags, len, inline, started: false, first, psns: 0 })
}

fn check_recv(qp: &Qp, wr: &RecvWr<'_>) -> Result<(), VerbsError> {
    if qp.state == QpState::Reset {
        return Err(VerbsError::WrongState(qp.state));
    }
    let rq = &qp.responder.rq;
    if wr.sges.len() > rq.max_sge() as usize {
        return Err(VerbsError::Invalid("more scatter/gather entries than max_recv_sge"));
    }
    if rq.is_full() {
        return Err(VerbsError::QueueFull { depth: rq.depth() });
    }
    Ok(())
}
