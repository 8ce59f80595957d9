//! The lab "PSNs": arithmetic on a circle, and the student's responder against the engine's requester.

mod arithmetic;
mod game;
mod rules;

use crate::course::{Lab, Language, Question, Step, course_file};
use crate::dice::Dice;

pub(crate) const PSN: Lab = Lab {
    name: "psn",
    title: "PSNs",
    language: Language::Rust,
    text: course_file!("psn/README.md"),
    file: "responder.rs",
    starter: course_file!("psn/starter.rs"),
    harness: course_file!("psn/harness.rs"),
    modules: &[],
    steps: &[
        Step {
            name: ADD,
            title: "counting on",
            hints: &["24 bits are what is left after & 0xFF_FFFF."],
            questions: 16,
        },
        Step {
            name: DISTANCE,
            title: "before or after, and how far",
            hints: &[
                "Subtract with wrapping_sub and keep 24 bits: that is the way forwards, from 0 to 2^24 - 1.",
                "If it is 2^23 or more, the way backwards is the shorter one: subtract 2^24.",
            ],
            questions: 32,
        },
        Step {
            name: ORDER,
            title: "packets that are expected, old, or early",
            hints: &[
                "Let distance(expected, psn) decide: 0 is the expected packet, less is old, more is early.",
                "The PSN of the newest packet that was carried out is the one before the expected: \
                 add(expected, 0xFF_FFFF).",
                "Keep a flag that the gap was reported; clear it when the expected packet comes.",
            ],
            questions: 12,
        },
        Step {
            name: ENGINE,
            title: "a real requester, through a network that loses packets",
            hints: &[
                "If this step fails and the one before did not, look at what wraps: PSNs start anywhere.",
            ],
            questions: 12,
        },
    ],
    draw,
};

const ADD: &str = "add";
const DISTANCE: &str = "distance";
const ORDER: &str = "order";
const ENGINE: &str = "engine";

fn draw(step: &'static str, number: usize, dice: &mut Dice) -> Box<dyn Question> {
    match step {
        ADD => Box::new(arithmetic::Sum::draw(number, dice)),
        DISTANCE => Box::new(arithmetic::Distance::draw(number, dice)),
        ORDER => Box::new(game::Game::draw(number, false, dice)),
        _ => Box::new(game::Game::draw(number, true, dice)),
    }
}
