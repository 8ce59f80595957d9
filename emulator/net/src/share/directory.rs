//! Where the processes of one user find each other.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::Uid;

use crate::error::NetError;

/// Names another directory.
const VARIABLE: &str = "FERROCE_RUNTIME_DIR";

/// How long to wait for who makes or removes sockets, which takes a few system calls.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often to look whether they are done.
const PAUSE: Duration = Duration::from_millis(1);

/// The directory in which Ferroce's processes of this user find each other, made if it is not there:
/// `/tmp/ferroce-UID`, or what the environment variable `FERROCE_RUNTIME_DIR` names. Nobody else may enter it.
///
/// In a user namespace UID is the user's number outside, so that who is called root there (`unshare -r`) meets the
/// user's other processes and not root's.
///
/// It is the same however a process was started. That is why it is not below `XDG_RUNTIME_DIR`, which a
/// process has when it was started from a login session, and another of the same user has not.
///
/// # Errors
/// When it cannot be made, or belongs to somebody else or is open to others.
pub fn runtime_directory() -> Result<PathBuf, NetError> {
    let owner = Uid::effective();
    let path = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map_or_else(
        || PathBuf::from(format!("/tmp/ferroce-{}", number_outside(owner.as_raw()))),
        PathBuf::from,
    );
    let wrong = |why: String| NetError::Directory { path: path.clone(), why };
    match DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(wrong(error.to_string())),
        _ => {}
    }
    // Not following a symbolic link: whoever made one could lead us anywhere.
    let found = path.symlink_metadata().map_err(|error| wrong(error.to_string()))?;
    if !found.is_dir() {
        return Err(wrong("it is not a directory".to_owned()));
    }
    if found.uid() != owner.as_raw() {
        return Err(wrong(format!("it belongs to user {}", found.uid())));
    }
    if found.mode() & 0o077 != 0 {
        return Err(wrong(format!("others may enter it (its mode is {:o})", found.mode() & 0o777)));
    }
    Ok(path)
}

/// What a user is called outside of the user namespace of this process.
fn number_outside(user: u32) -> u32 {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    translate(&map, user).unwrap_or(user)
}

/// Looks a number up in a table of user_namespaces(7): first number inside, first number outside, how many.
fn translate(map: &str, user: u32) -> Option<u32> {
    map.lines().find_map(|line| {
        let numbers: Vec<u32> = line.split_whitespace().map_while(|number| number.parse().ok()).collect();
        let [inside, outside, count] = numbers[..] else { return None };
        let place = user.checked_sub(inside).filter(|place| *place < count)?;
        outside.checked_add(place)
    })
}

/// While it lives, no other process of this user makes or removes sockets by which running NICs are looked at.
pub(crate) struct Alone(File);

impl Alone {
    /// Waits for its turn.
    pub(crate) fn wait(directory: &Path) -> io::Result<Alone> {
        let start = Instant::now();
        loop {
            if let Some(alone) = Alone::now(directory) {
                return Ok(alone);
            }
            if start.elapsed() > PATIENCE {
                let who = format!("another process holds {} for too long", directory.display());
                return Err(io::Error::new(io::ErrorKind::TimedOut, who));
            }
            thread::sleep(PAUSE);
        }
    }

    /// Only if nobody else is at it.
    pub(super) fn now(directory: &Path) -> Option<Alone> {
        let directory = File::open(directory).ok()?;
        directory.try_lock().ok()?;
        Some(Alone(directory))
    }

    /// Removes a file, which may be gone already.
    pub(super) fn remove(&self, path: &Path) {
        std::fs::remove_file(path).ok();
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        // A process that was forked from ours, and has our open file for a moment, would keep the lock.
        self.0.unlock().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_their_numbers_outside() {
        assert_eq!(translate("         0          0 4294967295\n", 1000), Some(1000));
        let rootless = "         0       1000          1\n         1     100000      65536\n";
        assert_eq!((translate(rootless, 0), translate(rootless, 33)), (Some(1000), Some(100032)));
        assert_eq!((translate(rootless, 70000), translate("", 0)), (None, None));
    }
}
