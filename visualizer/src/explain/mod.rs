//! Explains captures: which RoCEv2 packets there are, whether their ICRCs are right, who talked to whom about
//! what, and what went wrong.
//!
//! [`explain`] reads a file once, from front to back, in time proportional to its length and in bounded
//! memory. It prints nothing: the [`Report`] is for whoever shows it.
//!
//! A finding is made only of what the packets say. Responses to a READ take PSNs that no request shows, one
//! ACK may answer many requests, PSNs wrap around: none of that is a fault, and none is reported.

mod analysis;
mod capture;
mod connection;
mod detail;
mod elsewhere;
mod ending;
mod finding;
mod message;
mod pace;
mod pauses;
mod pending;
mod report;
mod rules;
mod sighting;
mod stream;
mod trail;
mod words;

use std::io::Read;

pub use capture::OpenError;
pub use connection::Pairing;
pub use finding::{Confidence, Duration, Finding, MAX_EVIDENCE, MAX_FINDINGS, Severity};
pub use message::{Message, Total};
pub use report::{ConnectionReport, Death, EndReport, Report};
pub use sighting::{Decoded, IcrcCheck, PauseFrame, Sighting};
pub use trail::{MAX_STEPS, Step, Trail};

use analysis::Analysis;
use capture::Capture;

/// Explains a capture in pcap or pcapng format. `watch` sees every packet on the way: its number from 1, when
/// it was captured in nanoseconds since 1970, and what it is.
///
/// A damaged file is explained as far as it can be read, with a finding that says where it ends.
///
/// # Errors
/// When this is no capture.
pub fn explain(
    input: impl Read,
    watch: &mut dyn FnMut(u64, Option<u64>, &Decoded<'_>),
) -> Result<Report, OpenError> {
    explain_with_trail(input, watch).map(|(report, _)| report)
}

/// The same, and every packet with the connection that it turned out to belong to.
///
/// # Errors
/// When this is no capture.
pub fn explain_with_trail(
    input: impl Read,
    watch: &mut dyn FnMut(u64, Option<u64>, &Decoded<'_>),
) -> Result<(Report, Trail), OpenError> {
    let mut capture = Capture::open(input)?;
    let mut analysis = Analysis::default();
    let mut scratch = Vec::new();
    loop {
        match capture.next_record() {
            Ok(Some(record)) => {
                let decoded = sighting::decode(&record, &mut scratch);
                watch(record.number, record.time, &decoded);
                analysis.packet(record.number, record.time, &decoded);
            }
            Ok(None) => break,
            Err(damage) => {
                analysis.damaged(&damage);
                break;
            }
        }
    }
    Ok(analysis.finish(capture.format_name()))
}
