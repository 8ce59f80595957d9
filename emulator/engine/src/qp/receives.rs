//! Where a responder's receives come from: a queue of its own, or one that it shares with others.

use super::init::{QpInit, QpType};
use super::{Conn, Ctx};
use crate::cq::Cq;
use crate::event::AsyncEvent;
use crate::memory::Pd;
use crate::srq::{SharedReceiveQueue, Srq};
use crate::table::Table;
use crate::trace::TraceSink;
use crate::work::{RecvWqe, Sge, Wc, WorkQueue};

type Srqs = Table<SharedReceiveQueue>;

#[derive(Clone, Debug)]
pub(crate) enum Receives {
    /// The oldest receive stays in the queue until its message is complete.
    Own(WorkQueue<RecvWqe>),
    Shared(Shared),
}

/// The part that a queue pair has in a shared queue: the receive for a message that is not complete.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    /// Where the next receive is taken from. The target of an extended reliable connection learns it from each
    /// packet.
    source: Option<Srq>,
    held: Option<Held>,
    /// The scatter/gather list of the held receive.
    sges: Vec<Sge>,
}

/// A receive that was taken, and what it needs to know of the queue that it came from, which may be gone by now.
#[derive(Clone, Copy, Debug)]
struct Held {
    wqe: RecvWqe,
    srq: Srq,
    pd: Pd,
    cq: Cq,
}

/// A receive that is about to complete.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    wr_id: u64,
    cq: Cq,
}

impl Receives {
    pub(super) fn new(init: &QpInit) -> Receives {
        if init.srq.is_some() || init.qp_type == QpType::XrcTarget {
            return Receives::Shared(Shared { source: init.srq, held: None, sges: Vec::new() });
        }
        let none = init.qp_type == QpType::XrcInitiator;
        let depth = if none { 0 } else { init.cap.max_recv_wr };
        Receives::Own(WorkQueue::new(depth, init.cap.max_recv_sge, 0))
    }

    /// Forgets all receives, as a reset does. What others share stays.
    pub(super) fn clear(&mut self) {
        match self {
            Receives::Own(rq) => rq.clear(),
            Receives::Shared(shared) => shared.held = None,
        }
    }

    /// Takes receives from this queue from now on. False while a receive of another is in use.
    pub(super) fn aim(&mut self, srq: Srq) -> bool {
        match self {
            Receives::Shared(shared) if shared.held.is_none_or(|held| held.srq == srq) => {
                shared.source = Some(srq);
                true
            }
            _ => false,
        }
    }

    /// There is a receive for the next message, or for the one under way.
    pub(super) fn is_ready(&self, srqs: &Srqs) -> bool {
        match self {
            Receives::Own(rq) => !rq.is_empty(),
            Receives::Shared(shared) => {
                shared.held.is_some() || shared.queue(srqs).is_some_and(|queue| !queue.rq.is_empty())
            }
        }
    }

    /// The scatter/gather list of the oldest receive.
    pub(super) fn list<'a>(&'a self, srqs: &'a Srqs) -> &'a [Sge] {
        match self {
            Receives::Own(rq) if !rq.is_empty() => rq.sges(rq.front()),
            Receives::Shared(shared) if shared.held.is_some() => &shared.sges,
            Receives::Shared(shared) => match shared.queue(srqs) {
                Some(queue) if !queue.rq.is_empty() => queue.rq.sges(queue.rq.front()),
                _ => &[],
            },
            Receives::Own(_) => &[],
        }
    }

    /// Bytes that the oldest receive has room for.
    pub(super) fn room(&self, srqs: &Srqs) -> u64 {
        self.list(srqs).iter().map(|sge| u64::from(sge.len)).sum()
    }

    /// The domain of the memory that receives name. For extended reliable connections it is that of all that the
    /// peer reaches.
    #[inline]
    pub(super) fn pd(&self, conn: &Conn, srqs: &Srqs) -> Pd {
        match self {
            Receives::Own(_) => conn.init.pd,
            Receives::Shared(Shared { held: Some(held), .. }) => held.pd,
            Receives::Shared(shared) => shared.queue(srqs).map_or(conn.init.pd, |queue| queue.init.pd),
        }
    }

    /// A message that uses the oldest receive has begun and not ended: no one else may take that any more.
    pub(super) fn hold<T: TraceSink>(&mut self, conn: &Conn, ctx: &mut Ctx<'_, T>) {
        if let Receives::Shared(shared) = self
            && shared.held.is_none()
        {
            shared.sges.clear();
            if let Some(queue) = shared.queue(ctx.srqs).filter(|queue| !queue.rq.is_empty()) {
                shared.sges.extend_from_slice(queue.rq.sges(queue.rq.front()));
            }
            shared.held = shared.take(conn, ctx);
        }
    }

    /// Takes the oldest receive, to be completed.
    pub(super) fn take<T: TraceSink>(&mut self, conn: &Conn, ctx: &mut Ctx<'_, T>) -> Option<Taken> {
        match self {
            Receives::Own(rq) => rq.pop().map(|wqe| Taken { wr_id: wqe.wr_id, cq: conn.init.recv_cq }),
            Receives::Shared(shared) => {
                let held = shared.held.take().or_else(|| shared.take(conn, ctx))?;
                Some(Taken { wr_id: held.wqe.wr_id, cq: held.cq })
            }
        }
    }

    /// Takes the oldest receive that is this queue pair's own affair.
    pub(super) fn take_own(&mut self, conn: &Conn) -> Option<Taken> {
        match self {
            Receives::Own(rq) => rq.pop().map(|wqe| Taken { wr_id: wqe.wr_id, cq: conn.init.recv_cq }),
            Receives::Shared(shared) => {
                shared.held.take().map(|held| Taken { wr_id: held.wqe.wr_id, cq: held.cq })
            }
        }
    }

    /// Receives that can be posted to the queue pair.
    pub(crate) fn depth(&self) -> u32 {
        match self {
            Receives::Own(rq) => rq.depth(),
            Receives::Shared(_) => 0,
        }
    }

    /// Those that the queue pair has, oldest first, with the bytes that they have room for.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        let (own, held) = match self {
            Receives::Own(rq) => (Some(rq), None),
            Receives::Shared(shared) => {
                let room = shared.sges.iter().map(|sge| u64::from(sge.len)).sum();
                (None, shared.held.map(|held| (held.wqe.wr_id, room)))
            }
        };
        own.into_iter().flat_map(WorkQueue::slots).chain(held)
    }
}

impl Shared {
    fn queue<'a>(&self, srqs: &'a Srqs) -> Option<&'a SharedReceiveQueue> {
        srqs.get(self.source?)
    }

    fn take<T: TraceSink>(&self, conn: &Conn, ctx: &mut Ctx<'_, T>) -> Option<Held> {
        let srq = self.source?;
        let queue = ctx.srqs.get_mut(srq)?;
        let (pd, cq) = (queue.init.pd, queue.init.xrc.map_or(conn.init.recv_cq, |(_, cq)| cq));
        let (wqe, limit_reached) = queue.take()?;
        if limit_reached {
            ctx.raise(AsyncEvent::SrqLimitReached(srq));
        }
        Some(Held { wqe, srq, pd, cq })
    }
}

impl Taken {
    /// Completes it.
    pub(super) fn complete<T: TraceSink>(self, conn: &Conn, wc: Wc, solicited: bool, ctx: &mut Ctx<'_, T>) {
        ctx.complete(conn, self.cq, Wc { wr_id: self.wr_id, ..wc }, solicited);
    }
}
