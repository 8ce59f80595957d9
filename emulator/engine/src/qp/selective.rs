//! Selective repeat: after a loss only what is missing is sent again, in the manner of IRN (Mittal and others,
//! "Revisiting Network Support for RDMA", SIGCOMM 2018).
//!
//! ```text
//!     requester                          responder
//!       PSN 10 ──────────────────────────▶  executed
//!       PSN 11 ───────────✗
//!       PSN 12 ──────────────────────────▶  early: kept
//!              ◀────────────────────────── NAK 11, and 12 has arrived
//!       PSN 13 ──────────────────────────▶  early: kept
//!              ◀────────────────────────── ACK 10, and 13 has arrived
//!       PSN 11 ──────────────────────────▶  executed, and 12 and 13 behind it
//!              ◀────────────────────────── ACK 13
//! ```
//!
//! 1. The responder keeps packets that come early ([`Early`]) and executes them when their turn comes. (IRN writes
//!    their data to memory at once. Kept apart they change nothing about order, checks and completions.)
//! 2. It tells of each: an acknowledgement of what came before the gap says with the seven reserved bits beside AckReq
//!    how far behind its PSN the other packet is. Who does not know these bits sees one NAK, some ACKs that tell
//!    nothing new, and goes back.
//! 3. The requester ([`Repair`]) takes a packet for lost when a later one has arrived, and sends it again.
//! 4. When a packet arrives that was first sent after the repair of the oldest, that repair was lost as well. Where no
//!    new packet can follow, one that has arrived is sent once more, as an echo to be heard of again.
//! 5. Silence says nothing about single packets: after a timeout all are repeated that are not known to be there.
//!
//! What a READ fetches is asked for again from the first byte that is missing.

use std::collections::VecDeque;

use ferroce_wire::{Bth, Headers, Packet, Psn};

use super::attr::QpAttr;
use super::requester::Requester;
use super::responder::{Fatal, Responder};
use super::{Conn, Ctx, Failure};
use crate::policy::{Loss, LossCause, Recovery};
use crate::trace::{TraceEvent, TraceSink};

/// Packets behind a gap that seven bits can tell of, beside an ACK of what comes before the gap.
const FARTHEST: u32 = 126;

/// Repeats only what is missing, with peers that do the same. With others it resumes at the first packet that is
/// missing, as [`GoBackN`](crate::GoBackN) does.
#[derive(Clone, Copy, Debug)]
pub struct SelectiveRepeat {
    /// Packets behind a gap that a responder keeps, at most 126. They should be as many as can be under way on the
    /// path, and a requester's window no larger: what comes from farther ahead is dropped.
    pub keeps: u32,
}

impl Default for SelectiveRepeat {
    fn default() -> SelectiveRepeat {
        SelectiveRepeat { keeps: FARTHEST }
    }
}

impl Recovery for SelectiveRepeat {
    fn resume(&self, loss: &Loss) -> Psn {
        loss.unacked
    }

    fn keeps(&self) -> u32 {
        self.keeps.min(FARTHEST)
    }

    fn boxed_clone(&self) -> Box<dyn Recovery> {
        Box::new(*self)
    }
}

// --- the responder ---------------------------------------------------------------------------------------------------

/// Packets that came too early.
#[derive(Clone, Debug, Default)]
pub(super) struct Early {
    /// In PSN order.
    packets: Vec<Kept>,
    /// Which of them the requester was not told of yet.
    news: VecDeque<Psn>,
}

/// A packet to be executed later.
#[derive(Clone, Debug)]
struct Kept {
    headers: Headers,
    payload: Box<[u8]>,
}

impl Kept {
    fn psn(&self) -> Psn {
        self.headers.bth.psn
    }

    /// As it came, except for what was checked already.
    fn packet(&self) -> Packet<'_> {
        Packet { headers: self.headers, payload: &self.payload, padding: [0; 3], icrc: 0 }
    }
}

impl Early {
    pub(super) fn clear(&mut self) {
        self.packets.clear();
        self.news.clear();
    }

    fn keep(&mut self, packet: &Packet<'_>) {
        let psn = packet.headers.bth.psn;
        let place = self.packets.partition_point(|kept| kept.psn().is_before(psn));
        if self.packets.get(place).is_none_or(|kept| kept.psn() != psn) {
            self.packets.insert(place, Kept { headers: packet.headers, payload: packet.payload.into() });
        }
        // One that comes twice is news too: what was told of it the first time may be lost.
        if self.news.len() < FARTHEST as usize {
            self.news.push_back(psn);
        }
    }

    /// The packet that is expected, if it is there.
    fn take(&mut self, expected: Psn) -> Option<Kept> {
        let passed = self.packets.partition_point(|kept| kept.psn().is_before(expected));
        self.packets.drain(..passed);
        let found = self.packets.first().is_some_and(|kept| kept.psn() == expected);
        found.then(|| self.packets.remove(0))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    pub(super) fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// What an answer with this PSN can tell of: how far behind it a packet has arrived, or 0.
    pub(super) fn tell(&mut self, psn: Psn, expected: Psn) -> u8 {
        while self.news.front().is_some_and(|news| news.is_before(expected)) {
            self.news.pop_front();
        }
        self.news.front().and_then(|news| u8::try_from(news.distance(psn)).ok()).unwrap_or(0)
    }

    /// That was told.
    pub(super) fn told(&mut self) {
        self.news.pop_front();
    }
}

impl Responder {
    /// A packet that comes `ahead` packets too early.
    pub(super) fn receive_early<T: TraceSink>(
        &mut self,
        conn: &Conn,
        packet: &Packet<'_>,
        ahead: u32,
        ctx: &mut Ctx<'_, T>,
    ) {
        let (qp, psn) = (conn.qpn, packet.headers.bth.psn);
        self.gap(conn, psn, ctx);
        if ahead <= ctx.policy.recovery.keeps() {
            ctx.counters.kept_early += 1;
            ctx.trace(|| TraceEvent::Kept { qp, psn });
            self.early.keep(packet);
        }
    }

    /// The packet that was missing has come: executes those behind it, up to the next gap, and says how far it got.
    pub(super) fn catch_up<T: TraceSink>(
        &mut self,
        conn: &Conn,
        attr: &QpAttr,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<(), Fatal> {
        let before = self.expected;
        while let Some(kept) = self.early.take(self.expected) {
            self.receive_expected(conn, attr, &kept.packet(), ctx)?;
        }
        // A READ is answered by its data.
        if self.expected != before && !self.ends_with_a_resource() && !ctx.overflowed {
            self.acknowledge(self.expected - 1, ctx);
        }
        if let Some(next) = self.early.packets.first().map(Kept::psn)
            && self.nak.is_none()
        {
            self.early.news.push_front(next);
            self.report_gap(ctx);
        }
        Ok(())
    }
}

// --- the requester ---------------------------------------------------------------------------------------------------

/// What a requester knows about packets behind the oldest that is not acknowledged, and does about the missing ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Repair {
    /// Bit i is set when packet `base + i` has arrived.
    arrived: u128,
    base: Psn,
    /// Everything before is executed, though READs and atomics among it may not be answered.
    executed: Option<Psn>,
    round: Option<Round>,
    /// The oldest packet when an echo was last sent. There is one for each gap: where packets overtake each other, echoes
    /// would bring about repairs without end.
    echoed: Option<Psn>,
}

/// The missing packets are sent again, once each.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// Packets from here on are not known to be missing.
    until: Psn,
    /// The first packet that had not been sent when the round began.
    fresh: Psn,
    /// It is there, and was sent once more behind the missing ones.
    echo: Option<Psn>,
}

impl Repair {
    pub(super) fn reset(&mut self) {
        *self = Repair::default();
    }

    /// Packets before `una` are no longer of interest.
    pub(super) fn advance(&mut self, una: Psn) {
        let passed = una.distance(self.base);
        if passed != 0 {
            self.arrived = u32::try_from(passed).ok().and_then(|n| self.arrived.checked_shr(n)).unwrap_or(0);
            self.base = una;
        }
        self.executed = self.executed.filter(|executed| executed.is_after(una));
        self.round = self.round.filter(|round| round.fresh.is_after(una));
    }

    fn place(&self, psn: Psn) -> Option<u32> {
        u32::try_from(psn.distance(self.base)).ok().filter(|place| *place < u128::BITS)
    }

    fn note(&mut self, psn: Psn) {
        let known = self.has(psn);
        match &mut self.round {
            // What arrived now was sent behind the missing ones.
            Some(round) if known && round.echo == Some(psn) => round.fresh = psn,
            _ => {}
        }
        if let Some(place) = self.place(psn) {
            self.arrived |= 1 << place;
        }
    }

    fn has(&self, psn: Psn) -> bool {
        self.place(psn).is_some_and(|place| self.arrived >> place & 1 == 1)
    }

    /// Behind the last packet that is known to have arrived.
    fn end(&self) -> Option<Psn> {
        (self.arrived != 0).then(|| self.base + (u128::BITS - self.arrived.leading_zeros()))
    }

    /// Packets are being sent again of which the peer keeps some.
    pub(super) fn is_under_way(&self) -> bool {
        self.round.is_some()
    }

    /// Whether this packet has been, or is about to be, sent again because it was missing.
    pub(super) fn covers(&self, psn: Psn) -> bool {
        self.arrived != 0 && self.round.is_some_and(|round| psn.is_before(round.until))
    }
}

impl Requester {
    /// The packet that a response tells of beside what it acknowledges, if it is one that is waited for.
    pub(super) fn note_arrival<T>(&mut self, bth: &Bth, ctx: &Ctx<'_, T>) -> Option<Psn> {
        let psn = bth.psn + u32::from(bth.resv7);
        let means_something = bth.resv7 > 0 && ctx.policy.recovery.keeps() > 0;
        if !means_something || !psn.is_after(self.una) || !psn.is_before(self.max) || self.is_inside(psn) {
            return None;
        }
        self.repair.advance(self.una);
        self.repair.note(psn);
        Some(psn)
    }

    /// No request packet was sent with this PSN: it is of a response to a READ.
    fn is_inside(&self, psn: Psn) -> bool {
        let seq = self.sq.partition_point(|wqe| wqe.is_before(psn));
        let Some(wqe) = self.sq.get(seq).filter(|wqe| wqe.is_read()) else { return false };
        !psn.distance(wqe.first).unsigned_abs().is_multiple_of(self.config.read_chunk)
    }

    /// The peer has executed everything before `psn`.
    pub(super) fn note_executed<T>(&mut self, psn: Psn, ctx: &Ctx<'_, T>) {
        let news = self.repair.executed.is_none_or(|executed| executed.is_before(psn));
        if news && ctx.policy.recovery.keeps() > 0 {
            self.repair.executed = Some(psn);
        }
    }

    /// A packet behind the oldest has arrived: what is between them and was not sent again yet is missing.
    pub(super) fn mend<T: TraceSink>(
        &mut self,
        conn: &Conn,
        arrived: Psn,
        ctx: &mut Ctx<'_, T>,
    ) -> Result<(), Failure> {
        if self.rnr_wait.is_some() || !arrived.is_after(self.una) {
            return Ok(());
        }
        match &mut self.repair.round {
            None => return self.gap_reported(conn, LossCause::SequenceNak, self.una, ctx),
            // No try is used up, and the timer runs on: a peer that tells of arrivals is alive.
            Some(round) if !arrived.is_before(round.fresh) => {
                self.go_back(conn, LossCause::SequenceNak, ctx);
            }
            Some(round) if arrived.is_after(round.until) => {
                let from = if round.until.is_before(self.una) { self.una } else { round.until };
                round.until = arrived;
                if self.next == self.max {
                    self.seek(from);
                    self.step_over();
                    if self.next != self.max
                        && let Some(round) = &mut self.repair.round
                    {
                        round.echo = None;
                    }
                }
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Packets from `una` on are sent again, and it is settled which.
    pub(super) fn begin_round<T>(&mut self, cause: LossCause, ctx: &Ctx<'_, T>) {
        if ctx.policy.recovery.keeps() == 0 {
            return;
        }
        self.repair.advance(self.una);
        if cause == LossCause::ImpliedNak {
            self.spare_executed();
        }
        let known = [self.repair.end(), self.repair.executed].into_iter().flatten();
        let known = known.max_by_key(|psn| psn.distance(self.una));
        let until = match cause {
            LossCause::SequenceNak | LossCause::ImpliedNak => known.unwrap_or(self.max),
            LossCause::ReceiverNotReady | LossCause::Timeout => self.max,
        };
        // Of what is executed already nothing more is told.
        let echo = (cause != LossCause::SequenceNak).then_some(self.una);
        self.repair.round = Some(Round { until, fresh: self.max, echo });
    }

    /// Of requests that are executed only those are sent again whose answers are missing.
    fn spare_executed(&mut self) {
        let Some(executed) = self.repair.executed else { return };
        for place in 1..u128::BITS {
            let psn = self.una + place;
            if !psn.is_before(executed) {
                return;
            }
            let seq = self.sq.partition_point(|wqe| wqe.is_before(psn));
            if self.sq.get(seq).is_some_and(|wqe| !wqe.op.wants_response()) {
                self.repair.note(psn);
            }
        }
    }

    /// Leaves out what need not be sent again.
    pub(super) fn step_over(&mut self) {
        let Some(round) = self.repair.round else { return };
        self.repair.advance(self.una);
        while self.next.is_before(self.max) {
            if !self.next.is_before(round.until) {
                return self.seek(self.max);
            }
            if !self.repair.has(self.next) {
                return;
            }
            let chunk = self.config.read_chunk;
            let psns = self.sq.get(self.cursor).map_or(1, |wqe| wqe.psns_at(self.packet, chunk));
            self.seek(self.next + psns);
        }
    }

    /// The missing packets were sent again, and behind them no new one: then one that is there is to be sent once more,
    /// since its second arrival tells whether they arrived before it.
    pub(super) fn owes_echo(&self) -> bool {
        let is_due = self.repair.round.is_some_and(|round| round.echo.is_none())
            && self.repair.arrived != 0
            && self.repair.echoed != Some(self.una);
        is_due && self.next == self.max && self.rnr_wait.is_none() && self.stuck.is_none()
    }

    /// Makes that packet the next. False if none is owed.
    pub(super) fn echo(&mut self) -> bool {
        let last = self.repair.end().filter(|_| self.owes_echo()).map(|end| end - 1);
        let (Some(last), Some(round)) = (last, &mut self.repair.round) else { return false };
        round.echo = Some(last);
        self.repair.echoed = Some(self.una);
        self.seek(last);
        true
    }

    /// A READ or atomic was answered: what was executed behind it need not be acknowledged again.
    pub(super) fn catch_up<T: TraceSink>(&mut self, conn: &Conn, ctx: &mut Ctx<'_, T>) {
        if let Some(executed) = self.repair.executed {
            self.advance(conn, executed, ctx);
        }
    }
}
