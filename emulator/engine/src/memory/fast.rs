//! Fast registration: memory that a work request puts under a key which is there already.
//!
//! A key is made with no memory behind it. The program names memory for it, and a work request registers that,
//! in the order of its queue, under the key with low 8 bits of its choice; another takes it away again (IBTA
//! 10.6.4, 11.3.3; `ib_alloc_mr`, `ib_map_mr_sg` and `IB_WR_REG_MR` of Linux).

use super::registration::{Origin, Registration, check};
use super::{Access, AccessDenied, Entry, Memory, Mr, Pd, Region};
use crate::error::VerbsError;
use crate::rng::Rng;

/// A key with no memory behind it.
#[derive(Clone, Debug)]
pub(super) struct FreeKey {
    pd: Pd,
    /// What the next registration will put there, and the address of its first byte.
    staged: Option<(Region, u64)>,
}

impl FreeKey {
    pub(super) fn pd(&self) -> Pd {
        self.pd
    }
}

impl Memory {
    pub(crate) fn alloc_key(&mut self, rng: &mut Rng, pd: Pd) -> Result<Mr, VerbsError> {
        self.add_region(rng, Entry::Free(FreeKey { pd, staged: None }))
    }

    /// Names the memory that the next registration under this key is of.
    pub(crate) fn stage(&mut self, key: u32, region: Region, iova: u64) -> Result<(), VerbsError> {
        check(Access::ON_DEMAND, &region, iova)?;
        let key = self.keys.current(key).unwrap_or(key);
        match self.keys.get_mut(key) {
            Some(Entry::Free(free)) => {
                free.staged = Some((region, iova));
                Ok(())
            }
            Some(Entry::Region(region)) if region.origin == Origin::WorkRequest => {
                Err(VerbsError::Busy("memory is registered under the key"))
            }
            _ => Err(VerbsError::Stale("memory region")),
        }
    }

    /// Registers what was named, under `key` from now on. False when a rule is broken.
    pub(crate) fn register_staged(&mut self, pd: Pd, key: u32, access: Access) -> bool {
        let Some(current) = self.keys.current(key) else { return false };
        let Some(Entry::Free(free)) = self.keys.get_mut(current) else { return false };
        let allowed = |(region, iova): &(Region, u64)| free.pd == pd && check(access, region, *iova).is_ok();
        if !free.staged.as_ref().is_some_and(allowed) {
            return false;
        }
        let Some((region, iova)) = free.staged.take() else { return false };
        let origin = Origin::WorkRequest;
        let registration = Registration { pd, region, iova, access, windows: 0, origin };
        self.keys.replace(current, Entry::Region(registration));
        self.keys.change(key);
        true
    }

    /// Takes the memory under a key out of use, if a work request has put it there.
    pub(super) fn invalidate_region(&mut self, key: u32, pd: Pd) -> Result<(), AccessDenied> {
        match self.keys.get(key) {
            Some(Entry::Region(region)) if region.pd != pd => Err(AccessDenied::Domain),
            Some(Entry::Region(region)) if region.origin == Origin::WorkRequest && region.windows == 0 => {
                self.keys.replace(key, Entry::Free(FreeKey { pd, staged: None }));
                Ok(())
            }
            Some(Entry::Free(_)) => Err(AccessDenied::Unregistered),
            _ => Err(AccessDenied::Right),
        }
    }

    /// Whether work requests choose the low bits of this key.
    pub(super) fn varies(&self, key: u32) -> bool {
        match self.keys.get(key) {
            Some(Entry::Free(_)) => true,
            Some(Entry::Region(region)) => region.origin == Origin::WorkRequest,
            _ => false,
        }
    }
}
