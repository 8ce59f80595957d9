//! Where the time of a benchmark goes, as a flame graph.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use inferno::collapse::Collapse;
use inferno::collapse::perf::{Folder, Options};
use inferno::flamegraph;

/// Samples a second, on each processor. Not a round number, so that nothing periodic is met every time.
const RATE: &str = "997";

/// Bytes of each stack that are kept to be unwound.
const STACK: &str = "dwarf,16384";

/// What calls it is the same for all threads.
const THREADS_BEGIN: &str = "std::sys::backtrace::__rust_begin_short_backtrace";

/// Narrowest frame that is drawn, in percent of the whole.
const NARROWEST: f64 = 0.4;

/// Runs this very program with `args` under perf(1), and draws into `picture` in which functions its threads were, and
/// by whom they were called. Time in which a thread sleeps does not show.
///
/// # Errors
/// Where perf is missing or may not look, or a file cannot be written.
pub fn draw(args: &[String], picture: &Path) -> Result<()> {
    let samples = picture.with_extension("samples");
    let status = Command::new("perf")
        .args([
            "record",
            "--quiet",
            "--event",
            "cpu-clock",
            "--freq",
            RATE,
            "--call-graph",
            STACK,
            "--output",
        ])
        .arg(&samples)
        .arg("--")
        .arg(std::env::current_exe()?)
        .args(args)
        .status()
        .context("cannot run perf (package linux-perf)")?;
    ensure!(status.success(), "perf record failed; /proc/sys/kernel/perf_event_paranoid tells who may look");
    let script = Command::new("perf")
        .args(["script", "--no-inline", "--input"])
        .arg(&samples)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?
        .wait_with_output()?;
    std::fs::remove_file(&samples)?;
    let mut stacks = Vec::new();
    let mut options = Options::default();
    options.skip_after = vec![THREADS_BEGIN.to_owned()];
    Folder::from(options).collapse(&script.stdout[..], &mut stacks)?;
    let mut options = flamegraph::Options::default();
    options.title = args.join(" ");
    options.min_width = NARROWEST;
    options.no_javascript = true;
    options.deterministic = true;
    let file = File::create(picture).with_context(|| format!("cannot write {}", picture.display()))?;
    flamegraph::from_reader(&mut options, &stacks[..], file)?;
    println!("drawn into {}", picture.display());
    Ok(())
}
