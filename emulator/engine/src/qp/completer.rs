//! The completing half of the requester: what responses and silence mean for the work requests.

use ferroce_wire::{Aeth, NakCode, Operation, Packet, Psn, RnrTimer, Syndrome};

use super::requester::Requester;
use super::{Conn, Ctx, Failure};
use crate::policy::LossCause;
use crate::time::Time;
use crate::trace::{DropReason, TraceEvent, TraceSink};
use crate::work::{SendFlags, Wc, WcStatus};

impl Requester {
    /// A response packet. An error is the failure of the oldest request, which ends the connection.
    pub(super) fn receive<T: TraceSink>(
        &mut self,
        conn: &Conn,
        packet: &Packet<'_>,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<(), Failure> {
        let bth = &packet.headers.bth;
        let arrived = self.note_arrival(bth, ctx);
        if !bth.psn.is_before(self.una) && bth.psn.is_before(self.max) {
            self.respond(conn, packet, ctx)?;
        } else if arrived.is_none() {
            ctx.counters.stale_response += 1;
            return Ok(());
        }
        if let Some(psn) = arrived {
            self.mend(conn, psn, ctx)?;
        }
        self.take_stuck().map_or(Ok(()), Err)
    }

    /// A response to something that waits for one.
    fn respond<T: TraceSink>(
        &mut self,
        conn: &Conn,
        packet: &Packet<'_>,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<(), Failure> {
        let bth = &packet.headers.bth;
        match (bth.opcode.operation(), packet.headers.aeth) {
            (_, Some(aeth)) if !matches!(aeth.syndrome, Syndrome::Ack { .. }) => {
                self.negative(conn, bth.psn, aeth, ctx)
            }
            (Operation::Acknowledge, _) => self.acknowledge(conn, bth.psn, ctx),
            (Operation::AtomicAck, _) => self.atomic_response(conn, packet, ctx),
            _ => self.read_response(conn, packet, ctx),
        }
    }

    fn acknowledge<T: TraceSink>(
        &mut self,
        conn: &Conn,
        psn: Psn,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<(), Failure> {
        self.reach(conn, psn.next(), psn.next(), ctx).map(|_| ())
    }

    fn read_response<T: TraceSink>(
        &mut self,
        conn: &Conn,
        packet: &Packet<'_>,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<(), Failure> {
        let psn = packet.headers.bth.psn;
        if !self.reach(conn, psn, psn.next(), ctx)? {
            return Ok(());
        }
        let seq = self.sq.front();
        if packet.payload.is_empty() && self.sq.get(seq).is_some_and(|wqe| wqe.op.is_placement()) {
            self.answered(conn, psn, ctx);
            return Ok(());
        }
        let Some(wqe) = self.sq.get(seq).filter(|wqe| wqe.is_read()) else {
            return Err(WcStatus::BadRespErr.into());
        };
        let index = psn.distance(wqe.first) as u32;
        let offset = u64::from(index) * conn.mtu.bytes() as u64;
        let expected = (wqe.len - offset).min(conn.mtu.bytes() as u64);
        if packet.payload.len() as u64 != expected {
            return Err(WcStatus::LocLenErr.into());
        }
        let (psns, chunk) = (wqe.psns, self.config.read_chunk);
        let placed = ctx.memory.scatter(conn.init.pd, self.sq.sges(seq), offset, packet.payload);
        placed.map_err(|_| WcStatus::LocProtErr)?;
        self.una = psn.next();
        let last = index + 1 == psns;
        if last || (index + 1).is_multiple_of(chunk) {
            self.responses_due = self.responses_due.saturating_sub(1);
        }
        if last {
            self.complete_front(conn, WcStatus::Success.into(), ctx);
        }
        self.progress(conn, ctx);
        self.catch_up(conn, ctx);
        Ok(())
    }

    fn atomic_response<T: TraceSink>(
        &mut self,
        conn: &Conn,
        packet: &Packet<'_>,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<(), Failure> {
        let psn = packet.headers.bth.psn;
        if !self.reach(conn, psn, psn.next(), ctx)? {
            return Ok(());
        }
        let seq = self.sq.front();
        let is_atomic = self.sq.get(seq).is_some_and(|wqe| wqe.op.is_atomic());
        let (true, Some(answer)) = (is_atomic, packet.headers.atomic_ack) else {
            return Err(WcStatus::BadRespErr.into());
        };
        let word = answer.original.to_ne_bytes();
        let placed = ctx.memory.scatter(conn.init.pd, self.sq.sges(seq), 0, &word);
        placed.map_err(|_| WcStatus::LocProtErr)?;
        self.answered(conn, psn, ctx);
        Ok(())
    }

    /// The oldest request, of one packet, was answered.
    fn answered<T: TraceSink>(&mut self, conn: &Conn, psn: Psn, ctx: &mut Ctx<'_, T>) {
        self.una = psn.next();
        self.responses_due = self.responses_due.saturating_sub(1);
        self.complete_front(conn, WcStatus::Success.into(), ctx);
        self.progress(conn, ctx);
        self.catch_up(conn, ctx);
    }

    /// Anything with a syndrome other than ACK. It acknowledges everything before its PSN.
    fn negative<T: TraceSink>(
        &mut self,
        conn: &Conn,
        psn: Psn,
        aeth: Aeth,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<(), Failure> {
        let status = match aeth.syndrome {
            Syndrome::Nak(NakCode::PsnSequence) => None,
            Syndrome::RnrNak { .. } => None,
            Syndrome::Nak(NakCode::InvalidRequest) => Some(WcStatus::RemInvReqErr),
            Syndrome::Nak(NakCode::RemoteAccess) => Some(WcStatus::RemAccessErr),
            Syndrome::Nak(NakCode::RemoteOperational) => Some(WcStatus::RemOpErr),
            _ => {
                // Reserved codes mean nothing (IBTA 9.7.5.2.3 leaves them open); the timer will decide.
                ctx.dropped(Some(conn.qpn), DropReason::Response);
                return Ok(());
            }
        };
        let before = self.una;
        if !self.reach(conn, psn, psn, ctx)? {
            return Ok(());
        }
        if let Some(status) = status {
            ctx.counters.fatal_nak_rcvd += 1;
            return Err(Failure { status, vendor_err: u32::from(aeth.syndrome.as_u8()) });
        }
        match aeth.syndrome {
            Syndrome::RnrNak { timer } => self.receiver_not_ready(conn, timer, ctx),
            _ => {
                ctx.counters.packet_seq_err += 1;
                self.gap_reported(conn, LossCause::SequenceNak, before, ctx)
            }
        }
    }

    /// Takes every packet before `to` as acknowledged. False when a READ or atomic among them was not answered:
    /// its answer must be lost (IBTA 9.7.5.2.8), and it is asked for again. The peer has executed everything before
    /// `executed`.
    fn reach<T: TraceSink>(
        &mut self,
        conn: &Conn,
        to: Psn,
        executed: Psn,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<bool, Failure> {
        let before = self.una;
        if self.advance(conn, to, ctx) {
            return Ok(true);
        }
        ctx.counters.implied_nak_seq_err += 1;
        self.note_executed(executed, ctx);
        self.gap_reported(conn, LossCause::ImpliedNak, before, ctx)?;
        Ok(false)
    }

    /// The packet at `una` was lost. Before the news of it came, `una` was `before`.
    pub(super) fn gap_reported<T: TraceSink>(
        &mut self,
        conn: &Conn,
        cause: LossCause,
        before: Psn,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<(), Failure> {
        // While waiting for a receive the packets behind are reported missing too; going back for this gap a
        // second time would only send the same packets twice.
        let known = self.gap == Some(self.una) || self.repair.covers(self.una);
        if self.rnr_wait.is_some() || known || self.next == self.una {
            return Ok(());
        }
        self.gap = Some(self.una);
        if self.una == before {
            self.use_up_a_retry(ctx)?;
        }
        self.go_back(conn, cause, ctx);
        self.restart_timer(ctx.now);
        Ok(())
    }

    fn receiver_not_ready<T: TraceSink>(
        &mut self,
        conn: &Conn,
        timer: RnrTimer,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<(), Failure> {
        if self.rnr_wait.is_some() {
            return Ok(());
        }
        ctx.counters.rnr_nak_rcvd += 1;
        if self.rnr_retries == 0 {
            ctx.counters.rnr_retry_exceeded_err += 1;
            return Err(WcStatus::RnrRetryExcErr.into());
        }
        // IBTA 9.7.5.2.8: 7 means for ever.
        if self.config.rnr_retry != 7 {
            self.rnr_retries -= 1;
        }
        let until = ctx.now + core::time::Duration::from_nanos(timer.nanos());
        self.go_back(conn, LossCause::ReceiverNotReady, ctx);
        (self.rnr_wait, self.timer) = (Some(until), None);
        ctx.trace(|| TraceEvent::RnrWait { qp: conn.qpn, until });
        Ok(())
    }

    /// Time passed.
    pub(super) fn handle_timeout<T: TraceSink>(
        &mut self,
        conn: &Conn,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<(), Failure> {
        if self.rnr_wait.is_some_and(|until| until <= ctx.now) {
            self.rnr_wait = None;
        }
        if self.timer.is_some_and(|deadline| deadline <= ctx.now) {
            ctx.counters.local_ack_timeout_err += 1;
            self.use_up_a_retry(ctx)?;
            self.gap = None;
            self.start_over(conn, ctx);
            self.restart_timer(ctx.now);
        }
        Ok(())
    }

    fn use_up_a_retry<T: TraceSink>(&mut self, ctx: &mut Ctx<'_, T>) -> Result<(), Failure> {
        if self.config.retry_cnt == 7 && ctx.policy.retry_7_is_infinite {
            return Ok(());
        }
        if self.retries == 0 {
            ctx.counters.retry_exceeded_err += 1;
            return Err(WcStatus::RetryExcErr.into());
        }
        self.retries -= 1;
        Ok(())
    }

    // --- progress ----------------------------------------------------------------------------------------------

    /// Takes every packet before `to` as acknowledged, up to the first READ or atomic that was not answered.
    /// Says whether that was all of them.
    pub(super) fn advance<T: TraceSink>(&mut self, conn: &Conn, to: Psn, ctx: &mut Ctx<'_, T>) -> bool {
        let before = self.una;
        while self.una.is_before(to) {
            self.complete_local(conn, ctx);
            let Some(wqe) = self.sq.get(self.sq.front()) else { break };
            if wqe.op.wants_response() {
                break;
            }
            let end = wqe.last().next();
            if to.is_before(end) {
                self.una = to;
            } else {
                self.una = end;
                self.complete_front(conn, WcStatus::Success.into(), ctx);
            }
        }
        if self.una != before {
            self.progress(conn, ctx);
        }
        self.una == to
    }

    /// `una` moved: the peer is alive, so all patience is restored.
    fn progress<T: TraceSink>(&mut self, conn: &Conn, ctx: &mut Ctx<'_, T>) {
        (self.retries, self.rnr_retries) = (self.config.retry_cnt, self.config.rnr_retry);
        self.gap = None;
        self.grow();
        self.complete_local(conn, ctx);
        if self.next.is_before(self.una) {
            // What was about to be sent again has arrived after all.
            self.seek(self.una);
        }
        self.restart_timer(ctx.now);
        self.repair.advance(self.una);
        let unacked = self.una;
        ctx.trace(|| TraceEvent::Acknowledged { qp: conn.qpn, unacked });
    }

    /// The timer runs while anything sent is not acknowledged, except while waiting for a receive. It takes longer with
    /// every try that was used up.
    fn restart_timer(&mut self, now: Time) {
        let waiting = self.una != self.max && self.rnr_wait.is_none();
        let tries = self.config.retry_cnt - self.retries;
        let patience = (1 << tries).min(self.config.timeout_growth);
        self.timer = self.config.timeout.filter(|_| waiting).map(|timeout| now + timeout * patience);
    }

    /// Takes the oldest request off the queue, with a completion if it is signaled or failed.
    pub(super) fn complete_front<T: TraceSink>(
        &mut self,
        conn: &Conn,
        outcome: Failure,
        ctx: &mut Ctx<'_, T>,
    ) {
        let Some(wqe) = self.sq.pop() else { return };
        let Failure { status, vendor_err } = outcome;
        if status == WcStatus::Success && !wqe.flags.contains(SendFlags::SIGNALED) {
            return;
        }
        let mut wc = Wc { wr_id: wqe.wr_id, status, vendor_err, ..Wc::default() };
        if status == WcStatus::Success {
            wc.opcode = wqe.op.completion();
            wc.byte_len = if wqe.op.is_atomic() { 8 } else { wqe.len as u32 };
        }
        ctx.complete(conn, conn.init.send_cq, wc, false);
    }

    /// Completes the local requests that were executed and are now the oldest.
    pub(super) fn complete_local<T: TraceSink>(&mut self, conn: &Conn, ctx: &mut Ctx<'_, T>) {
        while self.sq.get(self.sq.front()).is_some_and(|wqe| wqe.started && wqe.op.is_local()) {
            self.complete_front(conn, WcStatus::Success.into(), ctx);
        }
    }
}
