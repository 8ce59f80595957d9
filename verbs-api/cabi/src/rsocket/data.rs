//! Sending and receiving.

use std::ffi::{c_int, c_short, c_void};
use std::sync::Arc;

use ferroce::rsocket::SocketError;

use super::poll::wait;
use super::table::{Entry, find};
use super::{calls, count};
use crate::border::{Errno, INVALID, UNSUPPORTED, export};

/// Flags that ask for what a stream over RDMA does not have. Others mean something here, or nothing.
const NOT_OFFERED: c_int = libc::MSG_OOB | libc::MSG_ERRQUEUE;

/// Repeats `act` until it need not wait, unless nobody wants to wait.
pub(super) fn until<T>(
    entry: &Arc<Entry>,
    events: c_short,
    flags: c_int,
    mut act: impl FnMut() -> Result<T, SocketError>,
) -> Result<T, Errno> {
    loop {
        match act() {
            Err(SocketError::WouldBlock) if flags & libc::MSG_DONTWAIT == 0 && !entry.is_nonblocking() => {
                wait(entry, events)?;
            }
            other => return Ok(other?),
        }
    }
}

/// Sends all of it, or as much as goes without waiting if so told.
pub(super) fn send(entry: &Arc<Entry>, data: &[u8], flags: c_int) -> Result<usize, Errno> {
    if flags & NOT_OFFERED != 0 {
        return Err(UNSUPPORTED);
    }
    let waits = flags & libc::MSG_DONTWAIT == 0 && !entry.is_nonblocking();
    let mut sent = 0;
    loop {
        match until(entry, libc::POLLOUT, flags, || entry.socket.send(&data[sent..])) {
            Ok(count) => sent += count,
            Err(_) if sent > 0 => return Ok(sent),
            Err(errno) => return Err(errno),
        }
        if sent == data.len() || !waits {
            return Ok(sent);
        }
    }
}

/// Receives what has come, or all that there is room for if so told.
pub(super) fn receive(entry: &Arc<Entry>, out: &mut [u8], flags: c_int) -> Result<usize, Errno> {
    if flags & NOT_OFFERED != 0 {
        return Err(UNSUPPORTED);
    }
    if flags & libc::MSG_PEEK != 0 {
        return until(entry, libc::POLLIN, flags, || entry.socket.peek(out));
    }
    let mut got = 0;
    loop {
        match until(entry, libc::POLLIN, flags, || entry.socket.recv(&mut out[got..])) {
            Ok(0) => return Ok(got),
            Ok(count) => got += count,
            Err(_) if got > 0 => return Ok(got),
            Err(errno) => return Err(errno),
        }
        if got == out.len() || flags & libc::MSG_WAITALL == 0 {
            return Ok(got);
        }
    }
}

/// What a program wants to send.
///
/// # Safety
///
/// `start` points to so many bytes, or there are none.
pub(super) unsafe fn bytes<'a>(start: *const c_void, len: usize) -> Result<&'a [u8], Errno> {
    match len {
        0 => Ok(&[]),
        _ if start.is_null() || len > isize::MAX as usize => Err(INVALID),
        _ => Ok(std::slice::from_raw_parts(start.cast(), len)),
    }
}

/// Where a program wants to receive.
///
/// # Safety
///
/// As for [`bytes`].
pub(super) unsafe fn room<'a>(start: *mut c_void, len: usize) -> Result<&'a mut [u8], Errno> {
    match len {
        0 => Ok(&mut []),
        _ if start.is_null() || len > isize::MAX as usize => Err(INVALID),
        _ => Ok(std::slice::from_raw_parts_mut(start.cast(), len)),
    }
}

unsafe fn send_raw(fd: c_int, start: *const c_void, len: usize, flags: c_int) -> Result<usize, Errno> {
    send(&find(fd)?, bytes(start, len)?, flags)
}

unsafe fn receive_raw(fd: c_int, start: *mut c_void, len: usize, flags: c_int) -> Result<usize, Errno> {
    receive(&find(fd)?, room(start, len)?, flags)
}

export! {
    "RDMACM_1.0" fn rsend(fd: c_int, start: *const c_void, len: usize, flags: c_int) -> isize {
        count(send_raw(fd, start, len, flags))
    }

    "RDMACM_1.0" fn rwrite(fd: c_int, start: *const c_void, len: usize) -> isize {
        count(send_raw(fd, start, len, 0))
    }

    // A stream goes to its peer, whatever address is named.
    "RDMACM_1.0" fn rsendto(
        fd: c_int,
        start: *const c_void,
        len: usize,
        flags: c_int,
        to: *const libc::sockaddr,
        to_len: libc::socklen_t,
    ) -> isize {
        let connected = to.is_null() && to_len == 0;
        count(if connected { send_raw(fd, start, len, flags) } else { Err(Errno(libc::EISCONN)) })
    }

    "RDMACM_1.0" fn rrecv(fd: c_int, start: *mut c_void, len: usize, flags: c_int) -> isize {
        count(receive_raw(fd, start, len, flags))
    }

    "RDMACM_1.0" fn rread(fd: c_int, start: *mut c_void, len: usize) -> isize {
        count(receive_raw(fd, start, len, 0))
    }

    "RDMACM_1.0" fn rrecvfrom(
        fd: c_int,
        start: *mut c_void,
        len: usize,
        flags: c_int,
        from: *mut libc::sockaddr,
        from_len: *mut libc::socklen_t,
    ) -> isize {
        count(receive_raw(fd, start, len, flags).and_then(|got| {
            calls::give(find(fd)?.socket.peer_addr()?, from, from_len)?;
            Ok(got)
        }))
    }
}
