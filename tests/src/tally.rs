//! One line per case, and a last line with the sums.

use std::fmt;
use std::io::Write;
use std::time::Instant;

use crate::peer::PeerError;

/// What became of one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Everything was as expected.
    Passed,
    /// The text says what was expected and what was seen.
    Failed(String),
    /// The text says what the machine lacks and which Debian package has it.
    Skipped(String),
}

/// Counts verdicts and prints each as it comes.
#[derive(Debug)]
pub struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
    repeat: u32,
}

impl Default for Tally {
    fn default() -> Self {
        Self::repeating(1)
    }
}

impl Tally {
    /// One that plays each case so many times, or until it does not pass.
    pub fn repeating(repeat: u32) -> Self {
        Self { passed: 0, failed: 0, skipped: 0, repeat }
    }

    /// Runs one case, prints its line at once and counts it. Errors count as failures, unless a peer has not got what
    /// it would take.
    pub fn case(&mut self, name: &str, mut case: impl FnMut() -> anyhow::Result<Verdict>) -> Verdict {
        let start = Instant::now();
        let verdict = (0..self.repeat)
            .map(|_| case().unwrap_or_else(|error| verdict_of(&error)))
            .find(|verdict| *verdict != Verdict::Passed)
            .unwrap_or(Verdict::Passed);
        let seconds = start.elapsed().as_secs_f64();
        match &verdict {
            Verdict::Passed => println!("ok    {name} ({seconds:.2} s)"),
            Verdict::Failed(why) => println!("FAIL  {name} ({seconds:.2} s)\n{}", indented(why)),
            Verdict::Skipped(why) => println!("skip  {name}: {why}"),
        }
        // A reader of a pipe wants to see the line when the case ends, not when a buffer is full.
        std::io::stdout().flush().ok();
        self.count(&verdict);
        verdict
    }

    /// Counts a verdict without printing it.
    pub fn count(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Failed(_) => self.failed += 1,
            Verdict::Skipped(_) => self.skipped += 1,
        }
    }

    /// True when no case failed.
    pub fn is_good(&self) -> bool {
        self.failed == 0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// True where a test that cannot run counts as failed: a CI machine is set up by the project itself.
pub fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// `EOPNOTSUPP`: the device does not offer this.
const NOT_SUPPORTED: i32 = 95;

fn verdict_of(error: &anyhow::Error) -> Verdict {
    match error.downcast_ref::<PeerError>() {
        Some(PeerError::Lacks(what)) => Verdict::Skipped(what.clone()),
        Some(PeerError::Refused { text, errno: Some(NOT_SUPPORTED) }) => {
            Verdict::Skipped(format!("the device does not offer it ({text})"))
        }
        _ => Verdict::Failed(format!("{error:#}")),
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("      {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_counts_as_a_failure() {
        let mut tally = Tally::default();
        tally.case("good", || Ok(Verdict::Passed));
        tally.case("broken", || anyhow::bail!("cannot start"));
        tally.case("absent", || Ok(Verdict::Skipped("needs qemu-system-x86".into())));
        assert_eq!(tally.to_string(), "1 passed, 1 failed, 1 skipped");
        assert!(!tally.is_good());
    }

    #[test]
    fn what_a_peer_lacks_is_no_failure() {
        let mut tally = Tally::default();
        tally.case("ipv6", || Err(PeerError::Lacks("no IPv6".into()).into()));
        let refused = |errno| PeerError::Refused { text: "alloc_mw".into(), errno: Some(errno) };
        tally.case("window", || Err(anyhow::Error::from(refused(95)).context("binds a window")));
        tally.case("broken", || Err(refused(22).into()));
        assert_eq!(tally.to_string(), "0 passed, 1 failed, 2 skipped");
    }
}
