//! Requests that wait for their answer.

use std::collections::VecDeque;

use ferroce_wire::{Operation, PathMtu, Psn};

use super::sighting::Sighting;

/// Requests that are remembered; older ones are forgotten, and so never called unanswered.
const MAX_PENDING: usize = 1024;

/// Requests that must be answered, in PSN order.
#[derive(Debug, Default)]
pub(super) struct Pending {
    requests: VecDeque<Request>,
}

/// A request that must be answered.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) psn: Psn,
    pub(super) packet: u64,
    /// When it was sent last.
    pub(super) time: u64,
    /// How often it was sent.
    pub(super) sends: u32,
    /// Whether an ACK is not enough: READ, atomics, FLUSH and ATOMIC WRITE have responses of their own.
    responds: bool,
    /// Bytes of a READ.
    pub(super) len: u64,
    /// The next packet of the response.
    pub(super) next_response: Psn,
    /// Whether a packet of the response was missing.
    pub(super) missing: bool,
}

impl Pending {
    /// A request that was not seen before.
    pub(super) fn request(&mut self, s: &Sighting<'_>) {
        self.add(s, 1);
    }

    fn add(&mut self, s: &Sighting<'_>, sends: u32) {
        let bth = &s.headers.bth;
        let responds = matches!(
            s.opcode().operation(),
            Operation::ReadRequest
                | Operation::CompareSwap
                | Operation::FetchAdd
                | Operation::Flush
                | Operation::AtomicWrite
        );
        if !(bth.ack_request || responds) {
            return;
        }
        if self.requests.len() == MAX_PENDING {
            self.requests.pop_front();
        }
        let at = self.requests.partition_point(|request| request.psn.is_before(bth.psn));
        let len = match s.opcode().operation() {
            Operation::ReadRequest => s.headers.reth.map_or(0, |reth| u64::from(reth.len)),
            _ => 0,
        };
        let request = Request {
            psn: bth.psn,
            packet: s.number,
            time: s.time,
            sends,
            responds,
            len,
            next_response: bth.psn,
            missing: false,
        };
        self.requests.insert(at.min(self.requests.len()), request);
    }

    /// A request that was sent before.
    pub(super) fn again(&mut self, s: &Sighting<'_>) {
        let psn = s.headers.bth.psn;
        let after = self.requests.partition_point(|request| !request.psn.is_after(psn));
        let found = after.checked_sub(1).and_then(|index| self.requests.get_mut(index));
        match found {
            // A READ may be sent again for the rest of its data only, with a PSN inside the first one's.
            Some(request) if request.psn == psn || request.len > 0 && psn.is_after(request.psn) => {
                request.sends += 1;
                request.time = s.time;
            }
            // It was answered, but whoever asks again has not got the answer.
            _ => self.add(s, 2),
        }
    }

    /// The latest request that an ACK for `psn` answers, if it was sent once and an ACK is enough for it.
    pub(super) fn acked_by(&self, psn: Psn) -> Option<&Request> {
        let covered = self.requests.partition_point(|request| !request.psn.is_after(psn));
        let latest = self.requests.get(covered.checked_sub(1)?)?;
        (latest.sends == 1 && !latest.responds).then_some(latest)
    }

    /// An ACK: what it covers is answered, unless an ACK is not enough for it.
    pub(super) fn acked_up_to(&mut self, psn: Psn) {
        let covered = self.requests.partition_point(|request| !request.psn.is_after(psn));
        if self.requests.iter().take(covered).all(|request| !request.responds) {
            self.requests.drain(..covered);
        } else {
            self.requests.retain(|request| request.responds || request.psn.is_after(psn));
        }
    }

    /// The request with this PSN has its whole response.
    pub(super) fn answered(&mut self, psn: Psn) {
        if let Some(index) = self.requests.iter().position(|request| request.psn == psn) {
            self.requests.remove(index);
        }
    }

    /// Nothing waits any more.
    pub(super) fn clear(&mut self) {
        self.requests.clear();
    }

    /// The request to which a READ response with this PSN belongs.
    pub(super) fn read_at(&mut self, psn: Psn, mtu: Option<PathMtu>) -> Option<&mut Request> {
        let after = self.requests.partition_point(|request| !request.psn.is_after(psn));
        let request = self.requests.range_mut(..after).rev().find(|request| request.responds)?;
        let packets = mtu.unwrap_or(PathMtu::Mtu256).packets_for(request.len);
        psn.is_before(request.psn + packets).then_some(request)
    }

    /// What was never answered: how many requests, and the first of them.
    pub(super) fn unanswered(&self) -> Option<(u64, &Request)> {
        self.requests.front().map(|first| (self.requests.len() as u64, first))
    }
}
