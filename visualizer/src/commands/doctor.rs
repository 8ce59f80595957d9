//! `ferroce doctor`: what this machine lacks, and how to get it.

mod elf;
mod program;

use std::io::{self, Write};

use ferroce_visualizer::machine::{Check, Standing, checks};
use serde::Serialize;

use super::Outcome;
use crate::failure::Failure;
use crate::text::{BAD, FAINT, GOOD, STRONG, WARN, width, wrap};

/// Look at what this machine lacks for each feature, or what a program would miss, and how to get it
///
/// Of a program it tells whether `ferroce run` can give it a device: how it is linked, and which of the names that
/// it needs of libibverbs and librdmacm are there. Nothing is started.
///
/// Without a program it opens sockets at loopback addresses for a moment and changes nothing. Ferroce works with limits; the exit code
/// is 0 if nothing essential is missing, and 1 otherwise.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ferroce doctor

  # Can this program run on Ferroce?
  ferroce doctor ib_write_bw

  # For a script: what is not as it could be?
  ferroce doctor --json | jq -r '.checks[] | select(.standing != \"good\") | .feature + \": \" + .remedy'
")]
pub(crate) struct Args {
    /// Look at this program instead of the machine
    program: Option<String>,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    /// Nothing essential is missing.
    works: bool,
    checks: Vec<Check>,
}

pub(crate) fn run(args: &Args) -> Result<Outcome, Failure> {
    let checks = match &args.program {
        Some(name) => program::checks(name)?,
        None => checks(),
    };
    let works = checks.iter().all(|check| check.standing != Standing::Missing);
    let mut out = anstream::stdout();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &Report { works, checks }).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        for check in &checks {
            print(&mut out, check)?;
        }
        let (style, verdict) = match works {
            true => (GOOD, "Nothing essential is missing."),
            false => (BAD, "Something essential is missing."),
        };
        writeln!(out, "\n{style}{verdict}{style:#}")?;
    }
    out.flush()?;
    Ok(if works { Outcome::Done } else { Outcome::Wrong })
}

fn print(out: &mut impl Write, check: &Check) -> io::Result<()> {
    let (style, mark) = match check.standing {
        Standing::Good => (GOOD, "good"),
        Standing::Limited => (WARN, "limited"),
        Standing::Missing => (BAD, "missing"),
    };
    writeln!(out, "{style}{mark:<8}{style:#} {STRONG}{}{STRONG:#}", check.feature)?;
    for line in wrap(&check.found, width().saturating_sub(9)) {
        writeln!(out, "         {line}")?;
    }
    let remedy = check.remedy.iter().flat_map(|remedy| wrap(remedy, width().saturating_sub(12)));
    for (number, line) in remedy.enumerate() {
        let arrow = if number == 0 { "->" } else { "  " };
        writeln!(out, "         {FAINT}{arrow}{FAINT:#} {line}")?;
    }
    Ok(())
}
