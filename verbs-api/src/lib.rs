//! RDMA verbs for Rust programs.
//!
//! A queue pair sends messages, and reads and writes the memory of its peer, without the peer's program doing
//! anything. The NIC underneath is Ferroce, which is a program itself: it runs on any address of this machine
//! without hardware, kernel modules or privileges, and speaks RoCEv2 with other NICs, real ones included.
//!
//! A test needs no network at all:
//!
//! ```
//! use std::time::Duration;
//!
//! let (a, b) = ferroce::pair()?;
//! b.qp.receive(1, &[b.memory.sge()])?;
//!
//! a.memory.write(0, b"hello");
//! a.qp.post().send(2, &[a.memory.slice(0..5)]).submit()?;
//!
//! let wc = b.cq.wait(Duration::from_secs(5))?.ok()?;
//! assert_eq!((wc.wr_id, wc.byte_len), (1, 5));
//! assert_eq!(b.memory.to_vec(0..5), b"hello");
//! # use ferroce::WcExt;
//! # Ok::<_, ferroce::Error>(())
//! ```
//!
//! # The parts
//!
//! | here | in libibverbs | what it is |
//! | --- | --- | --- |
//! | [`Context`] | `ibv_context` | an open NIC |
//! | [`ProtectionDomain`] | `ibv_pd` | what memory and queue pairs belong to |
//! | [`MemoryRegion`] | `ibv_mr` | memory that the NIC may touch |
//! | [`CompletionQueue`] | `ibv_cq`, `ibv_comp_channel` | where work requests come back; polled, waited for or awaited |
//! | [`QueuePair`] | `ibv_qp` | one end of a connection, reliable or not, or a place for datagrams |
//! | [`AddressHandle`] | `ibv_ah` | where datagrams go, which may be a multicast group |
//! | [`SharedReceiveQueue`] | `ibv_srq` | receives for several queue pairs |
//! | [`MemoryWindow`] | `ibv_mw` | a door into a region that work requests open and shut |
//! | [`Endpoint`], [`RemoteMemory`] | | what a peer must be told, as text |
//! | [`cm`] | librdmacm | connections by address and port |
//! | [`rsocket`] | `rsocket` | sockets over RDMA |
//!
//! # When it ends
//!
//! [`QueuePair::why`] tells of a queue pair in an error state what led there, and what to change.
//!
//! # Nothing dangles
//!
//! Every handle keeps alive what it was made from, and destroys its own object when the last handle is dropped,
//! so that no order of dropping is wrong. Memory is deregistered before it is freed; a work request that names
//! memory which is gone completes with [`WcStatus::LocProtErr`], and a peer that does is refused. Dropping a
//! queue pair forgets what was posted to it.
//!
//! # Threads
//!
//! All handles can be shared between threads and used at the same time. A thread that polls does the NIC's work
//! itself; see [`Nic`].

#![forbid(unsafe_code)]

pub mod cm;
mod completion;
mod context;
mod datagram;
mod endpoint;
mod error;
mod events;
mod memory;
mod pair;
mod post;
mod queue_pair;
pub mod rsocket;
mod shared_queue;
mod wait;
pub mod why;
mod window;

pub use completion::{CompletionQueue, Completions};
pub use context::Context;
pub use datagram::AddressHandle;
pub use endpoint::{Endpoint, ParseError};
pub use error::{CompletionError, Error, WcExt};
pub use events::AsyncEvents;
pub use memory::{MemoryRegion, ProtectionDomain, Registration, RemoteMemory};
pub use pair::{Peer, pair, pair_of};
pub use post::SendBatch;
pub use queue_pair::{ConnectOptions, QueuePair, QueuePairBuilder};
pub use shared_queue::SharedReceiveQueue;
pub use window::MemoryWindow;

pub use ferroce_engine::{
    Access, AddressSpace, AddressVector, AsyncEvent, Bind, Buffer, CmConfig, CmCounters, Counters, ImmDt,
    Limits, MwType, PathMtu, Payload, Personality, PostError, Psn, QpAttr, QpCap, QpEvent, QpInfo, QpState,
    QpType, Qpn, RecvWr, Region, Remote, RnrTimer, SendFlags, SendOp, SendWr, Sge, Snapshot, Srq, SrqInfo,
    To, VerbsError, Wc, WcOpcode, WcStatus,
};
pub use ferroce_net::{
    Attachment, Ethernet, FaultRates, Faults, Hub, IcrcCheck, IcrcMode, Interface, LinkCounters, LinkInfo,
    MacAddr, NetError, Nic, NicBuilder, PortInfo, Subnet,
};
