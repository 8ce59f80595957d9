//! A key-value store that is read without its server. Read README.md, write `fill` and `Client`, then: ferroce lab check
//!
//! What you can call is in rdma.rs. The two run as programs of their own; the connection is made for you.

use crate::rdma::{Access, CompletionQueue, Memory, Nic, Op, QueuePair, Remote};

/// Bytes of a slot.
const SLOT: usize = 16;

/// The slot where a key is looked for first.
fn home(key: u64, slots: u64) -> u64 {
    // The upper half of the product depends on all bits of the key.
    (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % slots
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().unwrap())
}

/// Puts `pairs` of key and value into the table, which has `slots` slots of 16 bytes: key, then value, both big-endian.
/// A slot of zeros is empty; keys are never 0. There is room for all, and no key comes twice.
pub fn fill(memory: &Memory, slots: u64, pairs: &[(u64, u64)]) {
    for (key, value) in pairs {
        let mut slot = home(*key, slots);
        while number(&memory.read(slot as usize * SLOT..slot as usize * SLOT + 8)) != 0 {
            slot = (slot + 1) % slots;
        }
        memory.write(slot as usize * SLOT, &key.to_be_bytes());
        memory.write(slot as usize * SLOT + 8, &value.to_be_bytes());
    }
}

/// Reads the table of the server, whose program has ended by then.
pub struct Client {
    qp: QueuePair,
    cq: CompletionQueue,
    table: Remote,
    slots: u64,
    copy: Memory,
}

impl Client {
    /// The table begins at `table` and has `slots` slots.
    pub fn new(nic: &Nic, qp: &QueuePair, cq: &CompletionQueue, table: Remote, slots: u64) -> Client {
        let copy = nic.memory(SLOT, Access::LOCAL_WRITE);
        Client { qp: qp.clone(), cq: cq.clone(), table, slots, copy }
    }

    /// The value of a key; `None` if it is not in the table.
    pub fn get(&mut self, key: u64) -> Option<u64> {
        let mut slot = home(key, self.slots);
        for _ in 0..self.slots {
            let remote = Remote { addr: self.table.addr + slot * SLOT as u64, ..self.table };
            self.qp.send(slot, Op::Read(remote), (&self.copy, 0..SLOT), true).unwrap();
            let completion = self.cq.wait();
            assert!(completion.is_success(), "{completion:?}");
            let bytes = self.copy.read(0..SLOT);
            match number(&bytes[..8]) {
                0 => return None,
                found if found == key => return Some(number(&bytes[8..])),
                _ => slot = (slot + 1) % self.slots,
            }
        }
        None
    }
}
