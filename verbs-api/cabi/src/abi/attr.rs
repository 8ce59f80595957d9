//! What is asked of verbs and what they tell, apart from queue pairs and work requests.

use std::ffi::{c_char, c_int, c_uint, c_void};

use super::*;

/// `union ibv_gid`, aligned as its two 64-bit words are.
#[repr(C, align(8))]
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Gid {
    pub raw: [u8; 16],
}
layout!(Gid, 16);

/// `struct ibv_device_attr`.
#[repr(C)]
pub(crate) struct DeviceAttr {
    pub fw_ver: [c_char; 64],
    /// Big-endian.
    pub node_guid: u64,
    /// Big-endian.
    pub sys_image_guid: u64,
    pub max_mr_size: u64,
    pub page_size_cap: u64,
    pub vendor_id: u32,
    pub vendor_part_id: u32,
    pub hw_ver: u32,
    pub max_qp: c_int,
    pub max_qp_wr: c_int,
    pub device_cap_flags: c_uint,
    pub max_sge: c_int,
    pub max_sge_rd: c_int,
    pub max_cq: c_int,
    pub max_cqe: c_int,
    pub max_mr: c_int,
    pub max_pd: c_int,
    pub max_qp_rd_atom: c_int,
    pub max_ee_rd_atom: c_int,
    pub max_res_rd_atom: c_int,
    pub max_qp_init_rd_atom: c_int,
    pub max_ee_init_rd_atom: c_int,
    pub atomic_cap: c_int,
    pub max_ee: c_int,
    pub max_rdd: c_int,
    pub max_mw: c_int,
    pub max_raw_ipv6_qp: c_int,
    pub max_raw_ethy_qp: c_int,
    pub max_mcast_grp: c_int,
    pub max_mcast_qp_attach: c_int,
    pub max_total_mcast_qp_attach: c_int,
    pub max_ah: c_int,
    pub max_fmr: c_int,
    pub max_map_per_fmr: c_int,
    pub max_srq: c_int,
    pub max_srq_wr: c_int,
    pub max_srq_sge: c_int,
    pub max_pkeys: u16,
    pub local_ca_ack_delay: u8,
    pub phys_port_cnt: u8,
}
layout!(
    DeviceAttr,
    232,
    node_guid = 64,
    vendor_id = 96,
    max_qp = 108,
    max_cqe = 132,
    atomic_cap = 164,
    max_srq_sge = 220,
    max_pkeys = 224,
    phys_port_cnt = 227
);

/// `struct ibv_query_device_ex_input`.
#[repr(C)]
pub(crate) struct QueryDeviceExInput {
    pub comp_mask: u32,
}

/// `struct ibv_device_attr_ex`.
#[repr(C)]
pub(crate) struct DeviceAttrEx {
    pub orig_attr: DeviceAttr,
    pub comp_mask: u32,
    pub odp_general_caps: u64,
    pub odp_rc_caps: u32,
    pub odp_uc_caps: u32,
    pub odp_ud_caps: u32,
    pub completion_timestamp_mask: u64,
    pub hca_core_clock: u64,
    pub device_cap_flags_ex: u64,
    pub tso_caps: [u32; 2],
    pub rss_caps: [u64; 4],
    pub max_wq_type_rq: u32,
    pub packet_pacing_caps: [u32; 3],
    pub raw_packet_caps: u32,
    pub tm_caps: [u32; 5],
    pub cq_mod_caps: [u16; 2],
    pub max_dm_size: u64,
    pub pci_atomic_caps: [u16; 3],
    pub xrc_odp_caps: u32,
    pub phys_port_cnt_ex: u32,
}
layout!(
    DeviceAttrEx,
    400,
    comp_mask = 232,
    odp_general_caps = 240,
    odp_rc_caps = 248,
    completion_timestamp_mask = 264,
    hca_core_clock = 272,
    rss_caps = 296,
    raw_packet_caps = 344,
    cq_mod_caps = 368,
    max_dm_size = 376,
    pci_atomic_caps = 384,
    xrc_odp_caps = 392,
    phys_port_cnt_ex = 396
);

/// `struct ibv_port_attr`.
#[repr(C)]
pub(crate) struct PortAttr {
    pub state: c_int,
    pub max_mtu: c_int,
    pub active_mtu: c_int,
    pub gid_tbl_len: c_int,
    pub port_cap_flags: u32,
    pub max_msg_sz: u32,
    pub bad_pkey_cntr: u32,
    pub qkey_viol_cntr: u32,
    pub pkey_tbl_len: u16,
    pub lid: u16,
    pub sm_lid: u16,
    pub lmc: u8,
    pub max_vl_num: u8,
    pub sm_sl: u8,
    pub subnet_timeout: u8,
    pub init_type_reply: u8,
    pub active_width: u8,
    pub active_speed: u8,
    pub phys_state: u8,
    pub link_layer: u8,
    pub flags: u8,
    pub port_cap_flags2: u16,
}
layout!(PortAttr, 52, pkey_tbl_len = 32, lmc = 38, active_width = 43, link_layer = 46, port_cap_flags2 = 48);

/// `struct ibv_gid_entry`.
#[repr(C)]
pub(crate) struct GidEntry {
    pub gid: Gid,
    pub gid_index: u32,
    pub port_num: u32,
    pub gid_type: u32,
    pub ndev_ifindex: u32,
}
layout!(GidEntry, 32, gid_index = 16, gid_type = 24);

/// `struct ibv_cq_init_attr_ex`.
#[repr(C)]
pub(crate) struct CqInitAttrEx {
    pub cqe: u32,
    pub cq_context: *mut c_void,
    pub channel: *mut CompChannel,
    pub comp_vector: u32,
    pub wc_flags: u64,
    pub comp_mask: u32,
    pub flags: u32,
    pub parent_domain: *mut Pd,
}
layout!(CqInitAttrEx, 56, channel = 16, wc_flags = 32, comp_mask = 40, flags = 44, parent_domain = 48);

/// `struct ibv_poll_cq_attr`.
#[repr(C)]
pub(crate) struct PollCqAttr {
    pub comp_mask: u32,
}

/// `struct ibv_modify_cq_attr`.
#[repr(C)]
pub(crate) struct ModifyCqAttr {
    pub attr_mask: u32,
    pub cq_count: u16,
    pub cq_period: u16,
}
layout!(ModifyCqAttr, 8);

/// `struct ibv_td_init_attr`.
#[repr(C)]
pub(crate) struct TdInitAttr {
    pub comp_mask: u32,
}

/// `struct ibv_parent_domain_init_attr`.
#[repr(C)]
pub(crate) struct ParentDomainInitAttr {
    pub pd: *mut Pd,
    pub td: *mut Td,
    pub comp_mask: u32,
    pub alloc: *const c_void,
    pub free: *const c_void,
    pub pd_context: *mut c_void,
}
layout!(ParentDomainInitAttr, 48, comp_mask = 16, alloc = 24);

/// `struct ibv_alloc_dm_attr`.
#[repr(C)]
pub(crate) struct AllocDmAttr {
    pub length: usize,
    pub log_align_req: u32,
    pub comp_mask: u32,
}
layout!(AllocDmAttr, 16);

/// `struct ibv_xrcd_init_attr`.
#[repr(C)]
pub(crate) struct XrcdInitAttr {
    pub comp_mask: u32,
    pub fd: c_int,
    pub oflags: c_int,
}
layout!(XrcdInitAttr, 12);

/// `struct ibv_values_ex`.
#[repr(C)]
pub(crate) struct ValuesEx {
    pub comp_mask: u32,
    pub raw_clock: [i64; 2],
}
layout!(ValuesEx, 24, raw_clock = 8);

/// `struct ibv_srq_attr`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct SrqAttr {
    pub max_wr: u32,
    pub max_sge: u32,
    pub srq_limit: u32,
}
layout!(SrqAttr, 12);

/// `struct ibv_srq_init_attr`.
#[repr(C)]
pub(crate) struct SrqInitAttr {
    pub srq_context: *mut c_void,
    pub attr: SrqAttr,
}
layout!(SrqInitAttr, 24, attr = 8);

/// `struct ibv_srq_init_attr_ex`.
#[repr(C)]
pub(crate) struct SrqInitAttrEx {
    pub srq_context: *mut c_void,
    pub attr: SrqAttr,
    pub comp_mask: u32,
    pub srq_type: c_int,
    pub pd: *mut Pd,
    pub xrcd: *mut Xrcd,
    pub cq: *mut Cq,
    pub tm_cap: [u32; 2],
}
layout!(SrqInitAttrEx, 64, comp_mask = 20, srq_type = 24, pd = 32, xrcd = 40, cq = 48, tm_cap = 56);

/// `struct ibv_ece`.
#[repr(C)]
pub(crate) struct Ece {
    pub vendor_id: u32,
    pub options: u32,
    pub comp_mask: u32,
}
layout!(Ece, 12);

plain!(DeviceAttr, DeviceAttrEx, PortAttr, GidEntry, SrqInitAttrEx, Ece, SrqAttr);
