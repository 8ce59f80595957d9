//! The verbs about memory.

use super::Device;
use crate::error::VerbsError;
use crate::memory::{Access, Advice, Dm, Mr, MrChange, MrInit, MwType, Pd, Region};
use crate::trace::{TraceEvent, TraceSink};
use crate::work::Sge;

impl<T: TraceSink> Device<T> {
    /// Registers memory (`ibv_reg_mr`).
    pub fn reg_mr(&mut self, pd: Pd, init: MrInit) -> Result<Mr, VerbsError> {
        self.domain(pd)?;
        let mr = self.core.memory.register(&mut self.rng, pd, init)?;
        self.domain(pd)?.users += 1;
        self.trace_registered(mr.lkey);
        Ok(mr)
    }

    /// Ends a registration (`ibv_dereg_mr`). When this returns the device no longer touches the memory;
    /// requests that still name it fail.
    pub fn dereg_mr(&mut self, lkey: u32) -> Result<(), VerbsError> {
        let pd = self.core.memory.deregister(lkey)?;
        self.domain(pd)?.users -= 1;
        self.trace_key(TraceEvent::Deregistered { key: lkey });
        Ok(())
    }

    /// Changes memory, protection domain or rights of a registration (`ibv_rereg_mr`). Its keys stay the same, as
    /// with the drivers of Linux: who was given one has now what the region has become. When the call is refused
    /// all is as before.
    ///
    /// ```
    /// # use ferroce_engine::*;
    /// # use std::net::Ipv4Addr;
    /// # let config = DeviceConfig::new("ferroce0", [Ipv4Addr::new(192, 0, 2, 1).into()]);
    /// # let mut device = Device::new(config, 7, NoTrace);
    /// # let pd = device.alloc_pd()?;
    /// let mr = device.reg_mr(pd, MrInit::new(&Buffer::new(64), Access::empty()))?;
    /// let change = MrChange { access: Some(Access::LOCAL_WRITE), ..MrChange::default() };
    /// device.rereg_mr(mr.lkey, change)?;
    /// device.dereg_mr(mr.lkey)?;
    /// # Ok::<_, VerbsError>(())
    /// ```
    pub fn rereg_mr(&mut self, lkey: u32, change: MrChange) -> Result<(), VerbsError> {
        if let Some(pd) = change.pd {
            self.domain(pd)?;
        }
        let (old, new) = self.core.memory.reregister(lkey, change)?;
        self.domain(old)?.users -= 1;
        self.domain(new)?.users += 1;
        self.trace_registered(lkey);
        Ok(())
    }

    /// Makes a region of the largest length that gives zeros and takes whatever is written to it
    /// (`ibv_alloc_null_mr`). It has no remote rights.
    pub fn alloc_null_mr(&mut self, pd: Pd) -> Result<Mr, VerbsError> {
        let init = MrInit { region: Region::null(u64::MAX), iova: 0, access: Access::LOCAL_WRITE };
        self.reg_mr(pd, init)
    }

    /// Makes a key with no memory behind it, for [`SendOp::RegMr`](crate::SendOp::RegMr) (`ib_alloc_mr` of
    /// Linux). It is given up by [`dereg_mr`](Self::dereg_mr), with any key that it has had.
    pub fn alloc_mr(&mut self, pd: Pd) -> Result<Mr, VerbsError> {
        self.domain(pd)?;
        let mr = self.core.memory.alloc_key(&mut self.rng, pd)?;
        self.domain(pd)?.users += 1;
        Ok(mr)
    }

    /// Names the memory that the next [`SendOp::RegMr`](crate::SendOp::RegMr) on this key registers, and the
    /// address of its first byte (`ib_map_mr_sg`). Nothing may be registered under the key.
    pub fn map_mr(&mut self, key: u32, region: Region, iova: u64) -> Result<(), VerbsError> {
        self.core.memory.stage(key, region, iova)
    }

    /// Says what memory will be used for (`ibv_advise_mr`). Pages of [`Region::paged`] that are asked for must be
    /// there; otherwise nothing follows from it.
    ///
    /// # Errors
    /// EFAULT when an entry names memory that its key does not open, or that is not there.
    pub fn advise_mr(&mut self, pd: Pd, advice: Advice, sges: &[Sge]) -> Result<(), VerbsError> {
        self.domain(pd)?;
        self.core.memory.advise(pd, advice, sges)
    }

    /// Allocates zeroed memory of the device itself (`ibv_alloc_dm`), aligned to 2 to the power of `log_align`, 12
    /// at most. All pieces together have at most [`Limits::max_dm_size`](crate::Limits::max_dm_size).
    pub fn alloc_dm(&mut self, len: u64, log_align: u32) -> Result<Dm, VerbsError> {
        self.core.memory.alloc_dm(len, log_align)
    }

    /// Frees device memory in which nothing is registered (`ibv_free_dm`).
    pub fn free_dm(&mut self, dm: Dm) -> Result<(), VerbsError> {
        self.core.memory.free_dm(dm)
    }

    /// Copies `data` into device memory (`ibv_memcpy_to_dm`). `offset` and length are multiples of 4.
    pub fn copy_to_dm(&mut self, dm: Dm, offset: u64, data: &[u8]) -> Result<(), VerbsError> {
        self.core.memory.copy_to_dm(dm, offset, data)
    }

    /// Copies bytes out of device memory (`ibv_memcpy_from_dm`). `offset` and length are multiples of 4.
    pub fn copy_from_dm(&self, dm: Dm, offset: u64, out: &mut [u8]) -> Result<(), VerbsError> {
        self.core.memory.copy_from_dm(dm, offset, out)
    }

    /// Registers `len` bytes from `offset` on of device memory (`ibv_reg_dm_mr`). `access` needs
    /// [`Access::ZERO_BASED`]: addresses count from `offset`.
    pub fn reg_dm_mr(
        &mut self,
        pd: Pd,
        dm: Dm,
        offset: u64,
        len: u64,
        access: Access,
    ) -> Result<Mr, VerbsError> {
        self.domain(pd)?;
        let mr = self.core.memory.register_dm(&mut self.rng, pd, dm, (offset, len), access)?;
        self.domain(pd)?.users += 1;
        self.trace_registered(mr.lkey);
        Ok(mr)
    }

    /// Makes a memory window (`ibv_alloc_mw`) and returns its key. It opens nothing until it is bound by
    /// [`SendOp::BindMw`](crate::SendOp::BindMw).
    pub fn alloc_mw(&mut self, pd: Pd, kind: MwType) -> Result<u32, VerbsError> {
        self.domain(pd)?;
        let rkey = self.core.memory.alloc_window(&mut self.rng, pd, kind)?;
        self.domain(pd)?.users += 1;
        Ok(rkey)
    }

    /// Removes a memory window, bound or not (`ibv_dealloc_mw`). Any key that it had will do.
    pub fn dealloc_mw(&mut self, rkey: u32) -> Result<(), VerbsError> {
        let pd = self.core.memory.dealloc_window(rkey)?;
        self.domain(pd)?.users -= 1;
        self.trace_key(TraceEvent::Deregistered { key: rkey });
        Ok(())
    }

    fn trace_registered(&mut self, key: u32) {
        let latest = self.core.latest;
        self.core.ctx(latest).trace_registered(key);
    }

    fn trace_key(&mut self, event: TraceEvent) {
        let latest = self.core.latest;
        self.core.ctx(latest).trace(|| event);
    }
}
