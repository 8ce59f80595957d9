//! A remote block device. Read README.md, write `Target` and `Client`, then: ferroce lab check
//!
//! What you can call is in rdma.rs.

use crate::rdma::{CompletionQueue, Nic, QueuePair};

/// Bytes of a block.
pub const BLOCK: usize = 512;

/// Commands that can be under way at the same time.
pub const WINDOW: usize = 8;

/// The machine with the disk.
pub struct Target {
    store: Vec<[u8; BLOCK]>,
}

impl Target {
    /// Completions of `qp` come to `cq`; it has room for 32 requests each way, and will be connected to the client after
    /// this, so receives can be posted.
    pub fn new(nic: &Nic, cq: CompletionQueue, qp: QueuePair, store: Vec<[u8; BLOCK]>) -> Target {
        let _ = (nic, cq, qp);
        Target { store }
    }

    /// Carries out commands, until the client has shut down.
    pub fn serve(&mut self) {
        let _ = &self.store;
    }
}

/// The machine that uses the disk.
pub struct Client {
    submitted: Vec<usize>,
}

impl Client {
    /// As `Target::new`.
    pub fn new(nic: &Nic, cq: CompletionQueue, qp: QueuePair) -> Client {
        let _ = (nic, cq, qp);
        Client { submitted: Vec::new() }
    }

    /// Asks for a write of `data` to the block, or for a read if there is none, and does not wait. `slot` is a number below
    /// WINDOW that is not in use.
    pub fn submit(&mut self, slot: usize, block: u64, data: Option<&[u8; BLOCK]>) {
        let _ = (block, data);
        self.submitted.push(slot);
    }

    /// Waits until one of the commands that are under way is done. Returns its slot, and the block that was read (after a
    /// write any bytes), or `None` if the device has no such block.
    pub fn finish(&mut self) -> (usize, Option<[u8; BLOCK]>) {
        (self.submitted.pop().expect("one is under way"), Some([0; BLOCK]))
    }

    /// No more commands will come: lets `serve` return.
    pub fn shut_down(&mut self) {}
}
