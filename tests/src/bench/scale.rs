//! What stays as it is when there is more of everything, and when packets are lost.

use std::time::Duration;

use anyhow::Result;
use ferroce_engine::{Personality, SendOp};
use ferroce_net::{FaultRates, Faults, NicBuilder};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::Report;
use super::ends::{connected, looped, looped_message_rate, send_latency, throughput};

/// Connections of a crowded NIC.
const CROWD: usize = 10_000;

/// Many connections beside one, losses beside none, and NICs with nothing to do.
///
/// # Errors
/// When the loop-back addresses or sockets cannot be had.
pub fn run(report: &mut Report) -> Result<()> {
    let (alone, its_peer) = connected(21, 1, |nic| nic)?;
    let (crowded, their_peer) = connected(23, CROWD, |nic| nic)?;
    // Once round in every queue, so that the system has given memory for all of them.
    send_latency(&crowded, &their_peer, CROWD, 20 * CROWD);
    for (name, used) in [("on one of 10,000 connections", 1), ("on 10,000 connections in turn", CROWD)] {
        report.figure(
            &format!("SEND of 8 bytes {name}"),
            "µs",
            "the same with one connection",
            || send_latency(&crowded, &their_peer, used, 20_000),
            || send_latency(&alone, &its_peer, 1, 20_000),
        );
    }
    drop((crowded, their_peer));
    // Both pass through what loses packets, which handles them one by one. The reference loses next to none.
    let losing = |drop| Faults {
        seed: 1,
        transmit: FaultRates { drop, ..FaultRates::NONE },
        receive: FaultRates::NONE,
    };
    let recoveries =
        [("go-back-N", Personality::ferroce()), ("sel. repeat", Personality::selective_repeat())];
    for (number, (name, personality)) in (0..).zip(recoveries) {
        let pair = |number, drop| {
            connected(number, 1, |nic| nic.personality(personality.clone()).faults(losing(drop)))
        };
        let (clean, clean_peer) = pair(31 + 4 * number, 1e-9)?;
        let (lossy, lossy_peer) = pair(33 + 4 * number, 0.01)?;
        report.figure(
            &format!("WRITE of 1 MiB, 1 % lost, {name}"),
            "Gbit/s",
            "the same without losses",
            || throughput(&lossy, SendOp::Write(lossy_peer.remote()), 1 << 20, 40),
            || throughput(&clean, SendOp::Write(clean_peer.remote()), 1 << 20, 100),
        );
    }
    several_threads(report)?;
    let _idle = connected(41, 100, |nic| nic)?;
    report.figure(
        "two NICs with 100 connections at rest",
        "% of a core",
        "one hundred",
        || {
            let busy = || {
                let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process can ask about itself");
                (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64
            };
            let before = busy();
            std::thread::sleep(Duration::from_millis(500));
            (busy() - before) / 500_000.0 * 100.0
        },
        || 100.0,
    );
    Ok(())
}

/// Threads that write to themselves, so that each needs one core and no other.
fn several_threads(report: &mut Report) -> Result<()> {
    const COUNT: usize = 400_000;
    for (number, way, shared) in [(43, "UDP", false), (46, "shared memory", true)] {
        let describe = |nic: NicBuilder| nic.shared_memory(shared);
        let alone = looped(number, 1, false, describe)?;
        let apart = looped(number + 1, 2, false, describe)?;
        let together = looped(number + 2, 2, true, describe)?;
        for (reference, ends) in [("one such thread", &alone), ("the same with one NIC for both", &together)]
        {
            report.figure(
                &format!("8-byte WRITEs, 2 threads, a NIC each, {way}"),
                "million/s",
                reference,
                || looped_message_rate(&apart, COUNT),
                || looped_message_rate(ends, COUNT),
            );
        }
    }
    Ok(())
}
