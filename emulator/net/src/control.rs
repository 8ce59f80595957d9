//! What may be changed in a running NIC from outside: faults on purpose, and recording.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ferroce_engine::{Device, Time, TraceSink};

use crate::faults::{FaultRates, Faults};
use crate::link::{Layer, Link};
use crate::record::{self, Format};

/// Bytes of the longest request.
pub(crate) const LONGEST: u64 = 8 << 10;

/// What is asked of a running NIC.
#[derive(Clone, Debug, PartialEq)]
pub enum Control {
    /// From now on packets that it sends suffer so.
    Faults(FaultRates),
    /// From now on it records what it sends and receives into this file, which must not exist yet: with what it does
    /// besides, if the name ends in `.frec`.
    Record(PathBuf),
    /// It records no longer.
    StopRecording,
}

impl Control {
    /// Reads what its `Display` writes.
    ///
    /// # Errors
    /// With what is wrong with it.
    pub fn parse(text: &str) -> Result<Control, String> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        match text.split_once(' ').unwrap_or((text, "")) {
            ("faults", rates) => faults(rates).map(Control::Faults),
            ("record", path) if Path::new(path).is_absolute() && !path.contains(['\n', '\0']) => {
                Ok(Control::Record(path.into()))
            }
            ("record", path) => Err(format!("{path:?} is no absolute path")),
            ("stop-recording", "") => Ok(Control::StopRecording),
            (word, _) => Err(format!("there is no request {word:?}: faults, record and stop-recording are")),
        }
    }

    /// Does it to a device and its link.
    pub(crate) fn apply<T: TraceSink + 'static>(
        &self,
        device: &mut Device<T>,
        link: &mut dyn Link,
        now: Time,
    ) -> Result<(), String> {
        let mut layer = match self {
            Control::Faults(transmit) => Layer::Faults(Faults { transmit: *transmit, ..Faults::default() }),
            Control::StopRecording => {
                record::trace_into(device, None);
                Layer::Recording(None)
            }
            Control::Record(path) => {
                let cannot = |error| format!("cannot create {}: {error}", path.display());
                let wanted = (Format::of(path), create(path).map_err(cannot)?);
                Layer::Recording(Some(record::begin(wanted, device, now).map_err(cannot)?))
            }
        };
        if link.change(&mut layer, now) {
            return Ok(());
        }
        record::trace_into(device, None);
        Err("this NIC was made without that".to_owned())
    }
}

fn create(path: &Path) -> std::io::Result<Box<dyn Write + Send>> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(Box::new(BufWriter::new(file)))
}

fn faults(text: &str) -> Result<FaultRates, String> {
    let rates: Vec<f64> = text.split(' ').filter_map(|rate| rate.parse().ok()).collect();
    let count = text.split(' ').count();
    match rates[..] {
        [drop, duplicate, corrupt, reorder]
            if count == 4 && rates.iter().all(|rate| (0.0..=1.0).contains(rate)) =>
        {
            Ok(FaultRates { drop, duplicate, corrupt, reorder })
        }
        _ => Err(format!("{text:?} are not four probabilities from 0 to 1")),
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Control::Faults(FaultRates { drop, duplicate, corrupt, reorder }) => {
                writeln!(f, "faults {drop} {duplicate} {corrupt} {reorder}")
            }
            Control::Record(path) => writeln!(f, "record {}", path.display()),
            Control::StopRecording => writeln!(f, "stop-recording"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_survive_the_way_and_nonsense_is_told_what_it_is() {
        let rates = FaultRates { drop: 0.25, reorder: 1.0, ..FaultRates::NONE };
        for control in
            [Control::Faults(rates), Control::Record("/tmp/a b.pcap".into()), Control::StopRecording]
        {
            assert_eq!(Control::parse(&control.to_string()), Ok(control));
        }
        for (text, word) in [
            ("", "no request"),
            ("explode", "explode"),
            ("faults", "four"),
            ("faults 0 0 0", "four"),
            ("faults 0 0 0 2", "four"),
            ("faults NaN 0 0 0", "four"),
            ("faults 0 0 0 0 0", "four"),
            ("record here.pcap", "absolute"),
            ("record", "absolute"),
            ("record /a\nrecord /b", "absolute"),
        ] {
            let error = Control::parse(text).unwrap_err();
            assert!(error.contains(word), "{text:?}: {error}");
        }
    }
}
