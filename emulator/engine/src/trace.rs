//! What happens inside a device, for those who watch.
//!
//! A trace never changes behaviour: a sink gets copies and gives nothing back.

use ferroce_wire::{Opcode, Psn, Qpn, Syndrome};

use crate::event::AsyncEvent;
use crate::memory::{Access, AccessDenied};
use crate::policy::LossCause;
use crate::qp::QpState;
use crate::srq::Srq;
use crate::time::Time;
use crate::work::Wc;

/// Takes the events of one device.
pub trait TraceSink {
    /// False lets the compiler leave out everything that leads to an event.
    const ENABLED: bool = true;

    /// Whether anybody looks now: events that happen meanwhile are not even made if nobody does.
    #[inline]
    fn is_on(&self) -> bool {
        Self::ENABLED
    }

    /// Something happened at `now`.
    fn event(&mut self, now: Time, event: TraceEvent);
}

/// Nobody watches; costs nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTrace;

impl TraceSink for NoTrace {
    const ENABLED: bool = false;

    fn event(&mut self, _: Time, _: TraceEvent) {}
}

/// Keeps all events, for tests and short runs.
impl TraceSink for Vec<(Time, TraceEvent)> {
    fn event(&mut self, now: Time, event: TraceEvent) {
        self.push((now, event));
    }
}

/// Why a packet went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum DropReason {
    /// Not long enough for its own headers, or an unknown opcode.
    Malformed,
    /// Transport version not 0.
    Version,
    /// Addressed to somebody else.
    NotOurs,
    /// Wrong ICRC.
    Icrc,
    /// No queue pair of that number.
    NoQp,
    /// An opcode of another transport service.
    Service,
    /// The queue pair is in a state in which it takes no such packet.
    QpState,
    /// Not from the address that the queue pair is connected to.
    NotPeer,
    /// Partition keys do not match.
    Pkey,
    /// A duplicate that cannot be answered (any more), or does not match what it repeats.
    Duplicate,
    /// Behind a gap that was reported already.
    OutOfSequence,
    /// A response or NAK code that means nothing here.
    Response,
    /// A datagram with another Q_Key than its queue pair's.
    Qkey,
    /// An unreliable message for which no receive was posted.
    NoReceive,
    /// An unreliable message that its receive or the path MTU has no room for, or that is not as long as it says.
    Length,
    /// An unreliable WRITE that may not touch the memory it names.
    Access,
    /// A packet of an unreliable message of which others are missing.
    Incomplete,
}

/// One step of a device's life. Every variant names the queue pair it is about, or the key.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum TraceEvent {
    /// A send request was posted.
    PostSend {
        /// Queue pair.
        qp: Qpn,
        /// Of the work request.
        wr_id: u64,
    },
    /// A receive request was posted.
    PostRecv {
        /// Queue pair.
        qp: Qpn,
        /// Of the work request.
        wr_id: u64,
    },
    /// A receive request was posted to a shared queue.
    PostSrqRecv {
        /// Shared receive queue.
        srq: Srq,
        /// Of the work request.
        wr_id: u64,
    },
    /// A packet was handed to the link.
    Sent {
        /// Queue pair.
        qp: Qpn,
        /// What it is.
        opcode: Opcode,
        /// Its PSN.
        psn: Psn,
        /// Bytes of payload.
        len: u32,
        /// It asks for an acknowledgement.
        ack_request: bool,
        /// For packets with an AETH.
        syndrome: Option<Syndrome>,
        /// It had been sent before.
        again: bool,
    },
    /// A packet reached its queue pair.
    Received {
        /// Queue pair.
        qp: Qpn,
        /// What it is.
        opcode: Opcode,
        /// Its PSN.
        psn: Psn,
        /// Bytes of payload.
        len: u32,
        /// For packets with an AETH.
        syndrome: Option<Syndrome>,
    },
    /// A packet went no further.
    Dropped {
        /// Queue pair that it named, if it came so far.
        qp: Option<Qpn>,
        /// Why.
        why: DropReason,
    },
    /// The responder saw a request again.
    Duplicate {
        /// Queue pair.
        qp: Qpn,
        /// PSN of the packet.
        psn: Psn,
    },
    /// The responder found a gap.
    Gap {
        /// Queue pair.
        qp: Qpn,
        /// PSN it waits for.
        expected: Psn,
        /// PSN that came.
        got: Psn,
    },
    /// The responder keeps a packet that came too early.
    Kept {
        /// Queue pair.
        qp: Qpn,
        /// PSN of the packet.
        psn: Psn,
    },
    /// The responder refused a request.
    Refused {
        /// Queue pair.
        qp: Qpn,
        /// PSN of the packet.
        psn: Psn,
        /// The answer.
        syndrome: Syndrome,
        /// What was wrong with the memory, if that was the reason.
        denied: Option<AccessDenied>,
    },
    /// The responder finished a message.
    Executed {
        /// Queue pair.
        qp: Qpn,
        /// Opcode of the last packet.
        opcode: Opcode,
        /// Message sequence number after it.
        msn: u32,
    },
    /// Packets up to here are acknowledged.
    Acknowledged {
        /// Queue pair.
        qp: Qpn,
        /// The oldest packet that is not.
        unacked: Psn,
    },
    /// The requester goes back.
    GoBack {
        /// Queue pair.
        qp: Qpn,
        /// Why.
        cause: LossCause,
        /// The oldest packet that is not acknowledged.
        unacked: Psn,
        /// The next to be sent.
        resume: Psn,
        /// Tries that are left after this one.
        retries_left: u8,
    },
    /// The requester waits until the peer may have a receive.
    RnrWait {
        /// Queue pair.
        qp: Qpn,
        /// Until then.
        until: Time,
    },
    /// Congestion control changed the rate of a queue pair.
    Rate {
        /// Queue pair.
        qp: Qpn,
        /// Bits per second at which its packets leave; `None` when they are no longer held back.
        rate: Option<u64>,
    },
    /// A work request was completed.
    Completed {
        /// Queue pair.
        qp: Qpn,
        /// The completion.
        wc: Wc,
    },
    /// A queue pair changed its state.
    State {
        /// Queue pair.
        qp: Qpn,
        /// State before.
        from: QpState,
        /// State after.
        to: QpState,
    },
    /// An asynchronous event was raised.
    Async(AsyncEvent),
    /// A key opens a memory region now, or another one than before: by a call or a work request.
    Registered {
        /// The key. A key with the same upper 24 bits, if there was one, is void.
        key: u32,
        /// The address by which its first byte is named.
        addr: u64,
        /// Its length in bytes.
        len: u64,
        /// Its rights.
        access: Access,
    },
    /// A memory window is bound.
    Bound {
        /// Its key. A key with the same upper 24 bits, if there was one, is void.
        key: u32,
        /// The key of the region that it opens.
        region: u32,
        /// The queue pair that has bound it.
        qp: Qpn,
        /// First byte, in the region's addresses.
        addr: u64,
        /// Its length in bytes.
        len: u64,
        /// What peers may do through it.
        access: Access,
    },
    /// A key opens nothing until it is used again: its window was unbound or shut, its memory taken away.
    Invalidated {
        /// The key.
        key: u32,
    },
    /// A registration, a window or a key of its own was given up.
    Deregistered {
        /// The key, or one with the same upper 24 bits.
        key: u32,
    },
}
