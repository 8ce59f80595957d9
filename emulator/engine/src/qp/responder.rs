//! The receiving half: what is done with request packets, and what is remembered of them.
//!
//! A packet with the expected PSN is checked, executed and acknowledged; one that comes too early is reported
//! missing; one that was there before is answered again.

use std::collections::VecDeque;

use ferroce_wire::{AtomicEth, NakCode, Operation, Packet, Position, Psn, Reth, Syndrome};

use super::attr::QpAttr;
use super::checks::{Refusal, is_kept, is_placement, takes_receive};
use super::init::QpInit;
use super::receives::{Receives, Taken};
use super::responses::{Resource, ResourceKind};
use super::selective::Early;
use super::{Conn, Ctx, EndCause};
use crate::event::{AsyncEvent, QpEvent};
use crate::memory::{Access, AccessDenied};
use crate::trace::{DropReason, TraceEvent, TraceSink};
use crate::work::{Wc, WcOpcode, WcStatus};

#[derive(Clone, Debug)]
pub(crate) struct Responder {
    pub receives: Receives,
    pub(crate) expected: Psn,
    pub(crate) msn: u32,
    /// A NAK for the gap (or the missing receive) at `expected` was sent.
    gap_reported: bool,
    /// No packet has been received yet.
    untouched: bool,
    pub(super) message: Message,
    /// READs and atomics that were executed: to be answered, or to be answered again. Oldest first.
    pub(crate) resources: VecDeque<Resource>,
    /// How many of them are kept: `max_dest_rd_atomic`, rounded up to a power of two, since there are
    /// requesters that round their half up.
    pub(super) slots: usize,
    /// What came too early.
    pub(super) early: Early,
    /// PSNs to acknowledge, in order.
    pub(super) acks: VecDeque<Psn>,
    /// Requests for acknowledgement that the newest of them answers.
    coalesced: u32,
    /// The answer that comes after all others.
    pub(super) nak: Option<(Psn, Syndrome)>,
}

/// ACKs that can wait for transmission one by one; after that they are coalesced whatever the policy.
const MAX_ACKS: usize = 64;

/// The request message of which packets are still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    None,
    /// Into the oldest receive; so many bytes have arrived.
    Send {
        done: u64,
    },
    /// Into the peer's choice of memory; so many bytes have arrived.
    Write {
        reth: Reth,
        done: u64,
    },
}

/// The connection ends with this packet.
pub(super) struct Fatal;

impl Responder {
    pub(super) fn new(init: &QpInit) -> Responder {
        Responder {
            receives: Receives::new(init),
            expected: Psn::default(),
            msn: 0,
            gap_reported: false,
            untouched: true,
            message: Message::None,
            resources: VecDeque::new(),
            slots: 0,
            early: Early::default(),
            acks: VecDeque::new(),
            coalesced: 0,
            nak: None,
        }
    }

    /// Forgets all work and all connection state.
    pub(super) fn reset(&mut self) {
        self.receives.clear();
        self.start(Psn::default());
    }

    /// Expects `psn` as the first.
    pub(super) fn start(&mut self, psn: Psn) {
        self.expected = psn;
        (self.msn, self.gap_reported, self.untouched) = (0, false, true);
        self.message = Message::None;
        self.silence();
    }

    /// Says nothing more.
    pub(super) fn silence(&mut self) {
        self.resources.clear();
        self.early.clear();
        self.acks.clear();
        self.nak = None;
    }

    pub(super) fn configure(&mut self, attr: &QpAttr) {
        let depth = usize::from(attr.max_dest_rd_atomic.unwrap_or(0));
        self.slots = if depth == 0 { 0 } else { depth.next_power_of_two() };
    }

    pub(super) fn expected(&self) -> Psn {
        self.expected
    }

    /// True once after each start.
    pub(super) fn first_packet(&mut self) -> bool {
        core::mem::take(&mut self.untouched)
    }

    /// A request packet.
    pub(super) fn receive<T: TraceSink>(
        &mut self,
        conn: &Conn,
        attr: &QpAttr,
        packet: &Packet<'_>,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<(), Fatal> {
        let bth = &packet.headers.bth;
        match bth.psn.distance(self.expected) {
            0 => self.receive_expected(conn, attr, packet, ctx)?,
            ahead @ 1.. => self.receive_early(conn, packet, ahead.unsigned_abs(), ctx),
            _ => self.duplicate(conn, packet, ctx),
        }
        if self.early.is_empty() { Ok(()) } else { self.catch_up(conn, attr, ctx) }
    }

    /// The packet whose turn it is.
    pub(super) fn receive_expected<T: TraceSink>(
        &mut self,
        conn: &Conn,
        attr: &QpAttr,
        packet: &Packet<'_>,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<(), Fatal> {
        self.gap_reported = false;
        self.nak = None;
        if let Err(refusal) = self.check(conn, attr, packet, ctx) {
            return self.refuse(conn, packet, refusal, ctx);
        }
        self.execute(conn, packet, ctx)
    }

    pub(super) fn gap<T: TraceSink>(&mut self, conn: &Conn, got: Psn, ctx: &mut Ctx<'_, T>) {
        let expected = self.expected;
        ctx.trace(|| TraceEvent::Gap { qp: conn.qpn, expected, got });
        ctx.counters.out_of_seq_request += 1;
        self.report_gap(ctx);
    }

    /// Once per gap (IBTA 9.7.5.2.3): the packets behind it tell nothing new.
    pub(super) fn report_gap<T>(&mut self, ctx: &mut Ctx<'_, T>) {
        if !self.gap_reported {
            self.gap_reported = true;
            ctx.counters.seq_nak_sent += 1;
            self.nak = Some((self.expected, Syndrome::Nak(NakCode::PsnSequence)));
        }
    }

    /// Answers a request that is not executed. It does not advance the PSN.
    fn refuse<T: TraceSink>(
        &mut self,
        conn: &Conn,
        packet: &Packet<'_>,
        refusal: Refusal,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<(), Fatal> {
        let (psn, syndrome, denied) = (packet.headers.bth.psn, refusal.syndrome, refusal.denied);
        ctx.trace(|| TraceEvent::Refused { qp: conn.qpn, psn, syndrome, denied });
        self.nak = Some((psn, syndrome));
        self.gap_reported = true;
        if matches!(syndrome, Syndrome::RnrNak { .. }) {
            ctx.counters.rnr_nak_sent += 1;
            return Ok(());
        }
        ctx.end = Some(EndCause::Refused { psn, syndrome, denied });
        ctx.counters.fatal_nak_sent += 1;
        let op = packet.headers.bth.opcode.operation();
        let in_use = matches!(self.message, Message::Send { .. }) || takes_receive(op);
        let blamed = if in_use && refusal.recv.is_some() { self.receives.take(conn, ctx) } else { None };
        match (blamed, refusal.recv, refusal.event) {
            (Some(taken), Some(status), _) => {
                taken.complete(conn, Wc { status, ..Wc::default() }, false, ctx);
            }
            (_, _, Some(event)) => ctx.raise(AsyncEvent::Qp(conn.qpn, event)),
            _ => {}
        }
        self.message = Message::None;
        Err(Fatal)
    }

    // --- execution -----------------------------------------------------------------------------------------------

    fn execute<T: TraceSink>(
        &mut self,
        conn: &Conn,
        packet: &Packet<'_>,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<(), Fatal> {
        let (bth, op) = (&packet.headers.bth, packet.headers.bth.opcode.operation());
        let placed = match (packet.headers.reth, packet.headers.atomic) {
            (Some(reth), _) if op == Operation::ReadRequest => {
                self.keep(conn, bth.psn, ResourceKind::Read(reth), ctx);
                Ok(())
            }
            (_, Some(atomic)) => self.execute_atomic(conn, op, bth.psn, atomic, ctx),
            (Some(reth), _) if is_placement(op) => self.execute_placement(conn, packet, reth, ctx),
            _ if self.send_progress(op).is_some() => self.place_send(conn, packet, ctx),
            _ => self.place_write(conn, packet, ctx),
        };
        if let Err(refusal) = placed {
            return self.refuse(conn, packet, refusal, ctx);
        }
        if !is_kept(op) {
            self.expected = self.expected.next();
        }
        if matches!(bth.opcode.position(), Position::Last | Position::Only) {
            self.finish_message(conn, packet, ctx)?;
        }
        if bth.ack_request && !is_kept(op) && !ctx.overflowed {
            self.acknowledge(bth.psn, ctx);
        }
        Ok(())
    }

    pub(super) fn place_send<T: TraceSink>(
        &mut self,
        conn: &Conn,
        packet: &Packet<'_>,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<(), Refusal> {
        let done = if let Message::Send { done } = self.message { done } else { 0 };
        if packet.headers.bth.opcode.position() == Position::First {
            self.receives.hold(conn, ctx);
        }
        let (pd, list) = (self.receives.pd(conn, ctx.srqs), self.receives.list(ctx.srqs));
        // The receive list is the application's; when it is wrong the peer is told 0x63 (IBTA 9.9.3.2).
        ctx.memory.scatter(pd, list, done, packet.payload).map_err(|denied| Refusal {
            denied: Some(denied),
            ..Refusal::fatal(NakCode::RemoteOperational, WcStatus::LocProtErr, QpEvent::ReqErr)
        })?;
        self.message = Message::Send { done: done + packet.payload.len() as u64 };
        Ok(())
    }

    pub(super) fn place_write<T: TraceSink>(
        &mut self,
        conn: &Conn,
        packet: &Packet<'_>,
        ctx: &Ctx<'_, T>,
    ) -> Result<(), Refusal> {
        let (reth, done) = match (packet.headers.reth, self.message) {
            (Some(reth), _) => (reth, 0),
            (None, Message::Write { reth, done }) => (reth, done),
            (None, _) => return Err(Refusal::invalid()),
        };
        let len = packet.payload.len() as u64;
        if len > 0 {
            // Looked up for every packet: the region may be gone since the first.
            let va = reth.va.wrapping_add(done);
            let span =
                ctx.memory.remote_span(reth.rkey, self.accessor(conn, ctx), Access::REMOTE_WRITE, va, len);
            span.and_then(|span| span.copy_from(packet.payload)).map_err(Refusal::access)?;
        }
        self.message = Message::Write { reth, done: done + len };
        Ok(())
    }

    fn execute_atomic<T: TraceSink>(
        &mut self,
        conn: &Conn,
        op: Operation,
        psn: Psn,
        atomic: AtomicEth,
        ctx: &Ctx<'_, T>,
    ) -> Result<(), Refusal> {
        let AtomicEth { va, rkey, swap_or_add, compare } = atomic;
        let span = ctx.memory.remote_span(rkey, self.accessor(conn, ctx), Access::REMOTE_ATOMIC, va, 8);
        let change = |old: u64| match op {
            Operation::FetchAdd => old.wrapping_add(swap_or_add),
            _ if old == compare => swap_or_add,
            _ => old,
        };
        let original = span.and_then(|word| word.fetch_update(change)).map_err(Refusal::access)?;
        self.keep(conn, psn, ResourceKind::Atomic { original }, ctx);
        Ok(())
    }

    /// ATOMIC WRITE, or FLUSH: what was written before is where it should be as soon as it is written.
    fn execute_placement<T: TraceSink>(
        &mut self,
        conn: &Conn,
        packet: &Packet<'_>,
        reth: Reth,
        ctx: &Ctx<'_, T>,
    ) -> Result<(), Refusal> {
        if let Ok(word) = packet.payload.try_into().map(u64::from_ne_bytes) {
            let (accessor, need) = (self.accessor(conn, ctx), Access::REMOTE_WRITE);
            let span = ctx.memory.remote_span(reth.rkey, accessor, need, reth.va, 8);
            span.and_then(|span| span.fetch_update(|_| word)).map_err(Refusal::access)?;
        }
        self.keep(conn, packet.headers.bth.psn, ResourceKind::Done, ctx);
        Ok(())
    }

    /// Remembers a READ or atomic, whose PSNs it uses up. The oldest makes room, even if it is just being
    /// repeated: age alone says which of them the requester can still ask for.
    fn keep<T>(&mut self, conn: &Conn, psn: Psn, kind: ResourceKind, ctx: &Ctx<'_, T>) {
        if self.resources.len() >= self.slots {
            self.resources.pop_front();
        }
        let resource = Resource::new(kind, self.receives.pd(conn, ctx.srqs), psn, conn.mtu);
        self.expected = psn + resource.psns;
        self.resources.push_back(resource);
    }

    /// The last packet of a message was executed.
    pub(super) fn finish_message<T: TraceSink>(
        &mut self,
        conn: &Conn,
        packet: &Packet<'_>,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<(), Fatal> {
        let headers = &packet.headers;
        let message = core::mem::replace(&mut self.message, Message::None);
        let (opcode, len) = match message {
            Message::Send { done } => (WcOpcode::Recv, done),
            Message::Write { reth, .. } => (WcOpcode::RecvRdmaWithImm, u64::from(reth.len)),
            Message::None => (WcOpcode::Recv, 0),
        };
        let accessor = self.accessor(conn, ctx);
        let taken = match message {
            Message::Send { .. } => self.receives.take(conn, ctx),
            Message::Write { .. } if headers.imm.is_some() => self.receives.take(conn, ctx),
            _ => None,
        };
        let invalidated = headers.ieth.map(|ieth| ieth.rkey);
        if let Some(rkey) = invalidated
            && let Err(denied) = ctx.invalidate(rkey, accessor)
        {
            return Self::cannot_invalidate(conn, headers.bth.psn, denied, taken, ctx);
        }
        self.msn = (self.msn + 1) & 0x00ff_ffff;
        let msn = self.msn;
        ctx.trace(|| TraceEvent::Executed { qp: conn.qpn, opcode: headers.bth.opcode, msn });
        if let Some(taken) = taken {
            let (byte_len, imm) = (len as u32, headers.imm);
            let wc = Wc { opcode, byte_len, imm, invalidated, ..Wc::default() };
            taken.complete(conn, wc, headers.bth.solicited, ctx);
        }
        Ok(())
    }

    /// SEND with invalidate, of a key that cannot be. The message fails here: its receive completes in error,
    /// the connection ends, nothing is answered.
    fn cannot_invalidate<T: TraceSink>(
        conn: &Conn,
        psn: Psn,
        denied: AccessDenied,
        taken: Option<Taken>,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<(), Fatal> {
        let syndrome = Syndrome::Nak(NakCode::RemoteAccess);
        ctx.trace(|| TraceEvent::Refused { qp: conn.qpn, psn, syndrome, denied: Some(denied) });
        ctx.end = Some(EndCause::Refused { psn, syndrome, denied: Some(denied) });
        if let Some(taken) = taken {
            let wc = Wc { status: WcStatus::RemInvReqErr, ..Wc::default() };
            taken.complete(conn, wc, false, ctx);
        }
        Err(Fatal)
    }

    // --- duplicates ------------------------------------------------------------------------------------------------

    /// A packet that was executed before. It is answered again, but nothing is done again (IBTA 9.7.5.1.3).
    fn duplicate<T: TraceSink>(&mut self, conn: &Conn, packet: &Packet<'_>, ctx: &mut Ctx<'_, T>) {
        let bth = &packet.headers.bth;
        ctx.counters.duplicate_request += 1;
        ctx.trace(|| TraceEvent::Duplicate { qp: conn.qpn, psn: bth.psn });
        let answered = match (packet.headers.reth, packet.headers.atomic) {
            (Some(reth), _) if bth.opcode.operation() == Operation::ReadRequest => {
                self.resources.iter_mut().any(|resource| resource.replay_read(bth.psn, reth, conn.mtu))
            }
            (_, Some(_)) => self.resources.iter_mut().any(|resource| resource.replay_done(bth.psn, true)),
            _ if is_placement(bth.opcode.operation()) => {
                self.resources.iter_mut().any(|resource| resource.replay_done(bth.psn, false))
            }
            _ => {
                if bth.ack_request {
                    self.acknowledge(self.expected - 1, ctx);
                }
                true
            }
        };
        if !answered {
            ctx.dropped(Some(conn.qpn), DropReason::Duplicate);
        }
    }

    /// Queues an ACK for everything up to `psn`, together with an earlier one that still waits if the policy
    /// allows.
    pub(super) fn acknowledge<T>(&mut self, psn: Psn, ctx: &mut Ctx<'_, T>) {
        let joins = self.coalesced < ctx.policy.ack_coalescing || self.acks.len() >= MAX_ACKS;
        match self.acks.back_mut() {
            Some(back) if joins => {
                *back = psn;
                self.coalesced += 1;
                ctx.counters.ack_coalesced += 1;
            }
            _ => {
                self.acks.push_back(psn);
                self.coalesced = 1;
            }
        }
    }
}
