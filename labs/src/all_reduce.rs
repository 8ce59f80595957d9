//! The lab "Ring all-reduce".

use std::time::Duration;

use ferroce_fabric::{Chance, Link};

use crate::course::{Lab, Language, Question, Step, course_file};
use crate::dice::Dice;
use crate::failure::{Row, Rule};
use crate::stage::{RDMA, Stage};
use crate::talk::{Players, Stop};

pub(crate) const ALL_REDUCE: Lab = Lab {
    name: "all-reduce",
    title: "Ring all-reduce",
    language: Language::Rust,
    text: course_file!("all-reduce/README.md"),
    file: "reduce.rs",
    starter: course_file!("all-reduce/starter.rs"),
    harness: course_file!("all-reduce/harness.rs"),
    modules: &[RDMA],
    steps: &[
        Step {
            name: TWO,
            title: "two ranks",
            hints: &[
                "Post 2 * (ranks - 1) receives in new. In all_reduce write part `rank` with Op::WriteImm to the same \
                 place of next_inbox, wait on `received`, and add the other part from your inbox.",
                "Then write the part that you have just completed, wait again, and copy.",
            ],
            questions: 3,
        },
        Step {
            name: RING,
            title: "more ranks",
            hints: &[
                "In step s of the first round rank r sends part r − s and gets part r − s − 1, all modulo ranks: \
                 add ranks before you subtract.",
                "After it rank r has the sum of part r + 1. In step s of the second round it sends part \
                 r + 1 − s and gets part r − s.",
            ],
            questions: 5,
        },
        Step {
            name: LOSSY,
            title: "on a network that loses packets",
            hints: &[
                "The memory of a WRITE is the card's until it has completed: every part needs a place of its own.",
            ],
            questions: 3,
        },
        Step {
            name: TRAFFIC,
            title: "no more bytes than a ring needs",
            hints: &["Write parts, not the vector: 2 (n − 1) parts of 1/n each."],
            questions: 2,
        },
    ],
    draw: |step, number, dice| Box::new(Game::draw(step, number, dice)),
};

const TWO: &str = "two";
const RING: &str = "ring";
const LOSSY: &str = "lossy";
const TRAFFIC: &str = "traffic";

const SUM: Rule = Rule {
    name: "reduce.sum",
    text: "In the end every rank has, for every place of the vector, the sum of what all ranks had there.",
    source: "this lab",
};

const BYTES: Rule = Rule {
    name: "reduce.bytes",
    text: "Every rank sends its neighbour 2·(n − 1)/n of the vector, and not more.",
    source: "Patarasuk and Yuan, JPDC 69(2), 2009",
};

/// How long a rank that is late works on something else: others could send many parts meanwhile.
const LATE: Duration = Duration::from_micros(100);

#[derive(Debug)]
struct Game {
    seed: u64,
    ranks: u64,
    len: u64,
    /// The rank that begins late, so that its neighbour finds nothing unless it waits.
    late: Option<u64>,
    loss: Chance,
    traffic: bool,
}

impl Game {
    fn draw(step: &str, number: usize, dice: &mut Dice) -> Game {
        let ranks = if step == TWO { 2 } else { 3 + number.min(3) as u64 };
        let part = if step == TRAFFIC { 512 } else { 1 + (number as u64) * (1 + dice.number(5)) };
        let loss = if step == LOSSY { Chance::percent(3) } else { Chance::NEVER };
        let late = (step == RING).then_some(number as u64 % ranks);
        Game { seed: dice.number(31), ranks, len: ranks * part, late, loss, traffic: step == TRAFFIC }
    }

    /// What the harness makes of the right sums.
    fn digest(&self) -> u64 {
        let data = |rank: u64, index: u64| (self.seed + index * 7919 + rank * 104_729) % 1000;
        let sum = |index: u64| (0..self.ranks).map(|rank| data(rank, index)).sum::<u64>();
        (0..self.len).map(sum).fold(self.len, |digest, sum| digest.wrapping_mul(1_000_003).wrapping_add(sum))
    }
}

impl Question for Game {
    fn describe(&self) -> String {
        let late = self.late.map_or(String::new(), |rank| format!(", rank {rank} begins late"));
        format!("{} ranks, {} numbers{late}", self.ranks, self.len)
    }

    fn ask(&self, players: &mut Players<'_>) -> Result<(), Stop> {
        let Game { seed, ranks, len, late, loss, traffic } = *self;
        let link = Link { loss, ..Link::perfect(Duration::from_micros(2)) };
        let part = |rank: u64| {
            let pause = if late == Some(rank) { LATE.as_micros() } else { 0 };
            (format!("rank-{rank}"), format!("{rank} {ranks} {len} {seed} {pause}"))
        };
        let parts: Vec<(String, String)> = (0..ranks).map(part).collect();
        let mut stage = Stage::open(players, seed, link, &parts)?;
        let results = stage.play(players)?;
        let wanted = self.digest().to_string();
        let wrong: Vec<&str> = (0..)
            .zip(&results)
            .filter(|(_, seen)| **seen != wanted)
            .map(|(rank, _): (usize, _)| parts[rank].0.as_str())
            .collect();
        if !wrong.is_empty() {
            let text = format!("wrong sums at {}", wrong.join(", "));
            return Err(stage.wrong(&SUM, vec![Row::text("Seen", &text)]).into());
        }
        let needed = 2 * (ranks - 1) * len / ranks * 8;
        let sent = stage.sent_bytes(0);
        // Headers and acknowledgements are a fifth, with packets as small as these.
        if traffic && sent > needed * 13 / 10 {
            let text = format!("rank 0 sent {sent} bytes, headers included; the parts have {needed}");
            return Err(stage.wrong(&BYTES, vec![Row::text("Seen", &text)]).into());
        }
        Ok(())
    }
}
