//! Completion channels.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;

use super::context::context;
use super::cq::Cq;
use crate::abi;
use crate::border::{Errno, INVALID, export, number, pointer, status};
use crate::handle::{self, make, pooled};
use crate::mailbox::Mailbox;
use crate::reader::a_moment;

/// Notifications: pointers to completion queues.
pub(crate) type Notifications = Mailbox<usize>;

/// Our part of a completion channel.
pub(crate) struct Channel {
    pub(crate) notifications: Arc<Notifications>,
}
pooled!(Channel, abi::CompChannel);

/// `ibv_create_comp_channel`.
pub(crate) unsafe fn create(of: *mut abi::Context) -> Result<*mut abi::CompChannel, Errno> {
    context(of)?;
    let notifications = Arc::new(Notifications::new()?);
    let c = abi::CompChannel { context: of, fd: notifications.fd(), refcnt: 0 };
    Ok(make(c, Channel { notifications }))
}

/// `ibv_destroy_comp_channel`.
pub(crate) unsafe fn destroy(channel: *mut abi::CompChannel) -> Result<(), Errno> {
    let notifications = Arc::clone(&handle::object::<Channel>(channel)?.notifications);
    if users(channel).load(std::sync::atomic::Ordering::Acquire) > 0 {
        return Err(Errno(libc::EBUSY));
    }
    notifications.await_reader(a_moment());
    handle::take::<Channel>(channel).map(drop)
}

/// The number of completion queues that use a channel, which C programs may read.
///
/// # Safety
///
/// `channel` is a live channel.
pub(crate) unsafe fn users<'a>(channel: *mut abi::CompChannel) -> &'a std::sync::atomic::AtomicI32 {
    std::sync::atomic::AtomicI32::from_ptr(&raw mut (*channel).refcnt)
}

unsafe fn next(
    channel: *mut abi::CompChannel,
    cq: *mut *mut abi::Cq,
    cq_context: *mut *mut c_void,
) -> Result<c_int, Errno> {
    let notifications = Arc::clone(&handle::object::<Channel>(channel)?.notifications);
    if cq.is_null() || cq_context.is_null() {
        return Err(INVALID);
    }
    let from = notifications.take()? as *mut abi::Cq;
    *cq = from;
    *cq_context = (*from).cq_context;
    Ok(0)
}

export! {
    "IBVERBS_1.0" fn ibv_create_comp_channel(of: *mut abi::Context) -> *mut abi::CompChannel {
        pointer(create(of))
    }

    "IBVERBS_1.0" fn ibv_destroy_comp_channel(channel: *mut abi::CompChannel) -> c_int {
        status(destroy(channel))
    }

    "IBVERBS_1.1" fn ibv_get_cq_event(
        channel: *mut abi::CompChannel,
        cq: *mut *mut abi::Cq,
        cq_context: *mut *mut c_void,
    ) -> c_int {
        number(next(channel, cq, cq_context))
    }

    "IBVERBS_1.1" fn ibv_ack_cq_events(cq: *mut abi::Cq, count: c_uint) {
        match handle::object::<Cq>(cq.cast()) {
            Ok(cq) => cq.notified.acknowledge(count),
            Err(errno) => errno.set(),
        }
    }
}
