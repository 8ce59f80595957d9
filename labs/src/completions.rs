//! The lab "Completions": many writes, few of them signaled.

use std::time::Duration;

use ferroce_fabric::{Chance, Link};

use crate::course::{Lab, Language, Question, Step, course_file};
use crate::dice::Dice;
use crate::failure::{Row, Rule};
use crate::stage::{RDMA, Stage};
use crate::talk::{Players, Stop};

pub(crate) const COMPLETIONS: Lab = Lab {
    name: "completions",
    title: "Completions",
    language: Language::Rust,
    text: course_file!("completions/README.md"),
    file: "writer.rs",
    starter: course_file!("completions/starter.rs"),
    harness: course_file!("completions/harness.rs"),
    modules: &[RDMA],
    steps: &[
        Step {
            name: BLOCKS,
            title: "everything arrives before you return",
            hints: &[
                "The starter does this already, with a completion for every block; it fails the next step.",
                "Every block needs memory of its own until its write is completed.",
            ],
            questions: 6,
        },
        Step {
            name: SPARSE,
            title: "at most one completion for eight writes",
            hints: &[
                "The last argument of send says whether the request is signaled: true for every eighth, and for \
                 the last of all.",
                "Keep count of how many requests are completed: a completion with wr_id n says n + 1. Before you \
                 post number n, wait until fewer than 16 are not completed.",
                "Use n % 16 as the place in a memory of 16 blocks: when there is room in the queue, that place is \
                 free.",
            ],
            questions: 10,
        },
        Step {
            name: LOSSY,
            title: "on a network that loses packets",
            hints: &["A card may read memory again until the completion: wait for it before writing there."],
            questions: 6,
        },
    ],
    draw: |step, number, dice| Box::new(Game::draw(step, number, dice)),
};

const BLOCKS: &str = "blocks";
const SPARSE: &str = "sparse";
const LOSSY: &str = "lossy";

/// Bytes of a block.
const SIZE: usize = 64;

/// Writes for one completion.
const PER_COMPLETION: u64 = 8;

const ARRIVED: Rule = Rule {
    name: "completion.means-done",
    text: "Only a completion says that a request, and all before it, is done; write_all returns when all are.",
    source: "IBTA volume 1, 10.8.5",
};

const CONTENT: Rule = Rule {
    name: "memory.until-completion",
    text: "Memory named in a request is the card's until the request is completed, by its own completion or that \
           of a later one.",
    source: "IBTA volume 1, 10.8.3",
};

const FEW: Rule = Rule {
    name: "completion.sparse",
    text: "At most every eighth request, and the last, asks for a completion.",
    source: "this lab",
};

#[derive(Debug)]
struct Game {
    seed: u64,
    blocks: u64,
    fill: u64,
    loss: Chance,
    sparse: bool,
}

impl Game {
    fn draw(step: &str, number: usize, dice: &mut Dice) -> Game {
        let blocks = match step {
            BLOCKS => 1 + number as u64,
            SPARSE => 8 + 20 * number as u64 + dice.number(3),
            _ => 60 + dice.number(6),
        };
        let loss = if step == LOSSY { Chance::percent(5) } else { Chance::NEVER };
        // No block is full of zeros, as memory is that nobody has written.
        let fill = 1 + dice.number(7);
        Game { seed: dice.bits(), blocks, fill, loss, sparse: step != BLOCKS }
    }
}

impl Question for Game {
    fn describe(&self) -> String {
        format!("blocks = {}, fill = {}", self.blocks, self.fill)
    }

    fn ask(&self, players: &mut Players<'_>) -> Result<(), Stop> {
        let Game { seed, blocks, fill, loss, sparse } = *self;
        let link = Link { loss, ..Link::perfect(Duration::from_micros(2)) };
        let parts = ["target", "writer"].map(|part| (part.to_owned(), format!("{blocks} {fill}")));
        let mut stage = Stage::open(players, seed, link, &parts)?;
        stage.play(players)?;
        let seen = stage.memory(0, 0).unwrap_or_default();
        let wrong = (0..blocks).find(|&n| {
            let at = n as usize * SIZE;
            seen[at..at + SIZE] != [(fill + n) as u8; SIZE]
        });
        if let Some(n) = wrong {
            let byte = seen[n as usize * SIZE];
            let is_missing = seen[n as usize * SIZE..].iter().all(|&byte| byte == 0);
            let wanted = (fill + n) as u8;
            let text =
                format!("block {n} of {blocks} begins with {byte} when write_all returns, not with {wanted}");
            let rule = if is_missing { &ARRIVED } else { &CONTENT };
            return Err(stage.wrong(rule, vec![Row::text("Seen", &text)]).into());
        }
        let (most, seen) = (blocks / PER_COMPLETION + 1, stage.completions(1));
        if sparse && seen > most {
            let text = format!("{seen} completions for {blocks} blocks; {most} are enough");
            return Err(stage.wrong(&FEW, vec![Row::text("Seen", &text)]).into());
        }
        Ok(())
    }
}
