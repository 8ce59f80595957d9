//! A device at one moment, as plain data for those who look at it.
//!
//! A snapshot is a copy: taking one changes nothing, and it stays as it is while the device goes on.

use ferroce_wire::{PathMtu, Psn, Qpn};

use crate::counters::Counters;
use crate::cq::{Arm, CompletionQueue, Cq};
use crate::memory::{Access, Bind, Memory, Pd};
use crate::qp::{Qp, QpState, QpType};
use crate::qps::QpTable;
use crate::srq::{SharedReceiveQueue, Srq};
use crate::table::Table;
use crate::time::Time;
use crate::work::{SendFlags, SendOp, SendWqe, Wc};

/// All of a device that can be seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The device's name.
    pub name: String,
    /// Queue pairs, in the order of their places in the device.
    pub qps: Vec<QpSnapshot>,
    /// Completion queues.
    pub cqs: Vec<CqSnapshot>,
    /// Shared receive queues.
    pub srqs: Vec<SrqSnapshot>,
    /// Registered memory, by key.
    pub mrs: Vec<MrSnapshot>,
    /// Memory windows that are bound, by key: what they open, and the queue pair that has bound them.
    pub windows: Vec<(Bind, Qpn)>,
    /// What was counted so far.
    pub counters: Counters,
}

/// A queue pair.
#[derive(Clone, Debug, PartialEq)]
pub struct QpSnapshot {
    /// Its number.
    pub qpn: Qpn,
    /// Its transport service.
    pub qp_type: QpType,
    /// Its state.
    pub state: QpState,
    /// The peer's queue pair.
    pub dest_qpn: Qpn,
    /// Payload of a full packet.
    pub path_mtu: PathMtu,
    /// Bits per second at which its packets leave; `None` when congestion control does not hold them back.
    pub rate: Option<u64>,
    /// The sending half.
    pub requester: RequesterSnapshot,
    /// The receiving half.
    pub responder: ResponderSnapshot,
}

/// The sending half of a queue pair.
#[derive(Clone, Debug, PartialEq)]
pub struct RequesterSnapshot {
    /// Requests the send queue can hold.
    pub depth: u32,
    /// Requests in it, oldest first.
    pub queue: Vec<SendSlot>,
    /// The oldest PSN that is not acknowledged.
    pub unacked: Psn,
    /// The PSN to be sent next.
    pub next: Psn,
    /// One past the highest PSN ever sent; `next` is behind it while packets are sent again.
    pub highest: Psn,
    /// READ and atomic requests in flight.
    pub responses_due: u32,
    /// Retries left before giving up.
    pub retries_left: u8,
    /// Waits for a receive left before giving up.
    pub rnr_retries_left: u8,
    /// When the local ACK timeout expires.
    pub timer: Option<Time>,
    /// Until when it waits because the peer had no receive.
    pub rnr_wait: Option<Time>,
}

/// How far a send request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SendProgress {
    /// No packet of it was sent yet.
    Posted,
    /// Some of its packets were sent.
    Sending,
    /// All were sent, and not all are acknowledged.
    InFlight,
}

/// A request in a send queue.
#[derive(Clone, Debug, PartialEq)]
pub struct SendSlot {
    /// The caller's number.
    pub wr_id: u64,
    /// What it asks for.
    pub op: SendOp,
    /// Its options.
    pub flags: SendFlags,
    /// Bytes of the message.
    pub len: u64,
    /// Its first and last PSN, once it was started.
    pub psns: Option<(Psn, Psn)>,
    /// How far it has come.
    pub progress: SendProgress,
}

/// The receiving half of a queue pair.
#[derive(Clone, Debug, PartialEq)]
pub struct ResponderSnapshot {
    /// Receives the queue can hold.
    pub depth: u32,
    /// Receives in it, oldest first.
    pub queue: Vec<RecvSlot>,
    /// The PSN expected next.
    pub expected: Psn,
    /// Message sequence number: messages executed so far, modulo 2^24.
    pub msn: u32,
    /// READs and atomics kept for being answered (again): first PSN, PSNs, and whether the answer is under way.
    pub resources: Vec<(Psn, u32, bool)>,
}

/// A receive in its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvSlot {
    /// The caller's number.
    pub wr_id: u64,
    /// Bytes it has room for.
    pub room: u64,
}

/// A completion queue.
#[derive(Clone, Debug, PartialEq)]
pub struct CqSnapshot {
    /// Its handle.
    pub cq: Cq,
    /// Completions it can hold.
    pub capacity: u32,
    /// Completions not polled yet, oldest first.
    pub entries: Vec<Wc>,
    /// What it is armed for.
    pub armed: Arm,
}

/// A shared receive queue.
#[derive(Clone, Debug, PartialEq)]
pub struct SrqSnapshot {
    /// Its handle.
    pub srq: Srq,
    /// Receives it can hold.
    pub depth: u32,
    /// Receives in it, oldest first.
    pub queue: Vec<RecvSlot>,
    /// The event comes when fewer receives than this are left; 0 for none.
    pub limit: u32,
}

/// A registered region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MrSnapshot {
    /// Its key.
    pub key: u32,
    /// Its protection domain.
    pub pd: Pd,
    /// Its first address.
    pub addr: u64,
    /// Its length in bytes.
    pub len: u64,
    /// Its rights.
    pub access: Access,
}

pub(crate) fn take(
    name: &str,
    qps: &QpTable,
    cqs: &Table<CompletionQueue>,
    srqs: &Table<SharedReceiveQueue>,
    memory: &Memory,
    counters: &Counters,
) -> Snapshot {
    Snapshot {
        name: name.to_owned(),
        qps: qps.iter().map(queue_pair).collect(),
        cqs: cqs.iter().map(|(cq, queue)| completion_queue(cq, queue)).collect(),
        srqs: srqs.iter().map(|(srq, queue)| shared_queue(srq, queue)).collect(),
        mrs: memory
            .iter()
            .map(|(key, pd, addr, len, access)| MrSnapshot { key, pd, addr, len, access })
            .collect(),
        windows: memory.windows().collect(),
        counters: *counters,
    }
}

fn completion_queue(cq: Cq, queue: &CompletionQueue) -> CqSnapshot {
    let entries = queue.entries().copied().collect();
    CqSnapshot { cq, capacity: queue.capacity(), entries, armed: queue.armed() }
}

fn shared_queue(srq: Srq, queue: &SharedReceiveQueue) -> SrqSnapshot {
    let slots = queue.rq.slots().map(|(wr_id, room)| RecvSlot { wr_id, room });
    SrqSnapshot { srq, depth: queue.rq.depth(), queue: slots.collect(), limit: queue.limit }
}

fn queue_pair(qp: &Qp) -> QpSnapshot {
    let (requester, responder) = (&qp.requester, &qp.responder);
    QpSnapshot {
        qpn: qp.conn.qpn,
        qp_type: qp.conn.init.qp_type,
        state: qp.state,
        dest_qpn: qp.conn.dest_qpn,
        path_mtu: qp.conn.mtu,
        rate: qp.rate(),
        requester: RequesterSnapshot {
            depth: requester.sq.depth(),
            queue: requester.sq.iter().map(|wqe| send_slot(wqe, requester.max)).collect(),
            unacked: requester.una,
            next: requester.next,
            highest: requester.max,
            responses_due: requester.responses_due,
            retries_left: requester.retries,
            rnr_retries_left: requester.rnr_retries,
            timer: requester.timer,
            rnr_wait: requester.rnr_wait,
        },
        responder: ResponderSnapshot {
            depth: responder.receives.depth(),
            queue: responder.receives.iter().map(|(wr_id, room)| RecvSlot { wr_id, room }).collect(),
            expected: responder.expected,
            msn: responder.msn,
            resources: responder.resources.iter().map(|r| (r.first, r.psns, r.is_pending())).collect(),
        },
    }
}

fn send_slot(wqe: &SendWqe, highest: Psn) -> SendSlot {
    let psns = (wqe.psns > 0).then(|| (wqe.first, wqe.last()));
    let progress = match psns {
        None if wqe.started => SendProgress::InFlight,
        None => SendProgress::Posted,
        Some((first, _)) if !first.is_before(highest) => SendProgress::Posted,
        Some((_, last)) if last.is_before(highest) => SendProgress::InFlight,
        Some(_) => SendProgress::Sending,
    };
    SendSlot { wr_id: wqe.wr_id, op: wqe.op, flags: wqe.flags, len: wqe.len, psns, progress }
}
