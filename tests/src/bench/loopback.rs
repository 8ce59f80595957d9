//! Two NICs on loop-back sockets, beside the sockets themselves.

use std::sync::Arc;

use anyhow::{Result, bail};
use ferroce_engine::SendOp;

use super::ends::{End, connected, message_rate, send_latency, throughput, write_latency};
use super::processes::{Programs, is_installed, or_none};
use super::{Report, reference};

/// A stream of the system's sockets, in bits per nanosecond.
type Stream = fn() -> std::io::Result<f64>;

/// Latency, throughput and message rate.
///
/// # Errors
/// When the loop-back addresses or sockets cannot be had.
pub fn run(report: &mut Report) -> Result<()> {
    let (near, far) = connected(1, 1, |nic| nic)?;
    // Datagrams as long as an 8-byte SEND and WRITE: BTH, RETH, payload, ICRC.
    report.figure(
        "SEND of 8 bytes, half a round trip",
        "µs",
        "UDP ping-pong, both ends polling",
        || send_latency(&near, &far, 1, 20_000),
        || reference::udp_latency(24, 20_000).unwrap_or(f64::NAN),
    );
    report.figure(
        "WRITE of 8 bytes, half a round trip",
        "µs",
        "UDP ping-pong, both ends polling",
        || write_latency(&near, &far, 20_000),
        || reference::udp_latency(40, 20_000).unwrap_or(f64::NAN),
    );
    report.figure(
        "SEND of 8 bytes, half a round trip",
        "µs",
        "UDP ping-pong, not connected, with ACKs",
        || send_latency(&near, &far, 1, 20_000),
        || reference::udp_latency_acknowledged(24, 20_000).unwrap_or(f64::NAN),
    );
    let references: [(&str, Stream); 3] = [
        ("UDP stream, GSO and GRO, 4096-byte packets", || reference::udp_stream(4096, 400 << 20, false)),
        ("the same UDP stream, copied and checked at both ends", || {
            reference::udp_stream(4096, 400 << 20, true)
        }),
        ("TCP stream", || reference::tcp_stream(400 << 20)),
    ];
    for (name, op) in [("WRITE", SendOp::Write(far.remote())), ("READ", SendOp::Read(far.remote()))] {
        for (reference, measure) in references {
            report.figure(
                &format!("{name} of 1 MiB, path MTU 4096"),
                "Gbit/s",
                reference,
                || throughput(&near, op, 1 << 20, 400),
                || measure().unwrap_or(f64::NAN),
            );
        }
    }
    report.figure(
        "WRITEs of 8 bytes, one queue pair",
        "million/s",
        "UDP stream of 40-byte packets, GSO and GRO",
        || message_rate(&near, SendOp::Write(far.remote()), 400_000),
        || reference::udp_stream(40, 40 * 1_000_000, false).unwrap_or(f64::NAN) * 1e3 / 8.0 / 40.0,
    );
    if is_installed("ucx_perftest", "ucx-utils") {
        beside_ucx(report, &near, &far);
    }
    Ok(())
}

/// What programs use that have no RDMA: UCX over TCP.
fn beside_ucx(report: &mut Report, near: &End, far: &Arc<End>) {
    report.figure(
        "SEND of 8 bytes, half a round trip",
        "µs",
        "UCX over TCP, tag_lat",
        || send_latency(near, far, 1, 20_000),
        || or_none(ucx("tag_lat -s 8 -n 20000").map(|[latency, _]| latency)),
    );
    for (test, arguments) in
        [("ucp_put_bw", "ucp_put_bw -s 1048576 -n 400 -w 20"), ("tag_bw", "tag_bw -s 1048576 -n 400 -w 20")]
    {
        report.figure(
            "WRITE of 1 MiB, path MTU 4096",
            "Gbit/s",
            &format!("UCX over TCP, {test}"),
            || throughput(near, SendOp::Write(far.remote()), 1 << 20, 400),
            || or_none(ucx(arguments).map(|[_, bandwidth]| bandwidth)),
        );
    }
}

/// The latency in microseconds and the bits per nanosecond that ucx_perftest tells of the whole run.
fn ucx(test: &str) -> Result<[f64; 2]> {
    const PORT: u16 = 18_592;
    let programs = Programs {
        server: format!("ucx_perftest -p {PORT}"),
        client: format!("ucx_perftest 127.0.0.1 -p {PORT} -t {test} -f"),
        port: PORT,
        environment: &[("UCX_TLS", "tcp"), ("UCX_NET_DEVICES", "lo")],
    };
    // Iterations; time: median, average, of all; MiB/s: average, of all; messages/s.
    match programs.numbers()?[..] {
        [_, _, _, time, _, rate, ..] => Ok([time, rate * 8.0 * f64::from(1 << 20) / 1e9]),
        _ => bail!("ucx_perftest tells something else than it used to"),
    }
}
