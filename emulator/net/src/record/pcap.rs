//! Capture files.

use std::io::{self, Write};
use std::time::Duration;

use ferroce_wire::ip::Datagram;

/// Writes IP packets into a capture file (pcap with nanoseconds, link type 101 "raw IP").
pub struct PcapWriter<W: Write> {
    out: W,
    scratch: Vec<u8>,
}

impl<W: Write> PcapWriter<W> {
    /// Starts a file.
    ///
    /// # Errors
    /// When `out` does not take its header.
    pub fn new(mut out: W) -> io::Result<PcapWriter<W>> {
        const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
        const VERSION: [u16; 2] = [2, 4];
        const SNAP_LEN: u32 = 0x4_0000;
        const LINKTYPE_RAW: u32 = 101;
        let mut header = Vec::with_capacity(24);
        header.extend(MAGIC_NANOSECONDS.to_le_bytes());
        header.extend(VERSION.map(u16::to_le_bytes).concat());
        header.extend([0; 8]);
        header.extend(SNAP_LEN.to_le_bytes());
        header.extend(LINKTYPE_RAW.to_le_bytes());
        out.write_all(&header)?;
        Ok(PcapWriter { out, scratch: Vec::new() })
    }

    /// Adds a packet seen `at` a time since 1970.
    ///
    /// # Errors
    /// When the packet is longer than IP allows, or the file does not take it.
    pub fn write(&mut self, at: Duration, datagram: &Datagram<'_>) -> io::Result<()> {
        let len = datagram.wire_len();
        let length = u32::try_from(len).map_err(io::Error::other)?.to_le_bytes();
        self.scratch.clear();
        // The format counts seconds in 32 unsigned bits, which suffice until 2106.
        self.scratch.extend((at.as_secs() as u32).to_le_bytes());
        self.scratch.extend(at.subsec_nanos().to_le_bytes());
        self.scratch.extend(length);
        self.scratch.extend(length);
        self.scratch.resize(16 + len, 0);
        datagram.emit(&mut self.scratch[16..]).map_err(io::Error::other)?;
        self.out.write_all(&self.scratch)
    }

    /// Makes what was written so far visible to others.
    ///
    /// # Errors
    /// When the file does not take it.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
