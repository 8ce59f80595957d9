//! What an unreliable service may do, and what not.

use std::collections::BTreeMap;

use crate::plan::{Act, Plan, contents};
use crate::play::{Arrival, BLANK, HEADER, Outcome};

/// Judges a run.
pub(crate) fn judge(plan: &Plan, outcome: &Outcome) -> Result<(), String> {
    all_sends_completed(outcome)?;
    for (host, arrived) in outcome.arrived.iter().enumerate() {
        for arrival in arrived {
            is_what_was_sent(outcome, host, arrival)
                .map_err(|why| format!("host {host}: {why}: {arrival:?}"))?;
        }
        connections_are_in_order(arrived).map_err(|why| format!("host {host}: {why}"))?;
    }
    datagrams_are_not_multiplied(outcome)?;
    memory_is_right(outcome)?;
    if plan.is_quiet() && plan.early { everything_arrived(plan, outcome) } else { Ok(()) }
}

/// Sending succeeds whatever becomes of the packets, in the order of posting.
fn all_sends_completed(outcome: &Outcome) -> Result<(), String> {
    let mut completed: Vec<(u32, u64)> = outcome.completed.concat();
    let posted: Vec<(u32, u64)> =
        outcome.sent.iter().enumerate().map(|(number, sent)| (sent.qp, number as u64)).collect();
    for host in &outcome.completed {
        let mut last = BTreeMap::new();
        for (qp, number) in host {
            if last.insert(qp, number).is_some_and(|before| before >= number) {
                return Err(format!("message {number} of queue pair {qp:#x} completed out of order"));
            }
        }
    }
    completed.sort_unstable_by_key(|(_, number)| *number);
    if completed == posted { Ok(()) } else { Err(format!("{completed:?} completed of {posted:?}")) }
}

/// A message arrives whole, with the right bytes, and where it was sent to.
fn is_what_was_sent(outcome: &Outcome, host: usize, arrival: &Arrival) -> Result<(), &'static str> {
    let Some(sent) = outcome.sent.get(arrival.message as usize) else { return Err("nobody sent this") };
    let (addressed, len) = match (sent.act, arrival.from) {
        (Act::Message { from, to, len, .. }, Some(peer)) => (to == host && peer == from, len),
        (Act::Datagram { from, to, len }, None) => {
            let addressed = match to {
                Some(to) => to == host,
                None => from != host,
            };
            (addressed && arrival.wc.src_qp == sent.qp, len)
        }
        _ => return Err("it came by another service"),
    };
    let header = if arrival.wc.grh { HEADER } else { 0 };
    if !addressed {
        return Err("it was sent to somebody else");
    }
    if arrival.wc.grh != arrival.from.is_none() || arrival.wc.byte_len as usize != len as usize + header {
        return Err("its completion is wrong");
    }
    if arrival.bytes == contents(arrival.message, len) { Ok(()) } else { Err("its bytes are wrong") }
}

/// Messages of a connection arrive at most once, in the order of sending.
fn connections_are_in_order(arrived: &[Arrival]) -> Result<(), String> {
    let mut last = BTreeMap::new();
    for arrival in arrived {
        if let Some(peer) = arrival.from
            && let Some(before) = last.insert(peer, arrival.message)
            && before >= arrival.message
        {
            return Err(format!("message {} from host {peer} came after {before}", arrival.message));
        }
    }
    Ok(())
}

/// Datagrams arrive at most once for every copy that the network made.
fn datagrams_are_not_multiplied(outcome: &Outcome) -> Result<(), String> {
    let mut more = 0;
    for arrived in &outcome.arrived {
        let mut times = BTreeMap::new();
        for arrival in arrived.iter().filter(|arrival| arrival.from.is_none()) {
            *times.entry(arrival.message).or_insert(0_u64) += 1;
        }
        more += times.values().map(|times| times - 1).sum::<u64>();
    }
    if more <= outcome.repeated {
        Ok(())
    } else {
        Err(format!("{more} datagrams too many, the network made {}", outcome.repeated))
    }
}

/// A datagram that is dropped touches nothing; a WRITE writes its own bytes, or none.
fn memory_is_right(outcome: &Outcome) -> Result<(), String> {
    if outcome.unused.iter().flatten().any(|byte| *byte != BLANK) {
        return Err("a receive that did not complete was written to".to_owned());
    }
    for (number, is) in &outcome.written {
        let should = contents(*number, is.len() as u32);
        if let Some(at) = is.iter().zip(&should).position(|(is, should)| is != should && *is != BLANK) {
            return Err(format!("byte {at} of WRITE {number} is of something else"));
        }
    }
    Ok(())
}

/// Without faults, and with receives posted before, only those messages are lost for which there is no receive.
fn everything_arrived(plan: &Plan, outcome: &Outcome) -> Result<(), String> {
    for at in 0..plan.hosts {
        for from in 0..plan.hosts {
            let receives: usize =
                outcome.posted.iter().filter(|(place, _)| *place == (at, from)).map(|(_, count)| count).sum();
            let is_meant = |act: &Act| match *act {
                Act::Message { from: sender, to, .. } => (to, sender) == (at, from),
                Act::Datagram { from: sender, to, .. } if at == from => match to {
                    Some(to) => to == at,
                    None => sender != at && plan.members[at],
                },
                _ => false,
            };
            let meant = outcome.sent.iter().filter(|sent| is_meant(&sent.act)).count();
            let by = (at != from).then_some(from);
            let came = outcome.arrived[at].iter().filter(|arrival| arrival.from == by).count();
            if came != meant.min(receives) {
                return Err(format!(
                    "host {at}, from {from}: {came} of {meant} messages came, with {receives} receives"
                ));
            }
        }
    }
    Ok(())
}
