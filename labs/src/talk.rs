//! Conversations with the student's program, by lines.
//!
//! The program's standard input is a socket, and its harness writes there too. So what the student's code prints
//! gets into nobody's way, and several programs can take part in one exercise, each with a socket of its own.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::bounded::{Bounds, End, Running};
use crate::error::LabError;
use crate::failure::Wrong;
use crate::foreign::Card;
use crate::program::{Program, create, read_start};

/// Bounds of a program. All questions of a lab together take well under a second; the time is long, so that a
/// busy computer changes no verdict.
const ANSWERS: Bounds = Bounds { time: Duration::from_secs(60), memory_mib: 512, file_mib: 1 };

/// The same for a program with a card of this computer: libraries and threads reserve addresses, and the capture of its
/// packets is a file that it writes.
const ON_CARDS: Bounds = Bounds { memory_mib: 8192, file_mib: 64, ..ANSWERS };

/// A single answer takes microseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same for one with a card, which really waits for what is lost.
const PATIENCE_ON_CARDS: Duration = Duration::from_secs(10);

/// Most bytes of one line.
const LONGEST_LINE: u64 = 1 << 20;

/// Programs of one check; what needs more of them at once would be no exercise.
const MOST_PROGRAMS: usize = 256;

/// Why a question has no right answer.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It was answered, and the answer breaks a rule.
    Wrong(Wrong),
    /// The student's code panicked, with this message and place.
    Panicked(String),
    /// There was no answer.
    Silence(Silence),
    /// The check itself could not go on.
    Unable(LabError),
}

impl From<Wrong> for Stop {
    fn from(wrong: Wrong) -> Stop {
        Stop::Wrong(wrong)
    }
}

impl From<LabError> for Stop {
    fn from(error: LabError) -> Stop {
        Stop::Unable(error)
    }
}

/// A program that says nothing more.
#[derive(Debug)]
pub(crate) struct Silence {
    /// How it ended.
    pub(crate) end: End,
    /// The start of its error output.
    pub(crate) errors: String,
}

/// The student's program, as often as an exercise needs it, for the time of one check.
pub(crate) struct Players<'a> {
    program: &'a Program,
    deadline: Instant,
    started: usize,
    answering: Option<Student>,
    /// Programs that have played their part, and can play another.
    idle: Vec<Student>,
    idle_with_cards: Vec<(Card, Student)>,
}

impl<'a> Players<'a> {
    pub(crate) fn new(program: &'a Program) -> Players<'a> {
        Players {
            program,
            deadline: Instant::now() + ANSWERS.time,
            started: 0,
            answering: None,
            idle: Vec::new(),
            idle_with_cards: Vec::new(),
        }
    }

    /// Asks the one program that answers question after question, and gives its answer.
    pub(crate) fn ask(&mut self, line: &str) -> Result<String, Stop> {
        let mut student = match self.answering.take() {
            Some(student) => student,
            None => self.start()?,
        };
        student.say(line)?;
        let answer = student.hear();
        // One that is silent will not speak again; one whose code panicked will.
        if !matches!(answer, Err(Stop::Silence(_))) {
            self.answering = Some(student);
        }
        answer
    }

    /// A program for a part in a play.
    pub(crate) fn start(&mut self) -> Result<Student, Stop> {
        if let Some(student) = self.idle.pop() {
            return Ok(student);
        }
        let command = self.program.command();
        self.launch(&command, ANSWERS, PATIENCE)
    }

    /// A program with a card of its own, which may have played before.
    pub(crate) fn start_with(&mut self, card: &Card) -> Result<Student, Stop> {
        if let Some(at) = self.idle_with_cards.iter().position(|(known, _)| known.address == card.address) {
            let (known, student) = self.idle_with_cards.remove(at);
            if known.loss == card.loss {
                return Ok(student);
            }
        }
        let command = card.command(self.program)?;
        // What an earlier program has recorded would count as this one's, until its card has begun a file of its own.
        if let Err(error) = fs::remove_file(&card.record)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(Stop::Unable(LabError::io("remove", &card.record)(error)));
        }
        self.launch(&command, ON_CARDS, PATIENCE_ON_CARDS)
    }

    fn launch(&mut self, command: &[OsString], bounds: Bounds, patience: Duration) -> Result<Student, Stop> {
        assert!(self.started < MOST_PROGRAMS, "an exercise starts few programs");
        self.started += 1;
        let time = self.deadline.saturating_duration_since(Instant::now());
        Ok(Student::start(self.program, command, self.started, Bounds { time, ..bounds }, patience)?)
    }

    /// What is being checked.
    pub(crate) fn program(&self) -> &'a Program {
        self.program
    }

    /// Takes back a program that has played its part to the end: starting another takes longer than most plays.
    pub(crate) fn rest(&mut self, student: Student) {
        self.idle.push(student);
    }

    /// The same for one with a card.
    pub(crate) fn rest_with(&mut self, card: Card, student: Student) {
        self.idle_with_cards.push((card, student));
    }
}

/// A running program of the student's.
pub(crate) struct Student {
    running: Running,
    /// How long it may take for a line.
    patience: Duration,
    /// What the socket's time-outs are.
    timeout: Duration,
    lines: BufReader<UnixStream>,
    errors: PathBuf,
}

impl Student {
    fn start(
        program: &Program,
        command: &[OsString],
        number: usize,
        bounds: Bounds,
        patience: Duration,
    ) -> Result<Student, LabError> {
        let (folder, path) = (program.folder(), program.path());
        let errors = folder.join(format!("errors-{number}.txt"));
        let output = create(&folder.join(format!("output-{number}.txt")))?;
        let (ours, theirs) = UnixStream::pair().map_err(LabError::io("make a socket for", path))?;
        let files = [Stdio::from(OwnedFd::from(theirs)), output.into(), create(&errors)?.into()];
        let running = Running::start(command, folder, files, &bounds);
        let running = running.map_err(LabError::io("run", path))?;
        let student = Student { running, patience, timeout: patience, lines: BufReader::new(ours), errors };
        student.set_timeouts(patience).map_err(LabError::io("make a socket for", path))?;
        Ok(student)
    }

    /// Sends a line.
    pub(crate) fn say(&mut self, line: &str) -> Result<(), Stop> {
        let said = self.be_patient(self.patience);
        let said = said.and_then(|()| self.lines.get_mut().write_all(format!("{line}\n").as_bytes()));
        said.map_err(|error| self.explain(&error))
    }

    /// Waits for a line: what comes after `ok `.
    pub(crate) fn hear(&mut self) -> Result<String, Stop> {
        self.hear_while(self.patience, || true)
    }

    /// The same, and asks every `look` whether there is still something to wait for. If there is not, the program counts as
    /// one that is silent.
    pub(crate) fn hear_while(&mut self, look: Duration, goes_on: impl Fn() -> bool) -> Result<String, Stop> {
        let mut line = Vec::new();
        let patience_ends = Instant::now() + self.patience;
        loop {
            let room = LONGEST_LINE - line.len() as u64;
            let read = self.be_patient(look);
            let read = read.and_then(|()| self.lines.by_ref().take(room).read_until(b'\n', &mut line));
            match read {
                Ok(_) if line.ends_with(b"\n") => break,
                Ok(0) if line.len() as u64 == LONGEST_LINE => return Err(self.silence(End::TooMuchOutput)),
                Ok(0) => return Err(self.explain(&io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) if is_timeout(&error) && Instant::now() < patience_ends && goes_on() => {}
                Err(error) => return Err(self.explain(&error)),
            }
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches('\n');
        match line.split_once(' ').unwrap_or((line, "")) {
            ("panic", message) => Err(Stop::Panicked(message.to_owned())),
            (_, answer) => Ok(answer.to_owned()),
        }
    }

    /// Sees to it that nobody waits longer at a time than may be. A time-out of zero would mean none.
    fn be_patient(&mut self, longest: Duration) -> io::Result<()> {
        let left = self.running.deadline().saturating_duration_since(Instant::now());
        let timeout = left.clamp(Duration::from_millis(1), longest);
        if timeout != self.timeout {
            self.set_timeouts(timeout)?;
            self.timeout = timeout;
        }
        Ok(())
    }

    fn set_timeouts(&self, timeout: Duration) -> io::Result<()> {
        let socket = self.lines.get_ref();
        socket.set_read_timeout(Some(timeout))?;
        socket.set_write_timeout(Some(timeout))
    }

    /// Whether the program is too slow, or gone, and how.
    fn explain(&mut self, error: &io::Error) -> Stop {
        if is_timeout(error) {
            return self.silence(End::TimedOut);
        }
        match self.running.wait() {
            Ok(end) => self.silence(end),
            Err(error) => Stop::Unable(LabError::io("wait for", &self.errors)(error)),
        }
    }

    fn silence(&self, end: End) -> Stop {
        Stop::Silence(Silence { end, errors: read_start(&self.errors).unwrap_or_default() })
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that hexadecimal digits say; other characters are left out.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
