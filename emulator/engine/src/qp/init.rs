//! What a queue pair is created with.

use ferroce_wire::Service;

use crate::cq::Cq;
use crate::memory::Pd;
use crate::srq::{Srq, Xrcd};
use crate::work::SendOp;

/// Transport service of a queue pair; values of `enum ibv_qp_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum QpType {
    /// Reliable connection.
    Rc = 2,
    /// Unreliable connection: what is lost stays lost.
    Uc = 3,
    /// Unreliable datagrams: each goes where its request says.
    Ud = 4,
    /// The sending end of an extended reliable connection (IBTA annex A14).
    XrcInitiator = 9,
    /// The receiving end of an extended reliable connection.
    XrcTarget = 10,
}

impl QpType {
    /// All types.
    pub const ALL: [QpType; 5] =
        [QpType::Rc, QpType::Uc, QpType::Ud, QpType::XrcInitiator, QpType::XrcTarget];

    /// The class of the opcodes that it sends and understands.
    pub const fn service(self) -> Service {
        match self {
            QpType::Rc => Service::Rc,
            QpType::Uc => Service::Uc,
            QpType::Ud => Service::Ud,
            QpType::XrcInitiator | QpType::XrcTarget => Service::Xrc,
        }
    }

    /// The name that libibverbs programs print.
    pub const fn name(self) -> &'static str {
        match self {
            QpType::Rc => "RC",
            QpType::Uc => "UC",
            QpType::Ud => "UD",
            QpType::XrcInitiator => "XRC_SEND",
            QpType::XrcTarget => "XRC_RECV",
        }
    }

    /// True when a lost packet is sent again, and everything that is sent is answered.
    pub const fn is_reliable(self) -> bool {
        !matches!(self, QpType::Uc | QpType::Ud)
    }

    /// Whether a send queue of this type can carry `op` out (IBTA table 102, `ibv_post_send(3)`).
    pub(crate) const fn offers(self, op: &SendOp) -> bool {
        match self {
            QpType::Rc => true,
            QpType::XrcInitiator => !op.is_placement(),
            QpType::Uc => !(op.wants_response() || matches!(op, SendOp::SendInv(_))),
            QpType::Ud => matches!(op, SendOp::Send | SendOp::SendImm(_)),
            QpType::XrcTarget => false,
        }
    }
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
    /// The queue that it shares its receives with, instead of one of its own. For RC and UD.
    pub srq: Option<Srq>,
    /// The domain of the shared receive queues that it serves, for the target of an extended reliable connection.
    pub xrcd: Option<Xrcd>,
}

impl QpInit {
    /// With queues of the usual sizes that complete to one completion queue, and only signaled requests
    /// completing.
    pub fn new(qp_type: QpType, pd: Pd, cq: Cq) -> QpInit {
        let (cap, signal_all) = (QpCap::default(), false);
        QpInit { qp_type, pd, send_cq: cq, recv_cq: cq, cap, signal_all, srq: None, xrcd: None }
    }

    /// The target of an extended reliable connection. It posts nothing itself, and completes to the queues of the
    /// shared receive queues that its peer names.
    pub fn xrc_target(xrcd: Xrcd) -> QpInit {
        let cap =
            QpCap { max_send_wr: 0, max_recv_wr: 0, max_send_sge: 0, max_recv_sge: 0, max_inline_data: 0 };
        QpInit { cap, xrcd: Some(xrcd), ..QpInit::new(QpType::XrcTarget, Pd::NONE, Cq::NONE) }
    }
}
