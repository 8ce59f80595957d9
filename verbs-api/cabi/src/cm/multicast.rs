//! Multicast groups of identifiers for datagrams.

use std::ffi::{c_int, c_uint, c_void};
use std::net::SocketAddr;
use std::sync::Arc;

use ferroce::cm::{EventKind, UD_QKEY};
use ferroce_engine::{AddressVector, Qpn};

use super::channel::Own;
use super::id::{id, refresh};
use super::sockaddr;
use crate::abi::{self, Plain};
use crate::border::{Errno, INVALID, UNSUPPORTED, export, number};
use crate::verbs::{gid, mcast, to_c};

/// Joins a group; the event tells what datagrams to it need.
unsafe fn join(pointer: *mut abi::CmId, to: *const libc::sockaddr) -> Result<(), Errno> {
    let (body, group) = (id(pointer)?, sockaddr::from_c(to)?);
    let context = body.id.context().ok_or(INVALID)?;
    if !group.ip().is_multicast() {
        return Err(INVALID);
    }
    refresh(pointer)?;
    let local = body.id.local_addr().ip();
    let index = context.addresses().iter().position(|address| *address == local).unwrap_or(0);
    if !(*pointer).qp.is_null() {
        let group = gid(group.ip());
        mcast::attach((*pointer).qp, &group)?;
    }
    let mut event = abi::CmEvent::zeroed();
    (event.id, event.event) = (pointer, EventKind::MulticastJoin as c_uint);
    event.param.ud = abi::UdParam {
        private_data: std::ptr::null(),
        private_data_len: 0,
        ah_attr: to_c::path(&AddressVector::new(index as u8, group.ip())),
        qp_num: Qpn::MULTICAST.value(),
        qkey: UD_QKEY,
    };
    let channel = {
        let mut more = body.more.lock();
        more.groups.push(group);
        Arc::clone(&more.channel)
    };
    channel.tell(Own { id: pointer as usize, event });
    super::id::complete(pointer)
}

/// Leaves a group.
unsafe fn leave(pointer: *mut abi::CmId, to: *const libc::sockaddr) -> Result<(), Errno> {
    let (body, group) = (id(pointer)?, sockaddr::from_c(to)?);
    let mut more = body.more.lock();
    let at = more.groups.iter().position(|joined| joined.ip() == group.ip()).ok_or(INVALID)?;
    more.groups.remove(at);
    drop(more);
    detach(pointer, group);
    Ok(())
}

unsafe fn detach(pointer: *mut abi::CmId, group: SocketAddr) {
    if !(*pointer).qp.is_null() {
        let group = gid(group.ip());
        // A queue pair that is gone is in no group.
        mcast::detach((*pointer).qp, &group).ok();
    }
}

/// Leaves all groups, before the queue pair goes.
///
/// # Safety
///
/// `pointer` is NULL or an identifier.
pub(super) unsafe fn leave_all(pointer: *mut abi::CmId) {
    let Ok(body) = id(pointer) else { return };
    let groups = std::mem::take(&mut body.more.lock().groups);
    for group in groups {
        detach(pointer, group);
    }
}

/// `struct rdma_cm_join_mc_attr_ex`.
#[repr(C)]
pub(crate) struct JoinAttr {
    comp_mask: u32,
    join_flags: u32,
    addr: *mut libc::sockaddr,
}
abi::layout!(JoinAttr, 16, join_flags = 4, addr = 8);

/// `RDMA_CM_JOIN_MC_ATTR_ADDRESS` and `RDMA_CM_JOIN_MC_ATTR_JOIN_FLAGS`.
const ATTRS: u32 = 0b11;

/// `RDMA_MC_JOIN_FLAG_FULLMEMBER` and `RDMA_MC_JOIN_FLAG_SENDONLY_FULLMEMBER`, of which Ethernet knows no difference.
const JOIN_FLAGS: u32 = 2;

unsafe fn join_extended(pointer: *mut abi::CmId, attr: *const JoinAttr) -> Result<(), Errno> {
    let attr = attr.as_ref().ok_or(INVALID)?;
    if attr.comp_mask != ATTRS || attr.join_flags >= JOIN_FLAGS {
        return Err(UNSUPPORTED);
    }
    join(pointer, attr.addr)
}

export! {
    "RDMACM_1.0" fn rdma_join_multicast(
        pointer: *mut abi::CmId,
        to: *mut libc::sockaddr,
        context: *mut c_void,
    ) -> c_int {
        let _ = context;
        number(join(pointer, to).map(|()| 0))
    }

    "RDMACM_1.1" fn rdma_join_multicast_ex(
        pointer: *mut abi::CmId,
        attr: *mut JoinAttr,
        context: *mut c_void,
    ) -> c_int {
        let _ = context;
        number(join_extended(pointer, attr).map(|()| 0))
    }

    "RDMACM_1.0" fn rdma_leave_multicast(pointer: *mut abi::CmId, to: *mut libc::sockaddr) -> c_int {
        number(leave(pointer, to).map(|()| 0))
    }
}
