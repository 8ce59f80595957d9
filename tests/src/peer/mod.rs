//! A verbs peer: something with an RDMA device that does what it is told.
//!
//! A test speaks one vocabulary, [`Request`] and [`Reply`], to every kind of peer. Kernel soft-RoCE in a guest is
//! one ([`RemotePeer`]), a Ferroce NIC in this process another ([`FerrocePeer`]); anything that implements [`Peer`]
//! can take either side of a scenario.

mod ferroce;
mod remote;
mod request;
mod verbs;

use std::fmt;

pub use ferroce::FerrocePeer;
pub use remote::RemotePeer;
pub use request::{Reply, Request};
pub use verbs::{
    Access, Bytes, Caps, Completion, Destination, Mr, Opcode, Path, QpAttr, QpState, QpType, RecvWr,
    SendFlags, SendWr, Sge, Status, WcOpcode,
};

/// Which implementation a peer is. They differ in what they report when things go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Soft-RoCE of Linux 6.1.
    Rxe61,
    /// Soft-RoCE of Linux 6.12.
    Rxe612,
    /// Some other device, hardware as a rule: what the specification says is expected of it.
    Device,
    /// This project's own engine.
    Ferroce,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rxe61 => "rxe-6.1",
            Self::Rxe612 => "rxe-6.12",
            Self::Device => "device",
            Self::Ferroce => "ferroce",
        })
    }
}

/// One device context with its objects. Objects have names that the caller chooses; a name is free again after
/// [`Request::Destroy`]. Dropping the peer destroys everything.
pub trait Peer {
    /// Carries out one request. The peer's device keeps working between calls.
    ///
    /// # Errors
    /// [`PeerError::Refused`] when the verb failed, as it would in a program that called it.
    fn call(&mut self, request: Request) -> Result<Reply, PeerError>;

    /// What implements the verbs.
    fn kind(&self) -> Kind;
}

/// Why a request was not carried out.
#[derive(Debug)]
pub enum PeerError {
    /// The verb returned an error.
    Refused {
        /// In the implementation's words.
        text: String,
        /// As `<errno.h>` numbers it; `None` when the request itself made no sense, such as an unknown name.
        errno: Option<i32>,
    },
    /// The peer has not got what it would take.
    Lacks(String),
    /// The peer cannot be reached any more.
    Lost(String),
}

impl PeerError {
    /// The errno, if a verb returned one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused { errno, .. } => *errno,
            Self::Lacks(_) | Self::Lost(_) => None,
        }
    }
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { text, errno: Some(errno) } => write!(f, "refused: {text} (errno {errno})"),
            Self::Refused { text, errno: None } => write!(f, "refused: {text}"),
            Self::Lacks(what) => f.write_str(what),
            Self::Lost(why) => write!(f, "peer lost: {why}"),
        }
    }
}

impl std::error::Error for PeerError {}
