//! A process with NICs forks.

#[expect(dead_code, reason = "not everything is needed here")]
mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use common::*;
use ferroce_engine::*;
use ferroce_net::*;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

/// Whether `act` is true in a forked child, which ends without the ceremonies of a test program.
#[expect(unsafe_code, reason = "forking is")]
fn in_a_child(act: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child allocates and takes locks, which the C library and Ferroce keep usable across a fork, and
    // never returns from here.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let fine = catch_unwind(AssertUnwindSafe(act)).unwrap_or(false);
            // SAFETY: it ends the process, whatever its state.
            unsafe { libc::_exit(i32::from(!fine)) }
        }
        ForkResult::Parent { child } => matches!(waitpid(child, None), Ok(WaitStatus::Exited(_, 0))),
    }
}

fn exchange(a: &End, b: &End) {
    b.post_recv(1, b.sge(0, 5000));
    a.post_send(2, SendOp::Send, a.sge(0, 5000));
    assert_eq!(b.wait_one().status, WcStatus::Success);
    assert_eq!(a.wait_one().status, WcStatus::Success);
}

#[test]
fn a_child_has_its_own_nic_and_the_parents_goes_on() {
    fork_between_packets(false);
}

#[test]
fn a_child_does_not_touch_the_memory_that_its_parent_shares_with_others() {
    fork_between_packets(true);
}

fn fork_between_packets(shared: bool) {
    let addr = fresh_address();
    let at = |addr| Nic::builder().address(addr).shared_memory(shared).open().unwrap();
    let (a, b) = pair(at(addr), at(addr), 5000);
    exchange(&a, &b);
    while shared && (a.nic.link_counters().rx_local == 0 || b.nic.link_counters().rx_local == 0) {
        exchange(&a, &b);
    }
    let repeated = a.nic.counters().retransmitted_pkts;
    let parent = [a.nic.info().lane, b.nic.info().lane];
    // Packets that arrive while the child is there are the parent's. The child also drops what it inherited.
    b.post_recv(1, b.sge(0, 5000));
    a.post_send(2, SendOp::Send, a.sge(0, 5000));
    let mut inherited = Some((a, b));
    let child_is_fine = in_a_child(|| {
        let own = at(addr);
        let mut fine = !parent.contains(&own.info().lane);
        let (c, d) = pair(own, at(addr), 5000);
        let (a, b) = inherited.take().unwrap();
        exchange(&c, &d);
        a.post_send(3, SendOp::Send, a.sge(0, 5000));
        fine &= a.nic.link_counters().tx_errors > 0;
        drop((a, b));
        exchange(&d, &c);
        fine
    });
    assert!(child_is_fine);
    let (a, b) = inherited.unwrap();
    assert_eq!([b.wait_one().status, a.wait_one().status], [WcStatus::Success; 2]);
    exchange(&b, &a);
    assert_eq!(a.nic.counters().retransmitted_pkts, repeated);
    // The child has given nothing of ours away.
    let third = at(addr);
    assert!(!parent.contains(&third.info().lane));
}

#[test]
fn forking_while_all_threads_are_busy_finds_every_lock_free() {
    let (a, b) = pair(open(|nic| nic), open(|nic| nic), 5000);
    let stop = AtomicBool::new(false);
    let busy = |end: &End| {
        while !stop.load(Ordering::Relaxed) {
            end.nic.poll_cq(end.cq, &mut [Wc::default()]).unwrap();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| busy(&a));
        scope.spawn(|| busy(&b));
        let fine = (0..20).all(|_| {
            in_a_child(|| {
                // Both locks can be had, and nothing is half done.
                let snapshots = [&a, &b].map(|end| end.nic.with(|device, _| device.snapshot()));
                snapshots.iter().all(|snapshot| snapshot.qps.len() == 1)
            })
        });
        stop.store(true, Ordering::Relaxed);
        assert!(fine);
    });
}

#[test]
fn children_of_a_busy_parent_have_nics_of_their_own() {
    let (a, b) = pair(open(|nic| nic), open(|nic| nic), 5000);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // The NICs' threads are at work whenever the process forks.
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                exchange(&a, &b);
            }
        });
        let fine = (0..40).all(|_| {
            in_a_child(|| {
                let (c, d) = pair(open(|nic| nic), open(|nic| nic), 5000);
                (0..20).for_each(|_| exchange(&c, &d));
                true
            })
        });
        stop.store(true, Ordering::Relaxed);
        assert!(fine);
    });
}

#[test]
fn a_recording_is_written_once() {
    let path = std::env::temp_dir().join(format!("ferroce-fork-{}.pcap", std::process::id()));
    let (a, b) = pair(open(|nic| nic.record_to(&path).unwrap()), open(|nic| nic), 5000);
    let mut inherited = Some((a, b));
    inherited.iter().for_each(|(a, b)| exchange(a, b));
    assert!(in_a_child(|| inherited.take().is_some()));
    let (a, b) = inherited.unwrap();
    exchange(&a, &b);
    let counters = a.nic.link_counters();
    drop((a, b));
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let (mut rest, mut packets) = (&bytes[24..], 0);
    while let Some(header) = rest.first_chunk::<16>() {
        let len = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
        rest = &rest[16 + len..];
        packets += 1;
    }
    assert!(packets >= counters.tx_packets && packets <= counters.tx_packets + counters.rx_packets + 4);
}
