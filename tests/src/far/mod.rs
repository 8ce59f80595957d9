//! A machine with an RDMA device that can be reached over ssh: real hardware, or soft-RoCE anywhere.
//!
//! Nothing is installed there. One ssh process carries everything: the program `guest/far.py` as its command, the
//! life line as its standard input, and connections to the command server as a forwarded Unix socket in a directory
//! that nobody else may enter. When the process ends, however it ends, the far end takes everything away.

mod rehearsal;
mod run;

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

pub use rehearsal::rehearse;
pub use run::{Options, run};

use crate::stream::Stream;

/// Between two signs of life; the far end gives up after a minute of silence.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Longest wait for the ssh client to forward the socket once the far end has answered.
const FORWARD_LIMIT: Duration = Duration::from_secs(10);

/// The Python for which distributions build pyverbs, though another may come first on the path.
const PYTHON: &str = "$(command -v /usr/bin/python3 || echo python3)";

const FAR: &str = include_str!("../../guest/far.py");
const FILES: [(&str, &str); 2] = [
    ("server.py", include_str!("../../guest/server.py")),
    ("agent.py", include_str!("../../guest/agent.py")),
];

/// How to get there.
#[derive(Debug, Clone)]
pub struct Target {
    /// As ssh takes it: a name of its configuration, or `user@host`.
    pub host: String,
    /// The ssh client and its options.
    pub ssh: Vec<String>,
    /// The device, if not the first usable one.
    pub device: Option<String>,
}

/// What is at the far end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Device {
    /// As `ibv_devices` lists it.
    pub name: String,
    /// Kernel driver, such as `mlx5_core` or `rdma_rxe`.
    pub driver: String,
    /// What the driver says that it drives.
    pub model: String,
    /// Version of its firmware, as the driver tells it.
    pub firmware: String,
    /// `uname -r`.
    pub kernel: String,
    /// Its GIDs of RoCEv2.
    pub gids: Vec<Gid>,
}

/// A GID of RoCEv2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Gid {
    /// Its place in the table.
    pub index: u8,
    /// The address that it stands for.
    pub address: IpAddr,
}

/// An open way to a machine. Dropping it ends everything there.
#[derive(Debug)]
pub struct Far {
    /// What is there.
    pub device: Device,
    socket: PathBuf,
    /// Standard input of the ssh process ends when this is dropped.
    _alive: Sender<()>,
    ssh: Child,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Report {
    Device(Device),
    Problem(String),
}

impl Far {
    /// Starts what is needed there.
    ///
    /// # Errors
    /// When ssh cannot get there, or the machine lacks something; says what.
    pub fn open(target: &Target) -> Result<Self> {
        let token = format!("ferroce-interop-{:016x}", token());
        let socket = own_directory()?.join(&token);
        let directory = format!("/tmp/{token}");
        let (program, options) = target.ssh.split_first().context("--ssh names no program")?;
        let mut ssh = Command::new(program)
            .args(options)
            .args(["-T", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes"])
            .args(["-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3", "-L"])
            .arg(format!("{}:{directory}/socket", socket.display()))
            .args([&target.host, &format!("exec {PYTHON} -I -c {}", quoted(FAR))])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {program} (Debian package openssh-client)"))?;
        let mut input = ssh.stdin.take().context("ssh has a standard input")?;
        let output = ssh.stdout.take().context("ssh has a standard output")?;
        let files: serde_json::Map<_, _> =
            FILES.map(|(name, text)| (name.to_owned(), text.into())).into_iter().collect();
        let order = serde_json::json!({ "directory": directory, "device": target.device, "files": files });
        // Fails when ssh has ended, and then there is no answer either.
        writeln!(input, "{order}").ok();
        let alive = stay_alive(input);
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let host = &target.host;
        match serde_json::from_str(&line) {
            Ok(Report::Device(device)) => Ok(Self { device, socket, _alive: alive, ssh }),
            Ok(Report::Problem(problem)) => bail!("{host} cannot be a peer: {problem}"),
            Err(_) => {
                let status = ssh.wait()?;
                bail!(
                    "{program} {host} ended with {status}; see that '{} {host} python3 --version' works without \
                     asking for anything, and that the server allows forwarding",
                    target.ssh.join(" ")
                )
            }
        }
    }

    /// A new connection to the command server there.
    ///
    /// # Errors
    /// When the way there is closed.
    pub(crate) fn connect(&self) -> Result<Stream> {
        let deadline = Instant::now() + FORWARD_LIMIT;
        loop {
            match UnixStream::connect(&self.socket) {
                Ok(stream) => return Ok(Stream::Unix(stream)),
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
                        && Instant::now() < deadline =>
                {
                    thread::sleep(Duration::from_millis(20));
                }
                Err(error) => return Err(error).context("ssh does not forward to the far machine any more"),
            }
        }
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        // The far end sees the end of its standard input in any case, when the process is gone.
        self.ssh.kill().ok();
        self.ssh.wait().ok();
        fs::remove_file(&self.socket).ok();
    }
}

/// Writes signs of life until the sender is dropped.
fn stay_alive(mut input: ChildStdin) -> Sender<()> {
    let (alive, watch) = mpsc::channel();
    thread::spawn(move || {
        while watch.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) && writeln!(input).is_ok() {}
    });
    alive
}

/// Where sockets of our side lie; nobody else may enter.
fn own_directory() -> Result<PathBuf> {
    // Short: a socket's path has at most 107 bytes.
    let user = nix::unistd::getuid();
    let path = std::env::temp_dir().join(format!("ferroce-interop-{user}"));
    let made = fs::DirBuilder::new().mode(0o700).create(&path);
    let metadata = match made {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => fs::symlink_metadata(&path),
    };
    let metadata = metadata.with_context(|| format!("cannot create {}", path.display()))?;
    let is_ours = metadata.is_dir() && {
        use std::os::unix::fs::MetadataExt;
        metadata.uid() == user.as_raw() && metadata.mode() & 0o077 == 0
    };
    if !is_ours {
        bail!("{} belongs to somebody else; remove it", path.display());
    }
    Ok(path)
}

/// A number that no other run has. Guessing it gains nothing: the directory is made anew, and for one user only.
fn token() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_nanos() as u64 ^ u64::from(std::process::id()) << 48
}

/// `text` as one word for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_a_quoted_text_as_it_was() {
        let text = "it's \"$HOME\" \\ `x`\nand more";
        let output =
            Command::new("sh").arg("-c").arg(format!("printf %s {}", quoted(text))).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
    }

    #[test]
    fn reports_of_the_far_end_are_read() {
        let line = r#"{"device": {"name": "mlx5_0", "driver": "mlx5_core", "model": "MT4119", "firmware": "16.35",
            "kernel": "6.8.0", "gids": [{"index": 3, "address": "192.0.2.7"}]}}"#;
        let Report::Device(device) = serde_json::from_str(line).unwrap() else { panic!("no device") };
        assert_eq!((device.gids[0].index, device.gids[0].address.to_string()), (3, "192.0.2.7".to_owned()));
        let problem = serde_json::from_str(r#"{"problem": "no device"}"#);
        assert!(matches!(problem, Ok(Report::Problem(text)) if text == "no device"));
    }
}
