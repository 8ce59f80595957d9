//! Receives that several queue pairs share.

use std::fmt;
use std::sync::Arc;

use ferroce_engine::{RecvWr, Sge, Srq, SrqInfo, SrqInit, VerbsError};

use crate::context::Context;
use crate::error::{Error, verb};
use crate::memory::ProtectionDomain;

/// A queue of receives for several queue pairs (`ibv_srq`): whoever gets a message takes the oldest. So a server
/// needs receives for the messages that may come at once, not for those that each of its peers may send. Clones are
/// the same queue.
///
/// ```
/// use ferroce::AsyncEvent;
///
/// let (a, b) = ferroce::pair()?;
/// let shared = b.pd.shared_receive_queue(128)?;
/// let server = b.pd.queue_pair(&b.cq).shared_receives(&shared).build()?;
/// let client = a.pd.queue_pair(&a.cq).build()?;
/// server.connect(&client.endpoint())?;
/// client.connect(&server.endpoint())?;
///
/// shared.receive(1, &[b.memory.sge()])?;
/// shared.set_limit(1)?; // tell me when none is left
/// client.post().send_inline(2, b"whoever").submit()?;
/// assert_eq!(b.cq.wait(None)?.wr_id, 1);
/// let limit = |event: &AsyncEvent| *event == AsyncEvent::SrqLimitReached(shared.id());
/// assert!(b.context.async_events().any(|event| limit(&event)));
/// # Ok::<_, ferroce::Error>(())
/// ```
#[derive(Clone)]
pub struct SharedReceiveQueue {
    shared: Arc<Shared>,
}

struct Shared {
    srq: Srq,
    pd: ProtectionDomain,
}

impl SharedReceiveQueue {
    pub(crate) fn new(pd: &ProtectionDomain, max_wr: u32) -> Result<SharedReceiveQueue, Error> {
        let init = SrqInit::new(pd.id(), max_wr);
        let made = pd.context().nic().with(|device, _| device.create_srq(&init));
        let srq = made.map_err(verb("create a shared receive queue"))?;
        Ok(SharedReceiveQueue { shared: Arc::new(Shared { srq, pd: pd.clone() }) })
    }

    /// Posts a receive of up to 4 entries: the next message of any peer goes to `sges`.
    ///
    /// # Errors
    /// When the queue is full, or there are too many entries.
    pub fn receive(&self, wr_id: u64, sges: &[Sge]) -> Result<(), Error> {
        let wr = RecvWr { wr_id, sges };
        let posted = self.context().nic().with(|device, now| device.post_srq_recv(now, self.id(), &[wr]));
        posted.map_err(|error| verb("post to the shared receive queue")(error.cause))
    }

    /// Asks for one [`SrqLimitReached`](crate::AsyncEvent::SrqLimitReached), when a message has left fewer than
    /// `receives`. 0 asks for none.
    ///
    /// # Errors
    /// When that is more than the queue has room for.
    pub fn set_limit(&self, receives: u32) -> Result<(), Error> {
        self.modify(None, Some(receives)).map_err(verb("set the limit of the shared receive queue"))
    }

    /// Changes how many receives can be posted.
    ///
    /// # Errors
    /// When more are posted already, or the NIC allows fewer.
    pub fn resize(&self, max_wr: u32) -> Result<(), Error> {
        self.modify(Some(max_wr), None).map_err(verb("resize the shared receive queue"))
    }

    fn modify(&self, max_wr: Option<u32>, limit: Option<u32>) -> Result<(), VerbsError> {
        self.context().nic().with(|device, _| device.modify_srq(self.id(), max_wr, limit))
    }

    /// Everything about it (`ibv_query_srq`).
    pub fn info(&self) -> SrqInfo {
        let info = self.context().nic().with(|device, _| device.query_srq(self.id()));
        info.expect("the queue lives as long as its handle")
    }

    /// The handle by which events name it.
    pub fn id(&self) -> Srq {
        self.shared.srq
    }

    /// The NIC it belongs to.
    pub fn context(&self) -> &Context {
        self.shared.pd.context()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let destroyed = self.pd.context().nic().with(|device, _| device.destroy_srq(self.srq));
        debug_assert!(destroyed.is_ok(), "queue pairs keep their queues alive: {destroyed:?}");
    }
}

impl fmt::Debug for SharedReceiveQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedReceiveQueue").field(&self.id()).finish()
    }
}
