//! One-sided. Read README.md, write `Window` and `receive_letter`, then: ferroce lab check
//!
//! What you can call is in rdma.rs.

use crate::rdma::{Access, CompletionQueue, Memory, Nic, Op, QueuePair, Remote, Sizes, connect};

const ACCESS: Access = Access(Access::LOCAL_WRITE.0 | Access::REMOTE_WRITE.0 | Access::REMOTE_READ.0);

/// Where a letter's number stands, and its length with the letter behind it.
const FLAG: u64 = 0;
const LETTER: u64 = 8;

/// Memory of another program, as if it were one's own.
pub struct Window {
    /// Where it is there.
    pub remote: Remote,
    cq: CompletionQueue,
    qp: QueuePair,
    scratch: Memory,
}

impl Window {
    /// Through `qp`, which is connected to the owner of the memory; its completions come to `cq`.
    pub fn new(nic: &Nic, cq: CompletionQueue, qp: QueuePair, remote: Remote) -> Window {
        let scratch = nic.memory(4096, Access::LOCAL_WRITE);
        Window { remote, cq, qp, scratch }
    }

    /// Writes `bytes` (4096 at most) to byte `at` of the memory, and returns when they are there. An error is the status of
    /// the completion.
    pub fn put(&mut self, at: u64, bytes: &[u8]) -> Result<(), String> {
        self.scratch.write(0, bytes);
        let remote = Remote { addr: self.remote.addr + at, ..self.remote };
        self.carry_out(Op::Write(remote), bytes.len())
    }

    /// Returns the `len` bytes (4096 at most) from byte `at` of the memory on.
    pub fn get(&mut self, at: u64, len: usize) -> Result<Vec<u8>, String> {
        let remote = Remote { addr: self.remote.addr + at, ..self.remote };
        self.carry_out(Op::Read(remote), len)?;
        Ok(self.scratch.read(0..len))
    }

    /// Sends letter `number`, which has 1024 bytes at most, to the owner's program: `receive_letter` there.
    pub fn send_letter(&mut self, number: u64, letter: &[u8]) -> Result<(), String> {
        let bytes = [&(letter.len() as u64).to_be_bytes()[..], letter].concat();
        self.put(LETTER, &bytes)?;
        // A WRITE of its own: about the parts of one nothing is promised.
        self.put(FLAG, &number.to_be_bytes())
    }

    /// After an error: makes a new queue pair and connects it (`rdma::connect`) to "owner", which does the same.
    pub fn reconnect(&mut self, nic: &Nic) {
        self.qp = nic.queue_pair(&self.cq, Sizes::default());
        connect(nic, &[("owner", &self.qp)], ACCESS);
    }

    fn carry_out(&self, op: Op, len: usize) -> Result<(), String> {
        self.qp.send(1, op, (&self.scratch, 0..len), true).map_err(|why| why.to_string())?;
        let completion = self.cq.wait();
        if completion.is_success() { Ok(()) } else { Err(completion.status) }
    }
}

/// In the owner's program: waits for letter `number` (the first is 1) in its memory, and returns it. The next is sent after
/// this has returned.
pub fn receive_letter(nic: &Nic, memory: &Memory, number: u64) -> Vec<u8> {
    let word = |at: usize| u64::from_be_bytes(memory.read(at..at + 8).try_into().unwrap());
    while word(FLAG as usize) != number {
        nic.work(1000);
    }
    let (at, len) = (LETTER as usize, word(LETTER as usize) as usize);
    memory.read(at + 8..at + 8 + len)
}
