//! All devices, opened once for connection management as librdmacm does it.

use std::ffi::c_int;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ferroce::Context;
use ferroce::cm::Manager;

use crate::abi;
use crate::border::{Errno, NO_MEMORY, export, pointer};
use crate::process::{Own, devices};
use crate::verbs::{context, open};

/// The devices that could be opened.
pub(crate) struct World {
    pub(crate) manager: Manager,
    contexts: Vec<(Context, usize)>,
}

static WORLD: Own<&'static World> = Own::new();

/// The devices; ENODEV when there are none.
pub(crate) fn world() -> Result<&'static World, Errno> {
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
        // SAFETY: the function is there until the process ends; the library is not unloaded before.
        unsafe { libc::atexit(take_leave) };
        let none = contexts.is_empty();
        if none { Err(Errno(libc::ENODEV)) } else { Ok(Box::leak(Box::new(World { manager, contexts }))) }
    }

    /// The context of a NIC, as C programs know it.
    pub(super) fn pointer(&self, of: &Context) -> *mut abi::Context {
        let found = self.contexts.iter().find(|(known, _)| known.is_same(of));
        found.map_or(std::ptr::null_mut(), |(_, pointer)| *pointer as *mut abi::Context)
    }
}

/// How long the end of a program waits for its peers to be told.
const LEAVE: Duration = Duration::from_millis(500);

/// Tells the peers of a program that ends. Where the kernel manages connections it does so.
///
/// The program may end inside of a call, by a signal: then what is needed is locked, and nobody can wait for it
/// here.
extern "C" fn take_leave() {
    let (told, done) = mpsc::channel();
    let telling = thread::Builder::new().spawn(move || {
        if let Some(world) = WORLD.get() {
            world.manager.end_connections();
        }
        // Nobody may be waiting any more.
        told.send(()).ok();
    });
    if telling.is_ok() {
        done.recv_timeout(LEAVE).ok();
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
