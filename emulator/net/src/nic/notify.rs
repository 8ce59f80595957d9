//! Telling applications that something happened, by wakers.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use ferroce_engine::{AsyncEvent, Cq};
use parking_lot::Mutex;

/// Asynchronous events that wait for somebody to take them. The oldest are lost first.
const ASYNC_EVENTS: usize = 4096;

/// Who wants to be told what.
#[derive(Default)]
pub(super) struct Notify {
    cqs: HashMap<Cq, Watch>,
    /// Queues that were armed and not answered yet.
    armed: HashSet<Cq>,
    events: VecDeque<AsyncEvent>,
    async_waker: Option<Waker>,
    cm_waker: Option<Waker>,
    woken: Vec<Waker>,
}

#[derive(Default)]
struct Watch {
    waker: Option<Waker>,
    /// A notification came when there was no waker.
    missed: bool,
}

impl Notify {
    pub(super) fn note_armed(&mut self, cq: Cq) {
        self.armed.insert(cq);
    }

    pub(super) fn is_any_armed(&self) -> bool {
        !self.armed.is_empty()
    }

    pub(super) fn forget(&mut self, cq: Cq) {
        self.armed.remove(&cq);
        self.cqs.remove(&cq);
    }

    pub(super) fn set_waker(&mut self, cq: Cq, waker: Option<&Waker>) {
        let watch = self.cqs.entry(cq).or_default();
        replace(&mut watch.waker, waker);
        if let Some(waker) = waker
            && std::mem::take(&mut watch.missed)
        {
            self.woken.push(waker.clone());
        }
    }

    pub(super) fn set_async_waker(&mut self, waker: Option<&Waker>) {
        replace(&mut self.async_waker, waker);
        if let Some(waker) = waker
            && !self.events.is_empty()
        {
            self.woken.push(waker.clone());
        }
    }

    pub(super) fn set_cm_waker(&mut self, waker: Option<&Waker>) {
        replace(&mut self.cm_waker, waker);
    }

    /// The connection manager has events.
    pub(super) fn wake_cm(&mut self) {
        self.woken.extend(self.cm_waker.clone());
    }

    pub(super) fn next_async(&mut self) -> Option<AsyncEvent> {
        self.events.pop_front()
    }

    /// A completion queue got what it was armed for.
    pub(super) fn completion(&mut self, cq: Cq) {
        self.armed.remove(&cq);
        let watch = self.cqs.entry(cq).or_default();
        watch.missed = watch.waker.is_none();
        self.woken.extend(watch.waker.clone());
    }

    /// An asynchronous event was raised.
    pub(super) fn asynchronous(&mut self, event: AsyncEvent) {
        if self.events.len() == ASYNC_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
        self.woken.extend(self.async_waker.clone());
    }

    pub(super) fn take_woken(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.woken)
    }
}

fn replace(old: &mut Option<Waker>, new: Option<&Waker>) {
    match (old, new) {
        (Some(old), Some(new)) => old.clone_from(new),
        (old, new) => *old = new.cloned(),
    }
}

/// Lets a thread sleep until its waker is woken.
pub(super) struct Parker(Arc<Bell>);

struct Bell {
    rung: Mutex<bool>,
    sleeper: Thread,
}

impl Parker {
    /// For the calling thread.
    pub(super) fn new() -> Parker {
        Parker(Arc::new(Bell { rung: Mutex::new(false), sleeper: thread::current() }))
    }

    pub(super) fn waker(&self) -> Waker {
        Arc::clone(&self.0).into()
    }

    /// Sleeps until the waker is woken (true) or the moment has come (false). `None` stands for ever.
    pub(super) fn park(&self, deadline: Option<Instant>) -> bool {
        loop {
            if std::mem::take(&mut *self.0.rung.lock()) {
                return true;
            }
            match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(left) if left.is_zero() => return false,
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            }
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.rung.lock() = true;
        self.sleeper.unpark();
    }
}
