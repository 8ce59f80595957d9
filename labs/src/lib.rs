//! The labs: exercises in which a student writes a piece of RDMA and is told what is right about it.
//!
//! A [`Lab`] is a text, a file to edit, hints, and a check in [`Step`]s. The student's file lives in a
//! [`Folder`] of their own; nothing is written anywhere else. [`check()`] compiles the file, asks it questions
//! drawn from a seed, and judges the answers by what the protocol says, not by comparing with stored outputs:
//! a solution that only knows the questions of one run fails the next.
//!
//! ```no_run
//! use ferroce_labs::{COURSE, Folder, Verdict, check};
//!
//! let lab = &COURSE[0];
//! let folder = Folder::create("rdma-labs".as_ref())?;
//! folder.start(lab)?;
//! match check(&folder, lab, 41)?.verdict {
//!     Verdict::Passed => println!("{} is done", lab.name),
//!     Verdict::Failed(failure) => print!("{failure}"),
//! }
//! # Ok::<_, ferroce_labs::LabError>(())
//! ```

#![forbid(unsafe_code)]

mod all_reduce;
mod ask;
mod atomics;
mod attacker;
mod block_device;
mod bounded;
mod broken_session;
mod cage;
mod check;
mod completions;
mod course;
mod dcqcn;
mod dice;
mod error;
mod failure;
mod film;
mod flow_control;
mod folder;
mod foreign;
mod go_back_n;
mod grade;
mod icrc;
mod interop;
mod key_value;
mod ladder;
mod livelock;
mod measure;
mod memory_keys;
mod network;
mod one_sided;
mod packet_by_hand;
mod peer;
mod pfc;
mod ping_pong;
mod program;
mod psn;
mod qp_states;
mod requester;
mod savings;
mod selective_repeat;
mod stage;
mod talk;
mod three_ways;
mod tracks;
mod wire;

pub use cage::{Cage, Walls};
pub use check::{Attempt, Check, Verdict, check};
pub use course::{COURSE, Lab, Language, Step, lab};
pub use dice::fresh_seed;
pub use error::LabError;
pub use failure::{Failure, MAX_COLUMNS, MAX_LINES};
pub use folder::{Folder, Progress};
pub use grade::{Grading, Mark, Report, Student, grade, is_handed_in};
pub use measure::{Price, over_tcp, with_verbs};
pub use wire::{WIRE_QP, wire_program};
