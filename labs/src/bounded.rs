//! Programs that may be hostile, run with bounds on time, memory and output.
//!
//! Outputs are files: the kernel enforces the bound on them (`RLIMIT_FSIZE`), and nothing here ever waits for a
//! pipe that a grandchild holds open.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// What a program may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Time on the wall.
    pub(crate) time: Duration,
    /// Address space in MiB.
    pub(crate) memory_mib: u64,
    /// Bytes in any one file it writes.
    pub(crate) file_mib: u64,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself, or by a signal of its own making.
    Ended(ExitStatus),
    /// It was stopped because its time was over.
    TimedOut,
    /// It was stopped because it wrote too much.
    TooMuchOutput,
}

/// Sets the limits in the process that becomes the program, which a parent cannot do without `unsafe`.
/// Sizes of `ulimit -f` are blocks of 512 bytes in dash and of 1024 in bash; either is a bound.
const LIMIT_AND_RUN: &str =
    "ulimit -c 0; ulimit -v \"$1\"; ulimit -f \"$2\"; ulimit -t \"$3\"; shift 3; exec \"$@\"";

/// How often to look whether the program has ended.
const LOOK: Duration = Duration::from_millis(2);

/// Runs `command` in `folder` with `files` as standard input, output and error, to its end.
pub(crate) fn run(command: &[OsString], folder: &Path, files: [File; 3], bounds: &Bounds) -> io::Result<End> {
    Running::start(command, folder, files.map(Stdio::from), bounds)?.wait()
}

/// A program that runs. Dropping this stops it, with whatever it has started.
pub(crate) struct Running {
    child: Child,
    deadline: Instant,
}

impl Running {
    /// Starts `command` in `folder` with `files` as standard input, output and error.
    pub(crate) fn start(
        command: &[OsString],
        folder: &Path,
        files: [Stdio; 3],
        bounds: &Bounds,
    ) -> io::Result<Running> {
        let [input, output, errors] = files;
        let limits = [bounds.memory_mib * 1024, bounds.file_mib * 2048, bounds.time.as_secs() + 1];
        let child = Command::new("/bin/sh")
            .args(["-c", LIMIT_AND_RUN, "sh"])
            .args(limits.map(|limit| limit.to_string()))
            .args(command)
            .current_dir(folder)
            .stdin(input)
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()?;
        Ok(Running { child, deadline: Instant::now() + bounds.time })
    }

    /// When it will be stopped.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Waits for its end, which is at the deadline at the latest.
    pub(crate) fn wait(&mut self) -> io::Result<End> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                let too_much = status.signal() == Some(Signal::SIGXFSZ as i32);
                return Ok(if too_much { End::TooMuchOutput } else { End::Ended(status) });
            }
            if Instant::now() >= self.deadline {
                return Ok(End::TimedOut);
            }
            thread::sleep(LOOK);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Whatever it started goes with it; there may be nobody left.
        let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}
