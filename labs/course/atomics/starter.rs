//! A counter and a lock in memory that nobody looks after. Read README.md, write `Client`, then: ferroce lab check
//!
//! What you can call is in rdma.rs. Several clients run at once, each a program of its own.

use crate::rdma::{CompletionQueue, Nic, QueuePair, Remote};

pub struct Client;

impl Client {
    pub fn new(nic: &Nic, qp: &QueuePair, cq: &CompletionQueue) -> Client {
        let _ = (nic, qp, cq);
        Client
    }

    /// Takes a ticket: the number that `counter`, a word of 8 bytes, has now, which is one more for the next. No ticket
    /// is given out twice, and none is left out.
    pub fn ticket(&mut self, counter: Remote) -> u64 {
        let _ = counter;
        0
    }

    /// Adds `amount` to `account` by reading it, and writing the sum: with READ and WRITE only. Whoever does that holds
    /// `lock`, a word that is 0 when nobody does.
    pub fn deposit(&mut self, lock: Remote, account: Remote, amount: u64) {
        let _ = (lock, account, amount);
    }
}
