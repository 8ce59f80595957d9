//! Sockets: a stream and the making of its connection, for one thread or several.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use ferroce_engine::Wc;
use parking_lot::Mutex;

use crate::cm::{ConnParam, Event, EventChannel, EventKind, Id, Manager, PortSpace};
use crate::completion::Completions;
use crate::memory::{MemoryRegion, ProtectionDomain};
use crate::wait::{Listener, block_on};

use super::format::{Hello, Target, Word};
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
    manager: Manager,
    channel: EventChannel,
    id: Id,
    inner: Mutex<Inner>,
}

struct Inner {
    phase: Phase,
    options: Options,
    nonblocking: bool,
    stream: Option<Stream>,
    /// A request that was not accepted yet.
    request: Option<Event>,
    /// Own memory that the peer was told of, by the peer's entry.
    mapped: Vec<(usize, u64, MemoryRegion)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
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
    /// The connection has ended.
    pub hangup: bool,
    /// The connection could not be made, or has failed.
    pub error: bool,
}

impl Ready {
    /// Whether there is anything.
    pub const fn any(self) -> bool {
        self.read || self.write || self.hangup || self.error
    }
}

impl Socket {
    /// A socket without address.
    pub fn new(manager: &Manager) -> Socket {
        let channel = manager.event_channel();
        let id = channel.create_id(PortSpace::Tcp);
        Socket::with(manager, channel, id, Phase::New, Options::default())
    }

    fn with(manager: &Manager, channel: EventChannel, id: Id, phase: Phase, options: Options) -> Socket {
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

    // --- making connections ------------------------------------------------------------------------------------------

    /// Takes an address and port (`rbind`).
    ///
    /// # Errors
    /// As [`Id::bind`].
    pub fn bind(&self, addr: SocketAddr) -> Result<(), SocketError> {
        Ok(self.id.bind(addr)?)
    }

    /// Listens for connections (`rlisten`).
    ///
    /// # Errors
    /// As [`Id::listen`].
    pub fn listen(&self, backlog: u32) -> Result<(), SocketError> {
        let mut inner = self.inner.lock();
        if inner.phase != Phase::Listening {
            self.id.listen(backlog)?;
            inner.phase = Phase::Listening;
        }
        Ok(())
    }

    /// Accepts the next connection (`raccept`).
    ///
    /// # Errors
    /// When it does not listen. Peers that go away meanwhile are passed over.
    pub fn accept(&self) -> Result<(Socket, SocketAddr), SocketError> {
        let event = self.until(|_, inner| match inner.phase {
            Phase::Listening => inner.request.take().map(Ok),
            _ => Some(Err(SocketError::State("accept"))),
        })?;
        let (options, nonblocking) = {
            let inner = self.inner.lock();
            (inner.options, inner.nonblocking)
        };
        match self.take(event, options) {
            Ok(socket) if nonblocking => Ok((socket.0, socket.1)),
            Ok((socket, peer)) => match socket.wait_open() {
                Ok(()) => Ok((socket, peer)),
                Err(_) => self.accept(),
            },
            Err(error) => Err(error),
        }
    }

    /// Makes a socket for a request.
    fn take(&self, event: Event, options: Options) -> Result<(Socket, SocketAddr), SocketError> {
        let Some(hello) = Hello::parse(event.param.private_data()) else {
            event.id.reject(&[]).ok();
            return Err(SocketError::Version);
        };
        let channel = self.manager.event_channel();
        event.id.migrate(&channel);
        let context = event.id.context().ok_or(SocketError::NotConnected)?;
        let mut stream = Stream::new(&context, &options).map_err(|_| SocketError::Io)?;
        stream.meet(hello);
        event.id.attach(&stream.qp)?;
        let peer = event.id.peer_addr().ok_or(SocketError::NotConnected)?;
        event.id.accept(&param(&stream))?;
        let socket = Socket::with(&self.manager, channel, event.id, Phase::Opening, options);
        socket.inner.lock().stream = Some(stream);
        Ok((socket, peer))
    }

    /// Connects to a socket that listens (`rconnect`).
    ///
    /// # Errors
    /// [`SocketError::InProgress`] if it is told not to wait; otherwise why there is no connection.
    pub fn connect(&self, to: SocketAddr) -> Result<(), SocketError> {
        let nonblocking = {
            let mut inner = self.inner.lock();
            if inner.phase != Phase::New {
                return Err(SocketError::State("connect"));
            }
            self.id.resolve_addr(None, to, Duration::ZERO)?;
            inner.phase = Phase::Opening;
            inner.step(self);
            inner.nonblocking
        };
        if nonblocking { Err(SocketError::InProgress) } else { self.wait_open() }
    }

    fn wait_open(&self) -> Result<(), SocketError> {
        let opened = self.wait_for(None, |_, inner| match &inner.phase {
            Phase::Connected => Some(Ok(())),
            Phase::Failed(error) => Some(Err(error.clone())),
            _ => None,
        });
        opened.unwrap_or(Err(SocketError::NotConnected))
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
        self.poll_until(task, watch, &mut |_, inner: &mut Inner| {
            let ready = inner.ready();
            let wanted = Ready { read: ready.read && want.read, write: ready.write && want.write, ..ready };
            wanted.any().then_some(wanted)
        })
    }

    /// Waits until it is ready for something that is wanted; `None` when the time is over.
    pub fn wait_ready(&self, want: Ready, timeout: impl Into<Option<Duration>>) -> Option<Ready> {
        let deadline = timeout.into().and_then(|timeout| Instant::now().checked_add(timeout));
        let mut watch = None;
        block_on(std::future::poll_fn(|task| self.poll_ready(task, want, &mut watch)), deadline)
    }

    // --- mapped memory -------------------------------------------------------------------------------------------------

    /// The domain of memory that can be mapped, once there is a connection.
    ///
    /// # Errors
    /// When there is none.
    pub fn protection_domain(&self) -> Result<ProtectionDomain, SocketError> {
        let inner = self.inner.lock();
        inner.stream.as_ref().map(|stream| stream.domain().clone()).ok_or(SocketError::NotConnected)
    }

    /// Lets the peer write to memory, at `offset` and further (`riomap`); `None` takes the memory's own address for
    /// an offset. Gives the offset. The memory must be of this [domain](Self::protection_domain), with
    /// [`Access::REMOTE_WRITE`](crate::Access::REMOTE_WRITE).
    ///
    /// # Errors
    /// [`SocketError::NoRoom`] when the peer has set no room aside ([`Options::mappings`]).
    pub fn map(&self, memory: MemoryRegion, offset: Option<u64>) -> Result<u64, SocketError> {
        let offset = offset.unwrap_or(memory.addr());
        let target = Target { addr: memory.addr(), key: memory.rkey(), len: memory.len() as u32 };
        let index = self.until(|_, inner| match inner.open_stream() {
            Ok(Some(stream)) => match (stream.can_send(), stream.writable) {
                (true, _) => Some(stream.map(offset, target)),
                (false, true) => None,
                (false, false) => Some(Err(SocketError::Reset)),
            },
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        })?;
        self.inner.lock().mapped.push((index, offset, memory));
        Ok(offset)
    }

    /// Takes memory back that was mapped (`riounmap`): the peer can no longer write to it.
    ///
    /// # Errors
    /// When nothing was mapped at this offset.
    pub fn unmap(&self, offset: u64) -> Result<(), SocketError> {
        let mut inner = self.inner.lock();
        let found = inner.mapped.iter().position(|(_, at, _)| *at == offset);
        let (index, _, _memory) = inner.mapped.remove(found.ok_or(SocketError::NotMapped)?);
        if let Some(stream) = &mut inner.stream {
            stream.unmap(index);
        }
        Ok(())
    }

    /// Writes to memory that the peer has mapped (`riowrite`), and says how much.
    ///
    /// # Errors
    /// [`SocketError::NotMapped`] when there is nothing at the offset, and as for [`send`](Self::send).
    pub fn write_mapped(&self, data: &[u8], offset: u64) -> Result<usize, SocketError> {
        let (mut done, nonblocking) = (0, self.inner.lock().nonblocking);
        let written = self.until(|_, inner| {
            let stream = match inner.open_stream() {
                Ok(Some(stream)) => stream,
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            };
            loop {
                if done == data.len() {
                    return Some(Ok(()));
                }
                match stream.write_mapped(&data[done..], offset + done as u64) {
                    None => return Some(Err(SocketError::NotMapped)),
                    Some(Err(error)) => return Some(Err(error)),
                    Some(Ok(0)) if !stream.writable => return Some(Err(SocketError::Reset)),
                    Some(Ok(0)) if nonblocking && done > 0 => return Some(Ok(())),
                    Some(Ok(0)) => return None,
                    Some(Ok(count)) => done += count,
                }
            }
        });
        match written {
            Err(error) if done == 0 => Err(error),
            _ => Ok(done),
        }
    }

    // --- waiting -----------------------------------------------------------------------------------------------------

    /// Until `act` gives something; at once, or not at all, if it is told not to wait.
    fn until<T>(
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

    fn wait_for<T>(
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

/// What both sides say of themselves when they connect.
fn param(stream: &Stream) -> ConnParam {
    ConnParam {
        private_data: stream.hello().emit().to_vec(),
        responder_resources: 0,
        initiator_depth: 0,
        flow_control: true,
        ..ConnParam::default()
    }
}

impl Inner {
    /// Deals with everything that has come.
    fn step(&mut self, socket: &Socket) {
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

    /// One step further towards a connection.
    fn open(&mut self, socket: &Socket, event: &Event) -> Result<(), SocketError> {
        Id::verdict(event)?;
        match event.kind {
            EventKind::AddrResolved => socket.id.resolve_route(Duration::ZERO)?,
            EventKind::RouteResolved => {
                let context = socket.id.context().ok_or(SocketError::NotConnected)?;
                let stream = Stream::new(&context, &self.options).map_err(|_| SocketError::Io)?;
                socket.id.attach(&stream.qp)?;
                socket.id.connect(&param(&stream))?;
                self.stream = Some(stream);
            }
            EventKind::Established => {
                let stream = self.stream.as_mut().ok_or(SocketError::NotConnected)?;
                // Of an accepting socket's peer all is known already.
                if let Some(hello) = Hello::parse(event.param.private_data()) {
                    stream.meet(hello);
                } else if !event.param.private_data().is_empty() {
                    return Err(SocketError::Version);
                }
                stream.connect();
                self.phase = Phase::Connected;
            }
            _ => {}
        }
        Ok(())
    }

    fn listen_for_more(&mut self, channel: &EventChannel) {
        while self.request.is_none()
            && let Some(event) = channel.poll()
        {
            if event.kind == EventKind::ConnectRequest {
                self.request = Some(event);
            }
        }
    }

    /// The stream, once there is a connection; `None` while it is being made.
    fn open_stream(&mut self) -> Result<Option<&mut Stream>, SocketError> {
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
                hangup: !stream.connected && !stream.failed,
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
