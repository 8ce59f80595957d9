//! A stream of messages that never meets an empty receive queue. Read README.md, write `Sender` and `Receiver`, then:
//! ferroce lab check
//!
//! What you can call is in rdma.rs. The two run as programs of their own. The connection is made for you: `new` is
//! called before it is there (receives can be posted), `run` after.

use crate::digest;
use crate::rdma::{Access, CompletionQueue, Memory, Nic, Op, QueuePair};

/// Bytes of a message.
const SIZE: usize = 64;

pub struct Sender<'a> {
    qp: &'a QueuePair,
    cq: &'a CompletionQueue,
    outbox: Memory,
}

impl<'a> Sender<'a> {
    pub fn new(nic: &Nic, qp: &'a QueuePair, cq: &'a CompletionQueue) -> Sender<'a> {
        Sender { qp, cq, outbox: nic.memory(SIZE, Access::LOCAL_READ) }
    }

    /// Sends `messages` messages of SIZE bytes. All bytes of message number n, from 0, are `fill + n` (modulo 256).
    pub fn run(&mut self, messages: u64, fill: u64) {
        for n in 0..messages {
            self.outbox.write(0, &[(fill + n) as u8; SIZE]);
            self.qp.send(n, Op::Send, (&self.outbox, 0..SIZE), true).unwrap();
            self.cq.wait();
        }
    }
}

pub struct Receiver<'a> {
    nic: Nic,
    qp: &'a QueuePair,
    cq: &'a CompletionQueue,
    inbox: Memory,
}

impl<'a> Receiver<'a> {
    pub fn new(nic: &Nic, qp: &'a QueuePair, cq: &'a CompletionQueue) -> Receiver<'a> {
        Receiver { nic: nic.clone(), qp, cq, inbox: nic.memory(SIZE, Access::LOCAL_WRITE) }
    }

    /// Receives `messages` messages and returns the sum of what `digest(nic, message)` makes of each. That takes 20
    /// microseconds, in which the card goes on.
    pub fn run(&mut self, messages: u64) -> u64 {
        let mut sum = 0;
        for n in 0..messages {
            self.qp.receive(n, (&self.inbox, 0..SIZE)).unwrap();
            self.cq.wait();
            sum += digest(&self.nic, &self.inbox.read(0..SIZE));
        }
        sum
    }
}
