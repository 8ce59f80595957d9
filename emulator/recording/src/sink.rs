//! Devices that write down what they do.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use ferroce_engine::{Time, TraceEvent, TraceSink};

use crate::read::MAX_RECORDS;
use crate::record::{Header, Record, What};
use crate::write::Writer;

/// Where the records of a run go; clones write to the same file.
#[derive(Clone)]
pub struct Recording(Arc<Mutex<State>>);

struct State {
    writer: Option<Writer<Box<dyn Write + Send>>>,
    failure: Option<io::Error>,
    /// Records that the file may still take.
    left: u64,
    /// Records that it has not taken.
    missed: u64,
}

impl Recording {
    /// Begins a recording.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: impl Write + Send + 'static, header: &Header) -> io::Result<Recording> {
        let out: Box<dyn Write + Send> = Box::new(out);
        let state = State {
            writer: Some(Writer::new(out, header)?),
            failure: None,
            left: MAX_RECORDS - 1,
            missed: 0,
        };
        Ok(Recording(Arc::new(Mutex::new(state))))
    }

    /// The sink of the device at this place among the header's hosts.
    pub fn sink(&self, host: u32) -> Sink {
        Sink { recording: self.clone(), host }
    }

    /// Adds a record. A record that cannot be written ends the recording, not the run; so does the one after as many
    /// as are read of one file. Those that are missing are counted, as long as the recording was not
    /// [finished](Self::finish).
    pub fn add(&self, record: &Record) {
        self.with(|state| {
            let Some(writer) = state.writer.as_mut().filter(|_| state.left > 0) else {
                state.missed += u64::from(!state.finished());
                return;
            };
            state.left -= 1;
            if let Err(error) = writer.write(record) {
                state.fail(error);
            }
        });
    }

    /// Hands everything to the file, if it has not got it yet.
    pub fn flush(&self) {
        self.with(|state| {
            if let Some(Err(error)) = state.writer.as_mut().filter(|w| w.is_behind()).map(Writer::flush) {
                state.fail(error);
            }
        });
    }

    /// Records that the file has not taken, so far.
    pub fn missed(&self) -> u64 {
        self.with(|state| state.missed)
    }

    /// Ends the recording: further records go nowhere.
    ///
    /// # Errors
    /// The first error of the file.
    pub fn finish(&self) -> io::Result<()> {
        self.with(|state| match (state.writer.take(), state.failure.take()) {
            (_, Some(error)) => Err(error),
            (Some(writer), None) => writer.finish()?.flush(),
            (None, None) => Ok(()),
        })
    }

    fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    /// Nobody expects more to be recorded.
    fn finished(&self) -> bool {
        self.writer.is_none() && self.failure.is_none()
    }

    fn fail(&mut self, error: io::Error) {
        self.failure = Some(error);
        self.writer = None;
        self.missed += 1;
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recording")
    }
}

/// Records what one device does. Give it to the device as its trace sink.
#[derive(Clone, Debug)]
pub struct Sink {
    recording: Recording,
    host: u32,
}

impl TraceSink for Sink {
    fn event(&mut self, now: Time, event: TraceEvent) {
        self.recording.add(&Record { at: now, host: self.host, what: What::Device(event) });
    }
}
