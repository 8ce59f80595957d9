//! A remote block device. Read README.md, write `Target` and `Client`, then: ferroce lab check
//!
//! What you can call is in rdma.rs.

use crate::rdma::{Access, CompletionQueue, Memory, Nic, Op, QueuePair, Remote};

/// Bytes of a block.
pub const BLOCK: usize = 512;

/// Commands that can be under way at the same time.
pub const WINDOW: usize = 8;

/// Bytes of a command: kind, slot, block, address, key, 8 each. An answer has the first two: status, slot.
const COMMAND: usize = 40;
const ANSWER: usize = 16;

const READ: u64 = 0;
const WRITE: u64 = 1;
const END: u64 = 2;

/// Numbers of work requests: of a receive its place, of data the slot and this, of what needs no thought this.
const DATA: u64 = 100;
const SENT: u64 = 999;

fn words(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(8).map(|word| u64::from_be_bytes(word.try_into().unwrap())).collect()
}

fn bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// The machine with the disk.
pub struct Target {
    store: Vec<[u8; BLOCK]>,
    cq: CompletionQueue,
    qp: QueuePair,
    commands: Memory,
    answers: Memory,
    /// A block for each slot.
    buffers: Memory,
    /// What the slots are used for: kind and block.
    running: [(u64, u64); WINDOW],
}

impl Target {
    /// Completions of `qp` come to `cq`; it has room for 32 requests each way, and will be connected to the client after
    /// this, so receives can be posted.
    pub fn new(nic: &Nic, cq: CompletionQueue, qp: QueuePair, store: Vec<[u8; BLOCK]>) -> Target {
        let commands = nic.memory((WINDOW + 1) * COMMAND, Access::LOCAL_WRITE);
        let answers = nic.memory(WINDOW * ANSWER, Access::LOCAL_READ);
        let buffers = nic.memory(WINDOW * BLOCK, Access::LOCAL_WRITE);
        let target = Target { store, cq, qp, commands, answers, buffers, running: [(READ, 0); WINDOW] };
        // One more than commands: the end.
        (0..=WINDOW).for_each(|place| target.receive(place));
        target
    }

    /// Carries out commands, until the client has shut down.
    pub fn serve(&mut self) {
        loop {
            let completion = self.cq.wait();
            assert!(completion.is_success(), "{completion:?}");
            if completion.is_receive {
                let at = completion.wr_id as usize * COMMAND;
                let command = words(&self.commands.read(at..at + COMMAND));
                self.receive(completion.wr_id as usize);
                if command[0] == END {
                    return;
                }
                self.begin(&command);
            } else if completion.wr_id >= DATA && completion.wr_id < SENT {
                self.end((completion.wr_id - DATA) as usize);
            }
        }
    }

    fn receive(&self, place: usize) {
        self.qp.receive(place as u64, (&self.commands, place * COMMAND..(place + 1) * COMMAND)).unwrap();
    }

    /// A command has come.
    fn begin(&mut self, command: &[u64]) {
        let &[kind, slot, block, addr, rkey] = command else { unreachable!("five words") };
        let (slot, remote) = (slot as usize, Remote { addr, rkey: rkey as u32 });
        if block >= self.store.len() as u64 {
            return self.answer(slot, 1);
        }
        self.running[slot] = (kind, block);
        let op = if kind == WRITE { Op::Read(remote) } else { Op::Write(remote) };
        if kind == READ {
            self.buffers.write(slot * BLOCK, &self.store[block as usize]);
        }
        let part = slot * BLOCK..(slot + 1) * BLOCK;
        self.qp.send(DATA + slot as u64, op, (&self.buffers, part), true).unwrap();
    }

    /// The data of a command has been moved.
    fn end(&mut self, slot: usize) {
        let (kind, block) = self.running[slot];
        if kind == WRITE {
            let data = self.buffers.read(slot * BLOCK..(slot + 1) * BLOCK);
            self.store[block as usize].copy_from_slice(&data);
        }
        self.answer(slot, 0);
    }

    fn answer(&self, slot: usize, status: u64) {
        self.answers.write(slot * ANSWER, &bytes(&[status, slot as u64]));
        self.qp.send(SENT, Op::Send, (&self.answers, slot * ANSWER..(slot + 1) * ANSWER), true).unwrap();
    }
}

/// The machine that uses the disk.
pub struct Client {
    cq: CompletionQueue,
    qp: QueuePair,
    commands: Memory,
    answers: Memory,
    /// A block for each slot, where the target reads and writes.
    buffers: Memory,
}

impl Client {
    /// As `Target::new`.
    pub fn new(nic: &Nic, cq: CompletionQueue, qp: QueuePair) -> Client {
        let commands = nic.memory((WINDOW + 1) * COMMAND, Access::LOCAL_READ);
        let answers = nic.memory(WINDOW * ANSWER, Access::LOCAL_WRITE);
        let access = Access::LOCAL_WRITE | Access::REMOTE_WRITE | Access::REMOTE_READ;
        let buffers = nic.memory(WINDOW * BLOCK, access);
        let client = Client { cq, qp, commands, answers, buffers };
        (0..WINDOW).for_each(|place| client.receive(place));
        client
    }

    /// Asks for a write of `data` to the block, or for a read if there is none, and does not wait. `slot` is a number below
    /// WINDOW that is not in use.
    pub fn submit(&mut self, slot: usize, block: u64, data: Option<&[u8; BLOCK]>) {
        if let Some(data) = data {
            self.buffers.write(slot * BLOCK, data);
        }
        let kind = if data.is_some() { WRITE } else { READ };
        let addr = self.buffers.addr() + (slot * BLOCK) as u64;
        self.send(slot, &[kind, slot as u64, block, addr, self.buffers.rkey() as u64]);
    }

    /// Waits until one of the commands that are under way is done. Returns its slot, and the block that was read (after a
    /// write any bytes), or `None` if the device has no such block.
    pub fn finish(&mut self) -> (usize, Option<[u8; BLOCK]>) {
        let completion = std::iter::repeat_with(|| self.cq.wait()).find(|completion| completion.is_receive).unwrap();
        let at = completion.wr_id as usize * ANSWER;
        let answer = words(&self.answers.read(at..at + ANSWER));
        self.receive(completion.wr_id as usize);
        let slot = answer[1] as usize;
        let data = self.buffers.read(slot * BLOCK..(slot + 1) * BLOCK);
        (slot, (answer[0] == 0).then(|| data.try_into().unwrap()))
    }

    /// No more commands will come: lets `serve` return.
    pub fn shut_down(&mut self) {
        self.send(WINDOW, &[END, 0, 0, 0, 0]);
        while self.cq.wait().wr_id != SENT + WINDOW as u64 {}
    }

    fn receive(&self, place: usize) {
        self.qp.receive(place as u64, (&self.answers, place * ANSWER..(place + 1) * ANSWER)).unwrap();
    }

    fn send(&self, place: usize, command: &[u64]) {
        self.commands.write(place * COMMAND, &bytes(command));
        let part = place * COMMAND..(place + 1) * COMMAND;
        self.qp.send(SENT + place as u64, Op::Send, (&self.commands, part), true).unwrap();
    }
}
