//! Options of sockets.

use std::ffi::{c_int, c_long, c_void};
use std::sync::atomic::Ordering;

use ferroce::cm;
use ferroce::rsocket::Options;

use super::done;
use super::table::{Entry, find};
use crate::border::{Errno, INVALID, UNSUPPORTED, export, number};

/// Options that are remembered, and mean nothing more.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// By level and name.
    values: Vec<((c_int, c_int), c_int)>,
    /// `SO_LINGER`: on or off, and seconds.
    linger: (c_int, c_int),
}

impl Kept {
    /// Seconds that closing waits for what was sent to arrive, if somebody has said so.
    pub(super) fn linger(&self) -> Option<c_int> {
        (self.linger.0 != 0).then_some(self.linger.1)
    }

    /// What sockets get from the one that accepts them.
    pub(super) fn inherited(&self) -> Kept {
        self.clone()
    }

    fn get(&self, level: c_int, name: c_int) -> c_int {
        self.values.iter().find(|(key, _)| *key == (level, name)).map_or(0, |(_, value)| *value)
    }

    fn set(&mut self, level: c_int, name: c_int, value: c_int) {
        self.values.retain(|(key, _)| *key != (level, name));
        self.values.push(((level, name), value));
    }
}

/// `SOL_RDMA` and its options.
const SOL_RDMA: c_int = 0x10000;
const SQSIZE: c_int = 0;
const RQSIZE: c_int = 1;
const INLINE: c_int = 2;
const IOMAPSIZE: c_int = 3;

/// Bytes that a message of a stream carries at most, towards TCP (`TCP_MAXSEG`).
const LARGEST_MESSAGE: c_int = 65_536;

/// Bytes that go along with a work request (`RDMA_INLINE`).
const INLINE_BYTES: c_int = 64;

/// An option that is a number.
fn set(entry: &Entry, level: c_int, name: c_int, value: c_int) -> Result<(), Errno> {
    let Ok(socket) = entry.stream() else {
        entry.kept.lock().set(level, name, value);
        return Ok(());
    };
    let (options, ids) = (socket.options(), socket.id().options());
    let queue = u16::try_from(value).unwrap_or(if value < 0 { 0 } else { u16::MAX });
    let size = usize::try_from(value).unwrap_or(0);
    match (level, name) {
        (libc::SOL_SOCKET, libc::SO_SNDBUF) => socket.set_options(Options { send_buffer: size, ..options }),
        (libc::SOL_SOCKET, libc::SO_RCVBUF) => {
            socket.set_options(Options { receive_buffer: size, ..options })
        }
        (libc::SOL_SOCKET, libc::SO_REUSEADDR) => {
            socket.id().set_options(cm::Options { reuse_addr: value != 0, ..ids });
        }
        (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY) => {
            socket.id().set_options(cm::Options { af_only: value != 0, ..ids });
        }
        (SOL_RDMA, SQSIZE) => socket.set_options(Options { send_queue: queue, ..options }),
        (SOL_RDMA, RQSIZE) => socket.set_options(Options { receive_queue: queue, ..options }),
        (SOL_RDMA, IOMAPSIZE) => socket.set_options(Options { mappings: size, ..options }),
        // All of these a stream over RDMA does, or has no use for.
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE | libc::SO_OOBINLINE)
        | (
            libc::IPPROTO_TCP,
            libc::TCP_NODELAY
            | libc::TCP_MAXSEG
            | libc::TCP_KEEPIDLE
            | libc::TCP_KEEPINTVL
            | libc::TCP_KEEPCNT,
        )
        | (SOL_RDMA, INLINE) => entry.kept.lock().set(level, name, value),
        _ => return Err(UNSUPPORTED),
    }
    Ok(())
}

fn get(entry: &Entry, level: c_int, name: c_int) -> Result<c_int, Errno> {
    let Ok(socket) = entry.stream() else {
        return Ok(match (level, name) {
            (libc::SOL_SOCKET, libc::SO_TYPE) => libc::SOCK_DGRAM,
            (libc::SOL_SOCKET, libc::SO_DOMAIN) => entry.family,
            (libc::SOL_SOCKET, libc::SO_PROTOCOL) => libc::IPPROTO_UDP,
            _ => entry.kept.lock().get(level, name),
        });
    };
    let options = socket.options();
    Ok(match (level, name) {
        (libc::SOL_SOCKET, libc::SO_SNDBUF) => options.send_buffer as c_int,
        (libc::SOL_SOCKET, libc::SO_RCVBUF) => options.receive_buffer as c_int,
        (libc::SOL_SOCKET, libc::SO_REUSEADDR) => c_int::from(socket.id().options().reuse_addr),
        (libc::SOL_SOCKET, libc::SO_TYPE) => libc::SOCK_STREAM,
        (libc::SOL_SOCKET, libc::SO_DOMAIN) => entry.family,
        (libc::SOL_SOCKET, libc::SO_PROTOCOL) => libc::IPPROTO_TCP,
        (libc::SOL_SOCKET, libc::SO_ERROR) => match socket.opened() {
            Some(Err(error)) => error.errno(),
            _ => 0,
        },
        (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY) => c_int::from(socket.id().options().af_only),
        (libc::IPPROTO_TCP, libc::TCP_MAXSEG) => LARGEST_MESSAGE,
        (SOL_RDMA, SQSIZE) => options.send_queue.into(),
        (SOL_RDMA, RQSIZE) => options.receive_queue.into(),
        (SOL_RDMA, INLINE) => INLINE_BYTES,
        (SOL_RDMA, IOMAPSIZE) => options.mappings as c_int,
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE | libc::SO_OOBINLINE)
        | (
            libc::IPPROTO_TCP,
            libc::TCP_NODELAY | libc::TCP_KEEPIDLE | libc::TCP_KEEPINTVL | libc::TCP_KEEPCNT,
        ) => entry.kept.lock().get(level, name),
        _ => return Err(Errno(libc::ENOPROTOOPT)),
    })
}

unsafe fn set_raw(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: libc::socklen_t,
) -> Result<(), Errno> {
    let entry = find(fd)?;
    let has_room = |size: usize| !value.is_null() && len as usize >= size;
    if (level, name) == (libc::SOL_SOCKET, libc::SO_LINGER) {
        if !has_room(size_of::<libc::linger>()) {
            return Err(INVALID);
        }
        let linger = value.cast::<libc::linger>().read_unaligned();
        entry.kept.lock().linger = (linger.l_onoff, linger.l_linger);
        return Ok(());
    }
    if !has_room(size_of::<c_int>()) {
        return Err(INVALID);
    }
    set(&entry, level, name, value.cast::<c_int>().read_unaligned())
}

unsafe fn get_raw(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut libc::socklen_t,
) -> Result<(), Errno> {
    let entry = find(fd)?;
    let room = len.as_mut().filter(|_| !value.is_null()).ok_or(INVALID)?;
    let linger = entry.kept.lock().linger;
    let words = match (level, name) {
        (libc::SOL_SOCKET, libc::SO_LINGER) => vec![linger.0, linger.1],
        _ => vec![get(&entry, level, name)?],
    };
    let size = size_of_val(&words[..]).min(*room as usize);
    std::ptr::copy_nonoverlapping(words.as_ptr().cast::<u8>(), value.cast(), size);
    *room = size as libc::socklen_t;
    Ok(())
}

fn control(fd: c_int, command: c_int, argument: c_long) -> Result<c_int, Errno> {
    let entry = find(fd)?;
    match command {
        libc::F_GETFL => Ok(libc::O_RDWR | if entry.is_nonblocking() { libc::O_NONBLOCK } else { 0 }),
        libc::F_SETFL => {
            let nonblocking = argument as c_int & libc::O_NONBLOCK != 0;
            entry.nonblocking.store(nonblocking, Ordering::Relaxed);
            Ok(0)
        }
        // SAFETY: no pointers are involved.
        libc::F_GETFD | libc::F_SETFD => match unsafe { libc::fcntl(fd, command, argument) } {
            -1 => Err(Errno::last()),
            flags => Ok(flags),
        },
        _ => Err(UNSUPPORTED),
    }
}

export! {
    "RDMACM_1.0" fn rsetsockopt(
        fd: c_int,
        level: c_int,
        name: c_int,
        value: *const c_void,
        len: libc::socklen_t,
    ) -> c_int {
        done(set_raw(fd, level, name, value, len))
    }

    "RDMACM_1.0" fn rgetsockopt(
        fd: c_int,
        level: c_int,
        name: c_int,
        value: *mut c_void,
        len: *mut libc::socklen_t,
    ) -> c_int {
        done(get_raw(fd, level, name, value, len))
    }

    // The third argument is optional in C, and is passed as others are.
    "RDMACM_1.0" fn rfcntl(fd: c_int, command: c_int, argument: c_long) -> c_int {
        number(control(fd, command, argument))
    }
}
