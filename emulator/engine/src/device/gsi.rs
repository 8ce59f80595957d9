//! The general service interface, QP1: where connection management lives.

use ferroce_wire::mad::GSI_QKEY;
use ferroce_wire::{DEFAULT_PKEY, Opcode, Packet};

use crate::cm::Cm;
use crate::io::{RxMeta, Train, TxLimits};
use crate::qp::pkeys_match;
use crate::time::Time;
use crate::trace::{DropReason, TraceSink};

use super::Device;

impl<T: TraceSink> Device<T> {
    /// The connection manager.
    pub fn cm(&self) -> &Cm {
        &self.cm
    }

    /// The connection manager, to be asked for connections.
    pub fn cm_mut(&mut self) -> &mut Cm {
        &mut self.cm
    }

    /// The checks before a packet reaches the general service interface, but for its ICRC.
    pub(super) fn is_for_gsi(&self, meta: &RxMeta, packet: &Packet<'_>) -> Result<(), DropReason> {
        if !self.core.config.gids.contains(&meta.dst) {
            return Err(DropReason::NotOurs);
        }
        if packet.headers.bth.opcode != Opcode::UD_SEND_ONLY {
            return Err(DropReason::Service);
        }
        if !pkeys_match(packet.headers.bth.pkey, DEFAULT_PKEY) {
            return Err(DropReason::Pkey);
        }
        if packet.headers.deth.is_none_or(|deth| deth.qkey != GSI_QKEY) {
            return Err(DropReason::Qkey);
        }
        Ok(())
    }

    pub(super) fn receive_at_gsi(&mut self, now: Time, meta: &RxMeta, packet: &Packet<'_>) {
        self.core.counters.rcvd_pkts += 1;
        self.core.counters.rcvd_bytes += packet.wire_len() as u64;
        self.cm.receive(now, meta, packet.payload);
    }

    /// Fills `out` with the next message of the connection manager; false when there is none.
    pub(super) fn emit_at_gsi(&mut self, limits: &TxLimits, out: &mut Train) -> bool {
        let is_filled = self.cm.emit(self.core.config.personality.migrated, limits, out);
        if is_filled {
            self.core.counters.sent_pkts += 1;
            self.core.counters.sent_bytes += out.bytes().len() as u64;
        }
        is_filled
    }
}
