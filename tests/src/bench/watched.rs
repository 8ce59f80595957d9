//! What it costs to be looked at, as `ferroce top` does.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::Result;
use ferroce_engine::SendOp;
use ferroce_net::Look;

use super::Report;
use super::ends::{connected, throughput};

/// Time between two looks.
const LOOKS: Duration = Duration::from_millis(500);

/// Throughput while somebody looks, beside that of the same NICs while nobody does.
///
/// # Errors
/// When the loop-back addresses or sockets cannot be had.
pub fn run(report: &mut Report) -> Result<()> {
    let (near, far) = connected(91, 1, |nic| nic.visible())?;
    let write = SendOp::Write(far.remote());
    let looked_at = || {
        let (over, wait) = channel::<()>();
        let looker = std::thread::spawn(move || {
            while wait.recv_timeout(LOOKS) == Err(RecvTimeoutError::Timeout) {
                let sockets = Look::all().unwrap_or_default();
                sockets.iter().for_each(|socket| drop(Look::at(socket)));
            }
        });
        let rate = throughput(&near, write, 1 << 20, 2_000);
        drop(over);
        looker.join().expect("looking does not panic");
        rate
    };
    let alone = || throughput(&near, write, 1 << 20, 2_000);
    report.figure("WRITE of 1 MiB, looked at", "Gbit/s", "nobody looks", looked_at, alone);
    Ok(())
}
