//! A program that runs in a guest or on the host: start it, wait for what it writes, wait for its end.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::vm::{Guest, HOST_IPV4, HOST_IPV6, Output, Process, directory};

const POLL: Duration = Duration::from_millis(20);

/// Where a program runs.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// In a guest, found by its name in the host's packages.
    Guest(&'a Guest),
    /// On the host, in the sandbox.
    Host,
}

impl Place<'_> {
    /// Its address in the test network.
    pub fn address(self, ipv6: bool) -> IpAddr {
        match (self, ipv6) {
            (Self::Guest(guest), false) => guest.kernel.ipv4().into(),
            (Self::Guest(guest), true) => guest.kernel.ipv6().into(),
            (Self::Host, false) => HOST_IPV4.into(),
            (Self::Host, true) => HOST_IPV6.into(),
        }
    }

    /// Starts a program and comes back at once.
    ///
    /// # Errors
    /// When the guest does not answer, or the host has no such program.
    pub fn start(self, words: &[String]) -> Result<Running> {
        match self {
            Self::Guest(guest) => Ok(Running::InGuest(guest.spawn(&words.join(" "))?)),
            Self::Host => Ok(Running::OnHost(HostProcess::start(words)?)),
        }
    }

    /// Waits until something listens on a TCP port.
    ///
    /// # Errors
    /// When nothing does after ten seconds.
    pub fn wait_for_listener(self, port: u16) -> Result<()> {
        // Local address as hexadecimal ADDRESS:PORT in the second column, state 0A is LISTEN.
        let listens = |line: &str| {
            let words: Vec<_> = line.split_whitespace().collect();
            words.get(1).is_some_and(|local| local.ends_with(&format!(":{port:04X}")))
                && words.get(3) == Some(&"0A")
        };
        let there = self.wait_for_line(&["/proc/net/tcp", "/proc/net/tcp6"], listens)?;
        ensure!(there, "nothing listens on TCP port {port} of {}", self.address(false));
        Ok(())
    }

    /// Waits until its kernel has joined a multicast group.
    ///
    /// # Errors
    /// When it has not after ten seconds.
    pub fn wait_for_member(self, group: Ipv4Addr) -> Result<()> {
        // In that table addresses are numbers of the machine's byte order.
        let entry = format!("{:08X}", u32::from_le_bytes(group.octets()));
        let there = self.wait_for_line(&["/proc/net/igmp"], |line| line.contains(&entry))?;
        ensure!(there, "{} does not join {group}", self.address(false));
        Ok(())
    }

    /// Whether such a line comes to be in one of these files within ten seconds.
    fn wait_for_line(self, files: &[&str], is_wanted: impl Fn(&str) -> bool) -> Result<bool> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            let text = match self {
                Self::Guest(guest) => guest.check(&format!("cat {}", files.join(" ")))?,
                Self::Host => files.iter().map(fs::read_to_string).collect::<io::Result<String>>()?,
            };
            if text.lines().any(&is_wanted) {
                return Ok(true);
            }
            thread::sleep(POLL);
        }
        Ok(false)
    }
}

/// A program that did not end counts as one that failed: what both sides wrote says more than what one did.
pub(crate) fn ended(result: Result<Output>) -> Output {
    result.unwrap_or_else(|error| Output { status: -1, text: format!("{error:#}") })
}

/// The command `ferroce` that was built beside this program.
pub(crate) fn ferroce() -> String {
    std::env::current_exe().unwrap_or_default().with_file_name("ferroce").display().to_string()
}

/// A program that was started. Dropping it kills it.
#[derive(Debug)]
pub enum Running {
    /// In a guest.
    InGuest(Process),
    /// On the host.
    OnHost(HostProcess),
}

impl Running {
    /// Waits for its end; kills it when that takes longer than `limit`.
    ///
    /// # Errors
    /// When it takes too long; carries what it wrote.
    pub fn wait(self, limit: Duration) -> Result<Output> {
        match self {
            Self::InGuest(process) => process.wait(limit),
            Self::OnHost(process) => process.wait(limit),
        }
    }
}

/// A process of the host with its output in a file.
#[derive(Debug)]
pub struct HostProcess {
    child: Child,
    output: PathBuf,
}

impl HostProcess {
    fn start(words: &[String]) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (program, args) = words.split_first().context("a command has a first word")?;
        let output = directory().join(format!("host-{}.log", COUNT.fetch_add(1, Ordering::Relaxed)));
        let file = File::create(&output)?;
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        Ok(Self { child, output })
    }

    fn wait(mut self, limit: Duration) -> Result<Output> {
        let deadline = Instant::now() + limit;
        loop {
            let text = || String::from_utf8_lossy(&fs::read(&self.output).unwrap_or_default()).into_owned();
            if let Some(status) = self.child.try_wait()? {
                return Ok(Output { status: status.code().unwrap_or(-1), text: text() });
            }
            if Instant::now() > deadline {
                bail!("took too long; it wrote:\n{}", text());
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        fs::remove_file(&self.output).ok();
    }
}
