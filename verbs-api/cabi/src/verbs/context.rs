//! Opening and closing devices.

use std::ffi::c_int;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{cq, cq_ex, dm, mr, mw, pd, post, qp, query, srq, xrcd};
use crate::abi::{self, Plain};
use crate::border::{Errno, UNSUPPORTED, export, number, pointer};
use crate::handle::{self, pooled};
use crate::process::{AsyncQueue, Device, Engine, device};
use crate::reader::a_moment;

/// Our part of a context.
pub(crate) struct Context {
    pub(crate) engine: Arc<Engine>,
    pub(crate) device: &'static Device,
    /// Its asynchronous events.
    pub(crate) events: Arc<AsyncQueue>,
    /// A file by which [`ibv_import_device`] can name this one; closed with it.
    _cmd: OwnedFd,
}
pooled!(Context, abi::VerbsContext);

/// Contexts that are open, by the inode of their command file.
static OPEN: Mutex<Vec<(u64, usize)>> = Mutex::new(Vec::new());

/// Our part of the context behind a pointer.
///
/// # Safety
///
/// As [`handle::object`].
pub(crate) unsafe fn context<'a>(pointer: *const abi::Context) -> Result<&'a Context, Errno> {
    handle::object(whole(pointer.cast_mut()))
}

/// The structure in which a context lies.
fn whole(pointer: *mut abi::Context) -> *mut abi::VerbsContext {
    pointer.wrapping_byte_sub(offset_of!(abi::VerbsContext, context)).cast()
}

/// Opens a device.
pub(crate) fn open(device: &'static Device) -> Result<*mut abi::Context, Errno> {
    let engine = device.open()?;
    let events = Arc::new(AsyncQueue::new()?);
    let cmd = command_file()?;
    let mut c = table();
    c.context.device = device.pointer();
    c.context.cmd_fd = cmd.as_raw_fd();
    c.context.async_fd = events.fd();
    let inode = inode(cmd.as_raw_fd())?;
    let whole = handle::make(c, Context { engine, device, events, _cmd: cmd });
    let pointer = whole.wrapping_byte_add(offset_of!(abi::VerbsContext, context)).cast::<abi::Context>();
    OPEN.lock().push((inode, pointer as usize));
    Ok(pointer)
}

unsafe fn close(pointer: *mut abi::Context) -> Result<(), Errno> {
    context(pointer)?.events.await_reader(a_moment());
    OPEN.lock().retain(|(_, open)| *open != pointer as usize);
    // Objects that were made in it keep what they need.
    handle::take::<Context>(whole(pointer)).map(drop)
}

/// The functions that inline verbs find in a context.
fn table() -> abi::VerbsContext {
    let mut c = abi::VerbsContext::zeroed();
    c.query_port = Some(query::query_port);
    c.query_device_ex = Some(query::query_device_ex);
    c.query_rt_values = Some(query::query_rt_values);
    c.alloc_td = Some(pd::alloc_td);
    c.dealloc_td = Some(pd::dealloc_td);
    c.alloc_parent_domain = Some(pd::alloc_parent_domain);
    c.advise_mr = Some(mr::advise_mr);
    c.alloc_null_mr = Some(mr::alloc_null_mr);
    c.alloc_dm = Some(dm::alloc_dm);
    c.free_dm = Some(dm::free_dm);
    c.reg_dm_mr = Some(dm::reg_dm_mr);
    c.modify_cq = Some(cq::modify_cq);
    c.create_cq_ex = Some(cq_ex::create_cq_ex);
    c.create_qp_ex = Some(qp::create_qp_ex);
    c.open_qp = Some(qp::open_qp);
    c.create_srq_ex = Some(srq::create_srq_ex);
    c.get_srq_num = Some(srq::get_srq_num);
    c.open_xrcd = Some(xrcd::open_xrcd);
    c.close_xrcd = Some(xrcd::close_xrcd);
    c.sz = size_of::<abi::VerbsContext>();
    c.context.abi_compat = abi::ABI_IS_EXTENDED;
    c.context.num_comp_vectors = query::COMP_VECTORS;
    let ops = &mut c.context.ops;
    ops.alloc_mw = Some(mw::alloc_mw);
    ops.bind_mw = Some(mw::bind_mw);
    ops.dealloc_mw = Some(mw::dealloc_mw);
    ops.poll_cq = Some(cq::poll_cq);
    ops.req_notify_cq = Some(cq::req_notify_cq);
    ops.post_srq_recv = Some(srq::post_srq_recv);
    ops.post_send = Some(post::post_send);
    ops.post_recv = Some(post::post_recv);
    c
}

/// A file of no content whose inode is the context's name.
fn command_file() -> Result<OwnedFd, Errno> {
    // SAFETY: the name is a constant.
    let fd = unsafe { libc::memfd_create(c"ferroce-context".as_ptr(), libc::MFD_CLOEXEC) };
    // SAFETY: just opened, and owned by nobody else.
    if fd < 0 { Err(Errno::last()) } else { Ok(unsafe { OwnedFd::from_raw_fd(fd) }) }
}

/// The inode of an open file.
pub(super) fn inode(fd: c_int) -> Result<u64, Errno> {
    // SAFETY: all zeros are a value of this structure of numbers.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the structure lives until the call returns.
    if unsafe { libc::fstat(fd, &raw mut stat) } < 0 { Err(Errno::last()) } else { Ok(stat.st_ino) }
}

/// Another context on the device of the context to which `cmd_fd`, or what it was duplicated from, belongs.
unsafe fn import(cmd_fd: c_int) -> Result<*mut abi::Context, Errno> {
    let inode = inode(cmd_fd)?;
    let original = OPEN.lock().iter().find(|(open, _)| *open == inode).map(|(_, pointer)| *pointer);
    // Contexts of other processes cannot be shared: their memory is out of reach.
    let original = original.ok_or(UNSUPPORTED)? as *const abi::Context;
    open(context(original)?.device)
}

export! {
    "IBVERBS_1.1" fn ibv_open_device(of: *mut abi::Device) -> *mut abi::Context {
        pointer(device(of).and_then(open))
    }

    "IBVERBS_1.1" fn ibv_close_device(context: *mut abi::Context) -> c_int {
        number(close(context).map(|()| 0))
    }

    "IBVERBS_1.10" fn ibv_import_device(cmd_fd: c_int) -> *mut abi::Context {
        pointer(import(cmd_fd))
    }
}
