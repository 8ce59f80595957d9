//! All devices, opened once for connection management as librdmacm does it.

use std::ffi::c_int;

use ferroce::Context;
use ferroce::cm::Manager;

use crate::abi;
use crate::border::{Errno, NO_MEMORY, export, pointer};
use crate::process::{Own, devices};
use crate::verbs::{context, open};

/// The devices that could be opened.
pub(super) struct World {
    pub(super) manager: Manager,
    contexts: Vec<(Context, usize)>,
}

/// The devices; ENODEV when there are none.
pub(super) fn world() -> Result<&'static World, Errno> {
    static WORLD: Own<&'static World> = Own::new();
    WORLD.get_or_make(
        |world| Some(*world),
        || {
            let world = World::open()?;
            Ok((world, world))
        },
    )
}

impl World {
    /// Opens all devices, for as long as the process lives.
    fn open() -> Result<&'static World, Errno> {
        let manager = Manager::new();
        let mut contexts = Vec::new();
        for pointer in devices().iter().filter_map(|device| open(device).ok()) {
            // SAFETY: just opened.
            if let Ok(opened) = unsafe { context(pointer) } {
                manager.add(&opened.engine.context);
                contexts.push((opened.engine.context.clone(), pointer as usize));
            }
        }
        let none = contexts.is_empty();
        if none { Err(Errno(libc::ENODEV)) } else { Ok(Box::leak(Box::new(World { manager, contexts }))) }
    }

    /// The context of a NIC, as C programs know it.
    pub(super) fn pointer(&self, of: &Context) -> *mut abi::Context {
        let found = self.contexts.iter().find(|(known, _)| known.is_same(of));
        found.map_or(std::ptr::null_mut(), |(_, pointer)| *pointer as *mut abi::Context)
    }
}

unsafe fn list(number: *mut c_int) -> Result<*mut *mut abi::Context, Errno> {
    if let Some(number) = number.as_mut() {
        *number = 0;
    }
    let contexts = &world()?.contexts;
    let size = (contexts.len() + 1) * size_of::<*mut abi::Context>();
    let list = libc::malloc(size).cast::<*mut abi::Context>();
    if list.is_null() {
        return Err(NO_MEMORY);
    }
    for (at, (_, pointer)) in contexts.iter().enumerate() {
        list.add(at).write(*pointer as *mut abi::Context);
    }
    list.add(contexts.len()).write(std::ptr::null_mut());
    if let Some(number) = number.as_mut() {
        *number = contexts.len() as c_int;
    }
    Ok(list)
}

export! {
    "RDMACM_1.0" fn rdma_get_devices(number: *mut c_int) -> *mut *mut abi::Context {
        pointer(list(number))
    }

    "RDMACM_1.0" fn rdma_free_devices(list: *mut *mut abi::Context) {
        libc::free(list.cast());
    }
}
