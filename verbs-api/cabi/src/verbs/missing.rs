//! What is not offered: the functions exist, and say so.

use std::ffi::c_int;

use crate::abi;
use crate::border::{UNSUPPORTED, status};

/// Functions that fail with EOPNOTSUPP in the way that their kind does: by returning the number (`error`), -1
/// (`minus_one`), NULL (`pointer`), or `nothing`.
///
/// They have arguments in C, which the calling convention lets them ignore.
macro_rules! missing {
    ($($version:literal $kind:ident { $($name:ident),* $(,)? })*) => {
        $($(crate::verbs::missing::missing!(@ $version $kind $name);)*)*
    };
    (@ $version:literal error $name:ident) => {
        crate::border::export! { $version fn $name() -> std::ffi::c_int {
            crate::border::status(Err(crate::border::UNSUPPORTED))
        } }
    };
    (@ $version:literal minus_one $name:ident) => {
        crate::border::export! { $version fn $name() -> std::ffi::c_int {
            crate::border::number(Err(crate::border::UNSUPPORTED))
        } }
    };
    (@ $version:literal pointer $name:ident) => {
        crate::border::export! { $version fn $name() -> *mut std::ffi::c_void {
            crate::border::pointer(Err(crate::border::UNSUPPORTED))
        } }
    };
    (@ $version:literal nothing $name:ident) => {
        crate::border::export! { $version fn $name() -> usize { 0 } }
    };
}
pub(crate) use missing;

missing! {
    "IBVERBS_1.1" error { ibv_modify_srq, ibv_query_srq, ibv_destroy_srq }
    "IBVERBS_1.1" pointer { ibv_create_srq }
}

/// `ibv_post_srq_recv`, which inline verbs call without looking.
pub(crate) unsafe extern "C" fn post_srq_recv(
    _: *mut abi::Srq,
    _: *mut abi::RecvWr,
    _: *mut *mut abi::RecvWr,
) -> c_int {
    status(Err(UNSUPPORTED))
}

/// `ibv_close_xrcd`, which inline verbs call without looking.
pub(crate) unsafe extern "C" fn close_xrcd(_: *mut abi::Xrcd) -> c_int {
    status(Err(UNSUPPORTED))
}
