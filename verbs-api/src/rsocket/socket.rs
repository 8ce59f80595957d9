//! Sockets: a stream and the making of its connection, for one thread or several.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use ferroce_engine::Wc;
use parking_lot::Mutex;

use crate::cm::{Event, EventChannel, EventKind, Id, Manager, PortSpace};
use crate::completion::Completions;
use crate::wait::{Listener, block_on};

use super::format::Word;
use super::mapped::Mapped;
use super::stream::Stream;
use super::{Options, SocketError};

/// How long closing waits for what was sent to arrive.
const LINGER: Duration = Duration::from_secs(10);

/// A socket (`rsocket`), to be used by several threads if need be.
///
/// Every call waits until something could be done, unless [`set_nonblocking`](Self::set_nonblocking) says that it
/// should not. Who wants to wait for several things at once asks [`poll_ready`](Self::poll_ready).
///
/// Dropping it closes it, without waiting for what was sent to arrive.
pub struct Socket {
    pub(super) manager: Manager,
    pub(super) channel: EventChannel,
    pub(super) id: Id,
    pub(super) inner: Mutex<Inner>,
}

pub(super) struct Inner {
    pub phase: Phase,
    pub options: Options,
    pub nonblocking: bool,
    pub stream: Option<Stream>,
    /// A request that was not accepted yet.
    pub request: Option<Event>,
    pub mapped: Vec<Mapped>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    New,
    Listening,
    /// The way to the peer is looked for, or it was asked.
    Opening,
    Connected,
    Failed(SocketError),
}

/// Which directions to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Nothing more will be read.
    Read,
    /// Nothing more will be written.
    Write,
    /// Neither.
    Both,
}

/// What a socket is ready for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// Reading gives something, or tells of the end; accepting gives a connection.
    pub read: bool,
    /// Writing takes something.
    pub write: bool,
    /// The connection has ended, and all that came has been read.
    pub hangup: bool,
    /// The connection could not be made, or has failed.
    pub error: bool,
}

impl Ready {
    /// Whether there is anything.
    pub const fn any(self) -> bool {
        self.read || self.write || self.hangup || self.error
    }

    /// What there is of what is wanted, if anything. An end or an error is always wanted.
    pub(super) fn of(self, want: Ready) -> Option<Ready> {
        let wanted = Ready { read: self.read && want.read, write: self.write && want.write, ..self };
        wanted.any().then_some(wanted)
    }
}

impl Socket {
    /// A socket without address.
    pub fn new(manager: &Manager) -> Socket {
        let channel = manager.event_channel();
        let id = channel.create_id(PortSpace::Tcp);
        Socket::with(manager, channel, id, Phase::New, Options::default())
    }

    pub(super) fn with(
        manager: &Manager,
        channel: EventChannel,
        id: Id,
        phase: Phase,
        options: Options,
    ) -> Socket {
        let inner =
            Inner { phase, options, nonblocking: false, stream: None, request: None, mapped: Vec::new() };
        Socket { manager: manager.clone(), channel, id, inner: Mutex::new(inner) }
    }

    /// Whether calls that would have to wait fail instead (`O_NONBLOCK`).
    pub fn set_nonblocking(&self, nonblocking: bool) {
        self.inner.lock().nonblocking = nonblocking;
    }

    /// How much it can hold.
    pub fn options(&self) -> Options {
        self.inner.lock().options
    }

    /// Sets how much it can hold; values out of range are brought into it.
    pub fn set_options(&self, options: Options) {
        self.inner.lock().options = options.in_range();
    }

    /// The identifier of the connection, for its own options.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// Its own address (`rgetsockname`).
    pub fn local_addr(&self) -> SocketAddr {
        self.id.local_addr()
    }

    /// The peer's address (`rgetpeername`).
    ///
    /// # Errors
    /// When there is no peer.
    pub fn peer_addr(&self) -> Result<SocketAddr, SocketError> {
        self.id.peer_addr().ok_or(SocketError::NotConnected)
    }

    // --- data --------------------------------------------------------------------------------------------------------

    /// Sends data (`rsend`), and says how much of it: all of it, unless it is told not to wait, or the connection
    /// ends.
    ///
    /// # Errors
    /// [`SocketError::Reset`] when the connection has ended.
    pub fn send(&self, data: &[u8]) -> Result<usize, SocketError> {
        let (mut done, nonblocking) = (0, self.inner.lock().nonblocking);
        let sent = self.until(|_, inner| {
            let stream = match inner.open_stream() {
                Ok(Some(stream)) => stream,
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            };
            match stream.write(&data[done..]) {
                Ok(count) => done += count,
                Err(error) => return Some(Err(error)),
            }
            if done == data.len() || (nonblocking && done > 0) {
                Some(Ok(()))
            } else if !stream.writable {
                Some(Err(SocketError::Reset))
            } else {
                None
            }
        });
        match sent {
            Err(error) if done == 0 => Err(error),
            _ => Ok(done),
        }
    }

    /// Receives data (`rrecv`): what has come, as much as fits, but at least a byte. 0 says that the peer will send
    /// no more.
    ///
    /// # Errors
    /// [`SocketError::Reset`] when the connection has failed.
    pub fn recv(&self, out: &mut [u8]) -> Result<usize, SocketError> {
        self.receive(out, false)
    }

    /// The same, but what is received will be received again (`MSG_PEEK`).
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn peek(&self, out: &mut [u8]) -> Result<usize, SocketError> {
        self.receive(out, true)
    }

    fn receive(&self, out: &mut [u8], peek: bool) -> Result<usize, SocketError> {
        self.until(|_, inner| {
            let stream = match inner.open_stream() {
                Ok(Some(stream)) => stream,
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            };
            if stream.has_data() || out.is_empty() {
                return Some(Ok(stream.read(out, peek)));
            }
            match (stream.readable, stream.failed) {
                (true, _) => None,
                (false, false) => Some(Ok(0)),
                (false, true) => Some(Err(SocketError::Reset)),
            }
        })
    }

    // --- the end -----------------------------------------------------------------------------------------------------

    /// Closes one direction or both (`rshutdown`), and waits until what was sent has arrived.
    ///
    /// # Errors
    /// When there is no connection.
    pub fn shutdown(&self, how: Shutdown) -> Result<(), SocketError> {
        let word = {
            let mut inner = self.inner.lock();
            inner.step(self);
            let stream = inner.stream.as_mut().ok_or(SocketError::NotConnected)?;
            if matches!(how, Shutdown::Read | Shutdown::Both) {
                stream.readable = false;
            }
            if matches!(how, Shutdown::Write | Shutdown::Both) {
                stream.writable = false;
            }
            match (stream.readable, stream.writable) {
                (_, true) => None,
                (true, false) => Some(Word::Shutdown),
                (false, false) => Some(Word::Disconnect),
            }
        };
        let Some(word) = word else { return Ok(()) };
        let mut said = false;
        self.wait_for(Some(LINGER), |_, inner| {
            let stream = inner.stream.as_mut()?;
            if stream.connected && !said && stream.can_control() {
                stream.send_control(word);
                said = true;
            }
            (!stream.connected || (said && stream.is_drained())).then_some(())
        });
        if word == Word::Disconnect {
            if let Some(stream) = &mut self.inner.lock().stream {
                stream.end();
            }
            // The peer may have been first.
            self.id.disconnect().ok();
        }
        Ok(())
    }

    /// Closes it, after what was sent has arrived (`rclose`).
    ///
    /// # Errors
    /// None at present.
    pub fn close(self) -> Result<(), SocketError> {
        match self.shutdown(Shutdown::Both) {
            Err(SocketError::NotConnected) | Ok(()) => Ok(()),
            Err(error) => Err(error),
        }
    }

    // --- readiness -------------------------------------------------------------------------------------------------

    /// What it is ready for now.
    pub fn ready(&self) -> Ready {
        let mut inner = self.inner.lock();
        inner.step(self);
        inner.ready()
    }

    /// What it is ready for of what is wanted, or has the task woken when that may have changed. An end or an error
    /// is always wanted. `watch` keeps the places at which to be woken from call to call; begin with `None`.
    pub fn poll_ready(
        &self,
        task: &mut TaskContext<'_>,
        want: Ready,
        watch: &mut Option<Watch>,
    ) -> Poll<Ready> {
        let watch = watch.get_or_insert_with(|| Watch::new(&self.channel));
        self.poll_until(task, watch, &mut |_, inner: &mut Inner| inner.ready().of(want))
    }

    /// Waits until it is ready for something that is wanted; `None` when the time is over.
    pub fn wait_ready(&self, want: Ready, timeout: impl Into<Option<Duration>>) -> Option<Ready> {
        let deadline = timeout.into().and_then(|timeout| Instant::now().checked_add(timeout));
        let mut watch = None;
        block_on(std::future::poll_fn(|task| self.poll_ready(task, want, &mut watch)), deadline)
    }

    // --- waiting -----------------------------------------------------------------------------------------------------

    /// Until `act` gives something; at once, or not at all, if it is told not to wait.
    pub(super) fn until<T>(
        &self,
        mut act: impl FnMut(&Socket, &mut Inner) -> Option<Result<T, SocketError>>,
    ) -> Result<T, SocketError> {
        {
            let mut inner = self.inner.lock();
            inner.step(self);
            if let Some(done) = act(self, &mut inner) {
                return done;
            }
            if inner.nonblocking {
                return Err(SocketError::WouldBlock);
            }
        }
        self.wait_for(None, act).unwrap_or(Err(SocketError::WouldBlock))
    }

    pub(super) fn wait_for<T>(
        &self,
        timeout: Option<Duration>,
        mut act: impl FnMut(&Socket, &mut Inner) -> Option<T>,
    ) -> Option<T> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut watch = Watch::new(&self.channel);
        block_on(std::future::poll_fn(|task| self.poll_until(task, &mut watch, &mut act)), deadline)
    }

    fn poll_until<T>(
        &self,
        task: &mut TaskContext<'_>,
        watch: &mut Watch,
        act: &mut dyn FnMut(&Socket, &mut Inner) -> Option<T>,
    ) -> Poll<T> {
        watch.events.listen(task.waker());
        loop {
            let mut inner = self.inner.lock();
            inner.step(self);
            if let Some(done) = act(self, &mut inner) {
                return Poll::Ready(done);
            }
            let Some(stream) = &mut inner.stream else { return Poll::Pending };
            let completions = watch.completions.get_or_insert_with(|| stream.cq.completions());
            let mut wcs = [Wc::default(); 16];
            match completions.poll_many(task, &mut wcs) {
                Poll::Ready(count) => stream.completed(&wcs[..count]),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// Where somebody who waits for a socket wants to be woken.
pub struct Watch {
    events: Listener,
    completions: Option<Completions>,
}

impl Watch {
    fn new(channel: &EventChannel) -> Watch {
        Watch { events: channel.listener(), completions: None }
    }
}

impl Inner {
    /// Deals with everything that has come.
    pub(super) fn step(&mut self, socket: &Socket) {
        match self.phase {
            Phase::Opening => {
                while self.phase == Phase::Opening
                    && let Some(event) = socket.channel.poll()
                {
                    if let Err(error) = self.open(socket, &event) {
                        self.phase = Phase::Failed(error);
                    }
                }
            }
            Phase::Connected => {
                while let Some(event) = socket.channel.poll() {
                    if matches!(event.kind, EventKind::Disconnected | EventKind::DeviceRemoval)
                        && let Some(stream) = &mut self.stream
                    {
                        // What is in the completion queue came before.
                        stream.progress();
                        stream.end();
                    }
                }
            }
            // What is not taken from the channel counts against the backlog.
            Phase::Listening if self.request.is_none() => self.listen_for_more(&socket.channel),
            Phase::New | Phase::Listening | Phase::Failed(_) => {}
        }
        if let Some(stream) = &mut self.stream {
            stream.progress();
        }
    }

    /// The stream, once there is a connection; `None` while it is being made.
    pub(super) fn open_stream(&mut self) -> Result<Option<&mut Stream>, SocketError> {
        match &self.phase {
            Phase::Connected => Ok(self.stream.as_mut()),
            Phase::Opening => Ok(None),
            Phase::Failed(error) => Err(error.clone()),
            Phase::New | Phase::Listening => Err(SocketError::NotConnected),
        }
    }

    fn ready(&mut self) -> Ready {
        match (&self.phase, &mut self.stream) {
            (Phase::Listening, _) => Ready { read: self.request.is_some(), ..Ready::default() },
            (Phase::Failed(_), _) => Ready { read: true, write: true, hangup: false, error: true },
            (Phase::Connected, Some(stream)) => Ready {
                read: stream.has_data() || !stream.readable,
                write: stream.can_send(),
                hangup: !stream.connected && !stream.failed && !stream.has_data(),
                error: stream.failed,
            },
            _ => Ready::default(),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let inner = self.inner.get_mut();
        if let Some(stream) = &mut inner.stream
            && stream.connected
            && stream.can_control()
        {
            stream.send_control(Word::Disconnect);
        }
        self.id.disconnect().ok();
    }
}

impl io::Read for Socket {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        Ok(self.recv(out)?)
    }
}

impl io::Write for Socket {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        Ok(self.send(data)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Socket").field(&self.id).finish()
    }
}
