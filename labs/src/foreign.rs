//! Programs in other languages than Rust: what makes them, and how they are run on cards of this computer.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process;

use crate::course::{Lab, Language};
use crate::error::LabError;
use crate::program::{Program, relative_to_lab};

/// A card for one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Card {
    pub(crate) address: Ipv4Addr,
    /// Percent of the packets sent that are lost.
    pub(crate) loss: u32,
    pub(crate) seed: u64,
    /// Where its packets are recorded.
    pub(crate) record: PathBuf,
}

impl Card {
    /// The card of program `number` of this check, at an address of the loopback network that nobody else has.
    pub(crate) fn new(program: &Program, number: usize, loss: u32, seed: u64) -> Card {
        let [_, _, a, b] = process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, 64 | a & 63, b, (number + 1) as u8);
        let record = program.folder().join(format!("card-{number}-{loss}.pcap"));
        Card { address, loss, seed, record }
    }

    /// The command that runs a program with this card.
    pub(crate) fn command(&self, program: &Program) -> Result<Vec<OsString>, LabError> {
        let ferroce = env::current_exe().map_err(LabError::io("find", "ferroce"))?;
        let mut command: Vec<OsString> = vec![ferroce.into(), "run".into()];
        let settings = [
            ("--address", self.address.to_string()),
            ("--drop", format!("{}%", self.loss)),
            ("--seed", (self.seed % 1_000_000).to_string()),
        ];
        command.extend(settings.iter().flat_map(|(option, value)| [option.into(), value.into()]));
        command.extend(["--record".into(), self.record.clone().into(), "--".into()]);
        if program.language() == Language::Python {
            // What Python keeps of modules would lie about in the student's folder.
            command.extend([python_command().into(), "-B".into()]);
        }
        command.push(program.path().into());
        Ok(command)
    }
}

/// What compiles a lab in C: the file for its standard input, the command, and where the program will be.
pub(crate) fn cc(lab: &Lab, build: &Path) -> Result<(PathBuf, Vec<OsString>, PathBuf), LabError> {
    let harness = write(lab, build, "harness.c")?;
    let hidden = format!("-I{}", relative_to_lab(lab, "."));
    let output = relative_to_lab(lab, "program");
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let args = ["-std=gnu11", "-g", "-O1", "-Wall", &hidden, "-I.", "-x", "c", "-", "-o", &output];
    let libraries = ["-libverbs", "-lrdmacm", "-lpthread"];
    let command = [compiler].into_iter().chain(args.into_iter().chain(libraries).map(OsString::from));
    Ok((harness, command.collect(), build.join("program")))
}

/// What looks whether a lab in Python can be run.
pub(crate) fn python(lab: &Lab, build: &Path) -> Result<(PathBuf, Vec<OsString>, PathBuf), LabError> {
    let harness = write(lab, build, "harness.py")?;
    let look = format!("import pyverbs.device; compile(open({0:?}).read(), {0:?}, 'exec')", lab.file);
    let command = [python_command(), "-B", "-c", &look].map(OsString::from).to_vec();
    Ok((harness.clone(), command, harness))
}

/// The Python that the distribution's packages are for.
fn python_command() -> &'static str {
    const SYSTEM: &str = "/usr/bin/python3";
    if Path::new(SYSTEM).exists() { SYSTEM } else { "python3" }
}

/// Writes the harness, and the modules that it uses, which the student cannot change.
fn write(lab: &Lab, build: &Path, name: &str) -> Result<PathBuf, LabError> {
    let harness = build.join(name);
    let modules = lab.modules.iter().map(|(module, text)| (build.join(lab.language.file_of(module)), *text));
    for (path, text) in modules.chain([(harness.clone(), lab.harness)]) {
        fs::write(&path, text).map_err(LabError::io("write", &path))?;
    }
    Ok(harness)
}

/// Whether words of a compiler say that what this language needs is not installed.
pub(crate) fn is_missing(language: Language, words: &str) -> bool {
    match language {
        Language::Rust => false,
        Language::C => ["infiniband/verbs.h: No such file", "rdma_cma.h: No such file", "cannot find -l"]
            .iter()
            .any(|sign| words.contains(sign)),
        Language::Python => words.contains("No module named 'pyverbs"),
    }
}

/// What this language needs is not installed.
pub(crate) fn missing(language: Language) -> LabError {
    LabError::Packages(match language {
        Language::Python => "python3 python3-pyverbs",
        _ => "gcc libc6-dev libibverbs-dev librdmacm-dev",
    })
}
