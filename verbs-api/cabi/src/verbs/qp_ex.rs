//! `struct ibv_qp_ex`: work requests built by calls between `ibv_wr_start` and `ibv_wr_complete`.

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::ops::Range;

use ferroce_engine::{Access, Payload, QpType, Qpn, Remote, SendFlags, SendOp, SendWr, Sge, To};
use parking_lot::RawMutex;
use parking_lot::lock_api::RawMutex as _;

use super::ah::ah;
use super::mw;
use super::post::{immediate, send_flags};
use super::qp::{Qp, qp};
use crate::abi;
use crate::border::{Errno, INVALID, UNSUPPORTED, status};

/// The builder of a queue pair.
pub(crate) struct Builder {
    /// `enum ibv_qp_create_send_ops_flags` that it was made with; `None` if it is not to be used.
    offered: Option<u64>,
    /// Held from `ibv_wr_start` on, so that threads that share a queue pair take turns.
    lock: RawMutex,
    draft: UnsafeCell<Draft>,
}

// SAFETY: the draft is touched only by the holder of `lock`; see `draft`.
unsafe impl Sync for Builder {}

/// Requests that are not posted yet.
#[derive(Default)]
struct Draft {
    requests: Vec<Request>,
    sges: Vec<Sge>,
    inline: Vec<u8>,
    /// The first thing that was wrong with any of them.
    fault: Option<Errno>,
}

struct Request {
    wr_id: u64,
    op: SendOp,
    flags: SendFlags,
    to: To,
    data: Data,
}

enum Data {
    Sges(Range<usize>),
    Inline(Range<usize>),
}

/// `enum ibv_qp_create_send_ops_flags`.
mod op {
    pub(super) const RDMA_WRITE: u64 = 1;
    pub(super) const RDMA_WRITE_WITH_IMM: u64 = 1 << 1;
    pub(super) const SEND: u64 = 1 << 2;
    pub(super) const SEND_WITH_IMM: u64 = 1 << 3;
    pub(super) const RDMA_READ: u64 = 1 << 4;
    pub(super) const ATOMIC_CMP_AND_SWP: u64 = 1 << 5;
    pub(super) const ATOMIC_FETCH_AND_ADD: u64 = 1 << 6;
    pub(super) const LOCAL_INV: u64 = 1 << 7;
    pub(super) const BIND_MW: u64 = 1 << 8;
    pub(super) const SEND_WITH_INV: u64 = 1 << 9;
    pub(super) const FLUSH: u64 = 1 << 11;
    pub(super) const ATOMIC_WRITE: u64 = 1 << 12;
}

/// What a type of queue pair can do; `placement`: on a NIC that knows ATOMIC WRITE and FLUSH.
fn possible(qp_type: QpType, placement: bool) -> u64 {
    let datagrams = op::SEND | op::SEND_WITH_IMM;
    let unreliable = datagrams | op::RDMA_WRITE | op::RDMA_WRITE_WITH_IMM | op::LOCAL_INV | op::BIND_MW;
    let reliable =
        unreliable | op::RDMA_READ | op::ATOMIC_CMP_AND_SWP | op::ATOMIC_FETCH_AND_ADD | op::SEND_WITH_INV;
    match qp_type {
        QpType::Rc if placement => reliable | op::ATOMIC_WRITE | op::FLUSH,
        QpType::Rc | QpType::XrcInitiator => reliable,
        QpType::Uc => unreliable,
        QpType::Ud => datagrams,
        QpType::XrcTarget => 0,
    }
}

impl Builder {
    /// For a queue pair that is to offer these operations; `placement`: on a NIC that knows ATOMIC WRITE and FLUSH.
    ///
    /// # Errors
    /// EOPNOTSUPP when its type does not have one of them.
    pub(crate) fn new(qp_type: QpType, placement: bool, offered: Option<u64>) -> Result<Builder, Errno> {
        if offered.unwrap_or(0) & !possible(qp_type, placement) != 0 {
            return Err(UNSUPPORTED);
        }
        Ok(Builder { offered, lock: RawMutex::INIT, draft: UnsafeCell::default() })
    }

    /// Whether `ibv_qp_to_qp_ex` may give it out.
    pub(crate) fn is_offered(&self) -> bool {
        self.offered.is_some()
    }
}

/// Puts the functions into their places.
pub(crate) fn fill(c: &mut abi::QpEx) {
    c.wr_start = Some(start);
    c.wr_complete = Some(complete);
    c.wr_abort = Some(abort);
    c.wr_atomic_cmp_swp = Some(atomic_cmp_swp);
    c.wr_atomic_fetch_add = Some(atomic_fetch_add);
    c.wr_bind_mw = Some(bind_mw);
    c.wr_local_inv = Some(local_inv);
    c.wr_rdma_read = Some(rdma_read);
    c.wr_rdma_write = Some(rdma_write);
    c.wr_rdma_write_imm = Some(rdma_write_imm);
    c.wr_send = Some(send);
    c.wr_send_imm = Some(send_imm);
    c.wr_send_inv = Some(send_inv);
    c.wr_atomic_write = Some(atomic_write);
    c.wr_flush = Some(flush);
    c.wr_set_ud_addr = Some(set_ud_addr);
    c.wr_set_xrc_srqn = Some(set_xrc_srqn);
    c.wr_set_inline_data = Some(set_inline_data);
    c.wr_set_inline_data_list = Some(set_inline_data_list);
    c.wr_set_sge = Some(set_sge);
    c.wr_set_sge_list = Some(set_sge_list);
}

/// The queue pair and its draft. Only for callers between `ibv_wr_start` and `ibv_wr_complete`; a program that calls
/// outside of that has no draft.
unsafe fn draft<'a>(pointer: *mut abi::QpEx) -> Option<(&'a Qp, &'a mut Draft)> {
    let body = qp(pointer.cast()).ok()?;
    if !body.builder.lock.is_locked() {
        return None;
    }
    Some((body, &mut *body.builder.draft.get()))
}

unsafe extern "C" fn start(pointer: *mut abi::QpEx) {
    if let Ok(body) = qp(pointer.cast()) {
        body.builder.lock.lock();
        let draft = &mut *body.builder.draft.get();
        draft.clear();
    }
}

unsafe extern "C" fn complete(pointer: *mut abi::QpEx) -> c_int {
    let Some((body, draft)) = draft(pointer) else { return status(Err(INVALID)) };
    let result = match draft.fault {
        Some(errno) => Err(errno),
        None => draft.post(body),
    };
    body.builder.lock.unlock();
    status(result)
}

unsafe extern "C" fn abort(pointer: *mut abi::QpEx) {
    if let Some((body, _)) = draft(pointer) {
        body.builder.lock.unlock();
    }
}

impl Draft {
    fn clear(&mut self) {
        self.requests.clear();
        self.sges.clear();
        self.inline.clear();
        self.fault = None;
    }

    /// All of them or none.
    fn post(&self, body: &Qp) -> Result<(), Errno> {
        let wrs: Vec<SendWr<'_>> = self
            .requests
            .iter()
            .map(|request| SendWr {
                wr_id: request.wr_id,
                op: request.op,
                payload: match &request.data {
                    Data::Sges(at) => Payload::Sges(&self.sges[at.clone()]),
                    Data::Inline(at) => Payload::Inline(&self.inline[at.clone()]),
                },
                flags: request.flags,
                to: request.to,
            })
            .collect();
        Ok(body.engine.nic().post_send_all(body.qpn, &wrs)?)
    }

    /// Gives the newest request its data.
    fn set(&mut self, data: Data) {
        match self.requests.last_mut() {
            Some(last) => last.data = data,
            None => self.fault = self.fault.or(Some(INVALID)),
        }
    }
}

/// Begins a request.
unsafe fn add(pointer: *mut abi::QpEx, kind: u64, op: Result<SendOp, Errno>) {
    let Some((body, draft)) = draft(pointer) else { return };
    let offered = body.builder.offered.unwrap_or(0) & kind != 0;
    match op {
        Ok(op) if offered => draft.requests.push(Request {
            wr_id: (*pointer).wr_id,
            op,
            flags: send_flags((*pointer).wr_flags),
            to: To::Peer,
            data: Data::Sges(0..0),
        }),
        Ok(_) => draft.fault = draft.fault.or(Some(INVALID)),
        Err(errno) => draft.fault = draft.fault.or(Some(errno)),
    }
}

unsafe extern "C" fn atomic_cmp_swp(pointer: *mut abi::QpEx, rkey: u32, addr: u64, compare: u64, swap: u64) {
    let remote = Remote { addr, rkey };
    add(pointer, op::ATOMIC_CMP_AND_SWP, Ok(SendOp::CompareSwap { remote, compare, swap }));
}

unsafe extern "C" fn atomic_fetch_add(pointer: *mut abi::QpEx, rkey: u32, addr: u64, add_value: u64) {
    let remote = Remote { addr, rkey };
    add(pointer, op::ATOMIC_FETCH_AND_ADD, Ok(SendOp::FetchAdd { remote, add: add_value }));
}

unsafe extern "C" fn bind_mw(
    pointer: *mut abi::QpEx,
    window: *mut abi::Mw,
    rkey: u32,
    info: *const abi::MwBindInfo,
) {
    let bind = info.as_ref().ok_or(INVALID).and_then(|info| mw::bind(window, rkey, info));
    add(pointer, op::BIND_MW, bind.map(SendOp::BindMw));
}

unsafe extern "C" fn local_inv(pointer: *mut abi::QpEx, rkey: u32) {
    add(pointer, op::LOCAL_INV, Ok(SendOp::LocalInv(rkey)));
}

unsafe extern "C" fn rdma_read(pointer: *mut abi::QpEx, rkey: u32, addr: u64) {
    add(pointer, op::RDMA_READ, Ok(SendOp::Read(Remote { addr, rkey })));
}

unsafe extern "C" fn rdma_write(pointer: *mut abi::QpEx, rkey: u32, addr: u64) {
    add(pointer, op::RDMA_WRITE, Ok(SendOp::Write(Remote { addr, rkey })));
}

unsafe extern "C" fn rdma_write_imm(pointer: *mut abi::QpEx, rkey: u32, addr: u64, imm: u32) {
    let write = SendOp::WriteImm(Remote { addr, rkey }, immediate(imm));
    add(pointer, op::RDMA_WRITE_WITH_IMM, Ok(write));
}

unsafe extern "C" fn send(pointer: *mut abi::QpEx) {
    add(pointer, op::SEND, Ok(SendOp::Send));
}

unsafe extern "C" fn send_imm(pointer: *mut abi::QpEx, imm: u32) {
    add(pointer, op::SEND_WITH_IMM, Ok(SendOp::SendImm(immediate(imm))));
}

unsafe extern "C" fn send_inv(pointer: *mut abi::QpEx, rkey: u32) {
    add(pointer, op::SEND_WITH_INV, Ok(SendOp::SendInv(rkey)));
}

/// Eight bytes, which are copied here and now.
unsafe extern "C" fn atomic_write(pointer: *mut abi::QpEx, rkey: u32, addr: u64, word: *const c_void) {
    add(pointer, op::ATOMIC_WRITE, Ok(SendOp::AtomicWrite(Remote { addr, rkey })));
    set_inline_data(pointer, word.cast_mut(), 8);
}

unsafe extern "C" fn flush(pointer: *mut abi::QpEx, rkey: u32, addr: u64, len: usize, kinds: u8, level: u8) {
    const KINDS: [(u8, Access); 2] = [(1, Access::FLUSH_GLOBAL), (1 << 1, Access::FLUSH_PERSISTENT)];
    const WHOLE_REGION: u8 = 1;
    let asked = KINDS.into_iter().filter(|(bit, _)| kinds & bit != 0).map(|(_, access)| access);
    let placement = asked.fold(Access::empty(), Access::union);
    let op = match u32::try_from(len) {
        Ok(len) if level <= WHOLE_REGION && !placement.is_empty() => Ok(SendOp::Flush {
            remote: Remote { addr, rkey },
            len,
            placement,
            whole_region: level == WHOLE_REGION,
        }),
        _ => Err(INVALID),
    };
    add(pointer, op::FLUSH, op);
}

unsafe extern "C" fn set_ud_addr(pointer: *mut abi::QpEx, way: *mut abi::Ah, qpn: u32, qkey: u32) {
    let Some((_, draft)) = draft(pointer) else { return };
    match (ah(way), draft.requests.last_mut()) {
        (Ok(ah), Some(last)) => last.to = To::Datagram { ah, qpn: Qpn::new(qpn), qkey },
        _ => draft.fault = draft.fault.or(Some(INVALID)),
    }
}

unsafe extern "C" fn set_xrc_srqn(pointer: *mut abi::QpEx, number: u32) {
    let Some((_, draft)) = draft(pointer) else { return };
    match draft.requests.last_mut() {
        Some(last) => last.to = To::Srq(number),
        None => draft.fault = draft.fault.or(Some(INVALID)),
    }
}

unsafe extern "C" fn set_sge(pointer: *mut abi::QpEx, lkey: u32, addr: u64, length: u32) {
    set_sge_list(pointer, 1, &abi::Sge { addr, length, lkey });
}

unsafe extern "C" fn set_sge_list(pointer: *mut abi::QpEx, count: usize, list: *const abi::Sge) {
    let Some((_, draft)) = draft(pointer) else { return };
    let start = draft.sges.len();
    if count > 0 {
        let list = std::slice::from_raw_parts(list, count);
        draft.sges.extend(list.iter().map(|sge| Sge { addr: sge.addr, len: sge.length, lkey: sge.lkey }));
    }
    draft.set(Data::Sges(start..draft.sges.len()));
}

unsafe extern "C" fn set_inline_data(pointer: *mut abi::QpEx, addr: *mut c_void, length: usize) {
    set_inline_data_list(pointer, 1, &abi::DataBuf { addr, length });
}

unsafe extern "C" fn set_inline_data_list(pointer: *mut abi::QpEx, count: usize, list: *const abi::DataBuf) {
    let Some((_, draft)) = draft(pointer) else { return };
    let start = draft.inline.len();
    for at in 0..count {
        let piece = *list.add(at);
        if piece.length > 0 {
            draft.inline.extend_from_slice(std::slice::from_raw_parts(piece.addr.cast::<u8>(), piece.length));
        }
    }
    draft.set(Data::Inline(start..draft.inline.len()));
}
