//! The last things that happened on a stage, for the message of a failed check.

use std::collections::VecDeque;

use ferroce_engine::Wc;
use ferroce_fabric::{Fabric, HostId};
use ferroce_wire::{Headers, Syndrome};

use super::actor::Actor;
use super::verbs::status;
use crate::failure::Row;

/// Lines that are kept.
const KEPT: usize = 9;

#[derive(Default)]
pub(super) struct Transcript {
    lines: VecDeque<String>,
    /// Entries of the network's log that were looked at.
    seen: usize,
}

impl Transcript {
    /// A program called a verb that changes something. What the program around the student's file does, and may do, is left
    /// out: it is the same every time.
    pub(super) fn call(
        &mut self,
        actor: &Actor,
        verb: &str,
        arguments: &str,
        answer: &Result<String, String>,
    ) {
        let words: Vec<&str> = arguments.split(' ').collect();
        let word = |at: usize| words.get(at).copied().unwrap_or_default();
        let what = match verb {
            "send" => format!("posts {} {}, {} bytes", word(6), word(1), word(5)),
            "receive" => format!("posts receive {}, {} bytes", word(1), word(4)),
            "init" | "rtr" | "rts" => format!("queue pair {} to {}", word(0), verb.to_uppercase()),
            "listen" => format!("listens at port {}", word(0)),
            "reject" => "rejects a request".to_owned(),
            "tell" => format!("tells {}", word(0)),
            _ if answer.is_err() => verb.to_owned(),
            _ => return,
        };
        let refused = answer.as_ref().err().map_or(String::new(), |why| format!(": {why}"));
        if actor.is_in_the_file() || answer.is_err() {
            self.add(format!("{}: {what}{refused}", actor.place()));
        }
    }

    /// A program took a completion out.
    pub(super) fn completion(&mut self, actor: &Actor, wc: &Wc) {
        self.add(format!("{}: completion {}, {}", actor.place(), wc.wr_id, status(wc.status)));
    }

    /// A program heard about a connection.
    pub(super) fn connection(&mut self, actor: &Actor, answer: &Result<String, String>) {
        let what = match answer {
            Ok(_) => "connection manager has news",
            Err(why) => why.split(' ').next().unwrap_or_default(),
        };
        self.add(format!("{}: {what}", actor.place()));
    }

    /// Packets that were sent since the last time.
    pub(super) fn packets(&mut self, fabric: &Fabric, actors: &[Actor]) {
        let name = |host: HostId| {
            let actor = actors.iter().find(|actor| actor.host() == host);
            actor.map_or("?", |actor| actor.name())
        };
        let entries = &fabric.log().entries;
        let from = std::mem::replace(&mut self.seen, entries.len());
        for entry in &entries[from.max(entries.len().saturating_sub(64 * KEPT)).min(entries.len())..] {
            let ferroce_fabric::What::Packet(sent) = &entry.what else { continue };
            let Ok((headers, _)) = Headers::parse(&sent.bytes) else { continue };
            let opcode = headers.bth.opcode.name().trim_start_matches("RC_");
            let refused = match headers.aeth.map(|aeth| aeth.syndrome) {
                Some(Syndrome::RnrNak { .. }) => " (receiver not ready)".to_owned(),
                Some(Syndrome::Nak(code)) => format!(" ({code:?})"),
                _ => String::new(),
            };
            let lost = if sent.arrivals.is_empty() { ", lost" } else { "" };
            let to = sent.to.map_or("?", name);
            let line = format!("  {} ─▶ {to}  {opcode}{refused} {}{lost}", name(entry.host), headers.bth.psn);
            self.add(line);
        }
    }

    fn add(&mut self, line: String) {
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub(super) fn row(&self) -> Row {
        Row::exact("Last", self.lines.iter().cloned())
    }
}
