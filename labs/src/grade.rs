//! Marks for a folder of submissions, whose authors may have tried anything.
//!
//! Of each submission one file is copied, and everything happens in a folder of the grader's that is removed afterwards.
//! Compiler and program run in a [`Cage`](crate::Cage). The marks come from the answers to questions whose seeds no
//! submission could know; nothing that a program prints has to do with them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde::Serialize;

use crate::cage::{Keeper, Walls};
use crate::check::{Attempt, Verdict};
use crate::course::Lab;
use crate::error::LabError;
use crate::failure::Failure;
use crate::folder::Folder;

/// Most bytes of a submitted file.
const LONGEST_FILE: u64 = 1 << 20;

/// How submissions are graded.
#[derive(Debug)]
pub struct Grading {
    /// The labs that count.
    pub labs: Vec<&'static Lab>,
    /// Every file is checked with each of them, and the worst check counts.
    pub seeds: Vec<u64>,
    /// The command that closes a [`Cage`](crate::Cage) around the program that comes after `--`.
    pub helper: Vec<OsString>,
    /// Submissions that are checked at the same time.
    pub jobs: usize,
}

/// What came of grading.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The seeds that were used.
    pub seeds: Vec<u64>,
    /// What kept the programs in.
    pub walls: Walls,
    /// Everybody's marks, by name.
    pub students: Vec<Student>,
}

/// What one student gets.
#[derive(Debug, Serialize)]
pub struct Student {
    /// Name of the folder.
    pub name: String,
    /// One for each lab.
    pub marks: Vec<Mark>,
}

/// What a student gets for a lab.
#[derive(Debug, Serialize)]
pub struct Mark {
    /// The lab.
    pub lab: &'static str,
    /// Steps that were passed with every seed.
    pub passed: usize,
    /// Steps that it has.
    pub steps: usize,
    /// The rule that was broken, if one was.
    pub rule: Option<&'static str>,
    /// What was wrong, for people; empty if nothing was.
    pub message: String,
    /// Why it could not be checked at all: a fault of the grader or its computer, not of the student.
    pub fault: Option<String>,
}

/// Grades every folder in `dir`. A student's folder is one of labs as `ferroce lab start` makes it, or holds the files
/// themselves. Takes at most half a minute for each file and a minute for each of its checks.
///
/// # Errors
/// When `dir` cannot be read, there is no room for the work, or the helper does not run.
pub fn grade(dir: &Path, grading: &Grading) -> Result<Report, LabError> {
    let names = students(dir)?;
    let walls = walls(&grading.helper)?;
    let work = Work::create()?;
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..grading.jobs.clamp(1, names.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(name) = names.get(number) else { break };
                    let marks = grade_one(&dir.join(name), &work.0.join(number.to_string()), number, grading);
                    let name = name.display().to_string();
                    let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    done.push((number, Student { name, marks }));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    let students = done.into_iter().map(|(_, student)| student).collect();
    Ok(Report { seeds: grading.seeds.clone(), walls, students })
}

impl Report {
    /// The marks as comma-separated values, one line for each student and lab.
    pub fn csv(&self) -> String {
        let mut text = "student,lab,passed,steps,rule,fault\n".to_owned();
        for student in &self.students {
            for Mark { lab, passed, steps, rule, fault, .. } in &student.marks {
                let words = [rule.unwrap_or_default(), fault.as_deref().unwrap_or_default()].map(quoted);
                let name = quoted(&student.name);
                text.push_str(&format!("{name},{lab},{passed},{steps},{},{}\n", words[0], words[1]));
            }
        }
        text
    }
}

/// A field of comma-separated values (RFC 4180).
fn quoted(field: &str) -> String {
    let is_plain = !field.contains(['"', ',', '\n', '\r']);
    if is_plain { field.to_owned() } else { format!("\"{}\"", field.replace('"', "\"\"")) }
}

/// The folders in `dir`, in order.
fn students(dir: &Path) -> Result<Vec<OsString>, LabError> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(dir).map_err(LabError::io("read", dir))? {
        let entry = entry.map_err(LabError::io("read", dir))?;
        // Of the entry itself: a link may lead anywhere.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            names.insert(entry.file_name());
        }
    }
    Ok(names.into_iter().collect())
}

/// What the helper can do here.
fn walls(helper: &[OsString]) -> Result<Walls, LabError> {
    let [program, args @ ..] = helper else { return Err(no_helper("")) };
    let output =
        Command::new(program).args(args).args(["--user", "0", "--probe"]).stdin(Stdio::null()).output();
    let output = output.map_err(LabError::io("run", program))?;
    serde_json::from_slice(&output.stdout).map_err(|_| no_helper(&String::from_utf8_lossy(&output.stderr)))
}

fn no_helper(words: &str) -> LabError {
    LabError::Helper(words.trim().to_owned())
}

/// A folder for the time of grading.
struct Work(PathBuf);

impl Work {
    fn create() -> Result<Work, LabError> {
        let path = std::env::temp_dir().join(format!("ferroce-grade-{}", process::id()));
        // Fails if it is there: nobody can have put something into it.
        fs::create_dir(&path).map_err(LabError::io("make the folder", &path))?;
        Ok(Work(path))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // What is left takes room, and nothing else.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The marks of the student whose files are in `from`; `work` is not there yet.
fn grade_one(from: &Path, work: &Path, number: usize, grading: &Grading) -> Vec<Mark> {
    let keeper = Keeper { helper: grading.helper.clone(), user: u32::try_from(number).unwrap_or_default() };
    let grade_lab = |lab: &&'static Lab| {
        let steps = lab.steps.len();
        let mut mark =
            Mark { lab: lab.name, passed: 0, steps, rule: None, message: String::new(), fault: None };
        let text = match submission(from, lab) {
            Ok(text) => text,
            Err(message) => return Mark { message, ..mark },
        };
        match worst(&text, lab, work, &keeper, &grading.seeds) {
            Ok(None) => mark.passed = steps,
            Ok(Some((passed, failure))) => {
                (mark.passed, mark.rule, mark.message) = (passed, failure.rule(), words(&failure));
            }
            Err(error) => mark.fault = Some(error.to_string()),
        }
        mark
    };
    grading.labs.iter().map(grade_lab).collect()
}

/// Whether somebody in `dir` has handed in a file for `lab`.
pub fn is_handed_in(dir: &Path, lab: &Lab) -> bool {
    let students = students(dir).unwrap_or_default();
    students
        .iter()
        .any(|name| places(&dir.join(name), lab).iter().any(|path| path.is_symlink() || path.exists()))
}

/// Where a student's file may lie.
fn places(from: &Path, lab: &Lab) -> [PathBuf; 2] {
    [from.join(lab.name).join(lab.file), from.join(lab.file)]
}

/// The file that a student has handed in, or why there is none.
fn submission(from: &Path, lab: &Lab) -> Result<Vec<u8>, String> {
    let places = places(from, lab);
    // Links, pipes and the like are no submissions: they lead to other people's files, or to nowhere.
    let found = places.iter().find_map(|path| Some((path, fs::symlink_metadata(path).ok()?)));
    let (path, metadata) = found.ok_or("not handed in")?;
    if !metadata.is_file() {
        return Err(format!("{} is no file", lab.file));
    }
    if metadata.len() > LONGEST_FILE {
        return Err(format!("{} has more than 1 MiB", lab.file));
    }
    fs::read(path).map_err(|error| format!("cannot read {}: {error}", lab.file))
}

/// The worst check, with the number of steps that it passed; `None` if all were passed.
fn worst(
    text: &[u8],
    lab: &'static Lab,
    work: &Path,
    keeper: &Keeper,
    seeds: &[u64],
) -> Result<Option<(usize, Failure)>, LabError> {
    let folder = Folder::create(work)?;
    folder.start(lab)?;
    let file = folder.file(lab);
    fs::write(&file, text).map_err(LabError::io("write", &file))?;
    let attempt = Attempt::compile_shut_in(&folder, lab, keeper.clone())?;
    let mut worst: Option<(usize, Failure)> = None;
    for &seed in seeds {
        let check = attempt.check(seed)?;
        if let Verdict::Failed(failure) = check.verdict
            && worst.as_ref().is_none_or(|(passed, _)| check.passed.len() < *passed)
        {
            worst = Some((check.passed.len(), failure));
        }
    }
    Ok(worst)
}

/// What a failure says, without commands that only its author can run.
fn words(failure: &Failure) -> String {
    let lines = failure.lines().into_iter().filter(|(label, _)| !["Again", "Replay", "Hint"].contains(label));
    lines.map(|(label, text)| format!("{label:<8}{text}\n")).collect()
}
