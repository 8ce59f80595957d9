//! The notation in which a scenario says what should come of it, and the comparison.
//!
//! One side's completions are written as `SEND QUEUE | RECEIVE QUEUE`, each a list in the order of the queue, as in
//! `1-2 SEND, 3 REM_ACCESS_ERR | 900 flush` or `| 101 RECV 64 imm=11223344, 102 flush`. An item is a work request
//! number or a range of them, then the opcode of a success or the status of a failure (`flush` is `WR_FLUSH_ERR`),
//! then the byte count where it is checked, then the immediate data if there are any.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::end::End;
use super::stage::Stage;
use crate::peer::{Completion, Kind, Status};

/// What should come of a scenario between two peers.
#[derive(Debug)]
pub struct Case {
    /// Whom it is about.
    pub when: When,
    /// The requester's completions.
    pub requester: &'static str,
    /// The responder's completions.
    pub responder: &'static str,
    /// Final states, as in `RTS/ERR`; several queue pairs of a side are joined by `+`.
    pub states: &'static str,
    /// Asynchronous events of the requester and of the responder, separated by spaces. A trailing `*` stands for
    /// any number of that event from one on.
    pub events: (&'static str, &'static str),
    /// An event that a responder raises besides when it tells all that the specification wants it to tell about a
    /// peer. Soft-RoCE raises none of these.
    pub told: &'static str,
    /// What the scenario itself noted down.
    pub notes: &'static [&'static str],
    /// What is just as right, where it depends on who is faster.
    pub or: Option<&'static Case>,
    /// Why these peers differ from the others.
    pub why: &'static str,
}

/// Which pairs of peers a case is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// All.
    Always,
    /// Those with such a requester.
    Requester(&'static [Kind]),
    /// Those with such a responder.
    Responder(&'static [Kind]),
    /// Those with such a requester and such a responder.
    Pair(&'static [Kind], &'static [Kind]),
}

/// Soft-RoCE, whatever the kernel.
pub(super) const RXE: &[Kind] = &[Kind::Rxe61, Kind::Rxe612];
/// This project's engine.
pub(super) const FERROCE: &[Kind] = &[Kind::Ferroce];
/// The specification's event after a NAK 0x61.
pub(super) const REQ_ERR: &str = "QP_REQ_ERR";
/// The specification's event after a NAK 0x62.
pub(super) const ACCESS_ERR: &str = "QP_ACCESS_ERR";

impl When {
    /// Whether it is about these two.
    pub fn fits(self, requester: Kind, responder: Kind) -> bool {
        match self {
            Self::Always => true,
            Self::Requester(kinds) => kinds.contains(&requester),
            Self::Responder(kinds) => kinds.contains(&responder),
            Self::Pair(requesters, responders) => {
                requesters.contains(&requester) && responders.contains(&responder)
            }
        }
    }
}

/// A case for all peers.
pub(super) const fn always(requester: &'static str, responder: &'static str, states: &'static str) -> Case {
    Case {
        when: When::Always,
        requester,
        responder,
        states,
        events: ("", ""),
        told: "",
        notes: &[],
        or: None,
        why: "",
    }
}

impl Case {
    pub(super) const fn when(mut self, when: When, why: &'static str) -> Self {
        self.when = when;
        self.why = why;
        self
    }

    pub(super) const fn events(mut self, requester: &'static str, responder: &'static str) -> Self {
        self.events = (requester, responder);
        self
    }

    pub(super) const fn told(mut self, event: &'static str) -> Self {
        self.told = event;
        self
    }

    pub(super) const fn or(mut self, other: &'static Case) -> Self {
        self.or = Some(other);
        self
    }

    pub(super) const fn notes(mut self, notes: &'static [&'static str]) -> Self {
        self.notes = notes;
        self
    }
}

/// Waits for what should come, and a moment for what should not; says what differs.
pub(super) fn compare(case: &Case, stage: &mut Stage<'_>) -> Result<Vec<String>> {
    let problems = compare_one(case, stage)?;
    match case.or {
        Some(other) if !problems.is_empty() => {
            let more = compare_one(other, stage)?;
            Ok(if more.is_empty() { more } else { [problems, vec!["or:".into()], more].concat() })
        }
        _ => Ok(problems),
    }
}

fn compare_one(case: &Case, stage: &mut Stage<'_>) -> Result<Vec<String>> {
    let requester = Side::parse(case.requester)?;
    let responder = Side::parse(case.responder)?;
    stage.req.collect(requester.count())?;
    stage.resp.collect(responder.count())?;
    let mut problems = Vec::new();
    side("requester", &requester, case.events.0, &mut stage.req, &mut problems)?;
    let tells_all = stage.resp.kind() == Kind::Ferroce;
    let told = if tells_all { format!("{} {}", case.events.1, case.told) } else { case.events.1.to_owned() };
    side("responder", &responder, told.trim(), &mut stage.resp, &mut problems)?;
    let states = format!("{}/{}", stage.req.states()?, stage.resp.states()?);
    differ("states", case.states, &states, &mut problems);
    differ("notes", &case.notes.join("; "), &stage.notes.join("; "), &mut problems);
    Ok(problems)
}

fn side(
    name: &str,
    expected: &Side,
    events: &str,
    end: &mut End<'_>,
    problems: &mut Vec<String>,
) -> Result<()> {
    end.sweep()?;
    let (mut send, mut receive): (Vec<_>, Vec<_>) = end.done.iter().partition(|wc| !end.is_receive(wc.wr_id));
    for (queue_name, items, completions) in
        [("sends", &expected.send, &mut send), ("receives", &expected.receive, &mut receive)]
    {
        let mut items = items.clone();
        items.sort_by_key(|item| end.queue_of(item.wr_id));
        completions.sort_by_key(|wc| end.queue_of(wc.wr_id));
        queue(&format!("{name}'s {queue_name}"), &items, completions, problems);
    }
    let seen = end.events(!events.is_empty())?;
    if !events_fit(events, &seen) {
        problems.push(format!("{name}'s events: expected [{events}], saw [{}]", seen.join(" ")));
    }
    problems.extend(end.memory_problems()?.into_iter().map(|problem| format!("{name}'s memory: {problem}")));
    Ok(())
}

fn queue(name: &str, expected: &[Item], seen: &[&Completion], problems: &mut Vec<String>) {
    let fits = expected.len() == seen.len() && expected.iter().zip(seen).all(|(item, wc)| item.fits(wc));
    if !fits {
        let expected: Vec<_> = expected.iter().map(|item| item.text.as_str()).collect();
        let seen: Vec<_> = seen.iter().map(|wc| describe(wc)).collect();
        problems.push(format!("{name}: expected [{}], saw [{}]", expected.join(", "), seen.join(", ")));
    }
}

fn differ(name: &str, expected: &str, seen: &str, problems: &mut Vec<String>) {
    if expected != seen {
        problems.push(format!("{name}: expected [{expected}], saw [{seen}]"));
    }
}

/// Whether these events are the expected ones, in whatever order.
pub(super) fn events_fit(expected: &str, seen: &[String]) -> bool {
    let mut left = seen.to_vec();
    for word in expected.split_whitespace() {
        let name = word.trim_end_matches('*');
        let Some(at) = left.iter().position(|event| event == name) else { return false };
        left.remove(at);
        if word.ends_with('*') {
            left.retain(|event| event != name);
        }
    }
    left.is_empty()
}

const WITH_IMM: u32 = 2;

fn describe(wc: &Completion) -> String {
    if wc.status != Status::Success {
        return format!("{} {}", wc.wr_id, word(&wc.status));
    }
    let imm = if wc.flags & WITH_IMM == 0 { String::new() } else { format!(" imm={:08x}", wc.imm) };
    format!("{} {} {}{imm}", wc.wr_id, word(&wc.opcode), wc.byte_len)
}

/// The name that a status or opcode has in `<infiniband/verbs.h>`.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().as_ref().and_then(Value::as_str).unwrap_or("?").to_owned()
}

/// One completion that should come.
#[derive(Debug, Clone)]
pub(super) struct Item {
    text: String,
    pub(super) wr_id: u64,
    pub(super) what: String,
    pub(super) byte_len: Option<u32>,
    pub(super) imm: Option<u32>,
}

impl Item {
    fn fits(&self, wc: &Completion) -> bool {
        if self.wr_id != wc.wr_id {
            return false;
        }
        if wc.status != Status::Success {
            return self.what == word(&wc.status);
        }
        let received = self.what.starts_with("RECV");
        let imm = (wc.flags & WITH_IMM != 0).then_some(wc.imm);
        self.what == word(&wc.opcode)
            && self.byte_len.is_none_or(|length| length == wc.byte_len)
            && (!received || self.imm == imm)
    }
}

/// The completions of one side that should come.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) send: Vec<Item>,
    pub(super) receive: Vec<Item>,
}

impl Side {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let (send, receive) = text.split_once('|').unwrap_or((text, ""));
        Ok(Self { send: items(send)?, receive: items(receive)? })
    }

    pub(super) fn count(&self) -> usize {
        self.send.len() + self.receive.len()
    }
}

fn items(text: &str) -> Result<Vec<Item>> {
    let mut found = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let mut words = part.split_whitespace();
        let ids = words.next().context("an item starts with a number")?;
        let (first, last) = ids.split_once('-').unwrap_or((ids, ids));
        let what = match words.next().with_context(|| format!("{part}: what became of it?"))? {
            "flush" => "WR_FLUSH_ERR",
            what => what,
        };
        let (mut byte_len, mut imm) = (None, None);
        for word in words {
            match word.strip_prefix("imm=") {
                Some(digits) => imm = Some(u32::from_str_radix(digits, 16)?),
                None => byte_len = Some(word.parse()?),
            }
        }
        let (first, last): (u64, u64) = (first.parse()?, last.parse()?);
        ensure!(first <= last, "{part}: a range that runs backwards");
        found.extend((first..=last).map(|wr_id| Item {
            text: format!("{wr_id} {}", part.split_once(' ').map_or("", |(_, rest)| rest)),
            wr_id,
            what: what.to_owned(),
            byte_len,
            imm,
        }));
    }
    Ok(found)
}
