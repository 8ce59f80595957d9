//! A counter and a lock in memory that nobody looks after. Read README.md, write `Client`, then: ferroce lab check
//!
//! What you can call is in rdma.rs. Several clients run at once, each a program of its own.

use crate::rdma::{Access, CompletionQueue, Memory, Nic, Op, QueuePair, Remote};

pub struct Client {
    qp: QueuePair,
    cq: CompletionQueue,
    /// A word that comes from the other side or goes there.
    word: Memory,
}

impl Client {
    pub fn new(nic: &Nic, qp: &QueuePair, cq: &CompletionQueue) -> Client {
        Client { qp: qp.clone(), cq: cq.clone(), word: nic.memory(8, Access::LOCAL_WRITE) }
    }

    /// Does something with the word, and waits until it is done. Returns what is in it then.
    fn call(&mut self, op: Op) -> u64 {
        self.qp.send(1, op, (&self.word, 0..8), true).unwrap();
        let completion = self.cq.wait();
        assert!(completion.is_success(), "{completion:?}");
        self.word.word(0)
    }

    /// Takes a ticket: the number that `counter`, a word of 8 bytes, has now, which is one more for the next. No ticket
    /// is given out twice, and none is left out.
    pub fn ticket(&mut self, counter: Remote) -> u64 {
        self.call(Op::FetchAdd(counter, 1))
    }

    /// Adds `amount` to `account` by reading it, and writing the sum: with READ and WRITE only. Whoever does that holds
    /// `lock`, a word that is 0 when nobody does.
    pub fn deposit(&mut self, lock: Remote, account: Remote, amount: u64) {
        while self.call(Op::CompareSwap { remote: lock, compare: 0, swap: 1 }) != 0 {}
        let balance = self.call(Op::Read(account));
        self.word.write(0, &(balance + amount).to_ne_bytes());
        self.call(Op::Write(account));
        // Not before the write has completed: it must be there before the lock is free.
        self.word.write(0, &0u64.to_ne_bytes());
        self.call(Op::Write(lock));
    }
}
