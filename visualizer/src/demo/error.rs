//! What can go wrong in the demo.

use ferroce_engine::{PostError, VerbsError, Wc};
use ferroce_net::NetError;

/// Why the demo could not verify what it set out to verify.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// A NIC could not be opened.
    #[error(transparent)]
    Net(#[from] NetError),
    /// A verb was refused that should not be.
    #[error(transparent)]
    Verbs(#[from] VerbsError),
    /// A work request was refused that should not be.
    #[error(transparent)]
    Post(#[from] PostError),
    /// Something arrived that was not sent, or did not arrive, or not as often as it should.
    #[error("{0}")]
    Wrong(String),
}

impl DemoError {
    /// A completion that should not have come.
    pub(crate) fn completion(what: &str, wc: &Wc) -> DemoError {
        let Wc { wr_id, status, opcode, byte_len, .. } = wc;
        DemoError::Wrong(format!(
            "{what}: unexpected completion of request {wr_id}: {status:?}, {opcode:?}, {byte_len} bytes"
        ))
    }
}
