//! Datagram sockets over RDMA.

mod end;
mod format;
mod udp;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll, Wake};
use std::thread;
use std::time::{Duration, Instant};

use ferroce_engine::{Qpn, Wc};
use parking_lot::Mutex;

use crate::cm::{CmError, EventChannel, Manager};
use crate::completion::Completions;
use crate::datagram::AddressHandle;
use crate::wait::{Bell, Listener, block_on};

use super::{Ready, SocketError};
use end::{Datagram, End, MOST, SLOTS};
use format::{Message, Purpose};

/// Peers whose queue pairs are remembered. When there are more all are forgotten: each is found again by the next
/// datagram.
const MOST_PEERS: usize = 4096;

/// How often the thread of a socket looks whether the socket is still there, if nothing comes.
const LOOK: Duration = Duration::from_secs(1);

/// A datagram socket (`rsocket` of type `SOCK_DGRAM`), to be used by several threads if need be.
///
/// Each datagram is one SEND between two queue pairs for datagrams, and like those of UDP it may be lost. The sockets
/// find each other's queue pairs by UDP, as those of librdmacm do: each has a UDP socket of the same address and port
/// beside its queue pairs, and the first datagrams to a peer go there. So the addresses must be those of this machine.
/// Whoever can send UDP packets to a socket can have datagrams for others sent to himself; the protocol has no
/// protection against that.
///
/// ```no_run
/// use ferroce::cm::Manager;
/// use ferroce::rsocket::DatagramSocket;
///
/// let socket = DatagramSocket::new(&Manager::new());
/// socket.bind("192.0.2.1:7471".parse().unwrap())?;
/// socket.send_to(b"hello", "192.0.2.2:7471".parse().unwrap())?;
/// let mut answer = [0; 100];
/// let (len, from) = socket.recv_from(&mut answer)?;
/// println!("{from} says {:?}", &answer[..len]);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct DatagramSocket {
    shared: Arc<Shared>,
}

struct Shared {
    manager: Manager,
    channel: EventChannel,
    inner: Mutex<Inner>,
    /// Rings when the thread has brought something.
    bell: Arc<Bell>,
    closed: AtomicBool,
}

#[derive(Default)]
struct Inner {
    udp: Option<Arc<UdpSocket>>,
    nonblocking: bool,
    ends: Vec<End>,
    peers: HashMap<SocketAddr, Peer>,
    /// Where datagrams without address go.
    connected: Option<SocketAddr>,
    inbox: VecDeque<Datagram>,
}

/// What is known of a peer.
#[derive(Clone)]
struct Peer {
    /// By which end it is reached.
    end: usize,
    way: Option<(AddressHandle, Qpn)>,
}

/// Where somebody who waits for a datagram socket wants to be woken.
pub struct DatagramWatch {
    bell: Listener,
    completions: Vec<Completions>,
}

impl DatagramSocket {
    /// A socket without address.
    pub fn new(manager: &Manager) -> DatagramSocket {
        let shared = Shared {
            manager: manager.clone(),
            channel: manager.event_channel(),
            inner: Mutex::default(),
            bell: Arc::default(),
            closed: AtomicBool::new(false),
        };
        DatagramSocket { shared: Arc::new(shared) }
    }

    /// Whether calls that would have to wait fail instead (`O_NONBLOCK`).
    pub fn set_nonblocking(&self, nonblocking: bool) {
        self.shared.inner.lock().nonblocking = nonblocking;
    }

    /// Takes an address and port (`rbind`). A wildcard address stands for all NICs; port 0 takes any that is free.
    ///
    /// # Errors
    /// When it has one already, the port is taken, or the address is not this machine's, or no NIC's.
    pub fn bind(&self, addr: SocketAddr) -> Result<(), SocketError> {
        let mut inner = self.shared.inner.lock();
        if inner.udp.is_some() {
            return Err(SocketError::State("bind"));
        }
        self.shared.open(&mut inner, addr)
    }

    /// Sends to this peer from now on, if nothing else is said (`rconnect`).
    ///
    /// # Errors
    /// When no NIC leads there.
    pub fn connect(&self, to: SocketAddr) -> Result<(), SocketError> {
        let mut inner = self.shared.inner.lock();
        self.shared.peer(&mut inner, to)?;
        inner.connected = Some(to);
        Ok(())
    }

    /// Its own address (`rgetsockname`); the wildcard address and port 0 if it has none.
    pub fn local_addr(&self) -> SocketAddr {
        let inner = self.shared.inner.lock();
        let own = inner.udp.as_ref().and_then(|udp| udp.local_addr().ok());
        own.unwrap_or_else(|| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0))
    }

    /// The peer that it is connected to (`rgetpeername`).
    ///
    /// # Errors
    /// When there is none.
    pub fn peer_addr(&self) -> Result<SocketAddr, SocketError> {
        self.shared.inner.lock().connected.ok_or(SocketError::NotConnected)
    }

    /// Sends a datagram to the peer that it is connected to (`rsend`).
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to), and when it is not connected.
    pub fn send(&self, data: &[u8]) -> Result<usize, SocketError> {
        self.send_to(data, self.peer_addr()?)
    }

    /// Sends a datagram (`rsendto`), and says how many bytes it has.
    ///
    /// # Errors
    /// [`SocketError::TooLong`] when it does not fit one packet, [`SocketError::WouldBlock`] when too many are on their
    /// way and it is told not to wait, and when no NIC leads there.
    pub fn send_to(&self, data: &[u8], to: SocketAddr) -> Result<usize, SocketError> {
        self.until(|shared, inner| shared.send(inner, data, to).transpose())?;
        Ok(data.len())
    }

    /// Receives a datagram (`rrecvfrom`): as much of it as fits, and where it comes from.
    ///
    /// # Errors
    /// [`SocketError::State`] when it has no address yet, [`SocketError::WouldBlock`] when there is none and it is told
    /// not to wait.
    pub fn recv_from(&self, out: &mut [u8]) -> Result<(usize, SocketAddr), SocketError> {
        self.receive(out, false)
    }

    /// The same, but what is received will be received again (`MSG_PEEK`).
    ///
    /// # Errors
    /// As [`recv_from`](Self::recv_from).
    pub fn peek_from(&self, out: &mut [u8]) -> Result<(usize, SocketAddr), SocketError> {
        self.receive(out, true)
    }

    fn receive(&self, out: &mut [u8], peek: bool) -> Result<(usize, SocketAddr), SocketError> {
        self.until(|_, inner| {
            if inner.udp.is_none() {
                return Some(Err(SocketError::State("receive")));
            }
            let datagram = if peek { inner.inbox.front().cloned() } else { inner.inbox.pop_front() }?;
            let len = datagram.data.len().min(out.len());
            out[..len].copy_from_slice(&datagram.data[..len]);
            Some(Ok((len, datagram.from)))
        })
    }

    // --- readiness -------------------------------------------------------------------------------------------------

    /// What it is ready for now.
    pub fn ready(&self) -> Ready {
        let mut inner = self.shared.inner.lock();
        inner.poll_all();
        inner.ready()
    }

    /// What it is ready for of what is wanted, or has the task woken when that may have changed. `watch` keeps the
    /// places at which to be woken from call to call; begin with `None`.
    pub fn poll_ready(
        &self,
        task: &mut TaskContext<'_>,
        want: Ready,
        watch: &mut Option<DatagramWatch>,
    ) -> Poll<Ready> {
        let watch = watch.get_or_insert_with(|| DatagramWatch::new(&self.shared));
        self.poll_until(task, watch, &mut |_, inner| inner.ready().of(want))
    }

    /// Waits until it is ready for something that is wanted; `None` when the time is over.
    pub fn wait_ready(&self, want: Ready, timeout: impl Into<Option<Duration>>) -> Option<Ready> {
        let deadline = timeout.into().and_then(|timeout| Instant::now().checked_add(timeout));
        let mut watch = None;
        block_on(std::future::poll_fn(|task| self.poll_ready(task, want, &mut watch)), deadline)
    }

    /// Does it as soon as it can be done, or not at all if waiting is not wanted.
    fn until<T>(
        &self,
        mut act: impl FnMut(&Arc<Shared>, &mut Inner) -> Option<Result<T, SocketError>>,
    ) -> Result<T, SocketError> {
        {
            let mut inner = self.shared.inner.lock();
            inner.poll_all();
            if let Some(done) = act(&self.shared, &mut inner) {
                return done;
            }
            if inner.nonblocking {
                return Err(SocketError::WouldBlock);
            }
        }
        let mut watch = DatagramWatch::new(&self.shared);
        let done = std::future::poll_fn(|task| self.poll_until(task, &mut watch, &mut act));
        block_on(done, None).unwrap_or(Err(SocketError::WouldBlock))
    }

    fn poll_until<T>(
        &self,
        task: &mut TaskContext<'_>,
        watch: &mut DatagramWatch,
        act: &mut dyn FnMut(&Arc<Shared>, &mut Inner) -> Option<T>,
    ) -> Poll<T> {
        watch.bell.listen(task.waker());
        loop {
            let mut inner = self.shared.inner.lock();
            if let Some(done) = act(&self.shared, &mut inner) {
                return Poll::Ready(done);
            }
            let known = watch.completions.len();
            watch.completions.extend(inner.ends[known..].iter().map(|end| end.cq.completions()));
            let mut news = false;
            for (index, completions) in watch.completions.iter().enumerate() {
                let mut wcs = [Wc::default(); 16];
                if let Poll::Ready(count) = completions.poll_many(task, &mut wcs) {
                    inner.take_in(index, &wcs[..count]);
                    news = true;
                }
            }
            if !news {
                return Poll::Pending;
            }
        }
    }
}

impl DatagramWatch {
    fn new(shared: &Shared) -> DatagramWatch {
        DatagramWatch { bell: Listener::new(&shared.bell), completions: Vec::new() }
    }
}

impl Inner {
    /// Takes in what has come by all queue pairs.
    fn poll_all(&mut self) {
        for index in 0..self.ends.len() {
            let mut wcs = [Wc::default(); 2 * SLOTS];
            let count = self.ends[index].cq.poll(&mut wcs);
            self.take_in(index, &wcs[..count]);
        }
    }

    fn take_in(&mut self, end: usize, wcs: &[Wc]) {
        for wc in wcs {
            if let Some(datagram) = self.ends[end].completed(wc) {
                self.deliver(datagram);
            }
        }
    }

    /// A datagram for which there is no room is lost, as with UDP.
    fn deliver(&mut self, datagram: Datagram) {
        if self.inbox.len() < 2 * SLOTS {
            self.inbox.push_back(datagram);
        }
    }

    fn ready(&self) -> Ready {
        let write = self.ends.iter().all(End::can_send);
        Ready { read: !self.inbox.is_empty(), write, ..Ready::default() }
    }
}

impl Shared {
    /// Takes an address, and starts the thread that looks after UDP.
    fn open(self: &Arc<Self>, inner: &mut Inner, addr: SocketAddr) -> Result<(), SocketError> {
        let refused = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => SocketError::Connection(CmError::AddressInUse(addr)),
            _ => SocketError::Connection(CmError::AddressNotAvailable(addr.ip())),
        };
        let udp = Arc::new(UdpSocket::bind(addr).map_err(refused)?);
        udp.set_read_timeout(Some(LOOK)).map_err(refused)?;
        let own = udp.local_addr().map_err(refused)?;
        if !own.ip().is_unspecified() {
            inner.ends.push(End::new(&self.manager, &self.channel, own)?);
        }
        inner.udp = Some(Arc::clone(&udp));
        let shared = Arc::clone(self);
        let started = thread::Builder::new().name("rsocket".into()).spawn(move || shared.serve(&udp));
        started.map(drop).map_err(|_| SocketError::Io)
    }

    /// Sends a datagram; `None` when too many are on their way.
    fn send(
        self: &Arc<Self>,
        inner: &mut Inner,
        data: &[u8],
        to: SocketAddr,
    ) -> Result<Option<()>, SocketError> {
        let peer = self.peer(inner, to)?;
        let end = &mut inner.ends[peer.end];
        if data.len() > end.most_data() {
            return Err(SocketError::TooLong(end.most_data()));
        }
        match peer.way {
            Some((way, qpn)) if end.can_send() => end.send(&way, qpn, data).map(Some),
            Some(_) => Ok(None),
            None => Self::tell(inner, peer.end, to, Purpose::Data, data).map(Some),
        }
    }

    /// Sends a message by UDP.
    fn tell(
        inner: &Inner,
        end: usize,
        to: SocketAddr,
        purpose: Purpose,
        data: &[u8],
    ) -> Result<(), SocketError> {
        let end = &inner.ends[end];
        let message = Message { purpose, qpn: end.qp.qpn(), address: end.local.ip(), data };
        let socket = inner.udp.as_ref().ok_or(SocketError::NotConnected)?;
        // One that cannot be sent is lost like one that is lost on the way.
        udp::send_from(socket, end.local.ip(), &message.emit(), to).ok();
        Ok(())
    }

    /// What is known of a peer, after settling by which of the NICs it is reached.
    fn peer(self: &Arc<Self>, inner: &mut Inner, to: SocketAddr) -> Result<Peer, SocketError> {
        if inner.udp.is_none() {
            let any =
                if to.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
            self.open(inner, SocketAddr::new(any, 0))?;
        }
        if let Some(peer) = inner.peers.get(&to) {
            return Ok(peer.clone());
        }
        let own = inner.udp.as_ref().and_then(|udp| udp.local_addr().ok()).ok_or(SocketError::Io)?;
        let local = if own.ip().is_unspecified() { self.towards(to, own.port())? } else { own };
        let end = match inner.ends.iter().position(|end| end.local == local) {
            Some(end) => end,
            None => {
                inner.ends.push(End::new(&self.manager, &self.channel, local)?);
                // Who waits already must wait for this one too.
                self.bell.wake_by_ref();
                inner.ends.len() - 1
            }
        };
        if inner.peers.len() >= MOST_PEERS {
            inner.peers.clear();
        }
        let peer = Peer { end, way: None };
        inner.peers.insert(to, peer.clone());
        Ok(peer)
    }

    /// The address of a NIC that leads to a peer.
    fn towards(&self, to: SocketAddr, port: u16) -> Result<SocketAddr, SocketError> {
        let (_, here) = self.manager.towards(to.ip())?;
        Ok(SocketAddr::new(here, port))
    }

    /// Takes in messages by UDP until the socket is closed.
    fn serve(self: Arc<Self>, udp: &UdpSocket) {
        let mut bytes = [0; MOST + 28];
        while !self.closed.load(Ordering::Acquire) {
            if let Ok((len, from)) = udp.recv_from(&mut bytes)
                && let Some(message) = Message::parse(&bytes[..len])
            {
                self.told(from, message);
            }
        }
    }

    fn told(self: &Arc<Self>, from: SocketAddr, message: Message<'_>) {
        let mut inner = self.inner.lock();
        if inner.udp.is_none() {
            return;
        }
        let Ok(peer) = self.peer(&mut inner, from) else { return };
        let domain = inner.ends[peer.end].qp.protection_domain().clone();
        if peer.way.as_ref().is_none_or(|(_, qpn)| *qpn != message.qpn) {
            let way = domain.address_handle(from.ip()).ok().map(|way| (way, message.qpn));
            inner.peers.insert(from, Peer { way, ..peer });
        }
        if message.purpose == Purpose::Data {
            Self::tell(&inner, peer.end, from, Purpose::Tell, &[]).ok();
            inner.deliver(Datagram { from, data: message.data.to_vec() });
        }
        drop(inner);
        self.bell.wake_by_ref();
    }
}

impl Drop for DatagramSocket {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        let inner = std::mem::take(&mut *self.shared.inner.lock());
        if let Some(udp) = &inner.udp
            && let Ok(own) = udp.local_addr()
        {
            // Wakes the thread, which would look by itself before long.
            udp.send_to(&[], own).ok();
        }
    }
}

impl fmt::Debug for DatagramSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DatagramSocket").field(&self.local_addr()).finish()
    }
}
