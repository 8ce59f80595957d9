//! `<rdma/rsocket.h>`: what [`ferroce::rsocket`] does, for C programs.
//!
//! A socket is named by a descriptor of its own, so that its number is no other file's. Waiting is done here and not
//! by the sockets, which never wait: then signals end it, and it can be for sockets and ordinary files at once.

mod calls;
mod data;
mod mapped;
mod message;
mod options;
mod poll;
mod table;

use std::ffi::c_int;

use ferroce::rsocket::SocketError;

use crate::border::Errno;

impl From<SocketError> for Errno {
    fn from(error: SocketError) -> Errno {
        Errno(error.errno())
    }
}

/// For functions that return a count of bytes, or -1 with `errno`.
fn count(result: Result<usize, Errno>) -> isize {
    match result {
        Ok(count) => count as isize,
        Err(errno) => {
            errno.set();
            -1
        }
    }
}

/// For functions that return 0, or -1 with `errno`.
fn done(result: Result<(), Errno>) -> c_int {
    crate::border::number(result.map(|()| 0))
}
