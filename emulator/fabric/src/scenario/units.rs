//! Quantities as people write them: `"22.4KB"`, `"55us"`, `"40Gb/s"`.

use core::fmt;
use std::time::Duration;

use serde::Deserialize;

/// What a file may hold where a quantity is expected.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a number, or a string such as \"40Gb/s\", \"55us\" or \"4MB\"")]
enum Raw {
    Whole(u64),
    Broken(f64),
    Text(String),
}

/// Reads a number with one of `units`; a bare number is in the unit whose factor is 1.
fn read(raw: Raw, units: &[(&str, f64)], what: &str) -> Result<u64, String> {
    let value = match raw {
        Raw::Whole(number) => return Ok(number),
        Raw::Broken(number) => number,
        Raw::Text(text) => {
            let text = text.trim();
            let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
            let (number, unit) = text.split_at(split);
            let number: f64 = number.parse().map_err(|_| format!("{text:?} is no {what}"))?;
            let factor = units.iter().find(|(name, _)| *name == unit.trim());
            let names = || units.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            number * factor.ok_or_else(|| format!("{text:?} is no {what}: units are {}", names()))?.1
        }
    };
    if !value.is_finite() || !(0.0..1e18).contains(&value) {
        return Err(format!("{value} is no {what}"));
    }
    Ok(value.round() as u64)
}

/// A number in the unit that makes it shortest, the largest of several.
fn write(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, f64)]) -> fmt::Result {
    let fits = units[1..].iter().filter(|(_, factor)| value as f64 >= *factor);
    let written =
        units[..1].iter().chain(fits).map(|(name, factor)| format!("{}{name}", value as f64 / factor));
    f.write_str(&written.rev().min_by_key(String::len).unwrap_or_default())
}

macro_rules! quantity {
    ($(#[doc = $doc:literal])+ $name:ident, $what:literal, $units:ident, $value:ident: $ty:ty = $make:expr, $number:expr) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
        #[serde(try_from = "Raw")]
        pub struct $name(pub $ty);

        impl TryFrom<Raw> for $name {
            type Error = String;

            fn try_from(raw: Raw) -> Result<$name, String> {
                let $value = read(raw, $units, $what)?;
                Ok($name($make))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let $value = self.0;
                write(f, $number, $units)
            }
        }
    };
}

const SIZES: &[(&str, f64)] = &[
    ("B", 1.0),
    ("KB", 1e3),
    ("KiB", 1024.0),
    ("MB", 1e6),
    ("MiB", 1_048_576.0),
    ("GB", 1e9),
    ("GiB", 1_073_741_824.0),
];
const SPANS: &[(&str, f64)] = &[("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9)];
const RATES: &[(&str, f64)] = &[("b/s", 1.0), ("kb/s", 1e3), ("Mb/s", 1e6), ("Gb/s", 1e9), ("Tb/s", 1e12)];

quantity! {
    /// A number of bytes.
    Bytes, "size", SIZES, value: u64 = value, value
}
quantity! {
    /// A span of time.
    Span, "time", SPANS, value: Duration = Duration::from_nanos(value), value.as_nanos() as u64
}
quantity! {
    /// Bits per second.
    Rate, "rate", RATES, value: u64 = value, value
}

impl Span {
    /// So many microseconds.
    pub const fn micros(micros: u64) -> Span {
        Span(Duration::from_micros(micros))
    }
}

impl Rate {
    /// So many billions of bits per second.
    pub const fn gigabits(gigabits: u64) -> Rate {
        Rate(gigabits * 1_000_000_000)
    }
}

/// A probability, 0 to 1.
#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Share(pub f64);

impl TryFrom<f64> for Share {
    type Error = String;

    fn try_from(value: f64) -> Result<Share, String> {
        if (0.0..=1.0).contains(&value) {
            Ok(Share(value))
        } else {
            Err(format!("{value} is not between 0 and 1"))
        }
    }
}

impl Share {
    /// In millionths.
    pub fn millionths(self) -> u32 {
        (self.0 * 1e6).round() as u32
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_and_written_as_people_do() {
        let text = |text: &str| Raw::Text(text.to_owned());
        assert_eq!(Bytes::try_from(text("22.4KB")), Ok(Bytes(22_400)));
        assert_eq!(Bytes::try_from(text("4 MiB")), Ok(Bytes(4 << 20)));
        assert_eq!(Span::try_from(text("1.5ms")), Ok(Span::micros(1_500)));
        assert_eq!(Rate::try_from(text("40Gb/s")), Ok(Rate::gigabits(40)));
        assert_eq!(format!("{:?} {:?}", Rate::gigabits(40), Span::micros(55)), "40Gb/s 55us");
        let sizes = [12_000_000, 200_000, 4 << 20, 22_400, 0].map(|size| format!("{:?}", Bytes(size)));
        assert_eq!(sizes, ["12MB", "200KB", "4MiB", "22.4KB", "0B"]);
        let error = Span::try_from(text("3 weeks")).unwrap_err();
        assert_eq!(error, "\"3 weeks\" is no time: units are ns, us, ms, s");
        assert!(Rate::try_from(text("-1Gb/s")).is_err() && Rate::try_from(text("1e400")).is_err());
    }
}
