//! The bytes that the NIC reads and writes: the one place under `net` that needs `unsafe`.
//!
//! Registered memory belongs to the application while the NIC uses it, exactly as with a NIC that does DMA:
//! both may touch it at any time, and a byte that both touch at once has either value. So no reference to it is
//! ever formed here; bytes are copied through raw pointers, and words that atomics touch through hardware
//! atomics.
#![expect(unsafe_code, reason = "registered memory is shared with the application, as with DMA")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An owned, zeroed, page-aligned allocation that can be registered with a device and read and written by its
/// owner meanwhile.
///
/// Cloning gives a second handle to the same bytes, which live until the last handle and the last registration
/// are gone. What is read while a peer writes may be a mixture of old and new bytes; completions tell when data
/// is settled.
///
/// ```
/// use ferroce_engine::Buffer;
///
/// let buffer = Buffer::new(4096);
/// buffer.write(8, b"hello");
/// assert_eq!(buffer.to_vec(8, 5), b"hello");
/// ```
#[derive(Clone)]
pub struct Buffer(Arc<Allocation>);

struct Allocation {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the allocation is plain memory without thread affinity.
unsafe impl Send for Allocation {}
// SAFETY: all access goes through raw copies, as with DMA; no references are handed out.
unsafe impl Sync for Allocation {}

impl Allocation {
    fn layout(len: usize) -> Layout {
        Layout::from_size_align(len.max(1), 4096).expect("a buffer of at most isize::MAX bytes")
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        // SAFETY: allocated in `Buffer::new` with this very layout, and nobody holds a handle any more.
        unsafe { dealloc(self.start.as_ptr(), Allocation::layout(self.len)) }
    }
}

impl Buffer {
    /// Allocates `len` zero bytes.
    ///
    /// # Panics
    ///
    /// If `len` rounded up to a page exceeds `isize::MAX`.
    pub fn new(len: usize) -> Buffer {
        let layout = Allocation::layout(len);
        // SAFETY: the layout has a non-zero size.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        Buffer(Arc::new(Allocation { start, len }))
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// True when it holds no byte.
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// The address of the first byte: what `ibv_reg_mr` would take as `addr`.
    pub fn addr(&self) -> u64 {
        self.0.start.as_ptr() as u64
    }

    /// Copies out the bytes from `offset` on.
    ///
    /// # Panics
    ///
    /// If the range does not lie inside the buffer.
    pub fn read(&self, offset: usize, out: &mut [u8]) {
        self.span(offset, out.len()).copy_to(out);
    }

    /// Copies `data` in, starting at `offset`.
    ///
    /// # Panics
    ///
    /// If the range does not lie inside the buffer.
    pub fn write(&self, offset: usize, data: &[u8]) {
        self.span(offset, data.len()).copy_from(data);
    }

    /// The `len` bytes from `offset` on, as a vector.
    ///
    /// # Panics
    ///
    /// If the range does not lie inside the buffer.
    pub fn to_vec(&self, offset: usize, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        self.read(offset, &mut out);
        out
    }

    fn span(&self, offset: usize, len: usize) -> Span {
        let inside = offset.checked_add(len).is_some_and(|end| end <= self.0.len);
        assert!(inside, "{len} bytes at offset {offset} of a buffer of {} bytes", self.0.len);
        // SAFETY: inside the allocation, as just checked.
        Span { start: unsafe { self.0.start.as_ptr().add(offset) }, len }
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} bytes at {:#x})", self.0.len, self.addr())
    }
}

/// Memory that is to be registered.
#[derive(Clone)]
pub struct Region {
    start: *mut u8,
    len: u64,
    /// Keeps the allocation of a [`Buffer`] alive.
    _owner: Option<Buffer>,
}

// SAFETY: a region is an address and a length; what makes the access to it sound is promised to `from_raw`.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Memory that the caller keeps alive.
    ///
    /// # Safety
    ///
    /// From now until the registration made of this region, and every clone of it, is gone, the `len` bytes at
    /// `start` stay allocated; they are writable if the registration allows writing; and the program is ready
    /// for any of them to change or be read at any time, as with DMA.
    pub unsafe fn from_raw(start: *mut u8, len: u64) -> Region {
        Region { start, len, _owner: None }
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True when it holds no byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The address of the first byte.
    pub fn addr(&self) -> u64 {
        self.start as u64
    }

    /// The `len` bytes at `offset`, if they lie inside.
    pub(super) fn span(&self, offset: u64, len: u64) -> Option<Span> {
        let end = offset.checked_add(len)?;
        if end > self.len {
            return None;
        }
        // SAFETY: inside the region, as just checked.
        Some(Span { start: unsafe { self.start.add(offset as usize) }, len: len as usize })
    }
}

impl From<&Buffer> for Region {
    fn from(buffer: &Buffer) -> Region {
        Region { start: buffer.0.start.as_ptr(), len: buffer.len() as u64, _owner: Some(buffer.clone()) }
    }
}

impl std::fmt::Debug for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Region({} bytes at {:#x})", self.len, self.addr())
    }
}

/// A checked piece of a region, good for one copy. Never stored: the region could be gone by then.
#[derive(Debug)]
pub(crate) struct Span {
    start: *mut u8,
    len: usize,
}

impl Span {
    /// Copies the bytes out; `out` must be as long as the span.
    pub(crate) fn copy_to(&self, out: &mut [u8]) {
        assert_eq!(self.len, out.len());
        // SAFETY: `start` is valid for `len` bytes (checked when the span was made), and `out` is a reference
        // and so does not overlap memory to which no reference exists.
        unsafe { std::ptr::copy_nonoverlapping(self.start, out.as_mut_ptr(), out.len()) }
    }

    /// Copies `data` in; it must be as long as the span.
    pub(crate) fn copy_from(&self, data: &[u8]) {
        assert_eq!(self.len, data.len());
        // SAFETY: as in `copy_to`; the registration promised that the memory may be written.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), self.start, data.len()) }
    }

    /// Replaces the 8-byte word by `change` of it and returns the old value, both in host byte order.
    ///
    /// Atomic towards the processor too where the word is aligned in host memory; a region whose I/O virtual
    /// address is not congruent with its host address can hold words that are not.
    pub(crate) fn fetch_update(&self, change: impl Fn(u64) -> u64) -> u64 {
        assert_eq!(self.len, 8);
        let word = self.start.cast::<u64>();
        if word.is_aligned() {
            // SAFETY: valid for 8 bytes (checked when the span was made), aligned, and only touched by raw
            // copies and atomics.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_gives_no_span_that_leaves_it() {
        let region = Region::from(&Buffer::new(100));
        assert_eq!(region.span(0, 100).map(|s| s.len), Some(100));
        assert_eq!(region.span(100, 0).map(|s| s.len), Some(0));
        assert!(region.span(1, 100).is_none());
        assert!(region.span(u64::MAX, 2).is_none(), "no overflow");
    }

    #[test]
    fn a_region_keeps_its_buffer_alive() {
        let buffer = Buffer::new(8);
        buffer.write(0, &7u64.to_ne_bytes());
        let region = Region::from(&buffer);
        drop(buffer);
        assert_eq!(region.span(0, 8).unwrap().fetch_update(|old| old + 1), 7);
        assert_eq!(region.span(0, 8).unwrap().fetch_update(|old| old), 8);
    }

    #[test]
    fn unaligned_words_are_updated_too() {
        let buffer = Buffer::new(16);
        buffer.write(3, &5u64.to_ne_bytes());
        assert_eq!(Region::from(&buffer).span(3, 8).unwrap().fetch_update(|old| old * 2), 5);
        assert_eq!(buffer.to_vec(3, 8), 10u64.to_ne_bytes());
    }
}
