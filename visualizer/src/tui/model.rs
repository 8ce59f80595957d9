//! All that the panels show.

use std::collections::VecDeque;
use std::net::IpAddr;

use ferroce_engine::{DropReason, LossCause, Psn, Snapshot, Time, TraceEvent, WcStatus};

use super::look::Look;
use super::rung::{Rung, State, short};
use crate::demo::Operation;
use crate::demo::stage::{Fate, News};

/// Packets kept for the ladder: more than any terminal has lines.
const RUNGS: usize = 256;

/// Sentences kept.
const SENTENCES: usize = 64;

/// What there is to see.
#[derive(Clone, Debug)]
pub struct Model {
    /// Characters and colours.
    pub look: Look,
    /// Addresses of the two NICs.
    pub addrs: [IpAddr; 2],
    /// Time on the stage.
    pub now: Time,
    /// Both devices.
    pub snapshots: [Snapshot; 2],
    /// The latest packets, oldest first.
    pub rungs: VecDeque<Rung>,
    /// The latest things worth telling, with the moment, oldest first.
    pub story: VecDeque<(Time, String)>,
    /// Verified messages, in the order of [`Operation::ALL`].
    pub verified: [u64; Operation::ALL.len()],
    /// Bytes of them.
    pub bytes: u64,
    /// What the wire did.
    pub wire: WireCounts,
    /// Real milliseconds that a microsecond on the stage takes.
    pub pace: u32,
    /// Time stands still.
    pub paused: bool,
    /// Faults happen by chance.
    pub chance: bool,
    /// What the next packet with a request will suffer.
    pub wish: Option<Fate>,
    /// The help is shown.
    pub help: bool,
    /// Why it is over.
    pub failure: Option<String>,
    /// The packet that has just arrived, while events say what the receiver makes of it.
    landed: Option<u64>,
    /// The gap that each NIC has reported last: it reports each only once.
    gaps: [Option<Psn>; 2],
}

/// What the wire did to packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireCounts {
    /// Delivered, doubled ones twice.
    pub delivered: u64,
    /// Lost.
    pub lost: u64,
    /// Doubled.
    pub doubled: u64,
    /// Overtaken.
    pub late: u64,
    /// Damaged.
    pub damaged: u64,
}

impl Model {
    /// Before anything has happened.
    pub fn new(look: Look, addrs: [IpAddr; 2], snapshots: [Snapshot; 2]) -> Model {
        Model {
            look,
            addrs,
            now: Time::ZERO,
            snapshots,
            rungs: VecDeque::new(),
            story: VecDeque::new(),
            verified: [0; Operation::ALL.len()],
            bytes: 0,
            wire: WireCounts::default(),
            pace: 0,
            paused: false,
            chance: true,
            wish: None,
            help: false,
            failure: None,
            landed: None,
            gaps: [None; 2],
        }
    }

    /// Verified messages of all kinds.
    pub fn messages(&self) -> u64 {
        self.verified.iter().sum()
    }

    /// Takes in one piece of news. They must come in order.
    pub fn take(&mut self, time: Time, news: &News) {
        match news {
            News::Departed { flight, from, what, copy, ends } => {
                self.landed = None;
                let Some(rung) = Rung::new(*flight, *from, what, time, *ends) else { return };
                if self.rungs.len() == RUNGS {
                    self.rungs.pop_front();
                }
                self.wire.doubled += u64::from(*copy);
                self.rungs.push_back(Rung { copy: *copy, ..rung });
            }
            News::Landed { flight, fate } => self.landed(time, *flight, *fate),
            News::Inside { who, event } => self.inside(time, *who, event),
            News::Verified { operation, bytes } => {
                let index = Operation::ALL.iter().position(|other| other == operation);
                self.verified[index.unwrap_or(0)] += 1;
                self.bytes += bytes;
            }
        }
    }

    fn landed(&mut self, time: Time, flight: u64, fate: Fate) {
        self.landed = Some(flight);
        let Some(rung) = self.rungs.iter_mut().rev().find(|rung| rung.flight == flight) else { return };
        rung.state = if fate == Fate::Lost { State::Lost } else { State::Arrived };
        let (label, to) = (rung.label.clone(), name(1 - rung.from));
        match fate {
            Fate::Lost => {
                self.wire.lost += 1;
                rung.note = "lost".to_owned();
                self.tell(time, format!("{label} is lost on its way to {to}, which does not know yet."));
            }
            Fate::Late => {
                self.wire.late += 1;
                self.wire.delivered += 1;
                rung.note = "late".to_owned();
            }
            Fate::Damaged => {
                self.wire.damaged += 1;
                self.wire.delivered += 1;
            }
            Fate::Passes | Fate::Doubled => self.wire.delivered += 1,
        }
    }

    /// Something happened in a device; if a packet has just arrived there, because of it.
    fn inside(&mut self, time: Time, who: usize, event: &TraceEvent) {
        let me = name(who);
        match event {
            TraceEvent::Gap { expected, .. } if self.gaps[who] == Some(*expected) => {
                self.note("behind the gap".to_owned(), Some(State::Dropped));
            }
            TraceEvent::Gap { expected, got, .. } => {
                self.gaps[who] = Some(*expected);
                let (wanted, got) = (short(*expected), short(*got));
                self.note(format!("gap: wants {wanted}"), Some(State::Dropped));
                self.tell(
                    time,
                    format!("{me} expects {wanted} and gets {got}: a gap. It asks for {wanted} by a NAK."),
                );
            }
            TraceEvent::Duplicate { psn, .. } => {
                self.note("known already".to_owned(), None);
                self.tell(
                    time,
                    format!(
                        "{me} has had {} already. It does not do it twice, but answers again.",
                        short(*psn)
                    ),
                );
            }
            TraceEvent::Dropped { why, .. } => self.dropped(time, me, *why),
            TraceEvent::Refused { syndrome, .. } => self.note(syndrome.to_string(), Some(State::Dropped)),
            TraceEvent::Executed { msn, .. } => self.note(format!("message {msn} done"), None),
            TraceEvent::Acknowledged { unacked, .. } => {
                self.note(format!("all before {}", short(*unacked)), None)
            }
            TraceEvent::GoBack { cause, resume, .. } => {
                let (why, resume) = (reason(*cause), short(*resume));
                self.note(format!("back to {resume}"), None);
                self.tell(time, format!("{me} {why}, goes back to {resume} and sends again from there."));
            }
            TraceEvent::Completed { wc, .. } if wc.status != WcStatus::Success => {
                self.tell(time, format!("{me}: request {} failed: {:?}.", wc.wr_id, wc.status));
            }
            TraceEvent::State { from, to, .. } => {
                self.tell(time, format!("{me} goes from state {} to {}.", from.name(), to.name()));
            }
            _ => {}
        }
    }

    fn dropped(&mut self, time: Time, me: &str, why: DropReason) {
        let note = match why {
            DropReason::Icrc => "wrong ICRC",
            DropReason::OutOfSequence => "behind the gap",
            DropReason::Duplicate => "known already",
            _ => "dropped",
        };
        self.note(note.to_owned(), Some(State::Dropped));
        if why == DropReason::Icrc {
            let text = format!("{me} finds a wrong ICRC and drops the packet, as if it were lost.");
            self.tell(time, text);
        }
    }

    /// Says what the receiver made of the packet that has just arrived.
    fn note(&mut self, text: String, state: Option<State>) {
        let Some(flight) = self.landed else { return };
        let Some(rung) = self.rungs.iter_mut().rev().find(|rung| rung.flight == flight) else { return };
        rung.note = text;
        rung.state = state.unwrap_or(rung.state);
    }

    fn tell(&mut self, time: Time, text: String) {
        if self.story.len() == SENTENCES {
            self.story.pop_front();
        }
        self.story.push_back((time, text));
    }
}

fn reason(cause: LossCause) -> &'static str {
    match cause {
        LossCause::SequenceNak => "learns of the gap",
        LossCause::ImpliedNak => "sees that an answer is missing",
        LossCause::ReceiverNotReady => "has waited for a receive",
        LossCause::Timeout => "has heard nothing for too long",
    }
}

/// What a NIC is called.
pub(super) fn name(who: usize) -> &'static str {
    if who == 0 { "A" } else { "B" }
}
