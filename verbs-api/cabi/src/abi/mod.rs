//! The structures of `<infiniband/verbs.h>` and `<rdma/rdma_cma.h>` as C programs see them on x86-64.
//!
//! Field names are those of the headers. Each structure states its size and the offsets that matter, and does not
//! compile when they are wrong.

mod attr;
mod cm;
mod context;
mod object;
mod qp;
mod work;

pub(crate) use attr::*;
pub(crate) use cm::*;
pub(crate) use context::*;
pub(crate) use object::*;
pub(crate) use qp::*;
pub(crate) use work::*;

/// Asserts size and offsets of a structure at compile time.
macro_rules! layout {
    ($type:ty, $size:literal $(, $field:ident = $offset:literal)* $(,)?) => {
        const _: () = {
            assert!(size_of::<$type>() == $size, "size");
            $(assert!(std::mem::offset_of!($type, $field) == $offset, stringify!($field));)*
        };
    };
}
pub(crate) use layout;

/// Plain C data, for which all zeros is a value.
///
/// # Safety
///
/// All zero bytes are a valid value of the type.
pub(crate) unsafe trait Plain: Sized {
    /// All bytes zero, padding included.
    fn zeroed() -> Self {
        // SAFETY: promised by the implementation.
        unsafe { std::mem::zeroed() }
    }
}

/// Says that structures are [`Plain`].
macro_rules! plain {
    ($($type:ty),* $(,)?) => {
        // SAFETY: numbers, arrays of numbers, raw pointers and optional function pointers.
        $(unsafe impl crate::abi::Plain for $type {})*
    };
}
pub(crate) use plain;
