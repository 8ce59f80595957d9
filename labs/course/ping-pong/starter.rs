//! Ping-pong over a reliable connection. Read README.md, write `server` and `client`, then: ferroce lab check
//!
//! What you can call is in rdma.rs. `server` and `client` run as two programs, each with a network card.

use crate::rdma::{Access, Nic, Sizes};

/// Answers `rounds` messages of `size` bytes: every byte comes back increased by 1 (255 becomes 0).
pub fn server(nic: &Nic, rounds: u64, size: usize) {
    let _ = (rounds, size);
    let cq = nic.completion_queue(16);
    let qp = nic.queue_pair(&cq, Sizes::default());
    qp.to_init(Access::LOCAL_WRITE).unwrap();
}

/// Sends `rounds` messages of `size` bytes, one after the other, each after the answer to the one before. All bytes of
/// the first are `fill`, of the second `fill + 1`, and so on (after 255 comes 0). Returns the sum of all bytes of all
/// answers.
pub fn client(nic: &Nic, rounds: u64, size: usize, fill: u8) -> u64 {
    let _ = (rounds, size, fill);
    let cq = nic.completion_queue(16);
    let qp = nic.queue_pair(&cq, Sizes::default());
    qp.to_init(Access::LOCAL_WRITE).unwrap();
    0
}
