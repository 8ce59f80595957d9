//! Completion queues: polled, waited for, awaited.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use ferroce_engine::{Arm, Cq, Wc};
use futures_core::Stream;

use crate::context::Context;
use crate::error::{Error, verb};
use crate::wait::{Bell, Listener, block_on};

/// Where the NIC tells how work requests ended. Clones are the same queue, which is destroyed when the last
/// handle and the last queue pair that uses it are gone.
///
/// There are three ways to get at completions, and several threads and tasks may use them at the same time; each
/// completion goes to one of them.
///
/// * [`poll`](Self::poll) never sleeps and has the least latency. While it finds nothing it does the NIC's work.
/// * [`wait`](Self::wait) lets the thread sleep.
/// * [`next`](Self::next) and [`completions`](Self::completions) are for `async` programs under any executor.
///
/// ```
/// use std::time::Duration;
/// use ferroce::{Error, WcExt};
///
/// let (a, b) = ferroce::pair()?;
/// assert!(a.cq.poll_one().is_none());
/// assert!(matches!(a.cq.wait(Duration::from_millis(1)), Err(Error::Timeout(_))));
///
/// a.qp.post().write(7, &[a.memory.slice(0..64)], b.memory.remote()).submit()?;
/// assert_eq!(a.cq.wait(None)?.ok()?.wr_id, 7);
/// # Ok::<_, Error>(())
/// ```
#[derive(Clone)]
pub struct CompletionQueue {
    shared: Arc<Shared>,
}

struct Shared {
    cq: Cq,
    bell: Arc<Bell>,
    context: Context,
}

impl CompletionQueue {
    pub(crate) fn new(context: &Context, capacity: u32) -> Result<CompletionQueue, Error> {
        let made = context.nic().with(|device, _| device.create_cq(capacity));
        let cq = made.map_err(verb("create a completion queue"))?;
        let bell = Arc::new(Bell::default());
        context.nic().set_waker(cq, Some(&Arc::clone(&bell).into()));
        Ok(CompletionQueue { shared: Arc::new(Shared { cq, bell, context: context.clone() }) })
    }

    /// Moves completions to `out`, as many as there are and fit, and says how many (`ibv_poll_cq`).
    pub fn poll(&self, out: &mut [Wc]) -> usize {
        self.context().nic().poll_cq(self.id(), out).expect("the queue lives as long as its handle")
    }

    /// The oldest completion, if there is one.
    pub fn poll_one(&self) -> Option<Wc> {
        let mut wc = [Wc::default()];
        (self.poll(&mut wc) == 1).then_some(wc[0])
    }

    /// Sleeps until there is a completion. A `timeout` of `None` stands for ever.
    ///
    /// # Errors
    /// [`Error::Timeout`] when there was none in time.
    pub fn wait(&self, timeout: impl Into<Option<Duration>>) -> Result<Wc, Error> {
        let mut wc = [Wc::default()];
        self.wait_many(&mut wc, timeout)?;
        Ok(wc[0])
    }

    /// Sleeps until there are completions, moves them to `out`, as many as fit, and says how many.
    ///
    /// # Errors
    /// [`Error::Timeout`] when there was none in time.
    pub fn wait_many(&self, out: &mut [Wc], timeout: impl Into<Option<Duration>>) -> Result<usize, Error> {
        let timeout = timeout.into();
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let completions = self.completions();
        let some = std::future::poll_fn(|task| completions.poll_many(task, out));
        block_on(some, deadline).ok_or(Error::Timeout(timeout.unwrap_or(Duration::MAX)))
    }

    /// The next completion. Dropping the future loses no completion.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ferroce::Error> {
    /// let (a, b) = ferroce::pair()?;
    /// b.qp.receive(1, &[b.memory.sge()])?;
    /// a.qp.post().send(2, &[a.memory.slice(..100)]).submit()?;
    /// let (sent, received) = tokio::join!(a.cq.next(), b.cq.next());
    /// assert_eq!((sent.wr_id, received.byte_len), (2, 100));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next(&self) -> Wc {
        let (completions, mut wc) = (self.completions(), [Wc::default()]);
        std::future::poll_fn(|task| completions.poll_many(task, &mut wc)).await;
        wc[0]
    }

    /// All completions from now on, as an endless [`Stream`].
    pub fn completions(&self) -> Completions {
        Completions { cq: self.clone(), listener: Listener::new(&self.shared.bell) }
    }

    /// Changes the capacity (`ibv_resize_cq`).
    ///
    /// # Errors
    /// When the capacity is 0 or above the NIC's limit, or more completions are in the queue.
    pub fn resize(&self, capacity: u32) -> Result<(), Error> {
        let resized = self.context().nic().with(|device, _| device.resize_cq(self.id(), capacity));
        resized.map_err(verb("resize the completion queue"))
    }

    /// The handle by which [`AsyncEvent::CqErr`](crate::AsyncEvent::CqErr) names the queue.
    pub fn id(&self) -> Cq {
        self.shared.cq
    }

    /// The NIC it belongs to.
    pub fn context(&self) -> &Context {
        &self.shared.context
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let destroyed = self.context.nic().destroy_cq(self.cq);
        debug_assert!(destroyed.is_ok(), "queue pairs keep their queues alive: {destroyed:?}");
    }
}

impl fmt::Debug for CompletionQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CompletionQueue").field(&self.id()).finish()
    }
}

/// The completions of a queue as an endless [`Stream`]; from [`CompletionQueue::completions`].
///
/// ```
/// use std::pin::pin;
/// use futures_core::Stream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), ferroce::Error> {
/// let (a, b) = ferroce::pair()?;
/// let mut batch = a.qp.post();
/// let sge = [a.memory.slice(..8)];
/// for wr_id in 0..3 {
///     batch = batch.write(wr_id, &sge, b.memory.remote());
/// }
/// batch.submit()?;
///
/// let mut completions = pin!(a.cq.completions());
/// for expected in 0..3 {
///     let wc = std::future::poll_fn(|task| completions.as_mut().poll_next(task)).await;
///     assert_eq!(wc.unwrap().wr_id, expected);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Completions {
    cq: CompletionQueue,
    listener: Listener,
}

impl Completions {
    /// Moves completions to `out`, or has the task woken when there are some. With room for several at a time
    /// this costs less than a stream of single ones.
    pub fn poll_many(&self, task: &mut TaskContext<'_>, out: &mut [Wc]) -> Poll<usize> {
        let found = self.cq.poll(out);
        if found > 0 || out.is_empty() {
            return Poll::Ready(found);
        }
        // In this order: a completion that comes after the last poll finds the queue armed, and rings the bell
        // for a listener that is there.
        self.listener.listen(task.waker());
        let armed = self.cq.context().nic().req_notify_cq(self.cq.id(), Arm::Next);
        armed.expect("the queue lives as long as its handle");
        match self.cq.poll(out) {
            0 => Poll::Pending,
            found => Poll::Ready(found),
        }
    }
}

impl Stream for Completions {
    type Item = Wc;

    fn poll_next(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<Wc>> {
        let mut wc = [Wc::default()];
        self.poll_many(task, &mut wc).map(|_| Some(wc[0]))
    }
}
