//! From a NIC's connection manager to the identifiers that its events are about.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use ferroce_engine::{CmEvent, CmEventKind, CmId, CmListener, Device, Time};
use ferroce_net::RunTrace;
use parking_lot::Mutex;

use crate::context::{Context, WeakContext};

use super::event::EventKind;
use super::id::{Id, WeakId};

/// Of each NIC there is one. It is woken when the connection manager has events, on whatever thread that is.
pub(crate) struct Dispatcher {
    context: WeakContext,
    routes: Mutex<Routes>,
    /// There may be events that nobody has taken.
    dirty: AtomicBool,
}

#[derive(Default)]
struct Routes {
    ids: HashMap<CmId, WeakId>,
    listeners: HashMap<CmListener, WeakId>,
    /// Everybody who uses the NIC.
    users: HashMap<u64, WeakId>,
}

impl Dispatcher {
    pub(crate) fn new(context: WeakContext) -> Arc<Dispatcher> {
        Arc::new(Dispatcher { context, routes: Mutex::default(), dirty: AtomicBool::new(false) })
    }

    /// Asks the connection manager for something that gives a connection, whose events from the first on go to
    /// `id`.
    pub(super) fn connect<E>(
        &self,
        context: &Context,
        id: &Id,
        ask: impl FnOnce(&mut Device<RunTrace>, Time) -> Result<CmId, E>,
    ) -> Result<CmId, E> {
        // Events that come before the route is there wait until it is.
        self.with_routes(|routes| {
            let made = context.nic().with(ask)?;
            routes.ids.insert(made, id.downgrade());
            Ok(made)
        })
    }

    /// The same for listening.
    pub(super) fn listen<E>(
        &self,
        context: &Context,
        id: &Id,
        ask: impl FnOnce(&mut Device<RunTrace>, Time) -> Result<CmListener, E>,
    ) -> Result<CmListener, E> {
        self.with_routes(|routes| {
            let made = context.nic().with(ask)?;
            routes.listeners.insert(made, id.downgrade());
            Ok(made)
        })
    }

    pub(super) fn forget(&self, id: CmId) {
        self.with_routes(|routes| routes.ids.remove(&id));
    }

    pub(super) fn forget_listener(&self, listener: CmListener) {
        self.with_routes(|routes| routes.listeners.remove(&listener));
    }

    /// `id` uses the NIC, and wants to know when it goes.
    pub(super) fn enter(&self, owner: u64, id: &Id) {
        self.with_routes(|routes| routes.users.insert(owner, id.downgrade()));
    }

    pub(super) fn leave(&self, owner: u64) {
        self.with_routes(|routes| routes.users.remove(&owner));
    }

    /// Tells everybody that the NIC goes.
    pub(super) fn device_removed(&self) {
        let users: Vec<WeakId> = self.with_routes(|routes| routes.users.values().cloned().collect());
        for id in users.iter().filter_map(WeakId::upgrade) {
            id.tell(EventKind::DeviceRemoval, 0);
        }
    }

    /// Does something with the routes, and then sees to what came meanwhile.
    fn with_routes<R>(&self, act: impl FnOnce(&mut Routes) -> R) -> R {
        let result = act(&mut self.routes.lock());
        if self.dirty.load(Ordering::SeqCst) {
            self.dispatch();
        }
        result
    }

    /// Brings all events where they belong.
    ///
    /// This is called from within calls to the NIC that may be made while the routes are in use, by this very
    /// thread even: then whoever uses them does it afterwards.
    fn dispatch(&self) {
        self.dirty.store(true, Ordering::SeqCst);
        let Some(context) = self.context.upgrade() else { return };
        while self.dirty.load(Ordering::SeqCst) {
            let Some(mut routes) = self.routes.try_lock() else { return };
            self.dirty.store(false, Ordering::SeqCst);
            // The last handle of an identifier may be among these; dropping it needs the routes.
            let mut held = Vec::new();
            while let Some(event) = context.nic().with(|device, _| device.cm_mut().poll_event()) {
                routes.deliver(&context, event, &mut held);
            }
            drop(routes);
            drop(held);
        }
    }
}

impl Wake for Dispatcher {
    fn wake(self: Arc<Self>) {
        self.dispatch();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.dispatch();
    }
}

impl Routes {
    fn deliver(&mut self, context: &Context, event: CmEvent, held: &mut Vec<Id>) {
        let listener = match &event.kind {
            CmEventKind::Request { listener, .. } | CmEventKind::SidrRequest { listener, .. } => *listener,
            _ => {
                if let Some(id) = self.ids.get(&event.id).and_then(WeakId::upgrade) {
                    id.tell_cm(None, event);
                    held.push(id);
                }
                return;
            }
        };
        match self.listeners.get(&listener).and_then(WeakId::upgrade) {
            Some(listener) => {
                let child = listener.child(context, event.id);
                self.ids.insert(event.id, child.downgrade());
                child.tell_cm(Some(listener.clone()), event);
                held.extend([listener, child]);
            }
            // Nobody listens any more.
            None => {
                context.nic().with(|device, now| device.cm_mut().destroy(now, event.id)).ok();
            }
        }
    }
}
