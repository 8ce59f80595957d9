//! Memory regions.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;

use ferroce_engine::{Access, Advice, MrChange, MrInit, Region, Sge};
use ferroce_net::ThisProcess;

use super::pd::pd;
use crate::abi;
use crate::border::{Errno, INVALID, UNSUPPORTED, export, pointer, status};
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

fn access(flags: c_uint) -> Result<Access, Errno> {
    Access::from_verbs(flags).ok_or(INVALID)
}

/// The memory that a program registers. On-demand memory need not be there, and so is reached by way of the kernel.
unsafe fn region(addr: *mut c_void, length: usize, access: Access) -> Region {
    if access.contains(Access::ON_DEMAND) {
        // SAFETY: the program registers the memory, all of it if it says so, and knows what that means.
        Region::paged(Arc::new(ThisProcess::new()), addr as u64, length as u64)
    } else {
        // SAFETY: whoever registers memory promises that it stays where it is until it is deregistered, and knows
        // that the NIC reads and writes it.
        Region::from_raw(addr.cast(), length as u64)
    }
}

unsafe fn register(of: *mut abi::Pd, wish: &Wish) -> Result<*mut abi::Mr, Errno> {
    let domain = pd(of)?;
    let access = access(wish.access)?;
    let iova = if access.contains(Access::ZERO_BASED) { 0 } else { wish.iova };
    let init = MrInit { region: region(wish.addr, wish.length, access), iova, access };
    let made = domain.engine.nic().with(|device, _| device.reg_mr(domain.pd, init))?;
    Ok(hand_out(of, &domain.engine, made, wish.addr, wish.length))
}

/// Gives a program the region that was made for it.
///
/// # Safety
///
/// `of` is a live domain.
pub(crate) unsafe fn hand_out(
    of: *mut abi::Pd,
    engine: &Arc<Engine>,
    made: ferroce_engine::Mr,
    addr: *mut c_void,
    length: usize,
) -> *mut abi::Mr {
    engine.exported.mrs.lock().insert(made.lkey, made);
    let c = abi::Mr {
        context: (*of).context,
        pd: of,
        addr,
        length,
        handle: made.lkey,
        lkey: made.lkey,
        rkey: made.rkey,
    };
    make(c, Mr { engine: Arc::clone(engine), lkey: made.lkey, imported: false })
}

/// `ibv_alloc_null_mr`.
pub(crate) unsafe extern "C" fn alloc_null_mr(of: *mut abi::Pd) -> *mut abi::Mr {
    let made = pd(of).and_then(|domain| {
        let made = domain.engine.nic().with(|device, _| device.alloc_null_mr(domain.pd))?;
        Ok(hand_out(of, &domain.engine, made, std::ptr::null_mut(), usize::MAX))
    });
    pointer(made)
}

unsafe fn advise(of: *mut abi::Pd, advice: c_int, flags: u32, list: &[abi::Sge]) -> Result<(), Errno> {
    const FLUSH: u32 = 1;
    let domain = pd(of)?;
    let advice = match advice {
        0 => Advice::Prefetch,
        1 => Advice::PrefetchWrite,
        2 => Advice::PrefetchNoFault,
        _ => return Err(UNSUPPORTED),
    };
    if flags & !FLUSH != 0 || list.is_empty() {
        return Err(INVALID);
    }
    let sges: Vec<Sge> =
        list.iter().map(|sge| Sge { addr: sge.addr, len: sge.length, lkey: sge.lkey }).collect();
    Ok(domain.engine.nic().with(|device, _| device.advise_mr(domain.pd, advice, &sges))?)
}

/// `ibv_advise_mr`.
pub(crate) unsafe extern "C" fn advise_mr(
    of: *mut abi::Pd,
    advice: c_int,
    flags: u32,
    list: *mut abi::Sge,
    count: u32,
) -> c_int {
    let list = if list.is_null() { &[] } else { std::slice::from_raw_parts(list, count as usize) };
    status(advise(of, advice, flags, list))
}

/// `enum ibv_rereg_mr_flags`.
const CHANGE_TRANSLATION: c_int = 1;
const CHANGE_PD: c_int = 1 << 1;
const CHANGE_ACCESS: c_int = 1 << 2;

/// `IBV_REREG_MR_ERR_INPUT` and `IBV_REREG_MR_ERR_CMD`.
const REREG_ERR_INPUT: c_int = -1;
const REREG_ERR_CMD: c_int = -4;

unsafe fn reregister(
    mr: *mut abi::Mr,
    flags: c_int,
    of: *mut abi::Pd,
    wish: &Wish,
) -> Result<(), (Errno, c_int)> {
    let input = |errno| (errno, REREG_ERR_INPUT);
    let body = handle::object::<Mr>(mr).map_err(input)?;
    let known = CHANGE_TRANSLATION | CHANGE_PD | CHANGE_ACCESS;
    let (to_memory, to_pd) = (flags & CHANGE_TRANSLATION != 0, flags & CHANGE_PD != 0);
    if flags == 0
        || flags & !known != 0
        || body.imported
        || (to_memory && (wish.addr.is_null() || wish.length == 0))
    {
        return Err(input(INVALID));
    }
    let access = if flags & CHANGE_ACCESS != 0 { Some(access(wish.access).map_err(input)?) } else { None };
    let change = MrChange {
        memory: to_memory
            .then(|| (region(wish.addr, wish.length, access.unwrap_or(Access::empty())), wish.iova)),
        pd: if to_pd { Some(pd(of).map_err(input)?.pd) } else { None },
        access,
    };
    let changed = body.engine.nic().with(|device, _| device.rereg_mr(body.lkey, change));
    // The region is as it was.
    changed.map_err(|error| (error.into(), REREG_ERR_CMD))?;
    if to_memory {
        ((*mr).addr, (*mr).length) = (wish.addr, wish.length);
    }
    if to_pd {
        ((*mr).context, (*mr).pd) = ((*of).context, of);
    }
    Ok(())
}

unsafe fn deregister(mr: *mut abi::Mr) -> Result<(), Errno> {
    let body = handle::object::<Mr>(mr)?;
    if body.imported {
        return Err(INVALID);
    }
    let lkey = body.lkey;
    body.engine.nic().with(|device, _| device.dereg_mr(lkey))?;
    body.engine.exported.mrs.lock().remove(&lkey);
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

    "IBVERBS_1.1" fn ibv_rereg_mr(
        mr: *mut abi::Mr,
        flags: c_int,
        of: *mut abi::Pd,
        addr: *mut c_void,
        length: usize,
        access: c_uint,
    ) -> c_int {
        let wish = Wish { addr, length, iova: addr as u64, access };
        match reregister(mr, flags, of, &wish) {
            Ok(()) => 0,
            Err((errno, what)) => {
                errno.set();
                what
            }
        }
    }

    // Memory of graphics cards and the like, of which there is none that this program could reach.
    "IBVERBS_1.12" fn ibv_reg_dmabuf_mr(
        of: *mut abi::Pd,
        offset: u64,
        length: usize,
        iova: u64,
        fd: c_int,
        access: c_uint,
    ) -> *mut abi::Mr {
        let _ = (of, offset, length, iova, fd, access);
        pointer(Err(UNSUPPORTED))
    }

    "IBVERBS_1.10" fn ibv_import_mr(of: *mut abi::Pd, mr_handle: u32) -> *mut abi::Mr {
        pointer(import(of, mr_handle))
    }

    "IBVERBS_1.10" fn ibv_unimport_mr(mr: *mut abi::Mr) {
        status(unimport(mr));
    }
}
