//! Every packet that two Linux kernels' soft-RoCE exchanged is understood, checked and written again.

use std::fs;
use std::path::{Path, PathBuf};

use crc32fast::Hasher;
use ferroce_wire::frame::{Frame, FrameError};
use ferroce_wire::ip::IpHeader;
use ferroce_wire::{Opcode, Packet, PseudoHeader};
use pcap_file::pcap::PcapReader;

/// A capture file and its Ethernet frames.
pub(crate) struct Capture {
    pub(crate) path: PathBuf,
    pub(crate) frames: Vec<Vec<u8>>,
}

/// All captures of the repository, sorted by path.
pub(crate) fn captures() -> Vec<Capture> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/captures");
    let mut paths: Vec<PathBuf> = [top.clone(), top.join("edge")]
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pcap"))
        .collect();
    paths.sort();
    paths.into_iter().map(Capture::read).collect()
}

impl Capture {
    fn read(path: PathBuf) -> Self {
        let file = fs::read(&path).unwrap();
        let mut reader = PcapReader::new(file.as_slice()).unwrap();
        let mut frames = Vec::new();
        while let Some(packet) = reader.next_packet() {
            frames.push(packet.unwrap().data.into_owned());
        }
        Self { path, frames }
    }
}

/// Calls `check` with every frame; if it panics, the test's output says for which.
fn for_each_frame(mut check: impl FnMut(&[u8])) -> usize {
    let mut count = 0;
    for capture in captures() {
        for (number, bytes) in (1..).zip(&capture.frames) {
            println!("{} frame {number}", capture.path.display());
            check(bytes);
            count += 1;
        }
    }
    count
}

#[test]
fn every_packet_is_read_verified_and_written_again() {
    let count = for_each_frame(|bytes| {
        let frame = Frame::parse(bytes).unwrap();
        let packet = frame.datagram.packet().unwrap();
        assert!(frame.datagram.is_roce());
        if let IpHeader::V4(ip) = frame.datagram.ip {
            assert_eq!(ip.checksum, ip.correct_checksum());
        }
        assert_icrc(&frame.datagram.pseudo_header(), frame.datagram.payload, &packet);

        let mut payload = vec![0; packet.wire_len()];
        assert_eq!(packet.emit(&mut payload), Ok(frame.datagram.payload.len()));
        assert_eq!(payload, frame.datagram.payload);

        let mut again = vec![0; frame.wire_len()];
        assert_eq!(frame.emit(&mut again), Ok(bytes.len()));
        assert_eq!(again, bytes);
    });
    assert_eq!(count, 3699, "captures have been lost");
}

/// The ICRC is right, or wrong in the way in which soft-RoCE of Linux 6.12 gets it wrong for FLUSH: it feeds
/// the 32 header bytes to the CRC once more at the end, unmasked.
fn assert_icrc(pseudo: &PseudoHeader, bytes: &[u8], packet: &Packet<'_>) {
    if packet.headers.bth.opcode != Opcode::RC_FLUSH {
        assert!(pseudo.verify(bytes));
        return;
    }
    assert!(!pseudo.verify(bytes));
    let mut twice = Hasher::new_with_initial(pseudo.compute(&bytes[..32]));
    twice.update(&bytes[..32]);
    assert_eq!(twice.finalize(), packet.icrc);
}

#[test]
fn the_identification_can_be_solved_for() {
    for_each_frame(|bytes| {
        let datagram = Frame::parse(bytes).unwrap().datagram;
        let IpHeader::V4(ip) = datagram.ip else { return };
        let mut pseudo = datagram.pseudo_header();
        if let PseudoHeader::V4 { ident, .. } = &mut pseudo {
            *ident = 0;
        }
        let flush = datagram.packet().unwrap().headers.bth.opcode == Opcode::RC_FLUSH;
        assert_eq!(pseudo.solve_ident(datagram.payload), (!flush).then_some(ip.ident));
    });
}

#[test]
fn a_frame_cut_short_is_reported_as_such() {
    for_each_frame(|bytes| {
        for len in (0..bytes.len().min(120)).chain([bytes.len() - 1]) {
            let error = Frame::parse(&bytes[..len]).unwrap_err();
            assert!(matches!(error, FrameError::Truncated { available, .. } if available <= len), "{error}");
        }
    });
}
