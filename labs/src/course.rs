//! What a lab is, and which there are.

use crate::all_reduce::ALL_REDUCE;
use crate::atomics::ATOMICS;
use crate::attacker::ATTACKER;
use crate::block_device::BLOCK_DEVICE;
use crate::broken_session::BROKEN_SESSION;
use crate::completions::COMPLETIONS;
use crate::dcqcn::DCQCN;
use crate::dice::Dice;
use crate::flow_control::FLOW_CONTROL;
use crate::go_back_n::GO_BACK_N;
use crate::icrc::ICRC;
use crate::interop::INTEROP;
use crate::key_value::KEY_VALUE;
use crate::livelock::LIVELOCK;
use crate::memory_keys::MEMORY_KEYS;
use crate::one_sided::ONE_SIDED;
use crate::packet_by_hand::PACKET_BY_HAND;
use crate::pfc::PFC;
use crate::ping_pong::PING_PONG;
use crate::psn::PSN;
use crate::qp_states::QP_STATES;
use crate::savings::SAVINGS;
use crate::selective_repeat::SELECTIVE_REPEAT;
use crate::talk::{Players, Stop};
use crate::three_ways::THREE_WAYS;
use crate::tracks::{
    ALL_REDUCE_IN_C, ATOMICS_IN_C, ATOMICS_IN_PYTHON, BLOCK_DEVICE_IN_C, COMPLETIONS_IN_C, FLOW_CONTROL_IN_C,
    KEY_VALUE_IN_C, ONE_SIDED_IN_C, PING_PONG_IN_C, PING_PONG_IN_PYTHON, THREE_WAYS_IN_C,
};

/// The text of a file in `labs/course`.
macro_rules! course_file {
    ($path:expr) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/course/", $path))
    };
}

pub(crate) use course_file;

/// All labs in the order in which they are best done, then some of them in other languages.
pub const COURSE: &[Lab] = &[
    SAVINGS,
    PACKET_BY_HAND,
    ICRC,
    MEMORY_KEYS,
    QP_STATES,
    PING_PONG,
    FLOW_CONTROL,
    COMPLETIONS,
    ONE_SIDED,
    KEY_VALUE,
    ATOMICS,
    THREE_WAYS,
    PSN,
    GO_BACK_N,
    LIVELOCK,
    SELECTIVE_REPEAT,
    PFC,
    DCQCN,
    ALL_REDUCE,
    BLOCK_DEVICE,
    ATTACKER,
    BROKEN_SESSION,
    INTEROP,
    PING_PONG_IN_C,
    FLOW_CONTROL_IN_C,
    COMPLETIONS_IN_C,
    ONE_SIDED_IN_C,
    KEY_VALUE_IN_C,
    ATOMICS_IN_C,
    THREE_WAYS_IN_C,
    ALL_REDUCE_IN_C,
    BLOCK_DEVICE_IN_C,
    PING_PONG_IN_PYTHON,
    ATOMICS_IN_PYTHON,
];

/// The lab with this name.
pub fn lab(name: &str) -> Option<&'static Lab> {
    COURSE.iter().find(|lab| lab.name == name)
}

/// A lab. Progress is kept under its name and those of its steps, so labs can move and be added.
#[derive(Debug)]
pub struct Lab {
    /// What it is called on the command line and in the student's folder.
    pub name: &'static str,
    /// What it is called for people.
    pub title: &'static str,
    /// What it is written in.
    pub language: Language,
    /// The text that the student reads, as Markdown.
    pub text: &'static str,
    /// Name of the file that the student edits.
    pub file: &'static str,
    /// What stands in it at first: it compiles, and its check fails.
    pub starter: &'static str,
    /// What is checked, one after the other.
    pub steps: &'static [Step],
    /// The program around the student's file: hears questions, and says the answers.
    pub(crate) harness: &'static str,
    /// Modules that the student's file may use, by name; each is a file that the student can read.
    pub(crate) modules: &'static [(&'static str, &'static str)],
    /// Draws a question of a step. Those with small numbers are simple, so that a failure is shown with the
    /// simplest packet that has it.
    pub(crate) draw: fn(step: &'static str, number: usize, dice: &mut Dice) -> Box<dyn Question>,
}

/// What the student's file is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Compiled with `rustc`; nothing but the standard library.
    Rust,
    /// Compiled with `cc` and the headers of libibverbs, and run with `ferroce run`.
    C,
    /// Run with `ferroce run`; verbs by pyverbs.
    Python,
}

impl Language {
    /// The file that holds a module of this name.
    pub(crate) fn file_of(self, module: &str) -> String {
        let ending = match self {
            Language::Rust => "rs",
            Language::C => "h",
            Language::Python => "py",
        };
        format!("{module}.{ending}")
    }
}

/// A part of a lab that is passed or not.
#[derive(Debug)]
pub struct Step {
    /// Its name in the lab.
    pub name: &'static str,
    /// What it asks for, in a few words.
    pub title: &'static str,
    /// Help, from a nudge to nearly the answer.
    pub hints: &'static [&'static str],
    /// How many questions a check asks.
    pub questions: usize,
}

/// Something that the student's program is asked, or a game that it plays.
pub(crate) trait Question {
    /// The question for people, short.
    fn describe(&self) -> String;

    /// Asks, and judges what comes.
    fn ask(&self, players: &mut Players<'_>) -> Result<(), Stop>;
}
