//! perftest under `ferroce run`, beside a Rust program that does the same: what the C face costs.
//!
//! Flags of perftest make both alike: as many requests outstanding, as many in a batch, as many completions. What is not
//! alike is that perftest's two ends are processes, and those in Rust threads of one.

use std::sync::Arc;

use anyhow::Result;
use ferroce_engine::SendOp;

use super::Report;
use super::ends::{End, connected, message_rate, send_latency, throughput, write_latency};
use super::processes::{Programs, is_installed, or_none};
use crate::program::ferroce;

/// A program of perftest, and what does the same here.
struct Row {
    name: &'static str,
    unit: &'static str,
    command: &'static str,
    native: fn(&End, &Arc<End>) -> f64,
}

const ROWS: [Row; 5] = [
    Row {
        name: "ib_write_bw, 1 MiB",
        unit: "Gbit/s",
        command: "ib_write_bw -s 1048576 -n 400 -t 4 --output=bandwidth --report_gbits",
        native: |near, far| throughput(near, SendOp::Write(far.remote()), 1 << 20, 400),
    },
    Row {
        name: "ib_read_bw, 1 MiB",
        unit: "Gbit/s",
        command: "ib_read_bw -s 1048576 -n 400 -t 4 --output=bandwidth --report_gbits",
        native: |near, far| throughput(near, SendOp::Read(far.remote()), 1 << 20, 400),
    },
    Row {
        name: "ib_write_bw, 8 bytes",
        unit: "million/s",
        command: "ib_write_bw -s 8 -n 400000 -t 128 -l 64 -Q 64 -N --output=message_rate",
        native: |near, far| message_rate(near, SendOp::Write(far.remote()), 400_000),
    },
    Row {
        name: "ib_send_lat, 8 bytes",
        unit: "µs",
        command: "ib_send_lat -s 8 -n 20000 -I 0 --output=latency",
        native: |near, far| send_latency(near, far, 1, 20_000),
    },
    Row {
        name: "ib_write_lat, 8 bytes",
        unit: "µs",
        command: "ib_write_lat -s 8 -n 5000 -I 0 --output=latency",
        native: |near, far| write_latency(near, far, 20_000),
    },
];

/// Each by UDP and through shared memory.
///
/// # Errors
/// When the loop-back addresses or sockets cannot be had.
pub fn run(report: &mut Report) -> Result<()> {
    if !is_installed("ib_write_bw", "perftest") {
        return Ok(());
    }
    for (number, way, shared) in [(51, "UDP", "off"), (53, "shared memory", "on")] {
        let (near, far) = connected(number, 1, |nic| nic.shared_memory(shared == "on"))?;
        for row in &ROWS {
            report.figure(
                &format!("{}, {way}", row.name),
                row.unit,
                "two threads in Rust",
                || or_none(perftest(row.command, shared)),
                || (row.native)(&near, &far),
            );
        }
    }
    Ok(())
}

/// What a program of perftest measures between two processes.
fn perftest(command: &str, shared: &str) -> Result<f64> {
    const PORT: u16 = 18_591;
    let ferroce = ferroce();
    let run = |address| format!("{ferroce} run --address {address} -- {command} -F -p {PORT}");
    let programs = Programs {
        server: run("127.91.2.1"),
        client: run("127.91.2.2") + " 127.91.2.1",
        port: PORT,
        environment: &[("FERROCE_SHARED_MEMORY", shared)],
    };
    Ok(programs.numbers()?[0])
}
