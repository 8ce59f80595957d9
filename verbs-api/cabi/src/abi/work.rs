//! Work requests and completions.

use std::ffi::{c_int, c_uint, c_void};

use super::*;

/// `struct ibv_sge`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Sge {
    pub addr: u64,
    pub length: u32,
    pub lkey: u32,
}
layout!(Sge, 16, length = 8, lkey = 12);

/// `struct ibv_data_buf`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct DataBuf {
    pub addr: *mut c_void,
    pub length: usize,
}
layout!(DataBuf, 16);

/// `struct ibv_recv_wr`.
#[repr(C)]
pub(crate) struct RecvWr {
    pub wr_id: u64,
    pub next: *mut RecvWr,
    pub sg_list: *mut Sge,
    pub num_sge: c_int,
}
layout!(RecvWr, 32, sg_list = 16, num_sge = 24);

/// `struct ibv_mw_bind_info`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct MwBindInfo {
    pub mr: *mut Mr,
    pub addr: u64,
    pub length: u64,
    pub mw_access_flags: c_uint,
}
layout!(MwBindInfo, 32, addr = 8, length = 16, mw_access_flags = 24);

/// `struct ibv_mw_bind`.
#[repr(C)]
pub(crate) struct MwBind {
    pub wr_id: u64,
    pub send_flags: c_uint,
    pub bind_info: MwBindInfo,
}
layout!(MwBind, 48, bind_info = 16);

/// `wr.rdma` of a send request.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct RdmaPart {
    pub remote_addr: u64,
    pub rkey: u32,
}

/// `wr.atomic` of a send request.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct AtomicPart {
    pub remote_addr: u64,
    pub compare_add: u64,
    pub swap: u64,
    pub rkey: u32,
}

/// `wr.ud` of a send request.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct UdPart {
    pub ah: *mut Ah,
    pub remote_qpn: u32,
    pub remote_qkey: u32,
}

/// `wr` of a send request.
#[repr(C)]
pub(crate) union OpPart {
    pub rdma: RdmaPart,
    pub atomic: AtomicPart,
    pub ud: UdPart,
}

/// `bind_mw` of a send request.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct BindPart {
    pub mw: *mut Mw,
    pub rkey: u32,
    pub bind_info: MwBindInfo,
}

/// `struct ibv_send_wr`.
#[repr(C)]
pub(crate) struct SendWr {
    pub wr_id: u64,
    pub next: *mut SendWr,
    pub sg_list: *mut Sge,
    pub num_sge: c_int,
    pub opcode: c_uint,
    pub send_flags: c_uint,
    /// Immediate data as they travel, or a key to invalidate in host byte order.
    pub imm_data: u32,
    pub wr: OpPart,
    pub xrc_remote_srqn: u32,
    pub bind_mw: BindPart,
}
layout!(SendWr, 128, opcode = 28, imm_data = 36, wr = 40, xrc_remote_srqn = 72, bind_mw = 80);

/// `struct ibv_wc`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Wc {
    pub wr_id: u64,
    pub status: c_uint,
    pub opcode: c_uint,
    pub vendor_err: u32,
    pub byte_len: u32,
    /// Immediate data as they travelled, or the invalidated key in host byte order.
    pub imm_data: u32,
    pub qp_num: u32,
    pub src_qp: u32,
    pub wc_flags: c_uint,
    pub pkey_index: u16,
    pub slid: u16,
    pub sl: u8,
    pub dlid_path_bits: u8,
}
layout!(Wc, 48, vendor_err = 16, imm_data = 24, src_qp = 32, pkey_index = 40, sl = 44);

plain!(SendWr, RecvWr, Wc, Sge);
