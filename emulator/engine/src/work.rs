//! Work requests as they are posted, and the queues that hold them.

use std::collections::VecDeque;

use ferroce_wire::{ImmDt, Operation, Psn, Qpn};

use crate::device::Ah;
use crate::memory::{Access, Bind};
use crate::time::Time;

/// A scatter/gather entry: `len` bytes at `addr` in the region that `lkey` opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sge {
    /// First byte, in the region's own addresses.
    pub addr: u64,
    /// Length in bytes. An entry of length 0 stands for no bytes; its address and key are not looked at.
    pub len: u32,
    /// Key of the region.
    pub lkey: u32,
}

/// Memory of the peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Remote {
    /// Address in the peer's region.
    pub addr: u64,
    /// Key that the peer gave.
    pub rkey: u32,
}

/// What a send work request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SendOp {
    /// Deliver the data into the peer's next receive buffer.
    Send,
    /// The same with four bytes in the completion, delivered as they are.
    SendImm(ImmDt),
    /// The same, and take this key of the peer's out of use.
    SendInv(u32),
    /// Put the data into the peer's memory.
    Write(Remote),
    /// The same, and consume a receive to tell the peer, with four bytes in its completion.
    WriteImm(Remote, ImmDt),
    /// Fetch from the peer's memory.
    Read(Remote),
    /// If the 8-byte word there equals `compare`, replace it by `swap`; fetch the old value.
    CompareSwap {
        /// The word; its address is a multiple of 8.
        remote: Remote,
        /// Value to compare with.
        compare: u64,
        /// Value to store.
        swap: u64,
    },
    /// Add to the 8-byte word there, modulo 2^64; fetch the old value.
    FetchAdd {
        /// The word; its address is a multiple of 8.
        remote: Remote,
        /// What to add.
        add: u64,
    },
    /// Put 8 bytes of data at an address that is a multiple of 8, whole at once (IBTA annex A19). The peer's device
    /// must know it; see [`Personality::placement`](crate::Personality::placement).
    AtomicWrite(Remote),
    /// Wait until what was written before has come as far as `placement` says (IBTA annex A19). The peer's device
    /// must know it; see [`Personality::placement`](crate::Personality::placement).
    Flush {
        /// Where the range begins.
        remote: Remote,
        /// Bytes of it.
        len: u32,
        /// Right that the peer's memory must give: [`Access::FLUSH_GLOBAL`], [`Access::FLUSH_PERSISTENT`], or both.
        placement: Access,
        /// All of the region that the key opens; address and length mean nothing.
        whole_region: bool,
    },
    /// Bind a memory window here; nothing is sent.
    BindMw(Bind),
    /// Take a memory window of type 2 here, or memory registered by a work request, out of use; nothing is sent.
    /// Waits for all earlier requests.
    LocalInv(u32),
    /// Register the memory that [`Device::map_mr`](crate::Device::map_mr) has named here; nothing is sent.
    RegMr {
        /// The key that it will have. Its upper 24 bits are those of the key that
        /// [`Device::alloc_mr`](crate::Device::alloc_mr) gave; the lower 8 are the caller's choice and should
        /// differ from those before.
        key: u32,
        /// What it may be used for.
        access: Access,
    },
}

impl SendOp {
    /// True for what a response completes and `max_rd_atomic` limits: READ, atomics, ATOMIC WRITE and FLUSH.
    pub const fn wants_response(&self) -> bool {
        self.fetches() || self.is_placement()
    }

    /// True for READ and atomics, which fetch data.
    pub const fn fetches(&self) -> bool {
        matches!(self, SendOp::Read(_) | SendOp::CompareSwap { .. } | SendOp::FetchAdd { .. })
    }

    /// True for ATOMIC WRITE and FLUSH.
    pub const fn is_placement(&self) -> bool {
        matches!(self, SendOp::AtomicWrite(_) | SendOp::Flush { .. })
    }

    /// True for what is done on this side alone, without a packet.
    pub const fn is_local(&self) -> bool {
        matches!(self, SendOp::BindMw(_) | SendOp::LocalInv(_) | SendOp::RegMr { .. })
    }

    /// True for what uses up a receive of the peer's.
    pub const fn consumes_receive(&self) -> bool {
        matches!(self, SendOp::Send | SendOp::SendImm(_) | SendOp::SendInv(_) | SendOp::WriteImm(..))
    }

    /// True for a request whose local side, of `len` bytes, cannot be right.
    pub(crate) const fn has_wrong_length(&self, len: u64) -> bool {
        (self.is_atomic() && len < 8) || (matches!(self, SendOp::AtomicWrite(_)) && len != 8)
    }

    /// True for the two atomics.
    pub const fn is_atomic(&self) -> bool {
        matches!(self, SendOp::CompareSwap { .. } | SendOp::FetchAdd { .. })
    }

    /// What packet `index` of `count` of this message does.
    pub(crate) fn packet_operation(&self, index: u32, count: u32) -> Operation {
        let (first, last) = (index == 0, index + 1 == count);
        let pick = |first_op, middle, last_op, only| match (first, last) {
            (true, true) => only,
            (true, false) => first_op,
            (false, false) => middle,
            (false, true) => last_op,
        };
        use Operation as Op;
        match self {
            SendOp::Send => pick(Op::SendFirst, Op::SendMiddle, Op::SendLast, Op::SendOnly),
            SendOp::SendImm(_) => pick(Op::SendFirst, Op::SendMiddle, Op::SendLastImm, Op::SendOnlyImm),
            SendOp::SendInv(_) => pick(Op::SendFirst, Op::SendMiddle, Op::SendLastInv, Op::SendOnlyInv),
            SendOp::Write(_) => pick(Op::WriteFirst, Op::WriteMiddle, Op::WriteLast, Op::WriteOnly),
            SendOp::WriteImm(..) => pick(Op::WriteFirst, Op::WriteMiddle, Op::WriteLastImm, Op::WriteOnlyImm),
            SendOp::Read(_) => Op::ReadRequest,
            SendOp::CompareSwap { .. } => Op::CompareSwap,
            SendOp::FetchAdd { .. } => Op::FetchAdd,
            SendOp::AtomicWrite(_) => Op::AtomicWrite,
            SendOp::Flush { .. } => Op::Flush,
            SendOp::BindMw(_) | SendOp::LocalInv(_) | SendOp::RegMr { .. } => {
                unreachable!("local requests have no packets")
            }
        }
    }

    /// What the completion of such a request says it was.
    pub const fn completion(&self) -> WcOpcode {
        match self {
            SendOp::Send | SendOp::SendImm(_) | SendOp::SendInv(_) => WcOpcode::Send,
            SendOp::Write(_) | SendOp::WriteImm(..) => WcOpcode::RdmaWrite,
            SendOp::Read(_) => WcOpcode::RdmaRead,
            SendOp::CompareSwap { .. } => WcOpcode::CompSwap,
            SendOp::FetchAdd { .. } => WcOpcode::FetchAdd,
            SendOp::AtomicWrite(_) => WcOpcode::AtomicWrite,
            SendOp::Flush { .. } => WcOpcode::Flush,
            SendOp::BindMw(_) => WcOpcode::BindMw,
            SendOp::LocalInv(_) => WcOpcode::LocalInv,
            SendOp::RegMr { .. } => WcOpcode::RegMr,
        }
    }
}

bitflags::bitflags! {
    /// Options of a send work request; values of `enum ibv_send_flags`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct SendFlags: u32 {
        /// Do not start before all earlier READs and atomics of this queue have completed.
        const FENCE = 1;
        /// Give a completion. Failed and flushed requests give one regardless.
        const SIGNALED = 1 << 1;
        /// Wake the peer if it waits for solicited completions only.
        const SOLICITED = 1 << 2;
    }
}

/// The local side of a send work request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Where the data lies (or, for READ and atomics, goes to).
    Sges(&'a [Sge]),
    /// The data itself, copied when it is posted (`IBV_SEND_INLINE`). Not for READ and atomics.
    Inline(&'a [u8]),
}

/// Whom a send work request is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum To {
    /// The peer that the queue pair is connected to.
    #[default]
    Peer,
    /// A queue pair that takes datagrams, for a queue pair that sends them.
    Datagram {
        /// The way there. It is looked at when the request is posted, and may be destroyed after that.
        ah: Ah,
        /// The queue pair, or [`Qpn::MULTICAST`] for all that are attached to the group that `ah` names.
        qpn: Qpn,
        /// The key that it demands. One with the highest bit set stands for the sending queue pair's own
        /// (IBTA 10.2.5), where the personality has it so.
        qkey: u32,
    },
    /// The shared receive queue with this number at the peer, for an extended reliable connection.
    Srq(u32),
}

/// A work request for a send queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendWr<'a> {
    /// The caller's own number, given back in the completion.
    pub wr_id: u64,
    /// What to do.
    pub op: SendOp,
    /// With which local memory.
    pub payload: Payload<'a>,
    /// How.
    pub flags: SendFlags,
    /// For whom.
    pub to: To,
}

impl<'a> SendWr<'a> {
    /// A request for the connected peer, without flags.
    pub const fn new(wr_id: u64, op: SendOp, payload: Payload<'a>) -> SendWr<'a> {
        SendWr { wr_id, op, payload, flags: SendFlags::empty(), to: To::Peer }
    }
}

/// A work request for a receive queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvWr<'a> {
    /// The caller's own number, given back in the completion.
    pub wr_id: u64,
    /// Where the data goes.
    pub sges: &'a [Sge],
}

/// How a work request ended; values of `enum ibv_wc_status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u32)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum WcStatus {
    /// As asked.
    #[default]
    Success = 0,
    /// The message does not fit: longer than the receive buffer, or than any message may be.
    LocLenErr = 1,
    /// The request cannot be carried out by this kind of queue pair.
    LocQpOpErr = 2,
    /// A scatter/gather entry names memory that its key does not open.
    LocProtErr = 4,
    /// Not carried out, because the queue pair is in the error state.
    WrFlushErr = 5,
    /// A memory window could not be bound, or memory not be registered by a work request.
    MwBindErr = 6,
    /// A response that does not belong to the request it answers.
    BadRespErr = 7,
    /// The peer's WRITE with immediate data failed here.
    LocAccessErr = 8,
    /// The peer calls the request invalid (NAK 0x61).
    RemInvReqErr = 9,
    /// The peer's memory does not allow the access (NAK 0x62).
    RemAccessErr = 10,
    /// The peer could not carry the request out (NAK 0x63).
    RemOpErr = 11,
    /// The peer did not answer, as often as `retry_cnt` allows.
    RetryExcErr = 12,
    /// The peer had no receive posted, as often as `rnr_retry` allows.
    RnrRetryExcErr = 13,
}

/// What a completed work request was; values of `enum ibv_wc_opcode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u32)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum WcOpcode {
    /// Any kind of SEND.
    #[default]
    Send = 0,
    /// WRITE, with or without immediate data.
    RdmaWrite = 1,
    /// READ.
    RdmaRead = 2,
    /// Compare and swap.
    CompSwap = 3,
    /// Fetch and add.
    FetchAdd = 4,
    /// Binding a memory window.
    BindMw = 5,
    /// Taking a memory window, or registered memory, out of use.
    LocalInv = 6,
    /// Waiting for what was written.
    Flush = 8,
    /// Writing 8 bytes at once.
    AtomicWrite = 9,
    /// Registering memory by a work request; libibverbs has no name for it, Linux calls it `IB_WC_REG_MR`.
    RegMr = 10,
    /// A SEND of the peer's arrived.
    Recv = 128,
    /// A WRITE with immediate data of the peer's arrived.
    RecvRdmaWithImm = 129,
}

/// A work completion. When `status` is not success only `wr_id`, `status`, `qpn` and `vendor_err` mean anything.
///
/// It has all that `struct ibv_wc` has, except what names LIDs, which Ethernet has none of: `slid` and
/// `dlid_path_bits` are always 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Wc {
    /// Of the work request.
    pub wr_id: u64,
    /// How it ended.
    pub status: WcStatus,
    /// What it was.
    pub opcode: WcOpcode,
    /// Bytes moved: of the message; 8 for atomics. For a received datagram the 40 bytes of header count too.
    pub byte_len: u32,
    /// Immediate data of the peer's.
    pub imm: Option<ImmDt>,
    /// The key that the peer took out of use here.
    pub invalidated: Option<u32>,
    /// The queue pair, on this side.
    pub qpn: u32,
    /// For a received datagram the queue pair that sent it; otherwise 0.
    pub src_qp: u32,
    /// The receive buffer begins with 40 bytes of network header (`IBV_WC_GRH`), as it does for datagrams.
    pub grh: bool,
    /// For a received datagram the index of its partition key.
    pub pkey_index: u16,
    /// Ethernet has no service levels. Of a received datagram its kind stands here: 1 for IPv6, 2 for IPv4. The IBTA
    /// (A17.4.5.1) wants it told and does not say where; ConnectX does so here, and UCX looks here.
    pub sl: u8,
    /// More about a failure: 0, or the AETH syndrome byte that the peer answered.
    pub vendor_err: u32,
    /// When it was added to the queue, on the device's clock (`ibv_wc_read_completion_ts`).
    pub timestamp: Time,
}

/// A send work request in its queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendWqe {
    pub wr_id: u64,
    pub op: SendOp,
    pub flags: SendFlags,
    /// Bytes of the message. More than a message may have is found out when its turn comes.
    pub len: u64,
    /// The data was copied at posting.
    pub inline: bool,
    /// Number of the shared receive queue that it is for, on an extended reliable connection.
    pub srqn: u32,
    /// It has its PSNs, or was executed if it is local.
    pub started: bool,
    /// Its first PSN and number of PSNs. Local requests have none, and stand before `first`.
    pub first: Psn,
    pub psns: u32,
}

impl SendWqe {
    pub(crate) fn last(&self) -> Psn {
        self.first + (self.psns - 1)
    }

    /// It was started, and all of it comes before `psn`.
    pub(crate) fn is_before(&self, psn: Psn) -> bool {
        self.started && !(self.first + self.psns).is_after(psn)
    }

    pub(crate) fn is_read(&self) -> bool {
        matches!(self.op, SendOp::Read(_))
    }

    /// PSNs that the packet at index `index` uses up, when a READ is asked for in chunks of `chunk` PSNs.
    pub(crate) fn psns_at(&self, index: u32, chunk: u32) -> u32 {
        if self.is_read() { (index / chunk + 1).saturating_mul(chunk).min(self.psns) - index } else { 1 }
    }

    /// Request packets of a READ or atomic that cover its PSNs from index `from` up to `to`, when a READ is
    /// asked for in chunks of `chunk` PSNs.
    pub(crate) fn requests_between(&self, from: u32, to: u32, chunk: u32) -> u32 {
        if to > from { to.div_ceil(chunk) - from / chunk } else { 0 }
    }
}

/// A receive work request in its queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecvWqe {
    pub wr_id: u64,
}

/// A bounded queue of requests with their scatter/gather lists and inline data, which lie in flat arrays that
/// are allocated at the first post and never again.
///
/// Requests are named by a sequence number that counts up over the life of the queue.
#[derive(Clone, Debug)]
pub(crate) struct WorkQueue<W> {
    depth: u32,
    max_sge: u32,
    max_inline: u32,
    entries: VecDeque<(W, u32)>,
    /// Sequence number of the oldest entry.
    front: u64,
    sges: Vec<Sge>,
    inline: Vec<u8>,
}

impl<W> WorkQueue<W> {
    pub(crate) fn new(depth: u32, max_sge: u32, max_inline: u32) -> WorkQueue<W> {
        let (sges, inline) = (Vec::new(), Vec::new());
        WorkQueue { depth, max_sge, max_inline, entries: VecDeque::new(), front: 0, sges, inline }
    }

    pub(crate) fn depth(&self) -> u32 {
        self.depth
    }

    pub(crate) fn max_sge(&self) -> u32 {
        self.max_sge
    }

    pub(crate) fn max_inline(&self) -> u32 {
        self.max_inline
    }

    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= self.depth as usize
    }

    pub(crate) fn len(&self) -> u32 {
        self.entries.len() as u32
    }

    /// Changes the depth to one that all entries fit into, none of which may have inline data.
    pub(crate) fn resize(&mut self, depth: u32) {
        let mut queue = WorkQueue::new(depth, self.max_sge, self.max_inline);
        queue.front = self.front;
        for seq in self.front()..self.end() {
            let sges = self.sges(seq).to_vec();
            if let Some(entry) = self.pop() {
                queue.push(entry, Payload::Sges(&sges));
            }
        }
        *self = queue;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sequence number of the oldest entry (or of the next to come).
    pub(crate) fn front(&self) -> u64 {
        self.front
    }

    /// Sequence number of the next entry to come.
    pub(crate) fn end(&self) -> u64 {
        self.front + self.entries.len() as u64
    }

    /// Adds an entry. The caller has checked that there is room and that the payload fits.
    pub(crate) fn push(&mut self, entry: W, payload: Payload<'_>) {
        debug_assert!(!self.is_full());
        let slot = (self.end() % u64::from(self.depth)) as usize;
        let used = match payload {
            Payload::Sges(list) => {
                self.sges.resize((self.depth * self.max_sge) as usize, Sge::default());
                let start = slot * self.max_sge as usize;
                self.sges[start..start + list.len()].copy_from_slice(list);
                list.len()
            }
            Payload::Inline(data) => {
                self.inline.resize((self.depth * self.max_inline) as usize, 0);
                let start = slot * self.max_inline as usize;
                self.inline[start..start + data.len()].copy_from_slice(data);
                data.len()
            }
        };
        if self.entries.capacity() == 0 {
            self.entries.reserve_exact(self.depth as usize);
        }
        self.entries.push_back((entry, used as u32));
    }

    pub(crate) fn get(&self, seq: u64) -> Option<&W> {
        self.entries.get(seq.checked_sub(self.front)? as usize).map(|entry| &entry.0)
    }

    pub(crate) fn get_mut(&mut self, seq: u64) -> Option<&mut W> {
        self.entries.get_mut(seq.checked_sub(self.front)? as usize).map(|entry| &mut entry.0)
    }

    /// The scatter/gather list of entry `seq`, which must be in the queue.
    pub(crate) fn sges(&self, seq: u64) -> &[Sge] {
        let (_, used) = &self.entries[(seq - self.front) as usize];
        let start = (seq % u64::from(self.depth)) as usize * self.max_sge as usize;
        &self.sges[start..start + *used as usize]
    }

    /// The inline data of entry `seq`, which must be in the queue.
    pub(crate) fn inline(&self, seq: u64) -> &[u8] {
        let (_, used) = &self.entries[(seq - self.front) as usize];
        let start = (seq % u64::from(self.depth)) as usize * self.max_inline as usize;
        &self.inline[start..start + *used as usize]
    }

    pub(crate) fn pop(&mut self) -> Option<W> {
        let (entry, _) = self.entries.pop_front()?;
        self.front += 1;
        Some(entry)
    }

    /// Forgets all entries, as a reset does.
    pub(crate) fn clear(&mut self) {
        self.front = self.end();
        self.entries.clear();
    }

    /// Entries, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &W> {
        self.entries.iter().map(|entry| &entry.0)
    }

    /// The first sequence number whose entry does not satisfy `before`; entries that do come first.
    pub(crate) fn partition_point(&self, before: impl Fn(&W) -> bool) -> u64 {
        self.front + self.entries.partition_point(|entry| before(&entry.0)) as u64
    }
}

impl WorkQueue<RecvWqe> {
    /// Receives, oldest first: their numbers, and the bytes that they have room for.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (u64, u64)> {
        let room = |seq| self.sges(seq).iter().map(|sge| u64::from(sge.len)).sum();
        (self.front()..self.end()).zip(self.iter()).map(move |(seq, wqe)| (wqe.wr_id, room(seq)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_survive_wrapping_around() {
        let mut queue: WorkQueue<RecvWqe> = WorkQueue::new(3, 2, 0);
        let sge = |n: u64| Sge { addr: n, len: 1, lkey: 9 };
        for n in 0..10u64 {
            queue.push(RecvWqe { wr_id: n }, Payload::Sges(&[sge(n), sge(n + 100)][..1 + (n as usize % 2)]));
            assert_eq!(queue.end(), n + 1);
            assert_eq!(queue.sges(n).len(), 1 + (n as usize % 2));
            assert_eq!(queue.sges(n)[0], sge(n));
            if n >= 2 {
                assert_eq!(queue.pop().unwrap().wr_id, n - 2);
            }
        }
        queue.clear();
        assert!(queue.is_empty());
        assert_eq!(queue.front(), 10);
    }

    #[test]
    fn operations_follow_position() {
        let operation = |op: SendOp, index, count| op.packet_operation(index, count);
        assert_eq!(operation(SendOp::Send, 0, 1), Operation::SendOnly);
        assert_eq!(operation(SendOp::SendInv(3), 0, 2), Operation::SendFirst);
        assert_eq!(operation(SendOp::SendInv(3), 1, 2), Operation::SendLastInv);
        let write = SendOp::WriteImm(Remote::default(), ImmDt([0; 4]));
        assert_eq!(operation(write, 1, 3), Operation::WriteMiddle);
        assert_eq!(operation(write, 2, 3), Operation::WriteLastImm);
    }
}
