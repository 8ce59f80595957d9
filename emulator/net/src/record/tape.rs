//! A recording that is being made, or not.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ferroce_engine::Time;

use super::pcapng::PcapNgWriter;
use super::{Kind, Medium, PcapWriter, RunLog, Sighting};
use crate::sys::fork;

/// Which way a packet passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Out,
    In,
}

enum File {
    Pcap(PcapWriter<Box<dyn io::Write + Send>>),
    PcapNg(PcapNgWriter),
    Run(RunLog),
}

/// Where packets are recorded, while they are.
pub(super) struct Tape {
    file: Option<File>,
    /// The link's time 0, since 1970.
    origin: Duration,
    unflushed: bool,
    /// Recording ended because the file took no more.
    failed: bool,
    /// What was not recorded since, in this recording and those before.
    unrecorded: u64,
    /// The process that records.
    born: u32,
}

impl Tape {
    pub(super) fn new() -> Tape {
        Tape {
            file: None,
            origin: Duration::ZERO,
            unflushed: false,
            failed: false,
            unrecorded: 0,
            born: fork::generation(),
        }
    }

    /// Records into this from now on.
    pub(super) fn begin(&mut self, medium: Medium, now: Time) -> io::Result<()> {
        self.end();
        self.origin = since_1970(now);
        self.failed = false;
        self.file = Some(match medium.0 {
            Kind::Pcap(out) => File::Pcap(PcapWriter::new(out)?),
            Kind::PcapNg(out) => File::PcapNg(PcapNgWriter::new(out)?),
            Kind::Run(log) => File::Run(log),
        });
        Ok(())
    }

    /// Records into another medium from now on, or into none.
    pub(super) fn change(&mut self, medium: Option<Medium>, now: Time) {
        match medium {
            Some(medium) => self.failed = self.begin(medium, now).is_err(),
            None => {
                self.end();
                self.failed = false;
            }
        }
    }

    /// Hands what was recorded to the file, and takes no more.
    fn end(&mut self) {
        self.flush();
        if let Some(File::Run(log)) = self.file.take() {
            self.unrecorded += log.unrecorded();
            log.finish();
        }
    }

    /// Hands what was recorded to the file.
    pub(super) fn flush(&mut self) {
        let failed = match &mut self.file {
            // The device adds events of which the link does not know.
            Some(File::Run(log)) => {
                log.flush();
                false
            }
            Some(File::Pcap(file)) => self.unflushed && file.flush().is_err(),
            Some(File::PcapNg(file)) => self.unflushed && file.flush().is_err(),
            None => false,
        };
        if failed {
            self.fail();
        }
        self.unflushed = false;
    }

    /// Whether packets are being recorded.
    pub(super) fn is_on(&self) -> bool {
        self.file.is_some()
    }

    /// Whether packets are to be told of: not in a forked child, whose files are the parent's.
    pub(super) fn is_wanted(&self) -> bool {
        (self.file.is_some() || self.failed) && self.born == fork::generation()
    }

    /// Whether the file took no more.
    pub(super) fn has_failed(&self) -> bool {
        self.failed || matches!(&self.file, Some(File::Run(log)) if log.has_failed())
    }

    /// Packets and events that should have been recorded, and were not.
    pub(super) fn unrecorded(&self) -> u64 {
        let now = if let Some(File::Run(log)) = &self.file { log.unrecorded() } else { 0 };
        self.unrecorded + now
    }

    /// A packet passes.
    pub(super) fn add(&mut self, now: Time, way: Way, seen: &Sighting, packet: &[u8]) {
        let at = self.origin + now.since(Time::ZERO);
        let written = match (&mut self.file, seen.datagram(packet)) {
            (Some(File::Run(log)), _) => return log.packet(now, way, seen, packet),
            (Some(File::Pcap(file)), Some(datagram)) => file.write(at, &datagram),
            (Some(File::PcapNg(file)), Some(datagram)) => file.write(at, way, seen.local, &datagram),
            (Some(_), None) => return,
            (None, _) => {
                self.unrecorded += 1;
                return;
            }
        };
        self.unflushed = true;
        if written.is_err() {
            self.fail();
        }
    }

    fn fail(&mut self) {
        self.file = None;
        self.failed = true;
        self.unrecorded += 1;
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        if self.born != fork::generation() {
            // A forked child has a copy of what is yet to be written. The parent will write it.
            return std::mem::forget(self.file.take());
        }
        self.end();
    }
}

/// A link's time 0 as time since 1970, if it is `now` there at this moment.
pub(super) fn since_1970(now: Time) -> Duration {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    wall.saturating_sub(now.since(Time::ZERO))
}
