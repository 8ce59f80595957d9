//! `ferroce lab confined`: shuts itself in and becomes a program.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use ferroce_labs::Cage;

use crate::commands::Outcome;
use crate::failure::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What may be read besides the system's libraries
    #[arg(long, value_name = "PATH")]
    read: Vec<PathBuf>,
    /// What may be written
    #[arg(long, value_name = "PATH")]
    write: Vec<PathBuf>,
    /// Number of the submission: become a user of its own, if this one is root
    #[arg(long, value_name = "N")]
    user: Option<u32>,
    /// Say what the kernel offers, as JSON
    #[arg(long, conflicts_with = "program")]
    probe: bool,
    /// The program and its arguments
    #[arg(last = true)]
    program: Vec<OsString>,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let cage = Cage { read: args.read.clone(), write: args.write.clone(), user: args.user };
    let failed = |error| {
        let next = "grade on a computer with Linux 5.13 or newer, or in a container that allows Landlock";
        Failure::new(format_args!("cannot shut the program in: {error}"), next)
    };
    if args.probe {
        let walls = cage.close().map_err(failed)?;
        writeln!(std::io::stdout(), "{}", serde_json::json!(walls))?;
        return Ok(Outcome::Done);
    }
    Err(failed(cage.become_program(&args.program)))
}
