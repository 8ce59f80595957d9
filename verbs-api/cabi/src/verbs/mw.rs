//! Memory windows.

use std::ffi::{c_int, c_uint};
use std::sync::Arc;

use ferroce_engine::{Access, Bind, MwType, Payload, SendOp, SendWr};

use super::mr::Mr;
use super::pd::pd;
use super::post::send_flags;
use super::qp::qp;
use crate::abi;
use crate::border::{Errno, INVALID, pointer, status};
use crate::handle::{self, make, pooled};
use crate::process::Engine;

/// Our part of a memory window.
pub(crate) struct Mw {
    engine: Arc<Engine>,
    /// The first key that it had.
    rkey: u32,
}
pooled!(Mw, abi::Mw);

unsafe fn alloc(of: *mut abi::Pd, kind: c_int) -> Result<*mut abi::Mw, Errno> {
    let domain = pd(of)?;
    let mw_type = match kind {
        1 => MwType::Type1,
        2 => MwType::Type2,
        _ => return Err(INVALID),
    };
    let rkey = domain.engine.nic().with(|device, _| device.alloc_mw(domain.pd, mw_type))?;
    let c = abi::Mw { context: (*of).context, pd: of, rkey, handle: rkey >> 8, kind };
    Ok(make(c, Mw { engine: Arc::clone(&domain.engine), rkey }))
}

/// `ibv_alloc_mw`.
pub(crate) unsafe extern "C" fn alloc_mw(of: *mut abi::Pd, kind: c_int) -> *mut abi::Mw {
    pointer(alloc(of, kind))
}

unsafe fn dealloc(mw: *mut abi::Mw) -> Result<(), Errno> {
    let body = handle::object::<Mw>(mw)?;
    body.engine.nic().with(|device, _| device.dealloc_mw(body.rkey))?;
    handle::take::<Mw>(mw).map(drop)
}

/// `ibv_dealloc_mw`.
pub(crate) unsafe extern "C" fn dealloc_mw(mw: *mut abi::Mw) -> c_int {
    status(dealloc(mw))
}

/// What binding `mw` with the key `rkey` to the region in `info` means to the engine.
///
/// # Safety
///
/// The pointers are NULL or objects.
pub(crate) unsafe fn bind(mw: *mut abi::Mw, rkey: u32, info: &abi::MwBindInfo) -> Result<Bind, Errno> {
    let body = handle::object::<Mw>(mw)?;
    // Without a region, or with no bytes of it, the window is closed.
    let region = if info.mr.is_null() { 0 } else { handle::object::<Mr>(info.mr)?.lkey };
    // Rights of the program itself are the region's, whatever the window says.
    let access = Access::from_verbs(info.mw_access_flags).ok_or(INVALID)? - Access::LOCAL_WRITE;
    Ok(Bind {
        // The program chooses the low eight bits; the others are the window's name.
        rkey: body.rkey & !0xff | rkey & 0xff,
        region,
        addr: info.addr,
        len: if info.mr.is_null() { 0 } else { info.length },
        access,
    })
}

/// The same window's next key: the low eight bits count.
fn next_key(rkey: u32) -> u32 {
    rkey & !0xff | rkey.wrapping_add(1) & 0xff
}

unsafe fn post_bind(of: *mut abi::Qp, mw: *mut abi::Mw, wish: *mut abi::MwBind) -> Result<(), Errno> {
    let (body, wish) = (qp(of)?, wish.as_ref().ok_or(INVALID)?);
    handle::object::<Mw>(mw)?;
    let rkey = next_key((*mw).rkey);
    let flags = send_flags(wish.send_flags as c_uint);
    let op = SendOp::BindMw(bind(mw, rkey, &wish.bind_info)?);
    let wr = SendWr { flags, ..SendWr::new(wish.wr_id, op, Payload::Sges(&[])) };
    body.engine.nic().post_send(body.qpn, &[wr])?;
    (*mw).rkey = rkey;
    Ok(())
}

/// `ibv_bind_mw`, for windows of type 1.
pub(crate) unsafe extern "C" fn bind_mw(of: *mut abi::Qp, mw: *mut abi::Mw, wish: *mut abi::MwBind) -> c_int {
    status(post_bind(of, mw, wish))
}
