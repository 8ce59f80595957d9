//! `ferroce top`: the running NICs of this user.

use std::io::Write;

use ferroce_visualizer::top::{Row, Top, show};

use super::Outcome;
use crate::failure::Failure;
use crate::screen::{has_screen, look, stop_on_signals};
use crate::text::STRONG;

/// Watch the running NICs of this user: rates, queues, counters
///
/// Lists every Ferroce NIC that runs now in a process of this user and lets itself be looked at: those of 'ferroce
/// demo', of 'ferroce pingpong', and of programs that ask for it (NicBuilder::visible). Looking takes a copy of the
/// NIC's state twice a second and changes nothing; a NIC that nobody looks at does nothing for it. 'f' has the NIC that
/// is picked lose one packet in a hundred, 'r' has it record into a file for 'ferroce replay'; both until they are
/// pressed again.
///
/// Where the output is not a terminal, the list is printed once.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  # Something to look at, and a look at it
  ferroce demo --plain --seconds 60 > /dev/null &
  ferroce top

  # Once, as text
  ferroce top --plain
")]
pub(crate) struct Args {
    /// Print the list once instead of drawing a screen
    #[arg(long)]
    plain: bool,

    /// Draw the screen with ASCII characters only
    #[arg(long, conflicts_with = "plain")]
    ascii: bool,
}

pub(crate) fn run(args: &Args) -> Result<Outcome, Failure> {
    let failed = |error: &dyn std::error::Error| {
        let next = "see that /tmp/ferroce-UID belongs to you alone, or set FERROCE_RUNTIME_DIR";
        Failure::new(format_args!("cannot look for NICs: {error}"), next)
    };
    if !args.plain && has_screen() {
        let stop = stop_on_signals()?;
        show(&look(args.ascii), &stop).map_err(|error| failed(&error))?;
        return Ok(Outcome::Done);
    }
    let mut top = Top::default();
    top.refresh().map_err(|error| failed(&error))?;
    let mut out = anstream::stdout();
    writeln!(out, "{STRONG}{}{STRONG:#}", Row::head())?;
    for row in top.rows.values() {
        writeln!(out, "{}", row.line().trim_end())?;
    }
    Ok(Outcome::Done)
}
