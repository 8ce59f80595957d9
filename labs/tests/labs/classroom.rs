//! A student's folder for the time of a test.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use ferroce_labs::{
    Attempt, Check, Failure, Folder, Lab, MAX_COLUMNS, MAX_LINES, Verdict, check, fresh_seed, lab,
};

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

    /// Checks what must fail.
    pub(crate) fn fail(&self, seed: u64) -> Failure {
        failure(self.check(seed))
    }
}

/// The failure of a check that must fail; its message must fit a terminal and say how to see it again.
fn failure(check: Check) -> Failure {
    let seed = check.seed;
    let Verdict::Failed(failure) = check.verdict else { panic!("passed with seed {seed}") };
    let text = failure.to_string();
    assert!(text.lines().count() <= MAX_LINES, "{text}");
    let is_command = |line: &&str| ["Again", "Replay", "Hint"].iter().any(|label| line.starts_with(label));
    let prose = text.lines().filter(|line| !is_command(line));
    prose.for_each(|line| assert!(line.chars().count() <= MAX_COLUMNS, "{line}"));
    assert!(text.contains(&format!("--seed {seed}\n")), "{text}");
    failure
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
pub(crate) struct Expected<'a> {
    /// Its name.
    pub(crate) lab: &'a str,
    /// The rule that the starter breaks, and words of the message.
    pub(crate) starter: (&'a str, &'a str),
    pub(crate) mutants: &'a [Mutant],
}

impl Expected<'_> {
    /// The starter fails for its reason, the solution passes, and wrong solutions are told by the rule they break. All in
    /// one room: the compiler needs a third of the time where it has compiled something similar before.
    pub(crate) fn verify(&self) {
        let room = Classroom::new(self.lab);
        let (rule, words) = self.starter;
        let failure = room.fail(fresh_seed());
        assert_eq!(failure.rule(), Some(rule), "the starter: {failure}");
        assert!(failure.to_string().contains(words), "the starter: {failure}");
        solution_passes(&room);
        reject(&room, self.mutants);
    }
}

/// Every mutant must fail, whatever the seed, by its rule and with its words.
fn reject(room: &Classroom, mutants: &[Mutant]) {
    let mut surprises = Vec::new();
    for (from, to, rules, words) in mutants {
        room.write(&mutant(room.lab.name, from, to));
        let attempt = Attempt::compile(&room.folder, room.lab).unwrap();
        for seed in seeds(1) {
            let check = attempt.check(seed).unwrap();
            if matches!(check.verdict, Verdict::Passed) {
                surprises.push(format!("{from} -> {to}: passed with seed {seed}"));
                break;
            }
            let failure = failure(check);
            let text = failure.to_string();
            let rule_fits = rules.split('|').any(|rule| failure.rule() == Some(rule));
            if !rule_fits || !words.split('|').any(|words| text.contains(words)) {
                surprises.push(format!("{from} -> {to}: not {rules} with '{words}':\n{text}"));
                break;
            }
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}

/// The reference solution passes every step with 20 seeds that nobody has seen.
fn solution_passes(room: &Classroom) {
    room.write(&solution(room.lab.name));
    let steps: Vec<_> = room.lab.steps.iter().map(|step| step.name).collect();
    let attempt = Attempt::compile(&room.folder, room.lab).unwrap();
    for seed in seeds(20) {
        let check = attempt.check(seed).unwrap();
        assert!(matches!(check.verdict, Verdict::Passed), "seed {seed}: {:?}", check.verdict);
        assert_eq!(check.passed, steps);
    }
    assert!(room.folder.progress(room.lab).unwrap().is_done(room.lab));
}

/// The test of a lab: the rule that the starter breaks and words of the message, and wrong solutions.
macro_rules! lab_tests {
    ($test:ident, $lab:literal, starter: $rule:literal $words:literal, $mutants:expr) => {
        #[test]
        fn $test() {
            let mutants: &[crate::classroom::Mutant] = $mutants;
            crate::classroom::Expected { lab: $lab, starter: ($rule, $words), mutants }.verify();
        }
    };
}

pub(crate) use lab_tests;
