//! Chance that can be had again.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// A probability, in millionths.
///
/// An integer, so that a run does not depend on how a machine rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chance(u32);

impl Chance {
    /// Never.
    pub const NEVER: Chance = Chance(0);
    /// Always.
    pub const ALWAYS: Chance = Chance(1_000_000);

    /// `millionths` out of a million times; more than that means always.
    pub const fn millionths(millionths: u32) -> Chance {
        Chance(if millionths > 1_000_000 { 1_000_000 } else { millionths })
    }

    /// `percent` out of a hundred times; more than that means always.
    pub const fn percent(percent: u32) -> Chance {
        Chance::millionths(percent.saturating_mul(10_000))
    }
}

/// A source of random numbers that a seed determines (ChaCha with 8 rounds).
#[derive(Clone, Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// The numbers that belong to `seed`.
    pub fn new(seed: u64) -> Dice {
        Dice(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`; 0 when `bound` is 0. Slightly uneven for bounds near 2^64, which nobody rolls.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Whether something happens that happens with this probability. Takes nothing from the generator when the
    /// answer is certain, so that switching one fault off does not change the others' rolls more than needed.
    pub fn happens(&mut self, chance: Chance) -> bool {
        match chance {
            Chance::NEVER => false,
            Chance::ALWAYS => true,
            Chance(millionths) => self.below(1_000_000) < u64::from(millionths),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_all_numbers() {
        let roll = |seed| {
            let mut dice = Dice::new(seed);
            core::array::from_fn::<u64, 8, _>(|_| dice.any())
        };
        assert_eq!(roll(1), roll(1));
        assert_ne!(roll(1), roll(2));
    }

    #[test]
    fn chances_come_about_as_often_as_they_say() {
        let mut dice = Dice::new(3);
        let hits = (0..10_000).filter(|_| dice.happens(Chance::percent(20))).count();
        assert!((1_800..2_200).contains(&hits), "{hits} of 10000");
        assert!((0..100).all(|_| dice.below(3) < 3 && dice.below(0) == 0));
        assert!(!dice.happens(Chance::NEVER) && dice.happens(Chance::percent(100)));
    }
}
