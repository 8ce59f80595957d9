//! Functions of libc that are ours in programs into which the library is preloaded, `sh` and `ls` included.
//!
//! Two are for device files that some programs insist on: UCX uses no device without a character device
//! `/dev/infiniband/uverbsN` to which it has access. For every other file they ask the kernel, as libc does. Two end the
//! process without exit(3) and what it calls: a NIC of hardware has acknowledged by then what its program has seen.

use std::ffi::{CStr, c_char, c_int, c_long};

use crate::process::devices;

/// Major number of the character devices of Linux's RDMA subsystem, and minor number of the first.
const MAJOR: u32 = 231;
const FIRST_MINOR: u32 = 192;

/// The position of the device whose file this is, if it is one of ours.
unsafe fn device_file(path: *const c_char) -> Option<u32> {
    if path.is_null() {
        return None;
    }
    let number = CStr::from_ptr(path).to_bytes().strip_prefix(b"/dev/infiniband/uverbs")?;
    let index: u32 = std::str::from_utf8(number).ok()?.parse().ok()?;
    (devices().len() > index as usize).then_some(index)
}

/// What a system call returned, as libc hands it on.
fn answer(result: c_long) -> c_int {
    result as c_int
}

/// `stat(2)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn stat(path: *const c_char, to: *mut libc::stat) -> c_int {
    let Some(index) = device_file(path) else {
        return answer(libc::syscall(libc::SYS_newfstatat, libc::AT_FDCWD, path, to, 0));
    };
    to.write_bytes(0, 1);
    (*to).st_mode = libc::S_IFCHR | 0o666;
    (*to).st_nlink = 1;
    (*to).st_rdev = libc::makedev(MAJOR, FIRST_MINOR + index);
    0
}

/// `_exit(2)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn _exit(status: c_int) -> ! {
    ferroce_net::last_words();
    loop {
        libc::syscall(libc::SYS_exit_group, status);
    }
}

/// `_Exit(3)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn _Exit(status: c_int) -> ! {
    _exit(status)
}

/// `access(2)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn access(path: *const c_char, mode: c_int) -> c_int {
    match device_file(path) {
        Some(_) => 0,
        None => answer(libc::syscall(libc::SYS_faccessat, libc::AT_FDCWD, path, mode)),
    }
}
