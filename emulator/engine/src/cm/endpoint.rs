//! One end of a connection, as connection management knows it.

use std::net::IpAddr;
use std::time::Duration;

use ferroce_wire::cm::ServiceId;
use ferroce_wire::flow::port_for_datagram_qp;
use ferroce_wire::mad::MAD_LEN;
use ferroce_wire::{PathMtu, Psn, Qpn, RnrTimer};

use crate::error::VerbsError;
use crate::io::Flow;
use crate::memory::Access;
use crate::qp::{AddressVector, QpAttr, QpState};
use crate::time::Time;

use super::types::{CmListener, CmState, CmTransport};

/// Who asks and who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub local: IpAddr,
    pub peer: IpAddr,
    pub traffic_class: u8,
}

impl Path {
    /// The headers of messages along the path.
    pub(super) fn flow(&self) -> Flow {
        Flow {
            src: self.local,
            dst: self.peer,
            src_port: port_for_datagram_qp(Qpn::GSI),
            traffic_class: self.traffic_class,
            hop_limit: 64,
            flow_label: 0,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub state: CmState,
    /// Its owner is gone; what is left is to end it in good order.
    pub orphan: bool,
    /// The listener whose backlog it counts against.
    pub waiting_at: Option<CmListener>,
    /// Events about it that nobody has taken.
    pub events: u32,
    pub path: Path,
    pub service_id: ServiceId,
    /// The peer's name for the connection.
    pub remote_id: Option<u32>,
    pub transaction_id: u64,
    pub link: Link,

    /// How long an answer may take before the message is repeated.
    pub patience: Duration,
    /// How often to repeat, for each message.
    pub max_retries: u8,
    pub retries_left: u8,
    pub deadline: Option<Time>,
    /// The last message, to be repeated.
    pub sent: Option<Box<[u8; MAD_LEN]>>,
}

/// What the queue pairs must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub transport: CmTransport,
    /// This end asked for the connection: an extended one's initiator, whose other end is the target.
    pub asks: bool,
    pub av: AddressVector,
    pub path_mtu: PathMtu,
    pub local_qpn: Qpn,
    pub remote_qpn: Option<Qpn>,
    /// The first PSN that comes.
    pub rq_psn: Psn,
    /// The first PSN to send.
    pub sq_psn: Psn,
    pub responder_resources: u8,
    pub initiator_depth: u8,
    pub retry_count: u8,
    pub rnr_retry_count: u8,
    /// Local ACK timeout, as in `ibv_qp_attr`.
    pub ack_timeout: u8,
}

impl Link {
    /// What leads a queue pair of this connection to `state`; as `rdma_init_qp_attr` does.
    pub(super) fn qp_attr(&self, state: QpState) -> Result<QpAttr, VerbsError> {
        let reliable = self.transport != CmTransport::Uc;
        match state {
            QpState::Init => {
                let reads = Access::REMOTE_READ | Access::REMOTE_ATOMIC;
                let more = if self.responder_resources > 0 && reliable { reads } else { Access::empty() };
                Ok(QpAttr::init(Access::REMOTE_WRITE | more))
            }
            QpState::Rtr => {
                let remote = self.remote_qpn.ok_or(VerbsError::Invalid("the peer has not answered yet"))?;
                if !reliable {
                    return Ok(QpAttr::rtr_uc(self.av, remote, self.rq_psn, self.path_mtu));
                }
                let answers = self.transport != CmTransport::Xrc || !self.asks;
                Ok(QpAttr {
                    max_dest_rd_atomic: answers.then_some(self.responder_resources),
                    min_rnr_timer: answers.then_some(RnrTimer(0)),
                    ..QpAttr::rtr(self.av, remote, self.rq_psn, self.path_mtu)
                })
            }
            QpState::Rts if !reliable => Ok(QpAttr::rts_unreliable(self.sq_psn)),
            QpState::Rts => {
                let sends = self.transport != CmTransport::Xrc || self.asks;
                Ok(QpAttr {
                    timeout: Some(self.ack_timeout),
                    retry_cnt: sends.then_some(self.retry_count),
                    rnr_retry: sends.then_some(self.rnr_retry_count),
                    max_rd_atomic: sends.then_some(self.initiator_depth),
                    ..QpAttr::rts(self.sq_psn)
                })
            }
            _ => Err(VerbsError::Invalid("connections lead to INIT, RTR and RTS only")),
        }
    }
}

/// The local ACK timeout for a path on which packets live for `life` and a device acknowledges after `delay`, all
/// three as codes: the sum of there, back and delay, rounded up.
pub(super) fn ack_timeout(delay: u8, life: u8) -> u8 {
    let (delay, round_trip) = (delay.min(31), life.min(31) + 1);
    let carry = if round_trip >= delay { delay >= round_trip - 1 } else { round_trip >= delay - 1 };
    (round_trip.max(delay) + u8::from(carry)).min(31)
}

#[cfg(test)]
mod tests {
    use crate::qp::{QpType, transitions};

    use super::super::calls::unconnected;
    use super::*;

    #[test]
    fn a_queue_pair_is_given_what_its_type_needs_and_nothing_else() {
        let av = AddressVector::new(0, IpAddr::from([192, 0, 2, 1]));
        for (transport, asks, qp_type) in [
            (CmTransport::Rc, true, QpType::Rc),
            (CmTransport::Rc, false, QpType::Rc),
            (CmTransport::Uc, true, QpType::Uc),
            (CmTransport::Xrc, true, QpType::XrcInitiator),
            (CmTransport::Xrc, false, QpType::XrcTarget),
        ] {
            let link = Link { transport, asks, remote_qpn: Some(Qpn::new(7)), ..unconnected(av) };
            let way = [QpState::Reset, QpState::Init, QpState::Rtr, QpState::Rts];
            for step in way.windows(2) {
                let rule = transitions(qp_type).find(|rule| [rule.from, rule.to] == step).unwrap();
                let given = link.qp_attr(step[1]).unwrap().mask() - crate::qp::AttrMask::STATE;
                assert!(given.contains(rule.required), "{qp_type:?} {step:?}: {given:?}");
                assert!((rule.required | rule.optional).contains(given), "{qp_type:?} {step:?}: {given:?}");
            }
        }
    }

    #[test]
    fn the_ack_timeout_is_that_of_linux() {
        // Delay 15, as soft-RoCE has it: seen on the wire from 6.1 (packet life time 18) and 6.12 (16).
        assert_eq!(ack_timeout(15, 18), 19);
        assert_eq!(ack_timeout(15, 16), 17);
        assert_eq!(ack_timeout(16, 16), 18);
        assert_eq!(ack_timeout(20, 16), 20);
        assert_eq!(ack_timeout(18, 16), 19);
        assert_eq!(ack_timeout(31, 31), 31);
        assert_eq!(ack_timeout(0, 0), 2);
    }
}
