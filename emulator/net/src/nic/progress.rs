//! The NIC's own thread.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use ferroce_engine::TraceSink;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SigSet, SigmaskHow};
use parking_lot::MutexGuard;

use super::Shared;
use super::core::Next;
use crate::error::NetError;
use crate::sys::{self, fork, fork::Cut};

/// Wakes the thread.
pub(super) struct Kicker(Cut<EventFd>);

impl Kicker {
    pub(super) fn new() -> Result<Kicker, NetError> {
        let fd = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC);
        fd.map(Cut::new)
            .map(Kicker)
            .map_err(|errno| NetError::system("create an eventfd")(io::Error::from(errno)))
    }

    pub(super) fn kick(&self) {
        // Adding 1 fails only when the counter is at its maximum, and then the thread is about to wake anyway.
        self.0.get().write(1).ok();
    }

    fn reset(&self) {
        // Fails when nobody has kicked.
        self.0.get().read().ok();
    }
}

/// The thread. It ends when this is dropped.
pub(super) struct Progress<T: TraceSink> {
    shared: Arc<Shared<T>>,
    /// Which process it runs in.
    born: u32,
    thread: Option<JoinHandle<()>>,
}

impl<T: TraceSink + Send + 'static> Progress<T> {
    pub(super) fn start(shared: &Arc<Shared<T>>, name: &str) -> Result<Progress<T>, NetError> {
        let theirs = Arc::clone(shared);
        // The thread must take none of the application's signals, from its first moment on, so that it inherits
        // a mask that blocks them all.
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || run(&theirs));
        if let Ok(mask) = mask {
            mask.thread_set_mask().ok();
        }
        let thread = thread.map_err(NetError::system("start a thread"))?;
        Ok(Progress { shared: Arc::clone(shared), born: fork::generation(), thread: Some(thread) })
    }
}

impl<T: TraceSink> Drop for Progress<T> {
    fn drop(&mut self) {
        self.shared.core.lock().stopping = true;
        self.shared.kicker.kick();
        let Some(thread) = self.thread.take() else { return };
        if self.born != fork::generation() {
            // A forked child has no such thread. To wait for it or to give it up would touch what is not there.
            return std::mem::forget(thread);
        }
        // A waker that this very thread woke may drop the last handle. It cannot wait for itself, but it ends.
        if thread.thread().id() != thread::current().id() {
            thread.join().ok();
        }
    }
}

fn run<T: TraceSink>(shared: &Shared<T>) {
    let mut descriptors = Vec::new();
    loop {
        shared.core.begin_turn();
        let mut core = shared.core.lock();
        let next = core.progress(shared.clock.now());
        descriptors.clear();
        if let Next::Listen { .. } = next {
            core.link.descriptors(&mut descriptors);
        }
        let wakers = core.collect_events();
        MutexGuard::unlock_fair(core);
        for waker in wakers {
            waker.wake();
        }
        shared.core.end_turn();
        let (until, room) = match next {
            Next::Stop => return,
            Next::Work => continue,
            Next::Linger => {
                thread::yield_now();
                continue;
            }
            Next::Listen { until, room } => (until, room),
            Next::StayAway { until } => (Some(until), false),
        };
        let mut ready: Vec<_> = descriptors.iter().map(|fd| sys::interest(*fd, room)).collect();
        ready.push(sys::interest(shared.kicker.0.as_fd().as_raw_fd(), false));
        let timeout = until.map(|until| until.since(shared.clock.now()));
        // Fails when a descriptor was closed meanwhile or memory is short; the next turn finds out.
        sys::wait(&mut ready, timeout).ok();
        if ready.last().is_some_and(|kicker| kicker.revents != 0) {
            shared.kicker.reset();
        }
    }
}
