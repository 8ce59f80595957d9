//! The lab "Pause": a switch's part of priority flow control.

use crate::ask::Ask;
use crate::course::{Lab, Language, Question, Step, course_file};
use crate::dice::Dice;
use crate::failure::{Row, Rule, Wrong};
use crate::talk::{Players, Stop};

pub(crate) const PFC: Lab = Lab {
    name: "pfc",
    title: "Pause",
    language: Language::Rust,
    text: course_file!("pfc/README.md"),
    file: "pause.rs",
    starter: course_file!("pfc/starter.rs"),
    harness: course_file!("pfc/harness.rs"),
    modules: &[],
    steps: &[
        Step {
            name: HEADROOM,
            title: "what still arrives after a pause was decided",
            hints: &[
                "Bytes on the cable: seconds times bits per second, divided by 8. In whole numbers: nanoseconds * rate \
                 / 8_000_000_000.",
                "Multiply everything before you divide, or parts of a byte are lost twice.",
            ],
            questions: 16,
        },
        Step {
            name: BUFFER,
            title: "when to pause and when to resume",
            hints: &[
                "Keep the bytes that are stored, and whether the sender is paused.",
                "On arrival only Pause can be said, on departure only Resume.",
            ],
            questions: 12,
        },
        Step {
            name: DEADLOCK,
            title: "buffers that wait for each other",
            hints: &[
                "A buffer that waits for nobody will get empty. Whoever waits for nobody else but those will, too.",
                "Remove pairs whose second buffer does not stand first in any pair, again and again. What cannot be \
                 removed is a circle, or leads into one.",
            ],
            questions: 32,
        },
    ],
    draw: |step, number, dice| match step {
        HEADROOM => Box::new(headroom(number, dice)),
        BUFFER => Box::new(Filling::draw(number, dice)),
        _ => Box::new(deadlock(number, dice)),
    },
};

const HEADROOM: &str = "headroom";
const BUFFER: &str = "buffer";
const DEADLOCK: &str = "deadlock";

const ROOM: Rule = Rule {
    name: "pfc.headroom",
    text: "After a pause was decided there still arrive: the rate times twice the cable's delay, two packets, and 64 \
           bytes.",
    source: "IEEE 802.1Q, annex O",
};

const XOFF: Rule = Rule {
    name: "pfc.xoff",
    text: "A sender is paused, once, when more than xoff bytes are stored.",
    source: "IEEE 802.1Q, clause 36",
};

const XON: Rule = Rule {
    name: "pfc.xon",
    text: "A sender that is paused is told to go on, once, when xon bytes or fewer are left.",
    source: "IEEE 802.1Q, clause 36",
};

const CIRCLE: Rule = Rule {
    name: "pfc.deadlock",
    text: "Buffers wait for ever if, and only if, there is a circle in which each waits for the next.",
    source: "Guo et al., SIGCOMM 2016, section 4.2",
};

/// Calls that a message shows.
const SHOWN: usize = 8;

fn headroom(number: usize, dice: &mut Dice) -> Ask {
    let rate = [10, 40, 100, 400][number % 4] * 1_000_000_000;
    let cable = [2, 100, 300, 7][number / 4 % 4] + if number < 4 { 0 } else { dice.number(5) };
    let mtu = [1500, 9216][number / 2 % 2];
    let wanted = 2 * cable * 5 * rate / 8_000_000_000 + 2 * mtu + 64;
    Ask {
        shown: format!("headroom({rate}, {cable}, {mtu})"),
        line: format!("headroom {rate} {cable} {mtu}"),
        wanted: wanted.to_string(),
        rule: &ROOM,
    }
}

fn deadlock(number: usize, dice: &mut Dice) -> Ask {
    let circle = |from: u32, len: u32| (0..len).map(move |n| (from + n, from + (n + 1) % len));
    // Ways that meet again are no circle, and a pair can be there twice.
    let diamond = [(1, 2), (1, 3), (2, 4), (3, 4), (1, 2)];
    let mut waits: Vec<(u32, u32)> = match number % 8 {
        0 => Vec::new(),
        1 => circle(1, 2).collect(),
        2 => diamond.to_vec(),
        3 => circle(4, 3).chain([(1, 2), (2, 3), (3, 4)]).collect(),
        4 => vec![(7, 7)],
        5 => circle(2, 3 + dice.number(3) as u32).collect(),
        6 => (1..4 + dice.number(3) as u32).map(|n| (n, n + 1)).collect(),
        _ => diamond.into_iter().chain(circle(4, 4)).chain([(20, 21)]).collect(),
    };
    // Nobody says that circles come in order, or at small numbers.
    let shift = dice.number(10) as u32;
    waits.iter_mut().for_each(|(a, b)| (*a, *b) = (*a + shift, *b + shift));
    for at in (1..waits.len()).rev() {
        waits.swap(at, dice.bits() as usize % (at + 1));
    }
    let shown: Vec<String> = waits.iter().map(|pair| format!("{pair:?}")).collect();
    let words: String = waits.iter().map(|(a, b)| format!(" {a} {b}")).collect();
    Ask {
        shown: format!("is_deadlock(&[{}])", shown.join(", ")),
        line: format!("deadlock{words}"),
        wanted: matches!(number % 8, 1 | 3 | 4 | 5 | 7).to_string(),
        rule: &CIRCLE,
    }
}

/// Packets that come and go.
struct Filling {
    xoff: u64,
    xon: u64,
    /// Bytes, and whether they come.
    packets: Vec<(u64, bool)>,
}

impl Filling {
    fn draw(number: usize, dice: &mut Dice) -> Filling {
        let xon = 1_000 * (1 + dice.number(2));
        let xoff = xon + 1_000 * (1 + dice.number(2));
        let mut packets = Vec::new();
        // To the thresholds exactly, and one step beyond; twice, so that what is remembered wrongly shows.
        for _ in 0..2 {
            packets.extend([
                (xoff, true),
                (1, true),
                (64, true),
                (64, false),
                (xoff - xon, false),
                (1, false),
            ]);
            packets.extend([(1, true), (1, false), (xon, false)]);
        }
        let mut stored: Vec<u64> = Vec::new();
        for _ in 0..8 * number {
            if dice.number(3) < 4 || stored.is_empty() {
                stored.push(64 + dice.number(11));
                packets.push((stored[stored.len() - 1], true));
            } else {
                packets.push((stored.remove(0), false));
            }
        }
        Filling { xoff, xon, packets }
    }
}

impl Question for Filling {
    fn describe(&self) -> String {
        format!("xoff = {}, xon = {}, {} packets that come and go", self.xoff, self.xon, self.packets.len())
    }

    fn ask(&self, players: &mut Players<'_>) -> Result<(), Stop> {
        players.ask(&format!("new {} {}", self.xoff, self.xon))?;
        let (mut stored, mut is_paused) = (0, false);
        let mut calls = Vec::new();
        for &(bytes, comes) in &self.packets {
            stored = if comes { stored + bytes } else { stored - bytes };
            let wanted = match (comes, is_paused) {
                (true, false) if stored > self.xoff => "Pause",
                (false, true) if stored <= self.xon => "Resume",
                _ => "Nothing",
            };
            is_paused = if wanted == "Nothing" { is_paused } else { wanted == "Pause" };
            let call = if comes { "arrival" } else { "departure" };
            let seen = players.ask(&format!("{call} {bytes}"))?;
            calls.push(format!("on_{call}({bytes}): {seen}"));
            if seen != wanted {
                let first = format!("Tell::{wanted} is right with {stored} bytes stored");
                let rule = if comes { &XOFF } else { &XON };
                let last = calls.split_off(calls.len().saturating_sub(SHOWN));
                let rows = vec![Row::text("First", &first), Row::exact("Calls", last)];
                return Err(Wrong::new(rule, rows).into());
            }
        }
        Ok(())
    }
}
