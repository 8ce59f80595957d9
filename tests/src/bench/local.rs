//! Two NICs that meet in shared memory, beside the sockets and the memory.

use anyhow::Result;
use ferroce_engine::SendOp;

use super::ends::{connected, message_rate, send_latency, throughput, write_latency};
use super::{Report, reference};

/// What the memory does at best, in bits per nanosecond.
type Bound = fn() -> f64;

/// Latency, throughput and message rate.
///
/// # Errors
/// When the loop-back addresses, sockets or shared memory cannot be had.
pub fn run(report: &mut Report) -> Result<()> {
    let (near, far) = connected(11, 1, |nic| nic.shared_memory(true))?;
    report.figure(
        "SEND of 8 bytes, shared memory",
        "µs",
        "UDP ping-pong, both ends polling",
        || send_latency(&near, &far, 1, 50_000),
        || reference::udp_latency(24, 20_000).unwrap_or(f64::NAN),
    );
    report.figure(
        "WRITE of 8 bytes, shared memory",
        "µs",
        "UDP ping-pong, both ends polling",
        || write_latency(&near, &far, 50_000),
        || reference::udp_latency(40, 20_000).unwrap_or(f64::NAN),
    );
    let references: [(&str, Bound); 2] = [
        ("memcpy of 1 MiB", || reference::memory_copy(1 << 20, 1000)),
        ("1 MiB copied through a ring by two threads", || reference::ring_copy(1 << 20, 1000)),
    ];
    for (name, op) in [("WRITE", SendOp::Write(far.remote())), ("READ", SendOp::Read(far.remote()))] {
        for (reference, measure) in references {
            report.figure(
                &format!("{name} of 1 MiB, shared memory"),
                "Gbit/s",
                reference,
                || throughput(&near, op, 1 << 20, 1000),
                measure,
            );
        }
    }
    report.figure(
        "WRITEs of 8 bytes, shared memory",
        "million/s",
        "UDP stream of 40-byte packets, GSO and GRO",
        || message_rate(&near, SendOp::Write(far.remote()), 400_000),
        || reference::udp_stream(40, 40 * 1_000_000, false).unwrap_or(f64::NAN) * 1e3 / 8.0 / 40.0,
    );
    Ok(())
}
