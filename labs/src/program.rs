//! The student's file as a program: compiled with the lab's harness around it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::bounded::{Bounds, End, run};
use crate::cage::{Cage, Keeper};
use crate::course::{Lab, Language};
use crate::error::LabError;
use crate::folder::Folder;
use crate::foreign;

/// Compiling takes about half a second; only a file that wants to be slow to compile takes longer.
const COMPILE: Bounds = Bounds { time: Duration::from_secs(30), memory_mib: 4096, file_mib: 64 };

/// Most bytes of an error output that are looked at.
const ERRORS_READ: u64 = 16 * 1024;

/// A program that was compiled.
pub(crate) struct Program {
    path: PathBuf,
    folder: PathBuf,
    language: Language,
    keeper: Option<Keeper>,
}

/// What came of compiling.
pub(crate) enum Compiled {
    Ready(Program),
    /// The compiler's words.
    Refused(String),
    TimedOut,
}

impl Program {
    /// Compiles the student's file of `lab`. Compiler and program run in cages if there is a keeper.
    pub(crate) fn compile(folder: &Folder, lab: &Lab, keeper: Option<Keeper>) -> Result<Compiled, LabError> {
        folder.must_have(lab)?;
        let build = folder.hidden().join(lab.name);
        fs::create_dir_all(&build).map_err(LabError::io("make the folder", &build))?;
        let (source, command, path) = match lab.language {
            // Their cards need the network, and whatever the system's Python and compilers need.
            Language::C | Language::Python if keeper.is_some() => {
                return Err(LabError::Helper(format!("{} is no lab in Rust", lab.name)));
            }
            Language::Rust => Self::rustc(folder, lab, &build, keeper.as_ref())?,
            Language::C => foreign::cc(lab, &build)?,
            Language::Python => foreign::python(lab, &build)?,
        };
        let errors = build.join("compile.txt");
        let end = {
            let files = [open(&source)?, create(&build.join("compile.out"))?, create(&errors)?];
            run(&command, &folder.lab(lab), files, &COMPILE)
        };
        let end = end.map_err(LabError::io("run", "/bin/sh"))?;
        match end {
            End::Ended(status) if status.success() => {
                let language = lab.language;
                Ok(Compiled::Ready(Program { path, folder: build, language, keeper }))
            }
            // What a shell says when there is no such program.
            End::Ended(status) if matches!(status.code(), Some(126 | 127)) => Err(match lab.language {
                Language::Rust => LabError::Compiler {
                    command: command.first().map(|word| word.display().to_string()).unwrap_or_default(),
                    error: io::ErrorKind::NotFound.into(),
                },
                language => foreign::missing(language),
            }),
            End::Ended(_) | End::TooMuchOutput => {
                let words = read_start(&errors)?;
                match foreign::is_missing(lab.language, &words) {
                    true => Err(foreign::missing(lab.language)),
                    false => Ok(Compiled::Refused(words)),
                }
            }
            End::TimedOut => Ok(Compiled::TimedOut),
        }
    }

    /// What compiles a lab in Rust: the file for its standard input, the command, and where the program will be.
    fn rustc(
        folder: &Folder,
        lab: &Lab,
        build: &Path,
        keeper: Option<&Keeper>,
    ) -> Result<(PathBuf, Vec<OsString>, PathBuf), LabError> {
        let harness = build.join("harness.rs");
        fs::write(&harness, harness_of(lab)).map_err(LabError::io("write", &harness))?;

        // The harness comes from standard input, so that its `mod` is looked for in the student's folder, and
        // errors and panics name the file just as the student knows it.
        let output = relative_to_lab(lab, "program");
        let args = ["--edition=2024", "--crate-name=lab", "--cap-lints=allow", "--diagnostic-width=72"];
        // What the compiler keeps halves the time of the next check. In few parts: of 256, as it would make, the first
        // check takes half as long again, and the next is no faster.
        let kept = format!("-Cincremental={}", relative_to_lab(lab, "incremental"));
        let speed = ["-Copt-level=0", "-Cdebuginfo=0", "-Ccodegen-units=16", &kept];
        let args = [&args[..], &speed, &["-o", &output, "-"]].concat();
        let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut command = vec![compiler.clone()];
        command.extend(args.iter().map(OsString::from));
        if let Some(keeper) = keeper {
            let root = sysroot(&compiler)?;
            command[0] = root.join("bin/rustc").into();
            let cage = Cage { read: vec![root, folder.lab(lab)], write: vec![build.to_owned()], user: None };
            command = keeper.command(&cage, command);
            // Linkers have files of their own for a while.
            let set = format!("TMPDIR={}", build.display());
            command.splice(0..0, ["env".into(), set.into()]);
        }
        Ok((harness, command, build.join("program")))
    }

    /// What it is written in.
    pub(crate) fn language(&self) -> Language {
        self.language
    }

    /// The program itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How to run it.
    pub(crate) fn command(&self) -> Vec<OsString> {
        let command = vec![self.path.clone().into_os_string()];
        match &self.keeper {
            None => command,
            Some(keeper) => {
                let cage = Cage { read: vec![self.path.clone()], write: Vec::new(), user: Some(keeper.user) };
                keeper.command(&cage, command)
            }
        }
    }

    /// A folder for the files of its runs.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Where the compiler really is: what is called `rustc` may be a program that looks for it.
fn sysroot(compiler: &OsStr) -> Result<PathBuf, LabError> {
    let asked = Command::new(compiler).args(["--print", "sysroot"]).stderr(Stdio::null()).output();
    let command = compiler.display().to_string();
    let output = asked.map_err(|error| LabError::Compiler { command, error })?;
    Ok(PathBuf::from(OsStr::from_bytes(output.stdout.trim_ascii_end())))
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
pub(crate) fn relative_to_lab(lab: &Lab, name: &str) -> String {
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
