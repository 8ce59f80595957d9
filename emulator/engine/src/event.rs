//! What a device tells without being asked.

use std::net::IpAddr;

use ferroce_wire::Qpn;

use crate::cq::Cq;
use crate::srq::Srq;

/// Something for the owner of a device to act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// An armed completion queue got what it was armed for, and is no longer armed.
    Completion(Cq),
    /// An affiliated asynchronous event.
    Async(AsyncEvent),
    /// The first queue pair was attached to a multicast group: packets to this address are to be handed in from now
    /// on, the device's own included.
    Join(IpAddr),
    /// The last queue pair was detached from the group.
    Leave(IpAddr),
}

/// What waits to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// Nothing, or what must wait for its time.
    Nothing,
    /// One acknowledgement. It can wait for a while: whatever is sent to the same peer takes it along.
    Ack,
    /// More than that.
    More,
}

/// An asynchronous event (IBTA 11.6.3) and the object it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum AsyncEvent {
    /// About a queue pair.
    Qp(Qpn, QpEvent),
    /// A completion queue overflowed; completions are lost (`IBV_EVENT_CQ_ERR`). Told once until it is polled.
    CqErr(Cq),
    /// Fewer receives are left in a shared queue than its limit says (`IBV_EVENT_SRQ_LIMIT_REACHED`). The limit is
    /// off now.
    SrqLimitReached(Srq),
}

/// What happened to a queue pair; values of `enum ibv_event_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum QpEvent {
    /// It went to the error state for a reason that no work request can be blamed for.
    Fatal = 1,
    /// The peer sent an invalid request.
    ReqErr = 2,
    /// The peer asked for memory that it may not touch.
    AccessErr = 3,
    /// A packet of the peer's arrived while the queue pair was only ready to receive.
    CommEst = 4,
    /// The send queue, told to drain, has drained.
    SqDrained = 5,
    /// In the error state, it will take no more receives from the shared queue that it uses.
    LastWqeReached = 16,
}
