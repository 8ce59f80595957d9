//! Multicast groups.

use std::ffi::c_int;

use super::gid::address;
use super::qp::qp;
use crate::abi::{self, Gid};
use crate::border::{Errno, INVALID, export, status};

unsafe fn attach(of: *mut abi::Qp, group: *const Gid) -> Result<(), Errno> {
    let (body, group) = (qp(of)?, address(group.as_ref().ok_or(INVALID)?));
    Ok(body.engine.nic().with(|device, _| device.attach_mcast(body.qpn, group))?)
}

unsafe fn detach(of: *mut abi::Qp, group: *const Gid) -> Result<(), Errno> {
    let (body, group) = (qp(of)?, address(group.as_ref().ok_or(INVALID)?));
    Ok(body.engine.nic().with(|device, _| device.detach_mcast(body.qpn, group))?)
}

export! {
    // The LID is of InfiniBand's; here the group's address is all.
    "IBVERBS_1.1" fn ibv_attach_mcast(of: *mut abi::Qp, group: *const Gid, lid: u16) -> c_int {
        let _ = lid;
        status(attach(of, group))
    }

    "IBVERBS_1.1" fn ibv_detach_mcast(of: *mut abi::Qp, group: *const Gid, lid: u16) -> c_int {
        let _ = lid;
        status(detach(of, group))
    }
}
