//! A network inside this process: devices joined by queues, without sockets or privileges.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;

use ferroce_engine::{DONT_FRAGMENT, Ident, RxMeta, Time, TxLimits};
use nix::sys::eventfd::{EfdFlags, EventFd};
use parking_lot::Mutex;

use crate::error::NetError;
use crate::link::{Burst, IcrcMode, Link, LinkCounters, LinkInfo, PortInfo};

/// Packets that can wait at each device. What comes on top is lost.
const QUEUE: usize = 4096;

/// Packets that one call of [`Link::receive`] delivers.
const TURN: usize = 256;

/// Connects the devices of one process. Clones are the same hub.
#[derive(Clone, Default)]
pub struct Hub {
    places: Arc<Mutex<Places>>,
}

/// Who is reached at which address.
#[derive(Default)]
struct Places {
    queues: HashMap<IpAddr, Arc<Queue>>,
    /// Members of multicast groups in the order in which they joined, by their first addresses.
    groups: HashMap<IpAddr, Vec<IpAddr>>,
}

impl Places {
    /// The queues of all who get packets to `dst`.
    fn reached(&self, dst: IpAddr) -> Vec<Arc<Queue>> {
        let members = self.groups.get(&dst).map_or(std::slice::from_ref(&dst), Vec::as_slice);
        members.iter().filter_map(|addr| self.queues.get(addr).cloned()).collect()
    }

    fn leave(&mut self, group: IpAddr, member: IpAddr) {
        if let Some(members) = self.groups.get_mut(&group) {
            members.retain(|addr| *addr != member);
        }
        self.groups.retain(|_, members| !members.is_empty());
    }
}

/// A device's place at a [`Hub`].
pub struct HubLink {
    hub: Hub,
    addrs: Vec<IpAddr>,
    queue: Arc<Queue>,
    counters: LinkCounters,
}

/// Packets on their way to one device.
struct Queue {
    packets: Mutex<Waiting>,
    /// Readable while packets wait.
    ready: EventFd,
}

#[derive(Default)]
struct Waiting {
    packets: VecDeque<(RxMeta, Vec<u8>)>,
    overflows: u64,
}

impl Hub {
    /// A hub without devices.
    pub fn new() -> Hub {
        Hub::default()
    }

    /// Makes a place for a device with these addresses, which need not exist anywhere else.
    ///
    /// # Errors
    /// When another device at this hub has one of them, or none is given.
    pub fn link(&self, addrs: &[IpAddr]) -> Result<HubLink, NetError> {
        if addrs.is_empty() {
            return Err(NetError::NoAddress);
        }
        let ready = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)
            .map_err(|errno| NetError::system("create an eventfd")(io::Error::from(errno)))?;
        let queue = Arc::new(Queue { packets: Mutex::default(), ready });
        let mut places = self.places.lock();
        if let Some(addr) = addrs.iter().find(|addr| places.queues.contains_key(addr)) {
            return Err(NetError::PortInUse { addr: *addr, rxe: false, holder: None });
        }
        places.queues.extend(addrs.iter().map(|addr| (*addr, Arc::clone(&queue))));
        drop(places);
        Ok(HubLink { hub: self.clone(), addrs: addrs.to_vec(), queue, counters: LinkCounters::default() })
    }
}

impl Queue {
    fn push(&self, burst: &Burst<'_>) {
        let meta = RxMeta {
            src: burst.flow.src,
            dst: burst.flow.dst,
            src_port: burst.flow.src_port,
            traffic_class: burst.flow.traffic_class,
            ident: Ident::Known { ident: 0, flags_fragment: DONT_FRAGMENT },
        };
        let mut waiting = self.packets.lock();
        let was_empty = waiting.packets.is_empty();
        for packet in burst.packets() {
            if waiting.packets.len() < QUEUE {
                waiting.packets.push_back((meta, packet.to_vec()));
            } else {
                waiting.overflows += 1;
            }
        }
        if was_empty && !waiting.packets.is_empty() {
            // Adding 1 fails only when the counter is at its maximum, and then the descriptor is readable.
            self.ready.write(1).ok();
        }
    }

    fn take(&self) -> Vec<(RxMeta, Vec<u8>)> {
        let mut waiting = self.packets.lock();
        let count = waiting.packets.len().min(TURN);
        let taken: Vec<_> = waiting.packets.drain(..count).collect();
        if count > 0 && waiting.packets.is_empty() {
            // Nothing to read would mean that the descriptor is not readable, which is what is wanted.
            self.ready.read().ok();
        }
        taken
    }
}

impl Link for HubLink {
    fn tx_limits(&self) -> TxLimits {
        TxLimits { max_packets: 64, max_bytes: 65_536, ..TxLimits::SINGLE }
    }

    fn send(&mut self, _: Time, bursts: &[Burst<'_>]) -> usize {
        for burst in bursts {
            let reached = self.hub.places.lock().reached(burst.flow.dst);
            if reached.is_empty() && !burst.flow.dst.is_multicast() {
                self.counters.tx_errors += burst.len() as u64;
                continue;
            }
            for queue in reached {
                queue.push(burst);
            }
            self.counters.tx_packets += burst.len() as u64;
            self.counters.tx_bytes += burst.bytes.len() as u64;
            self.counters.tx_pieces += 1;
        }
        bursts.len()
    }

    fn receive(&mut self, _: Time, deliver: &mut dyn FnMut(&RxMeta, &[u8])) -> usize {
        let taken = self.queue.take();
        for (meta, packet) in &taken {
            deliver(meta, packet);
            self.counters.rx_bytes += packet.len() as u64;
        }
        self.counters.rx_packets += taken.len() as u64;
        self.counters.rx_pieces += taken.len() as u64;
        taken.len()
    }

    fn join(&mut self, group: IpAddr) {
        let mut places = self.hub.places.lock();
        let members = places.groups.entry(group).or_default();
        if !members.contains(&self.addrs[0]) {
            members.push(self.addrs[0]);
        }
    }

    fn leave(&mut self, group: IpAddr) {
        self.hub.places.lock().leave(group, self.addrs[0]);
    }

    fn descriptors(&self, to: &mut Vec<RawFd>) {
        to.push(self.queue.ready.as_fd().as_raw_fd());
    }

    fn counters(&self) -> LinkCounters {
        LinkCounters { rx_overflows: self.queue.packets.lock().overflows, ..self.counters }
    }

    fn info(&self) -> LinkInfo {
        let port = |addr: &IpAddr| PortInfo {
            addr: *addr,
            interface: "hub".to_owned(),
            mtu: usize::from(u16::MAX),
            icrc: IcrcMode::Full,
            icrc_reason: None,
            segmentation: false,
            receive_buffer: QUEUE * 4096,
        };
        LinkInfo {
            layers: vec!["hub"],
            lane: 0,
            ports: self.addrs.iter().map(port).collect(),
            last_error: None,
        }
    }
}

impl Drop for HubLink {
    fn drop(&mut self) {
        let mut places = self.hub.places.lock();
        for addr in &self.addrs {
            places.queues.remove(addr);
        }
        let groups: Vec<_> = places.groups.keys().copied().collect();
        for group in groups {
            places.leave(group, self.addrs[0]);
        }
    }
}
