//! The requests of one queue pair and the answers to them, followed packet by packet.
//!
//! The PSNs of requests tell what was lost, came late or was sent again. A READ takes as many PSNs as its
//! response has packets, so the path MTU must be known to say where the next request belongs; until it is,
//! nothing is called a gap. ACKs cover everything before them, so a missing ACK is nothing to speak of.

use ferroce_wire::{NakCode, Operation, PathMtu, Position, Psn, Service, Syndrome};

use super::detail::{Cause, Detail, Fate};
use super::finding::{DraftId, Findings};
use super::message::Assembler;
use super::pending::Pending;
use super::rules::Rules;
use super::sighting::Sighting;

/// A step of more PSNs than this is not a loss: nobody has that much in flight.
const RESTART: i32 = 1 << 16;
/// Gaps that are remembered until they are filled.
const MAX_GAPS: usize = 64;
/// Packets that are remembered to recognise copies.
const MAX_RECENT: usize = 32;

/// What a stream needs to know of its connection.
pub(super) struct Context<'a> {
    pub(super) findings: &'a mut Findings,
    /// Connection, and which of its ends is the requester.
    pub(super) about: (usize, usize),
    pub(super) mtu: Option<PathMtu>,
}

/// One direction of requests.
#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) messages: Assembler,
    pub(super) pending: Pending,
    rules: Rules,
    /// A packet is known to be lost before the capture point.
    incomplete: bool,
    /// Request packets, copies excluded.
    pub(super) requests: u64,
    /// Of those, sent again.
    pub(super) resent: u64,
    /// Answers of any kind.
    pub(super) responses: u64,
    /// The PSN of the latest of them.
    pub(super) last_answer: Option<Psn>,
    /// The oldest request seen. What comes from before it was sent, or held up, before the capture saw it.
    origin: Option<Psn>,
    /// The finding that the responder waits for something from before it.
    never_sent: DraftId,
    next: Option<Next>,
    /// PSNs gone through, saturating.
    advanced: u32,
    gaps: Vec<Gap>,
    run: Option<Run>,
    asked: Option<(Psn, Cause)>,
    acked: Option<(Psn, u64)>,
    /// The last packet of those sent again because the answer to it, and no other, was due.
    tail: Option<(Psn, DraftId)>,
    recent: Vec<(Psn, u32, u64)>,
    last_time: u64,
}

/// Where the next new request belongs.
#[derive(Clone, Copy, Debug)]
enum Next {
    At(Psn),
    /// After a READ of so many bytes that began here, while the path MTU is unknown.
    AfterRead(Psn, u64),
}

#[derive(Debug)]
struct Gap {
    from: Psn,
    to: Psn,
    draft: DraftId,
}

/// Packets sent again, one after the other.
#[derive(Debug)]
struct Run {
    draft: DraftId,
    next: Psn,
    cause: Cause,
    /// Packets so far.
    packets: u64,
    /// So far only packets that nobody had seen: they may just have been late.
    doubtful: bool,
}

/// What the PSN of a request says.
enum Place {
    New,
    Skips {
        from: Psn,
    },
    Fills {
        gap: usize,
    },
    /// Older than the oldest.
    Precedes {
        origin: Psn,
    },
    Again,
    Restarts {
        from: Psn,
    },
}

impl Stream {
    /// Follows a request.
    pub(super) fn request(&mut self, s: &Sighting<'_>, cx: &mut Context<'_>) {
        if self.is_copy(s, cx) {
            return;
        }
        self.requests += 1;
        let psn = s.headers.bth.psn;
        match self.place(psn, cx.mtu) {
            Place::New => self.advance(s, true, cx),
            Place::Skips { from } => {
                self.incomplete = true;
                let to = psn - 1;
                let fate = match self.acked {
                    Some((acked, number)) if !acked.is_before(to) => Fate::Acked(number),
                    _ => Fate::Open,
                };
                let draft = cx.findings.add(Some(cx.about), s.number, Detail::Gap { from, to, fate });
                self.remember_gap(Gap { from, to, draft });
                self.advance(s, false, cx);
            }
            Place::Restarts { from } => {
                cx.findings.add(Some(cx.about), s.number, Detail::Restart { from, to: psn });
                let messages = std::mem::take(&mut self.messages);
                let (requests, resent, responses) = (self.requests, self.resent, self.responses);
                *self = Self { messages, requests, resent, responses, ..Self::default() };
                self.messages.restart();
                self.advance(s, false, cx);
            }
            Place::Fills { gap } => {
                self.fill_gap(gap, s, cx);
                self.late(s, cx);
            }
            Place::Precedes { origin } => {
                if let Some(draft) = cx.findings.draft(self.never_sent.take()) {
                    // So it was sent, and lost before the capture saw anything.
                    draft.detail = Detail::Gap { from: psn, to: origin - 1, fate: Fate::Came(s.number) };
                }
                // What lies between may come as well; it is not called missing.
                let after = psn + span(s, cx.mtu).unwrap_or(1);
                if after.is_before(origin) {
                    self.remember_gap(Gap { from: after, to: origin - 1, draft: None });
                }
                self.origin = Some(psn);
                self.late(s, cx);
            }
            Place::Again => {
                if is_reliable(s) {
                    self.sent_again(s, false, cx);
                    self.pending.again(s);
                } else {
                    cx.findings.add(Some(cx.about), s.number, Detail::SeenBefore { psn });
                }
                self.messages.add_again(s);
            }
        }
        self.last_time = s.time;
    }

    /// Follows an answer to these requests.
    pub(super) fn response(&mut self, s: &Sighting<'_>, cx: &mut Context<'_>) {
        self.responses += 1;
        let psn = s.headers.bth.psn;
        self.last_answer = Some(psn);
        let next = match self.next {
            Some(Next::At(next)) => Some(next),
            _ => None,
        };
        self.rules.answer(s, next, cx);
        match s.opcode().operation() {
            Operation::Acknowledge => self.acknowledge(s, cx),
            Operation::AtomicAck => {
                self.rules.atomic(s, cx);
                self.acked_up_to(psn - 1, s, cx);
                self.tail_answered(psn, cx);
                self.pending.answered(psn);
            }
            _ => self.read_response(s, cx),
        }
    }

    /// Whether an answer with this PSN may belong to these requests.
    pub(super) fn expects(&self, psn: Psn, mtu: Option<PathMtu>) -> bool {
        let next = match self.next {
            None => return false,
            Some(Next::At(next)) => next,
            Some(Next::AfterRead(first, len)) => first + mtu.unwrap_or(PathMtu::Mtu256).packets_for(len),
        };
        (1..=self.advanced.min(RESTART as u32) as i32).contains(&next.distance(psn))
    }

    /// Whether the last word of the responder is an RNR NAK.
    pub(super) fn receiver_is_not_ready(&self) -> bool {
        matches!(self.asked, Some((_, Cause::RnrNak(_))))
    }

    fn place(&self, psn: Psn, mtu: Option<PathMtu>) -> Place {
        let next = match (self.next, mtu) {
            (None, _) => return Place::New,
            (Some(Next::At(next)), _) => next,
            (Some(Next::AfterRead(first, len)), Some(mtu)) => first + mtu.packets_for(len),
            // Any path MTU is possible, so the first PSN that can be new is taken for it.
            (Some(Next::AfterRead(first, len)), None) => {
                let earliest = first + PathMtu::Mtu4096.packets_for(len);
                if psn.is_before(earliest) { earliest } else { psn }
            }
        };
        match psn.distance(next) {
            0 => Place::New,
            step if step.abs() > RESTART => Place::Restarts { from: next },
            1.. => Place::Skips { from: next },
            _ => {
                let inside = |gap: &Gap| !psn.is_before(gap.from) && !psn.is_after(gap.to);
                match (self.gaps.iter().position(inside), self.origin) {
                    (Some(gap), _) => Place::Fills { gap },
                    (None, Some(origin)) if psn.is_before(origin) => Place::Precedes { origin },
                    _ => Place::Again,
                }
            }
        }
    }

    /// A request that nobody has seen before, beyond all others.
    fn advance(&mut self, s: &Sighting<'_>, follows: bool, cx: &mut Context<'_>) {
        self.end_run(cx);
        self.rules.request(s, follows, cx);
        let psn = s.headers.bth.psn;
        let next = match span(s, cx.mtu) {
            Some(packets) => Next::At(psn + packets),
            None => Next::AfterRead(psn, read_len(s)),
        };
        let before = match self.next {
            Some(Next::At(before)) => before,
            _ => psn,
        };
        let end = match next {
            Next::At(end) => end,
            Next::AfterRead(first, len) => first + PathMtu::Mtu256.packets_for(len),
        };
        self.advanced = self.advanced.saturating_add(end.distance(before).unsigned_abs());
        self.next = Some(next);
        self.origin = self.origin.or(Some(psn));
        self.messages.add(s);
        self.pending.request(s);
    }

    /// A packet of which another one is byte for byte the same, Identification included. A sender that counts
    /// its Identifications does not repeat one so soon.
    fn is_copy(&mut self, s: &Sighting<'_>, cx: &mut Context<'_>) -> bool {
        let psn = s.headers.bth.psn;
        let recognisable = s.icrc != 0 && s.ident.is_some_and(|ident| ident != 0);
        if !recognisable {
            return false;
        }
        let same = |&&(seen_psn, icrc, _): &&(Psn, u32, u64)| seen_psn == psn && icrc == s.icrc;
        if let Some(&(_, _, of)) = self.recent.iter().find(same) {
            cx.findings.add(Some(cx.about), s.number, Detail::Copy { of, psn });
            return true;
        }
        if self.recent.len() == MAX_RECENT {
            self.recent.remove(0);
        }
        self.recent.push((psn, s.icrc, s.number));
        false
    }

    /// A request that was not seen before, among those that were.
    fn late(&mut self, s: &Sighting<'_>, cx: &mut Context<'_>) {
        if is_reliable(s) {
            self.sent_again(s, true, cx);
            self.pending.request(s);
        } else {
            let psn = s.headers.bth.psn;
            cx.findings.add(Some(cx.about), s.number, Detail::LateArrival { from: psn, to: psn });
        }
        self.messages.add(s);
    }

    /// A request on the way for the second time, or (`unseen`) the first that the capture sees of one.
    fn sent_again(&mut self, s: &Sighting<'_>, unseen: bool, cx: &mut Context<'_>) {
        let psn = s.headers.bth.psn;
        let after = psn + span(s, cx.mtu).unwrap_or(1);
        self.resent += 1;
        if let Some(run) = self.run.as_mut().filter(|run| !psn.is_before(run.next)) {
            run.next = after;
            run.packets += 1;
            run.doubtful &= unseen;
            if let Some(draft) = cx.findings.draft(run.draft) {
                draft.add_packet(s.number);
                match draft.detail {
                    Detail::LateArrival { from, .. } if !run.doubtful => {
                        let cause = run.cause;
                        draft.detail = Detail::Retransmission { from, to: psn, cause, acked_by: None };
                    }
                    Detail::LateArrival { ref mut to, .. } | Detail::Retransmission { ref mut to, .. } => {
                        *to = psn;
                    }
                    _ => {}
                }
            }
            return;
        }
        self.end_run(cx);
        let asked = self.asked.take();
        let waited = matches!(asked, Some((_, Cause::RnrNak(_))));
        if !unseen && !waited {
            let naked = asked.filter(|(_, cause)| matches!(cause, Cause::SequenceNak(_))).map(|(psn, _)| psn);
            let sent = |psn: &Psn| self.origin.is_some_and(|origin| !psn.is_before(origin));
            self.rules.resent(s, naked.filter(sent), !self.incomplete, cx);
        }
        let cause = match asked {
            Some((_, cause)) => cause,
            None => Cause::Silence(s.time.saturating_sub(self.last_time)),
        };
        let acked_by = self.acked.filter(|(acked, number)| {
            let before_cause = cause.packet().is_none_or(|asked_by| *number < asked_by);
            before_cause && !acked.is_before(psn)
        });
        let acked_by = acked_by.map(|(_, number)| number);
        let detail = match asked {
            None if unseen => Detail::LateArrival { from: psn, to: psn },
            _ => Detail::Retransmission { from: psn, to: psn, cause, acked_by },
        };
        let draft = cx.findings.add(Some(cx.about), s.number, detail);
        let silent = matches!(cause, Cause::Silence(_)) && acked_by.is_none() && !unseen;
        self.tail = self.awaited_tail().filter(|_| silent).map(|last| (last, draft));
        self.run = Some(Run { draft, next: after, cause, packets: 1, doubtful: unseen });
    }

    /// The last request that was sent, if an answer is due to this one only.
    fn awaited_tail(&self) -> Option<Psn> {
        let (1, request) = self.pending.unanswered()? else { return None };
        let Some(Next::At(next)) = self.next else { return None };
        (request.len > 0 || request.psn.next() == next).then_some(request.psn)
    }

    /// An answer to this request came.
    fn tail_answered(&mut self, psn: Psn, cx: &mut Context<'_>) {
        let Some((_, draft)) = self.tail.take_if(|(last, _)| !psn.is_before(*last)) else { return };
        if let Some(Detail::Retransmission { cause, .. }) = cx.findings.draft(draft).map(|d| &mut d.detail)
            && let Cause::Silence(nanos) = *cause
        {
            *cause = Cause::Tail(nanos);
        }
    }

    /// Whatever comes next does not continue the packets sent again.
    fn end_run(&mut self, cx: &mut Context<'_>) {
        let Some(run) = self.run.take().filter(|run| run.doubtful) else { return };
        self.resent -= run.packets;
        let Some(draft) = cx.findings.draft(run.draft) else { return };
        if let Detail::Retransmission { from, to, cause, .. } = draft.detail {
            draft.detail = Detail::LateArrival { from, to };
            // So what was asked for is still to come.
            self.asked = self.asked.or(Some((from, cause)));
        }
    }

    fn remember_gap(&mut self, gap: Gap) {
        if self.gaps.len() == MAX_GAPS {
            self.gaps.remove(0);
        }
        self.gaps.push(gap);
    }

    fn fill_gap(&mut self, index: usize, s: &Sighting<'_>, cx: &mut Context<'_>) {
        let psn = s.headers.bth.psn;
        let gap = &mut self.gaps[index];
        if let Some(draft) = cx.findings.draft(gap.draft)
            && let Detail::Gap { fate: fate @ Fate::Open, .. } = &mut draft.detail
        {
            *fate = Fate::Came(s.number);
        }
        let last = psn + (span(s, cx.mtu).unwrap_or(1) - 1);
        let rest = Gap { from: last + 1, to: gap.to, draft: gap.draft };
        gap.to = psn - 1;
        let nothing_before = gap.to.is_before(gap.from);
        if !rest.to.is_before(rest.from) && self.gaps.len() < MAX_GAPS {
            self.gaps.push(rest);
        }
        if nothing_before {
            self.gaps.swap_remove(index);
        }
    }

    fn acknowledge(&mut self, s: &Sighting<'_>, cx: &mut Context<'_>) {
        let (psn, number) = (s.headers.bth.psn, s.number);
        let detail = match s.headers.aeth.map_or(Syndrome::ACK, |aeth| aeth.syndrome) {
            Syndrome::Ack { .. } => return self.acked_up_to(psn, s, cx),
            Syndrome::RnrNak { timer } => {
                self.rules.receiver_not_ready(psn, number, cx);
                self.ask(psn, Cause::RnrNak(number));
                Detail::RnrNak { psn, timer }
            }
            Syndrome::Nak(NakCode::PsnSequence) => {
                self.rules.sequence_nak(psn, number, cx);

                self.ask(psn, Cause::SequenceNak(number));
                Detail::SequenceNak { psn }
            }
            Syndrome::Nak(code) => {
                self.pending.clear();
                Detail::FatalNak { psn, code, target: self.rules.target(psn) }
            }
            Syndrome::Reserved(_) => return,
        };
        let sequence = matches!(detail, Detail::SequenceNak { .. });
        cx.findings.add(Some(cx.about), number, detail);
        if let Some(first) = self.origin.filter(|origin| sequence && psn.is_before(*origin)) {
            let draft = cx.findings.add(Some(cx.about), number, Detail::NeverSent { psn, first });
            self.never_sent = self.never_sent.or(draft);
        }
        self.acked_up_to(psn - 1, s, cx);
    }

    /// The responder wants requests again from here. What was asked for first is done first.
    fn ask(&mut self, psn: Psn, cause: Cause) {
        if self.asked.is_none_or(|(asked, _)| psn.is_before(asked)) {
            self.asked = Some((psn, cause));
        }
    }

    /// Everything up to here arrived.
    fn acked_up_to(&mut self, psn: Psn, s: &Sighting<'_>, cx: &mut Context<'_>) {
        let number = s.number;
        let Some(Next::At(near) | Next::AfterRead(near, _)) = self.next else { return };
        if psn.distance(near).abs() > RESTART {
            return;
        }
        if self.acked.is_none_or(|(acked, _)| psn.is_after(acked)) {
            self.acked = Some((psn, number));
        }
        self.tail_answered(psn, cx);
        if let Some(request) = self.pending.acked_by(psn) {
            self.rules.answered(request, s, cx);
        }
        self.pending.acked_up_to(psn);
        self.gaps.retain(|gap| {
            let covered = !psn.is_before(gap.to);
            if covered
                && let Some(draft) = cx.findings.draft(gap.draft)
                && let Detail::Gap { fate: fate @ Fate::Open, .. } = &mut draft.detail
            {
                *fate = Fate::Acked(number);
            }
            !covered
        });
    }

    fn read_response(&mut self, s: &Sighting<'_>, cx: &mut Context<'_>) {
        let psn = s.headers.bth.psn;
        let Some(read) = self.pending.read_at(psn, cx.mtu) else { return };
        let first = read.psn;
        self.tail_answered(first, cx);
        let Some(read) = self.pending.read_at(psn, cx.mtu) else { return };
        let mut lost = None;
        if psn.is_after(read.next_response) {
            let (from, to) = (read.next_response, psn - 1);
            read.missing = true;
            cx.findings.add(Some(cx.about), s.number, Detail::ReadGap { from, to });
            lost = Some((from, Cause::LostResponse(s.number)));
        }
        if !psn.is_before(read.next_response) {
            read.next_response = psn.next();
        }
        let ends = matches!(s.opcode().position(), Position::Last | Position::Only);
        let complete = ends && (!read.missing || read.sends > 1);
        let whole = (ends && !read.missing && read.sends == 1).then_some((first, read.len));
        if let Some((from, cause)) = lost {
            self.ask(from, cause);
        }
        if let Some(whole) = whole {
            self.rules.read_end(s, whole, cx);
        }
        self.rules.size(s, cx);
        self.acked_up_to(first - 1, s, cx);
        if complete {
            self.pending.answered(first);
        }
    }
}

/// PSNs that a request takes; `None` while a READ's cannot be told.
fn span(s: &Sighting<'_>, mtu: Option<PathMtu>) -> Option<u32> {
    if s.opcode().operation() != Operation::ReadRequest {
        return Some(1);
    }
    let len = read_len(s);
    match mtu {
        Some(mtu) => Some(mtu.packets_for(len)),
        None if len <= PathMtu::Mtu256.bytes() as u64 => Some(1),
        None => None,
    }
}

fn is_reliable(s: &Sighting<'_>) -> bool {
    s.opcode().service() != Service::Uc
}

fn read_len(s: &Sighting<'_>) -> u64 {
    s.headers.reth.map_or(0, |reth| u64::from(reth.len))
}
