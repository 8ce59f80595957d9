//! Event channels.

use std::sync::Arc;
use std::task::{Wake, Waker};

use ferroce::cm::{Event, EventChannel};

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
    bell: Arc<Bell>,
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
        Ok(Arc::new(Inner { events, bell }))
    }

    pub(super) fn fd(&self) -> std::ffi::c_int {
        self.bell.mailbox.fd()
    }

    /// The oldest event; sleeps until there is one, or fails as reading from the descriptor does.
    pub(super) fn next(&self) -> Result<Event, Errno> {
        loop {
            self.bell.mailbox.take()?;
            if let Some(event) = self.events.poll() {
                return Ok(event);
            }
        }
    }

    /// Has the descriptor count no events that are gone.
    pub(super) fn settle(&self) {
        if !self.events.has_events() {
            self.bell.mailbox.empty();
            // What came meanwhile must not be missed.
            if self.events.has_events() {
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
