//! Reading recordings, also those of strangers and of the dead.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use crate::record::{FORMAT, Header, Record, VERSION, What};
use crate::switch::SwitchRecord;

/// Bytes of the longest line that is believed: more than twice the longest packet.
pub const MAX_LINE: usize = 256 * 1024;
/// Records that are read from one file.
pub const MAX_RECORDS: u64 = 1 << 22;

/// Why a file is not a recording.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It does not begin as a recording does.
    #[error("this is no recording: {0}")]
    Unknown(&'static str),
    /// A newer program wrote it.
    #[error("the recording is of version {0}, and this program reads up to {VERSION}")]
    Newer(u32),
}

/// Why reading stopped before the end.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The file ends early: whoever wrote it was stopped, or still writes.
    #[error("the recording ends early, as it does when its writer was stopped")]
    Cut,
    /// Something that cannot be.
    #[error("line {line} {what}")]
    Mangled {
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// More than is read of one file.
    #[error("there are more than {MAX_RECORDS} records; those after them are left out")]
    TooMuch,
    /// The system would not give more bytes.
    #[error("reading failed: {0}")]
    Io(io::Error),
}

/// A recording being read.
#[derive(Debug)]
pub struct Reader<R: Read> {
    lines: BufReader<MultiGzDecoder<BufReader<R>>>,
    line: Vec<u8>,
    header: Header,
    number: u64,
    unknown: u64,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When this is no recording.
    pub fn open(input: R) -> Result<Reader<R>, OpenError> {
        let mut lines = BufReader::new(MultiGzDecoder::new(BufReader::new(input)));
        let mut line = Vec::new();
        match next_line(&mut lines, &mut line, 1) {
            Ok(true) => {}
            Ok(false) => return Err(OpenError::Unknown("it is empty")),
            Err(Damage::Io(error)) => return Err(error.into()),
            Err(_) => return Err(OpenError::Unknown("it is not compressed with gzip, or cut at once")),
        }
        /// As much as every version has.
        #[derive(serde::Deserialize)]
        struct Any {
            format: String,
            version: u32,
        }
        let any: Any = serde_json::from_slice(&line)
            .map_err(|_| OpenError::Unknown("its first line is not the header of one"))?;
        if any.format != FORMAT {
            return Err(OpenError::Unknown("its first line names another format"));
        }
        if any.version > VERSION {
            return Err(OpenError::Newer(any.version));
        }
        let header = serde_json::from_slice(&line)
            .map_err(|_| OpenError::Unknown("its header lacks what it must have"))?;
        Ok(Reader { lines, line, header, number: 1, unknown: 0 })
    }

    /// The first line.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Records so far that this program does not know.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Whether the header has whoever the record names.
    fn knows(&self, record: &Record) -> bool {
        let has_port = |record: &SwitchRecord| {
            let switch = self.header.switches.get(record.switch as usize);
            switch.is_some_and(|switch| usize::from(record.port) < switch.ports.len())
        };
        let host = (record.host as usize) < self.header.hosts.len();
        host && if let What::Switch(record) = &record.what { has_port(record) } else { true }
    }

    /// The next record, `None` at the end.
    ///
    /// # Errors
    /// When nothing more can be read. Do not call this again then.
    pub fn next_record(&mut self) -> Result<Option<Record>, Damage> {
        loop {
            if self.number > MAX_RECORDS {
                return Err(Damage::TooMuch);
            }
            self.number += 1;
            if !next_line(&mut self.lines, &mut self.line, self.number)? {
                return Ok(None);
            }
            let mangled = |what| Damage::Mangled { line: self.number, what };
            match serde_json::from_slice::<Record>(&self.line) {
                Ok(record) if self.knows(&record) => return Ok(Some(record)),
                Ok(_) => return Err(mangled("names a host or a switch that the header does not have")),
                Err(error) if error.is_data() => self.unknown += 1,
                Err(_) => return Err(mangled("is not JSON")),
            }
        }
    }
}

/// Reads up to the end of a line; false at the end of the file.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>, number: u64) -> Result<bool, Damage> {
    line.clear();
    let read = input.take(MAX_LINE as u64).read_until(b'\n', line);
    match read {
        Ok(0) => Ok(false),
        Ok(_) if line.last() == Some(&b'\n') => Ok(true),
        Ok(len) if len == MAX_LINE => Err(Damage::Mangled { line: number, what: "is too long" }),
        Ok(_) => Err(Damage::Cut),
        Err(error) => Err(match error.kind() {
            io::ErrorKind::UnexpectedEof => Damage::Cut,
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                Damage::Mangled { line: number, what: "cannot be decompressed" }
            }
            _ => Damage::Io(error),
        }),
    }
}
