//! Programs that call libibverbs, each with a card on an address of this computer.
//!
//! They run at the same time, as programs do; what they tell each other goes through here. What is checked is looked up
//! when all have ended: queue pairs and memory, which their harness knows, and packets, which their cards record.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use ferroce_engine::QpState;
use ferroce_fabric::{Chance, Link};
use ferroce_wire::cm::{CmMad, CmMessage, RejectReason};
use ferroce_wire::{Packet, Syndrome};

use super::WAITS;
use crate::bounded::End;
use crate::failure::{Row, Rule, Wrong};
use crate::film::Film;
use crate::foreign::Card;
use crate::talk::{Players, Silence, Stop, Student, unhex};

/// How long a program waits for words that may still come before it looks whether they can.
const LOOK: Duration = Duration::from_millis(100);

/// Bytes of the head of a capture file, and of each packet in it.
const FILE_HEAD: usize = 24;
const PACKET_HEAD: usize = 16;

/// Bytes of an IPv4 and a UDP header.
const IP_AND_UDP: usize = 28;

/// Programs, their cards, and what they have said.
pub(crate) struct Real {
    actors: Vec<Actor>,
    desk: Mutex<Desk>,
    news: Condvar,
    /// What nobody has heard in the end.
    unheard: Vec<(usize, usize, String)>,
    rnr: Option<&'static Rule>,
}

/// A program on the stage.
struct Actor {
    name: String,
    card: Card,
    /// Until it has left.
    student: Option<Student>,
    /// Bytes that the capture of its card had when it began.
    began: usize,
    result: String,
    report: Report,
}

/// What a program's harness says at the end.
#[derive(Default)]
struct Report {
    completions: u64,
    states: Vec<QpState>,
    memories: Vec<Vec<u8>>,
}

/// What programs tell each other.
#[derive(Default)]
struct Desk {
    mail: VecDeque<(usize, usize, String)>,
    tells: usize,
    /// Programs that have ended, or will say nothing more.
    gone: Vec<bool>,
    /// Whose words programs wait for.
    hearing: Vec<Option<usize>>,
    /// One has broken off: the others wait for what it will not do.
    broken: bool,
}

impl Real {
    pub(super) fn open(
        players: &mut Players<'_>,
        seed: u64,
        link: Link,
        parts: &[(String, String)],
    ) -> Result<Real, Stop> {
        let loss = percent(link.loss);
        let cards: Vec<Card> =
            (0..parts.len()).map(|number| Card::new(players.program(), number, loss, seed)).collect();
        let addresses: Vec<String> =
            parts.iter().zip(&cards).map(|((name, _), card)| format!("@{name}={}", card.address)).collect();
        let mut actors = Vec::new();
        for ((name, arguments), card) in parts.iter().zip(cards) {
            let mut student = players.start_with(&card)?;
            let began = fs::metadata(&card.record).map_or(0, |file| file.len() as usize);
            let part = name.split('-').next().unwrap_or(name);
            student.say(&format!("{part} {arguments} {}", addresses.join(" ")))?;
            let (result, report) = (String::new(), Report::default());
            actors.push(Actor { name: name.clone(), card, student: Some(student), began, result, report });
        }
        let count = actors.len();
        let desk = Desk { gone: vec![false; count], hearing: vec![None; count], ..Desk::default() };
        Ok(Real { actors, desk: Mutex::new(desk), news: Condvar::new(), unheard: Vec::new(), rnr: None })
    }

    pub(super) fn forbid_rnr(&mut self, rule: &'static Rule) {
        self.rnr = Some(rule);
    }

    pub(super) fn play(&mut self, players: &mut Players<'_>) -> Result<Vec<String>, Stop> {
        let names: Vec<String> = self.actors.iter().map(|actor| actor.name.clone()).collect();
        let (desk, news) = (&self.desk, &self.news);
        let refused = self.rnr.map(|_| (self.actors[0].card.record.clone(), self.actors[0].began));
        // Cards try again and again: whoever waits for the end of it waits long.
        let goes_on = || {
            !lock(desk).broken
                && refused.as_ref().is_none_or(|(record, began)| first_rnr(record, *began).is_none())
        };
        let ends: Vec<Result<String, Stop>> = thread::scope(|scope| {
            let threads: Vec<_> = self
                .actors
                .iter_mut()
                .enumerate()
                .map(|(index, actor)| {
                    let (names, student) = (&names, actor.student.as_mut().expect("it has not left"));
                    let goes_on = &goes_on;
                    scope.spawn(move || {
                        let end = serve(index, student, names, desk, news, goes_on);
                        let mut left = lock(desk);
                        left.gone[index] = true;
                        left.broken |= end.is_err();
                        drop(left);
                        news.notify_all();
                        end
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
        });
        self.judge(ends)?;
        self.unheard = lock(&self.desk).mail.drain(..).collect();
        for actor in &mut self.actors {
            let mut student = actor.student.take().expect("it has not left");
            student.say("report")?;
            actor.report = Report::read(&student.hear()?);
            players.rest_with(actor.card.clone(), student);
        }
        if let Some(rule) = self.rnr
            && self.first_rnr().is_some()
        {
            return Err(self
                .wrong(rule, vec![Row::text("Seen", "\"receiver not ready\" was answered")])
                .into());
        }
        Ok(self.actors.iter().map(|actor| actor.result.clone()).collect())
    }

    /// What the programs' ends mean together.
    fn judge(&mut self, ends: Vec<Result<String, Stop>>) -> Result<(), Stop> {
        let waits = lock(&self.desk).hearing.clone();
        let mut silent = Vec::new();
        for ((end, actor), waits) in ends.into_iter().zip(&mut self.actors).zip(waits) {
            match end {
                Ok(result) => actor.result = result,
                Err(Stop::Silence(Silence { end: End::TimedOut, .. })) => {
                    let doing = if waits.is_some() {
                        "waits for words of another"
                    } else {
                        "runs, or waits for a completion"
                    };
                    silent.push(format!("{} {doing}", actor.name));
                }
                Err(stop) => return Err(stop),
            }
        }
        if silent.is_empty() {
            return Ok(());
        }
        let rule = self.rnr.filter(|_| self.first_rnr().is_some()).unwrap_or(&WAITS);
        let wrong = self.wrong(rule, vec![Row::exact("Where", silent)]);
        Err(Wrong { waited: true, ..wrong }.into())
    }

    pub(super) fn wrong(&self, rule: &'static Rule, rows: Vec<Row>) -> Wrong {
        let capture = fs::read(&self.actors[0].card.record).unwrap_or_default();
        let (head, _) = capture.split_at(FILE_HEAD.min(capture.len()));
        let rest = capture.get(self.actors[0].began.max(FILE_HEAD)..).unwrap_or_default();
        let packets = packets(rest).count();
        let is_rnr = self.rnr.is_some_and(|rnr| rnr.name == rule.name);
        let moment = self.first_rnr().filter(|_| is_rnr).map_or(packets, |at| at + 1);
        // Where nothing was sent there is nothing to replay.
        let film = (packets > 0).then(|| Film::of_capture([head, rest].concat(), moment));
        Wrong { film, ..Wrong::new(rule, rows) }
    }

    pub(super) fn sent_bytes(&self, program: usize) -> u64 {
        self.sent(program, |packets| packets.map(|packet| packet.len() as u64).sum())
    }

    pub(super) fn told(&self, from: usize, to: usize) -> impl Iterator<Item = &str> {
        let mail =
            self.unheard.iter().filter(move |(sender, receiver, _)| (*sender, *receiver) == (from, to));
        mail.map(|(_, _, words)| words.as_str())
    }

    pub(super) fn tells(&self) -> usize {
        lock(&self.desk).tells
    }

    pub(super) fn completions(&self, program: usize) -> u64 {
        self.actors[program].report.completions
    }

    pub(super) fn states(&self, program: usize) -> Vec<QpState> {
        self.actors[program].report.states.clone()
    }

    pub(super) fn memory(&self, program: usize, region: usize) -> Option<Vec<u8>> {
        self.actors[program].report.memories.get(region).cloned()
    }

    pub(super) fn longest_send(&self) -> Option<usize> {
        let longest = |program| {
            self.sent(program, |packets| {
                let packets = packets.filter_map(|packet| Packet::parse(packet).ok());
                let sends = packets.filter(|packet| packet.headers.bth.opcode.name().starts_with("RC_SEND"));
                sends.map(|packet| packet.payload.len()).max()
            })
        };
        (0..self.actors.len()).filter_map(longest).max()
    }

    pub(super) fn rejected(&self, program: usize) -> usize {
        self.sent(program, |packets| {
            let packets = packets.filter_map(|packet| Packet::parse(packet).ok());
            let mads = packets.filter_map(|packet| CmMad::parse(packet.payload).ok());
            // Who has not heard it asks again, and is told again.
            let peers = mads.filter_map(|mad| match mad.message {
                CmMessage::Rej(rej) if rej.reason == RejectReason::CONSUMER_DEFINED => Some(rej.remote_id),
                _ => None,
            });
            peers.collect::<BTreeSet<u32>>().len()
        })
    }

    /// Looks at the packets, from BTH to ICRC, that a program's card has sent.
    fn sent<R>(&self, program: usize, look: impl FnOnce(&mut dyn Iterator<Item = &[u8]>) -> R) -> R {
        let actor = &self.actors[program];
        let capture = fs::read(&actor.card.record).unwrap_or_default();
        let rest = capture.get(actor.began.max(FILE_HEAD)..).unwrap_or_default();
        let source = actor.card.address.octets();
        look(&mut packets(rest).filter(|(from, _)| *from == source).map(|(_, packet)| packet))
    }

    /// Where the first "receiver not ready" stands in the first card's capture.
    fn first_rnr(&self) -> Option<usize> {
        first_rnr(&self.actors[0].card.record, self.actors[0].began)
    }
}

/// Where the first "receiver not ready" stands in a capture, of which the first bytes do not count.
fn first_rnr(record: &Path, began: usize) -> Option<usize> {
    let capture = fs::read(record).ok()?;
    let rest = capture.get(began.max(FILE_HEAD)..)?;
    packets(rest).position(|(_, packet)| {
        let aeth = Packet::parse(packet).ok().and_then(|packet| packet.headers.aeth);
        aeth.is_some_and(|aeth| matches!(aeth.syndrome, Syndrome::RnrNak { .. }))
    })
}

/// Hears a program, and does what it asks, until it ends or nothing goes on any more.
fn serve(
    index: usize,
    student: &mut Student,
    names: &[String],
    desk: &Mutex<Desk>,
    news: &Condvar,
    goes_on: &impl Fn() -> bool,
) -> Result<String, Stop> {
    loop {
        let line = student.hear_while(LOOK, goes_on)?;
        let (verb, arguments) = line.split_once(' ').unwrap_or((&line, ""));
        let (name, words) = arguments.split_once(' ').unwrap_or((arguments, ""));
        let other = names.iter().position(|known| known == name);
        match (verb, other) {
            ("end", _) => return Ok(arguments.to_owned()),
            ("tell" | "note", Some(to)) => {
                let mut desk = lock(desk);
                desk.mail.push_back((index, to, words.to_owned()));
                // A note is from the program around the student's file.
                desk.tells += usize::from(verb == "tell");
                news.notify_all();
                drop(desk);
                student.say("ok")?;
            }
            ("hear", Some(from)) => {
                let words = wait_for_words(desk, news, from, index);
                let words = words
                    .ok_or_else(|| Stop::Silence(Silence { end: End::TimedOut, errors: String::new() }))?;
                student.say(&format!("ok {words}"))?;
            }
            _ => student.say(&format!("err there is no program '{name}'"))?,
        }
    }
}

/// What `from` has told `to`; `None` if it never will.
fn wait_for_words(desk: &Mutex<Desk>, news: &Condvar, from: usize, to: usize) -> Option<String> {
    let mut desk = lock(desk);
    desk.hearing[to] = Some(from);
    loop {
        if let Some(at) =
            desk.mail.iter().position(|(sender, receiver, _)| (*sender, *receiver) == (from, to))
        {
            desk.hearing[to] = None;
            return desk.mail.remove(at).map(|(_, _, words)| words);
        }
        if desk.broken || desk.gone[from] || (0..desk.gone.len()).all(|program| desk.is_stuck(program)) {
            return None;
        }
        desk = news.wait_timeout(desk, LOOK).unwrap_or_else(PoisonError::into_inner).0;
    }
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    /// Whether a program has ended, or waits for words that nobody has said.
    fn is_stuck(&self, program: usize) -> bool {
        let is_said = |from| self.mail.iter().any(|(sender, to, _)| (*sender, *to) == (from, program));
        self.gone[program] || self.hearing[program].is_some_and(|from| !is_said(from))
    }
}

impl Report {
    /// `completions N`, `state N` and `memory HEX`, with `;` between them.
    fn read(line: &str) -> Report {
        let mut report = Report::default();
        for part in line.split(';') {
            match part.trim().split_once(' ').unwrap_or_default() {
                ("completions", number) => report.completions = number.parse().unwrap_or_default(),
                ("state", number) => report.states.extend(number.parse().ok().and_then(state)),
                ("memory", bytes) => report.memories.push(unhex(bytes)),
                _ => {}
            }
        }
        report
    }
}

/// A state by its number in `enum ibv_qp_state`.
fn state(number: u32) -> Option<QpState> {
    let states =
        [QpState::Reset, QpState::Init, QpState::Rtr, QpState::Rts, QpState::Sqd, QpState::Sqe, QpState::Err];
    states.into_iter().find(|state| *state as u32 == number)
}

/// Packets of a capture without its head: source, and what comes after IP and UDP.
fn packets(mut rest: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (head, behind) = rest.split_at_checked(PACKET_HEAD)?;
        let len = u32::from_le_bytes(head[8..12].try_into().expect("four bytes"));
        let (packet, after) = behind.split_at_checked(len as usize)?;
        rest = after;
        Some(packet)
    })
    .filter_map(|packet| {
        let (head, payload) = packet.split_at_checked(IP_AND_UDP)?;
        Some((head[12..16].try_into().expect("four bytes"), payload))
    })
}

/// A chance in whole percent.
fn percent(chance: Chance) -> u32 {
    (0..=100).find(|&percent| Chance::percent(percent) == chance).unwrap_or_default()
}
