//! What becomes of a NIC in a process that is forked from its own, and of one whose process ends.
//!
//! The child has a copy of everything but the threads, and its descriptors are the parent's sockets. It must not
//! use them: what it received the parent would miss. So in the child each descriptor is replaced by one of
//! `/dev/null`, under the same number. The NIC's copy is cut off from the network, as if its cable had been
//! pulled, and can be dropped without the parent noticing; a new NIC can be opened beside it.
//!
//! Where a process ends without dropping its NIC, peers get what the NIC still owes them.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard as StdGuard, Once, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::lock_api::RawMutex as _;
use parking_lot::{Mutex, MutexGuard, RawMutex};

/// How often this process and its ancestors have forked, as counted in the children.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Descriptors that a child must not have.
static DESCRIPTORS: StdMutex<Vec<RawFd>> = StdMutex::new(Vec::new());

/// Locks that must not be held by a thread that the child will not have.
static GATES: StdMutex<Vec<Weak<dyn Gated>>> = StdMutex::new(Vec::new());

/// The process is about to fork. Threads that wait for a lock are written down in tables that all locks share, and
/// these have locks of their own. A child in which one of those is taken has no thread that would give it back, and
/// hangs when two of its threads want the same thing. So until it has forked, nobody goes near them.
static FORKING: AtomicBool = AtomicBool::new(false);

/// What takes the place of descriptors.
static NULL: OnceLock<Option<File>> = OnceLock::new();

/// How long to wait for a lock before forking, and for a thread to end its turn. That is soon, unless the thread that
/// forks has the lock.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long to wait for a lock when the process ends. Then it is held for a moment by another thread, or for ever:
/// exit(3) may have been called from a signal handler.
const SOON: Duration = Duration::from_millis(10);

/// How often to look whether the fork, or the turn, is over.
const PAUSE: Duration = Duration::from_micros(50);

/// A descriptor that is this process's alone: in a forked child it leads nowhere.
pub(crate) struct Cut<T: AsFd> {
    inner: T,
    born: u32,
}

impl<T: AsFd> Cut<T> {
    pub(crate) fn new(inner: T) -> Cut<T> {
        prepare();
        lock(&DESCRIPTORS).push(inner.as_fd().as_raw_fd());
        Cut { inner, born: generation() }
    }

    pub(crate) fn get(&self) -> &T {
        &self.inner
    }

    /// True in a child, where it leads nowhere.
    pub(crate) fn is_inherited(&self) -> bool {
        self.born != generation()
    }
}

impl<T: AsFd> AsFd for Cut<T> {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl<T: AsFd> Drop for Cut<T> {
    fn drop(&mut self) {
        // Before it is closed, and its number given to something else.
        let number = self.inner.as_fd().as_raw_fd();
        lock(&DESCRIPTORS).retain(|other| *other != number);
    }
}

/// A number that is another in a forked child.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Something with a [`Gate`].
pub(crate) trait Gated: Send + Sync {
    /// Calls [`Gate::at_fork`].
    fn at_fork(&self, moment: Moment);

    /// The process ends.
    fn at_exit(&self);
}

/// From now on `gated` is at rest whenever the process forks, and learns when it ends.
pub(crate) fn register(gated: &Arc<impl Gated + 'static>) {
    prepare();
    let mut gates = lock(&GATES);
    gates.retain(|gate| gate.strong_count() > 0);
    let gate = Arc::downgrade(gated);
    gates.push(gate);
}

/// The three moments of a fork, see pthread_atfork(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Before,
    InParent,
    InChild,
}

/// A lock that is free in a forked child, with contents that nobody was changing.
pub(crate) struct Gate<T> {
    mutex: Mutex<T>,
    /// The lock is held because the process is forking.
    held: AtomicBool,
    /// The NIC's thread is at work.
    busy: AtomicBool,
}

impl<T> Gate<T> {
    pub(crate) fn new(value: T) -> Gate<T> {
        Gate { mutex: Mutex::new(value), held: AtomicBool::new(false), busy: AtomicBool::new(false) }
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        // Who is in a turn is waited for, and must not wait in turn.
        while FORKING.load(Ordering::Relaxed) && !IN_TURN.get() {
            thread::sleep(PAUSE);
        }
        self.mutex.lock()
    }

    /// The lock, where it may be held for ever.
    pub(crate) fn lock_at_exit(&self) -> Option<MutexGuard<'_, T>> {
        self.mutex.try_lock_for(SOON)
    }

    /// The NIC's thread begins a turn, in which it takes the lock and wakes others. Not while the process forks.
    pub(crate) fn begin_turn(&self) {
        // One of the two sees the other: whoever forks says so, then looks whether we are at work.
        self.busy.store(true, Ordering::SeqCst);
        while FORKING.load(Ordering::SeqCst) {
            self.busy.store(false, Ordering::SeqCst);
            thread::sleep(PAUSE);
            self.busy.store(true, Ordering::SeqCst);
        }
        IN_TURN.set(true);
    }

    /// It ends its turn.
    pub(crate) fn end_turn(&self) {
        IN_TURN.set(false);
        self.busy.store(false, Ordering::Release);
    }

    pub(crate) fn at_fork(&self, moment: Moment) {
        if moment == Moment::Before {
            let start = Instant::now();
            while self.busy.load(Ordering::SeqCst) && start.elapsed() < PATIENCE {
                thread::sleep(PAUSE);
            }
            let guard = self.mutex.try_lock_for(PATIENCE);
            self.held.store(guard.is_some(), Ordering::Relaxed);
            mem::forget(guard);
            return;
        }
        if moment == Moment::InChild {
            // There is no such thread.
            self.busy.store(false, Ordering::Relaxed);
        }
        if self.held.swap(false, Ordering::Relaxed) {
            match moment {
                // SAFETY: `held` says that the guard was forgotten, by this thread, before the fork.
                Moment::InParent => unsafe { self.mutex.force_unlock() },
                // SAFETY: a child has one thread, this one, so nobody else looks at the lock. Unlocking it would
                // hand it to a thread that waited for it in the parent. The bytes are in an `UnsafeCell`, and
                // `INIT` is what they are in a new lock.
                _ => unsafe {
                    let raw: *const RawMutex = self.mutex.raw();
                    raw.cast_mut().write_volatile(RawMutex::INIT);
                },
            }
        }
    }
}

/// What is held while the process forks. Locks of the standard library may be unlocked in the child.
struct Held {
    descriptors: StdGuard<'static, Vec<RawFd>>,
    gates: StdGuard<'static, Vec<Weak<dyn Gated>>>,
    resting: Vec<Arc<dyn Gated>>,
}

thread_local! {
    static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };

    /// This is a NIC's thread, in its turn.
    static IN_TURN: Cell<bool> = const { Cell::new(false) };
}

fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        NULL.get_or_init(|| File::options().read(true).write(true).open("/dev/null").ok());
        // SAFETY: the handlers are functions of the right type, which live as long as this code; when it is in
        // a shared object that is unloaded, the C library forgets them. Without memory for them, which is what
        // the result could tell, forked children share our sockets.
        unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
        // SAFETY: as above. Without memory, peers have to do without last words.
        unsafe { libc::atexit(at_exit) };
    });
}

extern "C" fn at_exit() {
    last_words();
}

/// Has all NICs of this process send what they still owe: to be called before the process ends in a way that exit(3) does
/// not learn of, such as `_exit(2)`. At most an acknowledgement waits at a NIC, for an answer to take it along, and for
/// 2 ms; but a peer to which it is never sent believes that its message was lost.
///
/// A call that is in progress, and will not come to its end, does no harm.
pub fn last_words() {
    let Ok(gates) = GATES.try_lock() else { return };
    gates.iter().filter_map(Weak::upgrade).for_each(|gated| gated.at_exit());
}

extern "C" fn before() {
    let gates = lock(&GATES);
    FORKING.store(true, Ordering::SeqCst);
    let resting: Vec<Arc<dyn Gated>> = gates.iter().filter_map(Weak::upgrade).collect();
    resting.iter().for_each(|gated| gated.at_fork(Moment::Before));
    // Last, because it is also taken by who has one of the others.
    let held = Held { descriptors: lock(&DESCRIPTORS), gates, resting };
    HELD.with(|cell| cell.replace(Some(held)));
}

extern "C" fn in_parent() {
    after(Moment::InParent);
}

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    after(Moment::InChild);
}

fn after(moment: Moment) {
    let Some(mut held) = HELD.with(RefCell::take) else { return };
    if moment == Moment::InChild {
        cut(&mut held.descriptors);
    }
    held.resting.iter().for_each(|gated| gated.at_fork(moment));
    FORKING.store(false, Ordering::SeqCst);
    let Held { descriptors, gates, resting } = held;
    drop((descriptors, gates));
    // Only now: a NIC whose last handle was dropped meanwhile closes descriptors.
    drop(resting);
}

fn cut(descriptors: &mut Vec<RawFd>) {
    let Some(null) = NULL.get().and_then(Option::as_ref) else { return };
    for descriptor in descriptors.drain(..) {
        // SAFETY: the number belongs to a `Cut`, which goes on owning it.
        unsafe { libc::dup3(null.as_raw_fd(), descriptor, libc::O_CLOEXEC) };
    }
}

fn lock<T>(mutex: &'static StdMutex<T>) -> StdGuard<'static, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
