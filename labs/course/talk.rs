//! The student's end of a conversation: standard input is a socket, by which lines come and go.

use std::cell::RefCell;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;

/// The last panic's message and place.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// The socket. Whoever has it can hear and say.
pub struct Talk {
    lines: RefCell<BufReader<UnixStream>>,
}

impl Talk {
    pub fn new() -> Talk {
        let socket = io::stdin().as_fd().try_clone_to_owned().expect("standard input is a socket");
        Talk { lines: RefCell::new(BufReader::new(UnixStream::from(socket))) }
    }

    /// The next line; `None` when there will be no more.
    pub fn hear(&self) -> Option<String> {
        let mut line = String::new();
        let read = self.lines.borrow_mut().read_line(&mut line).ok()?;
        (read > 0).then(|| line.trim_end_matches('\n').to_owned())
    }

    /// Says a line.
    pub fn say(&self, line: &str) {
        let line = format!("ok {line}\n");
        self.write(&line);
    }

    /// Does what the student wrote; if that panics, says so and gives `None`.
    pub fn attempt<R>(&self, work: impl FnOnce() -> R) -> Option<R> {
        panic::set_hook(Box::new(|info| {
            let text = info.to_string().replace('\n', " ");
            *PANIC.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = text;
        }));
        let result = panic::catch_unwind(AssertUnwindSafe(work));
        if result.is_err() {
            let text = PANIC.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
            self.write(&format!("panic {text}\n"));
        }
        result.ok()
    }

    /// Answers every line with what `answer` makes of it.
    pub fn answer(&self, mut answer: impl FnMut(&str) -> String) {
        while let Some(line) = self.hear() {
            if let Some(words) = self.attempt(|| answer(&line)) {
                self.say(&words);
            }
        }
    }

    fn write(&self, text: &str) {
        // If nobody listens any more, the check is over.
        let written = self.lines.borrow_mut().get_mut().write_all(text.as_bytes());
        if written.is_err() {
            std::process::exit(1);
        }
    }
}

/// Numbers between blanks.
pub fn numbers(line: &str) -> Vec<u64> {
    line.split(' ').filter_map(|word| word.parse().ok()).collect()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
