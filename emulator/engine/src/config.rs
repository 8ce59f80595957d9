//! What a device is made with.

use std::net::IpAddr;

use ferroce_wire::PathMtu;
use ferroce_wire::cm::gid_of;

use crate::cm::CmConfig;
use crate::policy::Personality;

/// What a device is made with.
#[derive(Clone, Debug)]
pub struct DeviceConfig {
    /// Its name, as `ibv_devices` would list it.
    pub name: String,
    /// Its addresses; the index is the GID index. An IPv4 address stands for its IPv4-mapped GID.
    pub gids: Vec<IpAddr>,
    /// The first 8 bits of its queue-pair numbers, and of those that name its connections to peers while they are
    /// made. Devices that share an address are told apart by them, so each has another. 255 is nobody's: it would be the lane of multicast, whose destination is QP 0xffffff.
    pub lane: u8,
    /// The largest path MTU that its link carries.
    pub mtu: PathMtu,
    /// The choices on which NICs differ.
    pub personality: Personality,
    /// How much of everything there can be.
    pub limits: Limits,
    /// How connections are managed.
    pub cm: CmConfig,
}

impl DeviceConfig {
    /// A device with these addresses, which no other device has, path MTUs up to 4096 and everything else as
    /// usual.
    pub fn new(name: impl Into<String>, gids: impl Into<Vec<IpAddr>>) -> DeviceConfig {
        DeviceConfig {
            name: name.into(),
            gids: gids.into(),
            lane: 0,
            mtu: PathMtu::Mtu4096,
            personality: Personality::default(),
            limits: Limits::default(),
            cm: CmConfig::default(),
        }
    }

    /// A name for the device that no other on the network has (EUI-64, locally administered): it follows from
    /// the first address and the lane.
    pub fn guid(&self) -> u64 {
        // FNV-1a.
        let gid = self.gids.first().map_or([0; 16], |addr| gid_of(*addr).octets());
        let hash = gid.iter().chain([&self.lane]).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        // The bit for "locally administered", not that for "group".
        hash & !(0b11 << 56) | 0b10 << 56
    }
}

/// How much of everything there can be (`struct ibv_device_attr`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Protection domains.
    pub max_pd: u32,
    /// Memory regions.
    pub max_mr: u32,
    /// Memory windows.
    pub max_mw: u32,
    /// Bytes of the device's own memory, all pieces together.
    pub max_dm_size: u64,
    /// Completion queues.
    pub max_cq: u32,
    /// Entries of a completion queue.
    pub max_cqe: u32,
    /// Queue pairs, at most 65,520.
    pub max_qp: u32,
    /// Requests of a send or receive queue.
    pub max_qp_wr: u32,
    /// Scatter/gather entries of a request.
    pub max_sge: u32,
    /// Bytes that can be posted inline.
    pub max_inline_data: u32,
    /// Address handles.
    pub max_ah: u32,
    /// Multicast groups.
    pub max_mcast_grp: u32,
    /// Queue pairs attached to one multicast group.
    pub max_mcast_qp_attach: u32,
    /// Shared receive queues, at most 65,536.
    pub max_srq: u32,
    /// Receives of a shared receive queue.
    pub max_srq_wr: u32,
    /// Scatter/gather entries of a receive in a shared queue.
    pub max_srq_sge: u32,
    /// READs and atomics outstanding on a queue pair, in either direction.
    pub max_qp_rd_atom: u8,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_pd: 1 << 16,
            max_mr: 1 << 20,
            max_mw: 1 << 20,
            max_dm_size: 1 << 20,
            max_cq: 1 << 16,
            max_cqe: 1 << 18,
            max_qp: 65_520,
            max_qp_wr: 1 << 15,
            max_sge: 32,
            max_inline_data: 1024,
            max_ah: 1 << 16,
            max_mcast_grp: 1 << 13,
            max_mcast_qp_attach: 1 << 8,
            max_srq: 1 << 16,
            max_srq_wr: 1 << 15,
            max_srq_sge: 32,
            max_qp_rd_atom: 128,
        }
    }
}
