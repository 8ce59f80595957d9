//! The system calls of the data path, wrapped so that the rest of the crate is safe code.
//!
//! Only what `std` and `nix` do not offer is here: batched sends and receives with control messages, socket
//! options by number, packet sockets, settings of interfaces, memory that may be missing. Every `unsafe` block of the
//! crate is in this module.

mod address;
mod batch;
mod control;
mod device;
mod filter;
pub(crate) mod fork;
mod memory;
mod shared;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

pub(crate) use address::SockAddr;
pub(crate) use batch::{BATCH, Inbox, Incoming, Outgoing, send};
pub(crate) use control::Control;
pub(crate) use device::{
    interface_hardware, interface_is, interface_mtu, interface_queue, open_tap, receive_also,
    receive_no_more, set_interface_mtu, set_interface_up,
};
pub(crate) use filter::{Filter, attach_filter, attach_steering, detach_filter};
pub use memory::ThisProcess;
pub(crate) use shared::{SharedMemory, receive_descriptor, send_descriptor};

/// Opens a non-blocking socket that does not survive `exec`.
pub(crate) fn socket(domain: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let fd = unsafe { libc::socket(domain, kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, protocol) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Binds a socket.
pub(crate) fn bind(fd: BorrowedFd<'_>, addr: &SockAddr) -> io::Result<()> {
    // SAFETY: pointer and length describe the initialised bytes of `addr`, which the kernel only reads.
    check(unsafe { libc::bind(fd.as_raw_fd(), addr.as_ptr(), addr.len()) })
}

/// Sets an option whose value is an `int`.
pub(crate) fn set_option(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    let len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: pointer and length describe `value`, which the kernel only reads.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), len) })
}

/// Sets an option whose value is a structure, laid out as the kernel has it.
pub(crate) fn set_struct(fd: BorrowedFd<'_>, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    let len = value.len() as libc::socklen_t;
    // SAFETY: pointer and length describe `value`, which the kernel only reads.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value.as_ptr().cast(), len) })
}

/// Reads an option whose value is an `int`.
pub(crate) fn option(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<i32> {
    let mut value = [0];
    options(fd, level, name, &mut value)?;
    Ok(value[0] as i32)
}

/// Datagrams that the kernel dropped at this socket, mostly because its buffer was full, since it was opened.
pub(crate) fn drops(fd: BorrowedFd<'_>) -> u64 {
    /// Place of `SK_MEMINFO_DROPS` in the array that `SO_MEMINFO` gives (socket(7) does not list them).
    const DROPS: usize = 8;
    let mut values = [0; DROPS + 1];
    match options(fd, libc::SOL_SOCKET, libc::SO_MEMINFO, &mut values) {
        Ok(()) => u64::from(values[DROPS]),
        Err(_) => 0,
    }
}

fn options(fd: BorrowedFd<'_>, level: i32, name: i32, values: &mut [u32]) -> io::Result<()> {
    let mut len = size_of_val(values) as libc::socklen_t;
    // SAFETY: pointer and length describe `values`; the kernel writes at most `len` bytes, and any bytes are
    // valid `u32`s.
    check(unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, values.as_mut_ptr().cast(), &raw mut len) })
}

/// A descriptor to wait for: until it is readable, or until it is writable too.
pub(crate) fn interest(fd: RawFd, writable: bool) -> libc::pollfd {
    let events = if writable { libc::POLLIN | libc::POLLOUT } else { libc::POLLIN };
    libc::pollfd { fd, events, revents: 0 }
}

/// Waits until one of the descriptors is ready, or the time is over; `None` stands for ever.
pub(crate) fn wait(descriptors: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<()> {
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: timeout.subsec_nanos() as _,
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let count = descriptors.len() as libc::nfds_t;
    // SAFETY: pointer and length describe `descriptors`, whose `revents` the kernel writes; `timeout` is null
    // or points to a value that lives until the end of this function, and there is no signal mask.
    check(unsafe { libc::ppoll(descriptors.as_mut_ptr(), count, timeout, std::ptr::null()) })
}

/// Random bytes from the operating system.
pub(crate) fn random() -> io::Result<[u8; 32]> {
    let mut bytes = [0_u8; 32];
    // SAFETY: pointer and length describe `bytes`. Up to 256 bytes are never given in part (getrandom(2)).
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got == bytes.len() as isize { Ok(bytes) } else { Err(io::Error::last_os_error()) }
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
