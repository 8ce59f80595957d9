//! The student's file against a card that is really there: the same file, with another program around it.

use std::path::PathBuf;

use crate::course::{Lab, course_file};
use crate::error::LabError;
use crate::folder::Folder;
use crate::program::{Compiled, Program};

/// What goes around a requester.
macro_rules! sending {
    ($lab:literal) => {
        concat!(course_file!(concat!($lab, "/wire.rs")), course_file!("sending.rs"))
    };
}

/// The labs whose packets can go to a real card, and what goes around the student's file.
const HARNESSES: [(&str, &str); 5] = [
    ("packet-by-hand", course_file!("packet-by-hand/wire.rs")),
    ("icrc", course_file!("icrc/wire.rs")),
    ("psn", course_file!("psn/wire.rs")),
    ("go-back-n", sending!("go-back-n")),
    ("selective-repeat", sending!("selective-repeat")),
];

const MODULES: &[(&str, &str)] = &[("wire", course_file!("wire.rs"))];

/// Compiles the student's file of `lab` to a program that talks to a card by UDP, and gives its path or the compiler's words.
/// `None` if the lab has nothing for the wire. The program's arguments are: its own IPv4 address and the card's, the number of
/// the queue pair there, and the PSN that it expects first. For the lab "packet-by-hand" address and key of memory there
/// follow. The queue pair there must be connected to [`WIRE_QP`] at this address. The program ends with 0 if all
/// was acknowledged.
///
/// # Errors
/// When there is nothing to compile or no compiler.
pub fn wire_program(folder: &Folder, lab: &Lab) -> Option<Result<Result<PathBuf, String>, LabError>> {
    let (_, harness) = HARNESSES.iter().find(|(name, _)| *name == lab.name)?;
    let lab = Lab { harness, modules: MODULES, ..*lab };
    Some(Program::compile(folder, &lab, None).map(|compiled| match compiled {
        Compiled::Ready(program) => Ok(program.path().to_owned()),
        Compiled::Refused(words) => Err(words),
        Compiled::TimedOut => Err("the compiler was stopped after half a minute".to_owned()),
    }))
}

/// Number of the queue pair that such a program plays.
pub const WIRE_QP: u32 = 0x11;
