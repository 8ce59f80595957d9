//! A place of its own for a test run: network, mounts and processes.
//!
//! The program starts itself again inside new namespaces and passes on how that ended. Test traffic cannot leave
//! the new network namespace. When the run ends, however it ends, the kernel kills every process of the new PID
//! namespace: no virtual machine is left behind.

use std::env;
use std::fs;
use std::io;
use std::process::{Command, ExitCode, exit};

const MARK: &str = "FERROCE_TEST_SANDBOX";

/// Dies with its parent (`setpriv`), and its child dies with it (`--kill-child`).
const INSIDE: &[&str] = &[
    "setpriv",
    "--pdeathsig",
    "KILL",
    "unshare",
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
];

/// A user who is not root becomes root of a user namespace first: changing the user clears the death signal.
const AS_USER: &[&str] = &["unshare", "--user", "--map-root-user"];

/// Why a run cannot take place here; says what to do about it.
#[derive(Debug)]
pub struct Refused(pub String);

/// Returns inside a sandbox only: outside, the program starts itself again inside, waits and exits as that did.
///
/// # Errors
/// [`Refused`] where the system allows no such namespaces.
pub fn enter() -> Result<(), Refused> {
    if env::var_os(MARK).is_some() {
        return Ok(());
    }
    let probe = command("true").output().map_err(refused)?;
    if !probe.status.success() {
        let why = String::from_utf8_lossy(&probe.stderr).trim().to_owned();
        return Err(Refused(format!(
            "{why}; run as root, or allow user namespaces (kernel.unprivileged_userns_clone=1, no AppArmor limit)"
        )));
    }
    let program = env::current_exe().map_err(refused)?;
    let status = command(&program.to_string_lossy())
        .args(env::args_os().skip(1))
        .env(MARK, "1")
        .status()
        .map_err(refused)?;
    exit(status.code().unwrap_or(1))
}

/// What a test program does when it cannot run: in CI a failure, elsewhere a loud skip.
pub fn report(refused: &Refused) -> ExitCode {
    println!("CANNOT RUN: {}", refused.0);
    if crate::tally::is_ci() {
        println!("0 passed, 1 failed, 0 skipped");
        ExitCode::FAILURE
    } else {
        println!("0 passed, 0 failed, 1 skipped");
        ExitCode::SUCCESS
    }
}

fn command(program: &str) -> Command {
    let outer = if is_root() { &[] } else { AS_USER };
    let mut words = outer.iter().chain(INSIDE).copied().chain([program]);
    let mut command = Command::new(words.next().unwrap_or(program));
    command.args(words);
    command
}

fn refused(error: io::Error) -> Refused {
    Refused(format!("cannot start a sandbox with setpriv and unshare (package util-linux): {error}"))
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut ids = status.lines().filter_map(|line| line.strip_prefix("Uid:")).flat_map(str::split_whitespace);
    ids.nth(1) == Some("0")
}
