//! Three ways to connect. Read README.md, write the six functions, then: ferroce lab check
//!
//! What you can call is in rdma.rs, and for the last step in stream.rs.

use crate::rdma::{Access, Nic, Sizes};

/// By hand. Answers `rounds` messages of `size` bytes: every byte comes back increased by 1 (255 becomes 0).
pub fn hand_server(nic: &Nic, rounds: u64, size: usize) {
    let _ = (rounds, size);
    let cq = nic.completion_queue(16);
    let qp = nic.queue_pair(&cq, Sizes::default());
    qp.to_init(Access::LOCAL_WRITE).unwrap();
}

/// Sends `rounds` messages, each after the answer to the one before: the first has the bytes fill, fill + 1, fill + 2 and so
/// on, the second begins with fill + 1, and so on (after 255 comes 0). Returns the sum of all bytes of all answers.
pub fn hand_client(nic: &Nic, rounds: u64, size: usize, fill: u8) -> u64 {
    let _ = (nic, rounds, size, fill);
    0
}

/// By the connection manager. Accepts one client that speaks this version of the protocol, and rejects others before.
pub fn cm_server(nic: &Nic, port: u16, version: u8, rounds: u64, size: usize) {
    let _ = (nic, port, version, rounds, size);
}

/// Tries these versions, one after the other, until the server accepts.
pub fn cm_client(nic: &Nic, port: u16, versions: &[u8], rounds: u64, size: usize, fill: u8) -> u64 {
    let _ = (nic, port, versions, rounds, size, fill);
    0
}

/// Over sockets.
pub fn socket_server(nic: &Nic, port: u16, rounds: u64, size: usize) {
    let _ = (nic, port, rounds, size);
}

pub fn socket_client(nic: &Nic, port: u16, rounds: u64, size: usize, fill: u8) -> u64 {
    let _ = (nic, port, rounds, size, fill);
    0
}
