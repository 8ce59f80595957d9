//! Words that several peers change: each atomic took effect once, and those of one queue in order.

use crate::oracle::{compares, gather, shared_swap};
use crate::plan::{Plan, SHARED_ADD, SHARED_SWAP};
use crate::program::Kind;
use crate::run::{Checked, Outcome};

/// An atomic that was executed: what it found, and what it left.
struct Step {
    end: usize,
    found: u64,
    left: u64,
}

/// Checks the shared words of all hosts.
pub(crate) fn check(plan: &Plan, outcome: &Outcome) -> Checked {
    for host in 0..plan.words.len() {
        check_adds(plan, outcome, host).map_err(|why| format!("host {host}: shared sum: {why}"))?;
        check_swaps(plan, outcome, host).map_err(|why| format!("host {host}: shared swap: {why}"))?;
    }
    Ok(())
}

/// Every atomic of a kind on this host's word, with the index of its message.
fn steps(plan: &Plan, outcome: &Outcome, host: usize, kind: Kind) -> Vec<(Step, usize)> {
    let mut all = Vec::new();
    for end in (0..plan.ends.len()).filter(|end| plan.ends[end ^ 1].host == host) {
        let compares = compares(plan, plan.ends[end].end);
        for (index, planned) in plan.ends[end].messages.iter().enumerate() {
            if planned.message.kind != kind {
                continue;
            }
            let result = gather(&outcome.ends[end].local, &planned.sges);
            let found = u64::from_ne_bytes(result.try_into().expect("atomics fetch 8 bytes"));
            let left = match kind {
                Kind::SharedAdd => found.wrapping_add(planned.operand()),
                _ if found == compares[index] => shared_swap(plan.ends[end].end, planned),
                _ => found,
            };
            all.push((Step { end, found, left }, index));
        }
    }
    all
}

/// Sums only grow, so the order of execution is the order of what was found.
fn check_adds(plan: &Plan, outcome: &Outcome, host: usize) -> Checked {
    let first = plan.words[host][SHARED_ADD];
    let mut all = steps(plan, outcome, host, Kind::SharedAdd);
    for pair in all.windows(2) {
        let [(before, _), (after, _)] = pair else { continue };
        if before.end == after.end && before.found.wrapping_sub(first) >= after.found.wrapping_sub(first) {
            return Err(format!("end {}: {:#x} before {:#x}", before.end, before.found, after.found));
        }
    }
    all.sort_by_key(|(step, _)| step.found.wrapping_sub(first));
    let mut word = first;
    for (step, index) in all {
        if step.found != word {
            let end = step.end;
            return Err(format!("end {end}, message {index}: found {:#x}, not {word:#x}", step.found));
        }
        word = step.left;
    }
    let is = outcome.words[host][SHARED_ADD];
    if is == word { Ok(()) } else { Err(format!("{is:#x} instead of {word:#x}")) }
}

/// Every swap stores a value of its own, so the successful ones form a chain from the first value to the last,
/// and the others found one of its links.
fn check_swaps(plan: &Plan, outcome: &Outcome, host: usize) -> Checked {
    let all = steps(plan, outcome, host, Kind::SharedSwap);
    let mut chain = vec![plan.words[host][SHARED_SWAP]];
    let mut swaps = all.iter().filter(|(step, _)| step.left != step.found).count();
    while let Some(next) =
        all.iter().find(|(step, _)| step.left != step.found && Some(&step.found) == chain.last())
    {
        if swaps == 0 {
            return Err(format!("two swaps found {:#x}", next.0.found));
        }
        swaps -= 1;
        chain.push(next.0.left);
    }
    if swaps > 0 {
        return Err(format!("{swaps} swaps are not in the chain {chain:x?}"));
    }
    if let Some((step, index)) = all.iter().find(|(step, _)| !chain.contains(&step.found)) {
        return Err(format!("end {}, message {index}: found {:#x}, never there", step.end, step.found));
    }
    let (is, last) = (outcome.words[host][SHARED_SWAP], chain.last().copied());
    if Some(is) == last { Ok(()) } else { Err(format!("{is:#x} instead of {last:x?}")) }
}
