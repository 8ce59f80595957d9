//! `<rdma/rdma_cma.h>`.

use std::ffi::{c_char, c_int, c_uint, c_void};

use super::*;

/// `struct rdma_event_channel`.
#[repr(C)]
pub(crate) struct EventChannel {
    pub fd: c_int,
}
layout!(EventChannel, 4);

/// Room for any socket address (`struct sockaddr_storage`).
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(crate) struct Sockaddr {
    pub bytes: [u8; 128],
}

/// `struct rdma_cm_id`.
#[repr(C)]
pub(crate) struct CmId {
    pub verbs: *mut Context,
    pub channel: *mut EventChannel,
    pub context: *mut c_void,
    pub qp: *mut Qp,
    pub src_addr: Sockaddr,
    pub dst_addr: Sockaddr,
    pub sgid: Gid,
    pub dgid: Gid,
    /// Big-endian.
    pub pkey: u16,
    pub path_rec: *mut c_void,
    pub num_paths: c_int,
    pub _end_of_route: u32,
    pub ps: c_uint,
    pub port_num: u8,
    pub event: *mut CmEvent,
    pub send_cq_channel: *mut CompChannel,
    pub send_cq: *mut Cq,
    pub recv_cq_channel: *mut CompChannel,
    pub recv_cq: *mut Cq,
    pub srq: *mut Srq,
    pub pd: *mut Pd,
    pub qp_type: c_uint,
}
layout!(
    CmId,
    416,
    src_addr = 32,
    dst_addr = 160,
    sgid = 288,
    pkey = 320,
    path_rec = 328,
    num_paths = 336,
    ps = 344,
    port_num = 348,
    event = 352,
    send_cq = 368,
    pd = 400,
    qp_type = 408
);

/// `struct rdma_conn_param`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct ConnParam {
    pub private_data: *const c_void,
    pub private_data_len: u8,
    pub responder_resources: u8,
    pub initiator_depth: u8,
    pub flow_control: u8,
    pub retry_count: u8,
    pub rnr_retry_count: u8,
    pub srq: u8,
    pub qp_num: u32,
}
layout!(ConnParam, 24, rnr_retry_count = 13, qp_num = 16);

/// `struct rdma_ud_param`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct UdParam {
    pub private_data: *const c_void,
    pub private_data_len: u8,
    pub ah_attr: AhAttr,
    pub qp_num: u32,
    pub qkey: u32,
}
layout!(UdParam, 56, ah_attr = 16, qp_num = 48, qkey = 52);

/// `param` of an event.
#[repr(C)]
pub(crate) union EventParam {
    pub conn: ConnParam,
    pub ud: UdParam,
}

/// `struct rdma_cm_event`.
#[repr(C)]
pub(crate) struct CmEvent {
    pub id: *mut CmId,
    pub listen_id: *mut CmId,
    pub event: c_uint,
    pub status: c_int,
    pub param: EventParam,
}
layout!(CmEvent, 80, event = 16, status = 20, param = 24);

/// `struct rdma_addrinfo`.
#[repr(C)]
pub(crate) struct CmAddrinfo {
    pub ai_flags: c_int,
    pub ai_family: c_int,
    pub ai_qp_type: c_int,
    pub ai_port_space: c_int,
    pub ai_src_len: u32,
    pub ai_dst_len: u32,
    pub ai_src_addr: *mut c_void,
    pub ai_dst_addr: *mut c_void,
    pub ai_src_canonname: *mut c_char,
    pub ai_dst_canonname: *mut c_char,
    pub ai_route_len: usize,
    pub ai_route: *mut c_void,
    pub ai_connect_len: usize,
    pub ai_connect: *mut c_void,
    pub ai_next: *mut CmAddrinfo,
}
layout!(CmAddrinfo, 96, ai_src_addr = 24, ai_route_len = 56, ai_next = 88);

plain!(EventChannel, CmId, ConnParam, UdParam, CmEvent, CmAddrinfo);
