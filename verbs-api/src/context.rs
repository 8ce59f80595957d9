//! An open NIC.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use ferroce_engine::{Counters, Limits, PathMtu, Snapshot};
use ferroce_net::{LinkCounters, LinkInfo, Nic};

use crate::cm::Dispatcher;
use crate::completion::CompletionQueue;
use crate::error::Error;
use crate::events::AsyncEvents;
use crate::memory::ProtectionDomain;
use crate::wait::Bell;

/// An open NIC, as `ibv_open_device` gives it. Clones are the same NIC, which is closed when the last handle to
/// it, or to anything made from it, is dropped.
///
/// ```
/// use ferroce::{Context, Hub, Nic};
///
/// // A NIC that meets others inside this process only.
/// let hub = Hub::new();
/// let nic = Nic::builder().address("192.0.2.1".parse()?).hub(&hub).open()?;
/// let context = Context::new(nic);
/// assert_eq!(context.addresses()[0].to_string(), "192.0.2.1");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Context {
    shared: Arc<Shared>,
}

/// A handle that does not keep the NIC open.
pub(crate) struct WeakContext(Weak<Shared>);

impl WeakContext {
    pub(crate) fn upgrade(&self) -> Option<Context> {
        self.0.upgrade().map(|shared| Context { shared })
    }
}

struct Shared {
    nic: Nic,
    addresses: Vec<IpAddr>,
    mtu: PathMtu,
    limits: Limits,
    events: Arc<Bell>,
    cm: Arc<Dispatcher>,
}

impl Context {
    /// Opens a NIC on an address of this machine: UDP port 4791 there becomes the NIC's.
    ///
    /// ```no_run
    /// let context = ferroce::Context::open("127.0.0.1".parse().unwrap())?;
    /// # Ok::<_, ferroce::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Network`] when the address is not this machine's, or its port is taken.
    pub fn open(address: IpAddr) -> Result<Context, Error> {
        Ok(Context::new(Nic::builder().address(address).open()?))
    }

    /// The verbs of a NIC that was described and opened with [`Nic::builder`].
    pub fn new(nic: Nic) -> Context {
        let (addresses, mtu, limits) = nic.with(|device, _| {
            let config = device.config();
            (config.gids.clone(), config.mtu, config.limits)
        });
        let events = Arc::new(Bell::default());
        nic.set_async_waker(Some(&Arc::clone(&events).into()));
        let shared = Arc::new_cyclic(|shared| {
            let cm = Dispatcher::new(WeakContext(Weak::clone(shared)));
            Shared { nic, addresses, mtu, limits, events, cm }
        });
        shared.nic.set_cm_waker(Some(&Arc::clone(&shared.cm).into()));
        Context { shared }
    }

    /// Makes a protection domain (`ibv_alloc_pd`).
    ///
    /// # Errors
    /// When the NIC has no room for another.
    pub fn protection_domain(&self) -> Result<ProtectionDomain, Error> {
        ProtectionDomain::new(self)
    }

    /// Makes a completion queue with room for `capacity` completions (`ibv_create_cq`). Completions for which
    /// there is no room are lost: make it as large as the queues of all queue pairs that use it together.
    ///
    /// # Errors
    /// When the capacity is 0 or above [`Limits::max_cqe`], or the NIC has no room for another.
    pub fn completion_queue(&self, capacity: u32) -> Result<CompletionQueue, Error> {
        CompletionQueue::new(self, capacity)
    }

    /// What the NIC tells without being asked (`ibv_get_async_event`).
    pub fn async_events(&self) -> AsyncEvents {
        AsyncEvents::new(self, &self.shared.events)
    }

    /// The NIC's addresses; the index is the GID index.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.shared.addresses
    }

    /// The largest path MTU (`active_mtu` of the port).
    pub fn path_mtu(&self) -> PathMtu {
        self.shared.mtu
    }

    /// How much of everything the NIC can have.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// What the NIC has counted.
    pub fn counters(&self) -> Counters {
        self.nic().counters()
    }

    /// What the NIC's link has counted.
    pub fn link_counters(&self) -> LinkCounters {
        self.nic().link_counters()
    }

    /// What the NIC's link is.
    pub fn link_info(&self) -> LinkInfo {
        self.nic().link_info()
    }

    /// All of the NIC that can be seen, as it is now.
    pub fn snapshot(&self) -> Snapshot {
        self.nic().with(|device, _| device.snapshot())
    }

    /// Whether both are the same NIC.
    pub fn is_same(&self, other: &Context) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    pub(crate) fn cm(&self) -> &Dispatcher {
        &self.shared.cm
    }

    /// The NIC itself.
    pub fn nic(&self) -> &Nic {
        &self.shared.nic
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}
