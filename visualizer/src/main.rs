//! The `ferroce` command.

#![forbid(unsafe_code)]

mod commands;
mod failure;
mod screen;
mod text;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use commands::{Command, Outcome};

/// A RoCEv2 network card as an ordinary program: to see RDMA work, break it, and test against it.
#[derive(Debug, Parser)]
#[command(name = "ferroce", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "\
Exit codes: 0 all went well, 1 something that was checked is not so, 2 could not do it.
Colours are left out when NO_COLOR is set or the output is not a terminal.
'ferroce COMMAND --help' explains a command and shows examples.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    match Cli::parse().command.run() {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Wrong) => ExitCode::from(1),
        Err(failure) if failure.is_closed_output() => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody is left to tell if this fails too.
            let _ = write!(anstream::stderr(), "{failure}");
            ExitCode::from(2)
        }
    }
}
