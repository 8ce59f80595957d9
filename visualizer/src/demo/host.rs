//! What the demo needs of a NIC, so that the same traffic runs at full speed and in slow motion.

use ferroce_engine::{Cq, Device, Time, TraceSink, VerbsError, Wc};
use ferroce_net::Nic;

/// A device that somebody drives.
pub(crate) trait Host {
    /// Where its trace goes.
    type Sink: TraceSink;

    /// Calls verbs, at the present moment.
    fn with<R>(&mut self, act: impl FnOnce(&mut Device<Self::Sink>, Time) -> R) -> R;

    /// Takes completions, as many as there are and fit; may do some of the network's work.
    fn poll(&mut self, cq: Cq, out: &mut [Wc]) -> Result<usize, VerbsError>;
}

impl<T: TraceSink + Send + 'static> Host for Nic<T> {
    type Sink = T;

    fn with<R>(&mut self, act: impl FnOnce(&mut Device<T>, Time) -> R) -> R {
        Nic::with(self, act)
    }

    fn poll(&mut self, cq: Cq, out: &mut [Wc]) -> Result<usize, VerbsError> {
        self.poll_cq(cq, out)
    }
}
