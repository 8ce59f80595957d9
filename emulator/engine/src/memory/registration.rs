//! Memory regions: registered, changed, deregistered by calls.

use super::span::Span;
use super::{Access, AccessDenied, Dm, Entry, Memory, Pd, Region};
use crate::error::VerbsError;
use crate::rng::Rng;

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

/// Changes of a registration (`ibv_rereg_mr`); what is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct MrChange {
    /// Other memory, and the address by which its first byte is named.
    pub memory: Option<(Region, u64)>,
    /// Another protection domain.
    pub pd: Option<Pd>,
    /// Other rights.
    pub access: Option<Access>,
}

/// Memory that is registered under a key.
#[derive(Clone, Debug)]
pub(super) struct Registration {
    pub(super) pd: Pd,
    pub(super) region: Region,
    pub(super) iova: u64,
    pub(super) access: Access,
    /// Windows that are bound to it.
    pub(super) windows: u32,
    pub(super) origin: Origin,
}

/// How memory was registered, which decides how the registration can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// By a call, for good.
    Call,
    /// By a work request; the key can be invalidated and used again.
    WorkRequest,
    /// It is memory of the device itself.
    Device(Dm),
}

impl Registration {
    #[inline]
    pub(super) fn span(&self, va: u64, len: u64) -> Result<Span<'_>, AccessDenied> {
        let offset = va.checked_sub(self.iova).ok_or(AccessDenied::Range)?;
        self.region.span(offset, len).ok_or(AccessDenied::Range)
    }
}

impl Memory {
    pub(crate) fn register(&mut self, rng: &mut Rng, pd: Pd, init: MrInit) -> Result<Mr, VerbsError> {
        self.register_as(rng, pd, init, Origin::Call)
    }

    pub(super) fn register_as(
        &mut self,
        rng: &mut Rng,
        pd: Pd,
        init: MrInit,
        origin: Origin,
    ) -> Result<Mr, VerbsError> {
        let MrInit { region, iova, access } = init;
        check(access, &region, iova)?;
        let entry = Registration { pd, region, iova, access, windows: 0, origin };
        self.add_region(rng, Entry::Region(entry))
    }

    /// Gives a region its key.
    pub(super) fn add_region(&mut self, rng: &mut Rng, entry: Entry) -> Result<Mr, VerbsError> {
        let room = self.regions < self.max_regions;
        let key = if room { self.keys.insert(rng, entry) } else { None };
        let key = key.ok_or(VerbsError::Exhausted("memory regions"))?;
        self.regions += 1;
        Ok(Mr { lkey: key, rkey: key })
    }

    /// Changes a registration, all or nothing, and tells the domains it was in and is in.
    pub(crate) fn reregister(&mut self, lkey: u32, change: MrChange) -> Result<(Pd, Pd), VerbsError> {
        let Some(Entry::Region(region)) = self.keys.get_mut(lkey) else {
            return Err(VerbsError::Stale("memory region"));
        };
        if region.origin != Origin::Call {
            return Err(VerbsError::Invalid("only what reg_mr has registered can be registered anew"));
        }
        if region.windows > 0 {
            return Err(VerbsError::Busy("memory windows are bound to the region"));
        }
        let MrChange { memory, pd, access } = change;
        if memory.is_none() && pd.is_none() && access.is_none() {
            return Err(VerbsError::Invalid("nothing is to be changed"));
        }
        let access = access.unwrap_or(region.access);
        let moves = memory.is_some();
        if !moves && (access ^ region.access).contains(Access::ZERO_BASED) {
            return Err(VerbsError::Invalid("ZERO_BASED can only change together with the memory"));
        }
        let (memory, iova) = memory.unwrap_or_else(|| (region.region.clone(), region.iova));
        check(access, &memory, iova)?;
        let (old, new) = (region.pd, pd.unwrap_or(region.pd));
        (region.region, region.iova, region.access, region.pd) = (memory, iova, access, new);
        Ok((old, new))
    }

    /// Ends a registration, or gives up a key, and tells the domain it was in.
    pub(crate) fn deregister(&mut self, lkey: u32) -> Result<Pd, VerbsError> {
        // The low bits of a key for work requests are theirs to choose.
        let key = self.keys.current(lkey).filter(|key| *key == lkey || self.varies(*key)).unwrap_or(lkey);
        let (pd, origin) = match self.keys.get(key) {
            Some(Entry::Region(region)) if region.windows > 0 => {
                return Err(VerbsError::Busy("memory windows are bound to the region"));
            }
            Some(Entry::Region(region)) => (region.pd, region.origin),
            Some(Entry::Free(free)) => (free.pd(), Origin::WorkRequest),
            _ => return Err(VerbsError::Stale("memory region")),
        };
        self.keys.remove(key);
        self.regions -= 1;
        if let Origin::Device(dm) = origin {
            self.release_dm(dm);
        }
        Ok(pd)
    }
}

/// What must be so of any memory that is registered (`ibv_reg_mr`).
pub(super) fn check(access: Access, region: &Region, iova: u64) -> Result<(), VerbsError> {
    if access.intersects(Access::REMOTE_WRITE | Access::REMOTE_ATOMIC)
        && !access.contains(Access::LOCAL_WRITE)
    {
        return Err(VerbsError::Invalid("remote write and atomic access need LOCAL_WRITE"));
    }
    if access.contains(Access::FLUSH_PERSISTENT) {
        return Err(VerbsError::Invalid("the memory is not persistent"));
    }
    if iova.checked_add(region.len()).is_none() {
        return Err(VerbsError::Invalid("the region wraps around the end of the address space"));
    }
    if region.is_paged() && !access.contains(Access::ON_DEMAND) {
        return Err(VerbsError::Invalid("memory whose pages may be missing needs ON_DEMAND"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;
    use crate::memory::Domain;
    use crate::policy::Numbering;
    use crate::table::Table;

    #[test]
    fn remote_rights_to_write_need_the_local_one() {
        let mut memory = Memory::new(&Limits::default(), Numbering::Random);
        let pd = Table::new(1).insert(Domain { users: 0 }).unwrap();
        let buffer = crate::Buffer::new(8);
        for access in [Access::REMOTE_WRITE, Access::REMOTE_ATOMIC] {
            let mut denied =
                |access| memory.register(&mut Rng::new(1.into()), pd, MrInit::new(&buffer, access));
            assert_eq!(denied(access).map_err(VerbsError::errno), Err(22));
            assert!(denied(access | Access::LOCAL_WRITE).is_ok());
        }
    }
}
