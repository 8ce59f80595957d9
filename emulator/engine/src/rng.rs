//! Randomness that is handed in, so that a run can be had again.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// Where a device's random numbers come from.
///
/// A device on a real network is seeded with 32 bytes from the operating system, so that its memory keys and
/// queue-pair numbers are hard to guess; one in the simulated fabric is seeded with a small number, so that a
/// run can be repeated from one line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub [u8; 32]);

impl From<u64> for Seed {
    fn from(number: u64) -> Seed {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        Seed(bytes)
    }
}

impl core::fmt::Debug for Seed {
    /// Shows nothing: whoever knows the seed can guess every key of the device.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// A cryptographic generator: seeing many keys does not help to guess the next.
#[derive(Clone)]
pub(crate) struct Rng(ChaCha8Rng);

impl Rng {
    pub(crate) fn new(seed: Seed) -> Rng {
        Rng(ChaCha8Rng::from_seed(seed.0))
    }

    /// A generator of the same seed whose numbers have nothing to do with those of `new`.
    pub(crate) fn beside(seed: Seed) -> Rng {
        let mut generator = ChaCha8Rng::from_seed(seed.0);
        generator.set_stream(1);
        Rng(generator)
    }

    pub(crate) fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }
}

impl core::fmt::Debug for Rng {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Rng(..)")
    }
}
