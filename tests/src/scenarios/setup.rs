//! How two queue pairs are connected: the parameters and the transitions.

use std::net::IpAddr;

use super::end::End;
use crate::peer::{Access, Path, QpAttr, QpState, QpType};

/// The Q_Key of queue pairs for datagrams.
pub(super) const QKEY: u32 = 0x1111_1111;

/// How the two are connected.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Type of the queue pairs.
    pub service: QpType,
    /// 1 is the IPv4 address, 2 the global IPv6 one.
    pub gid_index: u8,
    /// Bytes, requester's and responder's.
    pub mtu: (u32, u32),
    /// First PSN that the requester and the responder send.
    pub psn: (u32, u32),
    /// Local ACK timeout code: 4.096 us times two to this power; 0 is for ever.
    pub timeout: u8,
    /// 7 is not for ever, only many.
    pub retry_cnt: u8,
    /// 7 is for ever.
    pub rnr_retry: u8,
    /// RNR NAK timer code of both sides.
    pub min_rnr_timer: u8,
    /// Requester's `max_rd_atomic`.
    pub max_rd: u8,
    /// Responder's `max_dest_rd_atomic`.
    pub max_dest_rd: u8,
    /// Responder's `max_rd_atomic`.
    pub responder_max_rd: u8,
    /// What the responder's queue pair allows.
    pub qp_access: u32,
    /// What the memory regions `buf` allow.
    pub mr_access: u32,
    /// Bytes of the memory region `buf` on each side.
    pub buf: usize,
    /// Which sides' `buf` holds the pattern; the others' is zero.
    pub pattern: (bool, bool),
    /// Depth of the completion queue of each side.
    pub cq_depth: (u32, u32),
    /// How far the responder's queue pair goes.
    pub responder_state: QpState,
    /// Queue pair to which the requester sends, if not to the responder's.
    pub dest_qpn: Option<u32>,
    /// The responder expects packets from its own address instead of the requester's.
    pub expects_itself: bool,
    /// What the responder expects as first PSN, if not the requester's.
    pub expected_psn: Option<u32>,
    /// Hop limit, traffic class and flow label of both sides' paths.
    pub route: (u8, u8, u32),
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            service: QpType::Rc,
            gid_index: 1,
            mtu: (1024, 1024),
            psn: (0x1000, 0xA000),
            timeout: 17,
            retry_cnt: 6,
            rnr_retry: 6,
            min_rnr_timer: 12,
            max_rd: 16,
            max_dest_rd: 16,
            responder_max_rd: 16,
            qp_access: Access::ALL,
            mr_access: Access::ALL,
            buf: 8192,
            pattern: (true, false),
            cq_depth: (256, 256),
            responder_state: QpState::Rts,
            dest_qpn: None,
            expects_itself: false,
            expected_psn: None,
            route: (64, 0, 0),
        }
    }
}

impl Setup {
    /// For a responder that falls silent: 67 ms, two retries.
    pub fn impatient() -> Self {
        Self { timeout: 14, retry_cnt: 2, ..Self::default() }
    }

    pub(super) fn path(&self, gid: IpAddr) -> Path {
        let (hop_limit, traffic_class, flow_label) = self.route;
        Path { gid, hop_limit, traffic_class, flow_label, sl: 0 }
    }

    /// The requester's way to RTS.
    pub(super) fn requester(&self, resp: &End<'_>) -> Transitions {
        Transitions {
            access: Access::ALL,
            path: self.path(resp.gid),
            mtu: self.mtu.0,
            dest_qpn: self.dest_qpn.unwrap_or(resp.qpn()),
            rq_psn: self.psn.1,
            sq_psn: self.psn.0,
            max_dest_rd: 16,
            max_rd: self.max_rd,
            setup: self.clone(),
        }
    }

    /// The responder's way to RTS.
    pub(super) fn responder(&self, req: &End<'_>, resp: &End<'_>) -> Transitions {
        Transitions {
            access: self.qp_access,
            path: self.path(if self.expects_itself { resp.gid } else { req.gid }),
            mtu: self.mtu.1,
            dest_qpn: req.qpn(),
            rq_psn: self.expected_psn.unwrap_or(self.psn.0),
            sq_psn: self.psn.1,
            max_dest_rd: self.max_dest_rd,
            max_rd: self.responder_max_rd,
            setup: self.clone(),
        }
    }
}

/// What one queue pair is told on its way from RESET to RTS.
#[derive(Debug, Clone)]
pub(super) struct Transitions {
    access: u32,
    path: Path,
    mtu: u32,
    dest_qpn: u32,
    rq_psn: u32,
    pub(super) sq_psn: u32,
    max_dest_rd: u8,
    max_rd: u8,
    setup: Setup,
}

impl Transitions {
    pub(super) fn init(&self) -> QpAttr {
        let plain =
            QpAttr { state: Some(QpState::Init), pkey_index: Some(0), port: Some(1), ..QpAttr::default() };
        match self.setup.service {
            QpType::Ud => QpAttr { qkey: Some(QKEY), ..plain },
            QpType::Rc | QpType::Uc => QpAttr { access: Some(self.access), ..plain },
        }
    }

    pub(super) fn rtr(&self) -> QpAttr {
        let plain = QpAttr { state: Some(QpState::Rtr), ..QpAttr::default() };
        let connected = QpAttr {
            path: Some(self.path),
            path_mtu: Some(self.mtu),
            dest_qpn: Some(self.dest_qpn),
            rq_psn: Some(self.rq_psn),
            ..plain.clone()
        };
        match self.setup.service {
            QpType::Ud => plain,
            QpType::Uc => connected,
            QpType::Rc => QpAttr {
                max_dest_rd_atomic: Some(self.max_dest_rd),
                min_rnr_timer: Some(self.setup.min_rnr_timer),
                ..connected
            },
        }
    }

    pub(super) fn rts(&self) -> QpAttr {
        let plain = QpAttr { state: Some(QpState::Rts), sq_psn: Some(self.sq_psn), ..QpAttr::default() };
        match self.setup.service {
            QpType::Uc | QpType::Ud => plain,
            QpType::Rc => QpAttr {
                timeout: Some(self.setup.timeout),
                retry_cnt: Some(self.setup.retry_cnt),
                rnr_retry: Some(self.setup.rnr_retry),
                max_rd_atomic: Some(self.max_rd),
                ..plain
            },
        }
    }
}
