//! With what else the next packet of a queue pair leaves.

use ferroce_wire::Qpn;

use super::{Qp, QpType};
use crate::io::{Flow, Train, TxLimits};

impl Qp {
    /// Where the next packet goes; nowhere while there is no peer.
    pub(crate) fn next_stop(&self) -> Option<(Flow, Qpn)> {
        match self.conn.init.qp_type {
            QpType::Ud => self.requester.next_stop(),
            _ => Some((self.conn.flow?, self.conn.dest_qpn)),
        }
    }

    /// Whether its next packet may join a train that others have begun.
    pub(crate) fn goes_along(&self, train: &Train, limits: &TxLimits) -> bool {
        let stop = self.next_stop().filter(|_| self.cnp_due().is_none());
        stop.is_some_and(|(flow, dest)| train.goes_along(flow, dest, limits))
    }

    /// All that it has to say is one ACK.
    pub(crate) fn says_only_an_ack(&self) -> bool {
        self.responder.has_only_an_ack() && !self.requester.wants_to_send()
    }

    /// All that it has to say is one short request.
    pub(crate) fn says_one_request(&self) -> bool {
        self.state.sends() && !self.responder.wants_to_send() && self.requester.has_one_packet(self.conn.mtu)
    }

    /// Whether a request goes ahead of the acknowledgement that waits: when it is the only one, and short. Only the
    /// last packet of a train may be shorter than the others, and an ACK is shorter than a request. In this order both
    /// leave together, and an answer and the ACK for its question are one datagram for the system.
    pub(super) fn goes_ahead(&self, train: &Train) -> bool {
        train.is_empty()
            && self.state.sends()
            && self.responder.has_only_an_ack()
            && self.requester.has_one_packet(self.conn.mtu)
    }
}
