//! The far end of a TAP interface: what the kernel sends there is read, what is written arrives at the kernel.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::thread;
use std::time::{Duration, Instant};

use super::host::Arrived;
use super::port::{Frames, PortState};
use crate::error::NetError;
use crate::sys;

/// Frames to read in one turn.
const BATCH: usize = 16;

/// Bytes of the longest frame: a jumbo IP packet, Ethernet header, tag.
const BUFFER: usize = 65_536 + 64;

/// How long to wait until the kernel has noticed that somebody holds the far end, which it looks for at most once a
/// second. Before that a bridge drops what comes from here: the first questions for neighbours would be lost.
const CARRIER: Duration = Duration::from_secs(2);

/// What a kernel-made TAP interface queues when it does not say.
const USUAL_QUEUE: usize = 500;

pub(super) struct Tap {
    name: String,
    file: File,
    buffer: Vec<u8>,
}

impl Tap {
    pub(super) fn open(name: &str, mtu: Option<usize>) -> Result<Tap, NetError> {
        let is_new = sys::interface_mtu(name).is_err();
        let failed = |source: io::Error| NetError::Tap { name: name.to_owned(), source };
        let fd: OwnedFd = sys::open_tap(name).map_err(failed)?;
        if let Some(mtu) = mtu.filter(|_| is_new) {
            sys::set_interface_mtu(name, mtu).map_err(failed)?;
        }
        if !sys::interface_is(name, libc::IFF_UP).map_err(failed)? {
            sys::set_interface_up(name).map_err(|_| NetError::Down { name: name.to_owned() })?;
        }
        let start = Instant::now();
        while !sys::interface_is(name, libc::IFF_RUNNING).map_err(failed)? && start.elapsed() < CARRIER {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(Tap { name: name.to_owned(), file: fd.into(), buffer: vec![0; BUFFER] })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Bytes that can wait to be read, with the kernel's own bookkeeping, if packets are full.
    pub(super) fn receive_buffer(&self, mtu: usize) -> usize {
        sys::interface_queue(&self.name).unwrap_or(USUAL_QUEUE) * mtu
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Writes frames, and tells how many the kernel took.
    pub(super) fn send(&mut self, frames: &Frames) -> io::Result<usize> {
        for (index, frame) in frames.iter().enumerate() {
            match (&self.file).write(frame) {
                Ok(_) => {}
                Err(error) if index == 0 => return Err(error),
                Err(_) => return Ok(index),
            }
        }
        Ok(frames.len())
    }

    /// Reads some of what has arrived, and tells how many frames that were.
    pub(super) fn receive(&mut self, take: &mut dyn FnMut(Arrived<'_>)) -> (usize, PortState) {
        for count in 0..BATCH {
            match (&self.file).read(&mut self.buffer) {
                Ok(len) => {
                    let bytes = &self.buffer[..len];
                    take(Arrived { bytes, tag: None, segment: None, unsummed: false });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return (count, PortState::Good),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What the descriptor is good for has gone, and poll(2) would say so for ever.
                Err(error) if error.raw_os_error() == Some(libc::EBADFD) => return (count, PortState::Gone),
                Err(error) => return (count, PortState::Failed(error.raw_os_error().unwrap_or(0))),
            }
        }
        (BATCH, PortState::Good)
    }
}
