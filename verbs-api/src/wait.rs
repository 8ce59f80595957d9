//! Sleeping until something happens, for any number of threads and tasks at once.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use parking_lot::Mutex;

/// Wakes everybody who listens.
///
/// The NIC takes one waker for each source of news, and several threads and tasks may want the same news. When
/// it comes all of them are woken, and those for whom nothing is left listen again: so none can sleep on because
/// another that was woken in its place has lost interest.
#[derive(Default)]
pub(crate) struct Bell {
    listeners: Mutex<Listeners>,
}

#[derive(Default)]
struct Listeners {
    next_id: u64,
    wakers: Vec<(u64, Waker)>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let wakers = std::mem::take(&mut self.listeners.lock().wakers);
        for (_, waker) in wakers {
            waker.wake();
        }
    }
}

/// One listener's place at a bell, given up when dropped.
pub(crate) struct Listener {
    bell: Arc<Bell>,
    id: u64,
}

impl Listener {
    pub(crate) fn new(bell: &Arc<Bell>) -> Listener {
        let mut listeners = bell.listeners.lock();
        listeners.next_id += 1;
        Listener { bell: Arc::clone(bell), id: listeners.next_id }
    }

    /// Has `waker` woken when the bell rings next.
    pub(crate) fn listen(&self, waker: &Waker) {
        let mut listeners = self.bell.listeners.lock();
        match listeners.wakers.iter_mut().find(|(id, _)| *id == self.id) {
            Some((_, old)) => old.clone_from(waker),
            None => listeners.wakers.push((self.id, waker.clone())),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.bell.listeners.lock().wakers.retain(|(id, _)| *id != self.id);
    }
}

/// Sleeps until `future` is done, or until the moment (`None` stands for ever) has come.
pub(crate) fn block_on<F: Future>(future: F, deadline: Option<Instant>) -> Option<F::Output> {
    let sleeper = Arc::new(Sleeper { woken: AtomicBool::new(false), thread: thread::current() });
    let waker = Waker::from(Arc::clone(&sleeper));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut TaskContext::from_waker(&waker)) {
            return Some(output);
        }
        while !sleeper.woken.swap(false, Ordering::Acquire) {
            match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(left) if left.is_zero() => return None,
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            }
        }
    }
}

struct Sleeper {
    woken: AtomicBool,
    thread: Thread,
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[test]
    fn everybody_who_listens_is_woken() {
        let bell = Arc::new(Bell::default());
        let rung = Arc::new(AtomicBool::new(false));
        let listening = Arc::new(std::sync::Barrier::new(4));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let listener = Listener::new(&bell);
                let (rung, listening) = (Arc::clone(&rung), Arc::clone(&listening));
                let mut first = true;
                thread::spawn(move || {
                    let heard = poll_fn(|cx| {
                        listener.listen(cx.waker());
                        if std::mem::take(&mut first) {
                            listening.wait();
                        }
                        if rung.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
                    });
                    block_on(heard, None)
                })
            })
            .collect();
        listening.wait();
        rung.store(true, Ordering::SeqCst);
        Waker::from(bell).wake();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), Some(()));
        }
    }

    #[test]
    fn who_gives_up_leaves_nothing_behind() {
        let bell = Arc::new(Bell::default());
        let listener = Listener::new(&bell);
        let never = poll_fn(|cx| {
            listener.listen(cx.waker());
            Poll::<()>::Pending
        });
        assert_eq!(block_on(never, Some(Instant::now() + Duration::from_millis(1))), None);
        assert_eq!(bell.listeners.lock().wakers.len(), 1);
        drop(listener);
        assert!(bell.listeners.lock().wakers.is_empty());
    }
}
