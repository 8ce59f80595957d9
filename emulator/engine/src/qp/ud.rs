//! Unreliable datagrams: one packet each, to wherever its request says (IBTA 9.8.3).

use ferroce_wire::{Deth, Packet, Qpn};

use super::plan::Plan;
use super::requester::Requester;
use super::responder::{Fatal, Responder};
use super::{Conn, Ctx, Step};
use crate::grh::{self, GRH_LEN};
use crate::io::{Flow, RxMeta, Train, TxLimits};
use crate::memory::Pd;
use crate::trace::{DropReason, TraceEvent, TraceSink};
use crate::work::{Wc, WcOpcode, WcStatus};

/// A Q_Key with this bit in a work request stands for the queue pair's own (IBTA 10.2.5).
const OWN_QKEY: u32 = 1 << 31;

/// Where a datagram goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Destination {
    pub flow: Flow,
    pub qpn: Qpn,
    pub qkey: u32,
    /// The domain of its address handle.
    pub pd: Pd,
}

/// The destinations of the requests in a send queue, by sequence number. Allocated at the first post.
#[derive(Clone, Debug, Default)]
pub(crate) struct Destinations {
    ring: Vec<Destination>,
}

impl Destinations {
    /// Stores the destination of request `seq` of a queue of `depth`.
    pub(super) fn put(&mut self, seq: u64, depth: u32, to: Destination) {
        if self.ring.is_empty() {
            self.ring = vec![to; depth as usize];
        }
        let slot = seq % self.ring.len() as u64;
        self.ring[slot as usize] = to;
    }

    fn get(&self, seq: u64) -> Option<&Destination> {
        let slot = seq.checked_rem(self.ring.len() as u64)?;
        self.ring.get(slot as usize)
    }
}

impl Requester {
    /// Where the next datagram goes.
    pub(super) fn next_stop(&self) -> Option<(Flow, Qpn)> {
        self.destinations.get(self.cursor).map(|to| (to.flow, to.qpn))
    }

    pub(super) fn emit_datagram<T: TraceSink>(
        &mut self,
        conn: &Conn,
        own_qkey: u32,
        limits: &TxLimits,
        train: &mut Train,
        ctx: &mut Ctx<'_, T>,
    ) -> Step {
        if !ctx.policy.long_datagram_fails {
            self.skip_long(conn, ctx);
        }
        if !self.wants_to_send() {
            return Step::Idle;
        }
        let Some(to) = self.destinations.get(self.cursor).copied() else { return Step::Idle };
        if !train.goes_along(to.flow, to.qpn, limits) {
            return Step::Full;
        }
        let begun = self.begin(conn, ctx);
        let foreign = if to.pd == conn.init.pd { Ok(()) } else { Err(WcStatus::LocQpOpErr) };
        if let Err(status) = begun.and(foreign) {
            return self.cannot_begin(status);
        }
        let Some(wqe) = self.sq.get(self.cursor) else { return Step::Idle };
        let mut plan = Plan::new(wqe, 0, 1, conn, ctx);
        let names_own = to.qkey & OWN_QKEY != 0 && ctx.policy.own_qkey;
        plan.headers.bth.dest_qp = to.qpn;
        plan.headers.deth = Some(Deth::new(if names_own { own_qkey } else { to.qkey }, conn.qpn));
        let step = self.transmit(plan, false, conn, limits, train, ctx);
        if step == Step::Sent {
            self.release(conn, ctx);
        }
        step
    }

    /// Completes requests that are too long for a packet, as if they had been sent.
    fn skip_long<T: TraceSink>(&mut self, conn: &Conn, ctx: &mut Ctx<'_, T>) {
        let is_long = |this: &Self| {
            let wqe = this.sq.get(this.cursor);
            this.wants_to_send() && wqe.is_some_and(|wqe| wqe.len > conn.mtu.bytes() as u64)
        };
        while is_long(self) {
            self.cursor += 1;
            self.started += 1;
            self.complete_front(conn, WcStatus::Success.into(), ctx);
        }
    }
}

impl Responder {
    /// A datagram. It is delivered or dropped; an error is one of our own.
    pub(super) fn receive_datagram<T: TraceSink>(
        &mut self,
        conn: &Conn,
        own_qkey: u32,
        packet: &Packet<'_>,
        meta: &RxMeta,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<(), Fatal> {
        if let Err(why) = self.admit(conn, own_qkey, packet, ctx) {
            ctx.dropped(Some(conn.qpn), why);
            return Ok(());
        }
        let headers = &packet.headers;
        let (pd, list) = (self.receives.pd(conn, ctx.srqs), self.receives.list(ctx.srqs));
        let grh = grh::compose(meta, packet.wire_len());
        let placed = ctx
            .memory
            .scatter(pd, list, 0, &grh)
            .and_then(|()| ctx.memory.scatter(pd, list, GRH_LEN as u64, packet.payload));
        if placed.is_err() {
            self.spoil_receive(conn, ctx);
            return Err(Fatal);
        }
        self.msn = (self.msn + 1) & 0x00ff_ffff;
        let (opcode, msn) = (headers.bth.opcode, self.msn);
        ctx.trace(|| TraceEvent::Executed { qp: conn.qpn, opcode, msn });
        let Some(taken) = self.receives.take(conn, ctx) else { return Ok(()) };
        let wc = Wc {
            opcode: WcOpcode::Recv,
            byte_len: (GRH_LEN + packet.payload.len()) as u32,
            imm: headers.imm,
            src_qp: headers.deth.map_or(0, |deth| deth.src_qp.value()),
            grh: true,
            sl: if meta.dst.is_ipv4() { 2 } else { 1 },
            ..Wc::default()
        };
        taken.complete(conn, wc, headers.bth.solicited, ctx);
        Ok(())
    }

    fn admit<T>(
        &self,
        conn: &Conn,
        own_qkey: u32,
        packet: &Packet<'_>,
        ctx: &Ctx<'_, T>,
    ) -> Result<(), DropReason> {
        let (headers, len) = (&packet.headers, packet.payload.len());
        if headers.deth.is_none_or(|deth| deth.qkey != own_qkey) {
            return Err(DropReason::Qkey);
        }
        let pad_is_right = usize::from(headers.bth.pad) == len.wrapping_neg() & 3;
        if len > conn.mtu.bytes() || !pad_is_right {
            return Err(DropReason::Length);
        }
        if !self.receives.is_ready(ctx.srqs) {
            return Err(DropReason::NoReceive);
        }
        if self.receives.room(ctx.srqs) < (GRH_LEN + len) as u64 {
            return Err(DropReason::Length);
        }
        Ok(())
    }
}
