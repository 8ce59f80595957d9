//! Queues of others, from which we read.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use ferroce_engine::RxMeta;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::Uid;

use super::ring::{Broken, Consumer, LONGEST};
use super::{Bells, MARK, is_alive};
use crate::link::LinkCounters;
use crate::pieces::Pieces;
use crate::share::{TOLD, parse_told};
use crate::sys;
use crate::sys::fork::Cut;

/// Queues that are read from, at most. Each is half a megabyte, which its writer pays for.
const QUEUES: usize = 1024;

/// Connections through which a queue has yet to come, at most.
const EXPECTED: usize = 64;

/// Records to take from a queue before the next one has its turn.
const TURN: usize = 8;

/// Where others hand in queues.
pub(super) struct Mailbox {
    listener: Cut<UnixListener>,
    path: PathBuf,
    /// Who has connected and not handed in anything yet.
    expected: Vec<Cut<UnixStream>>,
}

impl Mailbox {
    /// Opens a mailbox at `path`, in place of one that was left behind.
    pub(super) fn open(path: PathBuf) -> io::Result<Mailbox> {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        listener.set_nonblocking(true)?;
        Ok(Mailbox { listener: Cut::new(listener), path, expected: Vec::new() })
    }

    /// Takes what is in it.
    pub(super) fn empty(&mut self, inbound: &mut Inbound, bells: &Bells) {
        while let Ok((stream, _)) = self.listener.get().accept() {
            let welcome = self.expected.len() < EXPECTED && is_same_user(&stream);
            if welcome && stream.set_nonblocking(true).is_ok() && bells.add(&stream).is_ok() {
                self.expected.push(Cut::new(stream));
            }
        }
        let waiting = self.expected.len();
        for stream in std::mem::take(&mut self.expected) {
            match sys::receive_descriptor(stream.as_fd()) {
                Ok((MARK, descriptor)) => inbound.add(stream, descriptor),
                // If it never comes, others have their turn some time.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && waiting < EXPECTED => {
                    self.expected.push(stream);
                }
                _ => {}
            }
        }
    }
}

impl AsFd for Mailbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        if !self.listener.is_inherited() {
            // It stays behind if the directory is gone, which does no harm.
            std::fs::remove_file(&self.path).ok();
        }
    }
}

fn is_same_user(stream: &UnixStream) -> bool {
    getsockopt(stream, PeerCredentials).is_ok_and(|peer| peer.uid() == Uid::effective().as_raw())
}

/// All queues that we read from.
pub(super) struct Inbound {
    queues: Vec<(Cut<UnixStream>, Consumer)>,
    buffer: Vec<u8>,
}

impl Inbound {
    pub(super) fn new() -> Inbound {
        Inbound { queues: Vec::new(), buffer: vec![0; LONGEST] }
    }

    fn add(&mut self, stream: Cut<UnixStream>, descriptor: OwnedFd) {
        if self.queues.len() < QUEUES
            && let Ok(ring) = Consumer::open(descriptor)
        {
            self.queues.push((stream, ring));
        }
    }

    /// Delivers what waits, a bounded number of packets of each queue.
    #[inline]
    pub(super) fn receive(
        &mut self,
        counters: &mut LinkCounters,
        deliver: &mut dyn FnMut(&RxMeta, &[u8]),
    ) -> usize {
        let mut packets = 0;
        for (_, ring) in &mut self.queues {
            if let Ok(taken) = take(ring, &mut self.buffer, counters, deliver) {
                packets += taken;
            }
        }
        counters.rx_packets += packets as u64;
        counters.rx_local += packets as u64;
        packets
    }

    /// Forgets the queues whose writers are gone, but for what is still in them.
    pub(super) fn retain(&mut self, counters: &mut LinkCounters, bells: &Bells) {
        // In this order: a writer that is gone adds nothing more.
        self.queues.retain(|(stream, ring)| is_alive(stream.get(), bells) || ring.has_records());
        let before = self.queues.len();
        self.queues.retain(|(_, ring)| !ring.is_broken());
        counters.rx_errors += (before - self.queues.len()) as u64;
    }

    /// From now on writers must wake us; false when something waits already.
    pub(super) fn fall_asleep(&self) -> bool {
        // All of them, whatever the first one says.
        self.queues.iter().fold(true, |quiet, (_, ring)| ring.fall_asleep() && quiet)
    }
}

/// Some records of one queue; says how many packets they were.
#[inline]
fn take(
    ring: &mut Consumer,
    buffer: &mut [u8],
    counters: &mut LinkCounters,
    deliver: &mut dyn FnMut(&RxMeta, &[u8]),
) -> Result<usize, Broken> {
    let mut packets = 0;
    for _ in 0..TURN {
        let Some((header, len)) = ring.pop(buffer)? else { break };
        let told = header.first_chunk::<TOLD>().and_then(parse_told).filter(|_| len > 0);
        let Some((meta, segment)) = told else {
            counters.rx_errors += 1;
            continue;
        };
        packets += Pieces { meta, bytes: &buffer[..len], segment }.deliver(deliver);
        counters.rx_pieces += 1;
        counters.rx_bytes += len as u64;
    }
    Ok(packets)
}
