//! Probabilities as people write them.

use std::fmt;
use std::str::FromStr;

/// A probability, written as `5%` or `0.05`.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Chance(f64);

impl Chance {
    /// `percent` of a hundred; what lies outside 0..=100 is moved to the nearer end.
    pub fn percent(percent: f64) -> Chance {
        Chance((percent / 100.0).clamp(0.0, 1.0))
    }

    /// From 0 to 1.
    pub fn value(self) -> f64 {
        self.0
    }
}

/// Why a text is no probability.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a share of the packets as '5%' or as '0.05'")]
pub struct NoChance;

impl FromStr for Chance {
    type Err = NoChance;

    fn from_str(text: &str) -> Result<Chance, NoChance> {
        let (number, unit) = match text.strip_suffix('%') {
            Some(number) => (number.trim_end(), 100.0),
            None => (text, 1.0),
        };
        let value = number.parse::<f64>().map_err(|_| NoChance)? / unit;
        if (0.0..=1.0).contains(&value) { Ok(Chance(value)) } else { Err(NoChance) }
    }
}

impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded to what anybody would write, because 0.07 · 100 is not quite 7.
        write!(f, "{}%", (self.0 * 1e6).round() / 1e4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_writing_mean_the_same() {
        assert_eq!("5%".parse(), "0.05".parse::<Chance>());
        assert_eq!("12.5 %".parse(), Ok(Chance(0.125)));
        assert_eq!("1".parse::<Chance>().map(|chance| chance.to_string()), Ok("100%".to_owned()));
        assert_eq!("0.07".parse::<Chance>().map(|chance| chance.to_string()), Ok("7%".to_owned()));
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for text in ["", "%", "5", "-1%", "101%", "NaN", "inf", "five"] {
            assert_eq!(text.parse::<Chance>(), Err(NoChance), "{text}");
        }
    }
}
