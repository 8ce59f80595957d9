//! Shared receive queues of identifiers.

use std::ffi::c_int;

use super::id::id;
use super::qp::{XRC_TARGET, default_xrcd, destroy_queues, domain, receive_queue};
use crate::abi::{self, Plain};
use crate::border::{Errno, INVALID, export, number};
use crate::verbs::srq;

/// `enum ibv_srq_init_attr_mask`, and `IBV_SRQT_XRC`.
const MASK_TYPE: u32 = 1;
const MASK_PD: u32 = 1 << 1;
const MASK_XRCD: u32 = 1 << 2;
const MASK_CQ: u32 = 1 << 3;
const TYPE_XRC: c_int = 1;

unsafe fn free_place(pointer: *mut abi::CmId) -> Result<(), Errno> {
    id(pointer)?;
    if (*pointer).srq.is_null() { Ok(()) } else { Err(INVALID) }
}

unsafe fn create(
    pointer: *mut abi::CmId,
    pd: *mut abi::Pd,
    attr: *mut abi::SrqInitAttr,
) -> Result<(), Errno> {
    free_place(pointer)?;
    if (*pointer).qp_type == XRC_TARGET {
        let plain = attr.as_mut().ok_or(INVALID)?;
        let mut attr = abi::SrqInitAttrEx::zeroed();
        (attr.srq_context, attr.attr) = (plain.srq_context, plain.attr);
        (attr.comp_mask, attr.srq_type, attr.pd) = (MASK_TYPE | MASK_PD, TYPE_XRC, pd);
        create_extended(pointer, &raw mut attr)?;
        plain.attr = attr.attr;
        return Ok(());
    }
    (*pointer).srq = srq::create_plain(domain(pointer, pd)?, attr)?;
    Ok(())
}

unsafe fn create_extended(pointer: *mut abi::CmId, attr: *mut abi::SrqInitAttrEx) -> Result<(), Errno> {
    free_place(pointer)?;
    let attr = attr.as_mut().ok_or(INVALID)?;
    let pd = if attr.comp_mask & MASK_PD != 0 { attr.pd } else { std::ptr::null_mut() };
    attr.pd = domain(pointer, pd)?;
    attr.comp_mask |= MASK_PD;
    let has = |mask: u32| attr.comp_mask & mask != 0;
    if has(MASK_TYPE) && attr.srq_type == TYPE_XRC {
        // What the program does not bring itself is the identifier's.
        if !has(MASK_XRCD) || attr.xrcd.is_null() {
            attr.xrcd = default_xrcd((*pointer).verbs)?;
        }
        if !has(MASK_CQ) || attr.cq.is_null() {
            attr.cq = receive_queue(pointer, attr.attr.max_wr)?;
        }
        attr.comp_mask |= MASK_XRCD | MASK_CQ;
    }
    (*pointer).srq = srq::create_extended((*pointer).verbs, attr)?;
    Ok(())
}

/// `rdma_destroy_srq`; nothing happens if there is none.
pub(super) unsafe fn destroy(pointer: *mut abi::CmId) -> Result<(), Errno> {
    id(pointer)?;
    let made = std::mem::replace(&mut (*pointer).srq, std::ptr::null_mut());
    if made.is_null() {
        return Ok(());
    }
    srq::destroy(made)?;
    if (*pointer).qp.is_null() { destroy_queues(pointer) } else { Ok(()) }
}

export! {
    "RDMACM_1.0" fn rdma_create_srq(
        pointer: *mut abi::CmId,
        pd: *mut abi::Pd,
        attr: *mut abi::SrqInitAttr,
    ) -> c_int {
        number(create(pointer, pd, attr).map(|()| 0))
    }

    "RDMACM_1.0" fn rdma_create_srq_ex(pointer: *mut abi::CmId, attr: *mut abi::SrqInitAttrEx) -> c_int {
        number(create_extended(pointer, attr).map(|()| 0))
    }

    "RDMACM_1.0" fn rdma_destroy_srq(pointer: *mut abi::CmId) {
        if let Err(errno) = destroy(pointer) {
            errno.set();
        }
    }
}
