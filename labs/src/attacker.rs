//! The lab "An attacker": what keys and PSNs are worth.

use ferroce_engine::Psn;

use crate::ask::Ask;
use crate::course::{Lab, Language, Question, Step, course_file};
use crate::dice::Dice;
use crate::failure::Rule;

pub(crate) const ATTACKER: Lab = Lab {
    name: "attacker",
    title: "An attacker",
    language: Language::Rust,
    text: course_file!("attacker/README.md"),
    file: "attack.rs",
    starter: course_file!("attacker/starter.rs"),
    harness: course_file!("attacker/harness.rs"),
    modules: &[],
    steps: &[
        Step {
            name: KEYS,
            title: "keys that give away the next",
            hints: &[
                "seen.windows(2) gives neighbours; wrapping_sub gives the step between them.",
                "Two keys have one step, and one step is always constant. Ask for three keys.",
            ],
            questions: 32,
        },
        Step {
            name: TIME,
            title: "how long it takes to try everything",
            hints: &["There are 1 << bits values, as u64; div_ceil rounds up."],
            questions: 16,
        },
        Step {
            name: INJECT,
            title: "what one packet can do",
            hints: &[
                "How many steps is it from expected to psn, forwards, modulo 2^24?",
                "0 is the expected one; fewer than 2^23 is ahead; everything else is behind.",
            ],
            questions: 24,
        },
    ],
    draw: |step, number, dice| -> Box<dyn Question> {
        Box::new(match step {
            KEYS => keys(number, dice),
            TIME => time(number, dice),
            _ => inject(number, dice),
        })
    },
};

const KEYS: &str = "keys";
const TIME: &str = "time";
const INJECT: &str = "inject";

const SOURCE: &str = "Rothenberger et al., ReDMArk, USENIX Security 2021";

const STEP: Rule = Rule {
    name: "attack.step",
    text: "Three keys or more with the same step between them give away the next: the last and the step, modulo 2^32.",
    source: SOURCE,
};

const DOUBT: Rule = Rule {
    name: "attack.doubt",
    text: "Fewer than three keys, or steps that differ, give nothing away.",
    source: SOURCE,
};

const EFFORT: Rule = Rule {
    name: "attack.time",
    text: "So many bits have 2^bits values; trying them all takes that number divided by the rate, rounded up.",
    source: SOURCE,
};

const PSN: Rule = Rule {
    name: "attack.psn",
    text: "The expected PSN is carried out, one before it is a duplicate, one after it makes the sender go back.",
    source: "IBTA volume 1, 9.7.2",
};

fn keys(number: usize, dice: &mut Dice) -> Ask {
    let count = 1 + number % 8;
    let step = 1 << dice.number(3) << 4;
    // Some are such that the next key is the first beyond 2^32.
    let wraps = number.is_multiple_of(3);
    let first = if wraps { 8u32.wrapping_sub(step * count as u32) } else { dice.number(32) as u32 };
    let mut keys: Vec<u32> = (0..count as u32).map(|n| first.wrapping_add(n * step)).collect();
    let is_odd = number / 8 % 2 == 1;
    if is_odd {
        // One key is out of step: any but the first, so that a look at the first two is not enough.
        let at = count - 1 - number / 16 % count;
        keys[at] = keys[at].wrapping_add(1 + dice.number(10) as u32 * 2);
    }
    let gives_away = count >= 3 && !is_odd;
    let next = gives_away.then(|| keys[count - 1].wrapping_add(step));
    let words: Vec<String> = keys.iter().map(u32::to_string).collect();
    let shown: Vec<String> = keys.iter().map(|key| format!("{key:#x}")).collect();
    Ask {
        shown: format!("next_key(&[{}])", shown.join(", ")),
        line: format!("key {}", words.join(" ")),
        wanted: next.map_or("None".to_owned(), |key| format!("Some({key:#x})")),
        rule: if gives_away { &STEP } else { &DOUBT },
    }
}

fn time(number: usize, dice: &mut Dice) -> Ask {
    let (bits, rate) = match number {
        0 => (24, 1_300_000),
        1 => (56, 1_300_000),
        2 => (8, 256),
        _ => (dice.number(5) as u32 + 16, 1 + dice.number(22)),
    };
    Ask {
        shown: format!("seconds({bits}, {rate})"),
        line: format!("seconds {bits} {rate}"),
        wanted: (1u64 << bits).div_ceil(rate).to_string(),
        rule: &EFFORT,
    }
}

fn inject(number: usize, dice: &mut Dice) -> Ask {
    let expected = Psn::new(match number {
        4 => 0x00ff_fff0,
        _ if number.is_multiple_of(2) => dice.number(24) as u32,
        _ => dice.number(3) as u32,
    });
    let psn = expected
        + match number {
            0 => 0,
            1 => 0x00ff_ffff,
            2 => 0x007f_ffff,
            3 => 0x0080_0000,
            4 => 0x20,
            _ if number.is_multiple_of(3) => dice.number(8) as u32,
            _ if number.is_multiple_of(5) => 0x0100_0000 - 1 - dice.number(8) as u32,
            _ => dice.number(24) as u32,
        };
    let wanted = match psn.distance(expected) {
        0 => "CarriedOut",
        1.. => "GoBack",
        _ => "Ignored",
    };
    Ask {
        shown: format!("inject({expected}, {psn})"),
        line: format!("inject {} {}", expected.value(), psn.value()),
        wanted: wanted.to_owned(),
        rule: &PSN,
    }
}
