//! `ferroce replay`: a run on the screen, forwards and backwards.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use ferroce_visualizer::film::{Film, Goal, NetworkStory, Origin, load, tell};
use ferroce_visualizer::player::{App, show};

use super::Outcome;
use crate::failure::Failure;
use crate::screen::{has_screen, look, stop_on_signals};
use crate::text::{BAD, FAINT, STRONG, WARN, count};

/// Replay a recording, a capture or a scenario: step through it, forwards and backwards, and change its past
///
/// Shows queues, PSNs, packets, states, memory and counters at any moment of a run. Everything is reached with
/// single keys; '?' lists them. A simulated run can be made again with another fate for a packet ('x' loses it), and
/// both branches compared.
///
/// FILE is a recording, a capture (pcap or pcapng), or a scenario, which is played first: of two hosts in JSON, or of a
/// network in TOML as 'ferroce sim' takes it; the names of 'ferroce sim --list' will do. Where the output is not a
/// terminal, the events are printed as text.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  # Which packet was lost, and what did the sender do about it? Press d, then r
  ferroce replay tests/data/recordings/lost-packet.frec

  # The same as text
  ferroce replay --plain tests/data/recordings/lost-packet.frec | grep -E 'lost|again'

  # A capture of real NICs
  ferroce replay capture.pcap

  # A scenario: one message of 4000 bytes, its second packet lost; kept as a recording
  echo '{\"messages\": [{\"len\": 4000}], \"faults\": [{\"host\": 0, \"nth\": 2, \"kind\": \"drop\"}]}' > lost.json
  ferroce replay --save lost.frec lost.json

  # Fifteen senders, one receiver: what the switch does with them (press 6, then i)
  ferroce replay incast

Scenarios of two hosts (all fields may be left out):
  seed, mtu, latency_ns, rate (bits/s), timeout, retry_cnt, rnr_retry
  loss, duplicate, reorder, corrupt    how many of a million packets
  messages   at_ns, from (0 or 1), op, len, no_receive, bad_key
             op: send send_imm write write_imm read compare_swap fetch_add
  faults     host, nth (which of its packets), kind
             kind: drop duplicate delay corrupt deliver
")]
pub(crate) struct Args {
    /// Recording, capture or scenario, or the name of a scenario
    file: PathBuf,

    /// Begin after so many events
    #[arg(long, value_name = "N", default_value_t = 0)]
    at: usize,

    /// Print the events as text instead of drawing a screen
    #[arg(long)]
    plain: bool,

    /// Print at most N events
    #[arg(long, value_name = "N")]
    limit: Option<usize>,

    /// Also write it into this file, as a recording
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,

    /// Draw the screen with ASCII characters only
    #[arg(long, conflicts_with = "plain")]
    ascii: bool,
}

pub(crate) fn run(args: &Args) -> Result<Outcome, Failure> {
    let film = film(&args.file)?;
    if let Some(path) = &args.save {
        let saved = File::create(path).and_then(|file| film.write(file));
        saved.map_err(|e| {
            Failure::new(
                format_args!("cannot write {}: {e}", path.display()),
                "choose a file that you may write",
            )
        })?;
    }
    if args.plain || !has_screen() {
        print(&mut BufWriter::new(anstream::stdout().lock()), args, &film)?;
        return Ok(Outcome::Done);
    }
    let stop = stop_on_signals()?;
    let mut app = App::new(film, look(args.ascii));
    app.go(args.at);
    show(app, &stop).map_err(|error| {
        Failure::new(format_args!("cannot use the terminal: {error}"), "'ferroce replay --plain' needs none")
    })?;
    Ok(Outcome::Done)
}

/// The film in a file, or of a scenario that comes with Ferroce.
fn film(path: &Path) -> Result<Film, Failure> {
    let name = path.display();
    let cannot = |error: &dyn std::fmt::Display| {
        let next = "'ferroce replay --help' says what can be replayed";
        Failure::new(format_args!("cannot replay {name}: {error}"), next)
    };
    let title = path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
    match File::open(path) {
        Ok(file) => load(&title, BufReader::new(file)).map_err(|error| cannot(&error)),
        Err(error) => {
            let story = path.to_str().and_then(NetworkStory::named).ok_or_else(|| {
                let next = "check the name; --help shows examples";
                Failure::new(format_args!("cannot open {name}: {error}"), next)
            })?;
            let film = Origin::Network(story).play().map_err(|error| cannot(&error))?;
            Ok(Film { title, ..film })
        }
    }
}

fn print(out: &mut impl Write, args: &Args, film: &Film) -> io::Result<()> {
    let bad = |frame| Goal::Loss.is(film, frame) || Goal::Failure.is(film, frame);
    let frames = film.frames.iter().enumerate().skip(args.at);
    for (index, frame) in frames.take(args.limit.unwrap_or(usize::MAX)) {
        let nanos = frame.at.nanos();
        write!(out, "{FAINT}e{:<7} {:>8}.{:03} us{FAINT:#}  ", index + 1, nanos / 1_000, nanos % 1_000)?;
        let style = match () {
            () if bad(frame) => BAD,
            () if Goal::Retransmission.is(film, frame) => WARN,
            () => anstyle::Style::new(),
        };
        writeln!(out, "{style}{}{style:#}", tell(film, frame))?;
    }
    for remark in &film.remarks {
        writeln!(out, "{WARN}note:{WARN:#} {remark}")?;
    }
    let events = count(film.frames.len() as u64, "event");
    let how_many = |goal: &Goal| film.frames.iter().filter(|frame| goal.is(film, frame)).count() as u64;
    let lost = match how_many(&Goal::Loss) {
        1 => "1 loss".to_owned(),
        losses => format!("{losses} losses"),
    };
    let again = count(how_many(&Goal::Retransmission), "packet");
    writeln!(out, "{STRONG}{}{STRONG:#}: {events}, {lost}, {again} sent again", film.title)?;
    out.flush()
}
