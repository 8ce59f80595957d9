//! Keys that are hard to guess and quick to look up.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::policy::Numbering;
use crate::rng::Rng;

/// A table of `T` under 32-bit keys.
///
/// As on other NICs the low 8 bits of a key change with every use of its upper 24, the index, so that a stale
/// key fails. Here the index is random as well: with at most a few thousand live regions, a peer that guesses
/// finds one in millions of tries, and each wrong try costs it the connection.
#[derive(Clone, Debug)]
pub(super) struct KeyTable<T> {
    entries: HashMap<u32, (u32, T), BuildHasherDefault<IndexHasher>>,
    limit: usize,
    numbering: Numbering,
    /// The index to try next when numbering is sequential.
    next: u32,
}

const INDEX_MASK: u32 = 0x00ff_ffff;

impl<T> KeyTable<T> {
    pub(super) fn new(limit: usize, numbering: Numbering) -> KeyTable<T> {
        // Half of all indices stay free, so that a free one is found in two tries on average.
        let limit = limit.min(1 << 23);
        KeyTable { entries: HashMap::default(), limit, numbering, next: 1 }
    }

    /// Stores `value` and returns its key; `None` when the table is full.
    pub(super) fn insert(&mut self, rng: &mut Rng, value: T) -> Option<u32> {
        if self.entries.len() >= self.limit {
            return None;
        }
        let (index, low) = loop {
            let index = match self.numbering {
                Numbering::Random => rng.u32() & INDEX_MASK,
                Numbering::Sequential => self.next,
            };
            self.next = (self.next + 1) & INDEX_MASK;
            // Index 0 would make keys below 256, which programs use as "no key".
            if index != 0 && !self.entries.contains_key(&index) {
                break (index, if self.numbering == Numbering::Random { rng.u32() & 0xff } else { 0 });
            }
        };
        let key = index << 8 | low;
        self.entries.insert(index, (key, value));
        Some(key)
    }

    #[inline]
    pub(super) fn get(&self, key: u32) -> Option<&T> {
        self.entries.get(&(key >> 8)).filter(|entry| entry.0 == key).map(|entry| &entry.1)
    }

    pub(super) fn get_mut(&mut self, key: u32) -> Option<&mut T> {
        self.entries.get_mut(&(key >> 8)).filter(|entry| entry.0 == key).map(|entry| &mut entry.1)
    }

    /// The key that now has the index of `key`.
    pub(super) fn current(&self, key: u32) -> Option<u32> {
        self.entries.get(&(key >> 8)).map(|entry| entry.0)
    }

    /// Puts `value` in the place of what `key` opens.
    pub(super) fn replace(&mut self, key: u32, value: T) {
        if let Some(old) = self.get_mut(key) {
            *old = value;
        }
    }

    /// Makes `key` the one that opens the entry with its index.
    pub(super) fn change(&mut self, key: u32) {
        if let Some(entry) = self.entries.get_mut(&(key >> 8)) {
            entry.0 = key;
        }
    }

    pub(super) fn remove(&mut self, key: u32) -> Option<T> {
        self.get(key)?;
        self.entries.remove(&(key >> 8)).map(|entry| entry.1)
    }

    /// All entries by ascending key: the map's own order would be an accident.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let mut all: Vec<_> = self.entries.values().map(|(key, value)| (*key, value)).collect();
        all.sort_unstable_by_key(|entry| entry.0);
        all.into_iter()
    }
}

/// Indices are random or small and unique already; one multiplication spreads them over the table.
#[derive(Clone, Copy, Debug, Default)]
struct IndexHasher(u64);

impl Hasher for IndexHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, index: u32) {
        self.0 = (self.0 ^ u64::from(index)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_key_stays_dead_when_its_index_comes_back() {
        let mut table = KeyTable::new(8, Numbering::Random);
        let mut rng = Rng::new(7.into());
        let key = table.insert(&mut rng, 'a').unwrap();
        assert_eq!(table.get(key), Some(&'a'));
        assert_eq!(table.get(key ^ 1), None, "the low bits count");
        assert_eq!(table.remove(key), Some('a'));
        assert_eq!(table.get(key), None);
        assert_eq!(table.remove(key), None);
    }

    #[test]
    fn the_limit_holds_and_keys_differ() {
        let mut table = KeyTable::new(100, Numbering::Random);
        let mut rng = Rng::new(7.into());
        let mut keys: Vec<_> = (0..100).map(|n| table.insert(&mut rng, n).unwrap()).collect();
        assert_eq!(table.insert(&mut rng, 100), None);
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 100);
        assert!(keys.iter().all(|key| *key > 0xff));
    }
}
