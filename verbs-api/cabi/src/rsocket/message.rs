//! Sending from several places, and receiving to several.

use std::ffi::c_int;
use std::net::SocketAddr;
use std::sync::Arc;

use super::calls::{give, given};
use super::count;
use super::data::{bytes, receive_from, room, send, send_to};
use super::table::{Entry, Kind, find};
use crate::border::{Errno, INVALID, UNSUPPORTED, export};

/// `IOV_MAX`.
const MOST: usize = 1024;

/// Bytes that no datagram has more of.
const LARGEST_DATAGRAM: usize = 65_536;

unsafe fn places<'a>(start: *const libc::iovec, count: usize) -> Result<&'a [libc::iovec], Errno> {
    match count {
        0 => Ok(&[]),
        _ if start.is_null() || count > MOST => Err(INVALID),
        _ => Ok(std::slice::from_raw_parts(start, count)),
    }
}

/// A datagram in one piece.
unsafe fn whole(from: &[libc::iovec]) -> Result<Vec<u8>, Errno> {
    let mut all = Vec::new();
    for place in from {
        all.extend_from_slice(bytes(place.iov_base, place.iov_len)?);
    }
    Ok(all)
}

unsafe fn gather(entry: &Arc<Entry>, from: &[libc::iovec], flags: c_int) -> Result<usize, Errno> {
    if let Kind::Datagrams(_) = entry.kind {
        return send(entry, &whole(from)?, flags);
    }
    let (mut sent, mut all) = (0, 0);
    for place in from {
        all += place.iov_len;
        match send(entry, bytes(place.iov_base, place.iov_len)?, flags) {
            Ok(count) => sent += count,
            Err(_) if sent > 0 => break,
            Err(errno) => return Err(errno),
        }
        // Where there was no room for all of a place there is none for the next.
        if sent < all {
            break;
        }
    }
    Ok(sent)
}

unsafe fn scatter(
    entry: &Arc<Entry>,
    to: &[libc::iovec],
    flags: c_int,
) -> Result<(usize, SocketAddr), Errno> {
    // What is looked at stays where it is, and so has to be looked at as a whole.
    let total = to.iter().try_fold(0_usize, |sum, place| sum.checked_add(place.iov_len)).ok_or(INVALID)?;
    let most = entry.stream().map_or(LARGEST_DATAGRAM, |socket| socket.options().receive_buffer);
    let mut whole = vec![0; total.min(most)];
    let (got, from) = receive_from(entry, &mut whole, flags)?;
    let mut rest = &whole[..got];
    for place in to {
        let (now, later) = rest.split_at(rest.len().min(place.iov_len));
        room(place.iov_base, now.len())?.copy_from_slice(now);
        rest = later;
    }
    Ok((got, from))
}

unsafe fn send_message(fd: c_int, message: *const libc::msghdr, flags: c_int) -> Result<usize, Errno> {
    let (entry, message) = (find(fd)?, message.as_ref().ok_or(INVALID)?);
    // Nothing can go along with the data.
    if !message.msg_control.is_null() && message.msg_controllen != 0 {
        return Err(UNSUPPORTED);
    }
    let from = places(message.msg_iov, message.msg_iovlen)?;
    match message.msg_name.is_null() {
        true => gather(&entry, from, flags),
        false => send_to(&entry, &whole(from)?, flags, given(message.msg_name.cast(), message.msg_namelen)),
    }
}

unsafe fn receive_message(fd: c_int, message: *mut libc::msghdr, flags: c_int) -> Result<usize, Errno> {
    let (entry, message) = (find(fd)?, message.as_mut().ok_or(INVALID)?);
    let (got, from) = scatter(&entry, places(message.msg_iov, message.msg_iovlen)?, flags)?;
    (message.msg_controllen, message.msg_flags) = (0, 0);
    give(from, message.msg_name.cast(), &raw mut message.msg_namelen)?;
    Ok(got)
}

unsafe fn list<'a>(start: *const libc::iovec, count: c_int) -> Result<&'a [libc::iovec], Errno> {
    places(start, usize::try_from(count).map_err(|_| INVALID)?)
}

export! {
    "RDMACM_1.0" fn rsendmsg(fd: c_int, message: *const libc::msghdr, flags: c_int) -> isize {
        count(send_message(fd, message, flags))
    }

    "RDMACM_1.0" fn rrecvmsg(fd: c_int, message: *mut libc::msghdr, flags: c_int) -> isize {
        count(receive_message(fd, message, flags))
    }

    "RDMACM_1.0" fn rwritev(fd: c_int, start: *const libc::iovec, places: c_int) -> isize {
        count(find(fd).and_then(|entry| gather(&entry, list(start, places)?, 0)))
    }

    "RDMACM_1.0" fn rreadv(fd: c_int, start: *const libc::iovec, places: c_int) -> isize {
        count(find(fd).and_then(|entry| Ok(scatter(&entry, list(start, places)?, 0)?.0)))
    }
}
