//! A run that is written down as it goes.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use ferroce_engine::{Time, TraceEvent};
use ferroce_fabric::{Outcome, Scenario, Simulation};
use ferroce_recording::{MAX_RECORDS, Writer};
use ferroce_visualizer::film::NetworkStory;

use super::progress::Progress;

/// Runs a scenario, and records it until the file has as much as is read of one.
pub(super) fn run(name: &str, scenario: &Scenario, story: &NetworkStory, file: &Path) -> io::Result<Outcome> {
    let mut simulation = Simulation::<Vec<(Time, TraceEvent)>>::new(scenario);
    let mut writer = Writer::new(BufWriter::new(File::create(file)?), &story.header(&simulation)?)?;
    let mut left = MAX_RECORDS - 1;
    let outcome = Progress::new(name).drive_with(&mut simulation, |simulation| {
        for record in simulation.take_records() {
            if left > 0 {
                left -= 1;
                writer.write(&record)?;
            }
        }
        Ok::<(), io::Error>(())
    })?;
    writer.finish()?.flush()?;
    Ok(outcome)
}
