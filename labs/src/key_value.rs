//! The lab "A key-value store": a table that is read by READ alone.

use std::time::Duration;

use ferroce_fabric::Link;

use crate::course::{Lab, Language, Question, Step, course_file};
use crate::dice::Dice;
use crate::failure::{Row, Rule, count};
use crate::stage::{RDMA, Stage};
use crate::talk::{Players, Stop};

pub(crate) const KEY_VALUE: Lab = Lab {
    name: "key-value",
    title: "A key-value store",
    language: Language::Rust,
    text: course_file!("key-value/README.md"),
    file: "table.rs",
    starter: course_file!("key-value/starter.rs"),
    harness: course_file!("key-value/harness.rs"),
    modules: &[RDMA],
    steps: &[
        Step {
            name: ONE,
            title: "a table with one key",
            hints: &[
                "fill writes key.to_be_bytes() and value.to_be_bytes() into a slot: memory.write(slot * 16, ...).",
                "The home of a key can be key % slots.",
                "get posts Op::Read(Remote { addr: table.addr + 16 * slot, rkey: table.rkey }) into 16 bytes of \
                 your own memory (LOCAL_WRITE), waits for the completion, and reads the memory.",
            ],
            questions: 4,
        },
        Step {
            name: MANY,
            title: "many keys, also some that are not there",
            hints: &[
                "If the slot that was read holds another key, read the next one; after the last comes slot 0.",
                "An empty slot ends the search: the key is not there.",
            ],
            questions: 8,
        },
        Step {
            name: FULL,
            title: "a table that has hardly an empty slot",
            hints: &["Stop after as many slots as there are: a full table has no empty slot to end at."],
            questions: 4,
        },
        Step {
            name: THRIFT,
            title: "no more is read than must be",
            hints: &[
                "Read one slot at a time, beginning at the key's home. In a table that is half full hardly any \
                 search needs more than three.",
                "Keys that differ in their upper bits only all have the same home if that is key % slots. Multiply \
                 by a large odd number, and take the upper half of the product.",
            ],
            questions: 4,
        },
    ],
    draw: |step, number, dice| Box::new(Game::draw(step, number, dice)),
};

const ONE: &str = "one";
const MANY: &str = "many";
const FULL: &str = "full";
const THRIFT: &str = "thrift";

/// Bytes of a slot.
const SLOT: u64 = 16;

/// Bytes of BTH, AETH and ICRC around them.
const AROUND: u64 = 20;

/// READs for a search in a table that is half full, on average, that a fair hash stays far below.
const READS: u64 = 6;

const FOUND: Rule = Rule {
    name: "kv.found",
    text: "get returns the value of every key that was filled in.",
    source: "this lab",
};

const MISSING: Rule = Rule {
    name: "kv.missing",
    text: "get returns None for a key that is not in the table.",
    source: "this lab",
};

const BYTES: Rule = Rule {
    name: "kv.bytes",
    text: "A search reads slot after slot from the key's home, not the table.",
    source: "this lab",
};

#[derive(Debug)]
struct Game {
    seed: u64,
    slots: u64,
    pairs: Vec<(u64, u64)>,
    /// What is looked up.
    keys: Vec<u64>,
    thrift: bool,
}

impl Game {
    fn draw(step: &str, number: usize, dice: &mut Dice) -> Game {
        let (slots, count) = match step {
            ONE => (8, 1),
            MANY => (64, 16 + number),
            FULL => (16, 15 + number % 2),
            _ => (256, 128),
        };
        // Keys as programs make them: near each other, with the same low bits, or all over the place.
        let (first, stride) = (1 + dice.number(20), 1 << (4 * (number % 4)));
        let key = |index: usize| first + index as u64 * stride;
        let pairs: Vec<(u64, u64)> = (0..count).map(|index| (key(index), dice.number(32))).collect();
        let missing = if step == ONE { 1 } else { 4 };
        let keys =
            if step == FULL { (0..count + missing).collect() } else { Self::picks(count, missing, dice) };
        let keys = keys.into_iter().map(key).collect();
        Game { seed: dice.bits(), slots, pairs, keys, thrift: step == THRIFT }
    }

    /// Which keys are looked up: some that are there, some that are not.
    fn picks(count: usize, missing: usize, dice: &mut Dice) -> Vec<usize> {
        let there = (0..count.min(24)).map(|_| dice.bits() as usize % count);
        there.chain(count..count + missing).collect()
    }

    /// The value of a key.
    fn value(&self, key: u64) -> Option<u64> {
        self.pairs.iter().find(|(known, _)| *known == key).map(|(_, value)| *value)
    }
}

/// What `get` returned, in words.
fn words(value: Option<u64>) -> String {
    value.map_or("None".to_owned(), |value| format!("Some({value})"))
}

impl Question for Game {
    fn describe(&self) -> String {
        let (filled, keys) = (count(self.pairs.len() as u64, "key"), self.keys.len());
        format!("{} slots, {filled} filled in from {}, {keys} looked up", self.slots, self.pairs[0].0)
    }

    fn ask(&self, players: &mut Players<'_>) -> Result<(), Stop> {
        let pairs: Vec<String> = self.pairs.iter().map(|(key, value)| format!("{key} {value}")).collect();
        let wanted: Vec<String> = self.keys.iter().map(u64::to_string).collect();
        let parts = [
            ("server".to_owned(), format!("{} {}", self.slots, pairs.join(" "))),
            ("client".to_owned(), format!("{} {}", self.slots, wanted.join(" "))),
        ];
        let mut stage = Stage::open(players, self.seed, Link::perfect(Duration::from_micros(2)), &parts)?;
        stage.play(players)?;
        for (key, told) in self.keys.iter().zip(stage.told(1, 0)) {
            let (wanted, seen) =
                (self.value(*key), told.strip_prefix("1 ").and_then(|value| value.parse().ok()));
            if wanted != seen {
                let text = format!("get({key}) returned {}, not {}", words(seen), words(wanted));
                let rule = if wanted.is_some() { &FOUND } else { &MISSING };
                return Err(stage.wrong(rule, vec![Row::text("Seen", &text)]).into());
            }
        }
        let (asked, sent) = (self.keys.len() as u64, stage.sent_bytes(0));
        if self.thrift && sent > asked * READS * (SLOT + AROUND) {
            let text = format!("the server's card sent {} bytes for a key, on average", sent / asked);
            return Err(stage.wrong(&BYTES, vec![Row::text("Seen", &text)]).into());
        }
        Ok(())
    }
}
