//! What a device and its port can do.

use std::ffi::{c_char, c_int};
use std::time::Duration;

use ferroce_engine::{DeviceConfig, Limits, Time};

use super::context::{Context, context};
use crate::abi::{self, Plain};
use crate::border::{Errno, INVALID, export, status};
use crate::process::Device;

/// Version of the firmware, which is the program itself.
pub(crate) const FIRMWARE: &str = env!("CARGO_PKG_VERSION");

/// Completion vectors. More would mean more threads that serve completions; there is one.
pub(crate) const COMP_VECTORS: c_int = 1;

/// An OUI that nobody has (locally administered), because programs take 0 for "unknown".
const VENDOR: u32 = 0x02_00_00;

/// `IBV_ATOMIC_HCA`: atomics of peers are atomic towards each other. They are so towards the processor too, but programs
/// know that from no NIC, and UCX takes a NIC that says it for one without atomics.
const ATOMIC_HCA: c_int = 1;

/// The longest message, in bytes.
const MAX_MESSAGE: u32 = 1 << 31;

/// Places in the GID table, at least.
const GID_PLACES: usize = 16;

/// `enum ibv_device_cap_flags`.
const CAPABILITIES: u32 = {
    const CURR_QP_STATE_MOD: u32 = 1 << 7;
    const SYS_IMAGE_GUID: u32 = 1 << 11;
    const RC_RNR_NAK_GEN: u32 = 1 << 12;
    const N_NOTIFY_CQ: u32 = 1 << 14;
    const MEM_WINDOW: u32 = 1 << 17;
    const SRQ_RESIZE: u32 = 1 << 13;
    const XRC: u32 = 1 << 20;
    const MEM_MGT_EXTENSIONS: u32 = 1 << 21;
    const MEM_WINDOW_TYPE_2B: u32 = 1 << 24;
    CURR_QP_STATE_MOD
        | SYS_IMAGE_GUID
        | RC_RNR_NAK_GEN
        | N_NOTIFY_CQ
        | MEM_WINDOW
        | SRQ_RESIZE
        | XRC
        | MEM_MGT_EXTENSIONS
        | MEM_WINDOW_TYPE_2B
};

/// `IB_UVERBS_DEVICE_FLUSH_GLOBAL` and `IB_UVERBS_DEVICE_ATOMIC_WRITE`: of NICs that know these operations.
const PLACEMENT: u64 = 1 << 38 | 1 << 40;

/// `enum ibv_odp_transport_cap_bits` of a NIC that goes through the processor's own page tables.
const ODP_RC: u32 = {
    const SEND: u32 = 1;
    const RECV: u32 = 1 << 1;
    const WRITE: u32 = 1 << 2;
    const READ: u32 = 1 << 3;
    const ATOMIC: u32 = 1 << 4;
    const SRQ_RECV: u32 = 1 << 5;
    SEND | RECV | WRITE | READ | ATOMIC | SRQ_RECV
};

/// The same of the other services.
const ODP_UC: u32 = 0b111;
const ODP_UD: u32 = 0b10_0011;

/// `IBV_ODP_SUPPORT` and `IBV_ODP_SUPPORT_IMPLICIT`.
const ODP_GENERAL: u64 = 0b11;

/// Places in the GID table of a device; those without an address are empty.
pub(crate) fn gid_table_len(device: &Device) -> usize {
    device.addresses.len().max(GID_PLACES)
}

fn config(context: &Context) -> DeviceConfig {
    context.engine.nic().with(|device, _| device.config().clone())
}

fn device_attr(context: &Context) -> abi::DeviceAttr {
    let mut attr = abi::DeviceAttr::zeroed();
    let limits: Limits = config(context).limits;
    let int = |limit: u32| c_int::try_from(limit).unwrap_or(c_int::MAX);
    for (to, from) in attr.fw_ver.iter_mut().zip(FIRMWARE.bytes()) {
        *to = from as c_char;
    }
    attr.node_guid = u64::from_ne_bytes(context.device.guid);
    attr.sys_image_guid = attr.node_guid;
    attr.max_mr_size = u64::MAX;
    // Any power of two from a page on.
    attr.page_size_cap = !0xfff;
    (attr.vendor_id, attr.vendor_part_id, attr.hw_ver) = (VENDOR, Device::part_id(), 1);
    (attr.max_qp, attr.max_qp_wr) = (int(limits.max_qp), int(limits.max_qp_wr));
    attr.device_cap_flags = CAPABILITIES;
    (attr.max_sge, attr.max_sge_rd) = (int(limits.max_sge), int(limits.max_sge));
    (attr.max_cq, attr.max_cqe) = (int(limits.max_cq), int(limits.max_cqe));
    (attr.max_mr, attr.max_mw, attr.max_pd) = (int(limits.max_mr), int(limits.max_mw), int(limits.max_pd));
    attr.max_qp_rd_atom = c_int::from(limits.max_qp_rd_atom);
    attr.max_qp_init_rd_atom = attr.max_qp_rd_atom;
    attr.max_res_rd_atom = attr.max_qp_rd_atom.saturating_mul(attr.max_qp);
    attr.atomic_cap = ATOMIC_HCA;
    (attr.max_ah, attr.max_mcast_grp) = (int(limits.max_ah), int(limits.max_mcast_grp));
    attr.max_mcast_qp_attach = int(limits.max_mcast_qp_attach);
    attr.max_total_mcast_qp_attach = attr.max_mcast_grp.saturating_mul(attr.max_mcast_qp_attach);
    (attr.max_srq, attr.max_srq_wr) = (int(limits.max_srq), int(limits.max_srq_wr));
    attr.max_srq_sge = int(limits.max_srq_sge);
    (attr.max_pkeys, attr.local_ca_ack_delay, attr.phys_port_cnt) = (1, 15, 1);
    attr
}

fn device_attr_ex(context: &Context) -> abi::DeviceAttrEx {
    let mut attr = abi::DeviceAttrEx::zeroed();
    attr.orig_attr = device_attr(context);
    attr.device_cap_flags_ex = u64::from(CAPABILITIES);
    if config(context).personality.placement {
        attr.device_cap_flags_ex |= PLACEMENT;
    }
    (attr.odp_general_caps, attr.odp_rc_caps, attr.xrc_odp_caps) = (ODP_GENERAL, ODP_RC, ODP_RC);
    (attr.odp_uc_caps, attr.odp_ud_caps) = (ODP_UC, ODP_UD);
    // Time stamps are nanoseconds, so the clock has a million kHz.
    (attr.completion_timestamp_mask, attr.hca_core_clock) = (u64::MAX, 1_000_000);
    attr.max_dm_size = config(context).limits.max_dm_size;
    // Moderation is taken note of, up to what its fields hold.
    attr.cq_mod_caps = [u16::MAX; 2];
    attr.phys_port_cnt_ex = 1;
    attr
}

fn port_attr(context: &Context) -> abi::PortAttr {
    const ACTIVE: c_int = 4;
    const MTU_4096: c_int = 5;
    const CM_AND_IP_BASED_GIDS: u32 = 1 << 16 | 1 << 26;
    const LANES_4: u8 = 2;
    const GBPS_25: u8 = 32;
    const LINK_UP: u8 = 5;
    const ETHERNET: u8 = 2;
    let mut attr = abi::PortAttr::zeroed();
    (attr.state, attr.phys_state, attr.link_layer) = (ACTIVE, LINK_UP, ETHERNET);
    (attr.max_mtu, attr.active_mtu) = (MTU_4096, c_int::from(config(context).mtu.ib_value()));
    attr.gid_tbl_len = gid_table_len(context.device) as c_int;
    attr.port_cap_flags = CM_AND_IP_BASED_GIDS;
    (attr.max_msg_sz, attr.pkey_tbl_len, attr.max_vl_num) = (MAX_MESSAGE, 1, 1);
    (attr.active_width, attr.active_speed) = (LANES_4, GBPS_25);
    attr
}

/// Writes as much of `value` as a program knows of, and zeros where it knows more.
unsafe fn store<T>(value: &T, to: *mut T, size: usize) {
    std::ptr::write_bytes(to.cast::<u8>(), 0, size);
    std::ptr::copy_nonoverlapping((&raw const *value).cast::<u8>(), to.cast(), size.min(size_of::<T>()));
}

unsafe fn checked_port<'a>(of: *mut abi::Context, port: u8) -> Result<&'a Context, Errno> {
    let context = context(of)?;
    if port == 1 { Ok(context) } else { Err(INVALID) }
}

/// `ibv_query_port` of the present headers.
pub(crate) unsafe extern "C" fn query_port(
    of: *mut abi::Context,
    port: u8,
    to: *mut abi::PortAttr,
    size: usize,
) -> c_int {
    status(checked_port(of, port).map(|context| store(&port_attr(context), to, size)))
}

/// `ibv_query_device_ex`.
pub(crate) unsafe extern "C" fn query_device_ex(
    of: *mut abi::Context,
    input: *const abi::QueryDeviceExInput,
    to: *mut abi::DeviceAttrEx,
    size: usize,
) -> c_int {
    let asks_nothing = input.as_ref().is_none_or(|input| input.comp_mask == 0);
    let context = context(of).and_then(|context| if asks_nothing { Ok(context) } else { Err(INVALID) });
    status(context.map(|context| store(&device_attr_ex(context), to, size)))
}

/// `ibv_query_rt_values_ex`: the NIC's clock, in nanoseconds.
pub(crate) unsafe extern "C" fn query_rt_values(of: *mut abi::Context, to: *mut abi::ValuesEx) -> c_int {
    const RAW_CLOCK: u32 = 1;
    status(context(of).map(|context| {
        let asked = (*to).comp_mask;
        (*to).comp_mask = asked & RAW_CLOCK;
        if asked & RAW_CLOCK != 0 {
            (*to).raw_clock = [0, nanoseconds(context.engine.nic().now().since(Time::ZERO)) as i64];
        }
    }))
}

/// A duration as a time stamp.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

/// Bytes of `struct ibv_port_attr` before it grew: what programs that call the function itself have room for.
const PORT_ATTR_THEN: usize = 48;

export! {
    "IBVERBS_1.1" fn ibv_query_device(of: *mut abi::Context, to: *mut abi::DeviceAttr) -> c_int {
        status(context(of).map(|context| to.write(device_attr(context))))
    }

    "IBVERBS_1.1" fn ibv_query_port(of: *mut abi::Context, port: u8, to: *mut abi::PortAttr) -> c_int {
        query_port(of, port, to, PORT_ATTR_THEN)
    }
}
