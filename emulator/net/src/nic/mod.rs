//! A device that lives: on a link, by a clock, with a thread that keeps it going.

mod builder;
mod core;
mod habits;
mod monitor;
mod notify;
mod outbox;
mod progress;

use std::net::IpAddr;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use ferroce_engine::{
    Arm, AsyncEvent, Counters, Cq, Device, PostError, Qpn, RecvWr, SendWr, Time, TraceSink, VerbsError, Wc,
};
use ferroce_wire::cm::ServiceId;
use parking_lot::MutexGuard;

use self::core::Core;
pub use builder::NicBuilder;
use notify::Parker;
use progress::{Kicker, Progress};

use crate::link::{LinkCounters, LinkInfo};
use crate::record::RunTrace;
use crate::sys::fork::{Gate, Gated, Moment};

/// A running NIC: a [`Device`] on a link.
///
/// Any thread may call it; calls take turns. What a call makes the device want to send is sent before the call
/// returns.
///
/// # Who does the work
///
/// A thread that polls does the network's work itself: [`poll_cq`](Self::poll_cq) on an empty queue receives,
/// runs timers and sends, on the spot, without a switch of threads. For everything else, such as serving a
/// peer's READ while nobody polls, the NIC has a thread of its own that sleeps until a packet arrives or a
/// timer runs out, and that stays out of the way of threads that poll. A NIC at rest uses no processor time.
///
/// Where an application has answered what it received by posting a request of its own, the next acknowledgement waits
/// for such an answer too, for 2 ms at most: both then are one datagram, and the peer finds them at the same time.
/// It does not wait when the `Nic` is dropped or the process exits; if the process is killed, it is lost.
///
/// # Being told
///
/// Whoever does not want to poll arms a completion queue with [`req_notify_cq`](Self::req_notify_cq), polls once
/// more, and waits for the [`Waker`] that it has left with [`set_waker`](Self::set_waker). A waker can unpark a
/// thread, wake a future or write to a file descriptor; [`wait_cq`](Self::wait_cq) is the first of these, ready
/// made.
///
/// # Forking
///
/// A process that is forked from one with a NIC has a copy that is cut off from the network: what it sends is
/// lost, and nothing arrives. The parent's NIC does not notice, whatever the child does with its copy. The child
/// can open a NIC of its own, on the same address too. A thread must not fork inside [`with`](Self::with).
///
/// Dropping a `Nic` closes its sockets and ends its thread.
pub struct Nic<T: TraceSink = RunTrace> {
    shared: Arc<Shared<T>>,
    /// Ends with this.
    _progress: Progress<T>,
    /// The same, if the NIC is visible.
    _monitor: Option<monitor::Monitor>,
    info: LinkInfo,
}

/// What the NIC's handle and its thread both have.
struct Shared<T> {
    core: Gate<Core<T>>,
    kicker: Kicker,
    clock: Clock,
}

impl<T: TraceSink + Send> Gated for Shared<T> {
    fn at_fork(&self, moment: Moment) {
        self.core.at_fork(moment);
    }

    fn at_exit(&self) {
        if let Some(mut core) = self.core.lock_at_exit() {
            core.pay_debt(self.clock.now());
        }
    }
}

impl Nic {
    /// Starts to describe a NIC.
    pub fn builder() -> NicBuilder {
        NicBuilder::new()
    }
}

impl<T: TraceSink + Send + 'static> Nic<T> {
    /// Does something with the device, at the present moment, and sends what follows from it.
    ///
    /// This is how verbs are called. Some are better called by the methods of the same name here:
    /// [`req_notify_cq`](Self::req_notify_cq) and [`destroy_cq`](Self::destroy_cq) also keep the NIC's thread and
    /// wakers informed, and [`poll_cq`](Self::poll_cq), [`post_send`](Self::post_send) and
    /// [`post_recv`](Self::post_recv) are faster.
    pub fn with<R>(&self, act: impl FnOnce(&mut Device<T>, Time) -> R) -> R {
        self.shared.call(|core, now| {
            // What is about to be done may be to destroy the queue pair that still has something to say.
            core.pay_debt(now);
            core.device.note_time(now);
            let result = act(&mut core.device, now);
            core.transmit(now);
            result
        })
    }

    /// Posts send requests and sends what can be sent (`ibv_post_send`).
    ///
    /// # Errors
    /// When one of them is refused; those before it were posted.
    pub fn post_send(&self, qp: Qpn, wrs: &[SendWr<'_>]) -> Result<(), PostError> {
        self.post_and_send(|device, now| device.post_send(now, qp, wrs))
    }

    /// Posts all of these send requests, or none (`ibv_wr_complete`), and sends what can be sent.
    ///
    /// # Errors
    /// When one of them is refused.
    pub fn post_send_all(&self, qp: Qpn, wrs: &[SendWr<'_>]) -> Result<(), PostError> {
        self.post_and_send(|device, now| device.post_send_all(now, qp, wrs))
    }

    fn post_and_send(
        &self,
        post: impl FnOnce(&mut Device<T>, Time) -> Result<(), PostError>,
    ) -> Result<(), PostError> {
        self.shared.call(|core, now| {
            core.habits.note_post(now);
            let result = post(&mut core.device, now);
            core.transmit(now);
            result
        })
    }

    /// Posts receive requests (`ibv_post_recv`).
    ///
    /// # Errors
    /// When one of them is refused; those before it were posted.
    pub fn post_recv(&self, qp: Qpn, wrs: &[RecvWr<'_>]) -> Result<(), PostError> {
        self.shared.call(|core, now| core.device.post_recv(now, qp, wrs))
    }

    /// Does some of the work that the NIC's thread would do soon: receives, and sends what follows from that. Never
    /// waits.
    ///
    /// Other NICs on the same address may depend on it. The kernel gives messages of connection management to any of
    /// them, to be handed on to the one that they are for: even those that this NIC has sent itself, which are lost
    /// when the process ends too soon. Who says a last word to such a neighbour calls this afterwards.
    pub fn progress(&self) {
        self.shared.call(|core, now| {
            core.receive(now);
            core.transmit(now);
        });
    }

    /// Moves completions to `out`, as many as there are and fit, and says how many. If there are none, does some
    /// of the network's work and looks again. Never waits.
    ///
    /// When that brings a completion, what the device now wants to send, an acknowledgement mostly, is left for
    /// the next call: most applications have an answer to send, and one system call takes both. If no call
    /// follows, the NIC's thread sends it, 2 ms later at most.
    ///
    /// # Errors
    /// When there is no such queue.
    pub fn poll_cq(&self, cq: Cq, out: &mut [Wc]) -> Result<usize, VerbsError> {
        self.shared.call(|core, now| {
            core.note_poll(now);
            let mut found = core.device.poll_cq(cq, out)?;
            if found == 0 && !out.is_empty() {
                let owes = core.owes();
                let received = core.receive(now);
                found = core.device.poll_cq(cq, out)?;
                // What came may be answered at once, and the answer takes the ACK along: also by an application that
                // finds it in its memory, if it does so before it polls again.
                let answers = found > 0 || (received && !owes);
                if !answers || !core.may_owe() {
                    core.transmit(now);
                }
            }
            Ok(found)
        })
    }

    /// Asks that the waker of `cq` be woken once, for a completion that is added from now on. Poll once more
    /// after this.
    ///
    /// # Errors
    /// When there is no such queue.
    pub fn req_notify_cq(&self, cq: Cq, arm: Arm) -> Result<(), VerbsError> {
        self.shared.call(|core, _| {
            core.device.req_notify_cq(cq, arm)?;
            core.note_armed(cq);
            Ok(())
        })
    }

    /// Removes a completion queue to which no queue pair completes any more, and forgets its waker.
    ///
    /// # Errors
    /// When there is no such queue, or it is in use.
    pub fn destroy_cq(&self, cq: Cq) -> Result<(), VerbsError> {
        self.shared.call(|core, _| {
            core.device.destroy_cq(cq)?;
            core.notify.forget(cq);
            Ok(())
        })
    }

    /// Leaves a waker for the notifications of `cq`, in place of the one before; `None` takes it away. It stays
    /// until it is replaced, and is woken once for each arming that is answered. If a notification came while
    /// there was no waker, this one is woken at once.
    pub fn set_waker(&self, cq: Cq, waker: Option<&Waker>) {
        self.shared.call(|core, _| core.notify.set_waker(cq, waker));
    }

    /// Waits until there is a completion, and moves what there is to `out`. Gives 0 when `timeout` is over. The
    /// calling thread sleeps, and this uses the queue's waker.
    ///
    /// # Errors
    /// When there is no such queue.
    pub fn wait_cq(&self, cq: Cq, out: &mut [Wc], timeout: Option<Duration>) -> Result<usize, VerbsError> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let parker = Parker::new();
        self.set_waker(cq, Some(&parker.waker()));
        let waited = loop {
            self.req_notify_cq(cq, Arm::Next)?;
            let found = self.poll_cq(cq, out)?;
            if found > 0 || out.is_empty() || !parker.park(deadline) {
                break Ok(found);
            }
        };
        self.set_waker(cq, None);
        waited
    }

    /// The oldest asynchronous event that nobody has taken yet.
    pub fn poll_async_event(&self) -> Option<AsyncEvent> {
        self.shared.call(|core, _| core.notify.next_async())
    }

    /// Leaves a waker for asynchronous events, in place of the one before; `None` takes it away. It is woken for
    /// every event, and at once if events are waiting.
    pub fn set_async_waker(&self, waker: Option<&Waker>) {
        self.shared.call(|core, _| core.notify.set_async_waker(waker));
    }

    /// Leaves a waker for events of the connection manager, in place of the one before; `None` takes it away. It is
    /// woken at the end of every call, and of every turn of the NIC's thread, that leaves events with the connection
    /// manager; [`Cm::poll_event`](ferroce_engine::Cm::poll_event) takes them.
    pub fn set_cm_waker(&self, waker: Option<&Waker>) {
        self.shared.call(|core, _| core.notify.set_cm_waker(waker));
    }

    /// Has requests for a service at `addr` (`None`: at all addresses of the NIC) come to this NIC, where others
    /// share the address: to be called before the connection manager listens. False when another NIC of this user
    /// answers them.
    pub fn claim_service(&self, service: ServiceId, addr: Option<IpAddr>) -> bool {
        self.shared.core.lock().link.claim(service, addr)
    }

    /// Ends that, at all addresses.
    pub fn release_service(&self, service: ServiceId) {
        self.shared.core.lock().link.release(service);
    }

    /// What the device has counted.
    pub fn counters(&self) -> Counters {
        *self.shared.core.lock().device.counters()
    }

    /// What the link has counted.
    pub fn link_counters(&self) -> LinkCounters {
        self.shared.core.lock().link.counters()
    }

    /// What the NIC's link is, as it was when the NIC was opened: the answer costs nothing.
    pub fn info(&self) -> &LinkInfo {
        &self.info
    }

    /// What the NIC's link is now, with the last error that it met.
    pub fn link_info(&self) -> LinkInfo {
        self.shared.core.lock().link.info()
    }

    /// The present moment on the NIC's clock, which starts near 0 when the NIC is opened.
    pub fn now(&self) -> Time {
        self.shared.clock.now()
    }
}

impl<T: TraceSink> Shared<T> {
    /// One turn of an application's thread at the device. Wakers are woken after the device is free again.
    fn call<R>(&self, act: impl FnOnce(&mut Core<T>, Time) -> R) -> R {
        let mut core = self.core.lock();
        let now = self.clock.now();
        let result = act(&mut core, now);
        let wakers = core.collect_events();
        let kick = core.needs_kick();
        // A thread that polls in a loop would otherwise hardly ever let others in.
        MutexGuard::unlock_fair(core);
        if kick {
            self.kicker.kick();
        }
        for waker in wakers {
            waker.wake();
        }
        result
    }
}

/// Nanoseconds since it was made.
struct Clock {
    origin: Instant,
}

impl Clock {
    fn start() -> Clock {
        Clock { origin: Instant::now() }
    }

    fn now(&self) -> Time {
        Time::ZERO + self.origin.elapsed()
    }
}
