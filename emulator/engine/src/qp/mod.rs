//! A queue pair: one requester, one responder, and the states that both share.

mod address;
mod attr;
mod checks;
mod completer;
mod congestion;
mod ending;
mod init;
mod local;
mod plan;
mod receives;
mod requester;
mod responder;
mod responses;
mod selective;
mod state;
mod trains;
mod uc;
mod ud;

use std::collections::VecDeque;
use std::net::IpAddr;

use ferroce_wire::{Bth, DEFAULT_PKEY, Headers, Opcode, Operation, Packet, PathMtu, Psn, Qpn};

pub use address::{AddressVector, AltPath, MigState};
pub(crate) use attr::Port;
pub use attr::{AttrMask, QpAttr, QpInfo};
pub use ending::{EndCause, QpEnding};
pub use init::{QpCap, QpInit, QpType};
pub use selective::SelectiveRepeat;
pub use state::{QpState, Transition, transitions};
pub(crate) use ud::Destination;

use crate::congestion::Governor;
use crate::counters::Counters;
use crate::cq::{Added, CompletionQueue, Cq};
use crate::device::AddressHandle;
use crate::error::{TransitionFault, VerbsError};
use crate::event::{AsyncEvent, Event, QpEvent};
use crate::io::{Flow, RxMeta, Train, TxLimits};
use crate::memory::{Memory, Pd};
use crate::policy::Personality;
use crate::srq::SharedReceiveQueue;
use crate::table::Table;
use crate::time::Time;
use crate::trace::{DropReason, TraceEvent, TraceSink};
use crate::work::{Payload, RecvWqe, SendFlags, SendWqe, Wc, WcStatus};
pub(crate) use receives::Receives;
use requester::{MAX_MESSAGE, Requester};
use responder::{Fatal, Responder};

/// The parts of a device that a queue pair works with.
pub(crate) struct Ctx<'a, T> {
    pub now: Time,
    pub gids: &'a [IpAddr],
    pub ahs: &'a Table<AddressHandle>,
    pub memory: &'a mut Memory,
    pub cqs: &'a mut Table<CompletionQueue>,
    pub srqs: &'a mut Table<SharedReceiveQueue>,
    pub events: &'a mut VecDeque<Event>,
    pub counters: &'a mut Counters,
    pub policy: &'a Personality,
    pub trace: &'a mut T,
    /// A completion was lost; the queue pair that it belonged to must fail.
    pub overflowed: bool,
    /// Why the queue pair at hand is about to come to an error state.
    pub end: Option<EndCause>,
}

impl<T: TraceSink> Ctx<'_, T> {
    #[inline]
    fn is_watched(&self) -> bool {
        T::ENABLED && self.trace.is_on()
    }

    #[inline]
    pub(crate) fn trace(&mut self, event: impl FnOnce() -> TraceEvent) {
        if self.is_watched() {
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
        self.note_failure(&wc);
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
            DropReason::Qkey => &mut self.counters.drop_qkey,
            DropReason::NoReceive => &mut self.counters.drop_no_receive,
            DropReason::Length => &mut self.counters.drop_length,
            DropReason::Access => &mut self.counters.drop_access,
            DropReason::Incomplete => &mut self.counters.drop_incomplete,
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

    /// The opcode for `operation`, which the queue pair's service must offer.
    pub(crate) fn opcode(&self, operation: Operation) -> Opcode {
        let opcode = Opcode::new(self.init.qp_type.service(), operation);
        opcode.expect("requests are checked for what the service offers")
    }

    /// Most bytes of a message: of a datagram, what one packet takes.
    pub(crate) fn longest_message(&self) -> u64 {
        if self.init.qp_type == QpType::Ud { self.mtu.bytes() as u64 } else { MAX_MESSAGE }
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
    /// Only in an error state.
    ending: Option<Box<QpEnding>>,
    /// How many have made or opened it.
    pub openers: u32,
    /// It is in the device's list of queue pairs with something to send.
    pub scheduled: bool,
}

impl Qp {
    pub(crate) fn new(qpn: Qpn, init: QpInit) -> Qp {
        let cap = init.cap;
        Qp {
            conn: Conn { qpn, init, dest_qpn: Qpn::default(), mtu: PathMtu::Mtu256, flow: None },
            state: QpState::Reset,
            attr: QpAttr::default(),
            requester: Requester::new(&cap),
            responder: Responder::new(&init),
            governor: None,
            ending: None,
            openers: 1,
            scheduled: false,
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
        if self.conn.init.qp_type == QpType::Ud {
            self.conn.mtu = port.mtu;
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
            if self.state == QpState::Sqe {
                self.requester.start(self.requester.next_psn());
            }
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

    pub(crate) fn info(&self) -> QpInfo {
        let (next, expected) = (self.requester.next_psn(), self.responder.expected());
        QpInfo {
            qpn: self.conn.qpn,
            init: self.conn.init,
            state: self.state,
            sq_draining: self.state == QpState::Sqd && !self.requester.is_drained(),
            ending: self.ending.as_deref().copied(),
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
        to: Option<Destination>,
        ctx: &mut Ctx<'_, T>,
    ) {
        ctx.trace(|| TraceEvent::PostSend { qp: self.conn.qpn, wr_id: wqe.wr_id });
        let signaled = self.conn.init.signal_all || wqe.flags.contains(SendFlags::SIGNALED);
        let flags = if signaled { wqe.flags | SendFlags::SIGNALED } else { wqe.flags };
        let sq = &mut self.requester.sq;
        if let Some(to) = to {
            self.requester.destinations.put(sq.end(), sq.depth(), to);
        }
        sq.push(SendWqe { flags, ..wqe }, payload);
        if matches!(self.state, QpState::Err | QpState::Sqe) {
            self.flush_sends(ctx);
            self.settle(ctx);
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
        if let Receives::Own(rq) = &mut self.responder.receives {
            rq.push(wqe, payload);
        }
        if self.state == QpState::Err {
            self.flush_receives(ctx);
        }
    }

    // --- packets and time ----------------------------------------------------------------------------------

    /// A packet for this queue pair whose ICRC is right.
    pub(crate) fn handle_packet<T: TraceSink>(
        &mut self,
        packet: &Packet<'_>,
        meta: &RxMeta,
        ctx: &mut Ctx<'_, T>,
    ) {
        let bth = &packet.headers.bth;
        let (qp, opcode) = (self.conn.qpn, bth.opcode);
        if opcode == Opcode::CNP {
            return self.handle_cnp(packet, ctx);
        }
        let half = match self.conn.init.qp_type {
            QpType::XrcInitiator => opcode.is_response(),
            QpType::XrcTarget => !opcode.is_response(),
            _ => true,
        };
        if !half {
            return ctx.dropped(Some(qp), DropReason::Service);
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
            if self.receive_request(packet, meta, ctx).is_err() {
                self.enter_error(ctx);
            }
        }
        self.settle(ctx);
    }

    fn receive_request<T: TraceSink>(
        &mut self,
        packet: &Packet<'_>,
        meta: &RxMeta,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<(), Fatal> {
        let (responder, conn, attr) = (&mut self.responder, &self.conn, &self.attr);
        if conn.init.qp_type == QpType::Ud {
            return responder.receive_datagram(conn, attr.qkey.unwrap_or(0), packet, meta, ctx);
        }
        if self.state == QpState::Rtr && responder.first_packet() {
            ctx.raise(AsyncEvent::Qp(conn.qpn, QpEvent::CommEst));
        }
        match conn.init.qp_type {
            QpType::Uc => responder.receive_unacknowledged(conn, attr, packet, ctx),
            _ => responder.receive(conn, attr, packet, ctx),
        }
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
        if !held && self.goes_ahead(train) {
            let step = self.emit_request(limits, train, ctx);
            if step != Step::Idle {
                return step;
            }
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
        if held { Step::Idle } else { self.emit_request(limits, train, ctx) }
    }

    fn emit_request<T: TraceSink>(
        &mut self,
        limits: &TxLimits,
        train: &mut Train,
        ctx: &mut Ctx<'_, T>,
    ) -> Step {
        let before = train.bytes().len();
        let (requester, conn) = (&mut self.requester, &self.conn);
        let step = match conn.init.qp_type {
            QpType::Uc => requester.emit_unacknowledged(conn, limits, train, ctx),
            QpType::Ud => requester.emit_datagram(conn, self.attr.qkey.unwrap_or(0), limits, train, ctx),
            _ => requester.emit(conn, limits, train, ctx),
        };
        if let Step::Failed(failure) = step {
            self.fail(failure, ctx);
        }
        self.note_request(step, train.bytes().len() - before, ctx.now);
        if !self.conn.init.qp_type.is_reliable() {
            // Requests complete when they are sent.
            self.settle(ctx);
        }
        if matches!(step, Step::Failed(_)) { Step::Idle } else { step }
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
        if self.conn.init.qp_type.is_reliable() || !ctx.policy.sqe {
            return self.enter_error(ctx);
        }
        // Receiving goes on: nothing that this side sends could be missed by it (IBTA 10.3.1.6).
        self.set_state(QpState::Sqe, ctx);
        self.flush_sends(ctx);
    }

    /// What every input ends with: consequences that any of its steps may have had.
    fn settle<T: TraceSink>(&mut self, ctx: &mut Ctx<'_, T>) {
        if core::mem::take(&mut ctx.overflowed) && self.state != QpState::Err {
            ctx.raise(AsyncEvent::Qp(self.conn.qpn, QpEvent::Fatal));
            ctx.end = Some(EndCause::Overflow);
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
        let news = self.state != QpState::Err;
        self.set_state(QpState::Err, ctx);
        self.flush(ctx);
        if news && self.conn.init.srq.is_some() {
            ctx.raise(AsyncEvent::Qp(self.conn.qpn, QpEvent::LastWqeReached));
        }
    }

    /// Completes everything that is posted, in order, sends first.
    fn flush<T: TraceSink>(&mut self, ctx: &mut Ctx<'_, T>) {
        self.flush_sends(ctx);
        self.flush_receives(ctx);
        // The queue pair is in error already, which is all that a lost completion can lead to.
        ctx.overflowed = false;
    }

    fn flush_sends<T: TraceSink>(&mut self, ctx: &mut Ctx<'_, T>) {
        while !self.requester.sq.is_empty() {
            self.requester.complete_front(&self.conn, WcStatus::WrFlushErr.into(), ctx);
        }
    }

    fn flush_receives<T: TraceSink>(&mut self, ctx: &mut Ctx<'_, T>) {
        while let Some(taken) = self.responder.receives.take_own(&self.conn) {
            let wc = Wc { status: WcStatus::WrFlushErr, ..Wc::default() };
            taken.complete(&self.conn, wc, false, ctx);
        }
    }
}

/// IBTA 10.9.3: equal in the low 15 bits, and not both limited members.
pub(crate) const fn pkeys_match(a: u16, b: u16) -> bool {
    (a ^ b) & 0x7fff == 0 && (a | b) & 0x8000 != 0
}
