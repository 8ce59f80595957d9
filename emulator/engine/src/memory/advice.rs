//! Advice about memory that will be used (`ibv_advise_mr`).

use super::{Access, AccessDenied, Memory, Pd};
use crate::error::VerbsError;
use crate::work::Sge;

/// What a program says about memory that it will use; values of `enum ib_uverbs_advise_mr_advice`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Advice {
    /// It will be read.
    Prefetch = 0,
    /// It will be written.
    PrefetchWrite = 1,
    /// It will be used; nothing that is not there is to be fetched.
    PrefetchNoFault = 2,
}

impl Memory {
    pub(crate) fn advise(&self, pd: Pd, advice: Advice, sges: &[Sge]) -> Result<(), VerbsError> {
        let write = advice == Advice::PrefetchWrite;
        let need = if write { Access::LOCAL_WRITE } else { Access::empty() };
        for sge in sges {
            let span = self.span(sge.lkey, pd, need, sge.addr, u64::from(sge.len));
            let span = span.map_err(|denied| match denied {
                AccessDenied::Range => VerbsError::Fault("a range leaves its region"),
                AccessDenied::Right => VerbsError::Fault("a region may not be written"),
                _ => VerbsError::Fault("a key opens no region of the domain"),
            })?;
            if advice != Advice::PrefetchNoFault {
                span.prefetch(write).map_err(|_| VerbsError::Fault("there is no memory at an address"))?;
            }
        }
        Ok(())
    }
}
