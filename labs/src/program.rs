//! The student's file as a program: compiled with the lab's harness around it, and asked.

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

/// All questions of a lab together take milliseconds.
const ANSWER: Bounds = Bounds { time: Duration::from_secs(5), memory_mib: 512, file_mib: 4 };

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

/// What the program did.
pub(crate) struct Answers {
    /// One for each question, as far as it came.
    pub(crate) answers: Vec<Answer>,
    /// How it ended.
    pub(crate) end: End,
    /// The start of its error output.
    pub(crate) errors: String,
}

/// What the program did about one question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The answer as the harness writes it.
    Given(String),
    /// The student's code panicked, with this message and place.
    Panicked(String),
}

impl Program {
    /// Compiles the student's file of `lab`.
    pub(crate) fn compile(folder: &Folder, lab: &Lab) -> Result<Compiled, LabError> {
        folder.must_have(lab)?;
        let build = folder.hidden().join(lab.name);
        fs::create_dir_all(&build).map_err(LabError::io("make the folder", &build))?;
        let path = build.join("program");
        let harness = build.join("harness.rs");
        fs::write(&harness, lab.harness).map_err(LabError::io("write", &harness))?;

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

    /// Asks questions, each one line. `token` marks the lines that are answers; anything else that the
    /// program prints is its own business.
    pub(crate) fn ask(&self, questions: &[String], token: &str) -> Result<Answers, LabError> {
        let [input, output, errors] =
            ["questions.txt", "answers.txt", "errors.txt"].map(|name| self.folder.join(name));
        let text = format!("{token}\n{}\n", questions.join("\n"));
        fs::write(&input, text).map_err(LabError::io("write", &input))?;
        let files = [open(&input)?, create(&output)?, create(&errors)?];
        let end = run(&self.path, &[], &self.folder, files, &ANSWER);
        let end = end.map_err(LabError::io("run", &self.path))?;
        let printed = fs::read(&output).map_err(LabError::io("read", &output))?;
        let answers = read_answers(&String::from_utf8_lossy(&printed), token, questions.len());
        Ok(Answers { answers, end, errors: read_start(&errors)? })
    }
}

/// Takes the answers out of what was printed, up to the first that is missing.
fn read_answers(printed: &str, token: &str, count: usize) -> Vec<Answer> {
    let mut answers = Vec::new();
    for line in printed.lines() {
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().unwrap_or_default();
        if word() != token || word() != answers.len().to_string() || answers.len() == count {
            continue;
        }
        match word() {
            "ok" => answers.push(Answer::Given(word().to_owned())),
            "panic" => answers.push(Answer::Panicked(word().to_owned())),
            _ => {}
        }
    }
    answers
}

/// Where a file of the hidden folder is, seen from the student's.
fn relative_to_lab(lab: &Lab, name: &str) -> String {
    format!("../.ferroce/{}/{name}", lab.name)
}

fn open(path: &Path) -> Result<File, LabError> {
    File::open(path).map_err(LabError::io("open", path))
}

fn create(path: &Path) -> Result<File, LabError> {
    File::create(path).map_err(LabError::io("write", path))
}

fn read_start(path: &Path) -> Result<String, LabError> {
    let mut bytes = Vec::new();
    open(path)?.take(ERRORS_READ).read_to_end(&mut bytes).map_err(LabError::io("read", path))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
