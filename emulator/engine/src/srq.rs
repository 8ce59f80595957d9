//! Shared receive queues, and the domains that those of extended reliable connections are in.

use crate::cq::Cq;
use crate::memory::Pd;
use crate::table::Id;
use crate::work::{RecvWqe, WorkQueue};

/// Handle of a shared receive queue.
pub type Srq = Id<SharedReceiveQueue>;

/// Handle of an XRC domain.
pub type Xrcd = Id<XrcDomain>;

/// What a shared receive queue is created with (`struct ibv_srq_init_attr_ex`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SrqInit {
    /// Protection domain of the memory that receives name.
    pub pd: Pd,
    /// Receives that can be posted.
    pub max_wr: u32,
    /// Scatter/gather entries of a receive.
    pub max_sge: u32,
    /// For extended reliable connections: the domain whose connections may use it, and where its receives complete.
    /// Without, it is for the queue pairs that are created with it.
    pub xrc: Option<(Xrcd, Cq)>,
}

impl SrqInit {
    /// For queue pairs that are created with it: `max_wr` receives of up to 4 entries.
    pub fn new(pd: Pd, max_wr: u32) -> SrqInit {
        SrqInit { pd, max_wr, max_sge: 4, xrc: None }
    }
}

/// All that `ibv_query_srq` and `ibv_get_srq_num` tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SrqInfo {
    /// What it was created with; `max_wr` is the present one.
    pub init: SrqInit,
    /// Receives posted and not taken yet.
    pub queued: u32,
    /// The event comes when fewer receives than this are left; 0 when none is asked for (any more).
    pub limit: u32,
    /// The number by which peers name it, if it is for extended reliable connections.
    pub number: u32,
}

/// A queue of receives for several queue pairs.
#[derive(Clone, Debug)]
pub struct SharedReceiveQueue {
    pub(crate) init: SrqInit,
    pub(crate) rq: WorkQueue<RecvWqe>,
    /// See [`SrqInfo::limit`].
    pub(crate) limit: u32,
    /// Queue pairs that were created with it.
    pub(crate) users: u32,
}

impl SharedReceiveQueue {
    pub(crate) fn new(init: SrqInit) -> SharedReceiveQueue {
        SharedReceiveQueue { init, rq: WorkQueue::new(init.max_wr, init.max_sge, 0), limit: 0, users: 0 }
    }

    pub(crate) fn info(&self, srq: Srq) -> SrqInfo {
        let init = SrqInit { max_wr: self.rq.depth(), ..self.init };
        SrqInfo { init, queued: self.rq.len(), limit: self.limit, number: srq.number() }
    }

    /// Takes the oldest receive. True with it when fewer are left than the limit says, the first time.
    pub(crate) fn take(&mut self) -> Option<(RecvWqe, bool)> {
        let wqe = self.rq.pop()?;
        let reached = self.rq.len() < self.limit;
        if reached {
            self.limit = 0;
        }
        Some((wqe, reached))
    }
}

/// What lets shared receive queues be used by extended reliable connections of several programs
/// (`struct ibv_xrcd`).
#[derive(Clone, Debug)]
pub struct XrcDomain {
    /// What programs that share it name it by.
    pub(crate) name: Option<u64>,
    /// How often it was opened.
    pub(crate) opens: u32,
    /// Queue pairs and shared receive queues in it.
    pub(crate) users: u32,
}

/// How an XRC domain is opened (`struct ibv_xrcd_init_attr`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XrcdOpen {
    /// Whoever gives the same number gets the same domain: the inode of `fd`. Without, it is a new one.
    pub name: Option<u64>,
    /// Make it if there is none (`O_CREAT`).
    pub create: bool,
    /// It must not be there yet (`O_EXCL`).
    pub exclusive: bool,
}
