//! Protection domains, thread domains, parent domains, and protection domains of other contexts.

use std::ffi::{c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::context::context;
use crate::abi;
use crate::border::{Errno, INVALID, UNSUPPORTED, export, pointer, status};
use crate::handle::{self, make, pooled};
use crate::process::Engine;

/// A protection domain of the NIC, which several pointers can stand for.
pub(crate) struct Domain {
    pub(crate) engine: Arc<Engine>,
    pub(crate) pd: ferroce_engine::Pd,
    /// Parent domains that were made of it.
    children: AtomicU32,
}

/// Our part of a protection domain.
pub(crate) struct Pd {
    pub(crate) domain: Arc<Domain>,
    kind: Kind,
}
pooled!(Pd, abi::Pd);

/// How a pointer came to stand for a domain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `ibv_alloc_pd`
    Allocated,
    /// `ibv_alloc_parent_domain`
    Parent,
    /// `ibv_import_pd`
    Imported,
}

/// Our part of a thread domain, which promises that only one thread uses what is made in it. The NIC takes turns
/// anyway.
struct Td;
pooled!(Td, abi::Td);

/// The domain behind a pointer.
///
/// # Safety
///
/// As [`handle::object`].
pub(crate) unsafe fn pd<'a>(pointer: *const abi::Pd) -> Result<&'a Arc<Domain>, Errno> {
    Ok(&handle::object::<Pd>(pointer)?.domain)
}

/// `ibv_alloc_pd`.
pub(crate) unsafe fn alloc(of: *mut abi::Context) -> Result<*mut abi::Pd, Errno> {
    let engine = &context(of)?.engine;
    let pd = engine.nic().with(|device, _| device.alloc_pd())?;
    let domain = Arc::new(Domain { engine: Arc::clone(engine), pd, children: AtomicU32::new(0) });
    engine.exported.pds.lock().insert(pd.index(), Arc::downgrade(&domain));
    Ok(make(abi::Pd { context: of, handle: pd.index() }, Pd { domain, kind: Kind::Allocated }))
}

unsafe fn dealloc(pointer: *mut abi::Pd) -> Result<(), Errno> {
    let Pd { domain, kind } = handle::object::<Pd>(pointer)?;
    match kind {
        Kind::Imported => return Err(INVALID),
        Kind::Parent => {
            domain.children.fetch_sub(1, Ordering::AcqRel);
        }
        Kind::Allocated => {
            if domain.children.load(Ordering::Acquire) > 0 {
                return Err(Errno(libc::EBUSY));
            }
            domain.engine.nic().with(|device, _| device.dealloc_pd(domain.pd))?;
            domain.engine.exported.pds.lock().remove(&domain.pd.index());
        }
    }
    handle::take::<Pd>(pointer).map(drop)
}

unsafe fn import(of: *mut abi::Context, pd_handle: u32) -> Result<*mut abi::Pd, Errno> {
    let known = context(of)?.engine.exported.pds.lock().get(&pd_handle).and_then(std::sync::Weak::upgrade);
    let domain = known.ok_or(INVALID)?;
    Ok(make(abi::Pd { context: of, handle: pd_handle }, Pd { domain, kind: Kind::Imported }))
}

unsafe fn unimport(pointer: *mut abi::Pd) -> Result<(), Errno> {
    if handle::object::<Pd>(pointer)?.kind != Kind::Imported {
        return Err(INVALID);
    }
    handle::take::<Pd>(pointer).map(drop)
}

/// `ibv_alloc_td`.
pub(crate) unsafe extern "C" fn alloc_td(of: *mut abi::Context, attr: *mut abi::TdInitAttr) -> *mut abi::Td {
    let asks_nothing = attr.as_ref().is_some_and(|attr| attr.comp_mask == 0);
    let context = context(of).and(if asks_nothing { Ok(()) } else { Err(UNSUPPORTED) });
    pointer(context.map(|()| make(abi::Td { context: of }, Td)))
}

/// `ibv_dealloc_td`.
pub(crate) unsafe extern "C" fn dealloc_td(td: *mut abi::Td) -> c_int {
    status(handle::take::<Td>(td).map(drop))
}

/// Functions with which a parent domain would allocate what drivers need; this one needs nothing of the kind.
const PARENT_ALLOCATORS: u32 = 1;
const PARENT_CONTEXT: u32 = 1 << 1;

unsafe fn make_parent(
    of: *mut abi::Context,
    attr: *mut abi::ParentDomainInitAttr,
) -> Result<*mut abi::Pd, Errno> {
    context(of)?;
    let attr = attr.as_ref().ok_or(INVALID)?;
    if attr.comp_mask & !(PARENT_ALLOCATORS | PARENT_CONTEXT) != 0 {
        return Err(UNSUPPORTED);
    }
    let domain = Arc::clone(pd(attr.pd)?);
    if !attr.td.is_null() {
        handle::object::<Td>(attr.td)?;
    }
    domain.children.fetch_add(1, Ordering::AcqRel);
    Ok(make(abi::Pd { context: of, handle: domain.pd.index() }, Pd { domain, kind: Kind::Parent }))
}

/// `ibv_alloc_parent_domain`.
pub(crate) unsafe extern "C" fn alloc_parent_domain(
    of: *mut abi::Context,
    attr: *mut abi::ParentDomainInitAttr,
) -> *mut abi::Pd {
    pointer(make_parent(of, attr))
}

export! {
    "IBVERBS_1.1" fn ibv_alloc_pd(of: *mut abi::Context) -> *mut abi::Pd {
        pointer(alloc(of))
    }

    "IBVERBS_1.1" fn ibv_dealloc_pd(pd: *mut abi::Pd) -> c_int {
        status(dealloc(pd))
    }

    "IBVERBS_1.10" fn ibv_import_pd(of: *mut abi::Context, pd_handle: u32) -> *mut abi::Pd {
        pointer(import(of, pd_handle))
    }

    "IBVERBS_1.10" fn ibv_unimport_pd(pd: *mut abi::Pd) {
        status(unimport(pd));
    }

    // Nothing is ever hidden from a child: the NIC has no page tables of its own.
    "IBVERBS_1.1" fn ibv_fork_init() -> c_int {
        0
    }

    "IBVERBS_1.13" fn ibv_is_fork_initialized() -> c_int {
        const FORK_UNNEEDED: c_int = 2;
        FORK_UNNEEDED
    }

    "IBVERBS_1.1" fn ibv_dontfork_range(base: *mut c_void, size: usize) -> c_int {
        let _ = (base, size);
        0
    }

    "IBVERBS_1.1" fn ibv_dofork_range(base: *mut c_void, size: usize) -> c_int {
        let _ = (base, size);
        0
    }
}
