//! A student's folder for the time of a test.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use ferroce_labs::{
    Attempt, Check, Failure, Folder, Lab, MAX_COLUMNS, MAX_LINES, Verdict, check, fresh_seed, lab,
};

use crate::{functions, packet_by_hand, protocol, verbs};

/// A folder in which one lab is started.
pub(crate) struct Classroom {
    pub(crate) folder: Folder,
    pub(crate) lab: &'static Lab,
}

impl Classroom {
    pub(crate) fn new(name: &str) -> Classroom {
        let folder = Folder::create(&scratch()).unwrap();
        let lab = lab(name).unwrap();
        folder.start(lab).unwrap();
        Classroom { folder, lab }
    }

    /// Puts `text` into the student's file.
    pub(crate) fn write(&self, text: &str) {
        fs::write(self.folder.file(self.lab), text).unwrap();
    }

    pub(crate) fn check(&self, seed: u64) -> Check {
        check(&self.folder, self.lab, seed).unwrap()
    }

    /// Checks the file as it is with `usual` seeds, or as many as `LABS_SEEDS` says; `judge` says what is wrong with a check.
    /// Gives with how many something was, and the first of it.
    fn over_seeds(
        &self,
        who: &str,
        usual: usize,
        judge: impl Fn(Check) -> Result<(), String>,
    ) -> Option<String> {
        let attempt = Attempt::compile(&self.folder, self.lab).unwrap();
        let seeds: Vec<u64> = seeds(usual).collect();
        let checked = seeds.iter().map(|&seed| judge(attempt.check(seed).unwrap()));
        let wrong: Vec<String> = checked.filter_map(Result::err).collect();
        let first = wrong.first()?;
        Some(format!("{who}: {} of {} seeds: {first}", wrong.len(), seeds.len()))
    }

    /// Checks what must fail.
    pub(crate) fn fail(&self, seed: u64) -> Failure {
        failure(self.check(seed)).unwrap_or_else(|why| panic!("{why}"))
    }
}

/// The failure of a check that must fail; its message must fit a terminal and say how to see it again.
fn failure(check: Check) -> Result<Failure, String> {
    let seed = check.seed;
    let Verdict::Failed(failure) = check.verdict else { return Err(format!("passed with seed {seed}")) };
    let text = failure.to_string();
    let is_command = |line: &&str| ["Again", "Replay", "Hint"].iter().any(|label| line.starts_with(label));
    let mut prose = text.lines().filter(|line| !is_command(line));
    let fits = text.lines().count() <= MAX_LINES && prose.all(|line| line.chars().count() <= MAX_COLUMNS);
    match fits && text.contains(&format!("--seed {seed}\n")) {
        true => Ok(failure),
        false => Err(format!("does not fit a terminal, or has no command with its seed:\n{text}")),
    }
}

impl Drop for Classroom {
    fn drop(&mut self) {
        // Left behind it would only take room.
        let _ = fs::remove_dir_all(self.folder.path());
    }
}

/// A path of its own for each caller. Nothing is there yet.
pub(crate) fn scratch() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("labs-{}-{number} it's", std::process::id());
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The reference solution of a lab.
pub(crate) fn solution(lab: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("course").join(lab).join("solution.rs");
    fs::read_to_string(path).unwrap()
}

/// The solution with one place changed.
pub(crate) fn mutant(lab: &str, from: &str, to: &str) -> String {
    let solution = solution(lab);
    assert_eq!(solution.matches(from).count(), 1, "'{from}' must name one place in the solution");
    solution.replace(from, to)
}

/// How many seeds nobody has seen a program is checked with: so many, or as many as `LABS_SEEDS` says.
fn seeds(usual: usize) -> impl Iterator<Item = u64> {
    let wanted = std::env::var("LABS_SEEDS").ok().map(|text| text.parse().expect("LABS_SEEDS is a number"));
    std::iter::repeat_with(fresh_seed).take(wanted.unwrap_or(usual))
}

/// A wrong solution: what is changed in the right one, the rule it breaks and words of the message. What can break
/// one rule or another first, as the seed has it, names all of them with `|` between, and words likewise.
pub(crate) type Mutant = (&'static str, &'static str, &'static str, &'static str);

/// What the tests know of a lab.
#[derive(Clone)]
pub(crate) struct Expected<'a> {
    /// Its name.
    pub(crate) lab: &'a str,
    /// The rule that the starter breaks, and words of the message.
    pub(crate) starter: (&'a str, &'a str),
    pub(crate) mutants: &'a [Mutant],
}

impl Expected<'_> {
    /// The starter fails for its reason, the solution passes with 20 seeds that nobody has seen, and wrong solutions are told
    /// by the rule they break. All in one room: the compiler needs a third of the time where it has compiled something
    /// similar before.
    pub(crate) fn verify(&self) {
        let room = Classroom::new(self.lab);
        let (rule, words) = self.starter;
        let mut surprises = vec![room.over_seeds("the starter", 1, |check| is_told(check, rule, words))];
        room.write(&solution(self.lab));
        surprises.push(room.over_seeds("the solution", 20, |check| has_passed(&room, check)));
        for (from, to, rules, words) in self.mutants {
            room.write(&mutant(self.lab, from, to));
            surprises
                .push(room.over_seeds(&format!("{from} -> {to}"), 1, |check| is_told(check, rules, words)));
        }
        let surprises: Vec<String> = surprises.into_iter().flatten().collect();
        assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    }
}

/// A failed check says which rule is broken, of nearly all wrong solutions the same whatever the seed. The book tells how many.
#[test]
fn nine_in_ten_wrong_solutions_are_told_by_one_rule() {
    let labs = [functions::LABS, packet_by_hand::LABS, protocol::LABS, verbs::LABS].concat();
    labs.iter().for_each(|expected| assert!(expected.mutants.len() >= 5, "{}", expected.lab));
    let rules: Vec<&str> = labs.iter().flat_map(|expected| expected.mutants).map(|mutant| mutant.2).collect();
    let (all, by_one) = (rules.len(), rules.iter().filter(|rules| !rules.contains('|')).count());
    let by_stage = rules.iter().filter(|rules| rules.starts_with("stage.") && !rules.contains('|')).count();
    assert!(10 * by_one >= 9 * all, "{by_one} of {all}");
    let (labs, others) = (labs.len(), all - by_one);
    let told = format!(
        "Of the {all} wrong solutions of the {labs} labs in Rust, {by_one} are told by one rule, always the same ({by_stage} \
         of these by one about programs that come to no end); {others} break one of several first, as the seed has it."
    );
    let book = include_str!("../../../book/src/teaching.md").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(book.contains(&told), "the book must say: {told}");
}

/// A check must fail by one of these rules, and with some of these words.
fn is_told(check: Check, rules: &str, words: &str) -> Result<(), String> {
    let failure = failure(check)?;
    let text = failure.to_string();
    let rule_fits = rules.split('|').any(|rule| failure.rule() == Some(rule));
    match rule_fits && words.split('|').any(|words| text.contains(words)) {
        true => Ok(()),
        false => Err(format!("not {rules} with '{words}':\n{text}")),
    }
}

/// A check must pass every step.
fn has_passed(room: &Classroom, check: Check) -> Result<(), String> {
    let Check { seed, passed, verdict } = check;
    let is_done = || room.folder.progress(room.lab).unwrap().is_done(room.lab);
    match verdict {
        Verdict::Passed if passed.len() == room.lab.steps.len() && is_done() => Ok(()),
        verdict => Err(format!("seed {seed}: {passed:?}, {verdict:?}")),
    }
}

/// The tests of labs, and `LABS`: for each the rule that the starter breaks and words of the message, and wrong solutions.
macro_rules! lab_tests {
    ($($test:ident $lab:literal starter: $rule:literal $words:literal $mutants:expr;)*) => {
        pub(crate) const LABS: &[crate::classroom::Expected<'static>] = &[$(
            crate::classroom::Expected { lab: $lab, starter: ($rule, $words), mutants: $mutants },
        )*];

        $(#[test]
        fn $test() {
            LABS.iter().find(|expected| expected.lab == $lab).unwrap().verify();
        })*
    };
}

pub(crate) use lab_tests;
