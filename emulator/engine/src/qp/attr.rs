//! Attributes of a queue pair, as `ibv_modify_qp` and `ibv_query_qp` know them.

use std::net::IpAddr;

use ferroce_wire::flow::{flow_label_for_qps, port_from_flow_label};
use ferroce_wire::{PathMtu, Psn, Qpn, RnrTimer};

use crate::cq::Cq;
use crate::error::TransitionFault;
use crate::io::Flow;
use crate::memory::{Access, Pd};

use super::state::QpState;

/// Transport service of a queue pair; values of `enum ibv_qp_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum QpType {
    /// Reliable connection.
    Rc = 2,
}

/// How large the queues of a queue pair are to be (`struct ibv_qp_cap`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QpCap {
    /// Send requests that can be outstanding.
    pub max_send_wr: u32,
    /// Receive requests that can be posted.
    pub max_recv_wr: u32,
    /// Scatter/gather entries of a send request.
    pub max_send_sge: u32,
    /// Scatter/gather entries of a receive request.
    pub max_recv_sge: u32,
    /// Bytes that can be posted inline.
    pub max_inline_data: u32,
}

impl Default for QpCap {
    fn default() -> QpCap {
        QpCap { max_send_wr: 64, max_recv_wr: 64, max_send_sge: 4, max_recv_sge: 4, max_inline_data: 64 }
    }
}

/// What a queue pair is created with (`struct ibv_qp_init_attr`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QpInit {
    /// Transport service.
    pub qp_type: QpType,
    /// Protection domain of all memory it touches.
    pub pd: Pd,
    /// Where completions of sends go.
    pub send_cq: Cq,
    /// Where completions of receives go.
    pub recv_cq: Cq,
    /// Sizes of the queues.
    pub cap: QpCap,
    /// Treat every send request as signaled (`sq_sig_all`).
    pub signal_all: bool,
}

/// The path to the peer (`struct ibv_ah_attr` with its mandatory GRH).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressVector {
    /// Which of the device's addresses to send from.
    pub sgid_index: u8,
    /// The peer's address: an IPv4 address stands for its IPv4-mapped GID.
    pub dgid: IpAddr,
    /// Traffic class: DSCP in the upper six bits, ECN in the lower two.
    pub traffic_class: u8,
    /// Hop limit (TTL); 0 and 1 stand for the usual 64.
    pub hop_limit: u8,
    /// IPv6 flow label, 20 bits, which also chooses the UDP source port; 0 to derive that from the two QPNs.
    pub flow_label: u32,
}

impl AddressVector {
    /// From the device's address `sgid_index` to `dgid`, everything else as usual.
    pub fn new(sgid_index: u8, dgid: IpAddr) -> AddressVector {
        AddressVector { sgid_index, dgid, traffic_class: 0, hop_limit: 64, flow_label: 0 }
    }
}

impl AddressVector {
    /// What packets along this path carry. The UDP source port follows from the flow label, or from the two
    /// queue-pair numbers, so that switches spread connections over equal paths (IBTA A17.9.2.3).
    pub(super) fn flow(&self, gids: &[IpAddr], local: Qpn, remote: Qpn) -> Flow {
        let label = if self.flow_label == 0 { flow_label_for_qps(local, remote) } else { self.flow_label };
        Flow {
            src: gids[usize::from(self.sgid_index)],
            dst: self.dgid,
            src_port: port_from_flow_label(label),
            traffic_class: self.traffic_class,
            hop_limit: if self.hop_limit <= 1 { 64 } else { self.hop_limit },
            flow_label: self.flow_label,
        }
    }
}

/// Changes for `modify_qp`; an attribute that is `None` is not in the mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QpAttr {
    /// State to go to.
    pub state: Option<QpState>,
    /// State that the caller believes the queue pair to be in.
    pub cur_state: Option<QpState>,
    /// Raise [`SqDrained`](crate::QpEvent::SqDrained) when the send queue has drained.
    pub en_sqd_async_notify: Option<bool>,
    /// What peers may do through this queue pair.
    pub access: Option<Access>,
    /// Index into the table of partition keys; there is only index 0.
    pub pkey_index: Option<u16>,
    /// Port number; there is only port 1.
    pub port: Option<u8>,
    /// Path to the peer.
    pub av: Option<AddressVector>,
    /// Payload of a full packet. Both ends must agree.
    pub path_mtu: Option<PathMtu>,
    /// Local ACK timeout, 0..=31: 4.096 µs · 2^timeout; 0 waits for ever.
    pub timeout: Option<u8>,
    /// Retransmissions without progress before giving up, 0..=7.
    pub retry_cnt: Option<u8>,
    /// Retransmissions after "receiver not ready" before giving up, 0..=7; 7 for ever.
    pub rnr_retry: Option<u8>,
    /// First PSN expected from the peer.
    pub rq_psn: Option<Psn>,
    /// First PSN to send.
    pub sq_psn: Option<Psn>,
    /// READs and atomics that may be outstanding towards the peer, 0..=128.
    pub max_rd_atomic: Option<u8>,
    /// READs and atomics that the peer may have outstanding towards us, 0..=128.
    pub max_dest_rd_atomic: Option<u8>,
    /// How long a peer is asked to wait when no receive is posted.
    pub min_rnr_timer: Option<RnrTimer>,
    /// The peer's queue pair.
    pub dest_qpn: Option<Qpn>,
    /// Limit of the sending rate in kbit/s; 0 for none.
    pub rate_limit: Option<u32>,
}

bitflags::bitflags! {
    /// Which attributes a call names; values of `enum ibv_qp_attr_mask`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct AttrMask: u32 {
        /// `state`
        const STATE = 1;
        /// `cur_state`
        const CUR_STATE = 1 << 1;
        /// `en_sqd_async_notify`
        const EN_SQD_ASYNC_NOTIFY = 1 << 2;
        /// `access`
        const ACCESS_FLAGS = 1 << 3;
        /// `pkey_index`
        const PKEY_INDEX = 1 << 4;
        /// `port`
        const PORT = 1 << 5;
        /// `av`
        const AV = 1 << 7;
        /// `path_mtu`
        const PATH_MTU = 1 << 8;
        /// `timeout`
        const TIMEOUT = 1 << 9;
        /// `retry_cnt`
        const RETRY_CNT = 1 << 10;
        /// `rnr_retry`
        const RNR_RETRY = 1 << 11;
        /// `rq_psn`
        const RQ_PSN = 1 << 12;
        /// `max_rd_atomic`
        const MAX_QP_RD_ATOMIC = 1 << 13;
        /// `min_rnr_timer`
        const MIN_RNR_TIMER = 1 << 15;
        /// `sq_psn`
        const SQ_PSN = 1 << 16;
        /// `max_dest_rd_atomic`
        const MAX_DEST_RD_ATOMIC = 1 << 17;
        /// `dest_qpn`
        const DEST_QPN = 1 << 20;
        /// `rate_limit`
        const RATE_LIMIT = 1 << 25;
    }
}

impl core::fmt::Display for AttrMask {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        bitflags::parser::to_writer(self, f)
    }
}

impl QpAttr {
    /// RESET to INIT: what RC requires.
    pub fn init(access: Access) -> QpAttr {
        QpAttr {
            state: Some(QpState::Init),
            pkey_index: Some(0),
            port: Some(1),
            access: Some(access),
            ..QpAttr::default()
        }
    }

    /// INIT to RTR: what RC requires. The peer may take 0.64 ms per "receiver not ready", and may have 16
    /// READs and atomics outstanding.
    pub fn rtr(av: AddressVector, dest_qpn: Qpn, rq_psn: Psn, path_mtu: PathMtu) -> QpAttr {
        QpAttr {
            state: Some(QpState::Rtr),
            av: Some(av),
            path_mtu: Some(path_mtu),
            dest_qpn: Some(dest_qpn),
            rq_psn: Some(rq_psn),
            max_dest_rd_atomic: Some(16),
            min_rnr_timer: Some(RnrTimer(12)),
            ..QpAttr::default()
        }
    }

    /// RTR to RTS: what RC requires. 67 ms local ACK timeout, 6 retries, RNR retries for ever, 16 READs and
    /// atomics outstanding.
    pub fn rts(sq_psn: Psn) -> QpAttr {
        QpAttr {
            state: Some(QpState::Rts),
            sq_psn: Some(sq_psn),
            timeout: Some(14),
            retry_cnt: Some(6),
            rnr_retry: Some(7),
            max_rd_atomic: Some(16),
            ..QpAttr::default()
        }
    }

    /// To a state that needs nothing more: RESET, ERR, SQD.
    pub fn to(state: QpState) -> QpAttr {
        QpAttr { state: Some(state), ..QpAttr::default() }
    }

    /// The attributes that are given.
    pub fn mask(&self) -> AttrMask {
        let given = [
            (self.state.is_some(), AttrMask::STATE),
            (self.cur_state.is_some(), AttrMask::CUR_STATE),
            (self.en_sqd_async_notify.is_some(), AttrMask::EN_SQD_ASYNC_NOTIFY),
            (self.access.is_some(), AttrMask::ACCESS_FLAGS),
            (self.pkey_index.is_some(), AttrMask::PKEY_INDEX),
            (self.port.is_some(), AttrMask::PORT),
            (self.av.is_some(), AttrMask::AV),
            (self.path_mtu.is_some(), AttrMask::PATH_MTU),
            (self.timeout.is_some(), AttrMask::TIMEOUT),
            (self.retry_cnt.is_some(), AttrMask::RETRY_CNT),
            (self.rnr_retry.is_some(), AttrMask::RNR_RETRY),
            (self.rq_psn.is_some(), AttrMask::RQ_PSN),
            (self.max_rd_atomic.is_some(), AttrMask::MAX_QP_RD_ATOMIC),
            (self.min_rnr_timer.is_some(), AttrMask::MIN_RNR_TIMER),
            (self.sq_psn.is_some(), AttrMask::SQ_PSN),
            (self.max_dest_rd_atomic.is_some(), AttrMask::MAX_DEST_RD_ATOMIC),
            (self.dest_qpn.is_some(), AttrMask::DEST_QPN),
            (self.rate_limit.is_some(), AttrMask::RATE_LIMIT),
        ];
        given.iter().filter(|(is_given, _)| *is_given).map(|(_, bit)| *bit).collect()
    }

    /// Takes over everything that `change` gives, except states.
    pub(super) fn merge(&mut self, change: &QpAttr) {
        fn take<A: Copy>(old: &mut Option<A>, new: Option<A>) {
            *old = new.or(*old);
        }
        take(&mut self.en_sqd_async_notify, change.en_sqd_async_notify);
        take(&mut self.access, change.access);
        take(&mut self.pkey_index, change.pkey_index);
        take(&mut self.port, change.port);
        take(&mut self.av, change.av);
        take(&mut self.path_mtu, change.path_mtu);
        take(&mut self.timeout, change.timeout);
        take(&mut self.retry_cnt, change.retry_cnt);
        take(&mut self.rnr_retry, change.rnr_retry);
        take(&mut self.rq_psn, change.rq_psn);
        take(&mut self.sq_psn, change.sq_psn);
        take(&mut self.max_rd_atomic, change.max_rd_atomic);
        take(&mut self.max_dest_rd_atomic, change.max_dest_rd_atomic);
        take(&mut self.min_rnr_timer, change.min_rnr_timer);
        take(&mut self.dest_qpn, change.dest_qpn);
        take(&mut self.rate_limit, change.rate_limit);
    }

    /// Checks the ranges of what is given.
    pub(super) fn check_ranges(&self, port: &Port<'_>) -> Result<(), TransitionFault> {
        let above = |value: Option<u8>, most| value.is_some_and(|value| value > most);
        let faults = [
            (self.pkey_index.is_some_and(|index| index != 0), "pkey_index"),
            (self.port.is_some_and(|port| port != 1), "port"),
            (self.av.is_some_and(|av| !port.reaches(&av)), "av"),
            (self.path_mtu.is_some_and(|mtu| mtu.bytes() > port.mtu.bytes()), "path_mtu"),
            (above(self.timeout, 31), "timeout"),
            (above(self.retry_cnt, 7), "retry_cnt"),
            (above(self.rnr_retry, 7), "rnr_retry"),
            (above(self.max_rd_atomic, port.max_rd_atomic), "max_rd_atomic"),
            (above(self.max_dest_rd_atomic, port.max_rd_atomic), "max_dest_rd_atomic"),
        ];
        match faults.iter().find(|(is_fault, _)| *is_fault) {
            Some((_, name)) => Err(TransitionFault::Range(name)),
            None => Ok(()),
        }
    }
}

/// What of the device limits the attributes of its queue pairs.
pub(crate) struct Port<'a> {
    pub gids: &'a [IpAddr],
    pub mtu: PathMtu,
    pub max_rd_atomic: u8,
}

impl Port<'_> {
    /// True when the source exists and speaks the destination's version of IP.
    fn reaches(&self, av: &AddressVector) -> bool {
        let source = self.gids.get(usize::from(av.sgid_index));
        source.is_some_and(|source| source.is_ipv4() == av.dgid.is_ipv4()) && av.flow_label < 1 << 20
    }
}

/// All that `ibv_query_qp` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QpInfo {
    /// The queue pair's number.
    pub qpn: Qpn,
    /// What it was created with; sizes are those granted.
    pub init: QpInit,
    /// Its state.
    pub state: QpState,
    /// True while a send queue in SQD still has messages in flight (`sq_draining`).
    pub sq_draining: bool,
    /// All other attributes. Those never set are `None`, except that `sq_psn` and `rq_psn` are the current
    /// ones: the next PSN to be sent and to be expected.
    pub attr: QpAttr,
}
