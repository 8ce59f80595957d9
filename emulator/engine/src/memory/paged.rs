//! Memory that may be there or not, page by page.

use std::fmt;

/// The address space of a program, in which any page may be missing: what on-demand regions look into.
///
/// The engine makes no system calls, so whoever runs a device provides this. Touching what is not mapped must
/// fail, and do nothing worse.
pub trait AddressSpace: fmt::Debug + Send + Sync {
    /// Copies out the bytes from `addr` on. False when not all of them can be read; `out` may hold some then.
    fn read(&self, addr: u64, out: &mut [u8]) -> bool;

    /// Copies `data` to `addr` and on. False when not all of it can be written; some may have been.
    fn write(&self, addr: u64, data: &[u8]) -> bool;

    /// Whether all of the `len` bytes from `addr` on can be read, or written if `write`. Makes them quick to
    /// reach if it can.
    fn prefetch(&self, addr: u64, len: u64, write: bool) -> bool;
}
