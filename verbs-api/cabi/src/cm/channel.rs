//! Event channels.

use std::sync::Arc;
use std::task::{Wake, Waker};

use ferroce::cm::{Event, EventChannel};

use super::world::world;
use crate::abi;
use crate::border::{Errno, export, pointer};
use crate::handle::{self, make, pooled};
use crate::mailbox::{Mailbox, Source};
use crate::reader::a_moment;

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

    /// Before the channel becomes stale: [`Mailbox::await_reader`].
    fn await_reader(&self, patience: impl FnMut() -> bool) {
        self.bell.mailbox.await_reader(patience);
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

/// A thread that sleeps in the channel goes on sleeping, as in the original.
unsafe fn destroy(channel: *mut abi::EventChannel, patience: impl FnMut() -> bool) -> Result<(), Errno> {
    handle::object::<Channel>(channel)?.inner.await_reader(patience);
    handle::take::<Channel>(channel).map(drop)
}

export! {
    "RDMACM_1.0" fn rdma_create_event_channel() -> *mut abi::EventChannel {
        pointer(create())
    }

    "RDMACM_1.0" fn rdma_destroy_event_channel(channel: *mut abi::EventChannel) {
        if let Err(errno) = destroy(channel, a_moment()) {
            errno.set();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use ferroce::cm::Manager;

    use super::*;

    #[test]
    fn a_thread_that_acknowledged_the_last_event_is_not_told_that_its_channel_is_gone() {
        let events = Manager::new().event_channel();
        let bell = Arc::new(Bell { mailbox: Mailbox::new().unwrap(), everybody: Arc::default() });
        let inner = Arc::new(Inner { events, bell });
        let c = make(abi::EventChannel { fd: inner.fd() }, Channel { inner: Arc::clone(&inner) }) as usize;
        inner.bell.wake_by_ref();
        let ((took, taken), (go, going), (back, came)) = (channel(), channel(), channel());
        // It sleeps for ever once it is back, so nobody joins it.
        thread::spawn(move || {
            // SAFETY: the channel was just made, and only the function under test destroys it.
            let find = || unsafe { handle::object::<Channel>(c as *mut abi::EventChannel) };
            find().unwrap().inner.bell.mailbox.take().unwrap();
            took.send(()).unwrap();
            going.recv().ok();
            let found = find().map(|channel| Arc::clone(&channel.inner));
            back.send(found.is_ok()).unwrap();
            found.map(|inner| inner.bell.mailbox.take())
        });
        taken.recv().unwrap();
        let release = || {
            go.send(()).ok();
            thread::yield_now();
            true
        };
        // SAFETY: the channel was made above.
        unsafe { destroy(c as *mut abi::EventChannel, release) }.unwrap();
        drop(go);
        assert!(came.recv().unwrap(), "the thread found its channel destroyed");
    }
}
