//! Times, counted in buckets that are 1/32 wide: quantiles of any number of them in little memory.

use std::time::Duration;

/// Bits of precision.
const PRECISION: u32 = 5;

/// A distribution of times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    buckets: Vec<u64>,
    count: u64,
    sum: u128,
}

fn bucket(nanos: u64) -> usize {
    let magnitude = (u64::BITS - nanos.leading_zeros()).saturating_sub(PRECISION + 1);
    (u64::from(magnitude) << PRECISION) as usize + (nanos >> magnitude) as usize
}

/// The least time of a bucket.
fn least(bucket: usize) -> u64 {
    let magnitude = (bucket >> PRECISION).saturating_sub(1);
    ((bucket - (magnitude << PRECISION)) as u64) << magnitude
}

impl Distribution {
    /// Counts one time.
    pub fn add(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bucket = bucket(nanos);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.count += 1;
        self.sum += u128::from(nanos);
    }

    /// The mean; zero of none.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos((self.sum / u128::from(self.count.max(1))) as u64)
    }

    /// The time that this share (0 to 1) of all do not exceed, low by less than 1/32.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (self.count as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        let found = self.buckets.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        Duration::from_nanos(found.map_or(0, least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_a_32nd() {
        let mut all = Distribution::default();
        (1..=10_000u64).for_each(|micros| all.add(Duration::from_micros(micros)));
        for share in [0.01, 0.5, 0.99, 1.0] {
            let (found, exact) = (all.quantile(share).as_micros() as f64, share * 10_000.0);
            assert!(found <= exact && found > exact * 31.0 / 32.0, "{share}: {found} of {exact}");
        }
        assert_eq!(all.mean(), Duration::from_nanos(5_000_500));
        assert_eq!(Distribution::default().quantile(0.5), Duration::ZERO);
    }

    #[test]
    fn buckets_follow_each_other() {
        let mut last = 0;
        for nanos in 0..100_000u64 {
            let bucket = bucket(nanos);
            assert!(bucket == last || bucket == last + 1);
            assert!(least(bucket) <= nanos, "{nanos}");
            last = bucket;
        }
    }
}
