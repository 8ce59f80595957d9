//! Devices that write down what they do.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use ferroce_engine::{Time, TraceEvent, TraceSink};

use crate::record::{Header, Record, What};
use crate::write::Writer;

/// Where the records of a run go; clones write to the same file.
#[derive(Clone)]
pub struct Recording(Arc<Mutex<State>>);

struct State {
    writer: Option<Writer<Box<dyn Write + Send>>>,
    failure: Option<io::Error>,
}

impl Recording {
    /// Begins a recording.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: impl Write + Send + 'static, header: &Header) -> io::Result<Recording> {
        let out: Box<dyn Write + Send> = Box::new(out);
        let state = State { writer: Some(Writer::new(out, header)?), failure: None };
        Ok(Recording(Arc::new(Mutex::new(state))))
    }

    /// The sink of the device at this place among the header's hosts.
    pub fn sink(&self, host: u32) -> Sink {
        Sink { recording: self.clone(), host }
    }

    /// Adds a record. A record that cannot be written ends the recording, not the run.
    pub fn add(&self, record: &Record) {
        self.with(|state| {
            let Some(writer) = &mut state.writer else { return };
            if let Err(error) = writer.write(record) {
                state.failure = Some(error);
                state.writer = None;
            }
        });
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
