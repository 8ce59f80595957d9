//! Planned messages and receives as work requests, spoiled where the plan wants trouble.

use std::ops::Range;

use ferroce_engine::*;
use ferroce_fabric::Watch;

use crate::oracle::{gather, shared_swap};
use crate::plan::{Plan, Planned};
use crate::program::{Kind, TroubleKind};
use crate::world::{REMOTE, World};

/// Posts these messages of an end in one call.
pub(crate) fn post_sends<T: Watch>(
    plan: &Plan,
    world: &mut World<T>,
    end: usize,
    batch: Range<usize>,
    compares: &[u64],
) -> Result<(), PostError> {
    let lists: Vec<_> = batch.clone().map(|index| send_list(plan, world, end, index)).collect();
    let messages = || plan.ends[end].messages[batch.clone()].iter();
    let inline: Vec<_> =
        messages().map(|planned| gather(&plan.ends[end].memory.local, &planned.sges)).collect();
    let wrs: Vec<_> = batch
        .clone()
        .zip(messages())
        .zip(lists.iter().zip(&inline))
        .map(|((index, planned), (list, data))| SendWr {
            flags: flags(planned),
            ..SendWr::new(
                planned.wr_id,
                operation(plan, world, end, index, compares[index]),
                if planned.message.inline { Payload::Inline(data) } else { Payload::Sges(list) },
            )
        })
        .collect();
    world.fabric.post_send(world.ends[end].at, &wrs)
}

/// Posts these receives of an end in one call.
pub(crate) fn post_recvs<T: Watch>(
    plan: &Plan,
    world: &mut World<T>,
    end: usize,
    batch: Range<usize>,
) -> Result<(), PostError> {
    let lists: Vec<_> = batch.clone().map(|index| recv_list(plan, world, end, index)).collect();
    let recvs = plan.ends[end].recvs[batch].iter().zip(&lists);
    let wrs: Vec<_> = recvs.map(|(recv, list)| RecvWr { wr_id: recv.wr_id, sges: list }).collect();
    let at = world.ends[end].at;
    match world.ends[end].srq {
        Some(srq) => world.fabric.with(at.host, |device, now| device.post_srq_recv(now, srq, &wrs)),
        None => world.fabric.post_recv(at, &wrs),
    }
}

/// How many receives an end posts in all.
pub(crate) fn recvs_to_post(plan: &Plan, end: usize) -> usize {
    match trouble_of(plan, end ^ 1) {
        Some((index, TroubleKind::NoReceive)) => {
            plan.ends[end ^ 1].messages[index].recv.expect("it is about a message that needs one")
        }
        _ => plan.ends[end].recvs.len(),
    }
}

/// Destroys a queue pair.
pub(crate) fn destroy<T: TraceSink>(device: &mut Device<T>, _now: Time, qp: Qpn) -> Result<(), VerbsError> {
    device.destroy_qp(qp)
}

/// The message of this end that is to fail, and how.
fn trouble_of(plan: &Plan, end: usize) -> Option<(usize, TroubleKind)> {
    let (culprit, index) = plan.culprit()?;
    (culprit == plan.ends[end].end).then_some((index, plan.trouble_kind()?))
}

fn spoils(plan: &Plan, end: usize, index: usize) -> Option<TroubleKind> {
    trouble_of(plan, end).filter(|(culprit, _)| *culprit == index).map(|(_, kind)| kind)
}

fn flags(planned: &Planned) -> SendFlags {
    let message = &planned.message;
    let mut flags = SendFlags::empty();
    flags.set(SendFlags::SIGNALED, message.signaled);
    flags.set(SendFlags::FENCE, planned.fence);
    flags.set(SendFlags::SOLICITED, message.solicited);
    flags
}

fn send_list<T>(plan: &Plan, world: &World<T>, end: usize, index: usize) -> Vec<Sge> {
    let ranges = &plan.ends[end].messages[index].sges;
    let mut list: Vec<_> = ranges.iter().map(|range| world.ends[end].local.sge(*range)).collect();
    // An empty entry names no memory, whatever stands in it.
    list.iter_mut().filter(|sge| sge.len == 0).for_each(|sge| (sge.addr, sge.lkey) = (u64::MAX, 7));
    let first = list.iter_mut().find(|sge| sge.len > 0);
    match (spoils(plan, end, index), first) {
        (Some(TroubleKind::BadLkey), Some(sge)) => sge.lkey ^= 1,
        (Some(TroubleKind::BadLocalRange), Some(sge)) => sge.addr ^= 1 << 62,
        (Some(TroubleKind::ShortAtomic), Some(sge)) => list = vec![Sge { len: 4, ..*sge }],
        _ => {}
    }
    list
}

fn recv_list<T>(plan: &Plan, world: &World<T>, end: usize, index: usize) -> Vec<Sge> {
    let recv = &plan.ends[end].recvs[index];
    let mut list: Vec<_> = recv.sges.iter().map(|range| world.ends[end].inbox.sge(*range)).collect();
    let Some(message) = recv.message else { return list };
    match spoils(plan, end ^ 1, message) {
        Some(TroubleKind::ShortReceive) => {
            let mut room = plan.ends[end ^ 1].messages[message].message.len - 1;
            for sge in &mut list {
                sge.len = sge.len.min(room);
                room -= sge.len;
            }
        }
        Some(TroubleKind::BadReceive) => {
            if let Some(sge) = list.iter_mut().find(|sge| sge.len > 0) {
                sge.lkey ^= 1;
            }
        }
        _ => {}
    }
    list
}

fn operation<T>(plan: &Plan, world: &World<T>, end: usize, index: usize, compare: u64) -> SendOp {
    let planned = &plan.ends[end].messages[index];
    let trouble = spoils(plan, end, index);
    let remote = remote(world, end, planned, trouble);
    let imm = planned.imm().unwrap_or(ImmDt([0; 4]));
    let keys = &world.ends[end].keys;
    match planned.message.kind {
        Kind::Send if trouble == Some(TroubleKind::Invalidate) => {
            SendOp::SendInv(world.ends[end ^ 1].window.mr.rkey)
        }
        Kind::Send => SendOp::Send,
        Kind::SendInv => SendOp::SendInv(keys[index].shut.expect("made with the world")),
        Kind::LocalInv => {
            let bound = planned.shuts.expect("otherwise it would bind");
            let key = keys[bound].bind.map(|bind| bind.rkey).or(keys[bound].register);
            SendOp::LocalInv(key.expect("made with the world"))
        }
        Kind::RegMr => {
            SendOp::RegMr { key: keys[index].register.expect("made with the world"), access: REMOTE }
        }
        Kind::AtomicWrite => SendOp::AtomicWrite(remote),
        Kind::Flush => SendOp::Flush {
            remote,
            len: planned.remote.len as u32,
            placement: Access::FLUSH_GLOBAL,
            whole_region: false,
        },
        Kind::BindMw => SendOp::BindMw(keys[index].bind.expect("made with the world")),
        Kind::SendImm => SendOp::SendImm(imm),
        Kind::Write => SendOp::Write(remote),
        Kind::WriteImm => SendOp::WriteImm(remote, imm),
        Kind::Read => SendOp::Read(remote),
        Kind::FetchAdd | Kind::SharedAdd => SendOp::FetchAdd { remote, add: planned.operand() },
        Kind::CompareSwap => SendOp::CompareSwap { remote, compare, swap: planned.swap() },
        Kind::SharedSwap => {
            let swap = shared_swap(plan.ends[end].end, planned);
            SendOp::CompareSwap { remote, compare, swap }
        }
    }
}

fn remote<T>(world: &World<T>, end: usize, planned: &Planned, trouble: Option<TroubleKind>) -> Remote {
    let peer = &world.ends[end ^ 1];
    let region = if planned.message.kind.is_atomic() { &world.hosts[peer.host].words } else { &peer.window };
    let mut right = region.remote(planned.remote);
    // Some atomics go through a window that is bound on the peer's queue pair.
    if matches!(planned.message.kind, Kind::CompareSwap | Kind::FetchAdd) && planned.message.place & 4 != 0 {
        right.rkey = peer.gate;
    }
    match trouble {
        Some(TroubleKind::BadRkey) => Remote { rkey: right.rkey ^ 1, ..right },
        Some(TroubleKind::BadRemoteRange) => {
            Remote { addr: right.addr + (region.buffer.len() as u64).next_multiple_of(8), ..right }
        }
        Some(TroubleKind::NoRight) => peer.denied[0].remote(planned.remote),
        Some(TroubleKind::OtherDomain) => peer.denied[1].remote(planned.remote),
        Some(TroubleKind::Unaligned) => Remote { addr: right.addr - 1, ..right },
        _ => right,
    }
}
