//! From datagrams to the queue pairs that they are for.

use ferroce_wire::{Packet, PseudoHeader, Qpn, Service};

use super::Device;
use crate::io::{Ident, RxMeta, pseudo_header};
use crate::qp::QpType;
use crate::time::Time;
use crate::trace::{DropReason, TraceSink};

/// The ECN bits of a traffic class, all set: "congestion experienced" (RFC 3168).
const CONGESTION_EXPERIENCED: u8 = 3;

impl<T: TraceSink> Device<T> {
    /// A datagram arrived at port 4791: its UDP payload, from BTH to ICRC. Whatever the bytes are, the worst
    /// that happens is a counted drop.
    pub fn handle_packet(&mut self, now: Time, meta: &RxMeta, udp_payload: &[u8]) {
        match self.accept(meta, udp_payload) {
            Ok(packet) if packet.headers.bth.dest_qp == Qpn::MULTICAST => self.fan_out(now, meta, &packet),
            Ok(packet) if packet.headers.bth.dest_qp == Qpn::GSI => self.receive_at_gsi(now, meta, &packet),
            Ok(packet) => {
                let qpn = packet.headers.bth.dest_qp;
                let marked = meta.traffic_class & CONGESTION_EXPERIENCED == CONGESTION_EXPERIENCED;
                self.with_qp(now, qpn, |qp, ctx| {
                    if marked {
                        qp.congestion_met(ctx);
                    }
                    qp.handle_packet(&packet, meta, ctx);
                });
            }
            Err((qp, why)) => self.core.ctx(now).dropped(qp, why),
        }
    }

    /// The checks before a packet reaches its queue pair (IBTA 9.6.1).
    fn accept<'p>(
        &mut self,
        meta: &RxMeta,
        udp_payload: &'p [u8],
    ) -> Result<Packet<'p>, (Option<Qpn>, DropReason)> {
        let packet = Packet::parse(udp_payload).map_err(|_| (None, DropReason::Malformed))?;
        let bth = &packet.headers.bth;
        let fault = |why| (Some(bth.dest_qp), why);
        if bth.version != 0 {
            return Err(fault(DropReason::Version));
        }
        let found = match bth.dest_qp {
            Qpn::MULTICAST => self.is_for_members(meta, bth.opcode.service()),
            Qpn::GSI => self.is_for_gsi(meta, &packet),
            _ => self.is_for_queue_pair(meta, bth.dest_qp, bth.opcode.service()),
        };
        found.map_err(fault)?;
        if !self.icrc_is_right(meta, udp_payload) {
            return Err(fault(DropReason::Icrc));
        }
        Ok(packet)
    }

    fn is_for_queue_pair(&self, meta: &RxMeta, qpn: Qpn, service: Service) -> Result<(), DropReason> {
        if !self.core.config.gids.contains(&meta.dst) {
            return Err(DropReason::NotOurs);
        }
        let qp = self.qps.get(qpn).ok_or(DropReason::NoQp)?;
        let qp_type = qp.conn.init.qp_type;
        if service != qp_type.service() && service != Service::Cnp {
            return Err(DropReason::Service);
        }
        if qp_type == QpType::Ud {
            return Ok(());
        }
        let flow = qp.conn.flow.ok_or(DropReason::QpState)?;
        if (meta.src, meta.dst) != (flow.dst, flow.src) {
            return Err(DropReason::NotPeer);
        }
        Ok(())
    }

    fn icrc_is_right(&mut self, meta: &RxMeta, udp_payload: &[u8]) -> bool {
        let (ident, flags, hidden) = match meta.ident {
            Ident::Known { ident, flags_fragment } => (ident, flags_fragment, false),
            Ident::Local { ident } => (ident, crate::io::DONT_FRAGMENT, false),
            Ident::Hidden { likely } => (likely, crate::io::DONT_FRAGMENT, true),
            Ident::Vouched => return true,
        };
        let Some(header) = pseudo_header(meta.src, meta.dst, meta.src_port, ident, flags) else {
            return false;
        };
        if hidden && matches!(header, PseudoHeader::V4 { .. }) {
            self.core.counters.icrc_partial += 1;
            return header.solve_ident(udp_payload).is_some();
        }
        header.verify(udp_payload)
    }
}
