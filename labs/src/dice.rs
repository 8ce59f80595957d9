//! Numbers drawn from a seed: the same seed asks the same questions.

use std::hash::{BuildHasher, RandomState};

/// A seed that nobody knows beforehand; short enough to type.
pub fn fresh_seed() -> u64 {
    RandomState::new().hash_one(()) % 1_000_000
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.bits() & 1 == 1
    }

    /// A number of `bits` (1..=64) bits.
    pub(crate) fn number(&mut self, bits: u32) -> u64 {
        self.bits() >> (64 - bits)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.bits() as u8).collect()
    }
}
