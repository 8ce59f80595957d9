//! The bytes that the NIC reads and writes: with [`Buffer`](super::Buffer) and [`Region`](super::Region), which
//! make the pointers, the only code under `net` that needs `unsafe`.
//!
//! Registered memory belongs to the application while the NIC uses it, exactly as with a NIC that does DMA:
//! both may touch it at any time, and a byte that both touch at once has either value. So no reference to it is
//! ever formed here; bytes are copied through raw pointers, and words that atomics touch through hardware
//! atomics.
#![expect(unsafe_code, reason = "registered memory is shared with the application, as with DMA")]

use std::sync::atomic::{AtomicU64, Ordering};

use super::{AccessDenied, AddressSpace};

/// A checked piece of a region, good for one copy. Never stored: the region could be gone by then.
#[derive(Debug)]
pub(crate) enum Span<'m> {
    /// Memory of the process that is there.
    Host(HostSpan),
    /// Bytes that are always zero.
    Null,
    /// So many bytes at an address at which there may be nothing.
    Paged(&'m dyn AddressSpace, u64, usize),
}

impl Span<'_> {
    /// Copies the bytes out; `out` must be as long as the span.
    #[inline]
    pub(crate) fn copy_to(&self, out: &mut [u8]) -> Result<(), AccessDenied> {
        match self {
            Span::Host(span) => span.copy_to(out),
            Span::Null => out.fill(0),
            Span::Paged(space, addr, _) => return check(space.read(*addr, out)),
        }
        Ok(())
    }

    /// Copies `data` in; it must be as long as the span.
    #[inline]
    pub(crate) fn copy_from(&self, data: &[u8]) -> Result<(), AccessDenied> {
        match self {
            Span::Host(span) => span.copy_from(data),
            Span::Null => {}
            Span::Paged(space, addr, _) => return check(space.write(*addr, data)),
        }
        Ok(())
    }

    /// Replaces the 8-byte word by `change` of it and returns the old value, both in host byte order.
    ///
    /// Towards the processor that is atomic in memory of the process, where the word is aligned.
    pub(crate) fn fetch_update(&self, change: impl Fn(u64) -> u64) -> Result<u64, AccessDenied> {
        match self {
            Span::Host(span) => Ok(span.fetch_update(change)),
            Span::Null => Ok(0),
            Span::Paged(space, addr, _) => {
                let mut word = [0; 8];
                check(space.read(*addr, &mut word))?;
                let old = u64::from_ne_bytes(word);
                check(space.write(*addr, &change(old).to_ne_bytes()))?;
                Ok(old)
            }
        }
    }

    /// Whether the bytes are there to be read, or to be written if `write`.
    pub(crate) fn prefetch(&self, write: bool) -> Result<(), AccessDenied> {
        match self {
            Span::Paged(space, addr, len) => check(space.prefetch(*addr, *len as u64, write)),
            Span::Host(_) | Span::Null => Ok(()),
        }
    }
}

fn check(there: bool) -> Result<(), AccessDenied> {
    if there { Ok(()) } else { Err(AccessDenied::Fault) }
}

/// Bytes at a pointer.
#[derive(Debug)]
pub(crate) struct HostSpan {
    start: *mut u8,
    len: usize,
}

impl HostSpan {
    /// # Safety
    ///
    /// The `len` bytes at `start` are allocated while the span exists, may be written if anything is written
    /// through it, and no reference to them is used meanwhile.
    pub(super) unsafe fn new(start: *mut u8, len: usize) -> HostSpan {
        HostSpan { start, len }
    }

    pub(super) fn copy_to(&self, out: &mut [u8]) {
        assert_eq!(self.len, out.len());
        // SAFETY: `start` is valid for `len` bytes (promised to `new`), and `out` is a reference and so does not
        // overlap memory to which no reference exists.
        unsafe { std::ptr::copy_nonoverlapping(self.start, out.as_mut_ptr(), out.len()) }
    }

    pub(super) fn copy_from(&self, data: &[u8]) {
        assert_eq!(self.len, data.len());
        // SAFETY: as in `copy_to`; the registration promised that the memory may be written.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), self.start, data.len()) }
    }

    /// Atomic towards the processor too where the word is aligned in host memory; a region whose I/O virtual
    /// address is not congruent with its host address can hold words that are not.
    fn fetch_update(&self, change: impl Fn(u64) -> u64) -> u64 {
        assert_eq!(self.len, 8);
        let word = self.start.cast::<u64>();
        if word.is_aligned() {
            // SAFETY: valid for 8 bytes (promised to `new`), aligned, and only touched by raw copies and atomics.
            let word = unsafe { AtomicU64::from_ptr(word) };
            let updated = word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| Some(change(old)));
            return updated.unwrap_or_else(|old| old);
        }
        // SAFETY: valid for 8 bytes; alignment is not needed.
        let old = unsafe { word.read_unaligned() };
        // SAFETY: as above.
        unsafe { word.write_unaligned(change(old)) };
        old
    }
}
