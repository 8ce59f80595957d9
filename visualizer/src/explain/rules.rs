//! Rules of the protocol that a sender keeps or breaks whatever the network does.
//!
//! What can come about by a loss before the capture point is no breach, so a rule that a loss would blur is not
//! applied where packets are known to be missing.

use std::collections::VecDeque;

use ferroce_wire::{Operation, PathMtu, Position, Psn, Reth, Service, Syndrome};

use super::detail::{Detail, Target};
use super::finding::DraftId;
use super::pending::Request;
use super::sighting::Sighting;
use super::stream::Context;

/// Requests whose contents are remembered, to say what a refusal was about.
const MAX_TARGETS: usize = 256;
/// Answers to atomics that are remembered, to compare them when they are given again.
const MAX_ATOMICS: usize = 128;
/// Sends of the same packet that make a storm: `rtx.storm` in the table of findings.
const STORM: u32 = 4;
/// RNR NAKs for the same request that make one. The largest finite `rnr_retry` is 6.
const RNR_STORM: u32 = 7;
/// Answers that must have been seen before a slow one can be told from others.
const USUAL: u32 = 8;
/// How much longer than usual an answer takes that is called stalled, and in nanoseconds at least.
const STALLED: (u64, u64) = (20, 4_000_000);

/// What is known of one direction of requests.
#[derive(Debug, Default)]
pub(super) struct Rules {
    message: Under,
    targets: VecDeque<(Psn, Target)>,
    atomics: VecDeque<(Psn, u64)>,
    /// PSN and message sequence number of the latest answer.
    msn: Option<(Psn, Psn)>,
    nak: Option<(Psn, u64)>,
    resent_since_nak: bool,
    rnr: Repeats,
    runs: Repeats,
    delays: (u32, u64),
    ghost: bool,
    mtu_told: [bool; 2],
}

/// Whether a message of several packets is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Under {
    /// A loss hides it.
    #[default]
    Unknown,
    Nothing,
    Send,
    Write,
}

/// How often in a row it was about the same PSN.
#[derive(Debug, Default)]
struct Repeats {
    psn: Option<Psn>,
    count: u32,
    draft: DraftId,
}

impl Repeats {
    fn count(&mut self, psn: Psn) -> u32 {
        if self.psn != Some(psn) {
            *self = Self { psn: Some(psn), ..Self::default() };
        }
        self.count += 1;
        self.count
    }
}

impl Rules {
    /// A request that was not seen before. `follows` is whether none is missing before it.
    pub(super) fn request(&mut self, s: &Sighting<'_>, follows: bool, cx: &mut Context<'_>) {
        self.size(s, cx);
        self.remember(s);
        let family = match s.opcode().operation() {
            Operation::WriteFirst | Operation::WriteMiddle | Operation::WriteLast => Under::Write,
            Operation::WriteLastImm => Under::Write,
            _ => Under::Send,
        };
        let before = if follows { self.message } else { Under::Unknown };
        let (right, after) = match s.opcode().position() {
            Position::First => (before == Under::Nothing, family),
            Position::Middle => (before == family, family),
            Position::Last => (before == family, Under::Nothing),
            Position::Only => (before == Under::Nothing, Under::Nothing),
        };
        if before != Under::Unknown && !right {
            let inside = before != Under::Nothing;
            let detail = Detail::OpcodeOrder { opcode: s.opcode(), psn: s.headers.bth.psn, inside };
            cx.findings.add(Some(cx.about), s.number, detail);
        }
        self.message = after;
    }

    /// The payload of any packet, request or answer.
    pub(super) fn size(&mut self, s: &Sighting<'_>, cx: &mut Context<'_>) {
        let (len, opcode) = (s.payload_len, s.opcode());
        let Some(mtu) = cx.mtu.map(PathMtu::bytes) else {
            if matches!(opcode.position(), Position::First | Position::Middle) {
                self.wrong_size(s, None, cx);
            }
            return;
        };
        if opcode.payload_rule().allows(len, mtu) {
            return;
        }
        // A whole number of another path MTU is not a slip but another opinion.
        let other = matches!(opcode.position(), Position::First | Position::Middle)
            && PathMtu::from_bytes(len).is_some()
            || len > mtu && s.opcode().position() != Position::Last;
        if !other {
            return self.wrong_size(s, Some(mtu), cx);
        }
        let told = &mut self.mtu_told[usize::from(opcode.is_response())];
        if !std::mem::replace(told, true) {
            let responder = opcode.is_response();
            cx.findings.add(Some(cx.about), s.number, Detail::MtuDiffers { len, mtu, responder });
        }
    }

    fn wrong_size(&self, s: &Sighting<'_>, mtu: Option<usize>, cx: &mut Context<'_>) {
        let detail = Detail::WrongSize { opcode: s.opcode(), len: s.payload_len, mtu };
        cx.findings.add(Some(cx.about), s.number, detail);
    }

    /// Packets are sent again from here, because of a NAK that asked for `asked` or for another reason.
    /// `complete` is whether no packet is known to have been lost before the capture point.
    pub(super) fn resent(
        &mut self,
        s: &Sighting<'_>,
        asked: Option<Psn>,
        complete: bool,
        cx: &mut Context<'_>,
    ) {
        let psn = s.headers.bth.psn;
        self.resent_since_nak = true;
        if let Some(asked) = asked.filter(|asked| complete && *asked != psn) {
            cx.findings.add(Some(cx.about), s.number, Detail::BadRestart { psn, asked });
        }
        let sends = self.runs.count(psn) + 1;
        if sends == STORM {
            let detail = Detail::Storm { psn, sends };
            self.runs.draft = cx.findings.add(Some(cx.about), s.number, detail);
        } else if let Some(draft) = cx.findings.draft(self.runs.draft) {
            draft.add_packet(s.number);
            draft.detail = Detail::Storm { psn, sends };
        }
    }

    /// An answer with an AETH, seen when `next` was the first PSN that had never been sent, if that is known.
    pub(super) fn answer(&mut self, s: &Sighting<'_>, next: Option<Psn>, cx: &mut Context<'_>) {
        let (Some(aeth), psn) = (s.headers.aeth, s.headers.bth.psn) else { return };
        if let Some(next) = next.filter(|next| (0..1 << 16).contains(&psn.distance(*next)))
            && !std::mem::replace(&mut self.ghost, true)
        {
            let nak = matches!(aeth.syndrome, Syndrome::Nak(_));
            cx.findings.add(Some(cx.about), s.number, Detail::Ghost { psn, next, nak });
        }
        let msn = Psn::new(aeth.msn);
        let reordered = self.msn.is_some_and(|(latest, _)| !psn.is_after(latest));
        if !reordered {
            if let Some((_, before)) = self.msn.filter(|(_, before)| msn.is_before(*before)) {
                let (from, to) = (before.value(), msn.value());
                cx.findings.add(Some(cx.about), s.number, Detail::MsnBackwards { from, to });
            }
            self.msn = Some((psn, msn));
        }
    }

    /// A sequence NAK.
    pub(super) fn sequence_nak(&mut self, psn: Psn, number: u64, cx: &mut Context<'_>) {
        if let Some((_, first)) = self.nak.filter(|(before, _)| *before == psn && !self.resent_since_nak) {
            cx.findings.add(Some(cx.about), number, Detail::NakAgain { psn, first });
        }
        self.nak = Some((psn, number));
        self.resent_since_nak = false;
    }

    /// An RNR NAK.
    pub(super) fn receiver_not_ready(&mut self, psn: Psn, number: u64, cx: &mut Context<'_>) {
        let times = self.rnr.count(psn);
        if times == RNR_STORM {
            self.rnr.draft = cx.findings.add(Some(cx.about), number, Detail::RnrStorm { psn, times });
        } else if let Some(draft) = cx.findings.draft(self.rnr.draft) {
            draft.add_packet(number);
            draft.detail = Detail::RnrStorm { psn, times };
        }
    }

    /// The answer to an atomic.
    pub(super) fn atomic(&mut self, s: &Sighting<'_>, cx: &mut Context<'_>) {
        let (psn, Some(value)) = (s.headers.bth.psn, s.headers.atomic_ack.map(|ack| ack.original)) else {
            return;
        };
        match self.atomics.iter().find(|(seen, _)| *seen == psn) {
            Some(&(_, first)) if first != value => {
                cx.findings.add(Some(cx.about), s.number, Detail::AtomicDiffers { psn, first, again: value });
            }
            Some(_) => {}
            None => {
                if self.atomics.len() == MAX_ATOMICS {
                    self.atomics.pop_front();
                }
                self.atomics.push_back((psn, value));
            }
        }
    }

    /// The end of the response to a READ that was sent once, no packet of it missing.
    pub(super) fn read_end(&self, s: &Sighting<'_>, read: (Psn, u64), cx: &mut Context<'_>) {
        let ((first, len), Some(mtu)) = (read, cx.mtu) else { return };
        let before = u64::from(s.headers.bth.psn.distance(first).unsigned_abs()) * mtu.bytes() as u64;
        let came = before + s.payload_len as u64;
        if came != len {
            cx.findings.add(Some(cx.about), s.number, Detail::ReadShort { psn: first, asked: len, came });
        }
    }

    /// A request is acknowledged that was sent once.
    pub(super) fn answered(&mut self, request: &Request, s: &Sighting<'_>, cx: &mut Context<'_>) {
        let delay = s.time.saturating_sub(request.time);
        let (count, mean) = self.delays;
        if count >= USUAL && delay > mean * STALLED.0 + STALLED.1 {
            let detail = Detail::Stalled { psn: request.psn, request: request.packet, delay, usual: mean };
            cx.findings.add(Some(cx.about), s.number, detail);
            return;
        }
        let count = count.min(USUAL * 8) + 1;
        self.delays = (count, mean - mean / u64::from(count) + delay / u64::from(count));
    }

    /// What the request with this PSN wanted to do.
    pub(super) fn target(&self, psn: Psn) -> Option<Target> {
        self.targets.iter().rev().find(|(first, _)| !psn.is_before(*first)).map(|(_, target)| *target)
    }

    fn remember(&mut self, s: &Sighting<'_>) {
        if !matches!(s.opcode().position(), Position::First | Position::Only)
            || s.opcode().service() == Service::Uc
        {
            return;
        }
        if self.targets.len() == MAX_TARGETS {
            self.targets.pop_front();
        }
        let atomic = s.headers.atomic.map(|atomic| Reth { va: atomic.va, rkey: atomic.rkey, len: 8 });
        let target = Target { packet: s.number, opcode: s.opcode(), memory: s.headers.reth.or(atomic) };
        self.targets.push_back((s.headers.bth.psn, target));
    }
}
