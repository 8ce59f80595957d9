//! Programs of the distribution that measure: a server and its client.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::program::Place;

/// A server, which is started first, and its client. Commands as words with a space between them.
pub(super) struct Programs<'a> {
    pub(super) server: String,
    pub(super) client: String,
    /// TCP port on which the server listens.
    pub(super) port: u16,
    pub(super) environment: &'a [(&'a str, &'a str)],
}

/// Whether there is such a program. If not, tells so.
pub(super) fn is_installed(program: &str, package: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(program).exists()));
    if !found {
        println!("left out: {program} is not installed (Debian: {package})");
    }
    found
}

impl Programs<'_> {
    /// Runs both. Gives the words of the last line that the client writes and that begins with a number.
    ///
    /// # Errors
    /// When a program cannot be started, fails, or takes longer than a minute.
    pub(super) fn numbers(&self) -> Result<Vec<f64>> {
        let mut server = self.command(&self.server).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let client = Place::Host
            .wait_for_listener(self.port)
            .and_then(|()| self.command(&self.client).output().context("cannot start the client"));
        // It ends when its client does, or when its time is over.
        server.wait()?;
        let client = client?;
        let said = String::from_utf8_lossy(&client.stdout);
        ensure!(
            client.status.success(),
            "{}: {said}{}",
            self.client,
            String::from_utf8_lossy(&client.stderr)
        );
        let numbers = |line: &str| line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let found = said.lines().map(numbers).rfind(|numbers: &Vec<f64>| !numbers.is_empty());
        found.with_context(|| format!("{} says no numbers: {said}", self.client))
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new("timeout");
        command.arg("60").args(words.split_whitespace()).envs(self.environment.iter().copied());
        command
    }
}

/// A figure, or none, after telling why.
pub(super) fn or_none(figure: Result<f64>) -> f64 {
    figure.unwrap_or_else(|error| {
        println!("no figure: {error:#}");
        f64::NAN
    })
}
