//! Two connected queue pairs in one process: what a test needs.

use std::net::{IpAddr, Ipv4Addr};

use ferroce_engine::Access;
use ferroce_net::{Hub, Nic, NicBuilder};

use crate::completion::CompletionQueue;
use crate::context::Context;
use crate::error::Error;
use crate::memory::{MemoryRegion, ProtectionDomain};
use crate::queue_pair::QueuePair;

/// One end of a [`pair`], with everything that belongs to it.
#[derive(Debug)]
pub struct Peer {
    /// The queue pair, connected.
    pub qp: QueuePair,
    /// Its memory, which the other end may read, write and use for atomics.
    pub memory: MemoryRegion,
    /// Where sends and receives complete.
    pub cq: CompletionQueue,
    /// What they all belong to.
    pub pd: ProtectionDomain,
    /// The NIC.
    pub context: Context,
}

/// Bytes of memory at each end of a [`pair`].
const MEMORY: usize = 64 << 10;

/// Work requests that each queue holds.
const DEPTH: u32 = 256;

/// Two NICs that are joined inside this process, each with a connected queue pair and 64 KiB of memory. Needs
/// neither sockets nor privileges, and any number of them can be there at the same time.
///
/// ```
/// let (a, b) = ferroce::pair()?;
/// b.memory.write(0, b"read me");
/// a.qp.post().read(1, &[a.memory.slice(..7)], b.memory.remote()).submit()?;
/// a.cq.wait(None)?;
/// assert_eq!(a.memory.to_vec(..7), b"read me");
/// # Ok::<_, ferroce::Error>(())
/// ```
///
/// # Errors
/// When the process has no file descriptors or threads left.
pub fn pair() -> Result<(Peer, Peer), Error> {
    let hub = Hub::new();
    let nic = |last| Nic::builder().address(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))).hub(&hub);
    pair_of(nic(1), nic(2), MEMORY)
}

/// The same with NICs as described, which must be able to reach each other, and `memory` bytes at each end.
///
/// ```
/// use ferroce::{Faults, Hub, Nic};
///
/// // A network that loses every fifth packet of one direction.
/// let hub = Hub::new();
/// let nic = |address: &str| Nic::builder().address(address.parse().unwrap()).hub(&hub);
/// let (a, b) = ferroce::pair_of(nic("192.0.2.1").faults(Faults::loss(0.2, 1)), nic("192.0.2.2"), 1 << 20)?;
/// a.qp.post().write(1, &[a.memory.sge()], b.memory.remote()).submit()?;
/// a.cq.wait(None)?;
/// assert!(a.context.counters().retransmitted_pkts > 0);
/// # Ok::<_, ferroce::Error>(())
/// ```
///
/// # Errors
/// When a NIC cannot be opened.
pub fn pair_of(a: NicBuilder, b: NicBuilder, memory: usize) -> Result<(Peer, Peer), Error> {
    let (a, b) = (Peer::new(a.open()?, memory)?, Peer::new(b.open()?, memory)?);
    a.qp.connect(&b.qp.endpoint())?;
    b.qp.connect(&a.qp.endpoint())?;
    Ok((a, b))
}

impl Peer {
    fn new(nic: Nic, memory: usize) -> Result<Peer, Error> {
        let context = Context::new(nic);
        let cq = context.completion_queue(2 * DEPTH)?;
        let pd = context.protection_domain()?;
        let access = Access::LOCAL_WRITE | Access::REMOTE_WRITE | Access::REMOTE_READ | Access::REMOTE_ATOMIC;
        let memory = pd.register(memory, access)?;
        let qp = pd.queue_pair(&cq).max_send_wr(DEPTH).max_recv_wr(DEPTH).build()?;
        Ok(Peer { qp, memory, cq, pd, context })
    }
}
