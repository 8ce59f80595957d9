//! Options of identifiers.

use std::ffi::{c_int, c_void};

use ferroce::cm::Options;

use super::id::id;
use crate::abi;
use crate::border::{Errno, INVALID, export, number};

/// `RDMA_OPTION_ID`, and its options.
const LEVEL_ID: c_int = 0;
const TOS: c_int = 0;
const REUSEADDR: c_int = 1;
const AFONLY: c_int = 2;
const ACK_TIMEOUT: c_int = 3;

unsafe fn set(
    pointer: *mut abi::CmId,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: usize,
) -> Result<(), Errno> {
    let body = id(pointer)?;
    if level != LEVEL_ID {
        return Err(Errno(libc::ENOSYS));
    }
    let byte = || if len == 1 { value.cast::<u8>().as_ref().copied().ok_or(INVALID) } else { Err(INVALID) };
    let flag = || match len {
        4 => value.cast::<c_int>().as_ref().map(|flag| *flag != 0).ok_or(INVALID),
        _ => Err(INVALID),
    };
    let before = body.id.options();
    let options = match name {
        TOS => Options { tos: byte()?, ..before },
        REUSEADDR => Options { reuse_addr: flag()?, ..before },
        AFONLY => Options { af_only: flag()?, ..before },
        ACK_TIMEOUT => match byte()? {
            timeout if timeout < 32 => Options { ack_timeout: Some(timeout), ..before },
            _ => return Err(INVALID),
        },
        _ => return Err(Errno(libc::ENOSYS)),
    };
    body.id.set_options(options);
    Ok(())
}

export! {
    "RDMACM_1.0" fn rdma_set_option(
        pointer: *mut abi::CmId,
        level: c_int,
        name: c_int,
        value: *mut c_void,
        len: usize,
    ) -> c_int {
        number(set(pointer, level, name, value, len).map(|()| 0))
    }
}
