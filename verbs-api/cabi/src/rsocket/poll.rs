//! Waiting for sockets and ordinary files at once.

use std::ffi::{c_int, c_short, c_ulong};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use ferroce::rsocket::{DatagramWatch, Ready, Watch};

use super::table::{Entry, Kind, find};
use crate::border::{Errno, export, number};

/// Wakes whoever sleeps in `poll(2)`.
struct Alarm(OwnedFd);

impl Alarm {
    fn new() -> Result<Arc<Alarm>, Errno> {
        // SAFETY: no pointers are involved.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(Errno::last());
        }
        // SAFETY: just opened, and owned by nobody else.
        Ok(Arc::new(Alarm(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// Silence until it rings again.
    fn reset(&self) {
        let mut count = 0u64;
        // SAFETY: eight bytes that live until the call returns; it fails if it has not rung.
        unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast(), 8) };
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let one = 1u64;
        // SAFETY: eight bytes that live until the call returns. Who rings already need not ring louder.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), 8) };
    }
}

/// A socket among what is waited for.
struct Watched {
    /// Its place in the program's list.
    at: usize,
    entry: Arc<Entry>,
    watch: Option<Watch>,
    datagram_watch: Option<DatagramWatch>,
}

fn wanted(events: c_short) -> Ready {
    let wants = |mask: c_short| events & mask != 0;
    Ready {
        read: wants(libc::POLLIN | libc::POLLRDNORM),
        write: wants(libc::POLLOUT | libc::POLLWRNORM),
        ..Ready::default()
    }
}

fn revents(ready: Ready, events: c_short) -> c_short {
    let mut all = 0;
    if ready.read {
        all |= events & (libc::POLLIN | libc::POLLRDNORM);
    }
    if ready.write {
        all |= events & (libc::POLLOUT | libc::POLLWRNORM);
    }
    if ready.hangup {
        all |= libc::POLLHUP;
    }
    if ready.error {
        all |= libc::POLLERR;
    }
    all
}

impl Watched {
    fn new(at: usize, entry: Arc<Entry>) -> Watched {
        Watched { at, entry, watch: None, datagram_watch: None }
    }

    /// Whether the program would be told something of it, and if not has the alarm rung when that may change.
    fn look(&mut self, task: &mut TaskContext<'_>, fds: &mut [libc::pollfd]) -> bool {
        let fd = &mut fds[self.at];
        let want = wanted(fd.events);
        let looked = match &self.entry.kind {
            Kind::Stream(socket) => socket.poll_ready(task, want, &mut self.watch),
            Kind::Datagrams(socket) => socket.poll_ready(task, want, &mut self.datagram_watch),
        };
        fd.revents = match looked {
            Poll::Ready(ready) => revents(ready, fd.events),
            Poll::Pending => 0,
        };
        fd.revents != 0
    }
}

/// What is left of a time in whole milliseconds, rounded up, as `poll(2)` takes it.
fn left(deadline: Option<Instant>) -> c_int {
    let Some(deadline) = deadline else { return -1 };
    let left = deadline.saturating_duration_since(Instant::now()).as_nanos().div_ceil(1_000_000);
    c_int::try_from(left).unwrap_or(c_int::MAX)
}

/// `poll(2)` for rsockets and others; how many entries have something to tell.
fn poll(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> Result<c_int, Errno> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut watched = Vec::new();
    // The kernel passes over negative descriptors.
    let mut others = fds.to_vec();
    for (at, fd) in fds.iter().enumerate() {
        if let Ok(entry) = find(fd.fd) {
            others[at].fd = -1;
            watched.push(Watched::new(at, entry));
        }
    }
    let alarm = Alarm::new()?;
    others.push(libc::pollfd { fd: alarm.0.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    let waker = Waker::from(Arc::clone(&alarm));
    loop {
        alarm.reset();
        let mut task = TaskContext::from_waker(&waker);
        let told =
            watched.iter_mut().map(|watched| watched.look(&mut task, fds)).filter(|told| *told).count();
        let patience = if told > 0 { 0 } else { left(deadline) };
        // SAFETY: the list lives until the call returns.
        let found = unsafe { libc::poll(others.as_mut_ptr(), others.len() as libc::nfds_t, patience) };
        if found < 0 {
            return Err(Errno::last());
        }
        let mut all = told as c_int;
        for (fd, other) in fds.iter_mut().zip(&others).filter(|(_, other)| other.fd >= 0) {
            fd.revents = other.revents;
            all += c_int::from(other.revents != 0);
        }
        if all > 0 || (found == 0 && left(deadline) == 0) {
            return Ok(all);
        }
    }
}

/// Sleeps until a socket is ready for something of what is wanted, has failed, or a signal was handled.
pub(super) fn wait(entry: &Arc<Entry>, events: c_short) -> Result<(), Errno> {
    let alarm = Alarm::new()?;
    let waker = Waker::from(Arc::clone(&alarm));
    let mut watched = Watched::new(0, Arc::clone(entry));
    let mut socket = [libc::pollfd { fd: -1, events, revents: 0 }];
    loop {
        alarm.reset();
        if watched.look(&mut TaskContext::from_waker(&waker), &mut socket) {
            return Ok(());
        }
        let mut fd = libc::pollfd { fd: alarm.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry that lives until the call returns.
        if unsafe { libc::poll(&raw mut fd, 1, -1) } < 0 {
            return Err(Errno::last());
        }
    }
}

/// A set of `select(2)`, or none.
struct Set(*mut libc::fd_set, c_short);

impl Set {
    unsafe fn asks(&self, fd: c_int) -> c_short {
        if !self.0.is_null() && libc::FD_ISSET(fd, self.0) { self.1 } else { 0 }
    }

    /// Leaves those in the set that have something to tell.
    unsafe fn answer(&self, fds: &[libc::pollfd], tells: c_short) -> c_int {
        let mut count = 0;
        for fd in fds {
            if self.asks(fd.fd) == 0 {
                continue;
            }
            if fd.revents & tells == 0 {
                libc::FD_CLR(fd.fd, self.0);
            } else {
                count += 1;
            }
        }
        count
    }
}

unsafe fn select(count: c_int, sets: [Set; 3], timeout: Option<Duration>) -> Result<c_int, Errno> {
    const MOST: c_int = libc::FD_SETSIZE as c_int;
    if !(0..=MOST).contains(&count) {
        return Err(Errno(libc::EINVAL));
    }
    let mut fds = Vec::new();
    for fd in 0..count {
        let events = sets.iter().fold(0, |all, set| all | set.asks(fd));
        if events != 0 {
            fds.push(libc::pollfd { fd, events, revents: 0 });
        }
    }
    poll(&mut fds, timeout)?;
    if fds.iter().any(|fd| fd.revents & libc::POLLNVAL != 0) {
        return Err(Errno(libc::EBADF));
    }
    let tells = [libc::POLLIN | libc::POLLHUP | libc::POLLERR, libc::POLLOUT | libc::POLLERR, libc::POLLPRI];
    Ok(sets.iter().zip(tells).map(|(set, tells)| set.answer(&fds, tells)).sum())
}

export! {
    "RDMACM_1.0" fn rpoll(fds: *mut libc::pollfd, count: c_ulong, timeout: c_int) -> c_int {
        let mut none = [];
        let fds = match count {
            0 => &mut none[..],
            _ => std::slice::from_raw_parts_mut(fds, count as usize),
        };
        number(poll(fds, u64::try_from(timeout).ok().map(Duration::from_millis)))
    }

    "RDMACM_1.0" fn rselect(
        count: c_int,
        read: *mut libc::fd_set,
        write: *mut libc::fd_set,
        except: *mut libc::fd_set,
        timeout: *mut libc::timeval,
    ) -> c_int {
        let time = |time: &libc::timeval| {
            Duration::from_secs(time.tv_sec.max(0) as u64) + Duration::from_micros(time.tv_usec.max(0) as u64)
        };
        let sets = [Set(read, libc::POLLIN), Set(write, libc::POLLOUT), Set(except, libc::POLLPRI)];
        number(select(count, sets, timeout.as_ref().map(time)))
    }
}
