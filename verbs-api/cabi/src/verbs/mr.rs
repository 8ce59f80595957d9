//! Memory regions.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;

use ferroce_engine::{Access, MrInit, Region};

use super::pd::pd;
use crate::abi;
use crate::border::{Errno, INVALID, export, pointer, status};
use crate::handle::{self, make, pooled};
use crate::process::Engine;

/// Our part of a memory region.
pub(crate) struct Mr {
    pub(crate) engine: Arc<Engine>,
    pub(crate) lkey: u32,
    imported: bool,
}
pooled!(Mr, abi::Mr);

/// What a region is made of.
struct Wish {
    addr: *mut c_void,
    length: usize,
    iova: u64,
    access: c_uint,
}

unsafe fn register(of: *mut abi::Pd, wish: &Wish) -> Result<*mut abi::Mr, Errno> {
    let domain = pd(of)?;
    let access = Access::from_verbs(wish.access).ok_or(INVALID)?;
    // SAFETY: whoever registers memory promises that it stays where it is until the region is deregistered, and
    // knows that the NIC reads and writes it.
    let region = Region::from_raw(wish.addr.cast(), wish.length as u64);
    let iova = if access.contains(Access::ZERO_BASED) { 0 } else { wish.iova };
    let init = MrInit { region, iova, access };
    let engine = &domain.engine;
    let made = engine.nic.with(|device, _| device.reg_mr(domain.pd, init))?;
    engine.exported.mrs.lock().insert(made.lkey, made);
    let c = abi::Mr {
        context: (*of).context,
        pd: of,
        addr: wish.addr,
        length: wish.length,
        handle: made.lkey,
        lkey: made.lkey,
        rkey: made.rkey,
    };
    Ok(make(c, Mr { engine: Arc::clone(engine), lkey: made.lkey, imported: false }))
}

unsafe fn deregister(mr: *mut abi::Mr) -> Result<(), Errno> {
    let body = handle::object::<Mr>(mr)?;
    if body.imported {
        return Err(INVALID);
    }
    body.engine.nic.with(|device, _| device.dereg_mr(body.lkey))?;
    body.engine.exported.mrs.lock().remove(&body.lkey);
    handle::take::<Mr>(mr).map(drop)
}

unsafe fn import(of: *mut abi::Pd, mr_handle: u32) -> Result<*mut abi::Mr, Errno> {
    let engine = &pd(of)?.engine;
    let known = *engine.exported.mrs.lock().get(&mr_handle).ok_or(INVALID)?;
    let c = abi::Mr {
        context: (*of).context,
        pd: of,
        addr: std::ptr::null_mut(),
        length: 0,
        handle: mr_handle,
        lkey: known.lkey,
        rkey: known.rkey,
    };
    Ok(make(c, Mr { engine: Arc::clone(engine), lkey: known.lkey, imported: true }))
}

unsafe fn unimport(mr: *mut abi::Mr) -> Result<(), Errno> {
    if !handle::object::<Mr>(mr)?.imported {
        return Err(INVALID);
    }
    handle::take::<Mr>(mr).map(drop)
}

export! {
    "IBVERBS_1.1" fn ibv_reg_mr(
        of: *mut abi::Pd,
        addr: *mut c_void,
        length: usize,
        access: c_uint,
    ) -> *mut abi::Mr {
        pointer(register(of, &Wish { addr, length, iova: addr as u64, access }))
    }

    "IBVERBS_1.7" fn ibv_reg_mr_iova(
        of: *mut abi::Pd,
        addr: *mut c_void,
        length: usize,
        iova: u64,
        access: c_uint,
    ) -> *mut abi::Mr {
        pointer(register(of, &Wish { addr, length, iova, access }))
    }

    "IBVERBS_1.8" fn ibv_reg_mr_iova2(
        of: *mut abi::Pd,
        addr: *mut c_void,
        length: usize,
        iova: u64,
        access: c_uint,
    ) -> *mut abi::Mr {
        pointer(register(of, &Wish { addr, length, iova, access }))
    }

    "IBVERBS_1.1" fn ibv_dereg_mr(mr: *mut abi::Mr) -> c_int {
        status(deregister(mr))
    }

    "IBVERBS_1.10" fn ibv_import_mr(of: *mut abi::Pd, mr_handle: u32) -> *mut abi::Mr {
        pointer(import(of, mr_handle))
    }

    "IBVERBS_1.10" fn ibv_unimport_mr(mr: *mut abi::Mr) {
        status(unimport(mr));
    }
}
