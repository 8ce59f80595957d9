//! Event channels.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Wake, Waker};

use ferroce::cm::{Event, EventChannel};
use parking_lot::Mutex;

use super::world::world;
use crate::abi;
use crate::border::{Errno, export, pointer};
use crate::handle::{self, make, pooled};
use crate::mailbox::{Mailbox, Source};

/// Our part of an event channel.
pub(super) struct Channel {
    pub(super) inner: Arc<Inner>,
}
pooled!(Channel, abi::EventChannel);

/// What a channel consists of, which identifiers keep too.
pub(super) struct Inner {
    pub(super) events: EventChannel,
    /// News that are made here: of multicast groups.
    own: Mutex<VecDeque<Own>>,
    bell: Arc<Bell>,
}

/// News about an identifier that are made here.
pub(super) struct Own {
    pub(super) id: usize,
    pub(super) event: abi::CmEvent,
}

// SAFETY: the pointer in it is to an identifier, which is looked up again when the event is taken.
unsafe impl Send for Own {}

/// What waits in a channel.
pub(super) enum Next {
    Told(Event),
    Own(Own),
}

/// The descriptor, which counts events; it may count some that are gone.
struct Bell {
    mailbox: Mailbox<()>,
    everybody: Arc<Source>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.mailbox.post(&self.everybody, ());
    }
}

impl Inner {
    pub(super) fn new() -> Result<Arc<Inner>, Errno> {
        let events = world()?.manager.event_channel();
        let bell = Arc::new(Bell { mailbox: Mailbox::new()?, everybody: Arc::default() });
        events.set_waker(Some(Waker::from(Arc::clone(&bell))));
        Ok(Arc::new(Inner { events, own: Mutex::default(), bell }))
    }

    pub(super) fn fd(&self) -> std::ffi::c_int {
        self.bell.mailbox.fd()
    }

    /// Adds an event that is made here.
    pub(super) fn tell(&self, own: Own) {
        self.own.lock().push_back(own);
        self.bell.wake_by_ref();
    }

    /// The oldest event; sleeps until there is one, or fails as reading from the descriptor does.
    pub(super) fn next(&self) -> Result<Next, Errno> {
        loop {
            self.bell.mailbox.take()?;
            if let Some(own) = self.own.lock().pop_front() {
                return Ok(Next::Own(own));
            }
            if let Some(event) = self.events.poll() {
                return Ok(Next::Told(event));
            }
        }
    }

    /// Forgets the events about an identifier that are made here, and has the descriptor count no events that are
    /// gone.
    pub(super) fn settle(&self, id: usize) {
        self.own.lock().retain(|own| own.id != id);
        let waits = || self.events.has_events() || !self.own.lock().is_empty();
        if !waits() {
            self.bell.mailbox.empty();
            // What came meanwhile must not be missed.
            if waits() {
                self.bell.wake_by_ref();
            }
        }
    }
}

unsafe fn create() -> Result<*mut abi::EventChannel, Errno> {
    let inner = Inner::new()?;
    Ok(make(abi::EventChannel { fd: inner.fd() }, Channel { inner }))
}

export! {
    "RDMACM_1.0" fn rdma_create_event_channel() -> *mut abi::EventChannel {
        pointer(create())
    }

    "RDMACM_1.0" fn rdma_destroy_event_channel(channel: *mut abi::EventChannel) {
        if let Err(errno) = handle::take::<Channel>(channel) {
            errno.set();
        }
    }
}
