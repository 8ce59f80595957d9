//! What the environment says; `ferroce run` sets it from its options.

use std::env;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use ferroce_engine::Personality;
use ferroce_net::{FaultRates, Faults, Interface};

/// Everything that can be set.
pub(crate) struct Settings {
    /// `FERROCE_ADDRESS`: the addresses of `ferroce0` with commas between them, a space, those of `ferroce1`, and so
    /// on. The name of a network interface stands for its addresses.
    pub(crate) devices: Vec<Vec<IpAddr>>,
    /// `FERROCE_PERSONALITY`: a name. `FERROCE_PLACEMENT`, `on` or `off`: whether it knows ATOMIC WRITE and FLUSH.
    pub(crate) personality: Personality,
    /// `FERROCE_FAULTS`, such as `drop=0.02,reorder=0.01`: shares of the packets that are sent.
    /// `FERROCE_SEED`: decides which.
    pub(crate) faults: Faults,
    /// `FERROCE_RECORD`: a recording or capture; for the second and later processes the process number is put in.
    pub(crate) record: Option<PathBuf>,
    /// `FERROCE_SHARED_MEMORY`, `on` or `off`: whether packets between NICs of this user on this machine go through
    /// shared memory; `on` if nothing is said.
    pub(crate) shared_memory: bool,
    /// `FERROCE_SYSFS`: a directory that stands for `/sys`.
    pub(crate) sysfs: Option<PathBuf>,
    /// `FERROCE_PART_ID`: the number of the model that `ibv_query_device` tells, for programs that do more on models
    /// that they know.
    pub(crate) part_id: Option<u32>,
}

impl Settings {
    /// A process without devices.
    pub(crate) fn nothing() -> Settings {
        Settings {
            devices: Vec::new(),
            personality: Personality::default(),
            faults: Faults::default(),
            record: None,
            shared_memory: true,
            sysfs: None,
            part_id: None,
        }
    }

    /// Reads the environment.
    ///
    /// # Errors
    /// With an explanation, when a variable makes no sense.
    pub(crate) fn read() -> Result<Settings, String> {
        let number = |name: &str| match variable(name)? {
            Some(text) => text.parse().map(Some).map_err(|_| format!("{name}={text} is not a number")),
            None => Ok(None),
        };
        let seed: u64 = number("FERROCE_SEED")?.unwrap_or(1);
        let part_id = number("FERROCE_PART_ID")?;
        Ok(Settings {
            devices: match variable("FERROCE_ADDRESS")? {
                Some(text) => text.split_whitespace().map(addresses).collect::<Result<_, _>>()?,
                None => vec![usual_addresses()],
            },
            personality: personality()?,
            faults: match variable("FERROCE_FAULTS")? {
                Some(text) => Faults { seed, transmit: rates(&text)?, receive: FaultRates::NONE },
                None => Faults::default(),
            },
            record: env::var_os("FERROCE_RECORD").map(PathBuf::from),
            shared_memory: switch("FERROCE_SHARED_MEMORY")?.unwrap_or(true),
            sysfs: env::var_os("FERROCE_SYSFS").map(PathBuf::from),
            part_id: part_id.map(|id| id as u32),
        })
    }
}

fn variable(name: &str) -> Result<Option<String>, String> {
    match env::var(name) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(format!("{name} is not text")),
    }
}

/// `on` or `off`.
fn switch(name: &str) -> Result<Option<bool>, String> {
    match variable(name)?.as_deref() {
        Some("on") => Ok(Some(true)),
        Some("off") => Ok(Some(false)),
        Some(text) => Err(format!("{name}={text} is neither on nor off")),
        None => Ok(None),
    }
}

fn personality() -> Result<Personality, String> {
    let chosen = match variable("FERROCE_PERSONALITY")? {
        Some(name) => Personality::by_name(&name).ok_or_else(|| {
            let names: Vec<_> = Personality::all().iter().map(|known| known.name).collect();
            format!("FERROCE_PERSONALITY={name} is none of {}", names.join(", "))
        })?,
        None => Personality::default(),
    };
    let placement = switch("FERROCE_PLACEMENT")?.unwrap_or(chosen.placement);
    Ok(Personality { placement, ..chosen })
}

/// The addresses of one device: `192.0.2.1,2001:db8::1` or `eth0`.
fn addresses(text: &str) -> Result<Vec<IpAddr>, String> {
    let mut all = Vec::new();
    for part in text.split(',') {
        match part.parse() {
            Ok(address) => all.push(address),
            Err(_) => {
                all.extend(Interface::addresses(part).map_err(|error| format!("FERROCE_ADDRESS: {error}"))?)
            }
        }
    }
    Ok(all)
}

/// Those of the first network interface that leads somewhere, else the loopback address: then programs on this machine
/// meet, and some (libfabric) refuse to look at loopback interfaces.
fn usual_addresses() -> Vec<IpAddr> {
    let first = Interface::first_external().ok().flatten();
    let addresses = first.and_then(|interface| Interface::addresses(&interface.name).ok());
    addresses.unwrap_or_else(|| vec![IpAddr::V4(Ipv4Addr::LOCALHOST)])
}

/// `drop=0.02,duplicate=0.01,corrupt=0.01,reorder=0.01`, in any order and number.
fn rates(text: &str) -> Result<FaultRates, String> {
    let wrong = |part: &str, why: &str| format!("FERROCE_FAULTS: {part:?} {why}");
    let mut rates = FaultRates::NONE;
    for part in text.split(',') {
        let (name, value) = part.split_once('=').ok_or_else(|| wrong(part, "is not NAME=SHARE"))?;
        let rate = match name {
            "drop" => &mut rates.drop,
            "duplicate" => &mut rates.duplicate,
            "corrupt" => &mut rates.corrupt,
            "reorder" => &mut rates.reorder,
            _ => return Err(wrong(part, "is none of drop, duplicate, corrupt and reorder")),
        };
        *rate = value.parse().map_err(|_| wrong(part, "has no number"))?;
        if !(0.0..=1.0).contains(rate) {
            return Err(wrong(part, "is not from 0 to 1"));
        }
    }
    Ok(rates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_or_what_is_wrong_is_named() {
        let read = rates("drop=0.02,reorder=0.5").unwrap();
        assert_eq!((read.drop, read.reorder, read.corrupt), (0.02, 0.5, 0.0));
        for (text, names) in
            [("drop", "NAME=SHARE"), ("lose=1", "none of"), ("drop=2", "0 to 1"), ("drop=x", "number")]
        {
            assert!(rates(text).unwrap_err().contains(names), "{text}");
        }
    }

    #[test]
    fn a_device_can_have_several_addresses() {
        assert_eq!(addresses("127.0.0.2,::1").unwrap().len(), 2);
        assert!(addresses("lo").unwrap().contains(&Ipv4Addr::LOCALHOST.into()));
        assert!(addresses("nonesuch").unwrap_err().contains("nonesuch"));
    }
}
