//! Asynchronous events.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use ferroce_engine::AsyncEvent;
use futures_core::Stream;

use crate::context::Context;
use crate::wait::{Bell, Listener, block_on};

/// What a NIC tells without being asked; from [`Context::async_events`]. Each event goes to one of those who
/// ask.
///
/// As an iterator it gives the events that have come, and ends where there are no more for now. As a [`Stream`]
/// it never ends.
///
/// ```
/// use std::time::Duration;
/// use ferroce::{AsyncEvent, QpEvent, Remote, WcExt, WcStatus};
///
/// let (a, b) = ferroce::pair()?;
/// let nowhere = Remote { addr: 0, rkey: 0xbad };
/// a.qp.post().write(1, &[a.memory.slice(..8)], nowhere).submit()?;
/// assert_eq!(a.cq.wait(None)?.status, WcStatus::RemAccessErr);
///
/// let event = b.context.async_events().wait(Duration::from_secs(5));
/// assert_eq!(event, Some(AsyncEvent::Qp(b.qp.qpn(), QpEvent::AccessErr)));
/// # Ok::<_, ferroce::Error>(())
/// ```
pub struct AsyncEvents {
    context: Context,
    listener: Listener,
}

impl AsyncEvents {
    pub(crate) fn new(context: &Context, bell: &Arc<Bell>) -> AsyncEvents {
        AsyncEvents { context: context.clone(), listener: Listener::new(bell) }
    }

    /// Sleeps until there is an event; `None` when there was none in time. A `timeout` of `None` stands for ever.
    pub fn wait(&self, timeout: impl Into<Option<Duration>>) -> Option<AsyncEvent> {
        let deadline = timeout.into().and_then(|timeout| Instant::now().checked_add(timeout));
        block_on(std::future::poll_fn(|task| self.poll_event(task)), deadline)
    }

    /// The next event.
    pub async fn recv(&self) -> AsyncEvent {
        std::future::poll_fn(|task| self.poll_event(task)).await
    }

    fn poll_event(&self, task: &mut TaskContext<'_>) -> Poll<AsyncEvent> {
        let next = || self.context.nic().poll_async_event();
        if let Some(event) = next() {
            return Poll::Ready(event);
        }
        // An event that comes after the last look rings the bell for a listener that is there.
        self.listener.listen(task.waker());
        next().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Iterator for AsyncEvents {
    type Item = AsyncEvent;

    fn next(&mut self) -> Option<AsyncEvent> {
        self.context.nic().poll_async_event()
    }
}

impl Stream for AsyncEvents {
    type Item = AsyncEvent;

    fn poll_next(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<AsyncEvent>> {
        self.poll_event(task).map(Some)
    }
}
