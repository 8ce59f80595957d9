//! What the responder still has to say: READ responses, atomic responses, ACKs and NAKs, in PSN order.

use ferroce_wire::{Aeth, AtomicAckEth, Bth, Headers, NakCode, Operation, PathMtu, Psn, Reth, Syndrome};

use super::responder::Responder;
use super::{Conn, Ctx, EndCause, Step};
use crate::io::{Train, TxLimits, packet_len};
use crate::memory::{Access, Pd};
use crate::policy::Personality;
use crate::trace::{TraceEvent, TraceSink};
use crate::work::WcStatus;

/// A READ or atomic that was accepted. It is kept after it was answered, because the answer may get lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resource {
    pub kind: ResourceKind,
    /// The domain of the memory that it is about.
    pd: Pd,
    /// First PSN and number of PSNs of the answer.
    pub first: Psn,
    pub psns: u32,
    /// What is being sent of it: packets `next..end`, of which `start` was the first.
    start: u32,
    next: u32,
    end: u32,
    /// Everything of it was sent once.
    answered: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResourceKind {
    Read(Reth),
    /// The value that was found.
    Atomic {
        original: u64,
    },
    /// There is nothing to tell but that it is done.
    Done,
}

impl Resource {
    pub(super) fn new(kind: ResourceKind, pd: Pd, first: Psn, mtu: PathMtu) -> Resource {
        let psns = match kind {
            ResourceKind::Read(reth) => mtu.packets_for(u64::from(reth.len)),
            ResourceKind::Atomic { .. } | ResourceKind::Done => 1,
        };
        Resource { kind, pd, first, psns, start: 0, next: 0, end: psns, answered: false }
    }

    /// It has packets to send.
    pub(crate) fn is_pending(&self) -> bool {
        self.next < self.end
    }

    /// It was answered, though it may have packets to send once more.
    pub(super) fn was_answered(&self) -> bool {
        self.answered
    }

    fn advance(&mut self) {
        self.next += 1;
        self.answered |= self.next == self.end;
    }

    /// A READ came again, whole or from one of its later packets on. False when this is not that READ.
    pub(super) fn replay_read(&mut self, psn: Psn, again: Reth, mtu: PathMtu) -> bool {
        let ResourceKind::Read(reth) = self.kind else { return false };
        let index = psn.distance(self.first);
        if index < 0 || index as u32 >= self.psns {
            return false;
        }
        let index = index as u32;
        let skipped = u64::from(index) * mtu.bytes() as u64;
        let rest = u64::from(reth.len) - skipped;
        let matches = again.va == reth.va.wrapping_add(skipped)
            && again.rkey == reth.rkey
            && u64::from(again.len) <= rest;
        if !matches {
            return false;
        }
        let end = index + mtu.packets_for(u64::from(again.len));
        if self.is_pending() && self.next <= index && end <= self.end {
            // The answer is still on its way out: there is nothing to repeat.
            return true;
        }
        (self.start, self.next, self.end) = (index, index, end);
        true
    }

    /// A request that is not a READ came again. False when this is not that one, which `atomic` tells the kind of.
    pub(super) fn replay_done(&mut self, psn: Psn, atomic: bool) -> bool {
        let kind = match self.kind {
            ResourceKind::Read(_) => return false,
            ResourceKind::Atomic { .. } => atomic,
            ResourceKind::Done => !atomic,
        };
        let same = kind && psn == self.first;
        if same {
            self.next = 0;
        }
        same
    }

    /// PSN of the next packet to send.
    fn psn(&self) -> Psn {
        self.first + self.next
    }
}

impl Responder {
    pub(super) fn wants_to_send(&self) -> bool {
        let speaks = !self.acks.is_empty() || self.nak.is_some() || self.early.has_news();
        speaks || self.resources.iter().any(Resource::is_pending)
    }

    /// One ACK is all that it has to say.
    pub(super) fn has_only_an_ack(&self) -> bool {
        self.acks.len() == 1 && self.nak.is_none() && !self.resources.iter().any(Resource::is_pending)
    }

    /// Whether it has READ responses to send, which a limited rate holds back. What comes behind them in PSN
    /// order waits with them.
    pub(super) fn sends_data(&self) -> bool {
        self.resources
            .iter()
            .any(|resource| resource.is_pending() && matches!(resource.kind, ResourceKind::Read(_)))
    }

    /// Adds the next response to the train, oldest PSN first, so that each acknowledges what came before it.
    pub(super) fn emit<T: TraceSink>(
        &mut self,
        conn: &Conn,
        limits: &TxLimits,
        train: &mut Train,
        ctx: &mut Ctx<'_, T>,
    ) -> Step {
        let pending = self.resources.iter().position(Resource::is_pending);
        match (pending, self.acks.front().copied()) {
            (Some(index), ack) if ack.is_none_or(|ack| !ack.is_before(self.resources[index].psn())) => {
                match self.resources[index].kind {
                    ResourceKind::Read(reth) => self.emit_read(index, reth, conn, limits, train, ctx),
                    ResourceKind::Atomic { original } => {
                        self.emit_done(index, Some(original), conn, limits, train, ctx)
                    }
                    ResourceKind::Done => self.emit_done(index, None, conn, limits, train, ctx),
                }
            }
            (_, Some(psn)) => {
                let headers = acknowledgement(psn, self.ack_aeth(ctx), 0, conn, ctx.policy);
                let step = send(headers, 0, conn, limits, train, ctx, |_, _| true);
                if step == Step::Sent {
                    ctx.counters.ack_sent += 1;
                    self.acks.pop_front();
                }
                step
            }
            _ => self.emit_news(conn, limits, train, ctx),
        }
    }

    /// What is wrong, and what came too early.
    fn emit_news<T: TraceSink>(
        &mut self,
        conn: &Conn,
        limits: &TxLimits,
        train: &mut Train,
        ctx: &mut Ctx<'_, T>,
    ) -> Step {
        let last = self.expected - 1;
        let (psn, syndrome) = self.nak.unwrap_or((last, self.ack_aeth(ctx).syndrome));
        let arrived = self.early.tell(psn, self.expected);
        if arrived == 0 && self.nak.is_none() {
            return Step::Idle;
        }
        let aeth = Aeth { syndrome, msn: self.msn };
        let headers = acknowledgement(psn, aeth, arrived, conn, ctx.policy);
        let step = send(headers, 0, conn, limits, train, ctx, |_, _| true);
        if step == Step::Sent {
            self.nak = None;
            self.early.told();
        }
        step
    }

    /// The last PSN that was executed is that of a READ or atomic.
    pub(super) fn ends_with_a_resource(&self) -> bool {
        self.resources.back().is_some_and(|resource| resource.first + resource.psns == self.expected)
    }

    fn ack_aeth<T>(&self, ctx: &Ctx<'_, T>) -> Aeth {
        Aeth { syndrome: Syndrome::Ack { credits: ctx.policy.credits }, msn: self.msn }
    }

    /// The answer to an atomic, with what it found, or to a request that asks for no data.
    fn emit_done<T: TraceSink>(
        &mut self,
        index: usize,
        original: Option<u64>,
        conn: &Conn,
        limits: &TxLimits,
        train: &mut Train,
        ctx: &mut Ctx<'_, T>,
    ) -> Step {
        let operation = if original.is_some() { Operation::AtomicAck } else { Operation::ReadRespOnly };
        let headers = conn.headers(conn.opcode(operation), self.resources[index].first, ctx.policy);
        let aeth = Some(self.ack_aeth(ctx));
        let atomic_ack = original.map(|original| AtomicAckEth { original });
        let step = send(Headers { aeth, atomic_ack, ..headers }, 0, conn, limits, train, ctx, |_, _| true);
        if step == Step::Sent {
            self.resources[index].advance();
        }
        step
    }

    /// One packet of a READ. The memory is read when the packet is made, and checked again: it may have been
    /// deregistered since the request came.
    fn emit_read<T: TraceSink>(
        &mut self,
        index: usize,
        reth: Reth,
        conn: &Conn,
        limits: &TxLimits,
        train: &mut Train,
        ctx: &mut Ctx<'_, T>,
    ) -> Step {
        let resource = self.resources[index];
        let operation = match (resource.next == resource.start, resource.next + 1 == resource.end) {
            (true, true) => Operation::ReadRespOnly,
            (true, false) => Operation::ReadRespFirst,
            (false, false) => Operation::ReadRespMiddle,
            (false, true) => Operation::ReadRespLast,
        };
        let mtu = conn.mtu.bytes() as u64;
        let offset = u64::from(resource.next) * mtu;
        let len = (u64::from(reth.len) - offset).min(mtu);
        let aeth = (operation != Operation::ReadRespMiddle).then(|| self.ack_aeth(ctx));
        let headers = Headers { aeth, ..conn.headers(conn.opcode(operation), resource.psn(), ctx.policy) };
        let va = reth.va.wrapping_add(offset);
        let step = send(headers, len as usize, conn, limits, train, ctx, |ctx, out| {
            if out.is_empty() {
                return true;
            }
            let span =
                ctx.memory.remote_span(reth.rkey, (resource.pd, conn.qpn), Access::REMOTE_READ, va, len);
            span.and_then(|span| span.copy_to(out)).is_ok()
        });
        match step {
            Step::Sent => self.resources[index].advance(),
            Step::Failed(_) => {
                self.silence();
                ctx.counters.fatal_nak_sent += 1;
                let (psn, syndrome) = (resource.psn(), Syndrome::Nak(NakCode::RemoteAccess));
                ctx.trace(|| TraceEvent::Refused { qp: conn.qpn, psn, syndrome, denied: None });
                ctx.end = Some(EndCause::Refused { psn, syndrome, denied: None });
                self.nak = Some((psn, syndrome));
            }
            Step::Full | Step::Idle => {}
        }
        step
    }
}

/// An acknowledgement, good or bad, which tells of a packet `arrived` behind its PSN unless that is 0.
fn acknowledgement(psn: Psn, aeth: Aeth, arrived: u8, conn: &Conn, policy: &Personality) -> Headers {
    let headers = conn.headers(conn.opcode(Operation::Acknowledge), psn, policy);
    Headers { bth: Bth { resv7: arrived, ..headers.bth }, aeth: Some(aeth), ..headers }
}

/// Adds a response packet, if it fits; `fill` says whether the payload could be had.
fn send<T: TraceSink>(
    headers: Headers,
    payload: usize,
    conn: &Conn,
    limits: &TxLimits,
    train: &mut Train,
    ctx: &mut Ctx<'_, T>,
    fill: impl FnOnce(&mut Ctx<'_, T>, &mut [u8]) -> bool,
) -> Step {
    let opcode = headers.bth.opcode;
    let len = packet_len(opcode, payload);
    if !train.takes(len, limits) {
        return Step::Full;
    }
    let filled = train.push(headers, payload, limits, |out| if fill(ctx, out) { Ok(()) } else { Err(()) });
    if filled.is_err() {
        return Step::Failed(WcStatus::LocProtErr.into());
    }
    ctx.counters.sent_pkts += 1;
    ctx.counters.sent_bytes += len as u64;
    ctx.trace(|| TraceEvent::Sent {
        qp: conn.qpn,
        opcode,
        psn: headers.bth.psn,
        len: payload as u32,
        ack_request: false,
        syndrome: headers.aeth.map(|aeth| aeth.syndrome),
        again: false,
    });
    Step::Sent
}
