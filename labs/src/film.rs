//! The run that a check failed in, for `ferroce replay`.

use std::fs;
use std::path::Path;

use ferroce_fabric::Fabric;
use ferroce_recording::{Header, Record, Writer};

use crate::error::LabError;

/// Most records that are kept, from the end: what led to the failure.
const LONGEST: usize = 100_000;

/// A recording, and the moment in it to look at.
#[derive(Debug)]
pub(crate) struct Film {
    bytes: Vec<u8>,
    /// What the name of its file ends with.
    pub(crate) ending: &'static str,
    /// Records before that moment.
    pub(crate) moment: usize,
}

impl Film {
    /// Records in their order; the moment is after so many of them.
    pub(crate) fn new(header: &Header, records: impl Iterator<Item = Record>, moment: usize) -> Film {
        let mut writer = Writer::new(Vec::new(), header).expect("memory takes everything");
        let skipped = moment.saturating_sub(LONGEST);
        for record in records.skip(skipped) {
            writer.write(&record).expect("memory takes everything");
        }
        let bytes = writer.finish().expect("memory takes everything");
        Film { bytes, ending: "frec", moment: moment - skipped }
    }

    /// A capture file that has so many packets up to the moment.
    pub(crate) fn of_capture(bytes: Vec<u8>, moment: usize) -> Film {
        Film { bytes, ending: "pcap", moment }
    }

    /// What has happened in `fabric`; the moment is after so many entries of its log.
    pub(crate) fn of(fabric: &Fabric, moment: usize) -> Film {
        Film::new(&fabric.header(), fabric.log().records(), moment)
    }

    /// Writes it into this file.
    pub(crate) fn save(&self, path: &Path) -> Result<(), LabError> {
        fs::write(path, &self.bytes).map_err(LabError::io("write", path))
    }
}
