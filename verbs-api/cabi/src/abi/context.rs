//! Devices and contexts, with the tables of functions that inline verbs call without a symbol.

use std::ffi::{c_char, c_int, c_uint, c_void};

use super::*;

/// `struct ibv_device`.
#[repr(C)]
pub(crate) struct Device {
    pub _ops: [*const c_void; 2],
    pub node_type: c_int,
    pub transport_type: c_int,
    pub name: [c_char; 64],
    pub dev_name: [c_char; 64],
    pub dev_path: [c_char; 256],
    pub ibdev_path: [c_char; 256],
}
layout!(Device, 664, node_type = 16, name = 24, dev_name = 88, dev_path = 152, ibdev_path = 408);

/// `IBV_NODE_CA`.
pub(crate) const NODE_CA: c_int = 1;
/// `IBV_TRANSPORT_IB`.
pub(crate) const TRANSPORT_IB: c_int = 0;

/// `struct ibv_context_ops`. Only what inline verbs call has a type here.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct ContextOps {
    pub unused_before_alloc_mw: [*const c_void; 7],
    pub alloc_mw: Option<unsafe extern "C" fn(*mut Pd, c_int) -> *mut Mw>,
    pub bind_mw: Option<unsafe extern "C" fn(*mut Qp, *mut Mw, *mut MwBind) -> c_int>,
    pub dealloc_mw: Option<unsafe extern "C" fn(*mut Mw) -> c_int>,
    pub unused_create_cq: *const c_void,
    pub poll_cq: Option<unsafe extern "C" fn(*mut Cq, c_int, *mut Wc) -> c_int>,
    pub req_notify_cq: Option<unsafe extern "C" fn(*mut Cq, c_int) -> c_int>,
    pub unused_before_post_srq_recv: [*const c_void; 7],
    pub post_srq_recv: Option<unsafe extern "C" fn(*mut Srq, *mut RecvWr, *mut *mut RecvWr) -> c_int>,
    pub unused_before_post_send: [*const c_void; 4],
    pub post_send: Option<unsafe extern "C" fn(*mut Qp, *mut SendWr, *mut *mut SendWr) -> c_int>,
    pub post_recv: Option<unsafe extern "C" fn(*mut Qp, *mut RecvWr, *mut *mut RecvWr) -> c_int>,
    pub unused_after_post_recv: [*const c_void; 5],
}
layout!(
    ContextOps,
    256,
    alloc_mw = 56,
    poll_cq = 88,
    req_notify_cq = 96,
    post_srq_recv = 160,
    post_send = 200,
    post_recv = 208
);

/// `struct ibv_context`.
#[repr(C)]
pub(crate) struct Context {
    pub device: *mut Device,
    pub ops: ContextOps,
    pub cmd_fd: c_int,
    pub async_fd: c_int,
    pub num_comp_vectors: c_int,
    pub mutex: [u64; 5],
    pub abi_compat: *mut c_void,
}
layout!(Context, 328, ops = 8, cmd_fd = 264, async_fd = 268, num_comp_vectors = 272, abi_compat = 320);

/// A slot of [`VerbsContext`] that Ferroce leaves empty: inline verbs then answer EOPNOTSUPP.
pub(crate) type Empty = *const c_void;

/// `struct verbs_context`: what surrounds `struct ibv_context` in front. Slots that are NULL are not supported.
#[repr(C)]
pub(crate) struct VerbsContext {
    pub query_port: Option<unsafe extern "C" fn(*mut Context, u8, *mut PortAttr, usize) -> c_int>,
    pub advise_mr: Option<unsafe extern "C" fn(*mut Pd, c_int, u32, *mut Sge, u32) -> c_int>,
    pub alloc_null_mr: Option<unsafe extern "C" fn(*mut Pd) -> *mut Mr>,
    pub read_counters: Empty,
    pub attach_counters_point_flow: Empty,
    pub create_counters: Empty,
    pub destroy_counters: Empty,
    pub reg_dm_mr: Option<unsafe extern "C" fn(*mut Pd, *mut Dm, u64, usize, c_uint) -> *mut Mr>,
    pub alloc_dm: Option<unsafe extern "C" fn(*mut Context, *mut AllocDmAttr) -> *mut Dm>,
    pub free_dm: Option<unsafe extern "C" fn(*mut Dm) -> c_int>,
    pub modify_flow_action_esp: Empty,
    pub destroy_flow_action: Empty,
    pub create_flow_action_esp: Empty,
    pub modify_qp_rate_limit: Option<unsafe extern "C" fn(*mut Qp, *mut QpRateLimitAttr) -> c_int>,
    pub alloc_parent_domain: Option<unsafe extern "C" fn(*mut Context, *mut ParentDomainInitAttr) -> *mut Pd>,
    pub dealloc_td: Option<unsafe extern "C" fn(*mut Td) -> c_int>,
    pub alloc_td: Option<unsafe extern "C" fn(*mut Context, *mut TdInitAttr) -> *mut Td>,
    pub modify_cq: Option<unsafe extern "C" fn(*mut Cq, *mut ModifyCqAttr) -> c_int>,
    pub post_srq_ops: Empty,
    pub destroy_rwq_ind_table: Empty,
    pub create_rwq_ind_table: Empty,
    pub destroy_wq: Empty,
    pub modify_wq: Empty,
    pub create_wq: Empty,
    pub query_rt_values: Option<unsafe extern "C" fn(*mut Context, *mut ValuesEx) -> c_int>,
    pub create_cq_ex: Option<unsafe extern "C" fn(*mut Context, *mut CqInitAttrEx) -> *mut CqEx>,
    pub private: *mut c_void,
    pub query_device_ex: Option<
        unsafe extern "C" fn(*mut Context, *const QueryDeviceExInput, *mut DeviceAttrEx, usize) -> c_int,
    >,
    pub ibv_destroy_flow: Empty,
    pub placeholder2: Empty,
    pub ibv_create_flow: Empty,
    pub placeholder1: Empty,
    pub open_qp: Option<unsafe extern "C" fn(*mut Context, *mut QpOpenAttr) -> *mut Qp>,
    pub create_qp_ex: Option<unsafe extern "C" fn(*mut Context, *mut QpInitAttrEx) -> *mut Qp>,
    pub get_srq_num: Option<unsafe extern "C" fn(*mut Srq, *mut u32) -> c_int>,
    pub create_srq_ex: Option<unsafe extern "C" fn(*mut Context, *mut SrqInitAttrEx) -> *mut Srq>,
    pub open_xrcd: Option<unsafe extern "C" fn(*mut Context, *mut XrcdInitAttr) -> *mut Xrcd>,
    pub close_xrcd: Option<unsafe extern "C" fn(*mut Xrcd) -> c_int>,
    pub placeholder3: u64,
    pub sz: usize,
    pub context: Context,
}
layout!(
    VerbsContext,
    648,
    alloc_dm = 64,
    modify_qp_rate_limit = 104,
    alloc_parent_domain = 112,
    modify_cq = 136,
    query_rt_values = 192,
    create_cq_ex = 200,
    query_device_ex = 216,
    open_qp = 256,
    create_qp_ex = 264,
    get_srq_num = 272,
    create_srq_ex = 280,
    open_xrcd = 288,
    close_xrcd = 296,
    sz = 312,
    context = 320
);

/// `__VERBS_ABI_IS_EXTENDED`: the context is part of a [`VerbsContext`].
pub(crate) const ABI_IS_EXTENDED: *mut c_void = usize::MAX as *mut c_void;

/// `struct ibv_async_event`.
#[repr(C)]
pub(crate) struct AsyncEvent {
    /// Pointer to the object, or the number of a port.
    pub element: *mut c_void,
    pub event_type: c_uint,
}
layout!(AsyncEvent, 16, event_type = 8);

plain!(Device, ContextOps, Context, VerbsContext, AsyncEvent);
