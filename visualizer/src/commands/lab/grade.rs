//! `ferroce lab grade`: marks for a folder of submissions.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;

use ferroce_labs::{COURSE, Grading, Language, Report, Walls, fresh_seed};

use super::lab_named;
use crate::commands::Outcome;
use crate::failure::Failure;
use crate::text::{BAD, FAINT, STRONG, WARN};

/// Mark a folder of submissions, each in a folder with its author's name
///
/// In an author's folder lie folders of labs, as 'ferroce lab start' makes them, or the files themselves. Every file is
/// checked with the same seeds, which are drawn anew unless they are given; the worst check counts. A mark is the number
/// of steps passed.
///
/// Labs in Rust can be graded; those in other languages run on cards of this computer, where strangers have no place.
///
/// Compiler and program run with bounds on time and memory, without network, and without other files than the
/// system's libraries, as far as this computer's kernel can do that; what it cannot is said.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder of submissions
    dir: PathBuf,
    /// Labs that count [default: all that somebody has handed in]
    #[arg(long = "lab", value_name = "NAME")]
    labs: Vec<String>,
    /// Check with this seed; can be given more than once
    #[arg(long = "seed", value_name = "N")]
    seeds: Vec<u64>,
    /// How many seeds to draw if none is given
    #[arg(long = "seeds", value_name = "N", default_value_t = 3)]
    count: usize,
    /// Submissions to check at the same time [default: one for each processor]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Write everything, with messages, to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the marks to this file, a line for each student and lab
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let labs = if args.labs.is_empty() {
        let in_rust = COURSE.iter().filter(|lab| lab.language == Language::Rust);
        in_rust.filter(|lab| ferroce_labs::is_handed_in(&args.dir, lab)).collect()
    } else {
        args.labs.iter().map(|name| lab_named(name)).collect::<Result<Vec<_>, _>>()?
    };
    let seeds = match &args.seeds[..] {
        [] => std::iter::repeat_with(fresh_seed).take(args.count.max(1)).collect(),
        given => given.to_vec(),
    };
    let this = std::env::current_exe().map_err(|error| {
        Failure::new(format_args!("cannot find this command: {error}"), "call it by its path")
    })?;
    let helper = vec![this.into_os_string(), "lab".into(), "confined".into()];
    let jobs = args.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let report = ferroce_labs::grade(&args.dir, &Grading { labs, seeds, helper, jobs })?;

    warn(report.walls)?;
    table(&report)?;
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&report).expect("strings and numbers");
        write(path, &(text + "\n"))?;
    }
    if let Some(path) = &args.csv {
        write(path, &report.csv())?;
    }
    let faults =
        report.students.iter().flat_map(|student| &student.marks).filter(|mark| mark.fault.is_some());
    match faults.count() {
        0 => Ok(Outcome::Done),
        count => {
            let what = format_args!("{count} submissions could not be checked");
            Err(Failure::new(what, "grade again; if it stays, check room in the folder for temporary files"))
        }
    }
}

/// What the programs could have done here.
fn warn(walls: Walls) -> Result<(), Failure> {
    let lacks = [
        (walls.files, "read your files"),
        (walls.network, "use the network"),
        (walls.processes, "leave processes behind"),
    ];
    let lacks: Vec<&str> = lacks.iter().filter(|(stands, _)| !stands).map(|(_, what)| *what).collect();
    if !lacks.is_empty() {
        let what = lacks.join(", ");
        writeln!(anstream::stderr(), "{WARN}warning:{WARN:#} here, submissions can {what}")?;
    }
    Ok(())
}

fn table(report: &Report) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    let seeds: Vec<String> = report.seeds.iter().map(u64::to_string).collect();
    let width = report.students.iter().map(|student| student.name.chars().count()).max().unwrap_or_default();
    for student in &report.students {
        for (at, mark) in student.marks.iter().enumerate() {
            let name = if at == 0 { clean(&student.name) } else { String::new() };
            write!(out, "{STRONG}{name:<width$}{STRONG:#}  {:<15} {}/{}", mark.lab, mark.passed, mark.steps)?;
            match (&mark.fault, mark.rule) {
                (Some(fault), _) => writeln!(out, "  {BAD}{fault}{BAD:#}")?,
                (None, Some(rule)) => writeln!(out, "  {rule}")?,
                (None, None) => {
                    let line = mark
                        .message
                        .lines()
                        .find(|line| line.starts_with("Panic") || line.starts_with("What"));
                    let line = line.or_else(|| mark.message.lines().next()).unwrap_or_default();
                    let text = clean(line.strip_prefix("What").unwrap_or(line).trim());
                    writeln!(out, "{}{text}", if text.is_empty() { "" } else { "  " })?;
                }
            }
        }
    }
    writeln!(out, "{FAINT}seeds {}{FAINT:#}", seeds.join(" "))?;
    Ok(())
}

/// Words of a stranger, without what could move the cursor or change colours.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(72).collect()
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| {
        let next = "check the name, and that you may write there";
        Failure::new(format_args!("cannot write {}: {error}", path.display()), next)
    })
}
