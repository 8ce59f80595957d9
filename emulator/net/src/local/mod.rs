//! The short way between NICs of one user on one machine: packets through shared memory.
//!
//! Every NIC has a mailbox, a Unix socket in the directory that only its user may enter. Who has packets for it makes
//! a queue in shared memory, one [`ring`] for each pair of NICs and direction, and hands it in there. From then on
//! packets go through the queue, and the connection that it was handed in by remains: through it the reader is woken
//! when it sleeps, and each side notices when the other ends. Until the reader has the queue, and wherever there is
//! none, packets take the usual way.
//!
//! It is a link like any other: packets are lost when the reader does not take them, and nothing of the protocol
//! changes. Only the ICRC is left out, because nothing lies between the two that could damage a packet.

mod inbound;
mod outbound;
mod ring;

use std::cell::Cell;
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use ferroce_engine::{RxMeta, Time, qpns_of};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::error::NetError;
use crate::link::{Burst, LinkCounters};
use crate::sys::fork::Cut;
use inbound::{Inbound, Mailbox};
use outbound::Outbounds;

pub(crate) use outbound::Passed;

/// What a queue is handed in with. It changes with the layout of queues and records.
const MARK: [u8; 8] = *b"ferring1";

/// How often to look for new queues, and for peers that are gone, while there is traffic.
const CARE: Duration = Duration::from_millis(5);

/// The queues of one NIC.
pub(crate) struct Local {
    mailboxes: Vec<Mailbox>,
    inbound: Inbound,
    outbound: Outbounds,
    /// Becomes readable when somebody wakes us, hands in a queue or ends.
    bells: Bells,
    /// Somebody has asked for our descriptors, in order to sleep.
    slept: Cell<bool>,
    care: Cell<Time>,
}

impl Local {
    /// With a mailbox at each of these paths.
    pub(crate) fn open(paths: impl Iterator<Item = PathBuf>) -> Result<Local, NetError> {
        let open = || {
            let bells = Bells::new()?;
            let mailboxes: Vec<Mailbox> = paths.map(Mailbox::open).collect::<Result<_, _>>()?;
            for mailbox in &mailboxes {
                bells.add(mailbox)?;
            }
            Ok(Local {
                mailboxes,
                inbound: Inbound::new(),
                outbound: Outbounds::new(),
                bells,
                slept: Cell::new(false),
                care: Cell::new(Time::ZERO),
            })
        };
        open().map_err(NetError::system("open a mailbox for shared memory"))
    }

    /// Whether any packet may go a way on which nobody looks at its ICRC.
    pub(crate) fn is_in_use(&self) -> bool {
        self.outbound.any_open()
    }

    /// Whether the burst will go through shared memory.
    pub(crate) fn takes(&self, burst: &Burst<'_>) -> bool {
        lane_of(burst).is_some_and(|lane| self.outbound.takes(lane, burst))
    }

    /// Sends a burst to a NIC on this machine, if it is for one. `scope` is that of a link-local address, else 0.
    #[inline]
    pub(crate) fn send(&mut self, now: Time, burst: &Burst<'_>, scope: u32) -> Passed {
        if self.bells.waiting.is_inherited() {
            return Passed::By;
        }
        match lane_of(burst) {
            Some(lane) => self.outbound.send(now, lane, scope, burst, &self.bells),
            None => Passed::By,
        }
    }

    /// To be called after sending: wakes those who sleep.
    pub(crate) fn finish_sending(&mut self) {
        if !self.bells.waiting.is_inherited() {
            self.outbound.finish();
        }
    }

    /// When to offer again what found no room.
    pub(crate) fn retry_at(&self, now: Time) -> Option<Time> {
        self.outbound.retry_at(now)
    }

    /// Delivers packets that wait in shared memory, a bounded number, and tells how many.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        now: Time,
        counters: &mut LinkCounters,
        deliver: &mut dyn FnMut(&RxMeta, &[u8]),
    ) -> usize {
        if self.bells.waiting.is_inherited() {
            return 0;
        }
        if self.slept.take() || now >= self.care.get() {
            self.care.set(now + CARE);
            self.look_around(counters);
        }
        self.inbound.receive(counters, deliver)
    }

    /// Takes in queues, and forgets those whose other side is gone.
    #[cold]
    fn look_around(&mut self, counters: &mut LinkCounters) {
        for mailbox in &mut self.mailboxes {
            mailbox.empty(&mut self.inbound, &self.bells);
        }
        self.inbound.retain(counters, &self.bells);
        self.outbound.retain(&self.bells);
    }

    /// Adds the descriptors by which whoever sleeps is woken.
    pub(crate) fn descriptors(&self, to: &mut Vec<RawFd>) {
        self.slept.set(true);
        self.bells.reset();
        to.push(self.bells.waiting.as_fd().as_raw_fd());
        if !self.bells.waiting.is_inherited() && !self.inbound.fall_asleep() {
            self.bells.notice();
        }
    }
}

/// The lane that all packets of a burst are for, if it is one of a queue pair: what is for everybody, or for QP1, takes
/// the usual way.
fn lane_of(burst: &Burst<'_>) -> Option<u8> {
    let qpn = |packet: &[u8]| match packet.get(4..8).and_then(<[u8]>::first_chunk) {
        Some([_, high, middle, low]) => u32::from_be_bytes([0, *high, *middle, *low]),
        None => 0,
    };
    let lane = (qpn(burst.bytes) >> 16) as u8;
    let of_lane = |packet: &[u8]| qpns_of(lane).contains(&qpn(packet));
    (lane != u8::MAX && burst.packets().all(of_lane)).then_some(lane)
}

/// Who can wake us.
struct Bells {
    waiting: Cut<Waiting>,
    /// Something waits already, or somebody has rung, and that was noticed by who may not be the one that sleeps: an
    /// application that calls takes part in the work. Whoever sleeps is woken all the same, and tells others that it
    /// sleeps before it does so again. Else they would believe it awake.
    noticed: Cut<EventFd>,
    is_noticed: Cell<bool>,
}

struct Waiting(Epoll);

impl AsFd for Waiting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

impl Bells {
    fn new() -> io::Result<Bells> {
        let waiting = Cut::new(Waiting(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?));
        let noticed = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        let bells = Bells { waiting, noticed: Cut::new(noticed), is_noticed: Cell::new(false) };
        bells.add(&bells.noticed)?;
        Ok(bells)
    }

    fn add(&self, bell: &impl AsFd) -> io::Result<()> {
        // Closing a descriptor takes it out again.
        Ok(self.waiting.get().0.add(bell, EpollEvent::new(EpollFlags::EPOLLIN, 0))?)
    }

    fn notice(&self) {
        if !self.is_noticed.replace(true) {
            // Adding 1 to 0 does not fail.
            self.noticed.get().write(1).ok();
        }
    }

    /// To be called before others are told that we sleep.
    fn reset(&self) {
        if self.is_noticed.take() {
            self.noticed.get().read().ok();
        }
    }
}

/// Whether the other side of a connection is still there. Takes what it has sent to wake us.
fn is_alive(stream: &UnixStream, bells: &Bells) -> bool {
    let mut wakes = [0; 256];
    match (&*stream).read(&mut wakes) {
        Ok(0) => false,
        Ok(_) => {
            bells.notice();
            true
        }
        Err(error) => matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
    }
}

/// The directory, and what mailboxes are called in it, is the business of those who share an address.
fn mailbox_of(addr: IpAddr, scope: u32, lane: u8) -> Option<PathBuf> {
    crate::share::mailbox_path(addr, scope, lane).ok()
}
