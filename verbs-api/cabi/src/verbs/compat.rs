//! Attributes as they cross the border to the kernel (`<rdma/ib_user_verbs.h>`, `<rdma/ib_user_sa.h>`), which a
//! librdmacm that is not ours has to translate.

use std::ffi::c_uint;

use crate::abi::{self, Plain};
use crate::border::export;

/// `struct ib_uverbs_qp_attr`.
#[repr(C)]
pub(crate) struct KernelQpAttr {
    mask: u32,
    qp_state: u32,
    cur_qp_state: u32,
    path_mtu: u32,
    path_mig_state: u32,
    qkey: u32,
    rq_psn: u32,
    sq_psn: u32,
    dest_qp_num: u32,
    qp_access_flags: u32,
    /// `struct ib_uverbs_ah_attr` has the layout of `struct ibv_ah_attr`.
    ah_attr: abi::AhAttr,
    alt_ah_attr: abi::AhAttr,
    cap: abi::QpCap,
    pkey_index: u16,
    alt_pkey_index: u16,
    en_sqd_async_notify: u8,
    sq_draining: u8,
    max_rd_atomic: u8,
    max_dest_rd_atomic: u8,
    min_rnr_timer: u8,
    port_num: u8,
    timeout: u8,
    retry_cnt: u8,
    rnr_retry: u8,
    alt_port_num: u8,
    alt_timeout: u8,
}
abi::layout!(KernelQpAttr, 144, ah_attr = 40, cap = 104, pkey_index = 124, alt_timeout = 138);

/// `struct ib_user_path_rec`.
#[repr(C)]
pub(crate) struct KernelPath {
    dgid: [u8; 16],
    sgid: [u8; 16],
    dlid: u16,
    slid: u16,
    raw_traffic: u32,
    flow_label: u32,
    reversible: u32,
    mtu: u32,
    pkey: u16,
    hop_limit: u8,
    traffic_class: u8,
    numb_path: u8,
    sl: u8,
    mtu_selector: u8,
    rate_selector: u8,
    rate: u8,
    packet_life_time_selector: u8,
    packet_life_time: u8,
    preference: u8,
}
abi::layout!(KernelPath, 64, mtu = 48, pkey = 52, preference = 63);

/// `struct ibv_sa_path_rec`.
#[repr(C)]
pub(crate) struct Path {
    dgid: abi::Gid,
    sgid: abi::Gid,
    dlid: u16,
    slid: u16,
    raw_traffic: u32,
    flow_label: u32,
    hop_limit: u8,
    traffic_class: u8,
    reversible: u32,
    numb_path: u8,
    pkey: u16,
    sl: u8,
    mtu_selector: u8,
    mtu: u8,
    rate_selector: u8,
    rate: u8,
    packet_life_time_selector: u8,
    packet_life_time: u8,
    preference: u8,
}
abi::layout!(Path, 64, hop_limit = 44, reversible = 48, pkey = 54, preference = 63);

abi::plain!(KernelQpAttr);

export! {
    "IBVERBS_1.1" fn ibv_copy_ah_attr_from_kern(to: *mut abi::AhAttr, from: *const abi::AhAttr) {
        *to = *from;
    }

    "IBVERBS_1.0" fn ibv_copy_qp_attr_from_kern(to: *mut abi::QpAttr, from: *const KernelQpAttr) {
        let (from, mut c) = (&*from, abi::QpAttr::zeroed());
        (c.qp_state, c.cur_qp_state) = (from.qp_state as c_uint, from.cur_qp_state as c_uint);
        (c.path_mtu, c.path_mig_state, c.qkey) = (from.path_mtu, from.path_mig_state, from.qkey);
        (c.rq_psn, c.sq_psn, c.dest_qp_num) = (from.rq_psn, from.sq_psn, from.dest_qp_num);
        (c.qp_access_flags, c.cap) = (from.qp_access_flags, from.cap);
        (c.ah_attr, c.alt_ah_attr) = (from.ah_attr, from.alt_ah_attr);
        (c.pkey_index, c.alt_pkey_index) = (from.pkey_index, from.alt_pkey_index);
        (c.en_sqd_async_notify, c.sq_draining) = (from.en_sqd_async_notify, from.sq_draining);
        (c.max_rd_atomic, c.max_dest_rd_atomic) = (from.max_rd_atomic, from.max_dest_rd_atomic);
        (c.min_rnr_timer, c.port_num, c.timeout) = (from.min_rnr_timer, from.port_num, from.timeout);
        (c.retry_cnt, c.rnr_retry) = (from.retry_cnt, from.rnr_retry);
        (c.alt_port_num, c.alt_timeout) = (from.alt_port_num, from.alt_timeout);
        to.write(c);
    }

    "IBVERBS_1.0" fn ibv_copy_path_rec_from_kern(to: *mut Path, from: *const KernelPath) {
        let from = &*from;
        to.write(Path {
            dgid: abi::Gid { raw: from.dgid },
            sgid: abi::Gid { raw: from.sgid },
            dlid: from.dlid,
            slid: from.slid,
            raw_traffic: from.raw_traffic,
            flow_label: from.flow_label,
            hop_limit: from.hop_limit,
            traffic_class: from.traffic_class,
            reversible: from.reversible,
            numb_path: from.numb_path,
            pkey: from.pkey,
            sl: from.sl,
            mtu_selector: from.mtu_selector,
            mtu: from.mtu as u8,
            rate_selector: from.rate_selector,
            rate: from.rate,
            packet_life_time_selector: from.packet_life_time_selector,
            packet_life_time: from.packet_life_time,
            preference: from.preference,
        });
    }

    "IBVERBS_1.0" fn ibv_copy_path_rec_to_kern(to: *mut KernelPath, from: *const Path) {
        let from = &*from;
        to.write(KernelPath {
            dgid: from.dgid.raw,
            sgid: from.sgid.raw,
            dlid: from.dlid,
            slid: from.slid,
            raw_traffic: from.raw_traffic,
            flow_label: from.flow_label,
            reversible: from.reversible,
            mtu: u32::from(from.mtu),
            pkey: from.pkey,
            hop_limit: from.hop_limit,
            traffic_class: from.traffic_class,
            numb_path: from.numb_path,
            sl: from.sl,
            mtu_selector: from.mtu_selector,
            rate_selector: from.rate_selector,
            rate: from.rate,
            packet_life_time_selector: from.packet_life_time_selector,
            packet_life_time: from.packet_life_time,
            preference: from.preference,
        });
    }
}
