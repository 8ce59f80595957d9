//! Sizes of messages: fixed, or as they were found in data centres.

use serde::Deserialize;

use super::units::Bytes;
use crate::dice::Dice;

/// How long messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Raw")]
pub enum Size {
    /// Always so many bytes.
    Fixed(u64),
    /// As flows of a web search cluster (Alizadeh et al., DCTCP, SIGCOMM 2010, figure 4).
    WebSearch,
    /// As flows of a data mining cluster (Greenberg et al., VL2, SIGCOMM 2009, figure 2).
    DataMining,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a size such as \"64KB\", or \"web-search\" or \"data-mining\"")]
enum Raw {
    Fixed(Bytes),
    Named(String),
}

impl TryFrom<Raw> for Size {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Size, String> {
        match raw {
            Raw::Fixed(Bytes(bytes)) => Ok(Size::Fixed(bytes)),
            Raw::Named(name) if name == "web-search" => Ok(Size::WebSearch),
            Raw::Named(name) if name == "data-mining" => Ok(Size::DataMining),
            Raw::Named(name) => Err(format!(
                "{name:?} is neither a size such as \"64KB\" nor \"web-search\" nor \"data-mining\""
            )),
        }
    }
}

/// Points of a cumulative distribution: bytes, and how many thousandths of all messages are not longer. Read off
/// the figures; in between sizes are interpolated, and the longest are cut off at 30 MB.
type Points = &'static [(u64, u64)];

const WEB_SEARCH: Points = &[
    (1_000, 0),
    (10_000, 150),
    (20_000, 200),
    (30_000, 300),
    (50_000, 400),
    (80_000, 530),
    (200_000, 600),
    (1_000_000, 700),
    (2_000_000, 800),
    (5_000_000, 900),
    (10_000_000, 970),
    (30_000_000, 1_000),
];

const DATA_MINING: Points = &[
    (80, 0),
    (180, 100),
    (250, 200),
    (560, 300),
    (900, 400),
    (1_100, 500),
    (1_870, 600),
    (3_160, 700),
    (10_000, 800),
    (400_000, 900),
    (3_160_000, 950),
    (30_000_000, 1_000),
];

impl Size {
    fn points(self) -> Points {
        match self {
            Size::Fixed(_) => &[],
            Size::WebSearch => WEB_SEARCH,
            Size::DataMining => DATA_MINING,
        }
    }

    /// The longest message.
    pub fn most(self) -> u64 {
        if let Size::Fixed(bytes) = self { bytes } else { self.points().last().map_or(0, |last| last.0) }
    }

    /// The mean in bytes.
    pub fn mean(self) -> f64 {
        if let Size::Fixed(bytes) = self {
            return bytes as f64;
        }
        let steps = self.points().windows(2);
        steps.map(|step| (step[0].0 + step[1].0) as f64 / 2.0 * (step[1].1 - step[0].1) as f64 / 1e3).sum()
    }

    /// The next message's.
    pub fn roll(self, dice: &mut Dice) -> u64 {
        if let Size::Fixed(bytes) = self {
            return bytes;
        }
        let at = dice.below(1_000_000);
        let within = |step: &&[(u64, u64)]| at < step[1].1 * 1_000;
        let Some(&[(low, from), (high, to)]) = self.points().windows(2).find(within) else {
            return self.most();
        };
        low + (high - low) * (at - from * 1_000) / ((to - from) * 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rolled_sizes_have_the_mean_of_their_distribution() {
        let mut dice = Dice::new(1);
        for size in [Size::WebSearch, Size::DataMining, Size::Fixed(7)] {
            let mean = (0..20_000).map(|_| size.roll(&mut dice) as f64).sum::<f64>() / 20_000.0;
            assert!((mean / size.mean() - 1.0).abs() < 0.1, "{size:?}: {mean} instead of {}", size.mean());
        }
    }
}
