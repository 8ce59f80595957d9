//! Several NICs on one address: of one process or of several, of one user.
//!
//! They share UDP port 4791 without anybody in between. Each has a *lane*, the first 8 bits of all its queue-pair
//! numbers, and a socket of its own; the kernel joins the sockets of one user to a group (`SO_REUSEPORT`), and a
//! small program in it looks at the destination QP of each packet and picks the socket of that lane. A NIC that
//! is alone has no program, and pays nothing.
//!
//! The program speaks of sockets by numbers, which change when one is closed. A process that dies cannot tell the
//! others, so for a moment packets arrive at the wrong door. Whoever gets one hands it to its owner, and puts the
//! program right. Messages of connection management, which all go to QP1, are handed to who listens to the service,
//! or has given the name by which they call a connection. The [`registry`] says who is there; the kernel answers for its truth.

mod book;
mod directory;
mod door;
mod registry;
mod services;
mod sweep;

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::Duration;

use ferroce_engine::Time;
use ferroce_wire::cm::ServiceId;

pub(crate) use directory::Alone;
pub use directory::runtime_directory;
pub(crate) use door::{TOLD, parse_told, tell};
pub(crate) use sweep::LOOKS;

use crate::error::NetError;
use crate::pieces::Pieces;
use crate::sys::{self, Filter, Incoming};
use book::Book;
use door::Door;
use registry::{Locked, Registry};
use services::Addressee;

/// The steering is looked after once in this time at most.
const CARE: Duration = Duration::from_millis(5);

/// A NIC's place at one address.
pub(crate) struct Seat {
    lane: u8,
    door: Door,
    registry: Registry,
    care: Care,
    /// Services that we answer requests for.
    services: BTreeSet<ServiceId>,
}

/// What packets at the wrong door have told so far.
#[derive(Clone, Copy, Debug, Default)]
struct Care {
    /// When to look at the steering again.
    not_before: Time,
    /// The generation of the steering under which something came to the wrong door.
    suspect: Option<u64>,
    /// The socket has been empty since. What comes from now on was steered by it.
    drained: bool,
}

/// What became of packets for another lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandedOver {
    /// Their owner has them.
    Done,
    /// Nobody has the lane.
    Nobody,
    /// Their owner does not take what it is given.
    Lost,
}

/// How to bind the socket of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    /// Which of the addresses.
    pub(crate) index: usize,
    pub(crate) lane: u8,
    /// No other NIC of this user is there. If the port is taken nevertheless, it is by a stranger.
    pub(crate) alone: bool,
}

/// Takes a lane that is free at all of the addresses, each given with its scope, binds their sockets with `bind`,
/// and joins the groups.
pub(crate) fn join<S: AsFd>(
    addrs: &[(IpAddr, u32)],
    mut bind: impl FnMut(Binding) -> Result<S, NetError>,
) -> Result<Vec<(Seat, S)>, NetError> {
    let directory = runtime_directory()?;
    sweep::sweep(&directory);
    let system = NetError::system("join the other Ferroce processes of this address");
    let registries = addrs.iter().map(|(addr, scope)| Registry::open(&directory, *addr, *scope));
    let registries: Vec<Registry> = registries.collect::<Result<_, _>>()?;
    // In the same order in every process, or two could wait for each other.
    let mut order: Vec<usize> = (0..addrs.len()).collect();
    order.sort_by_key(|index| addrs[*index]);
    let mut locked: Vec<(usize, Locked<'_>)> = Vec::new();
    for index in order {
        locked.push((index, registries[index].lock(None).map_err(&system)?));
    }
    if !registries.iter().all(Registry::is_current) {
        drop(locked);
        return join(addrs, bind);
    }
    locked.sort_by_key(|(index, _)| *index);
    let books: Vec<&Book> = locked.iter().map(|(_, locked)| &locked.book).collect();
    let lane = book::free_lane(&books, |lane| registries.iter().any(|registry| registry.is_taken(lane)));
    let lane = lane.ok_or(NetError::NoLane { addr: addrs[0].0 })?;
    let mut joined = Vec::new();
    for (index, locked) in &locked {
        let registry = &registries[*index];
        if !registry.take_lane(lane).map_err(&system)? {
            return Err(NetError::NoLane { addr: addrs[*index].0 });
        }
        let door = Door::open(registry.door_path(lane)).map_err(&system)?;
        joined.push((door, bind(Binding { index: *index, lane, alone: locked.book.order.is_empty() })?));
    }
    for ((_, locked), (_, socket)) in locked.iter_mut().zip(&joined) {
        locked.book.join(lane);
        steer(socket.as_fd(), &locked.book);
        locked.store().map_err(&system)?;
    }
    drop(locked);
    let seats = registries.into_iter().zip(joined).map(|(registry, (door, socket))| {
        (Seat { lane, door, registry, care: Care::default(), services: BTreeSet::new() }, socket)
    });
    Ok(seats.collect())
}

/// Where shared memory is handed to the NIC that has `lane` at `addr`, if there is one. `scope` is that of a link-local
/// address, else 0.
pub(crate) fn mailbox_path(addr: IpAddr, scope: u32, lane: u8) -> Result<PathBuf, NetError> {
    Ok(registry::mailbox_at(&runtime_directory()?, addr, scope, lane))
}

/// Has the kernel deliver to the socket of each lane, from which one program serves the whole group. Where the
/// kernel refuses, it delivers to any of them, and everything is handed over.
fn steer(socket: BorrowedFd<'_>, book: &Book) {
    if book.order.len() > 1 {
        sys::attach_steering(socket, &Filter::steer(&book.order)).ok();
    }
}

impl Seat {
    /// The lane, which is the same at all addresses of a NIC.
    pub(crate) fn lane(&self) -> u8 {
        self.lane
    }

    /// Where others hand packets to us.
    pub(crate) fn door(&self) -> BorrowedFd<'_> {
        self.door.fd()
    }

    /// Where others are to hand shared memory to us.
    pub(crate) fn mailbox_path(&self) -> PathBuf {
        self.registry.mailbox_path(self.lane)
    }

    /// What came through our door. `None` when it makes no sense.
    pub(crate) fn parse<'a>(message: &Incoming<'a>) -> Option<Pieces<'a>> {
        door::parse(message)
    }

    /// Hands packets to the owner of a lane.
    pub(crate) fn hand_over(&self, lane: u8, pieces: &Pieces<'_>) -> HandedOver {
        match self.door.hand_over(&self.registry.door_path(lane), pieces) {
            Ok(()) => HandedOver::Done,
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                HandedOver::Nobody
            }
            Err(_) => HandedOver::Lost,
        }
    }

    /// Whether requests for a service come to us.
    pub(crate) fn answers(&self, service: ServiceId) -> bool {
        self.services.contains(&service)
    }

    /// Has requests for a service come to us; false when another NIC on the address answers them.
    pub(crate) fn claim(&mut self, service: ServiceId) -> bool {
        if self.answers(service) {
            return true;
        }
        let claimed =
            self.registry.lock(Some(self.lane)).is_ok_and(|locked| locked.claim(service, self.lane));
        if claimed {
            self.services.insert(service);
        }
        claimed
    }

    /// Ends that.
    pub(crate) fn release(&mut self, service: ServiceId) {
        if self.services.remove(&service)
            && let Ok(locked) = self.registry.lock(Some(self.lane))
        {
            locked.release(self.lane, |claimed| claimed == service);
        }
    }

    /// The lane that a packet for QP1 is for, as far as it says.
    pub(crate) fn lane_of_message(&self, packet: &[u8]) -> Option<u8> {
        match Addressee::of(packet) {
            Addressee::Lane(lane) => Some(lane),
            Addressee::Service(service) if self.answers(service) => Some(self.lane),
            Addressee::Service(service) => self.registry.owner_of(service),
            Addressee::Anybody => None,
        }
    }

    /// There is nothing left in the socket.
    pub(crate) fn drained(&mut self) {
        self.care.drained = true;
    }

    /// Packets for `lane` came to our `socket`, though somebody has that lane: sees that those to come do not.
    pub(crate) fn misdirected(&mut self, lane: u8, socket: BorrowedFd<'_>, now: Time) {
        if now < self.care.not_before {
            return;
        }
        let Some(mut locked) = self.registry.try_lock(Some(self.lane)) else { return };
        self.care.not_before = now + CARE;
        if !locked.changed {
            // The order of those who are there is wrong, as it is when two died at the same time, unless the
            // packet is an old one.
            let generation = locked.book.generation;
            if self.care.suspect != Some(generation) || !self.care.drained {
                self.care = Care { suspect: Some(generation), drained: false, ..self.care };
                return;
            }
            locked.book.correct(lane, self.lane);
        }
        steer(socket, &locked.book);
        // What was not written is found out again.
        locked.store().ok();
    }

    /// Leaves the group and closes the socket.
    pub(crate) fn leave<S: AsFd>(self, socket: S) {
        if self.door.is_inherited() {
            return;
        }
        let Ok(mut locked) = self.registry.lock(Some(self.lane)) else { return };
        if !self.services.is_empty() {
            locked.release(self.lane, |_| true);
        }
        locked.book.leave(self.lane);
        steer(socket.as_fd(), &locked.book);
        drop(socket);
        // Whoever has the lane next has a door under the same name.
        drop(self.door);
        self.registry.release_lane(self.lane);
        locked.store().ok();
    }
}
