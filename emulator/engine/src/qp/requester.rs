//! The sending half: from work requests to request packets.
//!
//! Three PSNs describe where a requester is (all modulo 2^24):
//!
//! ```text
//!      acknowledged          in flight           sent once, to be sent again      never sent
//!   ------------------ una ---------------- next ---------------------------- max -----------
//! ```
//!
//! Usually `next == max`. After a loss `next` goes back, and what it passes again is the same packets: the
//! mapping of PSNs to opcodes and bytes never changes (IBTA 9.7.5.1).

use std::time::Duration;

use ferroce_wire::{PathMtu, Psn};

use super::attr::QpAttr;
use super::init::QpCap;
use super::plan::Plan;
use super::selective::Repair;
use super::ud::Destinations;
use super::{Conn, Ctx, Failure, Step};
use crate::io::{Train, TxLimits, packet_len};
use crate::memory::Access;
use crate::policy::{AckRequests, Loss, LossCause, Personality};
use crate::time::Time;
use crate::trace::{TraceEvent, TraceSink};
use crate::work::{SendFlags, SendOp, SendWqe, WcStatus, WorkQueue};

/// Most bytes of a message (IBTA 9.7.1).
pub(crate) const MAX_MESSAGE: u64 = 1 << 31;

/// Packets that are sent after a timeout until the peer is heard of again. A peer that is alive and slow would
/// drown in more: what it has not come to yet would be sent again and again.
const AFTER_TIMEOUT: u32 = 16;

/// By how much what may be outstanding grows when all that was is acknowledged, once it has come near to what a peer
/// was too slow for.
const CAREFUL_GROWTH: u32 = 8;

/// PSNs that may be outstanding: half the number space, less one, so that old and new can be told apart.
const PSN_SPACE: u32 = (1 << 23) - 1;

#[derive(Clone, Debug)]
pub(crate) struct Requester {
    pub sq: WorkQueue<SendWqe>,
    /// Where they go, if they are datagrams.
    pub(super) destinations: Destinations,
    /// The request whose packet comes next, and which packet of it.
    pub(super) cursor: u64,
    pub(super) packet: u32,
    /// Requests before this one have been given PSNs.
    pub(super) started: u64,
    pub(crate) una: Psn,
    pub(crate) next: Psn,
    pub(crate) max: Psn,
    /// READ and atomic requests in flight.
    pub(crate) responses_due: u32,
    /// Packets sent since one asked for an acknowledgement.
    unasked: u32,
    /// The next packet must ask for an acknowledgement.
    ask: bool,
    /// PSNs that may be outstanding, if that is less than the policy's window: few after a timeout, twice as many
    /// with each sign of progress until they are `bearable`, and then a few more whenever `grow_at` is acknowledged.
    allowance: u32,
    grow_at: Psn,
    /// Half of what was outstanding when the timer ran out. A peer may be alive, and need longer than the timer allows
    /// for what waits at it: then it must never wait again, or what is repeated would keep the peer busy for good.
    bearable: u32,
    /// The request at the cursor cannot be carried out; it fails when all before it are done.
    pub(super) stuck: Option<WcStatus>,
    /// No new message is started.
    draining: bool,
    pub(crate) retries: u8,
    pub(crate) rnr_retries: u8,
    /// The gap for which we went back already, until there is progress.
    pub(super) gap: Option<Psn>,
    pub(crate) timer: Option<Time>,
    pub(crate) rnr_wait: Option<Time>,
    pub(super) repair: Repair,
    pub(super) config: Config,
}

/// Attributes in the form in which they are used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Config {
    /// `None` waits for ever.
    pub timeout: Option<Duration>,
    /// How many times as long it may become.
    pub timeout_growth: u32,
    pub retry_cnt: u8,
    pub rnr_retry: u8,
    max_rd_atomic: u32,
    pub read_chunk: u32,
}

impl Requester {
    pub(super) fn new(cap: &QpCap) -> Requester {
        Requester {
            sq: WorkQueue::new(cap.max_send_wr, cap.max_send_sge, cap.max_inline_data),
            destinations: Destinations::default(),
            cursor: 0,
            packet: 0,
            started: 0,
            una: Psn::default(),
            next: Psn::default(),
            max: Psn::default(),
            responses_due: 0,
            unasked: 0,
            ask: false,
            allowance: u32::MAX,
            grow_at: Psn::default(),
            bearable: u32::MAX,
            stuck: None,
            draining: false,
            retries: 0,
            rnr_retries: 0,
            gap: None,
            timer: None,
            rnr_wait: None,
            repair: Repair::default(),
            config: Config::default(),
        }
    }

    /// Forgets all work and all connection state.
    pub(super) fn reset(&mut self) {
        self.sq.clear();
        self.start(Psn::default());
    }

    /// Starts at `psn` with what is in the queue.
    pub(super) fn start(&mut self, psn: Psn) {
        (self.una, self.next, self.max) = (psn, psn, psn);
        (self.cursor, self.started, self.packet) = (self.sq.front(), self.sq.front(), 0);
        (self.responses_due, self.unasked, self.ask) = (0, 0, false);
        (self.allowance, self.bearable, self.grow_at) = (u32::MAX, u32::MAX, psn);
        (self.stuck, self.gap, self.timer, self.rnr_wait) = (None, None, None, None);
        self.repair.reset();
    }

    pub(super) fn configure(&mut self, attr: &QpAttr, policy: &Personality) {
        let timeout = attr.timeout.filter(|code| *code > 0);
        self.config = Config {
            // IBTA 9.7.6.1.3: 4.096 µs · 2^code.
            timeout: timeout.map(|code| Duration::from_nanos(4096 << code)),
            timeout_growth: policy.timeout_growth.clamp(1, 4),
            retry_cnt: attr.retry_cnt.unwrap_or(0),
            rnr_retry: attr.rnr_retry.unwrap_or(0),
            max_rd_atomic: u32::from(attr.max_rd_atomic.unwrap_or(0)),
            read_chunk: policy.read_chunk.clamp(1, PSN_SPACE / 2),
        };
        (self.retries, self.rnr_retries) = (self.config.retry_cnt, self.config.rnr_retry);
    }

    /// The packet sent last, if it asked for an acknowledgement and was not sent before.
    pub(super) fn asked(&self) -> Option<Psn> {
        (self.unasked == 0 && self.next == self.max).then(|| self.next - 1)
    }

    /// True while packets are to be sent again.
    pub(super) fn repeats(&self) -> bool {
        self.next.is_before(self.max)
    }

    pub(super) fn next_psn(&self) -> Psn {
        self.next
    }

    /// Stops or resumes starting messages.
    pub(super) fn drain(&mut self, draining: bool) {
        self.draining = draining;
        if draining {
            self.probe();
        }
    }

    /// No message is under way.
    pub(super) fn is_drained(&self) -> bool {
        self.una == self.max && self.cursor == self.started
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.rnr_wait.or(self.timer)
    }

    pub(super) fn wants_to_send(&self) -> bool {
        self.has_request() || self.owes_echo()
    }

    /// There is a request at the cursor that may begin or go on, if the window allows.
    fn has_request(&self) -> bool {
        self.rnr_wait.is_none() && self.stuck.is_none() && self.cursor < self.sq.end() && !self.is_blocked()
    }

    /// What it has to send is one packet, the last request.
    pub(super) fn has_one_packet(&self, mtu: PathMtu) -> bool {
        let short = |wqe: &SendWqe| wqe.len <= mtu.bytes() as u64 || wqe.op.wants_response();
        self.packet == 0
            && self.cursor + 1 == self.sq.end()
            && self.has_request()
            && self.sq.get(self.cursor).is_some_and(short)
    }

    // --- one packet ------------------------------------------------------------------------------------------

    pub(super) fn emit<T: TraceSink>(
        &mut self,
        conn: &Conn,
        limits: &TxLimits,
        train: &mut Train,
        ctx: &mut Ctx<'_, T>,
    ) -> Step {
        loop {
            if self.has_request() {
                match self.do_local(conn, ctx).and_then(|()| self.begin(conn, ctx)) {
                    Ok(()) if self.window_allows(ctx) => break,
                    Ok(()) => {}
                    Err(status) => {
                        let step = self.cannot_begin(status);
                        if self.stuck.is_some() || step != Step::Idle {
                            return step;
                        }
                        // A probe has put an earlier packet in its place.
                        continue;
                    }
                }
            }
            if !self.echo() {
                return Step::Idle;
            }
        }
        let Some(wqe) = self.sq.get(self.cursor) else { return Step::Idle };
        let plan = Plan::new(wqe, self.packet, self.config.read_chunk, conn, ctx);
        let ack_request = conn.init.qp_type.is_reliable() && self.asks(wqe, &plan, ctx);
        self.transmit(plan, ack_request, conn, limits, train, ctx)
    }

    /// Adds the packet of the request at the cursor that was planned, if it fits.
    #[inline]
    pub(super) fn transmit<T: TraceSink>(
        &mut self,
        plan: Plan,
        ack_request: bool,
        conn: &Conn,
        limits: &TxLimits,
        train: &mut Train,
        ctx: &mut Ctx<'_, T>,
    ) -> Step {
        let Some(wqe) = self.sq.get(self.cursor) else { return Step::Idle };
        if !train.takes(packet_len(plan.opcode(), plan.payload), limits) {
            return Step::Full;
        }
        let again = self.next.is_before(self.max);
        let mut headers = plan.headers;
        headers.bth.psn = self.next;
        headers.bth.ack_request = ack_request;
        headers.bth.solicited =
            plan.ends && wqe.op.consumes_receive() && wqe.flags.contains(SendFlags::SOLICITED);
        let (offset, seq) = (plan.offset, self.cursor);
        let filled = train.push(headers, plan.payload, limits, |out| {
            if out.is_empty() {
                return Ok(());
            }
            if wqe.inline {
                let data = self.sq.inline(seq);
                out.copy_from_slice(&data[offset as usize..][..out.len()]);
                return Ok(());
            }
            ctx.memory.gather(conn.init.pd, self.sq.sges(seq), offset, out)
        });
        if filled.is_err() {
            // Deregistered after the message began. The peer will not see its end.
            return self.cannot_begin(WcStatus::LocProtErr);
        }
        ctx.counters.sent_pkts += 1;
        ctx.counters.sent_bytes += packet_len(plan.opcode(), plan.payload) as u64;
        ctx.counters.retransmitted_pkts += u64::from(again);
        let (psn, len) = (self.next, plan.payload as u32);
        ctx.trace(|| TraceEvent::Sent {
            qp: conn.qpn,
            opcode: plan.opcode(),
            psn,
            len,
            ack_request,
            syndrome: None,
            again,
        });
        self.sent(&plan, ack_request, ctx.now);
        Step::Sent
    }

    /// Where nothing is acknowledged, what was sent is over.
    pub(super) fn release<T: TraceSink>(&mut self, conn: &Conn, ctx: &mut Ctx<'_, T>) {
        (self.una, self.unasked) = (self.next, 0);
        while self.sq.front() < self.cursor {
            self.complete_front(conn, WcStatus::Success.into(), ctx);
        }
    }

    /// Moves on behind a packet that was sent.
    fn sent(&mut self, plan: &Plan, ack_request: bool, now: Time) {
        self.unasked = if ack_request { 0 } else { self.unasked + plan.psns };
        self.ask = false;
        self.next = self.next + plan.psns;
        if self.next.is_after(self.max) {
            self.max = self.next;
        }
        if plan.wants_response && self.next.is_after(self.una) {
            self.responses_due += 1;
        }
        if plan.ends {
            (self.cursor, self.packet) = (self.cursor + 1, 0);
            // Local requests behind a packet that is sent again were executed when it was sent first.
            while self.sq.get(self.cursor).is_some_and(|wqe| wqe.started && wqe.op.is_local()) {
                self.cursor += 1;
            }
        } else {
            self.packet += plan.psns;
        }
        if self.repair.is_under_way() {
            self.step_over();
        }
        if self.timer.is_none() {
            self.timer = self.config.timeout.map(|timeout| now + timeout);
        }
    }

    /// Executes the requests at the cursor that need no packet, and steps over those that were executed.
    fn do_local<T: TraceSink>(&mut self, conn: &Conn, ctx: &mut Ctx<'_, T>) -> Result<(), WcStatus> {
        while let Some(wqe) = self.sq.get(self.cursor).filter(|wqe| wqe.op.is_local()) {
            if !wqe.started {
                if self.is_blocked() {
                    break;
                }
                ctx.change_keys(wqe.op, conn.accessor())?;
                let first = self.next;
                if let Some(wqe) = self.sq.get_mut(self.cursor) {
                    (wqe.started, wqe.first) = (true, first);
                }
                self.started += 1;
            }
            self.cursor += 1;
            // Before the next is looked at: it may have to wait for this one.
            self.complete_local(conn, ctx);
        }
        Ok(())
    }

    /// Gives the request at the cursor its PSNs, if it has none yet, after checking that it can be carried out.
    pub(super) fn begin<T: TraceSink>(&mut self, conn: &Conn, ctx: &mut Ctx<'_, T>) -> Result<(), WcStatus> {
        if self.cursor < self.started || self.is_blocked() {
            return Ok(());
        }
        let Some(wqe) = self.sq.get(self.cursor) else { return Ok(()) };
        if !conn.init.qp_type.offers(&wqe.op) {
            return Err(WcStatus::LocQpOpErr);
        }
        if wqe.len > conn.longest_message() || wqe.op.has_wrong_length(wqe.len) {
            return Err(WcStatus::LocLenErr);
        }
        if !wqe.inline {
            let need = if wqe.op.fetches() { Access::LOCAL_WRITE } else { Access::empty() };
            let list = self.sq.sges(self.cursor);
            ctx.memory.check(conn.init.pd, need, list).map_err(|_| WcStatus::LocProtErr)?;
        }
        let psns = if wqe.op.is_atomic() { 1 } else { conn.mtu.packets_for(wqe.len) };
        let first = self.next;
        if let Some(wqe) = self.sq.get_mut(self.cursor) {
            (wqe.started, wqe.first, wqe.psns) = (true, first, psns);
        }
        self.started += 1;
        Ok(())
    }

    /// The request at the cursor fails as soon as it is the oldest.
    pub(super) fn cannot_begin(&mut self, status: WcStatus) -> Step {
        self.stuck = Some(status);
        if let Some(failure) = self.take_stuck() {
            return Step::Failed(failure);
        }
        self.probe();
        Step::Idle
    }

    /// The failure of a request that could not be carried out, once all before it are done.
    pub(super) fn take_stuck(&mut self) -> Option<Failure> {
        if self.cursor == self.sq.front() { self.stuck.take().map(Failure::from) } else { None }
    }

    /// Makes sure that what is in flight will be acknowledged although nothing follows it: if the last packet
    /// did not ask, it is sent again, asking.
    fn probe(&mut self) {
        if self.unasked == 0 || self.una == self.max || self.next != self.max || self.packet > 0 {
            return;
        }
        self.seek(self.max - 1);
        self.ask = true;
    }

    // --- when ------------------------------------------------------------------------------------------------

    /// A new message cannot be started now.
    fn is_blocked(&self) -> bool {
        if self.cursor < self.started || self.packet > 0 {
            return false;
        }
        let Some(wqe) = self.sq.get(self.cursor) else { return true };
        // Whatever uses the key that LOCAL_INV takes away must be over.
        let must_be_first = matches!(wqe.op, SendOp::LocalInv(_));
        self.draining
            || (wqe.flags.contains(SendFlags::FENCE) && self.responses_due > 0)
            || (must_be_first && self.cursor != self.sq.front())
    }

    /// The request at the cursor is under way, and may send a packet.
    fn window_allows<T>(&self, ctx: &Ctx<'_, T>) -> bool {
        let Some(wqe) = self.sq.get(self.cursor).filter(|wqe| wqe.started) else { return false };
        let outstanding = self.next.distance(self.una).max(0) as u32;
        if wqe.op.wants_response() && self.responses_due >= self.config.max_rd_atomic {
            return false;
        }
        outstanding < self.window(ctx)
    }

    /// The peer gets on with what it was sent.
    pub(super) fn grow(&mut self) {
        if self.allowance < self.bearable {
            self.allowance = self.allowance.saturating_mul(2).min(self.bearable);
        } else if !self.una.is_before(self.grow_at) {
            self.allowance = self.allowance.saturating_add(CAREFUL_GROWTH);
            self.grow_at = self.max;
        }
    }

    /// PSNs that may be outstanding now.
    fn window<T>(&self, ctx: &Ctx<'_, T>) -> u32 {
        ctx.policy.window.min(self.allowance).min(PSN_SPACE / 2)
    }

    /// Whether this packet sets the AckReq bit.
    fn asks<T>(&self, wqe: &SendWqe, plan: &Plan, ctx: &Ctx<'_, T>) -> bool {
        // Long messages ask on their way too: the timer must see that the peer is at work. While nothing gets on every
        // packet asks: if it had to arrive together with a later one that asks, tries would be used up sooner.
        let stalled = self.retries < self.config.retry_cnt || (self.repair.is_under_way() && self.repeats());
        if plan.wants_response || self.ask || stalled || self.unasked + 1 >= self.window(ctx) / 8 {
            return true;
        }
        if !plan.ends {
            return false;
        }
        match ctx.policy.ack_requests {
            AckRequests::EveryMessage => true,
            AckRequests::Sparse { packets } => {
                self.next.is_before(self.max)
                    || wqe.flags.contains(SendFlags::SIGNALED)
                    || self.unasked + 1 >= packets
                    || !self.follows_at_once(self.cursor + 1)
            }
        }
    }

    /// Whether request `seq` can be sent right behind its predecessor, so that its acknowledgement serves both.
    fn follows_at_once(&self, seq: u64) -> bool {
        let Some(wqe) = self.sq.get(seq) else { return false };
        let sends_data = !wqe.op.wants_response() && !wqe.op.is_local();
        sends_data && !self.draining && !wqe.flags.contains(SendFlags::FENCE)
    }

    // --- going back --------------------------------------------------------------------------------------------

    /// Goes back because the timer ran out.
    pub(super) fn start_over<T: TraceSink>(&mut self, conn: &Conn, ctx: &mut Ctx<'_, T>) {
        self.bearable = (self.max.distance(self.una).unsigned_abs() / 2).max(AFTER_TIMEOUT);
        self.grow_at = self.max;
        self.allowance = AFTER_TIMEOUT;
        self.go_back(conn, LossCause::Timeout, ctx);
    }

    /// Goes back after a loss. The packet at `una` is what is missing.
    pub(super) fn go_back<T: TraceSink>(&mut self, conn: &Conn, cause: LossCause, ctx: &mut Ctx<'_, T>) {
        let Some(wqe) = self.sq.get(self.sq.front()) else { return };
        let loss = Loss { cause, unacked: self.una, message: wqe.first };
        let resume = ctx.policy.recovery.resume(&loss);
        let inside = !resume.is_before(loss.message) && !resume.is_after(loss.unacked);
        let resume = if inside { resume } else { loss.unacked };
        self.seek(resume);
        self.begin_round(cause, ctx);
        let retries_left = self.retries;
        ctx.trace(|| TraceEvent::GoBack { qp: conn.qpn, cause, unacked: loss.unacked, resume, retries_left });
    }

    /// Makes `psn`, which was sent before, the next to be sent.
    pub(super) fn seek(&mut self, psn: Psn) {
        // Requests are in PSN order; those not started come last.
        self.cursor = self.sq.partition_point(|wqe| wqe.is_before(psn));
        self.packet = match self.sq.get(self.cursor) {
            Some(wqe) if wqe.started => psn.distance(wqe.first).max(0) as u32,
            _ => 0,
        };
        self.next = psn;
        self.stuck = None;
        self.recount();
    }

    /// Counts the READ and atomic requests between `una` and `next`.
    fn recount(&mut self) {
        let mut due = 0;
        for seq in self.sq.front()..=self.cursor {
            let Some(wqe) = self.sq.get(seq).filter(|wqe| wqe.psns > 0 && wqe.op.wants_response()) else {
                continue;
            };
            let inside = |psn: Psn| psn.distance(wqe.first).clamp(0, wqe.psns as i32) as u32;
            due += wqe.requests_between(inside(self.una), inside(self.next), self.config.read_chunk);
        }
        self.responses_due = due;
    }
}
