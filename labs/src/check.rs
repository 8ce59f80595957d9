//! Checks a lab: compile, ask, judge.

use crate::bounded::End;
use crate::cage::Keeper;
use crate::course::{Lab, Language, Question, Step};
use crate::dice::Dice;
use crate::error::LabError;
use crate::failure::{Failure, Row, Wrong};
use crate::folder::Folder;
use crate::program::{Compiled, Program};
use crate::talk::{Players, Silence, Stop};

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

/// A student's file, compiled as it is now. It can be checked with several seeds.
pub struct Attempt<'a> {
    folder: &'a Folder,
    lab: &'a Lab,
    compiled: Compiled,
}

/// Checks the student's file of `lab` with questions drawn from `seed`, and records the progress.
///
/// Takes at most half a minute to compile, five seconds for an answer, and a minute in all, whatever the file is.
///
/// # Errors
/// When there is nothing to check or no compiler. A file that does not compile is a failed check.
pub fn check(folder: &Folder, lab: &Lab, seed: u64) -> Result<Check, LabError> {
    Attempt::compile(folder, lab)?.check(seed)
}

impl<'a> Attempt<'a> {
    /// Compiles the student's file of `lab`, in half a minute at most. If the compiler refuses it, every check fails.
    ///
    /// # Errors
    /// When there is nothing to check or no compiler.
    pub fn compile(folder: &'a Folder, lab: &'a Lab) -> Result<Attempt<'a>, LabError> {
        Ok(Attempt { folder, lab, compiled: Program::compile(folder, lab, None)? })
    }

    /// The same for the file of somebody whom one does not trust: compiler and program are shut in.
    pub(crate) fn compile_shut_in(
        folder: &'a Folder,
        lab: &'a Lab,
        keeper: Keeper,
    ) -> Result<Attempt<'a>, LabError> {
        Ok(Attempt { folder, lab, compiled: Program::compile(folder, lab, Some(keeper))? })
    }

    /// Asks questions drawn from `seed`, and records the progress; takes a minute at most.
    ///
    /// # Errors
    /// When the program could not be run, or the progress not be written.
    pub fn check(&self, seed: u64) -> Result<Check, LabError> {
        let &Attempt { folder, lab, ref compiled } = self;
        let mut passed = Vec::new();
        let wrong = match compiled {
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
}

/// What kept a student from passing.
enum Trouble {
    Refused(String),
    CompileTime,
    /// The wrong answers of a step are counted if all of its questions were asked.
    Wrong {
        question: Asked,
        wrong: Wrong,
        failing: Option<usize>,
    },
    Panicked {
        question: Asked,
        message: String,
    },
    NoAnswer {
        question: Asked,
        silence: Silence,
    },
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
    let mut players = Players::new(program);
    for step in lab.steps {
        let mut draw_one = |number| {
            let question = (lab.draw)(step.name, number, &mut Dice::new(dice.bits()));
            Asked { number, of: step.questions, question }
        };
        let asked: Vec<Asked> = (0..step.questions).map(&mut draw_one).collect();
        if let Some(trouble) = ask_step(asked, &mut players)? {
            return Ok(Some(trouble));
        }
        passed.push(step.name);
    }
    Ok(None)
}

/// Asks the questions of a step, all that can be asked, and gives the first trouble.
fn ask_step(asked: Vec<Asked>, players: &mut Players<'_>) -> Result<Option<Trouble>, LabError> {
    let mut first = None;
    let mut failing = Some(0);
    for question in asked {
        let stop = match question.question.ask(players) {
            Ok(()) => continue,
            Err(Stop::Unable(error)) => return Err(error),
            Err(stop) => stop,
        };
        let waited = match &stop {
            Stop::Wrong(wrong) => wrong.waited,
            stop => matches!(stop, Stop::Silence(_)),
        };
        failing =
            failing.filter(|_| !waited).map(|count| count + usize::from(matches!(stop, Stop::Wrong(_))));
        first = first.or(Some((question, stop)));
        if waited {
            break;
        }
    }
    Ok(first.map(|(question, stop)| match stop {
        Stop::Wrong(wrong) => Trouble::Wrong { question, wrong, failing },
        Stop::Panicked(message) => Trouble::Panicked { question, message },
        Stop::Silence(silence) => Trouble::NoAnswer { question, silence },
        Stop::Unable(_) => unreachable!("returned above"),
    }))
}

impl Trouble {
    /// Puts the trouble into words; `passed` steps came before it.
    fn tell(self, folder: &Folder, lab: &Lab, passed: usize, seed: u64) -> Failure {
        let step = &lab.steps[passed];
        let place = |asked: &Asked| {
            let (at, of, name) = (passed + 1, lab.steps.len(), lab.name);
            let (number, questions) = (asked.number + 1, asked.of);
            format!(
                "{name}, step {at} of {of}: {} (seed {seed}, question {number} of {questions})",
                step.name
            )
        };
        let film = match &self {
            Trouble::Wrong { wrong, .. } => wrong.film.as_ref(),
            _ => None,
        };
        let mut tail = tail(folder, lab, passed, seed);
        if let Some(film) = film {
            let path = folder.recording(lab, film.ending);
            // A failure that cannot be replayed is told all the same.
            if film.save(&path).is_ok() {
                let replay = format!("ferroce replay {} --at {}", folder.shown_file(&path), film.moment);
                tail.insert(tail.len() - 1, ("Replay", replay));
            }
        }
        let (head, rule, rows) = match self {
            Trouble::Refused(words) => {
                let head = format!("{}: {} does not compile", lab.name, lab.file);
                let compiler = match lab.language {
                    Language::Rust => "rustc",
                    Language::C => "cc",
                    Language::Python => "python",
                };
                (head, None, vec![Row::exact(compiler, words.lines().map(str::to_owned))])
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
                if let Some(failing) = failing.filter(|&failing| failing < question.of) {
                    rows.push(Row::text("Count", &format!("{failing} of {} answers are wrong", question.of)));
                }
                (place(&question), Some(wrong.rule), rows)
            }
            Trouble::Panicked { question, message } => {
                let rows = [("For", question.question.describe()), ("Panic", message)];
                (place(&question), None, rows.map(|(label, text)| Row::text(label, &text)).to_vec())
            }
            Trouble::NoAnswer { question, silence: Silence { end, errors } } => {
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
        Failure::new(head, rule, rows, tail)
    }
}

fn explain_end(end: End) -> String {
    match end {
        End::TimedOut => {
            "No answer: the program was stopped after 5 seconds. Does a loop never end?".to_owned()
        }
        End::TooMuchOutput => {
            "No answer: the program was stopped after it had written more than 1 MiB. Does a loop print?"
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
    let which = folder.shown_lab(lab);
    tail.push(("Again", format!("ferroce lab check{which} --seed {seed}")));
    tail.push(("Hint", format!("ferroce lab hint{which}")));
    tail
}
