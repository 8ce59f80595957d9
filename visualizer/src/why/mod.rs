//! "Why did my queue pair die?": the chain of events that led there, in three sentences.
//!
//! The reasons are few. Each has a sentence that says what it means and one that says what to change, whether it is
//! read off a [capture](crate::explain) or told by the [engine](of_trace) itself.

mod trace;

use serde::Serialize;

use ferroce_engine::WcStatus;
use ferroce_wire::NakCode;

pub use trace::of_trace;

/// How a queue pair came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Death {
    /// Stable name of the reason, as in `retries-exhausted`.
    pub reason: &'static str,
    /// The `id` of the connection in the report, where there is one.
    pub connection: Option<usize>,
    /// The packets of a capture that show it, in order.
    pub packets: Vec<u64>,
    /// What happened to it.
    pub happened: String,
    /// What led there.
    pub because: String,
    /// What to change.
    pub change: &'static str,
}

/// The reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No answer, as often as `retry_cnt` allows.
    RetriesExhausted,
    /// No receive posted, as often as `rnr_retry` allows.
    ReceiverNotReady,
    /// The responder calls a request invalid.
    Invalid,
    /// The responder's memory does not allow it.
    RemoteAccess,
    /// The responder could not carry it out.
    RemoteOperation,
    /// The queue pair's own memory does not allow it.
    LocalAccess,
    /// A message does not fit the receive posted for it.
    LocalLength,
    /// A response that belongs to no request.
    BadResponse,
    /// A completion queue was full.
    Overflow,
    /// `modify_qp` of the program's own.
    Asked,
}

impl Reason {
    /// From the status of the first completion that was not flushed.
    pub fn of_status(status: WcStatus) -> Option<Reason> {
        Some(match status {
            WcStatus::RetryExcErr => Reason::RetriesExhausted,
            WcStatus::RnrRetryExcErr => Reason::ReceiverNotReady,
            WcStatus::RemInvReqErr => Reason::Invalid,
            WcStatus::RemAccessErr => Reason::RemoteAccess,
            WcStatus::RemOpErr => Reason::RemoteOperation,
            WcStatus::LocProtErr | WcStatus::LocAccessErr | WcStatus::MwBindErr => Reason::LocalAccess,
            WcStatus::LocLenErr => Reason::LocalLength,
            WcStatus::BadRespErr => Reason::BadResponse,
            _ => return None,
        })
    }

    /// From a NAK after which nothing goes on.
    pub fn of_nak(code: NakCode) -> Option<Reason> {
        match code {
            NakCode::InvalidRequest => Some(Reason::Invalid),
            NakCode::RemoteAccess => Some(Reason::RemoteAccess),
            NakCode::RemoteOperational => Some(Reason::RemoteOperation),
            NakCode::PsnSequence | NakCode::InvalidRdRequest | NakCode::Reserved(_) => None,
        }
    }

    /// Its stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::RetriesExhausted => "retries-exhausted",
            Reason::ReceiverNotReady => "receiver-not-ready",
            Reason::Invalid => "invalid-request",
            Reason::RemoteAccess => "remote-access",
            Reason::RemoteOperation => "remote-operation",
            Reason::LocalAccess => "local-access",
            Reason::LocalLength => "local-length",
            Reason::BadResponse => "bad-response",
            Reason::Overflow => "cq-overflow",
            Reason::Asked => "asked-for",
        }
    }

    /// What to change.
    pub const fn change(self) -> &'static str {
        match self {
            Reason::RetriesExhausted => {
                "Check that the peer's process and its queue pair are alive (in RTR or RTS), that both ends exchanged \
                 the right GID, queue pair number and P_Key, and that no firewall drops UDP port 4791; on a network \
                 that loses much, raise `timeout` and `retry_cnt`."
            }
            Reason::ReceiverNotReady => {
                "Post receives before the peer sends, and more of them than messages can be under way; or let the \
                 sender wait with a larger `min_rnr_timer` and `rnr_retry` 7, which means for ever."
            }
            Reason::Invalid => {
                "Compare what both ends were told at RTR and RTS: path MTU, `max_rd_atomic` against the peer's \
                 `max_dest_rd_atomic`, access flags of the responder's queue pair; and keep a message within the \
                 receive that is posted for it."
            }
            Reason::RemoteAccess => {
                "Compare address, length and R_Key with what the peer registered, the access flags of its region and \
                 of its queue pair, and whether it has deregistered or invalidated the key meanwhile."
            }
            Reason::RemoteOperation => {
                "Look at the responder: the receive that it posted names memory that its L_Key does not open, or \
                 that is gone."
            }
            Reason::LocalAccess => {
                "Check the scatter/gather entries of the failed request: each must lie in a region of the queue \
                 pair's protection domain, with `LOCAL_WRITE` where data arrive."
            }
            Reason::LocalLength => "Post receives as long as the longest message, or send shorter messages.",
            Reason::BadResponse => {
                "The peer, or something in between, does not follow the protocol: capture the traffic and look at \
                 the packet before the end with `ferroce explain`."
            }
            Reason::Overflow => {
                "Make the completion queue as long as all queues that complete to it together, or poll it more often."
            }
            Reason::Asked => "Nothing is wrong with the connection: look at who calls `modify_qp`.",
        }
    }
}
