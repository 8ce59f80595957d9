//! Many writes, few completions. Read README.md, write `write_all`, then: ferroce lab check
//!
//! What you can call is in rdma.rs.

use crate::rdma::{Access, CompletionQueue, Nic, Op, QueuePair, Remote};

/// Bytes of a block.
const SIZE: usize = 64;

/// Room in the send queue.
const DEPTH: u64 = 16;

/// Every so many requests one asks for a completion. Half the queue: while one half is waited for, the other is at work.
const BATCH: u64 = 8;

/// Writes `blocks` blocks into the memory of the other side, one after the other, from `target` on. All bytes of block
/// number n, from 0, are `fill + n` (modulo 256). When this returns everything has arrived.
///
/// The queue pair has room for 16 send requests, and `cq` for 4 completions.
pub fn write_all(nic: &Nic, qp: &QueuePair, cq: &CompletionQueue, target: Remote, blocks: u64, fill: u64) {
    let memory = nic.memory(SIZE * DEPTH as usize, Access::LOCAL_READ);
    // Requests complete in order, so a completion stands for all requests before it.
    let mut completed = 0;
    let mut wait = |completed: &mut u64| {
        let completion = cq.wait();
        assert!(completion.is_success(), "{completion:?}");
        *completed = completion.wr_id + 1;
    };
    for n in 0..blocks {
        while n - completed >= DEPTH {
            wait(&mut completed);
        }
        let at = (n % DEPTH) as usize * SIZE;
        memory.write(at, &[(fill + n) as u8; SIZE]);
        let remote = Remote { addr: target.addr + n * SIZE as u64, ..target };
        let signaled = n % BATCH == BATCH - 1 || n + 1 == blocks;
        qp.send(n, Op::Write(remote), (&memory, at..at + SIZE), signaled).unwrap();
    }
    while completed < blocks {
        wait(&mut completed);
    }
}
