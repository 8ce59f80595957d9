//! Work requests, from C's linked lists to the engine's slices.

use std::ffi::{c_int, c_uint};
use std::ops::Range;

use ferroce_engine::{
    ImmDt, Payload, PostError, QpType, Qpn, RecvWr, Remote, SendFlags, SendOp, SendWr, Sge, To,
};

use super::ah::ah;
use super::mw;
use super::qp::qp;
use crate::abi;
use crate::border::{Errno, INVALID, UNSUPPORTED, status};

/// Requests that go to the engine in one call.
const BATCH: usize = 16;

/// Scatter/gather entries of those.
const BATCH_SGES: usize = 64;

/// The flags that mean something to the engine.
pub(crate) fn send_flags(flags: c_uint) -> SendFlags {
    SendFlags::from_bits_truncate(flags)
}

/// `IBV_SEND_INLINE`.
pub(crate) const INLINE: c_uint = 1 << 3;

/// `enum ibv_wr_opcode`.
pub(crate) mod opcode {
    pub(crate) const RDMA_WRITE: u32 = 0;
    pub(crate) const RDMA_WRITE_WITH_IMM: u32 = 1;
    pub(crate) const SEND: u32 = 2;
    pub(crate) const SEND_WITH_IMM: u32 = 3;
    pub(crate) const RDMA_READ: u32 = 4;
    pub(crate) const ATOMIC_CMP_AND_SWP: u32 = 5;
    pub(crate) const ATOMIC_FETCH_AND_ADD: u32 = 6;
    pub(crate) const LOCAL_INV: u32 = 7;
    pub(crate) const BIND_MW: u32 = 8;
    pub(crate) const SEND_WITH_INV: u32 = 9;
    pub(crate) const ATOMIC_WRITE: u32 = 15;
}

/// Immediate data, which C programs keep as they travel.
pub(crate) fn immediate(word: u32) -> ImmDt {
    ImmDt(word.to_ne_bytes())
}

unsafe fn operation(wr: &abi::SendWr) -> Result<SendOp, Errno> {
    let (rdma, atomic) = (wr.wr.rdma, wr.wr.atomic);
    let remote = Remote { addr: rdma.remote_addr, rkey: rdma.rkey };
    let word = Remote { addr: atomic.remote_addr, rkey: atomic.rkey };
    Ok(match wr.opcode {
        opcode::RDMA_WRITE => SendOp::Write(remote),
        opcode::RDMA_WRITE_WITH_IMM => SendOp::WriteImm(remote, immediate(wr.imm_data)),
        opcode::SEND => SendOp::Send,
        opcode::SEND_WITH_IMM => SendOp::SendImm(immediate(wr.imm_data)),
        opcode::RDMA_READ => SendOp::Read(remote),
        opcode::ATOMIC_CMP_AND_SWP => {
            SendOp::CompareSwap { remote: word, compare: atomic.compare_add, swap: atomic.swap }
        }
        opcode::ATOMIC_FETCH_AND_ADD => SendOp::FetchAdd { remote: word, add: atomic.compare_add },
        opcode::LOCAL_INV => SendOp::LocalInv(wr.imm_data),
        opcode::BIND_MW => SendOp::BindMw(mw::bind(wr.bind_mw.mw, wr.bind_mw.rkey, &wr.bind_mw.bind_info)?),
        opcode::ATOMIC_WRITE => SendOp::AtomicWrite(remote),
        opcode::SEND_WITH_INV => SendOp::SendInv(wr.imm_data),
        _ => return Err(UNSUPPORTED),
    })
}

/// Whom a request is for: for datagrams it says so itself.
unsafe fn destination(qp_type: QpType, wr: &abi::SendWr) -> Result<To, Errno> {
    match qp_type {
        QpType::Ud => {
            let ud = wr.wr.ud;
            Ok(To::Datagram { ah: ah(ud.ah)?, qpn: Qpn::new(ud.remote_qpn), qkey: ud.remote_qkey })
        }
        QpType::XrcInitiator => Ok(To::Srq(wr.xrc_remote_srqn)),
        _ => Ok(To::Peer),
    }
}

/// A C list of scatter/gather entries.
unsafe fn list<'a>(start: *const abi::Sge, count: c_int) -> Result<&'a [abi::Sge], Errno> {
    match usize::try_from(count) {
        Ok(0) => Ok(&[]),
        Ok(count) if count <= BATCH_SGES && !start.is_null() => Ok(std::slice::from_raw_parts(start, count)),
        _ => Err(INVALID),
    }
}

/// Scatter/gather entries of the requests of a batch.
struct Sges {
    room: [Sge; BATCH_SGES],
    used: usize,
}

impl Sges {
    fn new() -> Sges {
        Sges { room: [Sge::default(); BATCH_SGES], used: 0 }
    }

    /// Copies a list in, and tells where it is now; `None` when it does not fit any more.
    fn add(&mut self, list: &[abi::Sge]) -> Option<Range<usize>> {
        let at = self.used..self.used + list.len();
        for (to, from) in self.room.get_mut(at.clone())?.iter_mut().zip(list) {
            *to = Sge { addr: from.addr, len: from.length, lkey: from.lkey };
        }
        self.used = at.end;
        Some(at)
    }
}

/// Where the data of a request of a batch are.
#[derive(Clone, Default)]
enum Data {
    #[default]
    Nowhere,
    Sges(Range<usize>),
    Inline(*const u8, usize),
    /// Gathered from several places.
    Gathered(Vec<u8>),
}

/// What is to be sent at once, from a list of C.
unsafe fn inline_data(list: &[abi::Sge]) -> Data {
    if let [one] = list {
        return Data::Inline(one.addr as *const u8, one.length as usize);
    }
    let mut bytes = Vec::new();
    for sge in list.iter().filter(|sge| sge.length > 0) {
        bytes.extend_from_slice(std::slice::from_raw_parts(sge.addr as *const u8, sge.length as usize));
    }
    Data::Gathered(bytes)
}

/// Part of a C list of send requests.
struct SendBatch {
    ops: [Option<(SendOp, To, Data)>; BATCH],
    from: [*mut abi::SendWr; BATCH],
    used: usize,
    sges: Sges,
}

impl SendBatch {
    /// The requests from `head` on, as many as fit; the first that does not fit, or NULL; and why that one cannot be
    /// posted, if so.
    unsafe fn fill(
        &mut self,
        qp_type: QpType,
        mut head: *mut abi::SendWr,
    ) -> (*mut abi::SendWr, Result<(), Errno>) {
        (self.used, self.sges.used) = (0, 0);
        while let Some(wr) = head.as_ref()
            && self.used < BATCH
        {
            let (op, list) = match (operation(wr), list(wr.sg_list, wr.num_sge)) {
                (Ok(op), Ok(list)) => (op, list),
                (Err(errno), _) | (_, Err(errno)) => return (head, Err(errno)),
            };
            let to = match destination(qp_type, wr) {
                Ok(to) => to,
                Err(errno) => return (head, Err(errno)),
            };
            let data = if op.is_local() {
                Data::Nowhere
            } else if wr.send_flags & INLINE != 0 {
                inline_data(list)
            } else if let Some(at) = self.sges.add(list) {
                Data::Sges(at)
            } else {
                break;
            };
            self.ops[self.used] = Some((op, to, data));
            self.from[self.used] = head;
            self.used += 1;
            head = wr.next;
        }
        (head, Ok(()))
    }

    unsafe fn post(&self, body: &super::qp::Qp) -> Result<(), PostError> {
        let idle = SendWr::new(0, SendOp::Send, Payload::Sges(&[]));
        let mut wrs = [idle; BATCH];
        for (at, to) in wrs[..self.used].iter_mut().enumerate() {
            let (wr, Some((op, to_whom, data))) = (&*self.from[at], &self.ops[at]) else { continue };
            let payload = match data {
                Data::Nowhere => Payload::Sges(&[]),
                Data::Sges(at) => Payload::Sges(&self.sges.room[at.clone()]),
                Data::Inline(_, 0) => Payload::Inline(&[]),
                // SAFETY: the program says that its data are there, and waits until this returns.
                Data::Inline(start, len) => Payload::Inline(std::slice::from_raw_parts(*start, *len)),
                Data::Gathered(bytes) => Payload::Inline(bytes),
            };
            *to = SendWr {
                flags: send_flags(wr.send_flags),
                to: *to_whom,
                ..SendWr::new(wr.wr_id, *op, payload)
            };
        }
        body.engine.nic().post_send(body.qpn, &wrs[..self.used])
    }
}

unsafe fn post_send_list(
    of: *mut abi::Qp,
    mut head: *mut abi::SendWr,
    bad: &mut *mut abi::SendWr,
) -> Result<(), Errno> {
    *bad = head;
    let body = qp(of)?;
    let mut batch = SendBatch {
        ops: Default::default(),
        from: [std::ptr::null_mut(); BATCH],
        used: 0,
        sges: Sges::new(),
    };
    while !head.is_null() {
        let (rest, result) = batch.fill(body.qp_type, head);
        if batch.used > 0 {
            batch.post(body).inspect_err(|error| *bad = batch.from[error.index.min(batch.used - 1)])?;
        }
        (*bad, head) = (rest, rest);
        result?;
    }
    Ok(())
}

/// `ibv_post_send`.
pub(crate) unsafe extern "C" fn post_send(
    of: *mut abi::Qp,
    head: *mut abi::SendWr,
    bad: *mut *mut abi::SendWr,
) -> c_int {
    let mut first_bad = head;
    let result = post_send_list(of, head, &mut first_bad);
    if result.is_err() && !bad.is_null() {
        *bad = first_bad;
    }
    status(result)
}

/// Gives a C list of receive requests to `post`, in parts. On failure `bad` is the first that was not posted.
///
/// # Safety
///
/// `head` is a list as `ibv_post_recv` takes it.
pub(crate) unsafe fn post_recv_list(
    mut head: *mut abi::RecvWr,
    bad: *mut *mut abi::RecvWr,
    post: impl Fn(&[RecvWr<'_>]) -> Result<(), PostError>,
) -> Result<(), Errno> {
    let fail = |at: *mut abi::RecvWr, errno: Errno| {
        if !bad.is_null() {
            *bad = at;
        }
        Err(errno)
    };
    while !head.is_null() {
        let mut sges = Sges::new();
        let mut ranges: [(u64, Range<usize>, *mut abi::RecvWr); BATCH] =
            std::array::from_fn(|_| (0, 0..0, std::ptr::null_mut()));
        let (mut used, mut wrong) = (0, None);
        while let Some(wr) = head.as_ref()
            && used < BATCH
        {
            let list = match list(wr.sg_list, wr.num_sge) {
                Ok(list) => list,
                Err(errno) => {
                    wrong = Some(errno);
                    break;
                }
            };
            let Some(at) = sges.add(list) else { break };
            ranges[used] = (wr.wr_id, at, head);
            used += 1;
            head = wr.next;
        }
        let wrs: [RecvWr<'_>; BATCH] = std::array::from_fn(|at| {
            let (wr_id, range, _) = &ranges[at];
            RecvWr { wr_id: *wr_id, sges: &sges.room[range.clone()] }
        });
        if let Err(error) = post(&wrs[..used]) {
            return fail(ranges[error.index.min(BATCH - 1)].2, error.into());
        }
        if let Some(errno) = wrong {
            return fail(head, errno);
        }
    }
    Ok(())
}

/// `ibv_post_recv`.
pub(crate) unsafe extern "C" fn post_recv(
    of: *mut abi::Qp,
    head: *mut abi::RecvWr,
    bad: *mut *mut abi::RecvWr,
) -> c_int {
    status(
        qp(of).and_then(|body| post_recv_list(head, bad, |wrs| body.engine.nic().post_recv(body.qpn, wrs))),
    )
}
