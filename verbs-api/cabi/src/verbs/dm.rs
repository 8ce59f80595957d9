//! Memory of the device itself.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;

use ferroce_engine::Access;

use super::context::context;
use super::mr::hand_out;
use super::pd::pd;
use crate::abi;
use crate::border::{Errno, INVALID, UNSUPPORTED, export, pointer, status};
use crate::handle::{self, make, pooled};
use crate::process::Engine;

/// Our part of a piece of device memory.
pub(crate) struct Dm {
    engine: Arc<Engine>,
    dm: ferroce_engine::Dm,
    imported: bool,
}
pooled!(Dm, abi::Dm);

unsafe fn hand(of: *mut abi::Context, body: Dm) -> *mut abi::Dm {
    let c = abi::Dm {
        context: of,
        memcpy_to_dm: Some(memcpy_to_dm),
        memcpy_from_dm: Some(memcpy_from_dm),
        comp_mask: 0,
        handle: body.dm.index(),
    };
    make(c, body)
}

unsafe fn alloc(of: *mut abi::Context, attr: *const abi::AllocDmAttr) -> Result<*mut abi::Dm, Errno> {
    let (engine, attr) = (&context(of)?.engine, attr.as_ref().ok_or(INVALID)?);
    if attr.comp_mask != 0 {
        return Err(UNSUPPORTED);
    }
    let dm = engine.nic().with(|device, _| device.alloc_dm(attr.length as u64, attr.log_align_req))?;
    engine.exported.dms.lock().insert(dm.index(), dm);
    Ok(hand(of, Dm { engine: Arc::clone(engine), dm, imported: false }))
}

/// `ibv_alloc_dm`.
pub(crate) unsafe extern "C" fn alloc_dm(of: *mut abi::Context, attr: *mut abi::AllocDmAttr) -> *mut abi::Dm {
    pointer(alloc(of, attr))
}

unsafe fn free(dm: *mut abi::Dm) -> Result<(), Errno> {
    let body = handle::object::<Dm>(dm)?;
    if body.imported {
        return Err(INVALID);
    }
    body.engine.nic().with(|device, _| device.free_dm(body.dm))?;
    body.engine.exported.dms.lock().remove(&body.dm.index());
    handle::take::<Dm>(dm).map(drop)
}

/// `ibv_free_dm`.
pub(crate) unsafe extern "C" fn free_dm(dm: *mut abi::Dm) -> c_int {
    status(free(dm))
}

unsafe fn register(
    of: *mut abi::Pd,
    dm: *mut abi::Dm,
    offset: u64,
    length: usize,
    access: c_uint,
) -> Result<*mut abi::Mr, Errno> {
    let (domain, body) = (pd(of)?, handle::object::<Dm>(dm)?);
    let access = Access::from_verbs(access).ok_or(INVALID)?;
    let made = domain
        .engine
        .nic()
        .with(|device, _| device.reg_dm_mr(domain.pd, body.dm, offset, length as u64, access))?;
    Ok(hand_out(of, &domain.engine, made, std::ptr::null_mut(), length))
}

/// `ibv_reg_dm_mr`.
pub(crate) unsafe extern "C" fn reg_dm_mr(
    of: *mut abi::Pd,
    dm: *mut abi::Dm,
    offset: u64,
    length: usize,
    access: c_uint,
) -> *mut abi::Mr {
    pointer(register(of, dm, offset, length, access))
}

unsafe extern "C" fn memcpy_to_dm(
    dm: *mut abi::Dm,
    offset: u64,
    from: *const c_void,
    length: usize,
) -> c_int {
    let copied = handle::object::<Dm>(dm).and_then(|body| {
        let data = bytes(from, length)?;
        Ok(body.engine.nic().with(|device, _| device.copy_to_dm(body.dm, offset, data))?)
    });
    status(copied)
}

unsafe extern "C" fn memcpy_from_dm(to: *mut c_void, dm: *mut abi::Dm, offset: u64, length: usize) -> c_int {
    let copied = handle::object::<Dm>(dm).and_then(|body| {
        if to.is_null() {
            return Err(INVALID);
        }
        // SAFETY: the program has room there, as `memcpy` asks.
        let out = std::slice::from_raw_parts_mut(to.cast::<u8>(), length);
        Ok(body.engine.nic().with(|device, _| device.copy_from_dm(body.dm, offset, out))?)
    });
    status(copied)
}

unsafe fn bytes<'a>(from: *const c_void, length: usize) -> Result<&'a [u8], Errno> {
    // SAFETY: the program has its data there, as `memcpy` asks.
    if from.is_null() { Err(INVALID) } else { Ok(std::slice::from_raw_parts(from.cast(), length)) }
}

unsafe fn import(of: *mut abi::Context, dm_handle: u32) -> Result<*mut abi::Dm, Errno> {
    let engine = &context(of)?.engine;
    let dm = *engine.exported.dms.lock().get(&dm_handle).ok_or(INVALID)?;
    Ok(hand(of, Dm { engine: Arc::clone(engine), dm, imported: true }))
}

unsafe fn unimport(dm: *mut abi::Dm) -> Result<(), Errno> {
    if !handle::object::<Dm>(dm)?.imported {
        return Err(INVALID);
    }
    handle::take::<Dm>(dm).map(drop)
}

export! {
    "IBVERBS_1.13" fn ibv_import_dm(of: *mut abi::Context, dm_handle: u32) -> *mut abi::Dm {
        pointer(import(of, dm_handle))
    }

    "IBVERBS_1.13" fn ibv_unimport_dm(dm: *mut abi::Dm) {
        status(unimport(dm));
    }
}
