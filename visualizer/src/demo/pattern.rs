//! Bytes that are different everywhere, and decisions that a seed can bring back.

/// A small generator of numbers (splitmix64). Good enough for test data, and the same everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The generator that belongs to this seed and purpose.
    pub(crate) fn new(seed: u64, purpose: u64) -> Dice {
        let mut dice = Dice(seed ^ purpose.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        dice.next();
        dice
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`; 0 if there is none.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// True with this probability, from 0 to 1.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        // 53 bits are what an f64 holds exactly.
        ((self.next() >> 11) as f64 / (1_u64 << 53) as f64) < probability
    }
}

/// The bytes that belong to `name`: no two names share a sequence worth speaking of, so bytes in the wrong
/// place, or of another message, never look right.
pub(crate) fn bytes(name: u64, len: usize) -> Vec<u8> {
    let mut dice = Dice::new(name, 0x62797465);
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        out.extend_from_slice(&dice.next().to_le_bytes());
    }
    out.truncate(len);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_decide_all_bytes() {
        assert_eq!(bytes(7, 100), bytes(7, 100));
        assert_eq!(bytes(7, 13), bytes(7, 100)[..13]);
        assert_ne!(bytes(7, 100), bytes(8, 100));
        assert!(bytes(1, 0).is_empty());
    }

    #[test]
    fn chances_are_what_they_say() {
        let mut dice = Dice::new(1, 2);
        let hits = (0..10_000).filter(|_| dice.happens(0.25)).count();
        assert!((2_000..3_000).contains(&hits), "{hits}");
        assert!(!(0..1000).any(|_| dice.happens(0.0)));
        assert!((0..1000).all(|_| dice.happens(1.0)));
    }
}
