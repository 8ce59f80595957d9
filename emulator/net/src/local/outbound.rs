//! Queues of ours, into which we write.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ferroce_engine::{Flow, Ident, RxMeta, Time};
use nix::sys::socket::{MsgFlags, UnixAddr, connect, send};

use super::ring::{Broken, HEADER, LONGEST, Producer, Pushed};
use super::{Bells, MARK, is_alive, mailbox_of};
use crate::link::Burst;
use crate::share::{TOLD, tell};
use crate::sys;
use crate::sys::fork::Cut;

/// Peers that are remembered. Those beyond are reached the usual way.
const PEERS: usize = 1024;

/// How long it is believed that nobody is there.
const ABSENCE: Duration = Duration::from_millis(200);

/// How long packets wait for a reader that does not read. After that they are lost, as at a socket that is full.
const PATIENCE: Duration = Duration::from_millis(2);

/// How soon to look whether there is room again.
const RETRY: Duration = Duration::from_micros(20);

/// What became of a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// It is in shared memory.
    Through,
    /// There is no room now: it is to be offered again.
    Full,
    /// There has been no room for long, and it is lost.
    Lost,
    /// This is not its way.
    By,
}

/// All peers that were looked for.
pub(super) struct Outbounds {
    peers: Vec<Peer>,
    /// Where the last burst went: the next one probably goes there too.
    last: usize,
    /// Queues that have readers, and others.
    open: usize,
    closed: usize,
    /// A queue was full when something was last sent.
    full: bool,
    /// Something was sent since readers were last woken.
    sent: bool,
}

struct Peer {
    addr: IpAddr,
    lane: u8,
    queue: Option<Queue>,
    /// When to look for it again, if there is no queue.
    look: Time,
}

struct Queue {
    stream: Cut<UnixStream>,
    ring: Producer,
    open: bool,
    /// Nothing has fit since then.
    full: Option<Time>,
}

impl Outbounds {
    pub(super) fn new() -> Outbounds {
        Outbounds { peers: Vec::new(), last: 0, open: 0, closed: 0, full: false, sent: false }
    }

    pub(super) fn any_open(&self) -> bool {
        self.open > 0
    }

    /// Whether there is a queue with a reader for this burst.
    pub(super) fn takes(&self, lane: u8, burst: &Burst<'_>) -> bool {
        let queue = self.find(burst.flow.dst, lane).and_then(|at| self.peers[at].queue.as_ref());
        fits(burst) && queue.is_some_and(|queue| queue.open)
    }

    fn find(&self, addr: IpAddr, lane: u8) -> Option<usize> {
        let is_it = |peer: &Peer| peer.lane == lane && peer.addr == addr;
        match self.peers.get(self.last) {
            Some(peer) if is_it(peer) => Some(self.last),
            _ => self.peers.iter().position(is_it),
        }
    }

    pub(super) fn send(
        &mut self,
        now: Time,
        lane: u8,
        scope: u32,
        burst: &Burst<'_>,
        bells: &Bells,
    ) -> Passed {
        let addr = burst.flow.dst;
        let Some(at) = self.find(addr, lane).or_else(|| self.remember(addr, lane)) else { return Passed::By };
        self.last = at;
        let peer = &mut self.peers[at];
        let Some(queue) = &mut peer.queue else {
            if now >= peer.look {
                peer.look = now + ABSENCE;
                peer.queue = Queue::offer(addr, scope, lane, bells).ok();
                self.closed += usize::from(peer.queue.is_some());
            }
            return Passed::By;
        };
        if !queue.open {
            return Passed::By;
        }
        match queue.send(now, burst) {
            Ok(passed) => {
                (self.full, self.sent) = (passed == Passed::Full, true);
                passed
            }
            Err(Broken) => {
                (peer.queue, self.open) = (None, self.open - 1);
                Passed::By
            }
        }
    }

    fn remember(&mut self, addr: IpAddr, lane: u8) -> Option<usize> {
        let peer = Peer { addr, lane, queue: None, look: Time::ZERO };
        if self.peers.len() < PEERS {
            self.peers.push(peer);
            return Some(self.peers.len() - 1);
        }
        let at = self.peers.iter().position(|peer| peer.queue.is_none())?;
        self.peers[at] = peer;
        Some(at)
    }

    /// To be called after sending: wakes those who sleep and were sent something, and sees which queues have got
    /// readers. Not before, so that whoever asks which way bursts will go is told the truth.
    pub(super) fn finish(&mut self) {
        if self.closed > 0 {
            self.open_queues();
        }
        if !std::mem::take(&mut self.sent) {
            return;
        }
        for queue in self.peers.iter_mut().filter_map(|peer| peer.queue.as_mut()) {
            if queue.open && queue.ring.must_wake() {
                // When it is full, there is enough in it to wake anybody.
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                send(queue.stream.get().as_raw_fd(), &[1], flags).ok();
            }
        }
    }

    #[cold]
    fn open_queues(&mut self) {
        for queue in self.peers.iter_mut().filter_map(|peer| peer.queue.as_mut()) {
            queue.open = queue.open || queue.ring.is_open();
        }
        self.count();
    }

    fn count(&mut self) {
        let queues = self.peers.iter().filter_map(|peer| peer.queue.as_ref());
        self.open = queues.clone().filter(|queue| queue.open).count();
        self.closed = queues.filter(|queue| !queue.open).count();
    }

    pub(super) fn retry_at(&self, now: Time) -> Option<Time> {
        self.full.then(|| now + RETRY)
    }

    /// Forgets the queues whose readers are gone.
    pub(super) fn retain(&mut self, bells: &Bells) {
        for peer in &mut self.peers {
            if peer.queue.as_ref().is_some_and(|queue| !is_alive(queue.stream.get(), bells)) {
                peer.queue = None;
            }
        }
        self.count();
    }
}

impl Queue {
    /// Makes a queue and hands it in at the peer's mailbox.
    fn offer(addr: IpAddr, scope: u32, lane: u8, bells: &Bells) -> io::Result<Queue> {
        let path = mailbox_of(addr, scope, lane).ok_or(io::ErrorKind::NotFound)?;
        // Not to wait for a peer that does not accept.
        let socket = sys::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)?;
        connect(socket.as_raw_fd(), &UnixAddr::new(&path)?)?;
        let (ring, memory) = Producer::create()?;
        sys::send_descriptor(socket.as_fd(), &MARK, memory.as_fd())?;
        let stream = UnixStream::from(socket);
        bells.add(&stream)?;
        Ok(Queue { stream: Cut::new(stream), ring, open: false, full: None })
    }

    fn send(&mut self, now: Time, burst: &Burst<'_>) -> Result<Passed, Broken> {
        if !fits(burst) {
            return Ok(Passed::By);
        }
        if self.ring.push(header(burst), burst.bytes)? == Pushed::Done {
            self.full = None;
            return Ok(Passed::Through);
        }
        let since = *self.full.get_or_insert(now);
        Ok(if now.since(since) < PATIENCE { Passed::Full } else { Passed::Lost })
    }
}

/// Whether a burst can be a record, which says that Identifications count up, where they count.
fn fits(burst: &Burst<'_>) -> bool {
    let idents_differ = burst.sealed && burst.ident_step != 1 && burst.len() > 1;
    burst.bytes.len() <= LONGEST && !idents_differ
}

/// What the reader is told about a burst.
fn header(burst: &Burst<'_>) -> [u8; HEADER] {
    let flow = burst.flow;
    let ident = match burst.sealed {
        // Somebody may have damaged them, to see whether that is noticed.
        true => Ident::Local { ident: 0 },
        false => Ident::Vouched,
    };
    let Flow { src, dst, src_port, traffic_class, .. } = *flow;
    let meta = RxMeta { src, dst, src_port, traffic_class, ident };
    let mut header = [0; HEADER];
    header[..TOLD].copy_from_slice(&tell(&meta, burst.segment));
    header
}
