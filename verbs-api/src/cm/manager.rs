//! Which NICs there are, and which leads where.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ferroce_wire::cm::{PortSpace, ServiceId};
use parking_lot::Mutex;

use crate::context::Context;

use super::channel::EventChannel;
use super::error::CmError;
use super::ports::Ports;

/// The NICs that connections can be made with, and the port numbers on them. Clones are the same.
///
/// librdmacm finds the NICs of a machine by itself; here they are programs, and must be told.
///
/// ```
/// use ferroce::cm::Manager;
///
/// let (a, _) = ferroce::pair()?;
/// let manager = Manager::of(&a.context);
/// let channel = manager.event_channel();
/// # assert!(channel.poll().is_none());
/// # Ok::<_, ferroce::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Manager {
    pub(super) shared: Arc<Shared>,
}

#[derive(Default)]
pub(super) struct Shared {
    contexts: Mutex<Vec<Context>>,
    pub(super) ports: Mutex<Ports>,
    next_owner: AtomicU64,
}

impl Manager {
    /// Without NICs.
    pub fn new() -> Manager {
        let manager = Manager::default();
        // The standard library seeds each hasher at random.
        manager.shared.ports.lock().start_at(RandomState::new().build_hasher().finish() as u16);
        manager
    }

    /// With one NIC.
    pub fn of(context: &Context) -> Manager {
        let manager = Manager::new();
        manager.add(context);
        manager
    }

    /// Adds a NIC.
    pub fn add(&self, context: &Context) {
        self.shared.contexts.lock().push(context.clone());
    }

    /// Takes a NIC away: every identifier on it gets [`DeviceRemoval`](super::EventKind::DeviceRemoval).
    pub fn remove(&self, context: &Context) {
        self.shared.contexts.lock().retain(|known| !known.is_same(context));
        context.cm().device_removed();
    }

    /// Ends all connections that the NICs know, and tells the peers: for programs that end without doing so. The
    /// identifiers are good for nothing afterwards.
    pub fn end_connections(&self) {
        for context in self.contexts() {
            context.nic().with(|device, now| device.cm_mut().destroy_all(now));
            context.nic().progress();
        }
    }

    /// The NICs, in the order in which they were added.
    pub fn contexts(&self) -> Vec<Context> {
        self.shared.contexts.lock().clone()
    }

    /// Makes an event channel (`rdma_create_event_channel`).
    pub fn event_channel(&self) -> EventChannel {
        EventChannel::new(self)
    }

    /// A number for an owner of ports.
    pub(super) fn new_owner(&self) -> u64 {
        self.shared.next_owner.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes a port for `owner`, any that is free for 0; `None` when it cannot be had. If it is to be `known`, it is
    /// taken from the other processes on the address too.
    pub(super) fn take_port(
        &self,
        owner: u64,
        space: PortSpace,
        addr: SocketAddr,
        shared: bool,
        known: bool,
    ) -> Option<u16> {
        let contexts = if known { self.contexts() } else { Vec::new() };
        let mut ports = self.shared.ports.lock();
        let mut refused = Vec::new();
        let taken = loop {
            let Some(port) = ports.bind(owner, space, addr, shared) else { break None };
            if claim(&contexts, ServiceId::ip(space, port), addr.ip()) {
                break Some(port);
            }
            refused.push(port);
            if addr.port() != 0 {
                break None;
            }
        };
        // Only now, so that the same port is not tried twice.
        refused.into_iter().for_each(|port| ports.release(owner, space, port));
        taken
    }

    pub(super) fn give_port_back(&self, owner: u64, space: PortSpace, port: u16) {
        let mut ports = self.shared.ports.lock();
        ports.release(owner, space, port);
        if !ports.is_taken(space, port) {
            let service = ServiceId::ip(space, port);
            self.contexts().iter().for_each(|context| context.nic().release_service(service));
        }
    }

    /// The NIC with this address.
    pub(super) fn at(&self, addr: IpAddr) -> Result<Context, CmError> {
        let contexts = self.contexts();
        let found = contexts.into_iter().find(|context| context.addresses().contains(&addr));
        found.ok_or(CmError::AddressNotAvailable(addr))
    }

    /// Whether an address stands for this machine, whichever of its NICs that is: the wildcard, and as with the
    /// kernel's `rdma_cm` a loopback address, unless NICs have addresses of that kind themselves.
    pub(super) fn is_any(&self, addr: IpAddr) -> bool {
        let on_loopback = || self.contexts().iter().flat_map(Context::addresses).any(|own| own.is_loopback());
        addr.is_unspecified() || (addr.is_loopback() && !on_loopback())
    }

    /// The NIC that leads to an address, and which of its addresses to use: the NIC that has it itself, the one
    /// that the machine's own routes lead over, or the first whose address is of the same version of IP.
    pub(crate) fn towards(&self, to: IpAddr) -> Result<(Context, IpAddr), CmError> {
        if let Ok(context) = self.at(to) {
            return Ok((context, to));
        }
        if let Some(from) = source_towards(to)
            && let Ok(context) = self.at(from)
        {
            return Ok((context, from));
        }
        let suits = |context: &Context| {
            let mut addresses = context.addresses().iter();
            addresses.find(|addr| addr.is_ipv4() == to.is_ipv4()).copied()
        };
        let mut contexts = self.contexts().into_iter();
        contexts.find_map(|context| suits(&context).map(|addr| (context, addr))).ok_or(CmError::NoDevice(to))
    }
}

/// The address of this machine from which it would send to `to`.
fn source_towards(to: IpAddr) -> Option<IpAddr> {
    let any: SocketAddr = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).ok()?;
    // Connecting a datagram socket looks the route up and sends nothing.
    socket.connect((to, 4791)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Has requests for a service at `addr` come to this process; false when another process on the address has it.
fn claim(contexts: &[Context], service: ServiceId, addr: IpAddr) -> bool {
    let at = Some(addr).filter(|addr| !addr.is_unspecified());
    let meant = |context: &&Context| at.is_none_or(|at| context.addresses().contains(&at));
    for (index, context) in contexts.iter().filter(meant).enumerate() {
        if !context.nic().claim_service(service, at) {
            // Those before it may have had the service already, from another owner of the port in this process;
            // but then this one would have it too.
            contexts
                .iter()
                .filter(meant)
                .take(index)
                .for_each(|context| context.nic().release_service(service));
            return false;
        }
    }
    true
}
