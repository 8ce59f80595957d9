//! What trouble does to each end of the connection that it befalls.

use ferroce_engine::WcStatus;

use crate::plan::Plan;
use crate::program::*;

/// What is allowed, and what is required, of one end.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The message that fails, where that is certain.
    culprit: Option<usize>,
    /// How the first failing send may complete.
    first: Vec<WcStatus>,
    /// Some send fails.
    pub(crate) must_fail: bool,
    /// Sends may stay without completion: the queue pair was reset or destroyed.
    pub(crate) sends_may_vanish: bool,
    /// Nothing can be posted any more.
    pub(crate) closes: bool,
    /// The receive that completes with a status of its own.
    blamed: Option<(usize, WcStatus)>,
    /// Any receive may complete with this status.
    any_blamed: Option<WcStatus>,
    /// A message of this end may have been executed in part.
    pub(crate) leaves_parts: bool,
}

impl Verdict {
    pub(crate) fn new(plan: &Plan, end: usize) -> Verdict {
        let mut verdict = Verdict {
            culprit: None,
            first: Vec::new(),
            must_fail: false,
            sends_may_vanish: false,
            closes: false,
            blamed: None,
            any_blamed: None,
            leaves_parts: false,
        };
        let conn = plan.ends[end].end.conn;
        let Some(trouble) = plan.program.trouble.filter(|_| plan.is_troubled(conn)) else { return verdict };
        verdict.leaves_parts = true;
        let mine = trouble.end == plan.ends[end].end;
        match (plan.culprit(), mine) {
            (Some((_, index)), true) => verdict.own_message(plan, trouble.kind, index),
            (Some((_, index)), false) => verdict.peers_message(plan, trouble.kind, end, index),
            (None, true) => verdict.own_connection(trouble.kind),
            (None, false) if trouble.kind == TroubleKind::DeregRemote => {
                verdict.any_blamed = Some(WcStatus::LocAccessErr);
                verdict.first = vec![WcStatus::WrFlushErr];
            }
            // The peer falls silent.
            (None, false) => verdict.first = vec![WcStatus::RetryExcErr],
        }
        verdict
    }

    /// A message of this end fails.
    fn own_message(&mut self, plan: &Plan, kind: TroubleKind, index: usize) {
        let (end, _) = plan.culprit().expect("there is one");
        let peer = plan.end_plan(end.peer()).host;
        let too_long = match plan.program.hosts[peer].personality {
            "rxe" => WcStatus::RemOpErr,
            _ => WcStatus::RemInvReqErr,
        };
        let status = match kind {
            TroubleKind::BadLkey | TroubleKind::BadLocalRange => WcStatus::LocProtErr,
            TroubleKind::ShortAtomic => WcStatus::LocLenErr,
            TroubleKind::ShortReceive => too_long,
            TroubleKind::BadReceive => WcStatus::RemOpErr,
            TroubleKind::Unaligned => WcStatus::RemInvReqErr,
            TroubleKind::Invalidate => WcStatus::RetryExcErr,
            TroubleKind::NoReceive => WcStatus::RnrRetryExcErr,
            _ => WcStatus::RemAccessErr,
        };
        self.first = vec![status];
        // The one NAK that says so may be lost; a peer in error does not repeat it.
        if is_refused(kind) && !plan.is_quiet() {
            self.first.push(WcStatus::RetryExcErr);
        }
        // Receives that come too late exhaust the RNR retries of earlier messages as well.
        self.culprit = Some(index).filter(|_| kind != TroubleKind::NoReceive);
        self.must_fail = true;
    }

    /// A message of the peer's fails.
    fn peers_message(&mut self, plan: &Plan, kind: TroubleKind, end: usize, index: usize) {
        let planned = &plan.ends[end ^ 1].messages[index];
        let status = match kind {
            TroubleKind::ShortReceive => Some(WcStatus::LocLenErr),
            TroubleKind::BadReceive => Some(WcStatus::LocProtErr),
            TroubleKind::Invalidate => Some(WcStatus::RemInvReqErr),
            _ if is_refused(kind) => Some(WcStatus::LocAccessErr),
            _ => None,
        };
        self.blamed = planned.recv.zip(status);
        // It fails itself when it refuses; otherwise it finds out that the peer has failed.
        let refuses = is_refused(kind) || kind == TroubleKind::Invalidate;
        self.first = vec![if refuses { WcStatus::WrFlushErr } else { WcStatus::RetryExcErr }];
    }

    /// This end is failed, reset, destroyed or cut off.
    fn own_connection(&mut self, kind: TroubleKind) {
        match kind {
            TroubleKind::ToError => self.first = vec![WcStatus::WrFlushErr],
            TroubleKind::ToReset | TroubleKind::Destroy => {
                (self.sends_may_vanish, self.closes) = (true, true);
            }
            TroubleKind::DeregLocal => self.first = vec![WcStatus::LocProtErr],
            TroubleKind::DeregRemote => self.first = vec![WcStatus::RemAccessErr, WcStatus::RetryExcErr],
            _ => self.first = vec![WcStatus::RetryExcErr],
        }
    }

    /// Whether this receive may be the first to fail, and so.
    pub(crate) fn blames(&self, slot: usize, status: WcStatus) -> bool {
        self.blamed == Some((slot, status)) || self.any_blamed == Some(status)
    }

    /// Whether this message may complete with success.
    pub(crate) fn may_succeed(&self, index: usize) -> bool {
        self.culprit.is_none_or(|culprit| index < culprit)
    }

    /// Whether this message may be the first to fail, and so.
    pub(crate) fn may_fail(&self, index: usize, status: WcStatus) -> bool {
        // When the peer fails before its last acknowledgements got through, messages before the culprit were
        // executed and never heard of again.
        let unheard = status == WcStatus::RetryExcErr;
        let in_place = |culprit| index == culprit || (unheard && index < culprit);
        self.first.contains(&status) && self.culprit.is_none_or(in_place)
    }

    /// How many messages can have taken effect, if so many were posted.
    pub(crate) fn executed_at_most(&self, posted: usize) -> usize {
        self.culprit.map_or(posted, |culprit| culprit.min(posted))
    }
}

/// The responder answers such a request with a NAK and fails.
fn is_refused(kind: TroubleKind) -> bool {
    matches!(
        kind,
        TroubleKind::BadRkey
            | TroubleKind::BadRemoteRange
            | TroubleKind::NoRight
            | TroubleKind::OtherDomain
            | TroubleKind::Unaligned
            | TroubleKind::ShortReceive
            | TroubleKind::BadReceive
    )
}
