//! Names of numbers, as scripts that read programs' output know them from libibverbs.

use std::ffi::{CStr, c_char, c_uint};

use crate::border::export;

/// For a number that means nothing.
pub(crate) const NODE_UNKNOWN: &CStr = c"unknown";

const WC_STATUS: [&CStr; 24] = [
    c"success",
    c"local length error",
    c"local QP operation error",
    c"local EE context operation error",
    c"local protection error",
    c"Work Request Flushed Error",
    c"memory management operation error",
    c"bad response error",
    c"local access error",
    c"remote invalid request error",
    c"remote access error",
    c"remote operation error",
    c"transport retry counter exceeded",
    c"RNR retry counter exceeded",
    c"local RDD violation error",
    c"remote invalid RD request",
    c"aborted error",
    c"invalid EE context number",
    c"invalid EE context state",
    c"fatal error",
    c"response timeout error",
    c"general error",
    c"TM error",
    c"TM software rendezvous",
];

const EVENT_TYPE: [&CStr; 20] = [
    c"CQ error",
    c"local work queue catastrophic error",
    c"invalid request local work queue error",
    c"local access violation work queue error",
    c"communication established",
    c"send queue drained",
    c"path migrated",
    c"path migration request error",
    c"local catastrophic error",
    c"port active",
    c"port error",
    c"LID change",
    c"P_Key change",
    c"SM change",
    c"SRQ catastrophic error",
    c"SRQ limit reached",
    c"last WQE reached",
    c"client reregistration",
    c"GID table change",
    c"WQ fatal",
];

const PORT_STATE: [&CStr; 6] =
    [c"no state change (NOP)", c"down", c"init", c"armed", c"active", c"active defer"];

/// From `IBV_NODE_CA` = 1 on.
const NODE_TYPE: [&CStr; 7] = [
    c"InfiniBand channel adapter",
    c"InfiniBand switch",
    c"InfiniBand router",
    c"iWARP NIC",
    c"usNIC",
    c"usNIC UDP",
    c"unspecified",
];

/// The name at `index`.
pub(crate) fn name(names: &[&'static CStr], index: c_uint) -> *const c_char {
    names.get(index as usize).copied().unwrap_or(NODE_UNKNOWN).as_ptr()
}

export! {
    "IBVERBS_1.1" fn ibv_wc_status_str(status: c_uint) -> *const c_char {
        name(&WC_STATUS, status)
    }

    "IBVERBS_1.1" fn ibv_event_type_str(event: c_uint) -> *const c_char {
        name(&EVENT_TYPE, event)
    }

    "IBVERBS_1.1" fn ibv_port_state_str(state: c_uint) -> *const c_char {
        name(&PORT_STATE, state)
    }

    "IBVERBS_1.1" fn ibv_node_type_str(node_type: c_uint) -> *const c_char {
        name(&NODE_TYPE, node_type.wrapping_sub(1))
    }
}
