//! Checks a lab: compile, ask, judge.

use crate::bounded::End;
use crate::course::{Lab, Question, Step};
use crate::dice::Dice;
use crate::error::LabError;
use crate::failure::{Failure, Row, Wrong};
use crate::folder::Folder;
use crate::program::{Answer, Answers, Compiled, Program};

/// What came of a check.
#[derive(Debug)]
pub struct Check {
    /// The seed that the questions were drawn from: the same one asks the same questions.
    pub seed: u64,
    /// Names of the steps that were passed, which are the first ones.
    pub passed: Vec<&'static str>,
    /// Whether all were.
    pub verdict: Verdict,
}

/// Whether a check was passed.
#[derive(Debug)]
pub enum Verdict {
    /// Every answer was right.
    Passed,
    /// Something was wrong; this says what.
    Failed(Failure),
}

/// Checks the student's file of `lab` with questions drawn from `seed`, and records the progress.
///
/// Takes at most half a minute to compile and five seconds to run, whatever the file is.
///
/// # Errors
/// When there is nothing to check or no compiler. A file that does not compile is a failed check.
pub fn check(folder: &Folder, lab: &Lab, seed: u64) -> Result<Check, LabError> {
    let mut passed = Vec::new();
    let program = Program::compile(folder, lab)?;
    let wrong = match &program {
        Compiled::Ready(program) => ask(program, lab, seed, &mut passed)?,
        Compiled::Refused(words) => Some(Trouble::Refused(words.clone())),
        Compiled::TimedOut => Some(Trouble::CompileTime),
    };
    folder.record(lab, |progress| {
        progress.passed = passed.iter().map(|&name| name.to_owned()).collect();
    })?;
    let verdict = match wrong {
        None => Verdict::Passed,
        Some(trouble) => Verdict::Failed(trouble.tell(folder, lab, passed.len(), seed)),
    };
    Ok(Check { seed, passed, verdict })
}

/// What kept a student from passing.
enum Trouble {
    Refused(String),
    CompileTime,
    Wrong { question: Asked, wrong: Wrong, failing: usize },
    Panicked { question: Asked, message: String },
    NoAnswer { question: Asked, end: End, errors: String },
}

/// One question of a step.
struct Asked {
    number: usize,
    of: usize,
    question: Box<dyn Question>,
}

fn ask(
    program: &Program,
    lab: &Lab,
    seed: u64,
    passed: &mut Vec<&'static str>,
) -> Result<Option<Trouble>, LabError> {
    let mut dice = Dice::new(seed);
    let mut draw = |step: &'static Step| -> Vec<Asked> {
        let draw_one = |number| (lab.draw)(step.name, number, &mut Dice::new(dice.bits()));
        let questions: Vec<_> = (0..step.questions).map(draw_one).collect();
        let of = step.questions;
        questions.into_iter().enumerate().map(|(number, question)| Asked { number, of, question }).collect()
    };
    let steps: Vec<(&Step, Vec<Asked>)> = lab.steps.iter().map(|step| (step, draw(step))).collect();
    let lines: Vec<String> = steps.iter().flat_map(|(_, asked)| asked).map(|a| a.question.line()).collect();
    let token = format!("answer-{:016x}", dice.bits());
    let Answers { answers, end, errors } = program.ask(&lines, &token)?;

    let mut answers = answers.into_iter();
    for (step, asked) in steps {
        let given: Vec<Option<Answer>> = asked.iter().map(|_| answers.next()).collect();
        if let Some(trouble) = judge(asked, given, end, &errors) {
            return Ok(Some(trouble));
        }
        passed.push(step.name);
    }
    Ok(None)
}

/// The first trouble in the answers to the questions of a step.
fn judge(asked: Vec<Asked>, given: Vec<Option<Answer>>, end: End, errors: &str) -> Option<Trouble> {
    let judge_one = |asked: &Asked, answer: &Option<Answer>| match answer {
        Some(Answer::Given(answer)) => asked.question.judge(answer).err(),
        _ => None,
    };
    let failing =
        asked.iter().zip(&given).filter(|(asked, answer)| judge_one(asked, answer).is_some()).count();
    for (question, answer) in asked.into_iter().zip(given) {
        if let Some(wrong) = judge_one(&question, &answer) {
            return Some(Trouble::Wrong { question, wrong, failing });
        }
        match answer {
            Some(Answer::Given(_)) => {}
            Some(Answer::Panicked(message)) => return Some(Trouble::Panicked { question, message }),
            None => return Some(Trouble::NoAnswer { question, end, errors: errors.to_owned() }),
        }
    }
    None
}

impl Trouble {
    /// Puts the trouble into words; `passed` steps came before it.
    fn tell(self, folder: &Folder, lab: &Lab, passed: usize, seed: u64) -> Failure {
        let step = &lab.steps[passed];
        let place = |asked: &Asked| {
            let (at, of, name) = (passed + 1, lab.steps.len(), lab.name);
            let (number, questions) = (asked.number + 1, asked.of);
            format!(
                "{name}, step {at} of {of}: {}   (seed {seed}, question {number} of {questions})",
                step.name
            )
        };
        let (head, rule, rows) = match self {
            Trouble::Refused(words) => {
                let head = format!("{}: {} does not compile", lab.name, lab.file);
                (head, None, vec![Row::exact("rustc", words.lines().map(str::to_owned))])
            }
            Trouble::CompileTime => {
                let head = format!("{}: {} takes too long to compile", lab.name, lab.file);
                let text = "The compiler was stopped after half a minute. Something in the file keeps it busy: \
                            a constant or a macro that never comes to an end?";
                (head, None, vec![Row::text("What", text)])
            }
            Trouble::Wrong { question, wrong, failing } => {
                let mut rows = vec![Row::text("For", &question.question.describe())];
                rows.extend(wrong.rows);
                if failing < question.of {
                    rows.push(Row::text("Count", &format!("{failing} of {} answers are wrong", question.of)));
                }
                (place(&question), Some(wrong.rule), rows)
            }
            Trouble::Panicked { question, message } => {
                let rows = [("For", question.question.describe()), ("Panic", message)];
                (place(&question), None, rows.map(|(label, text)| Row::text(label, &text)).to_vec())
            }
            Trouble::NoAnswer { question, end, errors } => {
                let mut rows = vec![
                    Row::text("For", &question.question.describe()),
                    Row::text("What", &explain_end(end)),
                ];
                if !errors.trim().is_empty() {
                    rows.push(Row::exact("stderr", errors.lines().map(str::to_owned)));
                }
                (place(&question), None, rows)
            }
        };
        Failure::new(head, rule, rows, tail(folder, lab, passed, seed))
    }
}

fn explain_end(end: End) -> String {
    match end {
        End::TimedOut => {
            "No answer: the program was stopped after 5 seconds. Does a loop never end?".to_owned()
        }
        End::TooMuchOutput => {
            "No answer: the program was stopped after it had written more than 4 MiB. Does a loop print?"
                .to_owned()
        }
        End::Ended(status) => {
            format!(
                "No answer: the program ended ({status}). It must return from every call; memory is 512 MiB."
            )
        }
    }
}

/// How to go on.
fn tail(folder: &Folder, lab: &Lab, passed: usize, seed: u64) -> Vec<(&'static str, String)> {
    let names = |steps: &[Step]| steps.iter().map(|step| step.name).collect::<Vec<_>>().join(" ");
    let (done, rest) = lab.steps.split_at(passed);
    let mut tail = Vec::new();
    if !done.is_empty() {
        tail.push(("Passed", names(done)));
    }
    if rest.len() > 1 {
        tail.push(("To come", names(&rest[1..])));
    }
    let (shown, name) = (folder.shown(), lab.name);
    tail.push(("Replay", format!("ferroce lab check {shown} {name} --seed {seed}")));
    tail.push(("Hint", format!("ferroce lab hint {shown} {name}")));
    tail
}
