//! Memory that a program shares with the NIC.
#![expect(unsafe_code, reason = "registered memory is shared with the application, as with DMA")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::Arc;

use super::span::HostSpan;

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

    pub(super) fn start(&self) -> *mut u8 {
        self.0.start.as_ptr()
    }

    fn span(&self, offset: usize, len: usize) -> HostSpan {
        let inside = offset.checked_add(len).is_some_and(|end| end <= self.0.len);
        assert!(inside, "{len} bytes at offset {offset} of a buffer of {} bytes", self.0.len);
        // SAFETY: inside the allocation, as just checked, which lives as long as the span's borrower.
        unsafe { HostSpan::new(self.start().add(offset), len) }
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} bytes at {:#x})", self.0.len, self.addr())
    }
}
