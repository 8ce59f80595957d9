//! Protection domains, memory regions and the keys that open them.
//!
//! Every address that a work request or a packet names passes through [`Memory::span`] or, when a peer names it,
//! [`Memory::remote_span`], which check key, protection domain, rights and range in that order (IBTA 10.6.3) and
//! are the only way to a byte.

mod advice;
mod buffer;
mod device;
mod fast;
mod keys;
mod paged;
mod region;
mod registration;
mod span;
mod window;

pub use advice::Advice;
pub use buffer::Buffer;
pub use device::{DeviceMemory, Dm};
pub use paged::AddressSpace;
pub use region::Region;
pub use registration::{Mr, MrChange, MrInit};
pub use window::{Bind, MwType};

use crate::config::Limits;
use crate::policy::Numbering;
use crate::table::{Id, Table};
use crate::work::Sge;
use fast::FreeKey;
use ferroce_wire::Qpn;
use keys::KeyTable;
use registration::Registration;
use span::Span;
use window::Window;

bitflags::bitflags! {
    /// Rights of a memory region or a queue pair; values of `enum ibv_access_flags`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Access: u32 {
        /// The NIC may write for its own owner: receive buffers, results of READ and atomics.
        const LOCAL_WRITE = 1;
        /// A peer may WRITE.
        const REMOTE_WRITE = 1 << 1;
        /// A peer may READ.
        const REMOTE_READ = 1 << 2;
        /// A peer may use atomics.
        const REMOTE_ATOMIC = 1 << 3;
        /// Memory windows may be bound to the region.
        const MW_BIND = 1 << 4;
        /// Addresses in the region count from 0.
        const ZERO_BASED = 1 << 5;
        /// Pages need not be pinned, nor be there before they are touched. A NIC in software never pins; a region
        /// whose pages may be missing is a [`Region::paged`].
        const ON_DEMAND = 1 << 6;
        /// A hint that the memory consists of huge pages.
        const HUGETLB = 1 << 7;
        /// A peer may FLUSH, to make what it has written visible (IBTA annex A19).
        const FLUSH_GLOBAL = 1 << 8;
        /// A peer may FLUSH, to make what it has written persistent. Ferroce has no persistent memory, so no region
        /// can have this right.
        const FLUSH_PERSISTENT = 1 << 9;
        /// Accesses may be reordered. They are not.
        const RELAXED_ORDERING = 1 << 20;
    }
}

impl Access {
    /// Optional rights: bits that an implementation which does not know them ignores
    /// (`IBV_ACCESS_OPTIONAL_RANGE`).
    const OPTIONAL: u32 = 0x3ff0_0000;

    /// The rights in a flag word of libibverbs; `None` when a bit is set that is neither known nor optional.
    pub fn from_verbs(flags: u32) -> Option<Access> {
        let unknown = flags & !Access::all().bits() & !Access::OPTIONAL;
        (unknown == 0).then_some(Access::from_bits_truncate(flags))
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Access {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.bits())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Access {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Access, D::Error> {
        // A later version may know more rights; these are kept, and mean nothing here.
        u32::deserialize(deserializer).map(Access::from_bits_retain)
    }
}

/// What a protection domain is made of.
#[derive(Clone, Debug)]
pub struct Domain {
    /// Queue pairs, memory regions and other objects in the domain.
    pub(crate) users: u32,
}

/// Handle of a protection domain.
pub type Pd = Id<Domain>;

/// Why an access to memory was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum AccessDenied {
    /// No region or window has this key (any more).
    #[error("no memory region or window has this key")]
    Key,
    /// The window is not bound, or not on this queue pair.
    #[error("the memory window is not bound on this queue pair")]
    Unbound,
    /// The region belongs to another protection domain.
    #[error("the region belongs to another protection domain")]
    Domain,
    /// The region lacks a right.
    #[error("the region does not allow this kind of access")]
    Right,
    /// The bytes do not all lie inside the region.
    #[error("the range leaves the region")]
    Range,
    /// The key is there for a work request to register memory under it, which none has done.
    #[error("no memory is registered under this key")]
    Unregistered,
    /// There is no memory at the address (any more).
    #[error("there is no memory at this address")]
    Fault,
}

#[derive(Clone, Debug)]
enum Entry {
    Region(Registration),
    Window(Window),
    Free(FreeKey),
}

/// All memory of one device that is registered, or can be.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    keys: KeyTable<Entry>,
    /// Keys of regions, with or without memory.
    regions: usize,
    windows: usize,
    max_regions: usize,
    max_windows: usize,
    dms: Table<DeviceMemory>,
    /// Bytes of device memory that are not allocated.
    dm_left: u64,
}

impl Memory {
    pub(crate) fn new(limits: &Limits, numbering: Numbering) -> Memory {
        let (max_regions, max_windows) = (limits.max_mr as usize, limits.max_mw as usize);
        Memory {
            keys: KeyTable::new(max_regions.saturating_add(max_windows), numbering),
            regions: 0,
            windows: 0,
            max_regions,
            max_windows,
            dms: Table::new(limits.max_mr as usize),
            dm_left: limits.max_dm_size,
        }
    }

    /// The bytes that a region's `key` opens to its own side for `need`, or why it does not.
    pub(crate) fn span(
        &self,
        key: u32,
        pd: Pd,
        need: Access,
        va: u64,
        len: u64,
    ) -> Result<Span<'_>, AccessDenied> {
        let region = match self.keys.get(key) {
            Some(Entry::Region(region)) => region,
            Some(Entry::Free(_)) => return Err(AccessDenied::Unregistered),
            _ => return Err(AccessDenied::Key),
        };
        if region.pd != pd {
            return Err(AccessDenied::Domain);
        }
        if !region.access.contains(need) {
            return Err(AccessDenied::Right);
        }
        region.span(va, len)
    }

    /// The bytes that `key`, of a region or a window, opens to the peer of `qp` for `need`.
    pub(crate) fn remote_span(
        &self,
        key: u32,
        (pd, qp): (Pd, Qpn),
        need: Access,
        va: u64,
        len: u64,
    ) -> Result<Span<'_>, AccessDenied> {
        let Some(Entry::Window(window)) = self.keys.get(key) else {
            return self.span(key, pd, need, va, len);
        };
        if window.pd() != pd {
            return Err(AccessDenied::Domain);
        }
        // What the window allows was allowed by its region when it was bound.
        let (region, va) = window.open(qp, need, va, len)?;
        self.span(region, pd, Access::empty(), va, len)
    }

    /// Whether `key` opens a region to the peer for `need`, wherever in it.
    pub(crate) fn remote_region(&self, key: u32, pd: Pd, need: Access) -> Result<(), AccessDenied> {
        let Some(Entry::Region(region)) = self.keys.get(key) else { return Err(AccessDenied::Key) };
        self.span(key, pd, need, region.iova, 0).map(drop)
    }

    /// Checks every entry of a scatter/gather list without touching the memory. Empty entries are not looked
    /// up (IBTA 10.7.2.2: a length of zero names no memory).
    pub(crate) fn check(&self, pd: Pd, need: Access, sges: &[Sge]) -> Result<(), AccessDenied> {
        for sge in sges.iter().filter(|sge| sge.len > 0) {
            self.span(sge.lkey, pd, need, sge.addr, u64::from(sge.len))?;
        }
        Ok(())
    }

    /// Copies `out.len()` bytes, starting `offset` bytes into the list, out of the application's memory.
    pub(crate) fn gather(
        &self,
        pd: Pd,
        sges: &[Sge],
        offset: u64,
        out: &mut [u8],
    ) -> Result<(), AccessDenied> {
        let mut done = 0;
        for (addr, lkey, len) in pieces(sges, offset, out.len()) {
            let span = self.span(lkey, pd, Access::empty(), addr, len as u64)?;
            span.copy_to(&mut out[done..done + len])?;
            done += len;
        }
        debug_assert_eq!(done, out.len(), "the list is at least as long as the message");
        Ok(())
    }

    /// Copies `data` into the application's memory, starting `offset` bytes into the list. The list must be
    /// long enough; what lies behind its end is not written.
    pub(crate) fn scatter(&self, pd: Pd, sges: &[Sge], offset: u64, data: &[u8]) -> Result<(), AccessDenied> {
        let mut done = 0;
        for (addr, lkey, len) in pieces(sges, offset, data.len()) {
            let span = self.span(lkey, pd, Access::LOCAL_WRITE, addr, len as u64)?;
            span.copy_from(&data[done..done + len])?;
            done += len;
        }
        Ok(())
    }

    /// What a key's region is: address, length and rights.
    pub(crate) fn registered(&self, key: u32) -> Option<(u64, u64, Access)> {
        match self.keys.get(key) {
            Some(Entry::Region(r)) => Some((r.iova, r.region.len(), r.access)),
            _ => None,
        }
    }

    /// Windows that are bound: what was asked for, and by which queue pair.
    pub(crate) fn windows(&self) -> impl Iterator<Item = (Bind, Qpn)> {
        self.keys.iter().filter_map(|(_, entry)| match entry {
            Entry::Window(window) => window.bound(),
            Entry::Region(_) | Entry::Free(_) => None,
        })
    }

    /// Registered regions: key, domain, address, length and rights.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, Pd, u64, u64, Access)> {
        self.keys.iter().filter_map(|(key, entry)| match entry {
            Entry::Region(r) => Some((key, r.pd, r.iova, r.region.len(), r.access)),
            Entry::Window(_) | Entry::Free(_) => None,
        })
    }
}

/// The pieces of a scatter/gather list that `len` bytes from `offset` on fall into: address, key and length.
fn pieces(sges: &[Sge], offset: u64, len: usize) -> impl Iterator<Item = (u64, u32, usize)> {
    let (mut skip, mut left) = (offset, len);
    sges.iter().filter_map(move |sge| {
        let size = u64::from(sge.len);
        if skip >= size || left == 0 {
            skip = skip.saturating_sub(size);
            return None;
        }
        let here = ((size - skip) as usize).min(left);
        let addr = sge.addr.wrapping_add(skip);
        skip = 0;
        left -= here;
        Some((addr, sge.lkey, here))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn setup(access: Access) -> (Memory, Pd, Pd, Mr, Buffer) {
        let mut domains = Table::new(2);
        let pd = domains.insert(Domain { users: 0 }).unwrap();
        let other = domains.insert(Domain { users: 0 }).unwrap();
        let mut memory = Memory::new(&Limits::default(), Numbering::Random);
        let buffer = Buffer::new(64);
        let init = MrInit { region: Region::from(&buffer), iova: 0x1000, access };
        let mr = memory.register(&mut Rng::new(1.into()), pd, init).unwrap();
        (memory, pd, other, mr, buffer)
    }

    #[test]
    fn each_fault_has_its_reason() {
        let (memory, pd, other, mr, _buffer) = setup(Access::REMOTE_READ);
        let span = |key, pd, need, va, len| memory.span(key, pd, need, va, len).map(drop);
        let read = Access::REMOTE_READ;
        assert_eq!(span(mr.rkey, pd, read, 0x1000, 64), Ok(()));
        assert_eq!(span(mr.rkey ^ 1, pd, read, 0x1000, 64), Err(AccessDenied::Key));
        assert_eq!(span(mr.rkey, other, read, 0x1000, 64), Err(AccessDenied::Domain));
        assert_eq!(span(mr.rkey, pd, Access::REMOTE_WRITE, 0x1000, 64), Err(AccessDenied::Right));
        assert_eq!(span(mr.rkey, pd, read, 0xfff, 1), Err(AccessDenied::Range));
        assert_eq!(span(mr.rkey, pd, read, 0x1001, 64), Err(AccessDenied::Range));
        assert_eq!(span(mr.rkey, pd, read, u64::MAX, 64), Err(AccessDenied::Range));
    }

    #[test]
    fn gather_and_scatter_walk_the_list_from_any_offset() {
        let (memory, pd, _, mr, buffer) = setup(Access::LOCAL_WRITE);
        buffer.write(0, &core::array::from_fn::<u8, 64, _>(|i| i as u8));
        let sge = |at: u64, len| Sge { addr: 0x1000 + at, len, lkey: mr.lkey };
        let list = [sge(0, 3), Sge { addr: 1, len: 0, lkey: 0 }, sge(10, 5), sge(60, 4)];
        let mut out = [0; 8];
        memory.gather(pd, &list, 2, &mut out).unwrap();
        assert_eq!(out, [2, 10, 11, 12, 13, 14, 60, 61]);
        memory.scatter(pd, &list, 1, &[0xa, 0xb, 0xc]).unwrap();
        assert_eq!(buffer.to_vec(0, 4), [0, 0xa, 0xb, 3]);
        assert_eq!(buffer.to_vec(10, 2), [0xc, 11]);
    }
}
