//! The last packets between two ends, for the message of a failed check.

use std::collections::VecDeque;

use crate::failure::Row;
use crate::network::Fate;

/// Lines that are kept.
const KEPT: usize = 9;

/// Columns from one end to the other.
const WIDTH: usize = 34;

/// What happened last between the student's NIC, on the left, and the real one.
pub(crate) struct Ladder {
    ends: [&'static str; 2],
    lines: VecDeque<String>,
}

impl Ladder {
    pub(crate) fn new(left: &'static str, right: &'static str) -> Ladder {
        Ladder { ends: [left, right], lines: VecDeque::new() }
    }

    /// The student's NIC did or heard something.
    pub(crate) fn note(&mut self, what: impl Into<String>) {
        self.add(what.into());
    }

    /// A packet of the student's NIC.
    pub(crate) fn right(&mut self, packet: &str, fate: Fate) {
        let room = WIDTH.saturating_sub(packet.len() + 3);
        let (head, tail) = end(fate, "▶");
        self.add(format!("{packet} {}{head}{tail}", "─".repeat(if head == "✗" { room / 2 } else { room })));
    }

    /// A packet of the real one.
    pub(crate) fn left(&mut self, packet: &str, fate: Fate) {
        let room = WIDTH.saturating_sub(packet.len() + 3);
        let (head, tail) = end(fate, "◀");
        let line = "─".repeat(if head == "✗" { room / 2 } else { room });
        let gap = WIDTH - 2 - packet.len() - line.chars().count();
        self.add(format!("{}{head}{line} {packet}{tail}", " ".repeat(gap)));
    }

    fn add(&mut self, line: String) {
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The lines, with the ends named above.
    pub(crate) fn row(&self) -> Row {
        let [left, right] = self.ends;
        let gap = (WIDTH + 2).saturating_sub(left.len() + right.len());
        let head = format!("{left}{}{right}", " ".repeat(gap));
        Row::exact("Last", std::iter::once(head).chain(self.lines.iter().cloned()))
    }
}

/// The end of a packet's arrow, and a word about what happened to it.
fn end(fate: Fate, arrives: &'static str) -> (&'static str, &'static str) {
    match fate {
        Fate::Arrives => (arrives, ""),
        Fate::Lost => ("✗", " lost"),
        Fate::Repeated => (arrives, " and again later"),
        Fate::Delayed => (arrives, " late"),
    }
}
