//! The chain of checks between a request packet and its execution (IBTA 9.7.4, 9.9.3).
//!
//! Operation sequence → rights of the queue pair → resources → length → memory. Each check that fails names the
//! syndrome it is answered with.

use ferroce_wire::{
    AtomicEth, Feth, NakCode, Opcode, Operation, Packet, Position, Qpn, Reth, RnrTimer, Syndrome,
};

use super::attr::QpAttr;
use super::init::QpType;
use super::requester::MAX_MESSAGE;
use super::responder::{Message, Responder};
use super::responses::Resource;
use super::{Conn, Ctx};
use crate::cq::Cq;
use crate::event::QpEvent;
use crate::memory::{Access, AccessDenied, Pd};
use crate::srq::Xrcd;
use crate::trace::TraceSink;
use crate::work::WcStatus;

/// Why a request is not executed, and what both ends are told.
pub(super) struct Refusal {
    pub(super) syndrome: Syndrome,
    /// How the receive that the message used (or would use) completes.
    pub(super) recv: Option<WcStatus>,
    /// The event, when there is no receive to blame.
    pub(super) event: Option<QpEvent>,
    pub(super) denied: Option<AccessDenied>,
}

impl Refusal {
    pub(super) fn fatal(code: NakCode, recv: WcStatus, event: QpEvent) -> Refusal {
        Refusal { syndrome: Syndrome::Nak(code), recv: Some(recv), event: Some(event), denied: None }
    }

    /// An invalid request for which no receive can be blamed.
    pub(super) fn invalid() -> Refusal {
        let syndrome = Syndrome::Nak(NakCode::InvalidRequest);
        Refusal { syndrome, recv: None, event: Some(QpEvent::ReqErr), denied: None }
    }

    pub(super) fn access(denied: AccessDenied) -> Refusal {
        let refusal = Refusal::fatal(NakCode::RemoteAccess, WcStatus::LocAccessErr, QpEvent::AccessErr);
        Refusal { denied: Some(denied), ..refusal }
    }

    pub(super) fn not_ready(timer: RnrTimer) -> Refusal {
        Refusal { syndrome: Syndrome::RnrNak { timer }, recv: None, event: None, denied: None }
    }
}

impl Responder {
    /// All that must be so before a request of a reliable connection is executed.
    pub(super) fn check<T: TraceSink>(
        &mut self,
        conn: &Conn,
        attr: &QpAttr,
        packet: &Packet<'_>,
        ctx: &Ctx<'_, T>,
    ) -> Result<(), Refusal> {
        let opcode = packet.headers.bth.opcode;
        self.check_sequence(opcode)?;
        if is_placement(opcode.operation()) && !ctx.policy.placement {
            return Err(Refusal::invalid());
        }
        let access = attr.access.unwrap_or_default();
        check_rights(opcode.operation(), access)?;
        if !access.contains(packet.headers.feth.map_or(Access::empty(), |feth| flush_rights(&feth))) {
            return Err(Refusal::invalid());
        }
        self.aim(conn, packet, ctx)?;
        self.check_resources(opcode, attr, ctx)?;
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
        if fits {
            return Ok(());
        }
        // A receive that is in use is spoiled; one that this packet would have used is not.
        let in_use = matches!(self.message, Message::Send { .. });
        Err(Refusal { recv: in_use.then_some(WcStatus::LocQpOpErr), ..Refusal::invalid() })
    }

    /// A request of an extended reliable connection says which shared receive queue it is for, and with that in whose
    /// name it is made (IBTA annex A14).
    fn aim<T>(&mut self, conn: &Conn, packet: &Packet<'_>, ctx: &Ctx<'_, T>) -> Result<(), Refusal> {
        if conn.init.qp_type != QpType::XrcTarget {
            return Ok(());
        }
        let named = packet.headers.xrceth.and_then(|xrceth| ctx.srqs.by_number(xrceth.srqn));
        let ours = |xrc: Option<(Xrcd, Cq)>| xrc.map(|(xrcd, _)| xrcd) == conn.init.xrcd;
        match named.filter(|(_, queue)| ours(queue.init.xrc)) {
            Some((srq, _)) if self.receives.aim(srq) => Ok(()),
            _ => Err(Refusal::invalid()),
        }
    }

    /// Whose access to memory the peer's request is.
    pub(super) fn accessor<T>(&self, conn: &Conn, ctx: &Ctx<'_, T>) -> (Pd, Qpn) {
        (self.receives.pd(conn, ctx.srqs), conn.qpn)
    }

    pub(super) fn check_resources<T>(
        &self,
        opcode: Opcode,
        attr: &QpAttr,
        ctx: &Ctx<'_, T>,
    ) -> Result<(), Refusal> {
        let op = opcode.operation();
        if takes_receive(op) && !self.receives.is_ready(ctx.srqs) {
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
        if let Some(done) = self.send_progress(bth.opcode.operation())
            && done + len as u64 > self.receives.room(ctx.srqs)
        {
            let code = ctx.policy.too_long_nak;
            return Err(Refusal::fatal(code, WcStatus::LocLenErr, QpEvent::ReqErr));
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
        if let (Some(feth), Some(reth)) = (&headers.feth, &headers.reth) {
            return self.check_flush(conn, feth, reth, ctx);
        }
        let is_atomic_write = headers.bth.opcode.operation() == Operation::AtomicWrite;
        let is_whole_write = headers.bth.opcode.position() == Position::Only && !packet.payload.is_empty();
        if let Some(reth) = headers.reth.filter(|reth| reth.len > 0 && (!is_whole_write || is_atomic_write)) {
            // The whole range at once, so that nothing is written of what cannot be written entirely. A WRITE of one
            // packet is looked up when it is placed, with the same outcome.
            let need = if headers.bth.opcode.operation() == Operation::ReadRequest {
                Access::REMOTE_READ
            } else {
                Access::REMOTE_WRITE
            };
            let span = ctx.memory.remote_span(
                reth.rkey,
                self.accessor(conn, ctx),
                need,
                reth.va,
                u64::from(reth.len),
            );
            span.map_err(Refusal::access)?;
        }
        if is_atomic_write && headers.reth.is_none_or(|reth| reth.len != 8 || reth.va % 8 != 0) {
            return Err(Refusal::invalid());
        }
        if let Some(AtomicEth { va, rkey, .. }) = headers.atomic {
            let span = ctx.memory.remote_span(rkey, self.accessor(conn, ctx), Access::REMOTE_ATOMIC, va, 8);
            span.map_err(Refusal::access)?;
            if va % 8 != 0 {
                return Err(Refusal::invalid());
            }
        }
        Ok(())
    }

    fn check_flush<T>(&self, conn: &Conn, feth: &Feth, reth: &Reth, ctx: &Ctx<'_, T>) -> Result<(), Refusal> {
        let (accessor, need) = (self.accessor(conn, ctx), flush_rights(feth));
        let opens = match feth.selectivity {
            Feth::MEMORY_REGION => ctx.memory.remote_region(reth.rkey, accessor.0, need),
            _ => ctx.memory.remote_span(reth.rkey, accessor, need, reth.va, u64::from(reth.len)).map(drop),
        };
        opens.map_err(Refusal::access)
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
        | Op::WriteOnlyImm
        | Op::AtomicWrite => Access::REMOTE_WRITE,
        Op::ReadRequest => Access::REMOTE_READ,
        Op::CompareSwap | Op::FetchAdd => Access::REMOTE_ATOMIC,
        _ => Access::empty(),
    };
    if access.contains(need) { Ok(()) } else { Err(Refusal::invalid()) }
}

/// Packets that need a receive of ours: the first of a SEND, the last of a WRITE with immediate data.
pub(super) const fn takes_receive(op: Operation) -> bool {
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
pub(super) const fn is_kept(op: Operation) -> bool {
    matches!(op, Operation::ReadRequest | Operation::CompareSwap | Operation::FetchAdd) || is_placement(op)
}

/// The operations of annex A19.
pub(super) const fn is_placement(op: Operation) -> bool {
    matches!(op, Operation::Flush | Operation::AtomicWrite)
}

/// What a FLUSH asks of the queue pair and of the memory.
fn flush_rights(feth: &Feth) -> Access {
    let right = |bit, right| if feth.placement & bit != 0 { right } else { Access::empty() };
    right(Feth::GLOBAL, Access::FLUSH_GLOBAL) | right(Feth::PERSISTENT, Access::FLUSH_PERSISTENT)
}
