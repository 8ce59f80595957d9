//! Protection domains, memory regions and the keys that open them.
//!
//! Every address that a work request or a packet names passes through [`Memory::span`] or, when a peer names it,
//! [`Memory::remote_span`], which check key, protection domain, rights and range in that order (IBTA 10.6.3) and
//! are the only way to a byte.

mod keys;
mod region;
mod window;

pub use region::{Buffer, Region};
pub use window::{Bind, MwType};

use crate::error::VerbsError;
use crate::policy::Numbering;
use crate::rng::Rng;
use crate::table::Id;
use crate::work::Sge;
use ferroce_wire::Qpn;
use keys::KeyTable;
use region::Span;
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
        /// Pages need not be pinned. A NIC in software never pins, so this changes nothing.
        const ON_DEMAND = 1 << 6;
        /// A hint that the memory consists of huge pages.
        const HUGETLB = 1 << 7;
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

/// What a protection domain is made of.
#[derive(Clone, Debug)]
pub struct Domain {
    /// Queue pairs, memory regions and other objects in the domain.
    pub(crate) users: u32,
}

/// Handle of a protection domain.
pub type Pd = Id<Domain>;

/// A registered memory region as `reg_mr` returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mr {
    /// The key for the owner's own scatter/gather entries.
    pub lkey: u32,
    /// The key to give to peers. Equal to `lkey`; opens nothing when the region has no remote right.
    pub rkey: u32,
}

/// How memory is registered.
#[derive(Clone, Debug)]
pub struct MrInit {
    /// The memory.
    pub region: Region,
    /// The address by which work requests and peers name its first byte: the host address for `ibv_reg_mr`,
    /// any for `ibv_reg_mr_iova`.
    pub iova: u64,
    /// What it may be used for.
    pub access: Access,
}

impl MrInit {
    /// As `ibv_reg_mr` registers: addresses are the host's.
    pub fn new(region: impl Into<Region>, access: Access) -> MrInit {
        let region = region.into();
        let iova = if access.contains(Access::ZERO_BASED) { 0 } else { region.addr() };
        MrInit { region, iova, access }
    }
}

/// Why an access to memory was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
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
}

#[derive(Clone, Debug)]
struct Registration {
    pd: Pd,
    region: Region,
    iova: u64,
    access: Access,
    /// Windows that are bound to it.
    windows: u32,
}

impl Registration {
    fn span(&self, va: u64, len: u64) -> Result<Span, AccessDenied> {
        let offset = va.checked_sub(self.iova).ok_or(AccessDenied::Range)?;
        self.region.span(offset, len).ok_or(AccessDenied::Range)
    }
}

#[derive(Clone, Debug)]
enum Entry {
    Region(Registration),
    Window(Window),
}

/// All registered memory of one device.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    keys: KeyTable<Entry>,
}

impl Memory {
    pub(crate) fn new(limit: usize, numbering: Numbering) -> Memory {
        Memory { keys: KeyTable::new(limit, numbering) }
    }

    pub(crate) fn register(&mut self, rng: &mut Rng, pd: Pd, init: MrInit) -> Result<Mr, VerbsError> {
        let MrInit { region, iova, access } = init;
        if access.intersects(Access::REMOTE_WRITE | Access::REMOTE_ATOMIC)
            && !access.contains(Access::LOCAL_WRITE)
        {
            return Err(VerbsError::Invalid("remote write and atomic access need LOCAL_WRITE"));
        }
        if iova.checked_add(region.len()).is_none() {
            return Err(VerbsError::Invalid("the region wraps around the end of the address space"));
        }
        let entry = Registration { pd, region, iova, access, windows: 0 };
        let key =
            self.keys.insert(rng, Entry::Region(entry)).ok_or(VerbsError::Exhausted("memory regions"))?;
        Ok(Mr { lkey: key, rkey: key })
    }

    /// Ends a registration and tells the domain it was in.
    pub(crate) fn deregister(&mut self, lkey: u32) -> Result<Pd, VerbsError> {
        match self.keys.get(lkey) {
            Some(Entry::Region(region)) if region.windows > 0 => {
                Err(VerbsError::Busy("memory windows are bound to the region"))
            }
            Some(Entry::Region(region)) => {
                let pd = region.pd;
                self.keys.remove(lkey);
                Ok(pd)
            }
            _ => Err(VerbsError::Stale("memory region")),
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
    ) -> Result<Span, AccessDenied> {
        let Some(Entry::Region(region)) = self.keys.get(key) else { return Err(AccessDenied::Key) };
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
    ) -> Result<Span, AccessDenied> {
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
            span.copy_to(&mut out[done..done + len]);
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
            span.copy_from(&data[done..done + len]);
            done += len;
        }
        Ok(())
    }

    /// Registered regions: key, domain, address, length and rights.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, Pd, u64, u64, Access)> {
        self.keys.iter().filter_map(|(key, entry)| match entry {
            Entry::Region(r) => Some((key, r.pd, r.iova, r.region.len(), r.access)),
            Entry::Window(_) => None,
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
    use crate::table::Table;

    fn setup(access: Access) -> (Memory, Pd, Pd, Mr, Buffer) {
        let mut domains = Table::new(2);
        let pd = domains.insert(Domain { users: 0 }).unwrap();
        let other = domains.insert(Domain { users: 0 }).unwrap();
        let mut memory = Memory::new(10, Numbering::Random);
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
    fn remote_write_needs_local_write() {
        let mut memory = Memory::new(10, Numbering::Random);
        let pd = Table::new(1).insert(Domain { users: 0 }).unwrap();
        let init = MrInit::new(&Buffer::new(8), Access::REMOTE_WRITE);
        let denied = memory.register(&mut Rng::new(1.into()), pd, init);
        assert_eq!(denied.map_err(VerbsError::errno), Err(22));
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
