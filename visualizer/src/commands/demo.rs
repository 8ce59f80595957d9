//! `ferroce demo`: two NICs on real sockets, every operation, faults on the way, every byte verified.

use std::io::{self, Write};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ferroce_visualizer::demo::stage::{self, Stage};
use ferroce_visualizer::demo::{self, Chance, DemoError, FaultShares, Options, Progress, Row, Summary};
use ferroce_visualizer::tui::{self, App, Played};

use super::Outcome;
use super::personality::PersonalityArgs;
use crate::failure::Failure;
use crate::screen::{has_screen, look, stop_on_signals};
use crate::text::{BAD, FAINT, GOOD, STRONG, WARN, count, thousands, width, wrap};

/// Watch two NICs exchange every operation while packets get lost, and see every byte verified
///
/// Two Ferroce NICs in this process, on two loopback addresses and real UDP sockets, exchange SEND, WRITE, READ
/// and atomics in all variants, in both directions, at every path MTU, from empty messages to 4 MiB. On the way
/// packets are lost, repeated, swapped and damaged. Every byte that arrives is compared with what was sent,
/// every word of every atomic with what it must be.
///
/// Needs no privileges, no network and no RDMA hardware. The exit code is 0 if everything was verified, 1 if
/// anything was wrong or is missing, and 2 if it could not begin.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  # A worse network
  ferroce demo --drop 20% --reorder 10%

  # A perfect one: nothing is sent again
  ferroce demo --drop 0 --duplicate 0 --reorder 0 --corrupt 0

  # For a script: which operations were verified, and how much was sent again?
  ferroce demo --json | jq '.operations[] | {operation, verified, retransmitted}'

  # Keep on for a minute, with other decisions than usual
  ferroce demo --plain --seconds 60 --seed 7
")]
pub(crate) struct Args {
    /// Print lines of text instead of drawing a screen, as happens when the output is not a terminal
    #[arg(long)]
    plain: bool,

    /// Print one JSON object at the end and nothing else
    #[arg(long, conflicts_with = "plain")]
    json: bool,

    /// Draw the screen with ASCII characters only
    #[arg(long, conflicts_with_all = ["plain", "json"])]
    ascii: bool,

    /// Share of the packets that is lost, at most 50%
    #[arg(long, value_name = "SHARE", default_value = "3%", value_parser = share)]
    drop: Chance,

    /// Share of the packets that arrives twice
    #[arg(long, value_name = "SHARE", default_value = "1%", value_parser = share)]
    duplicate: Chance,

    /// Share of the packets that is overtaken by later ones
    #[arg(long, value_name = "SHARE", default_value = "1%", value_parser = share)]
    reorder: Chance,

    /// Share of the packets in which a bit is flipped
    #[arg(long, value_name = "SHARE", default_value = "1%", value_parser = share)]
    corrupt: Chance,

    #[command(flatten)]
    nature: PersonalityArgs,

    /// Decides the messages, and which packets suffer
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Messages of each operation at each path MTU in each direction [default: 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    messages: Option<u64>,

    /// Go on with further rounds for so long [default: one round]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    seconds: Option<u64>,
}

/// A share that leaves a chance for packets to arrive at all.
fn share(text: &str) -> Result<Chance, String> {
    let chance: Chance = text.parse().map_err(|error| format!("{error}"))?;
    if chance > Chance::percent(50.0) {
        return Err("with more than 50% it would take too long".to_owned());
    }
    Ok(chance)
}

pub(crate) fn run(args: &Args) -> Result<Outcome, Failure> {
    let stop = stop_on_signals()?;
    let options = args.options();
    if args.wants_screen() {
        return play(args, &options, &stop);
    }
    let mut out = anstream::stdout();
    let mut written = Ok(());
    let summary = demo::run(&options, &stop, &mut |progress| {
        if !args.json && written.is_ok() {
            written = print_progress(&mut out, &options, &progress);
        }
    });
    let summary = summary.map_err(|error| could_not_begin(&error))?;
    written?;
    if args.json {
        serde_json::to_writer_pretty(&mut out, &summary).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        print_summary(&mut out, &summary, options.duration.is_some())?;
    }
    out.flush()?;
    Ok(if summary.verified { Outcome::Done } else { Outcome::Wrong })
}

/// The demo in slow motion, on a screen.
fn play(args: &Args, options: &Options, stop: &AtomicBool) -> Result<Outcome, Failure> {
    let nature = &args.nature.personality;
    let stage = stage::udp_links().and_then(|links| Stage::new(links, options.seed, options.faults, nature));
    let stage = stage.map_err(|error| could_not_begin(&error))?;
    let played = tui::play(App::new(stage, look(args.ascii)), stop).map_err(|error| {
        Failure::new(format_args!("cannot use the terminal: {error}"), "'ferroce demo --plain' needs none")
    })?;
    print_played(&mut anstream::stdout(), &played)
}

fn print_played(out: &mut impl Write, played: &Played) -> Result<Outcome, Failure> {
    for (operation, messages) in &played.verified {
        let (style, verdict) = if *messages > 0 { (GOOD, "verified") } else { (WARN, "not seen") };
        writeln!(out, "{:<20} {messages:>5}  {style}{verdict}{style:#}", operation.name())?;
    }
    let messages = count(played.verified.iter().map(|(_, messages)| messages).sum(), "message");
    let size = size(played.bytes);
    if let Some(failure) = &played.failure {
        writeln!(out, "{BAD}Wrong:{BAD:#} {failure}")?;
        return Ok(Outcome::Wrong);
    }
    if played.verified.iter().all(|(_, messages)| *messages > 0) {
        writeln!(out, "{GOOD}Verified:{GOOD:#} {messages}, {size}, every byte of them.")?;
        return Ok(Outcome::Done);
    }
    writeln!(
        out,
        "{WARN}Stopped{WARN:#} before every operation was seen; {messages}, {size}, were verified."
    )?;
    paragraph(out, "'ferroce demo --plain' verifies all of them in a few seconds.")?;
    Ok(Outcome::Wrong)
}

impl Args {
    /// A person sits there, and has not asked for something that only makes sense at full speed.
    fn wants_screen(&self) -> bool {
        let plain = self.plain || self.json || self.messages.is_some() || self.seconds.is_some();
        !plain && has_screen()
    }

    fn options(&self) -> Options {
        let [drop, duplicate, reorder, corrupt] =
            [self.drop, self.duplicate, self.reorder, self.corrupt].map(Chance::value);
        Options {
            seed: self.seed,
            faults: FaultShares { drop, duplicate, reorder, corrupt },
            messages: self.messages.unwrap_or(16),
            duration: self.seconds.map(Duration::from_secs),
            personality: self.nature.personality.name,
        }
    }
}

const NEXT: &str = "'ferroce doctor' looks at what this machine lacks";

fn could_not_begin(error: &DemoError) -> Failure {
    // A message of the network part ends with what to do: after the first colon.
    let text = error.to_string();
    match text.split_once(": ") {
        Some((what, next)) => Failure::new(what, next),
        None => Failure::new(text, NEXT),
    }
}

fn print_progress(out: &mut impl Write, options: &Options, progress: &Progress<'_>) -> io::Result<()> {
    match progress {
        Progress::Opened(nics) => {
            for nic in *nics {
                let (name, addr, icrc) = (&nic.name, nic.address, &nic.icrc_check);
                writeln!(out, "NIC {STRONG}{name}{STRONG:#} at {addr}, UDP port 4791, ICRC check: {icrc}")?;
            }
            let FaultShares { drop, duplicate, reorder, corrupt } = options.faults;
            let [drop, duplicate, reorder, corrupt] =
                [drop, duplicate, reorder, corrupt].map(|share| Chance::percent(100.0 * share));
            writeln!(
                out,
                "Of the packets {drop} are lost, {duplicate} doubled, {reorder} late, {corrupt} damaged \
                 (seed {}).\n",
                options.seed
            )?;
            header(out)
        }
        Progress::Operation(row) => print_row(out, row),
        Progress::Round(number, messages) => {
            writeln!(out, "{FAINT}round {number}: {} verified so far{FAINT:#}", count(*messages, "message"))
        }
    }?;
    out.flush()
}

fn header(out: &mut impl Write) -> io::Result<()> {
    let [messages, bytes, packets, lost, again, time] =
        ["messages", "bytes", "packets", "lost", "resent", "time"];
    writeln!(
        out,
        "{STRONG}{:<20} {messages:>8} {bytes:>9} {packets:>7} {lost:>6} {again:>7} {time:>7}  verified{STRONG:#}",
        "operation"
    )
}

fn print_row(out: &mut impl Write, row: &Row) -> io::Result<()> {
    let Row { operation, messages, packets, lost, retransmitted, seconds, .. } = row;
    let size = size(row.bytes);
    let (style, mark) = if row.verified { (GOOD, "yes") } else { (BAD, "NO") };
    writeln!(
        out,
        "{operation:<20} {messages:>8} {size:>9} {packets:>7} {lost:>6} {retransmitted:>7} {seconds:>5.2} s  \
         {style}{mark}{style:#}"
    )
}

/// The end of the table whose lines were printed on the way, or after many rounds the whole table again.
fn print_summary(out: &mut impl Write, summary: &Summary, again: bool) -> io::Result<()> {
    if again {
        writeln!(out)?;
        header(out)?;
        summary.operations.iter().try_for_each(|row| print_row(out, row))?;
    }
    print_row(out, &summary.total)?;
    writeln!(out)?;
    let total = &summary.total;
    let (lost, damaged) = (count(total.lost, "packet"), thousands(total.damaged));
    let disturbed = thousands(total.disturbed);
    paragraph(
        out,
        &format!(
            "{lost} lost on the way; {disturbed} doubled, late or damaged; {damaged} of them recognised as \
             damaged and dropped."
        ),
    )?;
    if let Some(failure) = &summary.failure {
        writeln!(out, "{BAD}Wrong:{BAD:#} {failure}")?;
    }
    let messages = count(total.messages, "message");
    if summary.verified {
        writeln!(out, "{GOOD}Verified:{GOOD:#} {messages}, {}, every byte of them.", size(total.bytes))
    } else if summary.interrupted {
        writeln!(out, "{WARN}Stopped{WARN:#} before all was done; {messages} were verified until then.")
    } else {
        writeln!(out, "{BAD}Not verified.{BAD:#} The seed {} brings the same messages again.", summary.seed)
    }
}

fn paragraph(out: &mut impl Write, text: &str) -> io::Result<()> {
    wrap(text, width()).iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// Bytes with a unit that leaves at most four digits before the point.
fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} B"),
        10_000..=9_999_999 => format!("{:.1} kB", bytes as f64 / 1e3),
        10_000_000..=9_999_999_999 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}
