//! Connections for those who wait: a listener that gives requests, and a peer that is dialled.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ferroce_wire::cm::PortSpace;

use crate::context::Context;
use crate::queue_pair::QueuePair;

use super::channel::EventChannel;
use super::error::CmError;
use super::event::{Event, EventKind};
use super::id::Id;
use super::manager::Manager;
use super::param::ConnParam;

impl Manager {
    /// Listens for connections (port space TCP).
    ///
    /// # Errors
    /// When the address is no NIC's, or the port is taken.
    pub fn listen(&self, addr: SocketAddr, backlog: u32) -> Result<Listener, CmError> {
        let channel = self.event_channel();
        let id = channel.create_id(PortSpace::Tcp);
        id.bind(addr)?;
        id.listen(backlog)?;
        Ok(Listener { channel, id })
    }

    /// Finds the way to a peer (port space TCP), so that a queue pair can be made on the right NIC.
    ///
    /// # Errors
    /// When no NIC leads there.
    pub fn dial(&self, to: SocketAddr) -> Result<Dialled, CmError> {
        let channel = self.event_channel();
        let id = channel.create_id(PortSpace::Tcp);
        id.resolve_addr(None, to, Duration::ZERO)?;
        Id::verdict(&channel.wait(None)?)?;
        id.resolve_route(Duration::ZERO)?;
        Id::verdict(&channel.wait(None)?)?;
        let context = id.context().ok_or(CmError::NoDevice(to.ip()))?;
        Ok(Dialled { channel, id, context })
    }
}

/// Listens; from [`Manager::listen`].
///
/// ```
/// use std::time::Duration;
/// use ferroce::cm::{ConnParam, Manager};
///
/// let (a, b) = ferroce::pair()?;
/// let listener = Manager::of(&b.context).listen("192.0.2.2:0".parse().unwrap(), 8)?;
/// let port = listener.local_addr().port();
///
/// let client = std::thread::spawn(move || {
///     let dialled = Manager::of(&a.context).dial(([192, 0, 2, 2], port).into())?;
///     let qp = a.pd.queue_pair(&a.cq).build()?;
///     let param = ConnParam { private_data: b"hello".to_vec(), ..ConnParam::default() };
///     let connection = dialled.connect(&qp, &param, Duration::from_secs(5))?;
///     assert_eq!(connection.private_data()[..5], *b"world");
///     a.memory.write(0, b"across");
///     qp.post().send(1, &[a.memory.slice(0..6)]).submit()?;
///     connection.ended(Duration::from_secs(5))
///         .map_err(ferroce::Error::from)
/// });
///
/// let request = listener.next(Duration::from_secs(5))?;
/// assert_eq!(request.private_data()[..5], *b"hello");
/// let qp = b.pd.queue_pair(&b.cq).build()?;
/// qp.receive(7, &[b.memory.sge()])?;
/// let param = ConnParam { private_data: b"world".to_vec(), ..ConnParam::default() };
/// let connection = request.accept(&qp, &param, Duration::from_secs(5))?;
/// assert_eq!(b.cq.wait(Duration::from_secs(5))?.wr_id, 7);
/// connection.disconnect()?;
/// client.join().unwrap()?;
/// # Ok::<_, ferroce::Error>(())
/// ```
#[derive(Debug)]
pub struct Listener {
    channel: EventChannel,
    id: Id,
}

impl Listener {
    /// Waits for the next request. A `timeout` of `None` stands for ever.
    ///
    /// # Errors
    /// [`CmError::Timeout`] when there was none in time.
    pub fn next(&self, timeout: impl Into<Option<Duration>>) -> Result<Request, CmError> {
        let deadline = deadline(timeout.into());
        loop {
            let event = self.channel.wait(left(deadline))?;
            match event.kind {
                EventKind::ConnectRequest => return Ok(Request { event }),
                EventKind::DeviceRemoval => return Err(CmError::Disconnected),
                // About a request that was given up before it was taken.
                _ => {}
            }
        }
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.id.local_addr()
    }
}

/// A peer asks for a connection. Dropping it rejects.
#[derive(Debug)]
pub struct Request {
    event: Event,
}

impl Request {
    /// From the peer's application, padded with zeros.
    pub fn private_data(&self) -> &[u8] {
        self.event.param.private_data()
    }

    /// Who asks.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.event.id.peer_addr()
    }

    /// The NIC that was asked: the queue pair must be of it.
    pub fn context(&self) -> Option<Context> {
        self.event.id.context()
    }

    /// The identifier, for all that goes further.
    pub fn id(&self) -> &Id {
        &self.event.id
    }

    /// Accepts, and waits until the peer is ready.
    ///
    /// # Errors
    /// When the queue pair does not suit, or the peer does not come.
    pub fn accept(
        self,
        qp: &QueuePair,
        param: &ConnParam,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Connection, CmError> {
        let id = self.event.id;
        // The listener's channel is for requests.
        let channel = id.new_channel();
        id.migrate(&channel);
        id.attach(qp)?;
        id.accept(param)?;
        Connection::wait(channel, id, timeout.into())
    }

    /// Rejects, with at most 148 bytes of private data.
    ///
    /// # Errors
    /// When there is too much private data.
    pub fn reject(self, private_data: &[u8]) -> Result<(), CmError> {
        self.event.id.reject(private_data)
    }
}

/// The way to a peer is known; from [`Manager::dial`].
#[derive(Debug)]
pub struct Dialled {
    channel: EventChannel,
    id: Id,
    context: Context,
}

impl Dialled {
    /// The NIC that leads there: the queue pair must be of it.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The identifier, for all that goes further.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// Connects, and waits until it is done.
    ///
    /// # Errors
    /// [`CmError::Rejected`] with the peer's reason, [`CmError::Unreachable`], or [`CmError::Timeout`].
    pub fn connect(
        self,
        qp: &QueuePair,
        param: &ConnParam,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Connection, CmError> {
        self.id.attach(qp)?;
        self.id.connect(param)?;
        Connection::wait(self.channel, self.id, timeout.into())
    }
}

/// A connection, ended when it is dropped.
#[derive(Debug)]
pub struct Connection {
    channel: EventChannel,
    id: Id,
    private_data: Vec<u8>,
}

impl Connection {
    fn wait(channel: EventChannel, id: Id, timeout: Option<Duration>) -> Result<Connection, CmError> {
        let deadline = deadline(timeout);
        loop {
            let event = channel.wait(left(deadline))?;
            Id::verdict(&event)?;
            if event.kind == EventKind::Established {
                let private_data = event.param.private_data().to_vec();
                return Ok(Connection { channel, id, private_data });
            }
        }
    }

    /// What the accepting application said, padded with zeros; empty on its own side.
    pub fn private_data(&self) -> &[u8] {
        &self.private_data
    }

    /// The identifier, for all that goes further.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// Ends the connection. What was not completed is flushed.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn disconnect(&self) -> Result<(), CmError> {
        self.id.disconnect()
    }

    /// Waits until the connection has ended, from this side or from the other, and answers the peer.
    ///
    /// # Errors
    /// [`CmError::Timeout`] when it has not ended in time.
    pub fn ended(&self, timeout: impl Into<Option<Duration>>) -> Result<(), CmError> {
        let deadline = deadline(timeout.into());
        loop {
            let event = self.channel.wait(left(deadline))?;
            if Id::verdict(&event).is_err() {
                // Agrees, if it was the peer.
                self.id.disconnect().ok();
                return Ok(());
            }
        }
    }
}

fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

fn left(deadline: Option<Instant>) -> Option<Duration> {
    deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
}
