//! Where identifiers are told what happens to them.

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};
use std::time::{Duration, Instant};

use ferroce_engine::CmEvent;
use ferroce_wire::cm::PortSpace;
use parking_lot::Mutex;

use crate::wait::{Bell, Listener, block_on};

use super::error::CmError;
use super::event::{Event, EventKind};
use super::id::Id;
use super::manager::Manager;

/// A queue of events (`rdma_event_channel`). Clones are the same channel.
///
/// Taking an event does the work that goes with it, as in librdmacm: when the peer has agreed, the queue pair is
/// made ready and the peer told, and then comes [`Established`](EventKind::Established).
#[derive(Clone)]
pub struct EventChannel {
    manager: Manager,
    pub(super) shared: Arc<Shared>,
}

#[derive(Default)]
pub(super) struct Shared {
    queue: Mutex<VecDeque<Pending>>,
    bell: Arc<Bell>,
    waker: Mutex<Option<Waker>>,
}

/// News that nobody has taken yet.
pub(super) struct Pending {
    pub id: Id,
    pub listener: Option<Id>,
    pub news: News,
}

pub(super) enum News {
    /// From the NIC's connection manager.
    Cm(CmEvent),
    /// From here, with its status.
    Local(EventKind, i32),
    /// This multicast group was joined.
    Joined(IpAddr),
}

impl Shared {
    pub(super) fn push(&self, pending: Pending) {
        self.queue.lock().push_back(pending);
        self.bell.wake_by_ref();
        let waker = self.waker.lock().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes out everything about an identifier, in order, requests to it if it listens included.
    pub(super) fn take_out(&self, id: &Id) -> VecDeque<Pending> {
        let mut queue = self.queue.lock();
        let is_about = |pending: &Pending| pending.id == *id || pending.listener.as_ref() == Some(id);
        let (out, rest) = queue.drain(..).partition(is_about);
        *queue = rest;
        out
    }
}

impl EventChannel {
    pub(super) fn new(manager: &Manager) -> EventChannel {
        EventChannel { manager: manager.clone(), shared: Arc::default() }
    }

    /// Makes an identifier whose events come here (`rdma_create_id`).
    pub fn create_id(&self, space: PortSpace) -> Id {
        Id::new(&self.manager, &self.shared, space)
    }

    /// The next event, if there is one.
    pub fn poll(&self) -> Option<Event> {
        loop {
            let pending = self.shared.queue.lock().pop_front()?;
            if let Some(event) = pending.id.clone().convert(pending) {
                return Some(event);
            }
        }
    }

    /// Whether there may be an event to take.
    pub fn has_events(&self) -> bool {
        !self.shared.queue.lock().is_empty()
    }

    /// A place at which to be woken when an event comes.
    pub(crate) fn listener(&self) -> Listener {
        Listener::new(&self.shared.bell)
    }

    /// Sleeps until there is an event. A `timeout` of `None` stands for ever.
    ///
    /// # Errors
    /// [`CmError::Timeout`] when there was none in time.
    pub fn wait(&self, timeout: impl Into<Option<Duration>>) -> Result<Event, CmError> {
        let deadline = timeout.into().and_then(|timeout| Instant::now().checked_add(timeout));
        block_on(self.next(), deadline).ok_or(CmError::Timeout)
    }

    /// The next event. Dropping the future loses none.
    pub async fn next(&self) -> Event {
        let listener = self.listener();
        std::future::poll_fn(|task| {
            // In this order: what comes after the look finds a listener.
            listener.listen(task.waker());
            match self.poll() {
                Some(event) => Poll::Ready(event),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Leaves a waker that is woken for every event that comes, in place of the one before; `None` takes it away.
    /// If events are there it is woken at once.
    pub fn set_waker(&self, waker: Option<Waker>) {
        let wake = waker.clone().filter(|_| self.has_events());
        *self.shared.waker.lock() = waker;
        if let Some(waker) = wake {
            waker.wake();
        }
    }
}

impl fmt::Debug for EventChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventChannel").finish_non_exhaustive()
    }
}
