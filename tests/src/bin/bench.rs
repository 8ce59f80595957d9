//! The benchmarks. `tests/bench` runs this.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use ferroce_tests::bench::{self, Report};
use ferroce_tests::vm::Kernel;

/// Measures Ferroce beside references, in one run.
///
/// Absolute figures depend on the machine and on what else it does; the ratios are what to look at. Each figure
/// is the median of several rounds, in which Ferroce and its reference take turns.
#[derive(Parser)]
#[command(name = "bench")]
struct Args {
    /// What to measure; everything but vm if nothing is said.
    groups: Vec<Group>,

    /// Rounds per figure.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Measure only figures whose names contain this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,

    /// The kernel of the virtual machine of the group vm (6.1 or 6.12).
    #[arg(long, default_value_t = Kernel::V6_1)]
    kernel: Kernel,

    /// Write the figures to this file as well.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Draw a flame graph of where the time goes, as SVG, without the references. Needs perf (package linux-perf)
    #[arg(long, value_name = "FILE")]
    flame: Option<PathBuf>,

    /// Measure no references.
    #[arg(long)]
    alone: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    /// Headers and checksums, per packet.
    Wire,
    /// Two engines back to back, without a network.
    Engine,
    /// Two NICs on loop-back sockets, beside plain UDP and TCP.
    Loopback,
    /// Two NICs that meet in shared memory, beside memcpy and UDP.
    Local,
    /// perftest under `ferroce run`, beside the same in Rust.
    Programs,
    /// Many connections, several threads, losses, and NICs at rest.
    Scale,
    /// Two visible NICs on loop-back sockets, looked at and not looked at.
    Watched,
    /// The simulated network.
    Simulation,
    /// Going back in a recorded run.
    Rewind,
    /// perftest in a virtual machine, on Ferroce beside kernel soft-RoCE: only if it is named, and alone. Takes a
    /// quarter of an hour or more; needs QEMU, perftest, and no privileges but namespaces. The machine has two emulated
    /// processors: with anything else to do, two real ones make its figures worthless.
    Vm,
}

impl Args {
    fn groups(&self) -> anyhow::Result<Vec<Group>> {
        if self.groups.is_empty() {
            return Ok(Group::value_variants().iter().copied().filter(|group| *group != Group::Vm).collect());
        }
        let vm = self.groups.contains(&Group::Vm);
        ensure!(
            !vm || self.groups.len() == 1,
            "the group vm takes place in namespaces of its own: name it alone"
        );
        Ok(self.groups.clone())
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if let Some(picture) = &args.flame {
        bench::flame::draw(&same_without_picture(&args), picture)?;
        return Ok(ExitCode::SUCCESS);
    }
    let groups = args.groups()?;
    if groups == [Group::Vm] {
        bench::vm::prepare(args.kernel)?;
    }
    let mut report = Report::new(args.rounds, args.only, args.alone);
    for group in groups {
        match group {
            Group::Wire => bench::wire::run(&mut report),
            Group::Engine => bench::engine::run(&mut report),
            Group::Loopback => bench::loopback::run(&mut report)?,
            Group::Local => bench::local::run(&mut report)?,
            Group::Programs => bench::programs::run(&mut report)?,
            Group::Scale => bench::scale::run(&mut report)?,
            Group::Watched => bench::watched::run(&mut report)?,
            Group::Simulation => bench::simulation::run(&mut report),
            Group::Rewind => bench::rewind::run(&mut report),
            Group::Vm => bench::vm::run(&mut report, args.kernel)?,
        }
    }
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The same benchmarks, as arguments.
fn same_without_picture(args: &Args) -> Vec<String> {
    let named = |group: &Group| group.to_possible_value().map(|value| value.get_name().to_owned());
    let mut same = vec!["--alone".to_owned(), format!("--rounds={}", args.rounds)];
    if !args.only.is_empty() {
        same.push(format!("--only={}", args.only));
    }
    same.extend(args.groups.iter().filter_map(named));
    same
}
