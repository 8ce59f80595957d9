//! Domains of extended reliable connections.

use std::ffi::c_int;
use std::sync::Arc;

use ferroce_engine::XrcdOpen;

use super::context::{context, inode};
use crate::abi;
use crate::border::{Errno, INVALID, pointer, status};
use crate::handle::{self, make, pooled};
use crate::process::Engine;

/// Our part of a domain.
pub(crate) struct Xrcd {
    engine: Arc<Engine>,
    xrcd: ferroce_engine::Xrcd,
}
pooled!(Xrcd, abi::Xrcd);

/// The engine's domain behind a pointer.
///
/// # Safety
///
/// As [`handle::object`].
pub(crate) unsafe fn xrcd(pointer: *const abi::Xrcd) -> Result<ferroce_engine::Xrcd, Errno> {
    Ok(handle::object::<Xrcd>(pointer)?.xrcd)
}

/// `IBV_XRCD_INIT_ATTR_FD` and `IBV_XRCD_INIT_ATTR_OFLAGS`, both of which are needed.
const MASK: u32 = 0b11;

unsafe fn open(of: *mut abi::Context, attr: *const abi::XrcdInitAttr) -> Result<*mut abi::Xrcd, Errno> {
    let (engine, attr) = (&context(of)?.engine, attr.as_ref().ok_or(INVALID)?);
    if attr.comp_mask != MASK {
        return Err(INVALID);
    }
    // Who opens the same file shares the domain.
    let name = if attr.fd < 0 { None } else { Some(inode(attr.fd)?) };
    let has = |flag: c_int| attr.oflags & flag != 0;
    let wish = XrcdOpen { name, create: has(libc::O_CREAT), exclusive: has(libc::O_EXCL) };
    let xrcd = engine.nic().with(|device, _| device.open_xrcd(wish))?;
    Ok(make(abi::Xrcd { context: of }, Xrcd { engine: Arc::clone(engine), xrcd }))
}

/// A domain that is shared with nobody.
///
/// # Safety
///
/// `of` is a context.
pub(crate) unsafe fn open_private(of: *mut abi::Context) -> Result<*mut abi::Xrcd, Errno> {
    open(of, &abi::XrcdInitAttr { comp_mask: MASK, fd: -1, oflags: libc::O_CREAT })
}

/// `ibv_open_xrcd`.
pub(crate) unsafe extern "C" fn open_xrcd(
    of: *mut abi::Context,
    attr: *mut abi::XrcdInitAttr,
) -> *mut abi::Xrcd {
    pointer(open(of, attr))
}

unsafe fn close(pointer: *mut abi::Xrcd) -> Result<(), Errno> {
    let body = handle::object::<Xrcd>(pointer)?;
    body.engine.nic().with(|device, _| device.close_xrcd(body.xrcd))?;
    handle::take::<Xrcd>(pointer).map(drop)
}

/// `ibv_close_xrcd`.
pub(crate) unsafe extern "C" fn close_xrcd(pointer: *mut abi::Xrcd) -> c_int {
    status(close(pointer))
}
