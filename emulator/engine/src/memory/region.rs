//! What memory consists of that is registered.
#![expect(unsafe_code, reason = "registered memory is shared with the application, as with DMA")]

use std::ops::Range;
use std::sync::Arc;

use super::span::{HostSpan, Span};
use super::{AddressSpace, Buffer};

/// Memory that is to be registered.
///
/// ```
/// use ferroce_engine::{Buffer, Region};
///
/// let buffer = Buffer::new(4096);
/// assert_eq!(Region::from(&buffer).len(), 4096);
/// assert_eq!(Region::part(&buffer, 96..128).unwrap().addr(), buffer.addr() + 96);
/// assert!(Region::part(&buffer, 4000..5000).is_none());
/// ```
#[derive(Clone)]
pub struct Region {
    backing: Backing,
    len: u64,
}

#[derive(Clone)]
enum Backing {
    Host {
        start: *mut u8,
        /// Keeps the allocation of a [`Buffer`] alive.
        _owner: Option<Buffer>,
    },
    Null,
    Paged {
        space: Arc<dyn AddressSpace>,
        start: u64,
    },
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
        Region { backing: Backing::Host { start, _owner: None }, len }
    }

    /// Some of a buffer's bytes; `None` when they do not lie inside.
    pub fn part(buffer: &Buffer, range: Range<usize>) -> Option<Region> {
        if range.start > range.end || range.end > buffer.len() {
            return None;
        }
        let start = buffer.start().wrapping_add(range.start);
        let backing = Backing::Host { start, _owner: Some(buffer.clone()) };
        Some(Region { backing, len: range.len() as u64 })
    }

    /// `len` bytes that are always zero, whatever is written to them.
    pub fn null(len: u64) -> Region {
        Region { backing: Backing::Null, len }
    }

    /// `len` bytes from address `start` on of an address space in which pages may be missing. An access to a page
    /// that is missing fails when it is made.
    pub fn paged(space: Arc<dyn AddressSpace>, start: u64, len: u64) -> Region {
        Region { backing: Backing::Paged { space, start }, len }
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True when it holds no byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The address of the first byte; 0 for one that has none.
    pub fn addr(&self) -> u64 {
        match &self.backing {
            Backing::Host { start, .. } => *start as u64,
            Backing::Null => 0,
            Backing::Paged { start, .. } => *start,
        }
    }

    /// Whether its pages may be missing.
    pub(super) fn is_paged(&self) -> bool {
        matches!(self.backing, Backing::Paged { .. })
    }

    /// The `len` bytes at `offset`, if they lie inside.
    #[inline]
    pub(super) fn span(&self, offset: u64, len: u64) -> Option<Span<'_>> {
        let end = offset.checked_add(len)?;
        if end > self.len {
            return None;
        }
        let size = len as usize;
        Some(match &self.backing {
            Backing::Host { start, .. } => {
                // SAFETY: inside the region, as just checked; the rest was promised to `from_raw`, or is so
                // because `_owner` lives.
                Span::Host(unsafe { HostSpan::new(start.add(offset as usize), size) })
            }
            Backing::Null => Span::Null,
            Backing::Paged { space, start } => Span::Paged(space.as_ref(), start.checked_add(offset)?, size),
        })
    }
}

impl From<&Buffer> for Region {
    fn from(buffer: &Buffer) -> Region {
        let backing = Backing::Host { start: buffer.start(), _owner: Some(buffer.clone()) };
        Region { backing, len: buffer.len() as u64 }
    }
}

impl std::fmt::Debug for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.backing {
            Backing::Host { .. } => "Region",
            Backing::Null => "Null",
            Backing::Paged { .. } => "Paged",
        };
        write!(f, "{kind}({} bytes at {:#x})", self.len, self.addr())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_gives_no_span_that_leaves_it() {
        let buffer = Buffer::new(100);
        for region in [Region::from(&buffer), Region::null(100), Region::part(&buffer, 0..100).unwrap()] {
            assert!(region.span(0, 100).is_some());
            assert!(region.span(100, 0).is_some());
            assert!(region.span(1, 100).is_none());
            assert!(region.span(u64::MAX, 2).is_none(), "no overflow");
        }
        let (backwards, beyond) = (Range { start: 2, end: 1 }, 99..101);
        assert!(Region::part(&buffer, backwards).is_none() && Region::part(&buffer, beyond).is_none());
    }

    #[test]
    fn a_region_keeps_its_buffer_alive() {
        let buffer = Buffer::new(8);
        buffer.write(0, &7u64.to_ne_bytes());
        let region = Region::from(&buffer);
        drop(buffer);
        assert_eq!(region.span(0, 8).unwrap().fetch_update(|old| old + 1), Ok(7));
        assert_eq!(region.span(0, 8).unwrap().fetch_update(|old| old), Ok(8));
    }

    #[test]
    fn unaligned_words_are_updated_too() {
        let buffer = Buffer::new(16);
        buffer.write(3, &5u64.to_ne_bytes());
        assert_eq!(Region::from(&buffer).span(3, 8).unwrap().fetch_update(|old| old * 2), Ok(5));
        assert_eq!(buffer.to_vec(3, 8), 10u64.to_ne_bytes());
    }

    #[test]
    fn nothing_stays_nothing() {
        let region = Region::null(u64::MAX);
        let mut out = [7; 4];
        region.span(1 << 50, 4).unwrap().copy_from(&[1, 2, 3, 4]).unwrap();
        region.span(1 << 50, 4).unwrap().copy_to(&mut out).unwrap();
        assert_eq!(out, [0; 4]);
        assert_eq!(region.span(8, 8).unwrap().fetch_update(|_| 9), Ok(0));
    }
}
