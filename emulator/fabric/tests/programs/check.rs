//! Judges a run: completions, memory, counts.

use ferroce_engine::*;

use crate::oracle::{Oracle, gather, private_word};
use crate::plan::Plan;
use crate::program::*;
use crate::run::{Checked, EndOutcome, Outcome};
use crate::verdict::Verdict;
use crate::words;

macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}

/// Everything that must hold after a run.
pub(crate) fn check(plan: &Plan, outcome: &Outcome) -> Checked {
    for end in 0..plan.ends.len() {
        let verdict = Verdict::new(plan, end);
        check_sends(plan, outcome, end, &verdict).map_err(|why| format!("end {end}: sends: {why}"))?;
        check_recvs(plan, outcome, end, &verdict).map_err(|why| format!("end {end}: receives: {why}"))?;
        check_memory(plan, outcome, end, &verdict).map_err(|why| format!("end {end}: memory: {why}"))?;
    }
    if plan.program.trouble.is_none() {
        words::check(plan, outcome)?;
    }
    check_counts(plan, outcome)
}

fn ok_send(planned: &crate::plan::Planned, wc: &Wc) -> bool {
    let opcode = match planned.message.kind {
        Kind::Send | Kind::SendImm | Kind::SendInv => WcOpcode::Send,
        Kind::Write | Kind::WriteImm => WcOpcode::RdmaWrite,
        Kind::Read => WcOpcode::RdmaRead,
        Kind::CompareSwap | Kind::SharedSwap => WcOpcode::CompSwap,
        Kind::FetchAdd | Kind::SharedAdd => WcOpcode::FetchAdd,
        Kind::AtomicWrite => WcOpcode::AtomicWrite,
        Kind::Flush => WcOpcode::Flush,
        Kind::BindMw => WcOpcode::BindMw,
        Kind::RegMr => WcOpcode::RegMr,
        Kind::LocalInv => WcOpcode::LocalInv,
    };
    wc.opcode == opcode && wc.byte_len == planned.message.len && wc.imm.is_none()
}

/// Successes, one failure, flushes; in order, none twice, none missing.
fn check_sends(plan: &Plan, outcome: &Outcome, end: usize, verdict: &Verdict) -> Checked {
    let (planned, shape) = (&plan.ends[end], plan.end_plan(plan.ends[end].end));
    let seen = &outcome.ends[end];
    let mut wcs = seen.sends.iter().peekable();
    let mut failed: Option<usize> = None;
    for (index, message) in planned.messages.iter().enumerate().take(seen.posted_sends) {
        let signaled = message.message.signaled || shape.signal_all;
        let wc = wcs.next_if(|wc| wc.wr_id == message.wr_id);
        match (wc, failed) {
            (Some(wc), None) if wc.status == WcStatus::Success => {
                ensure!(signaled, "{index} is not signaled: {wc:?}");
                ensure!(ok_send(message, wc), "{index}: {wc:?} for {message:?}");
                ensure!(verdict.may_succeed(index), "{index} succeeded: {wc:?}");
            }
            (Some(wc), None) => {
                failed = Some(index);
                ensure!(verdict.may_fail(index, wc.status), "{index}: {wc:?}, not one of {verdict:?}");
            }
            (Some(wc), Some(_)) => {
                ensure!(wc.status == WcStatus::WrFlushErr, "{index} after the failure: {wc:?}");
            }
            (None, None) if !signaled => {
                ensure!(verdict.may_succeed(index), "{index} vanished");
            }
            (None, None) if verdict.sends_may_vanish => break,
            (None, _) => return Err(format!("{index} has no completion: {message:?}")),
        }
    }
    ensure!(wcs.peek().is_none(), "one too many: {:?}", wcs.peek());
    ensure!(seen.posted_sends == planned.messages.len() || verdict.closes, "not all were posted");
    ensure!(seen.calm_sends == seen.sends.len() || verdict.sends_may_vanish, "sends were left over");
    if !plan.is_troubled(planned.end.conn) {
        ensure!(seen.state == Some(QpState::Rts), "in state {:?} at the end", seen.state);
    }
    ensure!(failed.is_some() || !verdict.must_fail, "nothing failed, but {verdict:?}");
    Ok(())
}

fn check_recvs(plan: &Plan, outcome: &Outcome, end: usize, verdict: &Verdict) -> Checked {
    let (planned, sender) = (&plan.ends[end], &plan.ends[end ^ 1]);
    let seen = &outcome.ends[end];
    let mut over = false;
    for (index, wc) in seen.recvs.iter().enumerate() {
        let recv = &planned.recvs[index];
        ensure!(wc.wr_id == recv.wr_id, "{index}: {wc:?}");
        if wc.status == WcStatus::Success {
            ensure!(!over, "{index} succeeded after a failure: {wc:?}");
            let Some(message) = recv.message else { return Err(format!("{index} is for nothing: {wc:?}")) };
            let message = &sender.messages[message];
            let opcode = match message.message.kind {
                Kind::WriteImm => WcOpcode::RecvRdmaWithImm,
                _ => WcOpcode::Recv,
            };
            let right = wc.opcode == opcode && wc.byte_len == message.message.len && wc.imm == message.imm();
            ensure!(right, "{index}: {wc:?} for {message:?}");
        } else if !over && verdict.blames(index, wc.status) {
            over = true;
        } else {
            ensure!(wc.status == WcStatus::WrFlushErr, "{index}: {wc:?}");
            over = true;
        }
    }
    if !verdict.closes {
        let known = seen.recvs.len() + seen.left;
        ensure!(known == seen.posted_recvs, "{known} of {}, {} of them left", seen.posted_recvs, seen.left);
    }
    if !plan.is_troubled(planned.end.conn) {
        let needed = planned.recvs.iter().filter(|recv| recv.message.is_some()).count();
        ensure!(seen.calm_recvs == needed, "{} messages arrived, not {needed}", seen.calm_recvs);
        let depth = plan.end_plan(planned.end).recv_depth as usize;
        ensure!(seen.posted_recvs == planned.recvs.len().min(needed + depth), "not all were posted");
    }
    Ok(())
}

/// How many messages are known to have taken effect: all before the first failure.
fn successes(plan: &Plan, end: usize, seen: &EndOutcome) -> usize {
    let failed = seen.sends.iter().find(|wc| wc.status != WcStatus::Success);
    let last = seen.sends.iter().rfind(|wc| wc.status == WcStatus::Success);
    match (failed, last) {
        (Some(failed), _) => failed.wr_id as usize - 1,
        (None, _) if !plan.is_troubled(plan.ends[end].end.conn) => seen.posted_sends,
        (None, last) => last.map_or(0, |wc| wc.wr_id as usize),
    }
}

/// The memory at both ends is what the messages of `end` make of it, up to one at which the connection ended.
fn check_memory(plan: &Plan, outcome: &Outcome, end: usize, verdict: &Verdict) -> Checked {
    let (seen, peer) = (&outcome.ends[end], &outcome.ends[end ^ 1]);
    let least = successes(plan, end, seen);
    let most = verdict.executed_at_most(seen.posted_sends);
    let arrived = peer.recvs.iter().filter(|wc| wc.status == WcStatus::Success).count();
    let mut oracle = Oracle::new(plan, plan.ends[end].end);
    let mut used = 0;
    let mut why = format!("{least} messages were executed, but at most {most} may have been");
    loop {
        if oracle.done >= least && oracle.done <= most && used == arrived {
            match matches(plan, outcome, end, &oracle, verdict) {
                Ok(()) => break,
                Err(reason) => why = reason,
            }
        }
        let next = plan.ends[end].messages.get(oracle.done);
        used += usize::from(next.is_some_and(|planned| planned.recv.is_some()));
        if oracle.done > most || !oracle.step() {
            return Err(why);
        }
    }
    check_local(plan, seen, end, least)
}

/// Whether the peer's memory is what it is after `oracle.done` messages, and perhaps a part of the next.
fn matches(plan: &Plan, outcome: &Outcome, end: usize, oracle: &Oracle<'_>, verdict: &Verdict) -> Checked {
    let peer = &outcome.ends[end ^ 1];
    let under_way = plan.ends[end].messages.get(oracle.done).filter(|_| verdict.leaves_parts);
    let kind = under_way.map(|planned| planned.message.kind);
    let mut spoiled_window = Vec::new();
    let mut spoiled_inbox = Vec::new();
    match (under_way, kind) {
        (Some(planned), Some(kind)) if kind.writes() => spoiled_window.push(planned.remote),
        (Some(planned), Some(kind)) if kind.is_send() => {
            let recv = planned.recv.expect("SENDs use receives");
            spoiled_inbox.clone_from(&plan.ends[end ^ 1].recvs[recv].sges);
        }
        _ => {}
    }
    compare("inbox", &peer.inbox, &oracle.inbox, &spoiled_inbox, oracle.done)?;
    compare("window", &peer.window, &oracle.window, &spoiled_window, oracle.done)?;
    let host = plan.ends[end ^ 1].host;
    let word = outcome.words[host][private_word(plan.ends[end].end)];
    ensure!(word == oracle.word, "word {word:#x} instead of {:#x} after {}", oracle.word, oracle.done);
    Ok(())
}

fn compare(what: &str, is: &[u8], should: &[u8], except: &[crate::plan::Range], done: usize) -> Checked {
    let wrong = is.iter().zip(should).enumerate().filter(|(_, (is, should))| is != should);
    let excused = |at: usize| except.iter().any(|range| range.bytes().contains(&at));
    match wrong.map(|(at, _)| at).find(|at| !excused(*at)) {
        Some(at) => Err(format!("byte {at} of the {what} is wrong after {done} messages")),
        None => Ok(()),
    }
}

/// The sender's own memory: results of what succeeded, and nothing else changed, except results of what failed.
fn check_local(plan: &Plan, seen: &EndOutcome, end: usize, succeeded: usize) -> Checked {
    let planned = &plan.ends[end];
    let finished = Oracle::finished(plan, planned.end);
    let mut undefined = Vec::new();
    for (index, message) in planned.messages.iter().enumerate() {
        let shared = matches!(message.message.kind, Kind::SharedAdd | Kind::SharedSwap);
        let fetches = message.message.kind == Kind::Read || message.message.kind.is_atomic();
        if shared || (fetches && index >= succeeded) {
            undefined.extend_from_slice(&message.sges);
        } else if fetches {
            let is = gather(&seen.local, &message.sges);
            ensure!(is == gather(&finished.local, &message.sges), "result of {index} is wrong");
        }
    }
    compare("sender's memory", &seen.local, &finished.local, &undefined, succeeded)
}

/// Every packet that was sent went somewhere, and every one that arrived was counted once.
fn check_counts(plan: &Plan, outcome: &Outcome) -> Checked {
    let sum = |what: fn(&Counters) -> u64| outcome.counters.iter().map(what).sum::<u64>();
    let carried = outcome.carried;
    ensure!(sum(|c| c.sent_pkts) == carried.sent, "packets sent: {carried:?}");
    let accounted = carried.lost + carried.delivered + carried.under_way;
    ensure!(carried.sent + carried.repeated == accounted, "packets carried: {carried:?}");
    let received = sum(|c| c.rcvd_pkts);
    let refused = sum(|c| {
        c.drop_malformed
            + c.drop_version
            + c.drop_not_ours
            + c.drop_icrc
            + c.drop_no_qp
            + c.drop_service
            + c.drop_qp_state
            + c.drop_not_peer
            + c.drop_pkey
    });
    ensure!(received + refused == carried.delivered, "{received} received, {refused} refused: {carried:?}");
    // What one cable damages, the next may lose, or damage again.
    let once = plan.program.wiring.is_none();
    ensure!(
        !once || received + carried.damaged <= carried.delivered,
        "damaged packets were taken: {carried:?}"
    );
    ensure!(carried.under_way == 0, "packets under way after the end: {carried:?}");
    if plan.is_quiet() && plan.program.trouble.is_none() {
        let waited = sum(|c| c.rnr_nak_sent) > 0;
        ensure!(sum(|c| c.local_ack_timeout_err) == 0, "a timeout without loss");
        ensure!(sum(|c| c.seq_nak_sent) == 0 || waited, "a gap without loss");
        // A queue told to drain may ask again for what it had not asked for.
        let drained = plan.program.steps.iter().any(|step| matches!(step.act, Act::Drain));
        ensure!(sum(|c| c.duplicate_request) == 0 || waited || drained, "duplicates without loss");
    }
    Ok(())
}
