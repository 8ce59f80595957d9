//! The receiving half: a chain of named checks between a request packet and its execution.
//!
//! PSN → operation sequence → rights of the queue pair → resources → length → memory → execution →
//! acknowledgement. Each check that fails names the syndrome it is answered with (IBTA 9.7.4, 9.9.3).

use std::collections::VecDeque;

use ferroce_wire::{AtomicEth, NakCode, Opcode, Operation, Packet, Position, Psn, Reth, RnrTimer, Syndrome};

use super::attr::QpAttr;
use super::init::QpCap;
use super::requester::MAX_MESSAGE;
use super::responses::{Resource, ResourceKind};
use super::{Conn, Ctx};
use crate::event::{AsyncEvent, QpEvent};
use crate::memory::{Access, AccessDenied};
use crate::trace::{DropReason, TraceEvent, TraceSink};
use crate::work::{RecvWqe, Wc, WcOpcode, WcStatus, WorkQueue};

#[derive(Clone, Debug)]
pub(crate) struct Responder {
    /// The oldest receive stays in the queue until its message is complete.
    pub rq: WorkQueue<RecvWqe>,
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
    slots: usize,
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

/// Why a request is not executed, and what both ends are told.
pub(super) struct Refusal {
    syndrome: Syndrome,
    /// How the receive that the message used (or would use) completes.
    recv: Option<WcStatus>,
    /// The event, when there is no receive to blame.
    event: Option<QpEvent>,
    denied: Option<AccessDenied>,
}

impl Refusal {
    fn fatal(code: NakCode, recv: WcStatus, event: QpEvent) -> Refusal {
        Refusal { syndrome: Syndrome::Nak(code), recv: Some(recv), event: Some(event), denied: None }
    }

    /// An invalid request for which no receive can be blamed.
    fn invalid() -> Refusal {
        let syndrome = Syndrome::Nak(NakCode::InvalidRequest);
        Refusal { syndrome, recv: None, event: Some(QpEvent::ReqErr), denied: None }
    }

    fn access(denied: AccessDenied) -> Refusal {
        let refusal = Refusal::fatal(NakCode::RemoteAccess, WcStatus::LocAccessErr, QpEvent::AccessErr);
        Refusal { denied: Some(denied), ..refusal }
    }

    fn not_ready(timer: RnrTimer) -> Refusal {
        Refusal { syndrome: Syndrome::RnrNak { timer }, recv: None, event: None, denied: None }
    }
}

/// The connection ends with this packet.
pub(super) struct Fatal;

impl Responder {
    pub(super) fn new(cap: &QpCap) -> Responder {
        Responder {
            rq: WorkQueue::new(cap.max_recv_wr, cap.max_recv_sge, 0),
            expected: Psn::default(),
            msn: 0,
            gap_reported: false,
            untouched: true,
            message: Message::None,
            resources: VecDeque::new(),
            slots: 0,
            acks: VecDeque::new(),
            coalesced: 0,
            nak: None,
        }
    }

    /// Forgets all work and all connection state.
    pub(super) fn reset(&mut self) {
        self.rq.clear();
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
            0 => {}
            1.. => {
                self.gap(conn, bth.psn, ctx);
                return Ok(());
            }
            _ => {
                self.duplicate(conn, packet, ctx);
                return Ok(());
            }
        }
        self.gap_reported = false;
        self.nak = None;
        if let Err(refusal) = self.check(conn, attr, packet, ctx) {
            return self.refuse(conn, packet, refusal, ctx);
        }
        self.execute(conn, packet, ctx)
    }

    fn gap<T: TraceSink>(&mut self, conn: &Conn, got: Psn, ctx: &mut Ctx<'_, T>) {
        let expected = self.expected;
        ctx.trace(|| TraceEvent::Gap { qp: conn.qpn, expected, got });
        ctx.counters.out_of_seq_request += 1;
        // Once per gap (IBTA 9.7.5.2.3): the packets behind it tell nothing new.
        if !self.gap_reported {
            self.gap_reported = true;
            ctx.counters.seq_nak_sent += 1;
            self.nak = Some((expected, Syndrome::Nak(NakCode::PsnSequence)));
        }
    }

    // --- checks ------------------------------------------------------------------------------------------------

    fn check<T: TraceSink>(
        &self,
        conn: &Conn,
        attr: &QpAttr,
        packet: &Packet<'_>,
        ctx: &Ctx<'_, T>,
    ) -> Result<(), Refusal> {
        let opcode = packet.headers.bth.opcode;
        self.check_sequence(opcode)?;
        check_rights(opcode.operation(), attr.access.unwrap_or_default())?;
        self.check_resources(opcode, attr)?;
        self.check_length(conn, packet, ctx)?;
        self.check_memory(conn, packet, ctx)
    }

    /// A message is one ONLY packet, or FIRST, MIDDLE… and LAST of one kind, and nothing comes between.
    pub(super) fn check_sequence(&self, opcode: Opcode) -> Result<(), Refusal> {
        use Operation as Op;
        let op = opcode.operation();
        let fits = match self.message {
            Message::None => matches!(opcode.position(), Position::First | Position::Only),
            Message::Send { .. } => {
                matches!(op, Op::SendMiddle | Op::SendLast | Op::SendLastImm | Op::SendLastInv)
            }
            Message::Write { .. } => matches!(op, Op::WriteMiddle | Op::WriteLast | Op::WriteLastImm),
        };
        let known = !matches!(op, Op::Flush | Op::AtomicWrite);
        if fits && known {
            return Ok(());
        }
        // A receive that is in use is spoiled; one that this packet would have used is not.
        let in_use = matches!(self.message, Message::Send { .. });
        Err(Refusal { recv: in_use.then_some(WcStatus::LocQpOpErr), ..Refusal::invalid() })
    }

    pub(super) fn check_resources(&self, opcode: Opcode, attr: &QpAttr) -> Result<(), Refusal> {
        let op = opcode.operation();
        if takes_receive(op) && self.rq.is_empty() {
            return Err(Refusal::not_ready(attr.min_rnr_timer.unwrap_or_default()));
        }
        if is_kept(op) && !self.has_slot() {
            return Err(Refusal::invalid());
        }
        Ok(())
    }

    /// Whether one more READ or atomic can be kept. A requester that respects our depth needs the oldest no
    /// more when it sends one that takes its place, so what is in the way is one that was never answered.
    fn has_slot(&self) -> bool {
        let full = self.resources.len() >= self.slots;
        !full || self.resources.front().is_some_and(Resource::was_answered)
    }

    pub(super) fn check_length<T>(
        &self,
        conn: &Conn,
        packet: &Packet<'_>,
        ctx: &Ctx<'_, T>,
    ) -> Result<(), Refusal> {
        let bth = &packet.headers.bth;
        let len = packet.payload.len();
        let pad_is_right = usize::from(bth.pad) == len.wrapping_neg() & 3;
        if !bth.opcode.payload_rule().allows(len, conn.mtu.bytes()) || !pad_is_right {
            return Err(Refusal { recv: Some(WcStatus::LocLenErr), ..Refusal::invalid() });
        }
        if packet.headers.reth.is_some_and(|reth| u64::from(reth.len) > MAX_MESSAGE) {
            return Err(Refusal::invalid());
        }
        if let Some((done, total)) = self.write_progress(packet) {
            let ends = matches!(bth.opcode.position(), Position::Last | Position::Only);
            let after = done + len as u64;
            if after > total || (ends && after != total) || (!ends && after == total) {
                return Err(Refusal::invalid());
            }
        }
        if let Some(done) = self.send_progress(bth.opcode.operation()) {
            let room: u64 = self.rq.sges(self.rq.front()).iter().map(|sge| u64::from(sge.len)).sum();
            if done + len as u64 > room {
                let code = ctx.policy.too_long_nak;
                return Err(Refusal::fatal(code, WcStatus::LocLenErr, QpEvent::ReqErr));
            }
        }
        Ok(())
    }

    pub(super) fn check_memory<T>(
        &self,
        conn: &Conn,
        packet: &Packet<'_>,
        ctx: &Ctx<'_, T>,
    ) -> Result<(), Refusal> {
        let headers = &packet.headers;
        if let Some(reth) = headers.reth.filter(|reth| reth.len > 0) {
            // The whole range at once, so that nothing is written of what cannot be written entirely.
            let need = if headers.bth.opcode.operation() == Operation::ReadRequest {
                Access::REMOTE_READ
            } else {
                Access::REMOTE_WRITE
            };
            let span = ctx.memory.remote_span(reth.rkey, conn.accessor(), need, reth.va, u64::from(reth.len));
            span.map_err(Refusal::access)?;
        }
        if let Some(AtomicEth { va, rkey, .. }) = headers.atomic {
            let span = ctx.memory.remote_span(rkey, conn.accessor(), Access::REMOTE_ATOMIC, va, 8);
            span.map_err(Refusal::access)?;
            if va % 8 != 0 {
                return Err(Refusal::invalid());
            }
        }
        Ok(())
    }

    /// For a packet of a WRITE: bytes that came before it, and bytes of the message.
    fn write_progress(&self, packet: &Packet<'_>) -> Option<(u64, u64)> {
        use Operation as Op;
        match (packet.headers.bth.opcode.operation(), self.message) {
            (Op::WriteFirst | Op::WriteOnly | Op::WriteOnlyImm, _) => {
                packet.headers.reth.map(|reth| (0, u64::from(reth.len)))
            }
            (_, Message::Write { reth, done }) => Some((done, u64::from(reth.len))),
            _ => None,
        }
    }

    /// For a packet of a SEND: bytes that came before it.
    pub(super) fn send_progress(&self, op: Operation) -> Option<u64> {
        match self.message {
            Message::Send { done } => Some(done),
            _ => matches!(
                op,
                Operation::SendFirst | Operation::SendOnly | Operation::SendOnlyImm | Operation::SendOnlyInv
            )
            .then_some(0),
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
        ctx.counters.fatal_nak_sent += 1;
        let op = packet.headers.bth.opcode.operation();
        let in_use = matches!(self.message, Message::Send { .. }) || takes_receive(op);
        let blamed = if in_use && refusal.recv.is_some() { self.rq.pop() } else { None };
        match (blamed, refusal.recv, refusal.event) {
            (Some(wqe), Some(status), _) => {
                let wc = Wc { wr_id: wqe.wr_id, status, ..Wc::default() };
                ctx.complete(conn, conn.init.recv_cq, wc, false);
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
                self.keep(conn, bth.psn, ResourceKind::Read(reth));
                Ok(())
            }
            (_, Some(atomic)) => self.execute_atomic(conn, op, bth.psn, atomic, ctx),
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
        ctx: &Ctx<'_, T>,
    ) -> Result<(), Refusal> {
        let done = if let Message::Send { done } = self.message { done } else { 0 };
        let list = self.rq.sges(self.rq.front());
        // The receive list is the application's; when it is wrong the peer is told 0x63 (IBTA 9.9.3.2).
        ctx.memory.scatter(conn.init.pd, list, done, packet.payload).map_err(|denied| Refusal {
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
            let span = ctx.memory.remote_span(reth.rkey, conn.accessor(), Access::REMOTE_WRITE, va, len);
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
        let span = ctx.memory.remote_span(rkey, conn.accessor(), Access::REMOTE_ATOMIC, va, 8);
        let change = |old: u64| match op {
            Operation::FetchAdd => old.wrapping_add(swap_or_add),
            _ if old == compare => swap_or_add,
            _ => old,
        };
        let original = span.and_then(|word| word.fetch_update(change)).map_err(Refusal::access)?;
        self.keep(conn, psn, ResourceKind::Atomic { original });
        Ok(())
    }

    /// Remembers a READ or atomic, whose PSNs it uses up. The oldest makes room, even if it is just being
    /// repeated: age alone says which of them the requester can still ask for.
    fn keep(&mut self, conn: &Conn, psn: Psn, kind: ResourceKind) {
        if self.resources.len() >= self.slots {
            self.resources.pop_front();
        }
        let resource = Resource::new(kind, psn, conn.mtu);
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
        let wqe = match message {
            Message::Send { .. } => self.rq.pop(),
            Message::Write { .. } if headers.imm.is_some() => self.rq.pop(),
            _ => None,
        };
        let invalidated = headers.ieth.map(|ieth| ieth.rkey);
        if let Some(rkey) = invalidated
            && let Err(denied) = ctx.memory.invalidate(rkey, conn.init.pd, conn.qpn)
        {
            return Self::cannot_invalidate(conn, headers.bth.psn, denied, wqe, ctx);
        }
        self.msn = (self.msn + 1) & 0x00ff_ffff;
        let msn = self.msn;
        ctx.trace(|| TraceEvent::Executed { qp: conn.qpn, opcode: headers.bth.opcode, msn });
        if let Some(wqe) = wqe {
            let wc = Wc {
                wr_id: wqe.wr_id,
                opcode,
                byte_len: len as u32,
                imm: headers.imm,
                invalidated,
                ..Wc::default()
            };
            ctx.complete(conn, conn.init.recv_cq, wc, headers.bth.solicited);
        }
        Ok(())
    }

    /// SEND with invalidate, of a key that cannot be. The message fails here: its receive completes in error,
    /// the connection ends, nothing is answered.
    fn cannot_invalidate<T: TraceSink>(
        conn: &Conn,
        psn: Psn,
        denied: AccessDenied,
        wqe: Option<RecvWqe>,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<(), Fatal> {
        let syndrome = Syndrome::Nak(NakCode::RemoteAccess);
        ctx.trace(|| TraceEvent::Refused { qp: conn.qpn, psn, syndrome, denied: Some(denied) });
        if let Some(wqe) = wqe {
            let wc = Wc { wr_id: wqe.wr_id, status: WcStatus::RemInvReqErr, ..Wc::default() };
            ctx.complete(conn, conn.init.recv_cq, wc, false);
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
            (_, Some(_)) => self.resources.iter_mut().any(|resource| resource.replay_atomic(bth.psn)),
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
    fn acknowledge<T>(&mut self, psn: Psn, ctx: &mut Ctx<'_, T>) {
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

/// The queue pair must allow what the peer asks for.
pub(super) fn check_rights(op: Operation, access: Access) -> Result<(), Refusal> {
    use Operation as Op;
    let need = match op {
        Op::WriteFirst
        | Op::WriteMiddle
        | Op::WriteLast
        | Op::WriteLastImm
        | Op::WriteOnly
        | Op::WriteOnlyImm => Access::REMOTE_WRITE,
        Op::ReadRequest => Access::REMOTE_READ,
        Op::CompareSwap | Op::FetchAdd => Access::REMOTE_ATOMIC,
        _ => Access::empty(),
    };
    if access.contains(need) { Ok(()) } else { Err(Refusal::invalid()) }
}

/// Packets that need a receive of ours: the first of a SEND, the last of a WRITE with immediate data.
const fn takes_receive(op: Operation) -> bool {
    use Operation as Op;
    matches!(
        op,
        Op::SendFirst
            | Op::SendOnly
            | Op::SendOnlyImm
            | Op::SendOnlyInv
            | Op::WriteLastImm
            | Op::WriteOnlyImm
    )
}

/// Requests whose answer can be asked for again.
const fn is_kept(op: Operation) -> bool {
    matches!(op, Operation::ReadRequest | Operation::CompareSwap | Operation::FetchAdd)
}
