//! The lab "A remote block device": commands by SEND, data by READ and WRITE.

use std::collections::BTreeMap;
use std::time::Duration;

use ferroce_fabric::{Chance, Link};

use crate::course::{Lab, Language, Question, Step, course_file};
use crate::dice::Dice;
use crate::failure::{Row, Rule, rules};
use crate::stage::{RDMA, Stage};
use crate::talk::{Players, Stop};

pub(crate) const BLOCK_DEVICE: Lab = Lab {
    name: "block-device",
    title: "A remote block device",
    language: Language::Rust,
    text: course_file!("block-device/README.md"),
    file: "disk.rs",
    starter: course_file!("block-device/starter.rs"),
    harness: course_file!("block-device/harness.rs"),
    modules: &[RDMA],
    steps: &[
        Step {
            name: ONE,
            title: "one block at a time",
            hints: &[
                "The client: register memory that peers may read and write, in new; put the block there, send a command that \
                 names its address and key, and wait for the answer. The target posted its receives before.",
                "The target, for a write: post Op::Read from the address in the command into its own memory, wait for \
                 it, and put the block into the store. For a read: Op::Write the block there, then send the answer.",
                "wait for a completion with is_receive on the client: the answer comes as a receive.",
            ],
            questions: 3,
        },
        Step {
            name: BOUNDS,
            title: "blocks that are not there",
            hints: &["Answer that there is no such block, and move no data. The connection goes on."],
            questions: 3,
        },
        Step {
            name: DEPTH,
            title: "eight commands at once",
            hints: &[
                "submit sends a command and returns; finish waits for one answer. Use the slot's number as the number of \
                 the command: the answer says which it is.",
                "The target must not wait for the data of one command while others come: post its READ or WRITE and go on \
                 with the queue; when that completes (wr_id says which command it was), send the answer.",
            ],
            questions: 3,
        },
        Step {
            name: LOSSY,
            title: "on a network that loses packets",
            hints: &["Nothing new. If it fails, two commands share memory somewhere."],
            questions: 3,
        },
    ],
    draw: |step, number, dice| Box::new(Game::draw(step, number, dice)),
};

const ONE: &str = "one";
const BOUNDS: &str = "bounds";
const DEPTH: &str = "depth";
const LOSSY: &str = "lossy";

rules! {
    CONTENT "disk.content" "this lab":
        "What is read from a block is what was last written to it; a block that was never written is zeros.";
    STATUS "disk.bounds" "NVM Express base specification, LBA Out of Range":
        "A command for a block that the device has not gets an error, and all others are carried out.";
    COMMANDS "disk.one-sided" "NVM Express over Fabrics, 1.5":
        "Messages carry commands and answers; blocks are moved by the target, with READ and WRITE.";
    TOGETHER "disk.depth" "this lab":
        "Eight commands at once take much less time than eight after each other.";
}

/// Bytes of a block.
const BLOCK: u64 = 512;

/// Most bytes of a command or answer.
const MESSAGE: usize = 64;

/// Commands that can be under way.
const WINDOW: usize = 8;

/// How long a packet takes.
const LATENCY: Duration = Duration::from_micros(5);

/// A command: a write, or a read, of a block; what is written follows from the number of the command.
#[derive(Clone, Copy, Debug)]
struct Command {
    writes: bool,
    block: u64,
}

#[derive(Debug)]
struct Game {
    seed: u64,
    blocks: u64,
    depth: usize,
    commands: Vec<Command>,
    loss: Chance,
}

impl Game {
    fn draw(step: &str, number: usize, dice: &mut Dice) -> Game {
        let mut blocks = 4 + dice.number(3);
        let (depth, count) = match step {
            DEPTH => (WINDOW, 64),
            LOSSY => (WINDOW, 48),
            _ => (1, 4 + 8 * number),
        };
        let in_windows = blocks.next_multiple_of(WINDOW as u64);
        let mut commands: Vec<Command> = Vec::new();
        for index in 0..count {
            // Commands that are under way together are about blocks of their own.
            let block = (index as u64 + dice.number(8) * WINDOW as u64) % in_windows;
            // First some blocks are written, and those are read.
            commands.push(match index {
                _ if index < depth => Command { writes: true, block },
                _ if index < 2 * depth => Command { writes: false, ..commands[index - depth] },
                _ => Command { writes: dice.flag(), block },
            });
        }
        if step == BOUNDS {
            commands[0] = Command { writes: number.is_multiple_of(2), block: blocks };
            commands[1].block = blocks - 1;
        } else {
            blocks = in_windows;
        }
        Game { seed: dice.number(31), blocks, depth, commands, loss: Self::loss(step) }
    }

    fn loss(step: &str) -> Chance {
        if step == LOSSY { Chance::percent(3) } else { Chance::NEVER }
    }

    /// Whether it is about how many commands are at work together.
    fn is_timed(&self) -> bool {
        self.depth > 1 && self.loss == Chance::NEVER
    }

    /// What shows that commands had to wait for each other.
    fn slow(&self, language: Language, target: &str, told_last: Option<u64>) -> Option<String> {
        let count = self.commands.len();
        if language != Language::Rust {
            // Time is real there: the target's harness counts.
            let most: usize = target.parse().unwrap_or_default();
            let text =
                format!("of {count} commands, {WINDOW} at a time, the target had {most} at work at most");
            return (most < WINDOW / 2).then_some(text);
        }
        // A command takes two ways for itself and its answer, and two more if it is a write; so much for each alone.
        let alone = LATENCY * 2 * count as u32;
        let took = Duration::from_nanos(told_last.unwrap_or(u64::MAX));
        (took > alone / 2).then(|| format!("{count} commands took {took:?}"))
    }

    /// What the client's harness makes of the right answers: a number for each command.
    fn outcomes(&self) -> Vec<u64> {
        let mut store: BTreeMap<u64, u64> = BTreeMap::new();
        let outcome = |(index, command): (usize, &Command)| {
            if command.block >= self.blocks {
                return u64::MAX;
            }
            if command.writes {
                store.insert(command.block, index as u64 + 1);
                return 0;
            }
            store.get(&command.block).map_or(0, |&written| self.sum(written))
        };
        self.commands.iter().enumerate().map(outcome).collect()
    }

    /// The sum of the bytes that command `number`, counted from 1, writes, each times its place.
    fn sum(&self, number: u64) -> u64 {
        (0..BLOCK).map(|at| (at + 1) * ((self.seed + number * 31 + at * 7) & 0xFF)).sum()
    }
}

impl Question for Game {
    fn describe(&self) -> String {
        let (count, blocks, depth) = (self.commands.len(), self.blocks, self.depth);
        format!("{count} commands, {depth} at once, for a device of {blocks} blocks")
    }

    fn ask(&self, players: &mut Players<'_>) -> Result<(), Stop> {
        let link = Link { loss: self.loss, ..Link::perfect(LATENCY) };
        let commands: Vec<String> = self
            .commands
            .iter()
            .map(|command| format!("{} {}", u8::from(command.writes), command.block))
            .collect();
        let (count, together) = (self.commands.len(), if self.is_timed() { self.depth } else { 1 });
        let parts = [
            ("target".to_owned(), format!("{} {together} {count}", self.blocks)),
            ("client".to_owned(), format!("{} {} {}", self.seed, self.depth, commands.join(" "))),
        ];
        let language = players.program().language();
        let mut stage = Stage::open(players, self.seed, link, &parts)?;
        let results = stage.play(players)?;
        let seen =
            |rule: &'static Rule, text: String| Err(stage.wrong(rule, vec![Row::text("Seen", &text)]).into());
        let told: Vec<u64> =
            stage.told(1, 0).iter().flat_map(|words| words.split(' ').map(str::parse)).flatten().collect();
        for (index, wanted) in self.outcomes().into_iter().enumerate() {
            let found = told.get(index).copied();
            if found == Some(wanted) {
                continue;
            }
            let Command { writes, block } = self.commands[index];
            let what = format!(
                "command {}, a {} of block {block}",
                index + 1,
                if writes { "write" } else { "read" }
            );
            return match (wanted, found) {
                (u64::MAX, _) => {
                    seen(&STATUS, format!("{what}, succeeded: the device has {} blocks", self.blocks))
                }
                (_, None | Some(u64::MAX)) => seen(&STATUS, format!("{what}, failed")),
                _ => seen(&CONTENT, format!("{what}, brought something else than was written last")),
            };
        }
        if let Some(bytes) = stage.longest_send().filter(|&bytes| bytes > MESSAGE) {
            return seen(&COMMANDS, format!("a message of {bytes} bytes was sent"));
        }
        if self.is_timed()
            && let Some(text) = self.slow(language, &results[0], told.last().copied())
        {
            return seen(&TOGETHER, text);
        }
        Ok(())
    }
}
