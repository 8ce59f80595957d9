//! How sockets come to have a connection.

use std::net::SocketAddr;
use std::time::Duration;

use crate::cm::{ConnParam, Event, EventChannel, EventKind, Id};

use super::format::Hello;
use super::socket::{Inner, Phase, Socket};
use super::stream::Stream;
use super::{Options, SocketError};

impl Socket {
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

    /// How the making of its connection has ended; `None` while that is not known, or nobody has begun it.
    pub fn opened(&self) -> Option<Result<(), SocketError>> {
        let mut inner = self.inner.lock();
        inner.step(self);
        match &inner.phase {
            Phase::Connected => Some(Ok(())),
            Phase::Failed(error) => Some(Err(error.clone())),
            _ => None,
        }
    }
}

impl Inner {
    /// One step further towards a connection.
    pub(super) fn open(&mut self, socket: &Socket, event: &Event) -> Result<(), SocketError> {
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

    pub(super) fn listen_for_more(&mut self, channel: &EventChannel) {
        while self.request.is_none()
            && let Some(event) = channel.poll()
        {
            if event.kind == EventKind::ConnectRequest {
                self.request = Some(event);
            }
        }
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
