//! The packets between two ends: the last ones for the message of a failed check, and all for its recording.

use std::collections::VecDeque;

use ferroce_engine::{Time, TraceEvent};
use ferroce_recording::{Arrived, Header, HostRecord, PacketRecord, Record, What};

use crate::failure::{Row, Rule, Wrong};
use crate::film::Film;
use crate::network::{Fate, Journey};
use crate::peer::{Frame, PEER, SOURCE_PORT, STUDENT};

/// Lines that are kept.
const KEPT: usize = 9;

/// Columns from one end to the other.
const WIDTH: usize = 34;

/// What happened last between the student's NIC, on the left, and the real one.
pub(crate) struct Ladder {
    ends: [&'static str; 2],
    lines: VecDeque<String>,
    records: Vec<Record>,
}

impl Ladder {
    pub(crate) fn new(left: &'static str, right: &'static str) -> Ladder {
        Ladder { ends: [left, right], lines: VecDeque::new(), records: Vec::new() }
    }

    /// The student's NIC did or heard something.
    pub(crate) fn note(&mut self, what: impl Into<String>) {
        self.add(what.into());
    }

    /// The real NIC went these steps.
    pub(crate) fn steps(&mut self, steps: Vec<(Time, TraceEvent)>) {
        let record = |(at, event)| Record { at, host: 1, what: What::Device(event) };
        self.records.extend(steps.into_iter().map(record));
    }

    /// A packet of the student's NIC.
    pub(crate) fn right(&mut self, now: u64, frame: &Frame, journey: &Journey) {
        self.record(now, 0, frame, journey);
        let (packet, fate) = (frame.words(), journey.fate);
        let room = WIDTH.saturating_sub(packet.len() + 3);
        let (head, tail) = end(fate, "▶");
        self.add(format!("{packet} {}{head}{tail}", "─".repeat(if head == "✗" { room / 2 } else { room })));
    }

    /// A packet of the real one.
    pub(crate) fn left(&mut self, now: u64, frame: &Frame, journey: &Journey) {
        self.record(now, 1, frame, journey);
        let (packet, fate) = (frame.words(), journey.fate);
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

    fn record(&mut self, now: u64, host: u32, frame: &Frame, journey: &Journey) {
        let [src, dst] = if host == 0 { [STUDENT, PEER] } else { [PEER, STUDENT] };
        let arrived = |&at| Arrived { at: Time::from_nanos(at), damaged: false };
        let packet = PacketRecord {
            src: src.into(),
            dst: dst.into(),
            src_port: SOURCE_PORT,
            traffic_class: 0,
            ident: 0,
            bytes: frame.bytes([src, dst]),
            to: Some(1 - host),
            arrivals: journey.arrivals.iter().map(arrived).collect(),
            under_way: false,
            local: false,
        };
        self.records.push(Record { at: Time::from_nanos(now), host, what: What::Packet(packet) });
    }

    /// What is wrong now: `rows`, then the last packets; and all of them to be replayed.
    pub(crate) fn wrong(&self, rule: &'static Rule, mut rows: Vec<Row>) -> Wrong {
        rows.push(self.row());
        let host = |(name, address): (&str, std::net::Ipv4Addr)| HostRecord {
            name: name.to_owned(),
            addresses: vec![address.into()],
        };
        let hosts = [(self.ends[0], STUDENT), (self.ends[1], PEER)].map(host);
        let header = Header::new(hosts.to_vec(), true);
        let film = Film::new(&header, self.records.iter().cloned(), self.records.len());
        Wrong { film: Some(film), ..Wrong::new(rule, rows) }
    }

    /// The lines, with the ends named above.
    fn row(&self) -> Row {
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
