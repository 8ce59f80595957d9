//! Messages on their way out.

use std::collections::VecDeque;

use ferroce_wire::mad::{GSI_QKEY, MAD_LEN};
use ferroce_wire::{Bth, Deth, Headers, Opcode, Psn, Qpn};

use crate::io::{Flow, Train, TxLimits};

/// Messages that can wait to be sent. More are lost, as on any network, and repeated if they matter.
const ROOM: usize = 4096;

#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<(Flow, Box<[u8; MAD_LEN]>)>,
    psn: Psn,
}

impl Outbox {
    /// False when there is no room.
    pub(super) fn push(&mut self, flow: Flow, mad: Box<[u8; MAD_LEN]>) -> bool {
        let has_room = self.waiting.len() < ROOM;
        if has_room {
            self.waiting.push_back((flow, mad));
        }
        has_room
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Fills `out` with the next message; false when there is none.
    pub(super) fn emit(&mut self, migrated: bool, limits: &TxLimits, out: &mut Train) -> bool {
        let Some((flow, mad)) = self.waiting.pop_front() else { return false };
        let bth = Bth { migrated, ..Bth::new(Opcode::UD_SEND_ONLY, Qpn::GSI, self.psn) };
        self.psn = self.psn.next();
        let headers = Headers { deth: Some(Deth::new(GSI_QKEY, Qpn::GSI)), ..Headers::new(bth) };
        out.restart(flow, Qpn::GSI, limits);
        let filled: Result<(), std::convert::Infallible> = out.push(headers, MAD_LEN, limits, |payload| {
            payload.copy_from_slice(&mad[..]);
            Ok(())
        });
        filled.is_ok()
    }
}
