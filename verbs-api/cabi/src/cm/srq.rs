//! Shared receive queues of identifiers.

use std::ffi::c_int;

use super::id::id;
use super::qp::domain;
use crate::abi;
use crate::border::{Errno, INVALID, export, number};
use crate::verbs::srq;

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
    (*pointer).srq = srq::create_plain(domain(pointer, pd)?, attr)?;
    Ok(())
}

unsafe fn create_extended(pointer: *mut abi::CmId, attr: *mut abi::SrqInitAttrEx) -> Result<(), Errno> {
    const MASK_PD: u32 = 1 << 1;
    free_place(pointer)?;
    let attr = attr.as_mut().ok_or(INVALID)?;
    let pd = if attr.comp_mask & MASK_PD != 0 { attr.pd } else { std::ptr::null_mut() };
    attr.pd = domain(pointer, pd)?;
    attr.comp_mask |= MASK_PD;
    (*pointer).srq = srq::create_extended((*pointer).verbs, attr)?;
    Ok(())
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
        if id(pointer).is_ok() && !(*pointer).srq.is_null() {
            let made = std::mem::replace(&mut (*pointer).srq, std::ptr::null_mut());
            if let Err(errno) = srq::destroy(made) {
                errno.set();
            }
        }
    }
}
