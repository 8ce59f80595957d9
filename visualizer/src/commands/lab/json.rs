//! Labs for programs: what `list` and `check` say as JSON.

use std::io::Write;

use ferroce_labs::{COURSE, Folder, Lab, Verdict};
use serde_json::{Value, json};

use crate::commands::Outcome;
use crate::failure::Failure;

/// All labs with their steps, and how far the student is if there is a folder.
pub(super) fn list(folder: Option<&Folder>) -> Result<Outcome, Failure> {
    let labs: Vec<Value> = COURSE.iter().map(|lab| one(folder, lab)).collect::<Result<_, Failure>>()?;
    say(&json!(labs))?;
    Ok(Outcome::Done)
}

fn one(folder: Option<&Folder>, lab: &Lab) -> Result<Value, Failure> {
    let steps: Vec<Value> =
        lab.steps.iter().map(|step| json!({ "name": step.name, "title": step.title })).collect();
    let passed = folder.map(|folder| folder.progress(lab)).transpose()?.map(|progress| progress.passed);
    let is_started = folder.is_some_and(|folder| folder.has(lab));
    Ok(json!({
        "name": lab.name,
        "title": lab.title,
        "file": lab.file,
        "steps": steps,
        "started": is_started,
        "passed": passed.unwrap_or_default(),
    }))
}

/// Checks, and says what a failure says, line by line.
pub(super) fn check(folder: &Folder, lab: &Lab, seed: u64) -> Result<Outcome, Failure> {
    let check = ferroce_labs::check(folder, lab, seed)?;
    let steps: Vec<&str> = lab.steps.iter().map(|step| step.name).collect();
    let mut said = json!({ "lab": lab.name, "seed": seed, "steps": steps, "passed": check.passed });
    let outcome = match check.verdict {
        Verdict::Passed => {
            said["verdict"] = "passed".into();
            Outcome::Done
        }
        Verdict::Failed(failure) => {
            said["verdict"] = "failed".into();
            said["rule"] = failure.rule().into();
            let lines =
                failure.lines().into_iter().map(|(label, text)| json!({ "label": label, "text": text }));
            said["lines"] = lines.collect();
            Outcome::Wrong
        }
    };
    say(&said)?;
    Ok(outcome)
}

fn say(what: &Value) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{what:#}")?;
    Ok(())
}
