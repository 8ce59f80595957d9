//! Congestion as one queue pair sees it: when the next packet may leave, and whether the peer is owed a CNP.

use core::time::Duration;

use ferroce_wire::Psn;

use super::{CnpPolicy, Congestion, RateControl};
use crate::time::Time;

/// Bytes of Ethernet, IPv4 and UDP headers, frame check sequence, preamble and gap around each packet: rates
/// are those of the wire.
const OVERHEAD: u64 = 14 + 20 + 8 + 4 + 20;

#[derive(Clone, Debug)]
pub(crate) struct Governor {
    notify: Option<CnpPolicy>,
    /// A marked packet came, and the CNP for it may be sent from then on.
    cnp_due: bool,
    cnp_after: Time,
    control: Option<Box<dyn RateControl>>,
    catch_up: Duration,
    /// When the next packet may leave.
    next: Time,
    /// A packet was held back; somebody must look again at `next`.
    waiting: bool,
    /// The packet whose round trip is being measured.
    probe: Option<(Psn, Time)>,
}

impl Governor {
    pub(crate) fn new(congestion: &Congestion) -> Governor {
        Governor {
            notify: congestion.notify,
            cnp_due: false,
            cnp_after: Time::ZERO,
            control: congestion.control.clone(),
            catch_up: congestion.catch_up,
            next: Time::ZERO,
            waiting: false,
            probe: None,
        }
    }

    /// Bits per second at which packets leave; `None` when they are not held back.
    pub(crate) fn rate(&self) -> Option<u64> {
        self.control.as_ref().and_then(|control| control.rate())
    }

    // --- pacing ------------------------------------------------------------------------------------------------

    /// Whether the next packet must wait.
    pub(crate) fn holds(&mut self, now: Time) -> bool {
        self.waiting = self.next > now;
        self.waiting
    }

    /// A packet of `bytes` of UDP payload was sent.
    pub(crate) fn sent(&mut self, now: Time, bytes: usize) {
        let Some(control) = &mut self.control else { return };
        let bytes = bytes as u64 + OVERHEAD;
        control.sent(now, bytes);
        let Some(rate) = control.rate() else {
            self.next = now;
            return;
        };
        let nanos = (u128::from(bytes) * 8_000_000_000).div_ceil(u128::from(rate.max(1)));
        let span = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let earliest = Time::from_nanos(now.nanos().saturating_sub(self.catch_up.as_nanos() as u64));
        self.next = self.next.max(earliest) + span;
    }

    /// A request asked for an acknowledgement; it was the one with this PSN.
    pub(crate) fn asked(&mut self, now: Time, psn: Psn) {
        if self.control.is_some() && self.probe.is_none() {
            self.probe = Some((psn, now));
        }
    }

    /// Everything before `unacked` was acknowledged.
    pub(crate) fn acknowledged(&mut self, now: Time, unacked: Psn) {
        let (Some(control), Some((psn, sent))) = (&mut self.control, self.probe) else { return };
        if psn.is_before(unacked) {
            self.probe = None;
            control.round_trip(now, now.since(sent));
        }
    }

    /// Packets are sent again: an acknowledgement no longer tells a round trip.
    pub(crate) fn forget_probe(&mut self) {
        self.probe = None;
    }

    // --- notifications -----------------------------------------------------------------------------------------

    /// A CNP came.
    pub(crate) fn notified(&mut self, now: Time) -> bool {
        match &mut self.control {
            Some(control) => {
                control.notified(now);
                true
            }
            None => false,
        }
    }

    /// A packet came that a switch had marked.
    pub(crate) fn marked(&mut self, now: Time) {
        self.cnp_due |= self.notify.is_some() && now >= self.cnp_after;
    }

    /// The policy by which a CNP is to be sent now, if one is due.
    pub(crate) fn cnp_due(&self) -> Option<CnpPolicy> {
        self.notify.filter(|_| self.cnp_due)
    }

    /// The CNP was sent.
    pub(crate) fn cnp_sent(&mut self, now: Time) {
        self.cnp_due = false;
        self.cnp_after = now + self.notify.map_or(Duration::ZERO, |policy| policy.interval);
    }

    // --- time ----------------------------------------------------------------------------------------------------

    pub(crate) fn deadline(&self) -> Option<Time> {
        let paced = self.waiting.then_some(self.next);
        let control = self.control.as_ref().and_then(|control| control.deadline());
        [paced, control].into_iter().flatten().min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Time) {
        self.waiting &= self.next > now;
        if let Some(control) = &mut self.control
            && control.deadline().is_some_and(|deadline| deadline <= now)
        {
            control.handle_timeout(now);
        }
    }
}
