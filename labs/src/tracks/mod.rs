//! The same exercises in other languages: their own files and hints, and the same questions, rules and judges.

mod c;
mod python;

use crate::course::{Lab, Language, Step};

pub(crate) use c::{
    ALL_REDUCE_IN_C, ATOMICS_IN_C, BLOCK_DEVICE_IN_C, COMPLETIONS_IN_C, FLOW_CONTROL_IN_C, KEY_VALUE_IN_C,
    ONE_SIDED_IN_C, PING_PONG_IN_C, THREE_WAYS_IN_C,
};
pub(crate) use python::{ATOMICS_IN_PYTHON, PING_PONG_IN_PYTHON};

/// What is different about a lab in another language.
struct Variant {
    name: &'static str,
    title: &'static str,
    text: &'static str,
    file: &'static str,
    starter: &'static str,
    harness: &'static str,
    steps: &'static [Step],
}

const fn variant(
    lab: &Lab,
    language: Language,
    modules: &'static [(&'static str, &'static str)],
    other: Variant,
) -> Lab {
    let Variant { name, title, text, file, starter, harness, steps } = other;
    Lab { name, title, language, text, file, starter, steps, harness, modules, draw: lab.draw }
}

/// A step whose title says enough.
const fn step(
    name: &'static str,
    title: &'static str,
    hints: &'static [&'static str],
    questions: usize,
) -> Step {
    Step { name, title, hints, questions }
}
