//! What can go wrong with connections.

use std::net::{IpAddr, SocketAddr};

use ferroce_engine::VerbsError;
use ferroce_wire::cm::RejectReason;

/// Why something could not be done with a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CmError {
    /// The call makes no sense now.
    #[error("cannot {0} in the state that the identifier is in")]
    State(&'static str),
    /// Another identifier has the port.
    #[error("port {} of {} is in use: take another, or 0 for any that is free", .0.port(), .0.ip())]
    AddressInUse(SocketAddr),
    /// No NIC has the address.
    #[error("no NIC here has the address {0}: see Manager::add, and `ferroce devices` for addresses")]
    AddressNotAvailable(IpAddr),
    /// No NIC leads there.
    #[error("no NIC here leads to {0}: its version of IP must be that of one of their addresses")]
    NoDevice(IpAddr),
    /// Too much private data.
    #[error("at most {0} bytes of private data fit here")]
    PrivateData(usize),
    /// The NIC refused.
    #[error("{0}")]
    Verb(#[from] VerbsError),
    /// The peer said no.
    #[error("the peer rejected the connection, {reason}")]
    Rejected {
        /// Why.
        reason: RejectReason,
        /// What its application adds, padded with zeros.
        private_data: Vec<u8>,
    },
    /// The peer does not answer.
    #[error("the peer does not answer: see that it runs, and that UDP port 4791 is open between the two")]
    Unreachable,
    /// What was waited for did not come in time.
    #[error("nothing came in time")]
    Timeout,
    /// The connection has ended.
    #[error("the connection has ended")]
    Disconnected,
}

impl CmError {
    /// The `errno` with which librdmacm reports this (Linux numbering).
    pub const fn errno(&self) -> i32 {
        match self {
            CmError::State(_) | CmError::PrivateData(_) => 22, // EINVAL
            CmError::AddressInUse(_) => 98,                    // EADDRINUSE
            CmError::AddressNotAvailable(_) => 99,             // EADDRNOTAVAIL
            CmError::NoDevice(_) => 19,                        // ENODEV
            CmError::Verb(cause) => cause.errno(),
            CmError::Rejected { .. } => 111,                // ECONNREFUSED
            CmError::Unreachable | CmError::Timeout => 110, // ETIMEDOUT
            CmError::Disconnected => 104,                   // ECONNRESET
        }
    }
}
