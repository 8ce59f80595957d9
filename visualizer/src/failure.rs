//! Why a command could not do its work, and what to do about it.

use std::fmt;
use std::io;

use crate::text::{BAD, STRONG};

/// A command that could not do its work. Prints as two lines: the error and the next step to take.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    next: String,
    closed_output: bool,
}

impl Failure {
    /// `what` went wrong; `next` tells what to do now. Neither ends with a full stop.
    pub(crate) fn new(what: impl fmt::Display, next: impl fmt::Display) -> Self {
        Self { what: what.to_string(), next: next.to_string(), closed_output: false }
    }

    /// Whether all that went wrong is that nobody reads the output any more, as after `| head`.
    pub(crate) fn is_closed_output(&self) -> bool {
        self.closed_output
    }
}

impl From<io::Error> for Failure {
    /// Output that cannot be written. Errors of other files deserve words of their own.
    fn from(error: io::Error) -> Self {
        let closed_output = error.kind() == io::ErrorKind::BrokenPipe;
        let next = "check that there is room where the output goes";
        Self { closed_output, ..Self::new(format_args!("cannot write the output: {error}"), next) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{BAD}error:{BAD:#} {}", self.what)?;
        writeln!(f, " {STRONG}next:{STRONG:#} {}", self.next)
    }
}
