//! Memory that peers may write to.

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use ferroce::rsocket::SocketError;
use ferroce_engine::Region;

use super::data::{bytes, until};
use super::poll::wait;
use super::table::{Entry, find};
use super::{count, done};
use crate::border::{Errno, INVALID, export};

unsafe fn map(fd: c_int, start: *mut c_void, len: usize, rights: c_int, offset: i64) -> Result<usize, Errno> {
    let entry = find(fd)?;
    if start.is_null() || len == 0 {
        return Err(INVALID);
    }
    // -1 leaves the choice to us.
    let wish = u64::try_from(offset).ok();
    let offset = if rights & libc::PROT_WRITE == 0 {
        // For the program's own use: there is nothing that the peer has to know.
        wish.unwrap_or(start as u64)
    } else {
        tell(&entry, wish, || {
            // SAFETY: the program keeps the memory until it takes it back, and knows that the peer writes to it.
            Region::from_raw(start.cast(), len as u64)
        })?
    };
    entry.mapped.lock().push((start as usize, len, offset));
    Ok(offset as usize)
}

/// Tells the peer of memory, which takes the little time that it takes even if the socket is not to wait for data.
fn tell(entry: &Arc<Entry>, wish: Option<u64>, region: impl Fn() -> Region) -> Result<u64, Errno> {
    loop {
        match entry.stream()?.map_region(region(), wish) {
            Err(SocketError::WouldBlock) => wait(entry, libc::POLLOUT)?,
            other => return Ok(other?),
        }
    }
}

fn unmap(fd: c_int, start: usize, len: usize) -> Result<(), Errno> {
    let entry = find(fd)?;
    let mut mapped = entry.mapped.lock();
    let found = mapped.iter().position(|(at, size, _)| (*at, *size) == (start, len)).ok_or(INVALID)?;
    let (_, _, offset) = mapped.swap_remove(found);
    // What was for the program's own use is not known there.
    entry.stream()?.unmap(offset).ok();
    Ok(())
}

unsafe fn write(
    fd: c_int,
    start: *const c_void,
    len: usize,
    offset: i64,
    flags: c_int,
) -> Result<usize, Errno> {
    let entry = find(fd)?;
    let socket = entry.stream()?;
    let (data, offset) = (bytes(start, len)?, u64::try_from(offset).map_err(|_| INVALID)?);
    let mut done = 0;
    loop {
        let at = offset.wrapping_add(done as u64);
        match until(&entry, libc::POLLOUT, flags, || socket.write_mapped(&data[done..], at)) {
            Ok(count) => done += count,
            Err(_) if done > 0 => return Ok(done),
            Err(errno) => return Err(errno),
        }
        if done == data.len() || entry.is_nonblocking() || flags & libc::MSG_DONTWAIT != 0 {
            return Ok(done);
        }
    }
}

export! {
    "RDMACM_1.0" fn riomap(
        fd: c_int,
        start: *mut c_void,
        len: usize,
        rights: c_int,
        flags: c_int,
        offset: i64,
    ) -> i64 {
        let _ = flags;
        count(map(fd, start, len, rights, offset)) as i64
    }

    "RDMACM_1.0" fn riounmap(fd: c_int, start: *mut c_void, len: usize) -> c_int {
        done(unmap(fd, start as usize, len))
    }

    "RDMACM_1.0" fn riowrite(
        fd: c_int,
        start: *const c_void,
        len: usize,
        offset: i64,
        flags: c_int,
    ) -> isize {
        count(write(fd, start, len, offset, flags))
    }
}
