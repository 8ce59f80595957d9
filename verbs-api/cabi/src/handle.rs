//! Objects behind C pointers.
//!
//! A C program holds pointers to structures whose first part it may read. Here each is the front of a slot that
//! also holds our own part. Slots are never given back to the system and never change their kind, and each knows
//! whether it is in use: so a pointer to an object that was destroyed is noticed, not followed.

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::abi::Plain;
use crate::border::{Errno, INVALID};

/// Our part of an object.
pub(crate) trait Object: Send + Sync + Sized + 'static {
    /// The part that C programs see.
    type C: Plain;

    /// Where slots for these objects come from.
    fn pool() -> &'static Pool<Self>;
}

/// Gives a type its pool.
macro_rules! pooled {
    ($type:ty, $c:ty) => {
        impl crate::handle::Object for $type {
            type C = $c;
            fn pool() -> &'static crate::handle::Pool<Self> {
                static POOL: crate::handle::Pool<$type> = crate::handle::Pool::new();
                &POOL
            }
        }
    };
}
pub(crate) use pooled;

/// Slots that were in use and are free now.
pub(crate) struct Pool<T: Object> {
    free: Mutex<VecDeque<&'static Slot<T>>>,
}

/// A slot is taken again only after this many others: a stale pointer is noticed for that long.
const REST: usize = 64;

#[repr(C)]
struct Slot<T: Object> {
    c: UnsafeCell<T::C>,
    in_use: AtomicBool,
    body: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: the C part belongs to the C program, whose threads must agree among themselves as `<infiniband/verbs.h>`
// asks; the body is `Sync`, and is moved in and out only by `make` and `take`, which the flag separates from use.
unsafe impl<T: Object> Sync for Slot<T> {}

impl<T: Object> Pool<T> {
    pub(crate) const fn new() -> Pool<T> {
        Pool { free: Mutex::new(VecDeque::new()) }
    }

    fn slot(&self) -> &'static Slot<T> {
        let mut free = self.free.lock();
        let rested = if free.len() > REST { free.pop_front() } else { None };
        drop(free);
        rested.unwrap_or_else(|| {
            Box::leak(Box::new(Slot {
                c: UnsafeCell::new(T::C::zeroed()),
                in_use: AtomicBool::new(false),
                body: UnsafeCell::new(MaybeUninit::uninit()),
            }))
        })
    }
}

/// Makes an object and gives the pointer by which C programs name it.
pub(crate) fn make<T: Object>(c: T::C, body: T) -> *mut T::C {
    let slot = T::pool().slot();
    // SAFETY: a slot that is not in use belongs to whoever took it from the pool.
    unsafe {
        *slot.c.get() = c;
        (*slot.body.get()).write(body);
    }
    slot.in_use.store(true, Ordering::Release);
    slot.c.get()
}

/// The object behind a pointer; EINVAL when the pointer is NULL or the object was destroyed.
///
/// # Safety
///
/// `pointer` is NULL or was given by [`make`] for this kind of object, now or earlier; and no other thread destroys
/// the object while the result is in use, as the C interface demands.
pub(crate) unsafe fn object<'a, T: Object>(pointer: *const T::C) -> Result<&'a T, Errno> {
    let slot = slot_of::<T>(pointer)?;
    if !slot.in_use.load(Ordering::Acquire) {
        return Err(INVALID);
    }
    Ok((*slot.body.get()).assume_init_ref())
}

/// Ends an object, whose pointer is stale from now on.
///
/// # Safety
///
/// As for [`object`].
pub(crate) unsafe fn take<T: Object>(pointer: *mut T::C) -> Result<T, Errno> {
    let slot = slot_of::<T>(pointer)?;
    if !slot.in_use.swap(false, Ordering::AcqRel) {
        return Err(INVALID);
    }
    let body = (*slot.body.get()).assume_init_read();
    T::pool().free.lock().push_back(slot);
    Ok(body)
}

unsafe fn slot_of<T: Object>(pointer: *const T::C) -> Result<&'static Slot<T>, Errno> {
    let slot = pointer.cast::<Slot<T>>();
    if slot.is_null() || !slot.is_aligned() {
        return Err(INVALID);
    }
    // SAFETY: slots live for ever, and the pointer names one (promised by the caller).
    Ok(&*slot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi;

    struct Thing(u32);
    pooled!(Thing, abi::Td);

    #[test]
    fn a_stale_pointer_is_noticed_even_after_others_were_made() {
        let make_one = |n| make(abi::Td { context: std::ptr::null_mut() }, Thing(n));
        let old = make_one(1);
        // SAFETY: all pointers are from `make`.
        unsafe {
            assert_eq!(object::<Thing>(old).unwrap().0, 1);
            assert_eq!(take::<Thing>(old).unwrap().0, 1);
            assert!(take::<Thing>(old).is_err(), "destroyed twice");
            for n in 0..REST as u32 {
                let other = make_one(n);
                assert_ne!(other, old);
                assert_eq!(object::<Thing>(old).err(), Some(INVALID));
                take::<Thing>(other).unwrap();
            }
            assert_eq!(object::<Thing>(std::ptr::null()).err(), Some(INVALID));
        }
    }
}
