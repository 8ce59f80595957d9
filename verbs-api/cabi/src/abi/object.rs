//! The objects that verbs make.

use std::ffi::{c_int, c_uint, c_void};

use super::*;

/// `struct ibv_pd`.
#[repr(C)]
pub(crate) struct Pd {
    pub context: *mut Context,
    pub handle: u32,
}
layout!(Pd, 16, handle = 8);

/// `struct ibv_td`.
#[repr(C)]
pub(crate) struct Td {
    pub context: *mut Context,
}
layout!(Td, 8);

/// `struct ibv_xrcd`.
#[repr(C)]
pub(crate) struct Xrcd {
    pub context: *mut Context,
}
layout!(Xrcd, 8);

/// `struct ibv_mr`.
#[repr(C)]
pub(crate) struct Mr {
    pub context: *mut Context,
    pub pd: *mut Pd,
    pub addr: *mut c_void,
    pub length: usize,
    pub handle: u32,
    pub lkey: u32,
    pub rkey: u32,
}
layout!(Mr, 48, pd = 8, addr = 16, length = 24, handle = 32, lkey = 36, rkey = 40);

/// `struct ibv_mw`.
#[repr(C)]
pub(crate) struct Mw {
    pub context: *mut Context,
    pub pd: *mut Pd,
    pub rkey: u32,
    pub handle: u32,
    pub kind: c_int,
}
layout!(Mw, 32, rkey = 16, handle = 20, kind = 24);

/// `struct ibv_dm`.
#[repr(C)]
pub(crate) struct Dm {
    pub context: *mut Context,
    pub memcpy_to_dm: Option<unsafe extern "C" fn(*mut Dm, u64, *const c_void, usize) -> c_int>,
    pub memcpy_from_dm: Option<unsafe extern "C" fn(*mut c_void, *mut Dm, u64, usize) -> c_int>,
    pub comp_mask: u32,
    pub handle: u32,
}
layout!(Dm, 32, memcpy_to_dm = 8, memcpy_from_dm = 16, comp_mask = 24, handle = 28);

/// `struct ibv_ah`.
#[repr(C)]
pub(crate) struct Ah {
    pub context: *mut Context,
    pub pd: *mut Pd,
    pub handle: u32,
}
layout!(Ah, 24, pd = 8, handle = 16);

/// `struct ibv_comp_channel`.
#[repr(C)]
pub(crate) struct CompChannel {
    pub context: *mut Context,
    pub fd: c_int,
    pub refcnt: c_int,
}
layout!(CompChannel, 16, fd = 8, refcnt = 12);

/// `struct ibv_cq`.
#[repr(C)]
pub(crate) struct Cq {
    pub context: *mut Context,
    pub channel: *mut CompChannel,
    pub cq_context: *mut c_void,
    pub handle: u32,
    pub cqe: c_int,
    pub mutex: [u64; 5],
    pub cond: [u64; 6],
    pub comp_events_completed: u32,
    pub async_events_completed: u32,
}
layout!(Cq, 128, channel = 8, cq_context = 16, handle = 24, cqe = 28, comp_events_completed = 120);

/// `struct ibv_cq_ex`, which begins with an `ibv_cq`.
#[repr(C)]
pub(crate) struct CqEx {
    pub base: Cq,
    pub comp_mask: u32,
    pub status: c_uint,
    pub wr_id: u64,
    pub start_poll: Option<unsafe extern "C" fn(*mut CqEx, *mut PollCqAttr) -> c_int>,
    pub next_poll: Option<unsafe extern "C" fn(*mut CqEx) -> c_int>,
    pub end_poll: Option<unsafe extern "C" fn(*mut CqEx)>,
    pub read_opcode: Option<unsafe extern "C" fn(*mut CqEx) -> c_uint>,
    pub read_vendor_err: Option<unsafe extern "C" fn(*mut CqEx) -> u32>,
    pub read_byte_len: Option<unsafe extern "C" fn(*mut CqEx) -> u32>,
    pub read_imm_data: Option<unsafe extern "C" fn(*mut CqEx) -> u32>,
    pub read_qp_num: Option<unsafe extern "C" fn(*mut CqEx) -> u32>,
    pub read_src_qp: Option<unsafe extern "C" fn(*mut CqEx) -> u32>,
    pub read_wc_flags: Option<unsafe extern "C" fn(*mut CqEx) -> c_uint>,
    pub read_slid: Option<unsafe extern "C" fn(*mut CqEx) -> u32>,
    pub read_sl: Option<unsafe extern "C" fn(*mut CqEx) -> u8>,
    pub read_dlid_path_bits: Option<unsafe extern "C" fn(*mut CqEx) -> u8>,
    pub read_completion_ts: Option<unsafe extern "C" fn(*mut CqEx) -> u64>,
    pub read_cvlan: Option<unsafe extern "C" fn(*mut CqEx) -> u16>,
    pub read_flow_tag: Option<unsafe extern "C" fn(*mut CqEx) -> u32>,
    pub read_tm_info: Empty,
    pub read_completion_wallclock_ns: Option<unsafe extern "C" fn(*mut CqEx) -> u64>,
}
layout!(
    CqEx,
    288,
    comp_mask = 128,
    status = 132,
    wr_id = 136,
    start_poll = 144,
    read_opcode = 168,
    read_completion_ts = 248,
    read_completion_wallclock_ns = 280
);

/// `struct ibv_srq`.
#[repr(C)]
pub(crate) struct Srq {
    pub context: *mut Context,
    pub srq_context: *mut c_void,
    pub pd: *mut Pd,
    pub handle: u32,
    pub mutex: [u64; 5],
    pub cond: [u64; 6],
    pub events_completed: u32,
}
layout!(Srq, 128, srq_context = 8, pd = 16, handle = 24, events_completed = 120);

plain!(Pd, Td, Xrcd, Mr, Mw, Dm, Ah, CompChannel, Cq, CqEx, Srq);
