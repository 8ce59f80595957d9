//! What is not offered: the functions exist, and say so.

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
