//! Memory of the device itself (`ibv_alloc_dm`): small, and not in the program's address space.

use super::registration::Origin;
use super::{Access, Buffer, Memory, Mr, MrInit, Pd, Region};
use crate::error::VerbsError;
use crate::rng::Rng;
use crate::table::Id;

/// A piece of device memory.
#[derive(Clone, Debug)]
pub struct DeviceMemory {
    bytes: Buffer,
    /// Regions registered in it.
    users: u32,
}

/// Handle of a piece of device memory.
pub type Dm = Id<DeviceMemory>;

/// Bytes that offsets and lengths of copies are multiples of, as on NICs whose device memory has 4-byte words.
const WORD: usize = 4;

impl Memory {
    pub(crate) fn alloc_dm(&mut self, len: u64, log_align: u32) -> Result<Dm, VerbsError> {
        // Pieces begin on pages of the host; nobody can ask for more.
        if len == 0 || log_align > 12 {
            return Err(VerbsError::Invalid("device memory of no bytes, or aligned to more than 4096"));
        }
        let left = self.dm_left.checked_sub(len).ok_or(VerbsError::Exhausted("device memory"))?;
        let memory = DeviceMemory { bytes: Buffer::new(len as usize), users: 0 };
        let dm = self.dms.insert(memory).ok_or(VerbsError::Exhausted("pieces of device memory"))?;
        self.dm_left = left;
        Ok(dm)
    }

    pub(crate) fn free_dm(&mut self, dm: Dm) -> Result<(), VerbsError> {
        let memory = self.dms.get(dm).ok_or(STALE)?;
        if memory.users > 0 {
            return Err(VerbsError::Busy("regions are registered in the device memory"));
        }
        self.dm_left += memory.bytes.len() as u64;
        self.dms.remove(dm);
        Ok(())
    }

    pub(crate) fn copy_to_dm(&self, dm: Dm, offset: u64, data: &[u8]) -> Result<(), VerbsError> {
        let (bytes, at) = self.dm_range(dm, offset, data.len())?;
        bytes.write(at, data);
        Ok(())
    }

    pub(crate) fn copy_from_dm(&self, dm: Dm, offset: u64, out: &mut [u8]) -> Result<(), VerbsError> {
        let (bytes, at) = self.dm_range(dm, offset, out.len())?;
        bytes.read(at, out);
        Ok(())
    }

    /// Where a copy of `len` bytes begins.
    fn dm_range(&self, dm: Dm, offset: u64, len: usize) -> Result<(&Buffer, usize), VerbsError> {
        let bytes = &self.dms.get(dm).ok_or(STALE)?.bytes;
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        if at.checked_add(len).is_none_or(|end| end > bytes.len()) {
            return Err(VerbsError::Invalid("the range leaves the device memory"));
        }
        if !at.is_multiple_of(WORD) || !len.is_multiple_of(WORD) {
            return Err(VerbsError::Invalid("device memory is copied in words of 4 bytes"));
        }
        Ok((bytes, at))
    }

    pub(crate) fn register_dm(
        &mut self,
        rng: &mut Rng,
        pd: Pd,
        dm: Dm,
        (offset, len): (u64, u64),
        access: Access,
    ) -> Result<Mr, VerbsError> {
        let memory = self.dms.get(dm).ok_or(STALE)?;
        if !access.contains(Access::ZERO_BASED) {
            return Err(VerbsError::Invalid("regions of device memory need ZERO_BASED"));
        }
        let end = offset.checked_add(len).filter(|end| *end <= memory.bytes.len() as u64);
        let end = end.ok_or(VerbsError::Invalid("the range leaves the device memory"))?;
        let region = Region::part(&memory.bytes, offset as usize..end as usize);
        let region = region.ok_or(VerbsError::Invalid("the range leaves the device memory"))?;
        let mr = self.register_as(rng, pd, MrInit { region, iova: 0, access }, Origin::Device(dm))?;
        if let Some(memory) = self.dms.get_mut(dm) {
            memory.users += 1;
        }
        Ok(mr)
    }

    /// A region in it is gone.
    pub(super) fn release_dm(&mut self, dm: Dm) {
        if let Some(memory) = self.dms.get_mut(dm) {
            memory.users -= 1;
        }
    }
}

const STALE: VerbsError = VerbsError::Stale("device memory");
