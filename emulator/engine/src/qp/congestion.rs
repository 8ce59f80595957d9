//! A queue pair's part in congestion control: all that touches its [`Governor`].

use ferroce_wire::{Bth, Headers, Opcode, Packet, Psn};

use super::{Ctx, Qp, Step};
use crate::congestion::{CnpPolicy, Governor};
use crate::io::{Flow, Train, TxLimits};
use crate::policy::Personality;
use crate::time::Time;
use crate::trace::{TraceEvent, TraceSink};

/// Bytes of a CNP behind its BTH, all zero (RoCEv2 annex A17.9.3).
const CNP_PAYLOAD: usize = 16;

/// ECT(0), "I understand marks" (RFC 3168).
const ECT_0: u8 = 2;

impl Qp {
    /// The flow as this device sends it; a new way begins with a new idea of how full it is.
    pub(super) fn flow_of(&mut self, flow: Flow, policy: &Personality) -> Flow {
        let congestion = &policy.congestion;
        self.governor = (!congestion.is_off()).then(|| Box::new(Governor::new(congestion)));
        let traffic_class = if congestion.ect { flow.traffic_class & !3 | ECT_0 } else { flow.traffic_class };
        Flow { traffic_class, ..flow }
    }

    /// Bits per second at which packets leave; `None` when they are not held back.
    pub(crate) fn rate(&self) -> Option<u64> {
        self.governor.as_ref().and_then(|governor| governor.rate())
    }

    /// A packet came that a switch had marked.
    pub(crate) fn congestion_met<T: TraceSink>(&mut self, ctx: &mut Ctx<'_, T>) {
        ctx.counters.np_ecn_marked_roce_packets += 1;
        if let Some(governor) = &mut self.governor {
            governor.marked(ctx.now);
        }
    }

    /// A CNP is answered by nothing and is part of no sequence.
    pub(super) fn handle_cnp<T: TraceSink>(&mut self, packet: &Packet<'_>, ctx: &mut Ctx<'_, T>) {
        let Bth { opcode, psn, .. } = packet.headers.bth;
        let (qp, len, before) = (self.conn.qpn, packet.payload.len() as u32, self.rate());
        ctx.trace(|| TraceEvent::Received { qp, opcode, psn, len, syndrome: None });
        if self.governor.as_mut().is_some_and(|governor| governor.notified(ctx.now)) {
            ctx.counters.rp_cnp_handled += 1;
            self.trace_rate(before, ctx);
        } else {
            ctx.counters.rp_cnp_ignored += 1;
        }
    }

    pub(super) fn trace_rate<T: TraceSink>(&self, before: Option<u64>, ctx: &mut Ctx<'_, T>) {
        let rate = self.rate();
        if rate != before {
            ctx.trace(|| TraceEvent::Rate { qp: self.conn.qpn, rate });
        }
    }

    /// The policy by which the next packet is a CNP, if it is one.
    pub(crate) fn cnp_due(&self) -> Option<CnpPolicy> {
        self.governor.as_ref()?.cnp_due()
    }

    /// Whether the next packet is of one of these DSCPs.
    pub(crate) fn is_paused(&self, dscps: u64) -> bool {
        let class = match (self.cnp_due(), self.conn.flow) {
            (Some(policy), _) => policy.traffic_class,
            (None, Some(flow)) => flow.traffic_class,
            (None, None) => return false,
        };
        dscps >> (class >> 2) & 1 == 1
    }

    /// Adds the CNP that is due to an empty train.
    pub(crate) fn emit_cnp<T: TraceSink>(
        &mut self,
        limits: &TxLimits,
        train: &mut Train,
        ctx: &mut Ctx<'_, T>,
    ) {
        let headers = self.conn.headers(Opcode::CNP, Psn::default(), ctx.policy);
        let headers = Headers { bth: Bth { becn: true, ..headers.bth }, ..headers };
        let sent = train.push(headers, CNP_PAYLOAD, limits, |out| {
            out.fill(0);
            Ok::<_, core::convert::Infallible>(())
        });
        let Ok(()) = sent;
        ctx.counters.np_cnp_sent += 1;
        ctx.counters.sent_pkts += 1;
        ctx.counters.sent_bytes += train.bytes().len() as u64;
        if let Some(governor) = &mut self.governor {
            governor.cnp_sent(ctx.now);
        }
        ctx.trace(|| TraceEvent::Sent {
            qp: self.conn.qpn,
            opcode: Opcode::CNP,
            psn: Psn::default(),
            len: CNP_PAYLOAD as u32,
            ack_request: false,
            syndrome: None,
            again: false,
        });
    }

    /// Whether data must wait for the rate's sake.
    #[inline]
    pub(super) fn is_held(&mut self, now: Time) -> bool {
        self.governor.as_mut().is_some_and(|governor| governor.holds(now))
    }

    /// A packet of `bytes` was sent, if `step` says so.
    #[inline]
    pub(super) fn note_sent(&mut self, step: Step, bytes: usize, now: Time) {
        if let (Step::Sent, Some(governor)) = (step, &mut self.governor) {
            governor.sent(now, bytes);
        }
    }

    /// The same for a request, whose round trip may be measured.
    #[inline]
    pub(super) fn note_request(&mut self, step: Step, bytes: usize, now: Time) {
        if let (Step::Sent, Some(governor)) = (step, &mut self.governor) {
            governor.sent(now, bytes);
            if let Some(psn) = self.requester.asked() {
                governor.asked(now, psn);
            }
        }
    }

    pub(super) fn measure_round_trip(&mut self, now: Time) {
        if let Some(governor) = &mut self.governor {
            if self.requester.repeats() {
                governor.forget_probe();
            }
            governor.acknowledged(now, self.requester.una);
        }
    }
}
