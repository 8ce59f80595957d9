//! Writing a recording as the run goes.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::record::{Header, Record};

/// Bytes of text after which the file gets what there is.
const FLUSH_EVERY: usize = 8 * 1024;

/// Writes a recording. Dropping it ends the file, and leaves errors unseen: [`finish`](Writer::finish) tells them.
pub struct Writer<W: Write> {
    out: GzEncoder<W>,
    line: Vec<u8>,
    unflushed: usize,
}

impl<W: Write> Writer<W> {
    /// Begins a recording.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W, header: &Header) -> io::Result<Writer<W>> {
        let out = GzEncoder::new(out, Compression::fast());
        let mut writer = Writer { out, line: Vec::new(), unflushed: 0 };
        serde_json::to_writer(&mut writer.line, header)?;
        writer.end_line()?;
        writer.flush()?;
        Ok(writer)
    }

    /// Adds a record.
    ///
    /// # Errors
    /// Those of the file. What was flushed before can be read all the same.
    pub fn write(&mut self, record: &Record) -> io::Result<()> {
        serde_json::to_writer(&mut self.line, record)?;
        self.end_line()
    }

    /// Hands everything to the file.
    ///
    /// # Errors
    /// Those of the file.
    pub fn flush(&mut self) -> io::Result<()> {
        self.unflushed = 0;
        self.out.flush()
    }

    /// Whether something was written since everything was handed to the file.
    pub fn is_behind(&self) -> bool {
        self.unflushed > 0
    }

    /// Ends the recording, and returns where it was written to.
    ///
    /// # Errors
    /// Those of the file.
    pub fn finish(self) -> io::Result<W> {
        self.out.finish()
    }

    fn end_line(&mut self) -> io::Result<()> {
        self.line.push(b'\n');
        self.out.write_all(&self.line)?;
        self.unflushed += self.line.len();
        self.line.clear();
        if self.unflushed >= FLUSH_EVERY { self.flush() } else { Ok(()) }
    }
}

impl<W: Write> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("unflushed", &self.unflushed).finish_non_exhaustive()
    }
}
