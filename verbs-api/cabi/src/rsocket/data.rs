//! Sending and receiving.

use std::ffi::{c_int, c_short, c_void};
use std::net::SocketAddr;
use std::sync::Arc;

use ferroce::rsocket::SocketError;

use super::poll::wait;
use super::table::{Entry, Kind, find, inside};
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
    let socket = match &entry.kind {
        Kind::Stream(socket) => socket,
        Kind::Datagrams(socket) => return until(entry, libc::POLLOUT, flags, || socket.send(data)),
    };
    let waits = flags & libc::MSG_DONTWAIT == 0 && !entry.is_nonblocking();
    let mut sent = 0;
    loop {
        match until(entry, libc::POLLOUT, flags, || socket.send(&data[sent..])) {
            Ok(count) => sent += count,
            Err(_) if sent > 0 => return Ok(sent),
            Err(errno) => return Err(errno),
        }
        if sent == data.len() || !waits {
            return Ok(sent);
        }
    }
}

/// Sends a datagram to an address. A stream is connected to its peer, and to nobody else.
pub(super) fn send_to(
    entry: &Arc<Entry>,
    data: &[u8],
    flags: c_int,
    to: Result<SocketAddr, Errno>,
) -> Result<usize, Errno> {
    match &entry.kind {
        Kind::Stream(_) => Err(Errno(libc::EISCONN)),
        Kind::Datagrams(_) if flags & NOT_OFFERED != 0 => Err(UNSUPPORTED),
        Kind::Datagrams(socket) => {
            let to = to?;
            // An ordinary socket goes first to whoever was not spoken to yet.
            inside(|| until(entry, libc::POLLOUT, flags, || socket.send_to(data, to)))
        }
    }
}

/// Receives what has come, or all that there is room for if so told.
pub(super) fn receive(entry: &Arc<Entry>, out: &mut [u8], flags: c_int) -> Result<usize, Errno> {
    if flags & NOT_OFFERED != 0 {
        return Err(UNSUPPORTED);
    }
    let socket = match &entry.kind {
        Kind::Stream(socket) => socket,
        Kind::Datagrams(_) => return receive_from(entry, out, flags).map(|(count, _)| count),
    };
    if flags & libc::MSG_PEEK != 0 {
        return until(entry, libc::POLLIN, flags, || socket.peek(out));
    }
    let mut got = 0;
    loop {
        match until(entry, libc::POLLIN, flags, || socket.recv(&mut out[got..])) {
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

/// The same, and where it comes from.
pub(super) fn receive_from(
    entry: &Arc<Entry>,
    out: &mut [u8],
    flags: c_int,
) -> Result<(usize, SocketAddr), Errno> {
    match &entry.kind {
        Kind::Stream(socket) => Ok((receive(entry, out, flags)?, socket.peer_addr()?)),
        Kind::Datagrams(_) if flags & NOT_OFFERED != 0 => Err(UNSUPPORTED),
        Kind::Datagrams(socket) => until(entry, libc::POLLIN, flags, || match flags & libc::MSG_PEEK {
            0 => socket.recv_from(out),
            _ => socket.peek_from(out),
        }),
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

    "RDMACM_1.0" fn rsendto(
        fd: c_int,
        start: *const c_void,
        len: usize,
        flags: c_int,
        to: *const libc::sockaddr,
        to_len: libc::socklen_t,
    ) -> isize {
        count(match to.is_null() && to_len == 0 {
            true => send_raw(fd, start, len, flags),
            false => find(fd).and_then(|entry| {
                send_to(&entry, bytes(start, len)?, flags, calls::given(to, to_len))
            }),
        })
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
        count(find(fd).and_then(|entry| {
            let (got, peer) = receive_from(&entry, room(start, len)?, flags)?;
            calls::give(peer, from, from_len)?;
            Ok(got)
        }))
    }
}
