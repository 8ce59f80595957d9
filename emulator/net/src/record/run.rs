//! A NIC's run as it goes: packets, and what the device does.

use std::io::{self, Write};

use ferroce_engine::{Bind, Device, MrSnapshot, Time, TraceEvent, TraceSink};
use ferroce_recording::{Arrived, Header, HostRecord, PacketRecord, Record, Recording, What};

use super::Sighting;
use super::tape::{Way, since_1970};
use crate::sys::fork;

/// This NIC among the hosts of its recording.
const SELF: u32 = 0;
/// Everybody else, whoever that will be.
const OTHERS: u32 = 1;

/// The recording of one NIC. Clones write to the same file.
#[derive(Clone, Debug)]
pub(crate) struct RunLog {
    recording: Recording,
    /// The process that records.
    born: u32,
}

impl RunLog {
    /// Begins a recording of a device that has been on its way until `now`.
    ///
    /// # Errors
    /// When `out` does not take the header of the file.
    pub(crate) fn begin<T: TraceSink>(
        out: Box<dyn Write + Send>,
        device: &Device<T>,
        now: Time,
    ) -> io::Result<RunLog> {
        let config = device.config();
        let hosts = vec![
            HostRecord { name: config.name.clone(), addresses: config.gids.clone() },
            HostRecord { name: "others".to_owned(), addresses: Vec::new() },
        ];
        let began = u64::try_from(since_1970(now).as_nanos()).ok();
        let header = Header { began, ..Header::new(hosts, false) };
        let log = RunLog { recording: Recording::new(out, &header)?, born: fork::generation() };
        let found = device.snapshot();
        for MrSnapshot { key, addr, len, access, .. } in found.mrs {
            log.event(now, TraceEvent::Registered { key, addr, len, access });
        }
        for (Bind { rkey: key, region, addr, len, access }, qp) in found.windows {
            log.event(now, TraceEvent::Bound { key, region, qp, addr, len, access });
        }
        for qp in found.qps {
            log.event(now, TraceEvent::State { qp: qp.qpn, from: qp.state, to: qp.state });
        }
        Ok(log)
    }

    /// A packet passes. It arrives when it was seen: nothing else is known at one end.
    pub(super) fn packet(&self, now: Time, way: Way, seen: &Sighting, bytes: &[u8]) {
        let (host, to) = if way == Way::Out { (SELF, OTHERS) } else { (OTHERS, SELF) };
        let packet = PacketRecord {
            src: seen.src,
            dst: seen.dst,
            src_port: seen.src_port,
            traffic_class: seen.traffic_class,
            ident: seen.ident,
            bytes: bytes.to_vec(),
            to: Some(to),
            arrivals: vec![Arrived { at: now, damaged: false }],
            under_way: false,
            local: seen.local,
        };
        self.add(Record { at: now, host, what: What::Packet(packet) });
    }

    fn event(&self, now: Time, event: TraceEvent) {
        self.add(Record { at: now, host: SELF, what: What::Device(event) });
    }

    fn add(&self, record: Record) {
        // A forked child has a copy of the device, which may go on; the file is the parent's.
        if self.born == fork::generation() {
            self.recording.add(&record);
        }
    }

    /// Hands what was recorded to the file.
    pub(super) fn flush(&self) {
        if self.born == fork::generation() {
            self.recording.flush();
        }
    }

    /// Ends the file.
    pub(super) fn finish(&self) {
        // What went wrong is counted.
        self.recording.finish().ok();
    }

    /// Whether the file takes no more.
    pub(super) fn has_failed(&self) -> bool {
        self.recording.missed() > 0
    }

    /// Packets and events that should have been recorded, and were not.
    pub(super) fn unrecorded(&self) -> u64 {
        self.recording.missed()
    }
}

impl Drop for RunLog {
    fn drop(&mut self) {
        if self.born != fork::generation() {
            // What is yet to be written is for the parent to write: here the file is never closed.
            std::mem::forget(self.recording.clone());
        }
    }
}

/// The trace sink of NICs: what the device does goes into the recording, while there is one, and is not even put into
/// words while there is none.
#[derive(Clone, Debug, Default)]
pub struct RunTrace(Option<RunLog>);

impl RunTrace {
    /// Where events go from now on.
    pub(crate) fn set(&mut self, log: Option<RunLog>) {
        self.0 = log;
    }
}

impl TraceSink for RunTrace {
    #[inline]
    fn is_on(&self) -> bool {
        self.0.is_some()
    }

    fn event(&mut self, now: Time, event: TraceEvent) {
        if let Some(log) = &self.0 {
            log.event(now, event);
        }
    }
}
