//! Programs of strangers, kept from the rest of the computer.
//!
//! A program cannot be shut in from outside without `unsafe`. So a helper, which is this library in a process of its
//! own, shuts itself in and then becomes the program: Landlock for files, signals and TCP; namespaces for the
//! network and for processes, which all end with the first; a limit on their number. What the kernel does not
//! offer is left out, and said by [`Walls`].

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use landlock::{
    ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
    path_beneath_rules,
};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, getgid, getuid, setgid, setgroups, setuid};
use serde::{Deserialize, Serialize};

/// What every program needs to run at all, and a compiler to link.
const SYSTEM: [&str; 6] = ["/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/alternatives"];

/// Devices that are harmless.
const DEVICES: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/urandom", "/dev/random"];

/// Makes everything end when the first process does, and it with its parent.
const WARDEN: &str = "/usr/bin/unshare";

/// Most processes and threads of one submission.
const PROCESSES: u64 = 64;

/// Users that nobody is; whoever grades as root gives each submission one of them.
const NOBODIES: u32 = 2_000_000_000;

/// What keeps a program in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walls {
    /// It reads the system's libraries and nothing else, and writes nowhere (Landlock).
    pub files: bool,
    /// It has no network (a network namespace).
    pub network: bool,
    /// All of its processes end with it, whatever they do, and there are few of them (a process namespace).
    pub processes: bool,
}

/// How the helper is told to shut itself in.
#[derive(Clone, Debug, Default)]
pub struct Cage {
    /// Files and folders that may be read, besides those of the system.
    pub read: Vec<PathBuf>,
    /// Files and folders that may be written.
    pub write: Vec<PathBuf>,
    /// Which of the users that nobody is it becomes, if it is root. `None` leaves it the user that it is.
    pub user: Option<u32>,
}

impl Cage {
    /// Shuts this process in. It must have one thread only.
    ///
    /// # Errors
    /// When something that the kernel offers does not work, so that the program must not be run.
    pub fn close(&self) -> io::Result<Walls> {
        let (network, processes) = self.namespaces()?;
        if let Some(user) = self.user.filter(|_| getuid().is_root()) {
            let nobody = NOBODIES + user;
            setgroups(&[])?;
            setgid(Gid::from_raw(nobody))?;
            setuid(Uid::from_raw(nobody))?;
        }
        if self.user.is_some() {
            setrlimit(Resource::RLIMIT_NPROC, PROCESSES, PROCESSES)?;
        }
        let files = self.landlock().map_err(io::Error::other)?;
        Ok(Walls { files, network, processes })
    }

    /// Becomes `program`; returns only if that fails.
    pub fn become_program(&self, program: &[OsString]) -> io::Error {
        let walls = match self.close() {
            Ok(walls) => walls,
            Err(error) => return error,
        };
        let warden: &[OsString] =
            if walls.processes { &[WARDEN.into(), "--kill-child".into(), "--".into()] } else { &[] };
        let mut words = warden.iter().chain(program);
        let Some(first) = words.next() else { return io::ErrorKind::InvalidInput.into() };
        Command::new(first).args(words).exec()
    }

    /// Leaves the network and the processes of this computer, if it may.
    fn namespaces(&self) -> io::Result<(bool, bool)> {
        let has_warden = Path::new(WARDEN).exists();
        let pids = if has_warden { CloneFlags::CLONE_NEWPID } else { CloneFlags::empty() };
        let wanted = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC | pids;
        if getuid().is_root() {
            return Ok(if unshare(wanted).is_ok() { (true, has_warden) } else { (false, false) });
        }
        let (user, group) = (getuid(), getgid());
        if unshare(wanted | CloneFlags::CLONE_NEWUSER).is_err() {
            return Ok((false, false));
        }
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
        fs::write("/proc/self/gid_map", format!("{group} {group} 1"))?;
        Ok((true, has_warden))
    }

    /// True if all of it is enforced that files need; older kernels know less of the rest.
    fn landlock(&self) -> Result<bool, landlock::RulesetError> {
        let (abi, files) = (ABI::V6, ABI::V1);
        let read = SYSTEM.iter().map(Path::new).chain(self.read.iter().map(PathBuf::as_path));
        let write = DEVICES.iter().map(Path::new).chain(self.write.iter().map(PathBuf::as_path));
        let status = Ruleset::default()
            .handle_access(AccessFs::from_all(abi))?
            .handle_access(AccessNet::from_all(abi))?
            .scope(Scope::from_all(abi))?
            .create()?
            .add_rules(path_beneath_rules(read, AccessFs::from_read(files)))?
            .add_rules(path_beneath_rules(write, AccessFs::from_all(abi)))?
            .restrict_self()?;
        Ok(status.ruleset != RulesetStatus::NotEnforced)
    }
}

/// The helper: how a program is run in a cage.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    /// The command that closes a cage, as in `ferroce lab confined`.
    pub(crate) helper: Vec<OsString>,
    /// Number of the submission, for the user that it becomes.
    pub(crate) user: u32,
}

impl Keeper {
    /// The command that runs `program` in a cage.
    pub(crate) fn command(&self, cage: &Cage, program: Vec<OsString>) -> Vec<OsString> {
        let mut command = self.helper.clone();
        let paths = [("--read", &cage.read), ("--write", &cage.write)];
        for (option, paths) in paths {
            command.extend(paths.iter().flat_map(|path| [option.into(), path.clone().into_os_string()]));
        }
        if let Some(user) = cage.user {
            command.extend(["--user".into(), user.to_string().into()]);
        }
        command.push("--".into());
        command.extend(program);
        command
    }
}
