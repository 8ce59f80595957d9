//! Sockets over RDMA, as rsockets of librdmacm are: a byte stream between two programs, by address and port.
//!
//! The peer may be a program that uses rsockets of librdmacm, such as `rstream`, over any NIC. [`DatagramSocket`] is
//! for datagrams.
//!
//! ```
//! use std::io::{Read, Write};
//! use ferroce::cm::Manager;
//! use ferroce::rsocket::Socket;
//!
//! let (a, b) = ferroce::pair()?;
//! let listener = Socket::new(&Manager::of(&b.context));
//! listener.bind("192.0.2.2:7471".parse().unwrap())?;
//! listener.listen(8)?;
//!
//! let client = std::thread::spawn(move || {
//!     let mut socket = Socket::new(&Manager::of(&a.context));
//!     socket.connect("192.0.2.2:7471".parse().unwrap())?;
//!     socket.write_all(b"hello")?;
//!     let mut answer = String::new();
//!     socket.read_to_string(&mut answer)?;
//!     Ok::<_, std::io::Error>(answer)
//! });
//!
//! let (mut socket, _peer) = listener.accept()?;
//! let mut word = [0; 5];
//! socket.read_exact(&mut word)?;
//! socket.write_all(&[&word[..], b" to you"].concat())?;
//! socket.close()?;
//! assert_eq!(client.join().unwrap()?, "hello to you");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod datagram;
mod format;
mod mapped;
mod opening;
mod socket;
mod stream;

use std::io;

use crate::cm::CmError;

pub use datagram::{DatagramSocket, DatagramWatch};
pub use socket::{Ready, Shutdown, Socket, Watch};

/// How much a socket can hold (`rsetsockopt`); what librdmacm takes if nothing is said. It counts for connections
/// that are made from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of data that can wait to be sent, at least 4096 (`SO_SNDBUF`).
    pub send_buffer: usize,
    /// Bytes of data that can wait to be read, at least 4096 (`SO_RCVBUF`).
    pub receive_buffer: usize,
    /// Messages that can be on their way, 16..=16384 (`RDMA_SQSIZE`).
    pub send_queue: u16,
    /// Messages of the peer's that can be on their way, 16..=16384 (`RDMA_RQSIZE`).
    pub receive_queue: u16,
    /// Stretches of memory that the peer can map here (`RDMA_IOMAPSIZE`); above 128 in steps of 256, at most 32512.
    pub mappings: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            send_buffer: 1 << 17,
            receive_buffer: 1 << 17,
            send_queue: 384,
            receive_queue: 384,
            mappings: 0,
        }
    }
}

impl Options {
    /// The same, with everything in its range.
    fn in_range(self) -> Options {
        const BYTES: std::ops::RangeInclusive<usize> = 4096..=1 << 30;
        let bytes = |value: usize| value.clamp(*BYTES.start(), *BYTES.end()) & !1;
        Options {
            send_buffer: bytes(self.send_buffer),
            receive_buffer: bytes(self.receive_buffer),
            send_queue: self.send_queue.clamp(16, 1 << 14),
            receive_queue: self.receive_queue.clamp(16, 1 << 14),
            mappings: self.mappings.min(127 << 8),
        }
    }
}

/// Why a socket could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// It would have to wait, and was told not to.
    #[error("nothing can be done without waiting")]
    WouldBlock,
    /// A connection is being made.
    #[error("the connection is being made: wait until the socket is ready to write")]
    InProgress,
    /// There is no connection.
    #[error("the socket is not connected")]
    NotConnected,
    /// The call makes no sense in the state that the socket is in.
    #[error("cannot {0} now")]
    State(&'static str),
    /// The peer speaks another version of the protocol.
    #[error("the peer is no rsocket that is understood here")]
    Version,
    /// Nothing can be sent any more.
    #[error("the connection has ended")]
    Reset,
    /// Everything that could be mapped is.
    #[error("the peer has no room for another mapping: see Options::mappings there")]
    NoRoom,
    /// Nothing is mapped at this offset.
    #[error("the peer has mapped nothing at this offset")]
    NotMapped,
    /// A datagram has more bytes than fit one packet.
    #[error("a datagram can have {0} bytes here")]
    TooLong(usize),
    /// The NIC refused something.
    #[error("the NIC failed: its completions and counters tell why")]
    Io,
    /// The connection could not be made.
    #[error(transparent)]
    Connection(#[from] CmError),
}

impl SocketError {
    /// The `errno` with which rsockets of librdmacm report this (Linux numbering).
    pub const fn errno(&self) -> i32 {
        match self {
            SocketError::WouldBlock => 11,    // EAGAIN
            SocketError::InProgress => 115,   // EINPROGRESS
            SocketError::NotConnected => 107, // ENOTCONN
            SocketError::State(_) => 22,      // EINVAL
            SocketError::Version => 95,       // EOPNOTSUPP
            SocketError::Reset => 104,        // ECONNRESET
            SocketError::NoRoom => 12,        // ENOMEM
            SocketError::NotMapped => 14,     // EFAULT
            SocketError::TooLong(_) => 90,    // EMSGSIZE
            SocketError::Io => 5,             // EIO
            SocketError::Connection(error) => error.errno(),
        }
    }
}

impl From<SocketError> for io::Error {
    fn from(error: SocketError) -> io::Error {
        let kind = io::Error::from_raw_os_error(error.errno()).kind();
        io::Error::new(kind, error)
    }
}
