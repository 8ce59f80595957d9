//! A queue pair: one requester, one responder, and the states that both share.

mod attr;
mod completer;
mod congestion;
mod plan;
mod requester;
mod responder;
mod responses;
mod state;

use std::collections::VecDeque;

use ferroce_wire::{Bth, DEFAULT_PKEY, Headers, Opcode, Packet, PathMtu, Psn, Qpn};

pub(crate) use attr::Port;
pub use attr::{AddressVector, AttrMask, QpAttr, QpCap, QpInfo, QpInit, QpType};
pub use state::{QpState, TRANSITIONS, Transition};

use crate::congestion::Governor;
use crate::counters::Counters;
use crate::cq::{Added, CompletionQueue, Cq};
use crate::error::{TransitionFault, VerbsError};
use crate::event::{AsyncEvent, Event, QpEvent};
use crate::io::{Flow, Train, TxLimits};
use crate::memory::{Memory, Pd};
use crate::policy::Personality;
use crate::table::Table;
use crate::time::Time;
use crate::trace::{DropReason, TraceEvent, TraceSink};
use crate::work::{Payload, RecvWqe, SendFlags, SendWqe, Wc, WcStatus};
use requester::Requester;
use responder::Responder;

/// The parts of a device that a queue pair works with.
pub(crate) struct Ctx<'a, T> {
    pub now: Time,
    pub memory: &'a mut Memory,
    pub cqs: &'a mut Table<CompletionQueue>,
    pub events: &'a mut VecDeque<Event>,
    pub counters: &'a mut Counters,
    pub policy: &'a Personality,
    pub trace: &'a mut T,
    /// A completion was lost; the queue pair that it belonged to must fail.
    pub overflowed: bool,
}

impl<T: TraceSink> Ctx<'_, T> {
    #[inline]
    pub(crate) fn trace(&mut self, event: impl FnOnce() -> TraceEvent) {
        if T::ENABLED {
            self.trace.event(self.now, event());
        }
    }

    pub(crate) fn raise(&mut self, event: AsyncEvent) {
        self.trace(|| TraceEvent::Async(event));
        self.events.push_back(Event::Async(event));
    }

    pub(crate) fn complete(&mut self, conn: &Conn, cq: Cq, wc: Wc, solicited: bool) {
        let wc = Wc { qpn: conn.qpn.value(), timestamp: self.now, ..wc };
        self.trace(|| TraceEvent::Completed { qp: conn.qpn, wc });
        let Some(queue) = self.cqs.get_mut(cq) else { return };
        match queue.add(wc, solicited) {
            Added::Quietly => {}
            Added::AndNotify => self.events.push_back(Event::Completion(cq)),
            Added::Overflow { first } => {
                self.counters.cq_overflow += 1;
                self.overflowed = true;
                if first {
                    self.raise(AsyncEvent::CqErr(cq));
                }
            }
        }
    }

    pub(crate) fn dropped(&mut self, qp: Option<Qpn>, why: DropReason) {
        let counter = match why {
            DropReason::Malformed => &mut self.counters.drop_malformed,
            DropReason::Version => &mut self.counters.drop_version,
            DropReason::NotOurs => &mut self.counters.drop_not_ours,
            DropReason::Icrc => &mut self.counters.drop_icrc,
            DropReason::NoQp => &mut self.counters.drop_no_qp,
            DropReason::Service => &mut self.counters.drop_service,
            DropReason::QpState => &mut self.counters.drop_qp_state,
            DropReason::NotPeer => &mut self.counters.drop_not_peer,
            DropReason::Pkey => &mut self.counters.drop_pkey,
            DropReason::Duplicate => &mut self.counters.drop_duplicate,
            DropReason::OutOfSequence => &mut self.counters.out_of_seq_request,
            DropReason::Response => &mut self.counters.drop_response,
        };
        *counter += 1;
        self.trace(|| TraceEvent::Dropped { qp, why });
    }
}

/// What requester and responder both need to know about the connection.
#[derive(Clone, Debug)]
pub(crate) struct Conn {
    pub qpn: Qpn,
    pub init: QpInit,
    pub dest_qpn: Qpn,
    pub mtu: PathMtu,
    pub flow: Option<Flow>,
}

impl Conn {
    /// Whose access to memory a peer's request is.
    pub(crate) fn accessor(&self) -> (Pd, Qpn) {
        (self.init.pd, self.qpn)
    }

    /// The headers of a packet to the peer, without extension headers.
    pub(crate) fn headers(&self, opcode: Opcode, psn: Psn, policy: &Personality) -> Headers {
        Headers::new(Bth { migrated: policy.migrated, ..Bth::new(opcode, self.dest_qpn, psn) })
    }
}

/// What an attempt to add a packet to a train came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// One more packet is in the train.
    Sent,
    /// There is a packet, but not for this train.
    Full,
    /// There is nothing to send now.
    Idle,
    /// The work request whose turn it is cannot be carried out.
    Failed(Failure),
}

/// How the oldest send request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub status: WcStatus,
    pub vendor_err: u32,
}

impl From<WcStatus> for Failure {
    fn from(status: WcStatus) -> Failure {
        Failure { status, vendor_err: 0 }
    }
}

/// A queue pair.
#[derive(Clone, Debug)]
pub(crate) struct Qp {
    pub conn: Conn,
    pub state: QpState,
    pub attr: QpAttr,
    pub requester: Requester,
    pub responder: Responder,
    /// Only where the device does something about congestion.
    governor: Option<Box<Governor>>,
    /// It is in the device's list of queue pairs with something to send.
    pub scheduled: bool,
    /// The earliest entry for it in the device's timer heap.
    pub timer_armed: Option<Time>,
}

impl Qp {
    pub(crate) fn new(qpn: Qpn, init: QpInit) -> Qp {
        let cap = init.cap;
        Qp {
            conn: Conn { qpn, init, dest_qpn: Qpn::default(), mtu: PathMtu::Mtu256, flow: None },
            state: QpState::Reset,
            attr: QpAttr::default(),
            requester: Requester::new(&cap),
            responder: Responder::new(&cap),
            governor: None,
            scheduled: false,
            timer_armed: None,
        }
    }

    // --- control -------------------------------------------------------------------------------------------

    /// `modify_qp`: all of it or nothing.
    pub(crate) fn modify<T: TraceSink>(
        &mut self,
        change: &QpAttr,
        port: &Port<'_>,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<(), VerbsError> {
        let from = self.state;
        let to = change.state.or(change.cur_state).unwrap_or(from);
        let fault = |why| VerbsError::Transition { from, to, why };
        if change.cur_state.is_some_and(|cur| cur != from) {
            return Err(fault(TransitionFault::CurState));
        }
        state::check(self.conn.init.qp_type, from, to, change.mask()).map_err(fault)?;
        change.check_ranges(port).map_err(fault)?;
        if from == QpState::Sqd && to != QpState::Err && to != QpState::Reset && !self.requester.is_drained()
        {
            return Err(VerbsError::Busy("the send queue is still draining"));
        }
        self.apply(change, port, to, ctx);
        Ok(())
    }

    fn apply<T: TraceSink>(&mut self, change: &QpAttr, port: &Port<'_>, to: QpState, ctx: &mut Ctx<'_, T>) {
        if to == QpState::Reset {
            self.reset(ctx);
            return;
        }
        self.attr.merge(change);
        if let Some(dest) = change.dest_qpn {
            self.conn.dest_qpn = dest;
        }
        if let Some(mtu) = change.path_mtu {
            self.conn.mtu = mtu;
        }
        if let Some(av) = self.attr.av {
            self.conn.flow =
                Some(self.flow_of(av.flow(port.gids, self.conn.qpn, self.conn.dest_qpn), ctx.policy));
        }
        if let Some(psn) = change.rq_psn {
            self.responder.start(psn);
        }
        if let Some(psn) = change.sq_psn {
            self.requester.start(psn);
        }
        self.responder.configure(&self.attr);
        self.requester.configure(&self.attr, ctx.policy);
        if to == QpState::Err {
            self.responder.silence();
            self.enter_error(ctx);
        } else {
            self.set_state(to, ctx);
            self.requester.drain(to == QpState::Sqd);
            self.check_drained(ctx);
        }
    }

    fn reset<T: TraceSink>(&mut self, ctx: &mut Ctx<'_, T>) {
        self.requester.reset();
        self.responder.reset();
        self.attr = QpAttr::default();
        self.conn.flow = None;
        self.governor = None;
        self.set_state(QpState::Reset, ctx);
    }

    fn set_state<T: TraceSink>(&mut self, to: QpState, ctx: &mut Ctx<'_, T>) {
        let from = core::mem::replace(&mut self.state, to);
        if from != to {
            ctx.trace(|| TraceEvent::State { qp: self.conn.qpn, from, to });
        }
    }

    pub(crate) fn info(&self) -> QpInfo {
        let (next, expected) = (self.requester.next_psn(), self.responder.expected());
        QpInfo {
            qpn: self.conn.qpn,
            init: self.conn.init,
            state: self.state,
            sq_draining: self.state == QpState::Sqd && !self.requester.is_drained(),
            attr: QpAttr {
                state: Some(self.state),
                sq_psn: self.attr.sq_psn.map(|_| next),
                rq_psn: self.attr.rq_psn.map(|_| expected),
                ..self.attr
            },
        }
    }

    // --- work ----------------------------------------------------------------------------------------------

    /// Adds a checked request to the send queue.
    pub(crate) fn push_send<T: TraceSink>(
        &mut self,
        wqe: SendWqe,
        payload: Payload<'_>,
        ctx: &mut Ctx<'_, T>,
    ) {
        ctx.trace(|| TraceEvent::PostSend { qp: self.conn.qpn, wr_id: wqe.wr_id });
        let signaled = self.conn.init.signal_all || wqe.flags.contains(SendFlags::SIGNALED);
        let flags = if signaled { wqe.flags | SendFlags::SIGNALED } else { wqe.flags };
        self.requester.sq.push(SendWqe { flags, ..wqe }, payload);
        if self.state == QpState::Err {
            self.flush(ctx);
        }
    }

    /// Adds a checked request to the receive queue.
    pub(crate) fn push_recv<T: TraceSink>(
        &mut self,
        wqe: RecvWqe,
        payload: Payload<'_>,
        ctx: &mut Ctx<'_, T>,
    ) {
        ctx.trace(|| TraceEvent::PostRecv { qp: self.conn.qpn, wr_id: wqe.wr_id });
        self.responder.rq.push(wqe, payload);
        if self.state == QpState::Err {
            self.flush(ctx);
        }
    }

    // --- packets and time ----------------------------------------------------------------------------------

    /// A packet for this queue pair whose ICRC is right.
    pub(crate) fn handle_packet<T: TraceSink>(&mut self, packet: &Packet<'_>, ctx: &mut Ctx<'_, T>) {
        let bth = &packet.headers.bth;
        let (qp, opcode) = (self.conn.qpn, bth.opcode);
        if opcode == Opcode::CNP {
            return self.handle_cnp(packet, ctx);
        }
        let ready = if opcode.is_response() { self.state.sends() } else { self.state.receives() };
        if !ready {
            return ctx.dropped(Some(qp), DropReason::QpState);
        }
        if !pkeys_match(bth.pkey, DEFAULT_PKEY) {
            return ctx.dropped(Some(qp), DropReason::Pkey);
        }
        ctx.counters.rcvd_pkts += 1;
        ctx.counters.rcvd_bytes += packet.wire_len() as u64;
        ctx.trace(|| TraceEvent::Received {
            qp,
            opcode,
            psn: bth.psn,
            len: packet.payload.len() as u32,
            syndrome: packet.headers.aeth.map(|aeth| aeth.syndrome),
        });
        if opcode.is_response() {
            if let Err(failure) = self.requester.receive(&self.conn, packet, ctx) {
                self.fail(failure, ctx);
            }
            self.measure_round_trip(ctx.now);
        } else {
            if self.state == QpState::Rtr && self.responder.first_packet() {
                ctx.raise(AsyncEvent::Qp(qp, QpEvent::CommEst));
            }
            if self.responder.receive(&self.conn, &self.attr, packet, ctx).is_err() {
                self.enter_error(ctx);
            }
        }
        self.settle(ctx);
    }

    /// Adds the next packet, if there is one and it fits.
    pub(crate) fn emit<T: TraceSink>(
        &mut self,
        limits: &TxLimits,
        train: &mut Train,
        ctx: &mut Ctx<'_, T>,
    ) -> Step {
        let held = self.is_held(ctx.now);
        if held && self.responder.sends_data() {
            return Step::Idle;
        }
        let before = train.bytes().len();
        let mut step = self.responder.emit(&self.conn, limits, train, ctx);
        if let Step::Failed(_) = step {
            // A READ response met memory that is gone; its NAK is the next packet.
            self.enter_error(ctx);
            step = self.responder.emit(&self.conn, limits, train, ctx);
        }
        if step != Step::Idle || !self.state.sends() {
            self.note_sent(step, train.bytes().len() - before, ctx.now);
            return step;
        }
        if held {
            return Step::Idle;
        }
        let step = self.requester.emit(&self.conn, limits, train, ctx);
        if let Step::Failed(failure) = step {
            self.fail(failure, ctx);
            return Step::Idle;
        }
        self.note_request(step, train.bytes().len() - before, ctx.now);
        step
    }

    /// The moment at which `handle_timeout` has something to do.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let requester = self.requester.deadline().filter(|_| self.state.sends());
        match &self.governor {
            None => requester,
            Some(governor) => [requester, governor.deadline()].into_iter().flatten().min(),
        }
    }

    pub(crate) fn handle_timeout<T: TraceSink>(&mut self, ctx: &mut Ctx<'_, T>) {
        if let Some(governor) = &mut self.governor {
            let before = governor.rate();
            governor.handle_timeout(ctx.now);
            self.trace_rate(before, ctx);
        }
        if !self.state.sends() {
            return;
        }
        if let Err(failure) = self.requester.handle_timeout(&self.conn, ctx) {
            self.fail(failure, ctx);
        }
        self.settle(ctx);
    }

    /// Whether `emit` may have something to add.
    pub(crate) fn wants_to_send(&self) -> bool {
        self.cnp_due().is_some()
            || self.responder.wants_to_send()
            || (self.state.sends() && self.requester.wants_to_send())
    }

    // --- failing -------------------------------------------------------------------------------------------

    /// The oldest send request failed. The peer is told nothing more.
    fn fail<T: TraceSink>(&mut self, failure: Failure, ctx: &mut Ctx<'_, T>) {
        self.responder.silence();
        self.requester.complete_front(&self.conn, failure, ctx);
        self.enter_error(ctx);
    }

    /// What every input ends with: consequences that any of its steps may have had.
    fn settle<T: TraceSink>(&mut self, ctx: &mut Ctx<'_, T>) {
        if core::mem::take(&mut ctx.overflowed) && self.state != QpState::Err {
            ctx.raise(AsyncEvent::Qp(self.conn.qpn, QpEvent::Fatal));
            self.enter_error(ctx);
        }
        self.check_drained(ctx);
    }

    fn check_drained<T: TraceSink>(&mut self, ctx: &mut Ctx<'_, T>) {
        if self.state == QpState::Sqd
            && self.requester.is_drained()
            && self.attr.en_sqd_async_notify.take() == Some(true)
        {
            ctx.raise(AsyncEvent::Qp(self.conn.qpn, QpEvent::SqDrained));
        }
    }

    fn enter_error<T: TraceSink>(&mut self, ctx: &mut Ctx<'_, T>) {
        self.set_state(QpState::Err, ctx);
        self.flush(ctx);
    }

    /// Completes everything that is posted, in order, sends first.
    fn flush<T: TraceSink>(&mut self, ctx: &mut Ctx<'_, T>) {
        while !self.requester.sq.is_empty() {
            self.requester.complete_front(&self.conn, WcStatus::WrFlushErr.into(), ctx);
        }
        while let Some(wqe) = self.responder.rq.pop() {
            let wc = Wc { wr_id: wqe.wr_id, status: WcStatus::WrFlushErr, ..Wc::default() };
            ctx.complete(&self.conn, self.conn.init.recv_cq, wc, false);
        }
        // The queue pair is in error already, which is all that a lost completion can lead to.
        ctx.overflowed = false;
    }
}

/// IBTA 10.9.3: equal in the low 15 bits, and not both limited members.
const fn pkeys_match(a: u16, b: u16) -> bool {
    (a ^ b) & 0x7fff == 0 && (a | b) & 0x8000 != 0
}
