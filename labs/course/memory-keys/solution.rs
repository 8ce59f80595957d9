//! Who may touch which memory. Read README.md, write `Keys`, then: ferroce lab check

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// Rights, to be combined with `|`.
pub const READ: u8 = 1;
pub const WRITE: u8 = 2;
pub const ATOMIC: u8 = 4;

/// Why an access is denied.
pub enum Denied {
    /// No region has this key.
    Key,
    /// The region belongs to another protection domain.
    Domain,
    /// The region does not allow this.
    Rights,
    /// Some byte is outside the region.
    Range,
}

struct Region {
    addr: u64,
    len: u64,
    rights: u8,
    domain: u32,
}

/// The registered memory of a network card.
pub struct Keys {
    regions: HashMap<u32, Region>,
    /// Hashes with secret keys that the operating system has drawn.
    secret: RandomState,
    registered: u64,
}

impl Keys {
    pub fn new() -> Keys {
        Keys { regions: HashMap::new(), secret: RandomState::new(), registered: 0 }
    }

    /// Registers the `len` bytes from `addr` on, and returns the key for them.
    pub fn register(&mut self, addr: u64, len: u64, rights: u8, domain: u32) -> u32 {
        let key = loop {
            self.registered += 1;
            let key = self.secret.hash_one(self.registered) as u32;
            if !self.regions.contains_key(&key) {
                break key;
            }
        };
        self.regions.insert(key, Region { addr, len, rights, domain });
        key
    }

    /// Ends the registration.
    pub fn deregister(&mut self, key: u32) {
        self.regions.remove(&key);
    }

    /// A peer names a key and wants to do `need` (one right) to the `len` bytes from `addr` on, through a queue pair of
    /// protection domain `domain`.
    pub fn check(&self, key: u32, domain: u32, need: u8, addr: u64, len: u64) -> Result<(), Denied> {
        let region = self.regions.get(&key).ok_or(Denied::Key)?;
        if region.domain != domain {
            return Err(Denied::Domain);
        }
        if region.rights & need == 0 {
            return Err(Denied::Rights);
        }
        // Where it begins, counted from the region's first byte; nothing is added to what the peer has sent.
        let begin = addr.checked_sub(region.addr).ok_or(Denied::Range)?;
        if begin > region.len || len > region.len - begin {
            return Err(Denied::Range);
        }
        Ok(())
    }
}
