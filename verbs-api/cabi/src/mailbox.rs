//! File descriptors that become readable when events wait: what completion channels, asynchronous events and
//! connection-management channels have in common.
//!
//! The descriptor is an eventfd that counts the events. An application may poll it in any way, and make it
//! non-blocking: taking an event *is* reading from the descriptor, so that its flags, signals and cancellation act as
//! on any other.

use std::collections::VecDeque;
use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::border::Errno;
use crate::reader::Reader;

/// A queue of events with a descriptor.
pub(crate) struct Mailbox<E> {
    fd: OwnedFd,
    waiting: Mutex<VecDeque<(Arc<Source>, E)>>,
    reader: Reader,
}

/// An object that events are about. Its destruction waits until those taken were acknowledged.
#[derive(Default)]
pub(crate) struct Source {
    counts: Mutex<Counts>,
    acknowledged: Condvar,
}

#[derive(Default)]
struct Counts {
    taken: u64,
    acknowledged: u64,
    /// The object is being destroyed: no more events.
    closed: bool,
}

impl<E> Mailbox<E> {
    /// An empty mailbox.
    pub(crate) fn new() -> Result<Mailbox<E>, Errno> {
        // SAFETY: no pointers are involved.
        let fd = unsafe { libc::eventfd(0, libc::EFD_SEMAPHORE | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(Errno::last());
        }
        // SAFETY: just opened, and owned by nobody else.
        Ok(Mailbox {
            fd: unsafe { OwnedFd::from_raw_fd(fd) },
            waiting: Mutex::default(),
            reader: Reader::default(),
        })
    }

    /// The descriptor that is readable while events wait.
    pub(crate) fn fd(&self) -> c_int {
        self.fd.as_raw_fd()
    }

    /// Adds an event about `source`, unless that is closed.
    pub(crate) fn post(&self, source: &Arc<Source>, event: E) {
        let mut waiting = self.waiting.lock();
        if !source.counts.lock().closed {
            waiting.push_back((Arc::clone(source), event));
            let one = 1u64;
            // SAFETY: eight bytes that live until the call returns. It fails only when 2^64 - 2 events wait.
            unsafe { libc::write(self.fd(), (&raw const one).cast(), 8) };
        }
    }

    /// Takes the oldest event. If there is none, sleeps until there is, or fails with EAGAIN when the descriptor is
    /// non-blocking, or with EINTR when a signal was handled.
    pub(crate) fn take(&self) -> Result<E, Errno> {
        self.reader.asks();
        loop {
            let mut count = 0u64;
            // SAFETY: eight bytes that live until the call returns.
            if unsafe { libc::read(self.fd(), (&raw mut count).cast::<c_void>(), 8) } != 8 {
                return Err(Errno::last());
            }
            // It can be empty when events were withdrawn between the two.
            if let Some((source, event)) = self.waiting.lock().pop_front() {
                source.taken();
                self.reader.took();
                return Ok(event);
            }
        }
    }

    /// Before the object whose mailbox this is becomes stale: gives another thread that took the last event time
    /// to ask for the next (usually [`a_moment`](crate::reader::a_moment)), so that it sleeps there when it is too late
    /// to ask.
    pub(crate) fn await_reader(&self, patience: impl FnMut() -> bool) {
        self.reader.await_return(patience);
    }

    /// Lets no more events about `source` in, takes back those that wait, and waits until those that were taken have
    /// been acknowledged.
    pub(crate) fn close(&self, source: &Source) {
        for _ in 0..self.withdraw(source) {
            self.uncount();
        }
        source.wait();
    }

    /// Takes all events back.
    pub(crate) fn empty(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        for _ in waiting {
            self.uncount();
        }
    }

    fn withdraw(&self, source: &Source) -> usize {
        let mut waiting = self.waiting.lock();
        source.counts.lock().closed = true;
        let before = waiting.len();
        waiting.retain(|(from, _)| !std::ptr::eq(&raw const **from, source));
        before - waiting.len()
    }

    /// Takes one from the descriptor's count, without ever waiting. If another thread was faster, it finds no event
    /// and reads again.
    fn uncount(&self) {
        let mut count = 0u64;
        let into = libc::iovec { iov_base: (&raw mut count).cast(), iov_len: 8 };
        // SAFETY: one buffer of eight bytes that lives until the call returns.
        unsafe { libc::preadv2(self.fd(), &raw const into, 1, -1, libc::RWF_NOWAIT) };
    }
}

impl Source {
    /// The application has taken an event.
    pub(crate) fn taken(&self) {
        self.counts.lock().taken += 1;
    }

    /// Waits until the application has acknowledged all events that it has taken.
    pub(crate) fn wait(&self) {
        let mut counts = self.counts.lock();
        while counts.acknowledged < counts.taken {
            self.acknowledged.wait(&mut counts);
        }
    }

    /// The application is done with `count` events.
    pub(crate) fn acknowledge(&self, count: u32) {
        self.counts.lock().acknowledged += u64::from(count);
        self.acknowledged.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_readable<E>(mailbox: &Mailbox<E>) -> bool {
        let mut fd = libc::pollfd { fd: mailbox.fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry that lives until the call returns.
        unsafe { libc::poll(&raw mut fd, 1, 0) == 1 }
    }

    #[test]
    fn events_come_in_order_and_the_descriptor_tells() {
        let (mailbox, source) = (Mailbox::new().unwrap(), Arc::new(Source::default()));
        assert!(!is_readable(&mailbox));
        mailbox.post(&source, 1);
        mailbox.post(&source, 2);
        assert!(is_readable(&mailbox));
        assert_eq!((mailbox.take(), mailbox.take()), (Ok(1), Ok(2)));
        assert!(!is_readable(&mailbox));
    }

    #[test]
    fn a_non_blocking_descriptor_never_waits() {
        let mailbox = Mailbox::<u32>::new().unwrap();
        // SAFETY: no pointers are involved.
        unsafe { libc::fcntl(mailbox.fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        assert_eq!(mailbox.take(), Err(Errno(libc::EAGAIN)));
    }

    #[test]
    fn closing_withdraws_what_waits_and_nothing_else() {
        let mailbox = Mailbox::new().unwrap();
        let (gone, stays) = (Arc::new(Source::default()), Arc::new(Source::default()));
        mailbox.post(&gone, "withdrawn");
        mailbox.post(&stays, "stays");
        mailbox.close(&gone);
        mailbox.post(&gone, "too late");
        assert_eq!(mailbox.take(), Ok("stays"));
        assert!(!is_readable(&mailbox));
    }

    #[test]
    fn closing_waits_for_acknowledgements() {
        let (mailbox, source) = (Mailbox::new().unwrap(), Arc::new(Source::default()));
        mailbox.post(&source, ());
        mailbox.post(&source, ());
        mailbox.take().unwrap();
        mailbox.take().unwrap();
        source.acknowledge(1);
        std::thread::scope(|scope| {
            let closing = scope.spawn(|| mailbox.close(&source));
            while !source.counts.lock().closed {
                std::thread::yield_now();
            }
            assert!(!closing.is_finished());
            source.acknowledge(1);
            closing.join().unwrap();
        });
    }
}
