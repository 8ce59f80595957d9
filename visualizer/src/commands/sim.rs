//! `ferroce sim`: a scenario of the simulated network, or many.

mod plot;
mod progress;
mod record;
mod sweep;
mod table;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ferroce_engine::{NoTrace, Time, TraceEvent};
use ferroce_fabric::{Ending, Scenario, ScenarioError, Simulation, library, named, reference};

use ferroce_visualizer::film::NetworkStory;

use super::Outcome;
use crate::failure::Failure;
use crate::text::{FAINT, STRONG};
use progress::Progress;
use sweep::{Job, Shard};

/// Run a data-centre network in virtual time: hosts with real NICs, switches, congestion, faults
///
/// A scenario is a TOML file, or the name of one that comes with Ferroce. The same scenario and seed give the same
/// packets, to the last bit, on any machine and any number of threads. Ctrl-C ends a run and shows what has come
/// out so far.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  The scenarios that there are
    ferroce sim --list

  One of them, with plots of throughput, rates and queues
    ferroce sim incast --plots DIR

  Write your own: start with the text of one, and see what can be said
    ferroce sim --show incast > mine.toml
    ferroce sim --reference

  The same with another marking threshold and another seed
    ferroce sim mine.toml --set switch.k_max=400KB --seed 7

  All combinations, ten seeds each, on all cores, as a table for other programs
    ferroce sim mine.toml --sweep host.mtu=1024,4096 --sweep host.congestion=none,dcqcn --seeds 10 --csv out.csv

  The third quarter of those, as one of four jobs on four machines
    ferroce sim mine.toml --sweep host.mtu=1024,4096 --seeds 10 --shard 3/4 --csv part3.csv

  Every packet, for Wireshark and 'ferroce explain'
    ferroce sim incast --set duration=50us --pcap incast.pcap

  Everything that happens, to step through: queues, pauses, marks, and what if a packet were lost
    ferroce sim incast --set duration=200us --record incast.frec
    ferroce replay incast.frec
")]
pub(crate) struct Args {
    /// A TOML file, or the name of a scenario
    #[arg(required_unless_present_any = ["list", "reference", "show"])]
    scenario: Option<String>,

    /// List the scenarios that come with Ferroce
    #[arg(long)]
    list: bool,

    /// Print the text of a scenario that comes with Ferroce
    #[arg(long, value_name = "NAME")]
    show: Option<String>,

    /// Print the reference of scenario files, as Markdown
    #[arg(long)]
    reference: bool,

    /// Another seed than the file's
    #[arg(long)]
    seed: Option<u64>,

    /// Set a key of the file, such as switch.k_max=400KB
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Run with each of several values of a key; with several sweeps, every combination
    #[arg(long, value_name = "KEY=VALUE,VALUE…")]
    sweep: Vec<String>,

    /// Run with so many seeds, counting up
    #[arg(long, value_name = "N", default_value_t = 1)]
    seeds: u32,

    /// Run only the I-th of N parts of a sweep
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,

    /// Threads of a sweep [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,

    /// Print JSON instead of tables: an object, or one per line of a sweep
    #[arg(long)]
    json: bool,

    /// Write a line per connection (of a sweep: per run) to FILE
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,

    /// Draw what the scenario samples into SVG files in DIR
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,

    /// Write every packet to a capture file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sweep", "seeds"])]
    pcap: Option<PathBuf>,

    /// Record what every NIC, switch and packet does, for 'ferroce replay'
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sweep", "seeds", "pcap"])]
    record: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<Outcome, Failure> {
    let mut out = anstream::stdout();
    if args.list {
        for (name, text) in library() {
            let scenario = Scenario::parse(text).map_err(|error| wrong(name, &error))?;
            writeln!(out, "{STRONG}{name:<28}{STRONG:#} {}", scenario.title)?;
        }
        return Ok(Outcome::Done);
    }
    if args.reference {
        write!(out, "{}", reference())?;
        return Ok(Outcome::Done);
    }
    if let Some(name) = &args.show {
        write!(out, "{}", text_of(name)?)?;
        return Ok(Outcome::Done);
    }
    let name = args.scenario.as_deref().unwrap_or_default();
    let jobs = sweep::jobs(&text_of(name)?, args)?;
    match &jobs[..] {
        [job] if args.sweep.is_empty() && args.seeds == 1 => single(name, job, args),
        _ => many(&jobs, args),
    }
}

/// The text of a scenario by name, or of a file.
fn text_of(name: &str) -> Result<String, Failure> {
    if let Some(text) = named(name) {
        return Ok(text.to_owned());
    }
    fs::read_to_string(name).map_err(|error| {
        let next = "'ferroce sim --list' names the scenarios that need no file";
        Failure::new(format_args!("cannot read the scenario {name}: {error}"), next)
    })
}

fn wrong(name: &str, error: &ScenarioError) -> Failure {
    Failure::new(format_args!("{name}: {error}"), "'ferroce sim --reference' explains every key")
}

fn single(name: &str, job: &Job, args: &Args) -> Result<Outcome, Failure> {
    let outcome = match (&args.pcap, &args.record) {
        (Some(file), _) => {
            let mut simulation = Simulation::<Vec<(Time, TraceEvent)>>::new(&job.scenario);
            let outcome = Progress::new(name).drive(&mut simulation);
            let written = fs::File::create(file)
                .and_then(|file| simulation.fabric().log().write_pcap(&mut io::BufWriter::new(file)));
            written.map_err(|error| cannot_write(file, &error))?;
            outcome
        }
        (None, Some(file)) => {
            let set: Vec<(String, String)> = sweep::settings(args)?;
            let story = NetworkStory { network: text_of(name)?, set, seed: args.seed, faults: Vec::new() };
            record::run(name, &job.scenario, &story, file).map_err(|error| cannot_write(file, &error))?
        }
        (None, None) => Progress::new(name).drive(&mut Simulation::<NoTrace>::new(&job.scenario)),
    };
    let mut out = anstream::stdout();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &outcome).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        table::print(&mut out, &job.scenario, &outcome)?;
    }
    if let Some(file) = &args.csv {
        fs::write(file, table::csv(&outcome)).map_err(|error| cannot_write(file, &error))?;
    }
    if let Some(folder) = &args.plots {
        let drawn = plot::draw(folder, &outcome).map_err(|error| cannot_write(folder, &error))?;
        if !args.json {
            drawn.iter().try_for_each(|file| writeln!(out, "{FAINT}drawn: {}{FAINT:#}", file.display()))?;
        }
    }
    Ok(if outcome.ending == Ending::Interrupted { Outcome::Wrong } else { Outcome::Done })
}

fn cannot_write(file: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        format_args!("cannot write {}: {error}", file.display()),
        "check that the folder exists and has room",
    )
}

fn many(jobs: &[Job], args: &Args) -> Result<Outcome, Failure> {
    let outcomes = sweep::run(jobs, args.threads);
    let complete = outcomes.iter().all(Option::is_some);
    let done: Vec<(&Job, &ferroce_fabric::Outcome)> =
        jobs.iter().zip(&outcomes).filter_map(|(job, one)| Some((job, one.as_ref()?))).collect();
    let mut out = anstream::stdout();
    if args.json {
        for (job, outcome) in &done {
            serde_json::to_writer(&mut out, &table::Line::new(job, outcome)).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    } else {
        table::print_sweep(&mut out, &done)?;
    }
    if let Some(file) = &args.csv {
        fs::write(file, table::sweep_csv(&done)).map_err(|error| cannot_write(file, &error))?;
    }
    Ok(if complete { Outcome::Done } else { Outcome::Wrong })
}
