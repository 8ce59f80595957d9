//! Paths: where packets go, and what their IP and UDP headers say.

use std::net::IpAddr;

use ferroce_wire::Qpn;
use ferroce_wire::flow::{flow_label_for_qps, port_for_datagram_qp, port_from_flow_label};

use crate::io::Flow;

/// The path to a peer (`struct ibv_ah_attr` with its mandatory GRH).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressVector {
    /// Which of the device's addresses to send from.
    pub sgid_index: u8,
    /// The peer's address, or a multicast group: an IPv4 address stands for its IPv4-mapped GID.
    pub dgid: IpAddr,
    /// Traffic class: DSCP in the upper six bits, ECN in the lower two.
    pub traffic_class: u8,
    /// Hop limit (TTL); 0 and 1 stand for the usual 64.
    pub hop_limit: u8,
    /// IPv6 flow label, 20 bits, which also chooses the UDP source port; 0 to derive that from the two QPNs.
    pub flow_label: u32,
    /// Service level, 0..=15. Kept and told again; the network sees the traffic class only.
    pub sl: u8,
    /// Limit of the sending rate in the encoding of `enum ibv_rate`; 0 for none. Kept and told again.
    pub static_rate: u8,
}

impl AddressVector {
    /// From the device's address `sgid_index` to `dgid`, everything else as usual.
    pub fn new(sgid_index: u8, dgid: IpAddr) -> AddressVector {
        let (traffic_class, hop_limit, flow_label) = (0, 64, 0);
        AddressVector { sgid_index, dgid, traffic_class, hop_limit, flow_label, sl: 0, static_rate: 0 }
    }

    /// What packets of a connection along this path carry. The UDP source port follows from the flow label, or
    /// from the two queue-pair numbers, so that switches spread connections over equal paths (IBTA A17.9.2.3).
    pub(super) fn flow(&self, gids: &[IpAddr], local: Qpn, remote: Qpn) -> Flow {
        let label = if self.flow_label == 0 { flow_label_for_qps(local, remote) } else { self.flow_label };
        self.flow_from(gids, port_from_flow_label(label))
    }

    /// What datagrams along this path carry. Without a flow label only the sender decides the port, as in Linux.
    pub(crate) fn datagram_flow(&self, gids: &[IpAddr], local: Qpn) -> Flow {
        let src_port = match self.flow_label {
            0 => port_for_datagram_qp(local),
            label => port_from_flow_label(label),
        };
        self.flow_from(gids, src_port)
    }

    fn flow_from(&self, gids: &[IpAddr], src_port: u16) -> Flow {
        Flow {
            src: gids[usize::from(self.sgid_index)],
            dst: self.dgid,
            src_port,
            traffic_class: self.traffic_class,
            hop_limit: if self.hop_limit <= 1 { 64 } else { self.hop_limit },
            flow_label: self.flow_label,
        }
    }
}

/// An alternate path, for automatic path migration (IBTA 17.2.8). It can be set and asked for; a RoCE device never
/// migrates to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AltPath {
    /// The path.
    pub av: AddressVector,
    /// Index into the table of partition keys; there is only index 0.
    pub pkey_index: u16,
    /// Port number; there is only port 1.
    pub port: u8,
    /// Local ACK timeout along it, 0..=31, as [`QpAttr::timeout`](crate::QpAttr::timeout).
    pub timeout: u8,
}

/// State of path migration; values of `enum ibv_mig_state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum MigState {
    /// On the path in use, or migrated to the alternate one.
    #[default]
    Migrated = 0,
    /// To be armed again.
    Rearm = 1,
    /// Ready to migrate.
    Armed = 2,
}
