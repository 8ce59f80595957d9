//! Posting work requests.

use ferroce_wire::{Psn, Qpn};

use super::Device;
use crate::error::{PostError, VerbsError};
use crate::policy::Personality;
use crate::qp::{Ctx, Destination, Qp, QpState, QpType, Receives};
use crate::time::Time;
use crate::trace::TraceSink;
use crate::work::{Payload, RecvWqe, RecvWr, SendOp, SendWqe, SendWr, To};

impl<T: TraceSink> Device<T> {
    /// Posts send requests (`ibv_post_send`).
    pub fn post_send(&mut self, now: Time, qpn: Qpn, wrs: &[SendWr<'_>]) -> Result<(), PostError> {
        let posted = self.with_qp(now, qpn, |qp, ctx| {
            for (index, wr) in wrs.iter().enumerate() {
                let refused = |cause| PostError { index, cause };
                let to = destination(qp, wr, ctx).map_err(refused)?;
                let wqe = check_send(qp, wr, ctx.policy).map_err(refused)?;
                qp.push_send(wqe, wr.payload, to, ctx);
            }
            Ok(())
        });
        posted.unwrap_or(Err(PostError { index: 0, cause: VerbsError::Stale("queue pair") }))
    }

    /// Posts all of these send requests, or none (`ibv_wr_complete`).
    pub fn post_send_all(&mut self, now: Time, qpn: Qpn, wrs: &[SendWr<'_>]) -> Result<(), PostError> {
        let checked = self.with_qp(now, qpn, |qp, ctx| {
            for (index, wr) in wrs.iter().enumerate() {
                let refused = |cause| PostError { index, cause };
                check_send(qp, wr, ctx.policy).map_err(refused)?;
                destination(qp, wr, ctx).map_err(refused)?;
            }
            let sq = &qp.requester.sq;
            let room = sq.depth() as usize - (sq.end() - sq.front()) as usize;
            if wrs.len() <= room {
                return Ok(());
            }
            Err(PostError { index: room, cause: VerbsError::QueueFull { depth: sq.depth() } })
        });
        checked.unwrap_or(Ok(()))?;
        self.post_send(now, qpn, wrs)
    }

    /// Posts receive requests (`ibv_post_recv`).
    pub fn post_recv(&mut self, now: Time, qpn: Qpn, wrs: &[RecvWr<'_>]) -> Result<(), PostError> {
        let posted = self.with_qp(now, qpn, |qp, ctx| {
            for (index, wr) in wrs.iter().enumerate() {
                check_recv(qp, wr).map_err(|cause| PostError { index, cause })?;
                qp.push_recv(RecvWqe { wr_id: wr.wr_id }, Payload::Sges(wr.sges), ctx);
            }
            Ok(())
        });
        posted.unwrap_or(Err(PostError { index: 0, cause: VerbsError::Stale("queue pair") }))
    }
}

/// What `ibv_post_send` checks at once; everything else is found out when the request's turn comes.
fn check_send(qp: &Qp, wr: &SendWr<'_>, policy: &Personality) -> Result<SendWqe, VerbsError> {
    if !matches!(qp.state, QpState::Rts | QpState::Sqd | QpState::Sqe | QpState::Err) {
        return Err(VerbsError::WrongState(qp.state));
    }
    if wr.op.is_placement() && !policy.placement {
        return Err(VerbsError::Unsupported("ATOMIC WRITE and FLUSH: Personality::placement is off"));
    }
    let sq = &qp.requester.sq;
    let (len, inline) = match wr.payload {
        _ if matches!(wr.op, SendOp::Flush { .. }) => (0, false),
        Payload::Sges(list) if list.len() > sq.max_sge() as usize => {
            return Err(VerbsError::Invalid("more scatter/gather entries than max_send_sge"));
        }
        Payload::Sges(list) => (list.iter().map(|sge| u64::from(sge.len)).sum(), false),
        Payload::Inline(_) if wr.op.fetches() => {
            return Err(VerbsError::Invalid("READ and atomics cannot be inline"));
        }
        Payload::Inline(data) if data.len() > sq.max_inline() as usize => {
            return Err(VerbsError::Invalid("more inline data than max_inline_data"));
        }
        Payload::Inline(data) => (data.len() as u64, true),
    };
    if sq.is_full() {
        return Err(VerbsError::QueueFull { depth: sq.depth() });
    }
    let srqn = if let To::Srq(number) = wr.to { number } else { 0 };
    let first = Psn::default();
    let (op, flags) = (wr.op, wr.flags);
    Ok(SendWqe { wr_id: wr.wr_id, op, flags, len, inline, srqn, started: false, first, psns: 0 })
}

/// Where a datagram goes; nothing where a connection decides that.
fn destination<T>(qp: &Qp, wr: &SendWr<'_>, ctx: &Ctx<'_, T>) -> Result<Option<Destination>, VerbsError> {
    let op = &wr.op;
    match (qp.conn.init.qp_type, wr.to) {
        (QpType::Ud, To::Datagram { ah, qpn, qkey }) => {
            let handle = ctx.ahs.get(ah).ok_or(VerbsError::Stale("address handle"))?;
            let flow = handle.av.datagram_flow(ctx.gids, qp.conn.qpn);
            Ok(Some(Destination { flow, qpn, qkey, pd: handle.pd }))
        }
        (QpType::Ud, To::Peer) => Err(VerbsError::Invalid("a datagram needs an address handle")),
        (_, To::Datagram { .. }) => Err(VerbsError::Invalid("only datagrams name where they go")),
        (QpType::XrcTarget, _) => Err(VerbsError::Invalid("the target of a connection sends nothing")),
        (QpType::XrcInitiator, To::Srq(_)) => Ok(None),
        (QpType::XrcInitiator, To::Peer) if !op.is_local() => {
            Err(VerbsError::Invalid("the request must name a shared receive queue"))
        }
        (_, To::Srq(_)) => Err(VerbsError::Invalid("only extended connections name shared receive queues")),
        (_, To::Peer) => Ok(None),
    }
}

fn check_recv(qp: &Qp, wr: &RecvWr<'_>) -> Result<(), VerbsError> {
    if qp.state == QpState::Reset {
        return Err(VerbsError::WrongState(qp.state));
    }
    let Receives::Own(rq) = &qp.responder.receives else {
        return Err(VerbsError::Invalid("the queue pair takes its receives from a shared queue"));
    };
    if wr.sges.len() > rq.max_sge() as usize {
        return Err(VerbsError::Invalid("more scatter/gather entries than max_recv_sge"));
    }
    if rq.is_full() {
        return Err(VerbsError::QueueFull { depth: rq.depth() });
    }
    Ok(())
}
