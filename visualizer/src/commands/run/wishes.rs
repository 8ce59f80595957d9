//! Options of `ferroce run`, from what people type to what the library reads.

use std::fmt;
use std::net::IpAddr;

use ferroce::{Interface, Personality};

use super::Addresses;

/// The addresses of one device: `127.0.0.1`, `192.0.2.1,2001:db8::1` or `eth0`.
pub(super) fn addresses(text: &str) -> Result<Addresses, String> {
    let parsed: Result<Vec<IpAddr>, _> = text.split(',').map(str::parse).collect();
    match parsed {
        Ok(addresses) => Ok(Addresses(addresses)),
        Err(_) => Interface::addresses(text).map(Addresses).map_err(|error| error.to_string()),
    }
}

/// As the library reads them.
pub(super) fn text(addresses: &Addresses) -> String {
    let each: Vec<String> = addresses.0.iter().map(IpAddr::to_string).collect();
    each.join(",")
}

/// A personality by its name.
pub(super) fn personality(name: &str) -> Result<Personality, String> {
    Personality::by_name(name).ok_or_else(|| {
        let names: Vec<_> = Personality::all().iter().map(|known| known.name).collect();
        format!("there are {}", names.join(", "))
    })
}

/// `2%` or `2`, as a share.
pub(super) fn percent(text: &str) -> Result<f64, String> {
    let number: f64 =
        text.trim_end_matches('%').parse().map_err(|_| "a percentage, such as 2%".to_owned())?;
    if (0.0..=100.0).contains(&number) { Ok(number / 100.0) } else { Err("from 0% to 100%".to_owned()) }
}

/// Shares of packets that suffer, by what happens to them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rates(Vec<(&'static str, f64)>);

impl Rates {
    /// This share is lost.
    pub(super) fn drop(share: f64) -> Rates {
        Rates(vec![("drop", share)])
    }
}

/// `drop=2%,reorder=5%`
pub(super) fn rates(text: &str) -> Result<Rates, String> {
    const NAMES: [&str; 4] = ["drop", "duplicate", "corrupt", "reorder"];
    let one = |part: &str| {
        let (name, value) = part.split_once('=').ok_or_else(|| format!("{part:?} is not NAME=PERCENT"))?;
        let known = NAMES.into_iter().find(|known| *known == name);
        let known = known.ok_or_else(|| format!("{name:?} is none of {}", NAMES.join(", ")))?;
        Ok((known, percent(value)?))
    };
    text.split(',').map(one).collect::<Result<_, String>>().map(Rates)
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (name, share)) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{name}={share}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_becomes_what_the_library_reads() {
        assert_eq!(rates("drop=2%,reorder=5").unwrap().to_string(), "drop=0.02,reorder=0.05");
        assert_eq!(Rates::drop(percent("2%").unwrap()).to_string(), "drop=0.02");
        assert_eq!(text(&addresses("127.0.0.1,::1").unwrap()), "127.0.0.1,::1");
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        assert!(rates("loss=2%").unwrap_err().contains("duplicate"));
        assert!(rates("drop").unwrap_err().contains("NAME=PERCENT"));
        assert!(percent("200%").unwrap_err().contains("100%"));
        assert!(addresses("nonesuch0").unwrap_err().contains("nonesuch0"));
        assert!(personality("mellanox").unwrap_err().contains("rxe"));
    }
}
