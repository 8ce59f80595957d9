//! The subcommands, one file each. A new one is a file with `Args` and `run`, and a line in each of the two
//! lists below.

mod demo;
mod devices;
mod doctor;
mod explain;
mod lab;
mod link;
mod personality;
mod pingpong;
mod replay;
mod run;
mod sim;
mod top;

use crate::failure::Failure;

/// How a command ended that could do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Exit code 0.
    Done,
    /// Something that was checked is not so: exit code 1.
    Wrong,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Demo(demo::Args),
    Devices(devices::Args),
    Doctor(doctor::Args),
    Explain(explain::Args),
    Lab(lab::Args),
    Pingpong(pingpong::Args),
    Replay(replay::Args),
    Run(run::Args),
    Sim(sim::Args),
    Top(top::Args),
}

impl Command {
    pub(crate) fn run(self) -> Result<Outcome, Failure> {
        match self {
            Self::Demo(args) => demo::run(&args),
            Self::Devices(args) => devices::run(&args),
            Self::Doctor(args) => doctor::run(&args),
            Self::Explain(args) => explain::run(&args),
            Self::Lab(args) => lab::run(&args),
            Self::Pingpong(args) => pingpong::run(&args),
            Self::Replay(args) => replay::run(&args),
            Self::Run(args) => run::run(&args),
            Self::Sim(args) => sim::run(&args),
            Self::Top(args) => top::run(&args),
        }
    }
}
