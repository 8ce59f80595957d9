//! The student's file as a program: compiled with the lab's harness around it.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bounded::{Bounds, End, run};
use crate::course::Lab;
use crate::error::LabError;
use crate::folder::Folder;

/// Compiling takes about half a second; only a file that wants to be slow to compile takes longer.
const COMPILE: Bounds = Bounds { time: Duration::from_secs(30), memory_mib: 4096, file_mib: 64 };

/// Most bytes of an error output that are looked at.
const ERRORS_READ: u64 = 16 * 1024;

/// A program that was compiled.
pub(crate) struct Program {
    path: PathBuf,
    folder: PathBuf,
}

/// What came of compiling.
pub(crate) enum Compiled {
    Ready(Program),
    /// The compiler's words.
    Refused(String),
    TimedOut,
}

impl Program {
    /// Compiles the student's file of `lab`.
    pub(crate) fn compile(folder: &Folder, lab: &Lab) -> Result<Compiled, LabError> {
        folder.must_have(lab)?;
        let build = folder.hidden().join(lab.name);
        fs::create_dir_all(&build).map_err(LabError::io("make the folder", &build))?;
        let path = build.join("program");
        let harness = build.join("harness.rs");
        fs::write(&harness, harness_of(lab)).map_err(LabError::io("write", &harness))?;

        // The harness comes from standard input, so that its `mod` is looked for in the student's folder, and
        // errors and panics name the file just as the student knows it.
        let output = relative_to_lab(lab, "program");
        let args = ["--edition=2024", "--crate-name=lab", "--cap-lints=allow", "--diagnostic-width=72"];
        let args = [&args[..], &["-Copt-level=0", "-Cdebuginfo=0", "-o", &output, "-"]].concat();
        let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let errors = build.join("compile.txt");
        let end = {
            let files = [open(&harness)?, create(&build.join("compile.out"))?, create(&errors)?];
            run(Path::new(&compiler), &args, &folder.lab(lab), files, &COMPILE)
        };
        let end = end.map_err(LabError::io("run", "/bin/sh"))?;
        match end {
            End::Ended(status) if status.success() => Ok(Compiled::Ready(Program { path, folder: build })),
            // What a shell says when there is no such program.
            End::Ended(status) if matches!(status.code(), Some(126 | 127)) => Err(LabError::Compiler {
                command: compiler.display().to_string(),
                error: io::ErrorKind::NotFound.into(),
            }),
            End::Ended(_) | End::TooMuchOutput => Ok(Compiled::Refused(read_start(&errors)?)),
            End::TimedOut => Ok(Compiled::TimedOut),
        }
    }

    /// The program itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A folder for the files of its runs.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// The lab's harness with the modules that it uses. They are part of it, not files that a student could change.
fn harness_of(lab: &Lab) -> String {
    let modules = [("talk", include_str!("../course/talk.rs"))];
    let modules = modules.iter().chain(lab.modules);
    modules.fold(lab.harness.to_owned(), |text, (name, source)| {
        format!("{text}\npub mod {name} {{\n{source}\n}}\n")
    })
}

/// Where a file of the hidden folder is, seen from the student's.
fn relative_to_lab(lab: &Lab, name: &str) -> String {
    format!("../.ferroce/{}/{name}", lab.name)
}

fn open(path: &Path) -> Result<File, LabError> {
    File::open(path).map_err(LabError::io("open", path))
}

pub(crate) fn create(path: &Path) -> Result<File, LabError> {
    File::create(path).map_err(LabError::io("write", path))
}

pub(crate) fn read_start(path: &Path) -> Result<String, LabError> {
    let mut bytes = Vec::new();
    open(path)?.take(ERRORS_READ).read_to_end(&mut bytes).map_err(LabError::io("read", path))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
