//! Multicast groups of identifiers for datagrams.

use std::ffi::{c_int, c_void};

use super::id::{complete, id};
use super::sockaddr;
use crate::abi;
use crate::border::{Errno, INVALID, UNSUPPORTED, export, number};

/// Joins a group; the event tells what datagrams to it need, and what the program calls it.
unsafe fn join(
    pointer: *mut abi::CmId,
    to: *const libc::sockaddr,
    context: *mut c_void,
) -> Result<(), Errno> {
    let (body, group) = (id(pointer)?, sockaddr::from_c(to)?.ip());
    body.more.lock().groups.push((group, context as usize));
    if let Err(error) = body.id.join_multicast(group) {
        body.more.lock().groups.pop();
        return Err(error.into());
    }
    complete(pointer)
}

/// Leaves a group.
unsafe fn leave(pointer: *mut abi::CmId, to: *const libc::sockaddr) -> Result<(), Errno> {
    let (body, group) = (id(pointer)?, sockaddr::from_c(to)?.ip());
    body.id.leave_multicast(group)?;
    body.more.lock().groups.retain(|(joined, _)| *joined != group);
    Ok(())
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

unsafe fn join_extended(
    pointer: *mut abi::CmId,
    attr: *const JoinAttr,
    context: *mut c_void,
) -> Result<(), Errno> {
    let attr = attr.as_ref().ok_or(INVALID)?;
    if attr.comp_mask != ATTRS || attr.join_flags >= JOIN_FLAGS {
        return Err(UNSUPPORTED);
    }
    join(pointer, attr.addr, context)
}

export! {
    "RDMACM_1.0" fn rdma_join_multicast(
        pointer: *mut abi::CmId,
        to: *mut libc::sockaddr,
        context: *mut c_void,
    ) -> c_int {
        number(join(pointer, to, context).map(|()| 0))
    }

    "RDMACM_1.1" fn rdma_join_multicast_ex(
        pointer: *mut abi::CmId,
        attr: *mut JoinAttr,
        context: *mut c_void,
    ) -> c_int {
        number(join_extended(pointer, attr, context).map(|()| 0))
    }

    "RDMACM_1.0" fn rdma_leave_multicast(pointer: *mut abi::CmId, to: *mut libc::sockaddr) -> c_int {
        number(leave(pointer, to).map(|()| 0))
    }
}
