//! What work requests do to keys of memory, told to those who watch.

use ferroce_wire::Qpn;

use super::Ctx;
use crate::memory::{AccessDenied, Bind, Pd};
use crate::trace::{TraceEvent, TraceSink};
use crate::work::{SendOp, WcStatus};

impl<T: TraceSink> Ctx<'_, T> {
    /// Binds, registers or invalidates, as a request asks that needs no packet.
    pub(super) fn change_keys(&mut self, op: SendOp, (pd, qp): (Pd, Qpn)) -> Result<(), WcStatus> {
        match op {
            SendOp::BindMw(bind) => {
                if !self.memory.bind(pd, qp, &bind) {
                    return Err(WcStatus::MwBindErr);
                }
                self.trace(|| bound(&bind, qp));
            }
            SendOp::RegMr { key, access } => {
                if !self.memory.register_staged(pd, key, access) {
                    return Err(WcStatus::MwBindErr);
                }
                self.trace_registered(key);
            }
            SendOp::LocalInv(key) => {
                self.invalidate(key, (pd, qp)).map_err(|_| WcStatus::LocQpOpErr)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Shuts a window, or takes away what a work request has registered.
    pub(super) fn invalidate(&mut self, key: u32, (pd, qp): (Pd, Qpn)) -> Result<(), AccessDenied> {
        self.memory.invalidate(key, pd, qp)?;
        self.trace(|| TraceEvent::Invalidated { key });
        Ok(())
    }

    /// Tells what region a key opens now.
    pub(crate) fn trace_registered(&mut self, key: u32) {
        if self.is_watched()
            && let Some((addr, len, access)) = self.memory.registered(key)
        {
            self.trace(|| TraceEvent::Registered { key, addr, len, access });
        }
    }
}

/// What is told of a binding; one of no bytes opens nothing.
fn bound(bind: &Bind, qp: Qpn) -> TraceEvent {
    let Bind { rkey: key, region, addr, len, access } = *bind;
    match len {
        0 => TraceEvent::Invalidated { key },
        _ => TraceEvent::Bound { key, region, qp, addr, len, access },
    }
}
