//! A stream of messages that never meets an empty receive queue. Read README.md, write `Sender` and `Receiver`, then:
//! ferroce lab check
//!
//! What you can call is in rdma.rs. The two run as programs of their own. The connection is made for you: `new` is
//! called before it is there (receives can be posted), `run` after.

use crate::digest;
use crate::rdma::{Access, CompletionQueue, Memory, Nic, Op, QueuePair};

/// Bytes of a message.
const SIZE: usize = 64;

/// Receives that the receiver keeps posted: as many as the queue has room for.
const DEPTH: u64 = 8;

/// After so many messages the receiver says that it has posted as many receives again.
const BATCH: u64 = 4;

pub struct Sender<'a> {
    qp: &'a QueuePair,
    cq: &'a CompletionQueue,
    outbox: Memory,
    /// Credits carry no data, but receives need some memory.
    credits: Memory,
    /// Receives of the other side that are not used up.
    credit: u64,
    /// Slots of the outbox that the card is done with.
    free: Vec<usize>,
}

impl<'a> Sender<'a> {
    pub fn new(nic: &Nic, qp: &'a QueuePair, cq: &'a CompletionQueue) -> Sender<'a> {
        let credits = nic.memory(1, Access::LOCAL_WRITE);
        for _ in 0..DEPTH {
            qp.receive(0, (&credits, 0..1)).unwrap();
        }
        let outbox = nic.memory(SIZE * DEPTH as usize, Access::LOCAL_READ);
        Sender { qp, cq, outbox, credits, credit: DEPTH, free: (0..DEPTH as usize).collect() }
    }

    /// Sends `messages` messages of SIZE bytes. All bytes of message number n, from 0, are `fill + n` (modulo 256).
    pub fn run(&mut self, messages: u64, fill: u64) {
        for n in 0..messages {
            while self.credit == 0 || self.free.is_empty() {
                self.progress();
            }
            self.credit -= 1;
            let slot = self.free.pop().unwrap();
            let range = slot * SIZE..(slot + 1) * SIZE;
            self.outbox.write(range.start, &[(fill + n) as u8; SIZE]);
            self.qp.send(slot as u64, Op::Send, (&self.outbox, range), true).unwrap();
        }
    }

    fn progress(&mut self) {
        let completion = self.cq.wait();
        if completion.is_receive {
            self.credit += BATCH;
            self.qp.receive(0, (&self.credits, 0..1)).unwrap();
        } else {
            self.free.push(completion.wr_id as usize);
        }
    }
}

pub struct Receiver<'a> {
    nic: Nic,
    qp: &'a QueuePair,
    cq: &'a CompletionQueue,
    inbox: Memory,
    note: Memory,
}

impl<'a> Receiver<'a> {
    pub fn new(nic: &Nic, qp: &'a QueuePair, cq: &'a CompletionQueue) -> Receiver<'a> {
        let inbox = nic.memory(SIZE * DEPTH as usize, Access::LOCAL_WRITE);
        let receiver = Receiver { nic: nic.clone(), qp, cq, inbox, note: nic.memory(1, Access::LOCAL_READ) };
        for slot in 0..DEPTH {
            receiver.post(slot);
        }
        receiver
    }

    fn post(&self, slot: u64) {
        let at = slot as usize * SIZE;
        self.qp.receive(slot, (&self.inbox, at..at + SIZE)).unwrap();
    }

    /// Receives `messages` messages and returns the sum of what `digest(nic, message)` makes of each. That takes 20
    /// microseconds, in which the card goes on.
    pub fn run(&mut self, messages: u64) -> u64 {
        let (mut sum, mut received) = (0, 0);
        while received < messages {
            let completion = self.cq.wait();
            if !completion.is_receive {
                continue;
            }
            let at = completion.wr_id as usize * SIZE;
            sum += digest(&self.nic, &self.inbox.read(at..at + SIZE));
            self.post(completion.wr_id);
            received += 1;
            if received % BATCH == 0 {
                self.qp.send(100, Op::Send, (&self.note, 0..1), true).unwrap();
            }
        }
        sum
    }
}
