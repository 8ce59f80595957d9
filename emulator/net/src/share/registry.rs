//! The file that the processes on one address share.
//!
//! Locks on bytes of it say who is there: byte 0 is held by who reads or changes the contents, and byte
//! `1 + lane` for as long as a lane is taken. The kernel lets go of them when a process ends, however it ends, so
//! what is written about a lane counts only while its lock is held.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};

use super::book::{Book, LANES};
use crate::error::NetError;
use crate::sys::fork::Cut;

/// How long to wait for the lock, which nobody holds for longer than a few system calls take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often to look whether it is free.
const PAUSE: Duration = Duration::from_micros(200);

const CONTENTS: i64 = 0;

/// The open file of one address. Each NIC opens it for itself: the locks belong to the open file.
pub(super) struct Registry {
    file: Cut<File>,
    path: PathBuf,
}

/// Contents that nobody else changes meanwhile.
pub(super) struct Locked<'a> {
    registry: &'a Registry,
    pub(super) book: Book,
    /// The book says something else than the file.
    pub(super) changed: bool,
}

impl Registry {
    /// Opens the file of `addr`, whose scope is that of a link-local address, else 0.
    pub(super) fn open(directory: &Path, addr: IpAddr, scope: u32) -> Result<Registry, NetError> {
        Registry::at(directory.join(name(addr, scope)))
            .map_err(|error| NetError::Directory { path: directory.to_owned(), why: error.to_string() })
    }

    /// Opens a file of this kind, made if it is not there.
    pub(super) fn at(path: PathBuf) -> io::Result<Registry> {
        Registry::open_file(path, true)
    }

    /// Opens a file of this kind that is there.
    pub(super) fn existing(path: PathBuf) -> io::Result<Registry> {
        Registry::open_file(path, false)
    }

    fn open_file(path: PathBuf, create: bool) -> io::Result<Registry> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(create).truncate(false).mode(0o600);
        options.custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC);
        Ok(Registry { file: Cut::new(options.open(&path)?), path })
    }

    /// Waits for the contents. `own` is the lane that is ours: our own locks do not show.
    pub(super) fn lock(&self, own: Option<u8>) -> io::Result<Locked<'_>> {
        let start = Instant::now();
        while !self.set(CONTENTS, libc::F_WRLCK)? {
            if start.elapsed() > PATIENCE {
                let who = format!("another process holds {} for too long", self.path.display());
                return Err(io::Error::new(io::ErrorKind::TimedOut, who));
            }
            thread::sleep(PAUSE);
        }
        Ok(self.load(own))
    }

    /// The contents, unless somebody else is at them.
    pub(super) fn try_lock(&self, own: Option<u8>) -> Option<Locked<'_>> {
        self.set(CONTENTS, libc::F_WRLCK).ok()?.then(|| self.load(own))
    }

    /// Reads who is there, and strikes out who no longer is.
    fn load(&self, own: Option<u8>) -> Locked<'_> {
        if !self.is_current() {
            // What it says is about nobody, and the doors are those of the file that has taken its place.
            return Locked { registry: self, changed: false, book: Book::default() };
        }
        let here = |lane: &u8| Some(*lane) == own || self.is_taken(*lane);
        let mut bytes = [0; Book::LEN];
        let read = self.file.get().read_at(&mut bytes, 0).unwrap_or(0);
        let Some(mut book) = Book::parse(&bytes[..read]) else {
            // Nobody has written yet, or somebody wrote what we cannot read. The locks tell who is there, and
            // a wrong order puts itself right.
            let order: Vec<u8> = (0..LANES as u8).filter(here).collect();
            return Locked {
                registry: self,
                changed: !order.is_empty(),
                book: Book { order, ..Book::default() },
            };
        };
        let dead: Vec<u8> = book.order.iter().copied().filter(|lane| !here(lane)).collect();
        for lane in &dead {
            book.leave(*lane);
            self.remove_sockets(*lane);
        }
        Locked { registry: self, changed: !dead.is_empty(), book }
    }

    pub(super) fn file(&self) -> &File {
        self.file.get()
    }

    /// False when the file was removed: whoever comes now makes another.
    pub(super) fn is_current(&self) -> bool {
        self.file.get().metadata().is_ok_and(|file| file.nlink() > 0)
    }

    /// Takes a lane for as long as the file is open.
    pub(super) fn take_lane(&self, lane: u8) -> io::Result<bool> {
        self.set(byte_of(lane), libc::F_WRLCK)
    }

    /// Gives a lane back. A process that was forked from ours, and has our open file for a moment, would keep it.
    pub(super) fn release_lane(&self, lane: u8) {
        self.set(byte_of(lane), libc::F_UNLCK).ok();
    }

    /// Whether somebody else has a lane.
    pub(super) fn is_taken(&self, lane: u8) -> bool {
        let mut lock = flock(byte_of(lane), libc::F_WRLCK);
        let asked = fcntl(self.file.get(), FcntlArg::F_OFD_GETLK(&mut lock));
        asked.is_ok() && i32::from(lock.l_type) != libc::F_UNLCK
    }

    /// Removes the sockets of a lane that nobody has. To be called while the contents are locked.
    pub(super) fn remove_sockets(&self, lane: u8) {
        // They may be gone already.
        std::fs::remove_file(self.door_path(lane)).ok();
        std::fs::remove_file(self.mailbox_path(lane)).ok();
    }

    /// Where packets are handed to the process that has a lane.
    pub(super) fn door_path(&self, lane: u8) -> PathBuf {
        self.path.with_file_name(format!("{}.{lane}", self.path.file_name().unwrap_or_default().display()))
    }

    /// Where shared memory is handed to the process that has a lane.
    pub(super) fn mailbox_path(&self, lane: u8) -> PathBuf {
        mailbox(&self.path, lane)
    }

    /// Sets or removes a lock; false when somebody else has it.
    fn set(&self, byte: i64, kind: i32) -> io::Result<bool> {
        match fcntl(self.file.get(), FcntlArg::F_OFD_SETLK(&flock(byte, kind))) {
            Ok(_) => Ok(true),
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Locked<'_> {
    pub(super) fn registry(&self) -> &Registry {
        self.registry
    }

    pub(super) fn store(&self) -> io::Result<()> {
        self.registry.file.get().write_all_at(&self.book.emit(), 0)
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // A file that was removed already may have a successor under its name.
        if self.book.order.is_empty() && self.registry.is_current() {
            // Who waits for the lock will notice, and make a new file.
            std::fs::remove_file(&self.registry.path).ok();
        }
        self.registry.set(CONTENTS, libc::F_UNLCK).ok();
    }
}

/// Where shared memory is handed to the NIC that has `lane` at `addr`, if there is one.
pub(super) fn mailbox_at(directory: &Path, addr: IpAddr, scope: u32, lane: u8) -> PathBuf {
    mailbox(&directory.join(name(addr, scope)), lane)
}

fn mailbox(registry: &Path, lane: u8) -> PathBuf {
    registry.with_file_name(format!("{}.{lane}+", registry.file_name().unwrap_or_default().display()))
}

fn byte_of(lane: u8) -> i64 {
    1 + i64::from(lane)
}

fn flock(byte: i64, kind: i32) -> libc::flock {
    libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: byte, l_len: 1, l_pid: 0 }
}

/// An address means something only in a network namespace.
fn name(addr: IpAddr, scope: u32) -> String {
    let namespace = std::fs::metadata("/proc/thread-self/ns/net").map_or(0, |namespace| namespace.ino());
    match scope {
        0 => format!("{namespace:x}-{addr}"),
        _ => format!("{namespace:x}-{addr}%{scope}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A registry in a directory of this test's own.
    fn path(test: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("ferroce-registry-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        directory.join("1-127.0.0.1")
    }

    /// Somebody who comes to the address, takes the first lane and has a door.
    fn come(path: &Path) -> Registry {
        let registry = Registry::at(path.to_owned()).unwrap();
        let mut locked = registry.lock(None).unwrap();
        assert!(registry.is_current() && registry.take_lane(0).unwrap());
        locked.book.join(0);
        locked.store().unwrap();
        std::fs::write(registry.door_path(0), "").unwrap();
        drop(locked);
        registry
    }

    #[test]
    fn who_waited_for_a_file_that_was_removed_meanwhile_leaves_its_successor_alone() {
        let path = path("successor");
        let first = come(&path);
        let waiting = Registry::at(path.clone()).unwrap();
        // It dies, and is struck out by somebody who finds nobody else there.
        first.release_lane(0);
        drop(first);
        drop(Registry::at(path.clone()).unwrap().lock(None).unwrap());
        assert!(!path.exists() && !waiting.is_current());

        let second = come(&path);
        let locked = waiting.lock(None).unwrap();
        assert!(locked.book.order.is_empty());
        drop(locked);
        assert!(second.is_current(), "the successor's file was removed");
        assert!(second.door_path(0).exists(), "the successor's door was removed");
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}
