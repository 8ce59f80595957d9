//! The sockets of this process, by their descriptors.

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::c_int;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ferroce::rsocket::{DatagramSocket, Socket};
use parking_lot::{Mutex, RwLock};

use super::options::Kept;
use crate::border::{Errno, UNSUPPORTED};

/// What a socket is.
pub(super) enum Kind {
    Stream(Box<Socket>),
    Datagrams(DatagramSocket),
}

/// A socket of a C program.
pub(super) struct Entry {
    pub(super) kind: Kind,
    /// `AF_INET` or `AF_INET6`.
    pub(super) family: c_int,
    /// `O_NONBLOCK`.
    pub(super) nonblocking: AtomicBool,
    pub(super) kept: Mutex<Kept>,
    /// Memory that the program has mapped: its address, its length, and the offset.
    pub(super) mapped: Mutex<Vec<(usize, usize, u64)>>,
    /// The process that made it; a forked child has a copy that leads nowhere.
    process: u32,
    fd: OwnedFd,
}

static SOCKETS: RwLock<Option<HashMap<c_int, Arc<Entry>>>> = RwLock::new(None);

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

impl Entry {
    /// The stream that it is; EOPNOTSUPP if it is for datagrams.
    pub(super) fn stream(&self) -> Result<&Socket, Errno> {
        match &self.kind {
            Kind::Stream(socket) => Ok(socket),
            Kind::Datagrams(_) => Err(UNSUPPORTED),
        }
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        match &self.kind {
            Kind::Stream(socket) => socket.local_addr(),
            Kind::Datagrams(socket) => socket.local_addr(),
        }
    }

    pub(super) fn peer_addr(&self) -> Result<SocketAddr, Errno> {
        Ok(match &self.kind {
            Kind::Stream(socket) => socket.peer_addr()?,
            Kind::Datagrams(socket) => socket.peer_addr()?,
        })
    }

    pub(super) fn is_nonblocking(&self) -> bool {
        self.nonblocking.load(Ordering::Relaxed)
    }
}

/// Gives a socket a descriptor.
pub(super) fn add(kind: Kind, family: c_int, kept: Kept) -> Result<Arc<Entry>, Errno> {
    match &kind {
        Kind::Stream(socket) => socket.set_nonblocking(true),
        Kind::Datagrams(socket) => socket.set_nonblocking(true),
    }
    // SAFETY: no pointers are involved.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(Errno::last());
    }
    let entry = Arc::new(Entry {
        kind,
        family,
        nonblocking: AtomicBool::new(false),
        kept: Mutex::new(kept),
        mapped: Mutex::default(),
        process: std::process::id(),
        // SAFETY: just opened, and owned by nobody else.
        fd: unsafe { OwnedFd::from_raw_fd(fd) },
    });
    let old = SOCKETS.write().get_or_insert_default().insert(fd, Arc::clone(&entry));
    if let Some(old) = old {
        // The program has closed the descriptor behind our back, and now it is another's: it must stay open.
        std::mem::forget(old);
    }
    Ok(entry)
}

/// The number by which the program knows it.
pub(super) fn number(entry: &Entry) -> c_int {
    entry.fd.as_raw_fd()
}

/// The socket of this descriptor; EBADF if there is none that this process made.
pub(super) fn find(fd: c_int) -> Result<Arc<Entry>, Errno> {
    let sockets = SOCKETS.read();
    let entry = sockets.as_ref().and_then(|sockets| sockets.get(&fd));
    let entry = entry.filter(|entry| entry.process == std::process::id());
    entry.cloned().ok_or(Errno(libc::EBADF))
}

/// Takes it from the table. What a forked child has of its parent's is forgotten: the connection goes on.
pub(super) fn remove(fd: c_int) -> Result<Option<Arc<Entry>>, Errno> {
    let entry = SOCKETS.write().as_mut().and_then(|sockets| sockets.remove(&fd)).ok_or(Errno(libc::EBADF))?;
    if entry.process == std::process::id() {
        return Ok(Some(entry));
    }
    std::mem::forget(entry);
    // SAFETY: the descriptor is the child's own copy, and nothing else in the child uses it.
    unsafe { libc::close(fd) };
    Ok(None)
}

/// Does something for which ordinary sockets may be needed. Where all sockets of a program become rsockets
/// (librspreload), these must not: see [`is_inside`].
pub(super) fn inside<T>(act: impl FnOnce() -> T) -> T {
    let before = INSIDE.replace(true);
    let result = act();
    INSIDE.set(before);
    result
}

/// Whether this thread is asked for a socket by Ferroce itself.
pub(super) fn is_inside() -> bool {
    INSIDE.get()
}
