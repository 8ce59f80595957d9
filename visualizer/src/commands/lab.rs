//! `ferroce lab`: exercises that say what is right and what is wrong.

mod confined;
mod grade;
mod json;
mod measure;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ferroce_labs::{COURSE, Folder, Lab, LabError, Progress, Verdict};

use super::Outcome;
use crate::failure::Failure;
use crate::text::{BAD, FAINT, GOOD, STRONG, WARN, width, wrap};

/// Do exercises: write a piece of RDMA and have it checked
///
/// Start a lab in a folder of your own, read its README.md, edit the file it names, and check it. A check draws
/// its questions anew each time; when it fails it says which rule of the protocol was broken, what was expected
/// and what was seen, and prints a command that asks the same questions again.
///
/// The exit code of a check is 0 if it passed, 1 if not (a file that does not compile too), and 2 if it could
/// not be made.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  # Begin
  ferroce lab start ~/rdma-labs
  cd ~/rdma-labs/savings

  # Edit savings.rs, check, ask for help
  ferroce lab check
  ferroce lab hint

  # Have it checked whenever you save
  ferroce lab watch
")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List the labs, and how far you are
    List {
        /// The folder that was given to 'start', or one in it
        #[arg(default_value = ".")]
        dir: PathBuf,
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Begin a lab: put its text and the file to edit into a folder
    Start {
        /// Your folder for labs; it is made if it is not there
        dir: PathBuf,
        /// The lab [default: the first that is not started]
        name: Option<String>,
    },
    /// Compile your file and check it
    Check {
        #[command(flatten)]
        place: Place,
        /// Ask the questions of this seed again [default: new ones]
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
        /// Say what came of it as JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Check your file again whenever you save it, until the lab is passed
    Watch(Place),
    /// Get the next hint for the step that the last check failed
    Hint(Place),
    /// Begin a lab anew; your file is kept under another name
    Reset(Place),
    /// Measure what messages cost on this computer, over TCP and with verbs
    Measure,
    /// Mark a folder of submissions, each in a folder with its author's name
    Grade(grade::Args),
    /// Run a program that can reach nothing (for 'grade', which calls it)
    #[command(hide = true)]
    Confined(confined::Args),
}

#[derive(Debug, clap::Args)]
struct Place {
    /// The folder that was given to 'start', or one in it
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// The lab [default: the one whose folder DIR is, else the first started that is not done]
    name: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<Outcome, Failure> {
    match &args.what {
        What::List { dir, json } => list(dir, *json),
        What::Start { dir, name } => start(dir, name.as_deref()),
        What::Check { place, seed, json } => check(place, *seed, *json),
        What::Watch(place) => watch(place),
        What::Hint(place) => hint(place),
        What::Reset(place) => reset(place),
        What::Measure => measure::run(),
        What::Grade(args) => grade::run(args),
        What::Confined(args) => confined::run(args),
    }
}

fn list(dir: &Path, as_json: bool) -> Result<Outcome, Failure> {
    let folder = match Folder::find(dir) {
        Ok((folder, _)) => Some(folder),
        Err(LabError::NoFolder(_)) if dir.as_os_str() == "." => None,
        Err(error) => return Err(error.into()),
    };
    if as_json {
        return json::list(folder.as_ref());
    }
    let mut out = anstream::stdout().lock();
    let name_width = COURSE.iter().map(|lab| lab.name.len()).max().unwrap_or_default();
    let steps = COURSE.iter().flat_map(|lab| lab.steps);
    let step_width = steps.map(|step| step.name.len()).max().unwrap_or_default();
    for lab in COURSE {
        let (name, title) = (lab.name, lab.title);
        write!(out, "{STRONG}{name:<name_width$}{STRONG:#}  {title}")?;
        match &folder {
            Some(folder) if folder.has(lab) => writeln!(out, "  {}", standing(lab, &folder.progress(lab)?))?,
            Some(_) => writeln!(out, "  {FAINT}not started{FAINT:#}")?,
            None => writeln!(out)?,
        }
        for step in lab.steps {
            writeln!(out, "    {:<step_width$}  {}", step.name, step.title)?;
        }
    }
    if folder.is_none() {
        writeln!(out, "\nBegin with 'ferroce lab start DIR', where DIR is a folder of your own.")?;
    }
    Ok(Outcome::Done)
}

fn standing(lab: &Lab, progress: &Progress) -> String {
    match progress.passed.len() {
        _ if progress.is_done(lab) => format!("{GOOD}passed{GOOD:#}"),
        n => format!("{WARN}{n} of {} steps passed{WARN:#}", lab.steps.len()),
    }
}

fn start(dir: &Path, name: Option<&str>) -> Result<Outcome, Failure> {
    let named = name.map(lab_named).transpose()?;
    let folder = Folder::create(dir)?;
    let lab = match named.or_else(|| COURSE.iter().find(|lab| !folder.has(lab))) {
        Some(lab) => lab,
        None => {
            let what = format_args!("all labs have been started in {}", folder.shown());
            return Err(Failure::new(what, "'ferroce lab list' shows how far you are"));
        }
    };
    folder.start(lab)?;
    let mut out = anstream::stdout().lock();
    let file = folder.file(lab);
    let here = file.parent().unwrap_or(&file);
    writeln!(out, "{STRONG}{}{STRONG:#} is in {}", lab.title, here.display())?;
    writeln!(out, "  read   README.md")?;
    writeln!(out, "  edit   {}", lab.file)?;
    writeln!(out, "  check  ferroce lab check {} {}", folder.shown(), lab.name)?;
    Ok(Outcome::Done)
}

fn check(place: &Place, seed: Option<u64>, as_json: bool) -> Result<Outcome, Failure> {
    let (folder, lab) = find(place)?;
    if as_json {
        return json::check(&folder, lab, seed.unwrap_or_else(ferroce_labs::fresh_seed));
    }
    check_lab(&folder, lab, seed)
}

/// How often to look whether the file was saved.
const LOOK: Duration = Duration::from_millis(200);

fn watch(place: &Place) -> Result<Outcome, Failure> {
    let (folder, lab) = find(place)?;
    let file = folder.file(lab);
    let content = || {
        std::fs::read(&file).map_err(|error| {
            Failure::new(
                format_args!("cannot read {}: {error}", file.display()),
                "put the file back, or begin anew: 'ferroce lab reset'",
            )
        })
    };
    loop {
        let checked = content()?;
        if check_lab(&folder, lab, None)? == Outcome::Done {
            return Ok(Outcome::Done);
        }
        writeln!(anstream::stdout(), "{FAINT}waiting until you save {}; Ctrl-C ends{FAINT:#}\n", lab.file)?;
        // An editor may take the file away for a moment while it saves.
        while std::fs::read(&file).map_or(true, |now| now == checked || now.is_empty()) {
            std::thread::sleep(LOOK);
        }
    }
}

fn check_lab(folder: &Folder, lab: &Lab, seed: Option<u64>) -> Result<Outcome, Failure> {
    let seed = seed.unwrap_or_else(ferroce_labs::fresh_seed);
    let check = ferroce_labs::check(folder, lab, seed)?;
    let mut out = anstream::stdout().lock();
    match check.verdict {
        Verdict::Passed => {
            writeln!(out, "{GOOD}PASS{GOOD:#}    {}   (seed {seed})", lab.name)?;
            writeln!(out, "Passed  {}", check.passed.join(" "))?;
            Ok(Outcome::Done)
        }
        Verdict::Failed(failure) => {
            for (label, text) in failure.lines() {
                let style = if label == "FAIL" { BAD } else { STRONG };
                writeln!(out, "{style}{label}{style:#}{:1$}{text}", "", 8 - label.len())?;
            }
            Ok(Outcome::Wrong)
        }
    }
}

fn hint(place: &Place) -> Result<Outcome, Failure> {
    let (folder, lab) = find(place)?;
    let mut out = anstream::stdout().lock();
    let progress = folder.progress(lab)?;
    let Some(step) = lab.steps.iter().find(|step| !progress.passed.contains(step.name)) else {
        writeln!(out, "{}: every step is passed.", lab.name)?;
        return Ok(Outcome::Done);
    };
    let shown = folder.record(lab, |progress| {
        let shown = progress.hints.entry(step.name.to_owned()).or_default();
        *shown = (*shown + 1).min(step.hints.len());
        *shown
    })?;
    writeln!(out, "{STRONG}{}, step {}: {}{STRONG:#}", lab.name, step.name, step.title)?;
    for (number, hint) in (1..).zip(&step.hints[..shown]) {
        let lines = wrap(hint, width().saturating_sub(8));
        let labels =
            [format!("{number} of {}", step.hints.len())].into_iter().chain(std::iter::repeat(String::new()));
        for (label, line) in labels.zip(lines) {
            writeln!(out, "{FAINT}{label:<8}{FAINT:#}{line}")?;
        }
    }
    Ok(Outcome::Done)
}

fn reset(place: &Place) -> Result<Outcome, Failure> {
    let (folder, lab) = find(place)?;
    let kept = folder.reset(lab)?;
    writeln!(anstream::stdout(), "{} begins anew; your file is now {}", lab.name, kept.display())?;
    Ok(Outcome::Done)
}

/// The folder and the lab that are meant.
fn find(place: &Place) -> Result<(Folder, &'static Lab), Failure> {
    let (folder, within) = Folder::find(&place.dir)?;
    if let Some(name) = &place.name {
        return Ok((folder, lab_named(name)?));
    }
    let started: Vec<&Lab> = COURSE.iter().filter(|lab| folder.has(lab)).collect();
    if let Some(lab) = started.iter().find(|lab| Some(lab.name) == within.as_deref()) {
        return Ok((folder, lab));
    }
    for lab in &started {
        if !folder.progress(lab)?.is_done(lab) {
            return Ok((folder, lab));
        }
    }
    match started.first() {
        Some(lab) => Ok((folder, lab)),
        None => {
            let next = format_args!("begin one: 'ferroce lab start {}'", folder.shown());
            Err(Failure::new(format_args!("no lab has been started in {}", folder.shown()), next))
        }
    }
}

fn lab_named(name: &str) -> Result<&'static Lab, Failure> {
    let names = || COURSE.iter().map(|lab| lab.name).collect::<Vec<_>>().join(", ");
    ferroce_labs::lab(name).ok_or_else(|| {
        Failure::new(format_args!("there is no lab '{name}'"), format_args!("there are: {}", names()))
    })
}

impl From<LabError> for Failure {
    fn from(error: LabError) -> Failure {
        let next = match &error {
            LabError::NoFolder(_) => {
                "name the folder that you gave to 'ferroce lab start', or start one: 'ferroce lab start DIR'"
                    .to_owned()
            }
            LabError::NotStarted { lab, folder } => {
                format!("start it: 'ferroce lab start {} {lab}'", folder.display())
            }
            LabError::Exists(_) => {
                "your work is left alone; 'ferroce lab reset' keeps it and begins anew".to_owned()
            }
            LabError::Record { .. } => {
                "remove that file; only the record of what was passed is lost".to_owned()
            }
            LabError::Compiler { .. } => {
                "labs need the Rust compiler: see https://rustup.rs, or set RUSTC to the one to use"
                    .to_owned()
            }
            LabError::Packages(packages) => format!("install them, such as with 'apt install {packages}'"),
            LabError::Helper(_) => "grading needs this command itself: call it by its path".to_owned(),
            LabError::Io { .. } => "check the name, and that you may read and write there".to_owned(),
        };
        Failure::new(error, next)
    }
}
