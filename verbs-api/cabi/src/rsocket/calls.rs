//! Making and ending connections.

use std::ffi::c_int;
use std::net::SocketAddr;
use std::sync::Arc;

use ferroce::rsocket::{DatagramSocket, Shutdown, Socket, SocketError};

use super::done;
use super::options::Kept;
use super::poll::wait;
use super::table::{self, Entry, Kind, find, inside, is_inside};
use crate::border::{Errno, INVALID, UNSUPPORTED, export, number};
use crate::cm::sockaddr;
use crate::cm::world::world;

/// Flags that the type of a socket may carry. All descriptors are closed on `exec`.
const TYPE_FLAGS: c_int = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;

fn make(domain: c_int, kind: c_int, protocol: c_int) -> Result<c_int, Errno> {
    if !matches!(domain, libc::AF_INET | libc::AF_INET6) || is_inside() {
        return Err(UNSUPPORTED);
    }
    // The devices are opened here, and not while an address is looked for.
    let manager = || inside(world).map(|world| &world.manager);
    let socket = match (kind & !TYPE_FLAGS, protocol) {
        (libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP) => Kind::Stream(Box::new(Socket::new(manager()?))),
        (libc::SOCK_DGRAM, 0 | libc::IPPROTO_UDP) => Kind::Datagrams(DatagramSocket::new(manager()?)),
        _ => return Err(UNSUPPORTED),
    };
    let entry = table::add(socket, domain, Kept::default())?;
    set_nonblocking(&entry, kind & libc::SOCK_NONBLOCK != 0);
    Ok(table::number(&entry))
}

fn set_nonblocking(entry: &Entry, nonblocking: bool) {
    entry.nonblocking.store(nonblocking, std::sync::atomic::Ordering::Relaxed);
}

/// Until the making of a connection has ended, one way or the other.
fn opened(entry: &Arc<Entry>) -> Result<(), Errno> {
    loop {
        match entry.stream()?.opened() {
            Some(result) => return Ok(result?),
            None => wait(entry, libc::POLLOUT)?,
        }
    }
}

fn connect(fd: c_int, to: SocketAddr) -> Result<(), Errno> {
    let entry = find(fd)?;
    let socket = match &entry.kind {
        Kind::Stream(socket) => socket,
        Kind::Datagrams(socket) => return Ok(inside(|| socket.connect(to))?),
    };
    match (socket.peer_addr().is_ok(), socket.opened()) {
        (true, Some(Ok(()))) => return Err(Errno(libc::EISCONN)),
        (true, None) => return Err(Errno(libc::EALREADY)),
        _ => {}
    }
    match inside(|| socket.connect(to)) {
        Err(SocketError::InProgress) if !entry.is_nonblocking() => opened(&entry),
        other => Ok(other?),
    }
}

fn accept(fd: c_int) -> Result<(Arc<Entry>, SocketAddr), Errno> {
    let listener = find(fd)?;
    let socket = listener.stream()?;
    loop {
        let (accepted, peer) = match inside(|| socket.accept()) {
            Ok(accepted) => accepted,
            Err(SocketError::WouldBlock) if !listener.is_nonblocking() => {
                wait(&listener, libc::POLLIN)?;
                continue;
            }
            // That peer has got its answer; there may be others.
            Err(SocketError::Version) => continue,
            Err(error) => return Err(error.into()),
        };
        // A peer that dies before it is ready is found out by whoever reads from it, and keeps no others waiting.
        let kept = listener.kept.lock().inherited();
        let entry = table::add(Kind::Stream(Box::new(accepted)), listener.family, kept)?;
        return Ok((entry, peer));
    }
}

fn shut_down(fd: c_int, how: c_int) -> Result<(), Errno> {
    let entry = find(fd)?;
    let how = match how {
        libc::SHUT_RD => Shutdown::Read,
        libc::SHUT_WR => Shutdown::Write,
        libc::SHUT_RDWR => Shutdown::Both,
        _ => return Err(INVALID),
    };
    Ok(entry.stream()?.shutdown(how)?)
}

fn close(fd: c_int) -> Result<(), Errno> {
    if let Some(entry) = table::remove(fd)? {
        // Who lingers for no time at all does not wait for what was sent to arrive.
        if let Kind::Stream(socket) = &entry.kind
            && entry.kept.lock().linger() != Some(0)
        {
            // A socket without connection has none to end.
            socket.shutdown(Shutdown::Both).ok();
        }
        // Other threads that are in a call with it keep it until they return.
    }
    Ok(())
}

/// Writes an address where the program wants it, cut off to what there is room for.
///
/// # Safety
///
/// `to` and `len` are NULL, or point to a length and to as much memory as that says.
pub(super) unsafe fn give(
    addr: SocketAddr,
    to: *mut libc::sockaddr,
    len: *mut libc::socklen_t,
) -> Result<(), Errno> {
    if to.is_null() {
        return Ok(());
    }
    let room = len.as_mut().ok_or(INVALID)?;
    let (from, whole) = sockaddr::to_c(addr);
    let count = (*room).min(whole) as usize;
    std::ptr::copy_nonoverlapping((&raw const from).cast::<u8>(), to.cast(), count);
    *room = whole;
    Ok(())
}

/// An address of the program's; EINVAL when it is shorter than its family's.
///
/// # Safety
///
/// `addr` is NULL or points to so many bytes.
pub(super) unsafe fn given(addr: *const libc::sockaddr, len: libc::socklen_t) -> Result<SocketAddr, Errno> {
    if addr.is_null() || (len as usize) < size_of::<libc::sockaddr_in>() {
        return Err(INVALID);
    }
    let is_v6 = c_int::from((*addr).sa_family) == libc::AF_INET6;
    if is_v6 && (len as usize) < size_of::<libc::sockaddr_in6>() {
        return Err(INVALID);
    }
    sockaddr::from_c(addr)
}

export! {
    "RDMACM_1.0" fn rsocket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
        number(make(domain, kind, protocol))
    }

    "RDMACM_1.0" fn rbind(fd: c_int, addr: *const libc::sockaddr, len: libc::socklen_t) -> c_int {
        done(find(fd).and_then(|entry| {
            let addr = given(addr, len)?;
            Ok(inside(|| match &entry.kind {
                Kind::Stream(socket) => socket.bind(addr),
                Kind::Datagrams(socket) => socket.bind(addr),
            })?)
        }))
    }

    "RDMACM_1.0" fn rlisten(fd: c_int, backlog: c_int) -> c_int {
        done(find(fd).and_then(|entry| {
            let socket = entry.stream()?;
            Ok(inside(|| socket.listen(backlog.max(0) as u32))?)
        }))
    }

    "RDMACM_1.0" fn raccept(fd: c_int, addr: *mut libc::sockaddr, len: *mut libc::socklen_t) -> c_int {
        number(accept(fd).and_then(|(entry, peer)| {
            give(peer, addr, len)?;
            Ok(table::number(&entry))
        }))
    }

    "RDMACM_1.0" fn rconnect(fd: c_int, addr: *const libc::sockaddr, len: libc::socklen_t) -> c_int {
        done(given(addr, len).and_then(|to| connect(fd, to)))
    }

    "RDMACM_1.0" fn rshutdown(fd: c_int, how: c_int) -> c_int {
        done(shut_down(fd, how))
    }

    "RDMACM_1.0" fn rclose(fd: c_int) -> c_int {
        done(close(fd))
    }

    "RDMACM_1.0" fn rgetsockname(fd: c_int, to: *mut libc::sockaddr, len: *mut libc::socklen_t) -> c_int {
        done(find(fd).and_then(|entry| give(entry.local_addr(), to, len)))
    }

    "RDMACM_1.0" fn rgetpeername(fd: c_int, to: *mut libc::sockaddr, len: *mut libc::socklen_t) -> c_int {
        done(find(fd).and_then(|entry| give(entry.peer_addr()?, to, len)))
    }
}
