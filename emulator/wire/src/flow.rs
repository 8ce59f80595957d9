//! UDP source ports, by which the network tells flows apart and spreads them over equal paths.
//!
//! They are free for a sender to choose in 0xC000..=0xFFFF and mean nothing to a receiver, who must not filter
//! on them. These are the rules by which Linux chooses; all devices that share them pick the same port.

use crate::Qpn;

const FLOW_LABEL_MASK: u64 = 0xF_FFFF;

/// The port for a 20-bit IPv6 flow label, or for the number that stands in for one with IPv4.
pub const fn port_from_flow_label(flow_label: u32) -> u16 {
    let label = flow_label & FLOW_LABEL_MASK as u32;
    0xC000 | ((label & 0x3FFF) ^ (label >> 14)) as u16
}

/// The flow label of a connection for which none was chosen. Both ends compute the same.
pub const fn flow_label_for_qps(local: Qpn, remote: Qpn) -> u32 {
    let mut label = local.value() as u64 * remote.value() as u64;
    label ^= label >> 20;
    label ^= label >> 40;
    (label & FLOW_LABEL_MASK) as u32
}

/// The flow label that the active side of an RDMA-CM connection chooses, from the ports of its address and of
/// the one it connects to.
pub const fn flow_label_for_cm(src_port: u16, dst_port: u16) -> u32 {
    (src_port as u32 * 31 + dst_port as u32) & FLOW_LABEL_MASK as u32
}

/// The port from which an unconnected QP sends: soft-RoCE hashes the number of the QP.
pub const fn port_for_datagram_qp(local: Qpn) -> u16 {
    const GOLDEN_RATIO: u32 = 0x61C8_8647;
    0xC000 + (local.value().wrapping_mul(GOLDEN_RATIO) >> 18) as u16
}
