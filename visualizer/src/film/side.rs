//! One queue pair in a scene.

use std::collections::VecDeque;

use ferroce_engine::{LossCause, Psn, QpState, Qpn, Time, TraceEvent, Wc, WcStatus};
use ferroce_wire::{Opcode, Operation, Position};

/// Completions and state changes that are kept.
const KEPT: usize = 16;
/// Requests that a queue shows at most.
pub(super) const SHOWN: usize = 1 << 12;

/// What there is to see of a queue pair.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QpScene {
    /// Its number.
    pub qpn: Qpn,
    /// Its state; RESET until something is heard of it.
    pub state: QpState,
    /// How it came there: the latest changes.
    pub path: VecDeque<(Time, QpState, QpState)>,
    /// Send requests, oldest first.
    pub sends: VecDeque<SendScene>,
    /// Receives, oldest first: the caller's numbers.
    pub receives: VecDeque<u64>,
    /// The latest completions.
    pub completions: VecDeque<(Time, Wc)>,
    /// The oldest PSN that is not acknowledged.
    pub unacked: Option<Psn>,
    /// The PSN after the latest one sent.
    pub next: Option<Psn>,
    /// The PSN after the highest one ever sent.
    pub highest: Option<Psn>,
    /// The PSN that its responder expects.
    pub expected: Option<Psn>,
    /// What its responder found instead, while it waits for that.
    pub gap: Option<Psn>,
    /// Why it went back last, and the retries that were left then.
    pub went_back: Option<(LossCause, u8)>,
    /// Until when it waits for the peer's receive.
    pub waits: Option<Time>,
    /// Since when it waits for an acknowledgement; its timer began then.
    pub awaits: Option<Time>,
    /// Requests completed well, in error, and flushed.
    pub ended: [u64; 3],
    /// PSNs from `unacked` on that were sent more than once.
    pub again: VecDeque<Psn>,
}

/// A send request in its queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendScene {
    /// The caller's number.
    pub wr_id: u64,
    /// The opcode of its first packet, once that was sent.
    pub opcode: Option<Opcode>,
    /// Its first and its last PSN, as far as they were sent.
    pub psns: Option<(Psn, Psn)>,
    /// All of its packets were sent.
    pub sent: bool,
    /// Bytes of payload sent.
    pub len: u64,
}

impl QpScene {
    /// Takes in something that its device did.
    pub(super) fn play(&mut self, now: Time, event: &TraceEvent) {
        match event {
            TraceEvent::PostSend { wr_id, .. } if self.sends.len() < SHOWN => {
                self.sends.push_back(SendScene { wr_id: *wr_id, ..SendScene::default() });
            }
            TraceEvent::PostRecv { wr_id, .. } if self.receives.len() < SHOWN => {
                self.receives.push_back(*wr_id)
            }
            TraceEvent::Sent { opcode, psn, len, again, .. } if opcode.is_request() => {
                self.sent(*opcode, *psn, u64::from(*len), *again);
                self.awaits.get_or_insert(now);
            }
            TraceEvent::Received { opcode, psn, .. } if opcode.is_request() => self.received(*opcode, *psn),
            TraceEvent::Gap { expected, got, .. } => {
                self.expected = Some(*expected);
                self.gap = Some(*got);
            }
            TraceEvent::Acknowledged { unacked, .. } => {
                self.unacked = Some(*unacked);
                self.waits = None;
                let open = self.highest.is_some_and(|highest| unacked.is_before(highest));
                self.awaits = open.then_some(now);
                self.again.retain(|psn| !psn.is_before(*unacked));
            }
            TraceEvent::GoBack { cause, resume, retries_left, .. } => {
                self.next = Some(*resume);
                self.went_back = Some((*cause, *retries_left));
                (self.waits, self.awaits) = (None, Some(now));
            }
            TraceEvent::RnrWait { until, .. } => (self.waits, self.awaits) = (Some(*until), None),
            TraceEvent::Completed { wc, .. } => self.completed(now, wc),
            TraceEvent::State { from, to, .. } => {
                if *to == QpState::Reset {
                    *self =
                        QpScene { qpn: self.qpn, path: std::mem::take(&mut self.path), ..QpScene::default() };
                }
                if *to == QpState::Err {
                    (self.waits, self.awaits) = (None, None);
                }
                self.state = *to;
                keep(&mut self.path, (now, *from, *to));
            }
            _ => {}
        }
    }

    fn sent(&mut self, opcode: Opcode, psn: Psn, len: u64, again: bool) {
        self.next = Some(psn.next());
        self.unacked = self.unacked.or(Some(psn));
        if again {
            if !self.again.contains(&psn) && self.again.len() < SHOWN {
                self.again.push_back(psn);
            }
            return;
        }
        self.highest = Some(psn.next());
        let begins = matches!(opcode.position(), Position::First | Position::Only);
        let of = |send: &&mut SendScene| {
            if begins { send.opcode.is_none() } else { send.opcode.is_some() && !send.sent }
        };
        let Some(send) = self.sends.iter_mut().find(of) else { return };
        send.opcode = send.opcode.or(Some(opcode));
        send.psns = Some((send.psns.map_or(psn, |(first, _)| first), psn));
        send.sent = matches!(opcode.position(), Position::Last | Position::Only);
        send.len += len;
    }

    fn received(&mut self, opcode: Opcode, psn: Psn) {
        if self.expected.is_some_and(|expected| expected != psn) {
            return;
        }
        self.gap = None;
        // A READ takes as many PSNs as its response has packets.
        let one = opcode.operation() != Operation::ReadRequest;
        self.expected = one.then(|| psn.next());
    }

    fn completed(&mut self, now: Time, wc: &Wc) {
        let outcome = match wc.status {
            WcStatus::Success => 0,
            WcStatus::WrFlushErr => 2,
            _ => 1,
        };
        self.ended[outcome] += 1;
        keep(&mut self.completions, (now, *wc));
        let receive = is_receive(wc);
        let among_sends = self.sends.iter().position(|send| send.wr_id == wc.wr_id).filter(|_| !receive);
        match among_sends {
            Some(at) => drop(self.sends.drain(..=at)),
            None => {
                if let Some(at) = self.receives.iter().position(|wr_id| *wr_id == wc.wr_id) {
                    self.receives.drain(..=at);
                }
            }
        }
    }
}

/// Whether a completion is one of a receive. The opcode of one in error means nothing.
pub(super) fn is_receive(wc: &Wc) -> bool {
    /// The first of the opcodes of receives in `enum ibv_wc_opcode`.
    const RECEIVES: u32 = 128;
    wc.status == WcStatus::Success && wc.opcode as u32 >= RECEIVES
}

/// Adds to what is kept, and lets the oldest go.
pub(super) fn keep<T>(kept: &mut VecDeque<T>, new: T) {
    if kept.len() == KEPT {
        kept.pop_front();
    }
    kept.push_back(new);
}
