//! The same seed gives the same verdict, however often and wherever.
//!
//! `LABS_REPEATS=1000` repeats so often, with every lab in Rust, or with those that `LABS_ONLY` names; usually it is a few
//! times with a few of each kind.

use ferroce_labs::{Attempt, COURSE, Language, Verdict};

use crate::classroom::{Classroom, solution};

/// One whose program is asked, two that play against the engine, two on the stage.
const USUAL: [&str; 5] = ["icrc", "psn", "go-back-n", "ping-pong", "one-sided"];

/// Everything that a check says.
fn said(attempt: &Attempt<'_>, seed: u64) -> String {
    let check = attempt.check(seed).unwrap();
    match check.verdict {
        Verdict::Passed => format!("passed {:?}", check.passed),
        Verdict::Failed(failure) => format!("{:?}\n{failure}", check.passed),
    }
}

#[test]
fn a_verdict_never_changes() {
    let wanted = std::env::var("LABS_REPEATS").ok();
    let repeats = wanted.as_ref().map_or(5, |text| text.parse().expect("LABS_REPEATS is a number"));
    let named = std::env::var("LABS_ONLY").ok();
    let is_meant = |name: &str| match (&named, &wanted) {
        (Some(named), _) => named.split(' ').any(|one| one == name),
        (None, Some(_)) => true,
        (None, None) => USUAL.contains(&name),
    };
    let in_rust = COURSE.iter().filter(|lab| lab.language == Language::Rust);
    for lab in in_rust.filter(|lab| is_meant(lab.name)) {
        for text in [solution(lab.name), lab.starter.to_owned()] {
            let room = Classroom::new(lab.name);
            room.write(&text);
            let attempt = Attempt::compile(&room.folder, room.lab).unwrap();
            let first = said(&attempt, 41);
            for _ in 1..repeats {
                assert_eq!(said(&attempt, 41), first, "{}", lab.name);
            }
            let verdict = first.split_whitespace().next().unwrap_or_default();
            println!("{}: {repeats} times {verdict}", lab.name);
        }
    }
}
