//! Many writes, few completions. Read README.md, write `write_all`, then: ferroce lab check
//!
//! What you can call is in rdma.rs.

use crate::rdma::{Access, CompletionQueue, Nic, Op, QueuePair, Remote};

/// Bytes of a block.
const SIZE: usize = 64;

/// Writes `blocks` blocks into the memory of the other side, one after the other, from `target` on. All bytes of block
/// number n, from 0, are `fill + n` (modulo 256). When this returns everything has arrived.
///
/// The queue pair has room for 16 send requests, and `cq` for 4 completions.
pub fn write_all(nic: &Nic, qp: &QueuePair, cq: &CompletionQueue, target: Remote, blocks: u64, fill: u64) {
    let memory = nic.memory(SIZE, Access::LOCAL_READ);
    for n in 0..blocks {
        memory.write(0, &[(fill + n) as u8; SIZE]);
        let remote = Remote { addr: target.addr + n * SIZE as u64, ..target };
        qp.send(n, Op::Write(remote), (&memory, 0..SIZE), true).unwrap();
        cq.wait();
    }
}
