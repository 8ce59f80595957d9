//! Captures that also tell which way each packet went.

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

use ferroce_wire::ip::Datagram;
use pcap_file::pcapng::PcapNgWriter as Blocks;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::{DataLink, PcapError};

use super::tape::Way;

/// What a capture calls the ways to other NICs, in the order of its interfaces.
const INTERFACES: [&str; 2] = ["network", "shared memory"];

/// Longest packet with its headers, in bytes.
const SNAP_LEN: u32 = 0x4_0000;

/// Ticks of 10⁻⁹ seconds.
const NANOSECONDS: u8 = 9;

/// Writes IP packets into a capture file (pcapng with nanoseconds, link type 101 "raw IP") with two interfaces: the
/// network, and the memory that NICs of one machine share.
pub(super) struct PcapNgWriter {
    blocks: Blocks<Box<dyn Write + Send>>,
    scratch: Vec<u8>,
}

impl PcapNgWriter {
    /// Starts a file.
    ///
    /// # Errors
    /// When `out` does not take its header.
    pub(super) fn new(out: Box<dyn Write + Send>) -> io::Result<PcapNgWriter> {
        let program = SectionHeaderOption::UserApplication(Cow::Borrowed("Ferroce"));
        let section = SectionHeaderBlock { options: vec![program], ..SectionHeaderBlock::default() };
        let mut blocks = Blocks::with_section_header(out, section).map_err(io_error)?;
        for name in INTERFACES {
            let interface = InterfaceDescriptionBlock {
                linktype: DataLink::RAW,
                snaplen: SNAP_LEN,
                options: vec![
                    InterfaceDescriptionOption::IfName(Cow::Borrowed(name)),
                    InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
                ],
            };
            blocks.write_pcapng_block(interface).map_err(io_error)?;
        }
        Ok(PcapNgWriter { blocks, scratch: Vec::new() })
    }

    /// Adds a packet that passed `at` a time since 1970, through shared memory or not.
    ///
    /// # Errors
    /// When the packet is longer than IP allows, or the file does not take it.
    pub(super) fn write(
        &mut self,
        at: Duration,
        way: Way,
        local: bool,
        datagram: &Datagram<'_>,
    ) -> io::Result<()> {
        let len = datagram.wire_len();
        self.scratch.clear();
        self.scratch.resize(len, 0);
        datagram.emit(&mut self.scratch).map_err(io::Error::other)?;
        let direction = match way {
            Way::In => 1,
            Way::Out => 2,
        };
        let packet = EnhancedPacketBlock {
            interface_id: u32::from(local),
            timestamp: at,
            original_len: u32::try_from(len).map_err(io::Error::other)?,
            data: Cow::Borrowed(&self.scratch),
            options: vec![EnhancedPacketOption::Flags(direction)],
        };
        self.blocks.write_pcapng_block(packet).map_err(io_error)?;
        Ok(())
    }

    /// Makes what was written so far visible to others.
    ///
    /// # Errors
    /// When the file does not take it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.blocks.get_mut().flush()
    }
}

fn io_error(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::other(other),
    }
}
