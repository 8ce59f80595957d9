//! Unreliable connections: the two halves of a reliable one without acknowledgements (IBTA 9.8.2).
//!
//! A sender takes a packet as done when the link has it. A receiver that misses a packet drops the rest of the
//! message and waits for the beginning of another; nobody is told.

use ferroce_wire::{Packet, Position};

use super::attr::QpAttr;
use super::checks::check_rights;
use super::requester::Requester;
use super::responder::{Fatal, Message, Responder};
use super::{Conn, Ctx, Step};
use crate::io::{Train, TxLimits};
use crate::trace::{DropReason, TraceEvent, TraceSink};
use crate::work::{Wc, WcStatus};

impl Requester {
    pub(super) fn emit_unacknowledged<T: TraceSink>(
        &mut self,
        conn: &Conn,
        limits: &TxLimits,
        train: &mut Train,
        ctx: &mut Ctx<'_, T>,
    ) -> Step {
        let step = self.emit(conn, limits, train, ctx);
        if step == Step::Sent {
            self.release(conn, ctx);
        }
        step
    }
}

impl Responder {
    /// A packet of an unreliable connection. It is executed or dropped; an error is one of our own.
    pub(super) fn receive_unacknowledged<T: TraceSink>(
        &mut self,
        conn: &Conn,
        attr: &QpAttr,
        packet: &Packet<'_>,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<(), Fatal> {
        let (qp, bth) = (conn.qpn, &packet.headers.bth);
        let ahead = bth.psn.distance(self.expected);
        if ahead < 0 && ahead.unsigned_abs() <= ctx.policy.uc_memory {
            ctx.dropped(Some(qp), DropReason::Duplicate);
            return Ok(());
        }
        if ahead != 0 {
            let (expected, got) = (self.expected, bth.psn);
            ctx.trace(|| TraceEvent::Gap { qp, expected, got });
            ctx.counters.out_of_seq_request += 1;
        }
        // A message that is cut short leaves its receive to the next.
        if ahead != 0 || matches!(bth.opcode.position(), Position::First | Position::Only) {
            self.message = Message::None;
        }
        if self.check_sequence(bth.opcode).is_err() {
            return self.give_up(conn, DropReason::Incomplete, ctx);
        }
        self.expected = bth.psn.next();
        if let Err(why) = self.judge(conn, attr, packet, ctx) {
            return self.give_up(conn, why, ctx);
        }
        self.place(conn, packet, ctx)
    }

    /// The checks of a request, with what they are counted as when nobody is told.
    fn judge<T: TraceSink>(
        &self,
        conn: &Conn,
        attr: &QpAttr,
        packet: &Packet<'_>,
        ctx: &Ctx<'_, T>,
    ) -> Result<(), DropReason> {
        let opcode = packet.headers.bth.opcode;
        let access = attr.access.unwrap_or_default();
        check_rights(opcode.operation(), access).map_err(|_| DropReason::Access)?;
        self.check_resources(opcode, attr, ctx).map_err(|_| DropReason::NoReceive)?;
        self.check_length(conn, packet, ctx).map_err(|_| DropReason::Length)?;
        self.check_memory(conn, packet, ctx).map_err(|_| DropReason::Access)
    }

    fn place<T: TraceSink>(
        &mut self,
        conn: &Conn,
        packet: &Packet<'_>,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<(), Fatal> {
        let bth = &packet.headers.bth;
        if self.send_progress(bth.opcode.operation()).is_some() {
            if self.place_send(conn, packet, ctx).is_err() {
                self.spoil_receive(conn, ctx);
                return Err(Fatal);
            }
        } else if self.place_write(conn, packet, ctx).is_err() {
            return self.give_up(conn, DropReason::Access, ctx);
        }
        if matches!(bth.opcode.position(), Position::Last | Position::Only) {
            self.finish_message(conn, packet, ctx)?;
        }
        Ok(())
    }

    /// Drops the packet, and the message that it belongs to.
    fn give_up<T: TraceSink>(
        &mut self,
        conn: &Conn,
        why: DropReason,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<(), Fatal> {
        self.message = Message::None;
        ctx.dropped(Some(conn.qpn), why);
        Ok(())
    }

    /// The oldest receive names memory that it may not: it fails, for reasons that no peer is to blame for.
    pub(super) fn spoil_receive<T: TraceSink>(&mut self, conn: &Conn, ctx: &mut Ctx<'_, T>) {
        self.message = Message::None;
        if let Some(taken) = self.receives.take(conn, ctx) {
            let wc = Wc { status: WcStatus::LocProtErr, ..Wc::default() };
            taken.complete(conn, wc, false, ctx);
        }
    }
}
