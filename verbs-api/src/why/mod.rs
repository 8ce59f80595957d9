//! "Why did my queue pair die?": the chain of events that led there, in three sentences.
//!
//! The reasons are few. Each has a sentence that says what to change, whether the end was told by a
//! [queue pair](crate::QueuePair::why), by the [trace](of_trace) of a device, or read off a capture by `ferroce explain`.

mod trace;

use std::fmt;

use ferroce_engine::{EndCause, QpEnding, QpInfo, QpState, Qpn, Time, WcStatus};
use ferroce_wire::{NakCode, Syndrome};

pub use trace::of_trace;

/// How a queue pair came to its end. It displays as three sentences: what happened to it, what led there, and what to
/// change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// The reason.
    pub reason: Reason,
    /// What happened to it.
    pub happened: String,
    /// What led there.
    pub because: String,
}

impl Death {
    /// What to change.
    pub fn change(&self) -> &'static str {
        self.reason.change()
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.happened, self.because, self.change())
    }
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
            WcStatus::LocProtErr | WcStatus::LocAccessErr | WcStatus::MwBindErr | WcStatus::LocQpOpErr => {
                Reason::LocalAccess
            }
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

/// What is known of the peer at the end.
#[derive(Clone, Copy, Debug)]
enum Heard {
    Never,
    Once,
    Last(Time),
}

/// An end, before it is put into words.
#[derive(Clone, Copy, Debug)]
struct Ending {
    qp: Qpn,
    from: QpState,
    to: QpState,
    at: Time,
    cause: EndCause,
    /// How often the timeout expired, or the peer was not ready.
    tries: u32,
    heard: Heard,
}

/// Of a queue pair that is in an error state.
pub(crate) fn of_queue_pair(info: &QpInfo) -> Option<Death> {
    let QpEnding { at, from, cause, heard } = info.ending?;
    let retries = match cause {
        EndCause::Failed { status: WcStatus::RnrRetryExcErr, .. } => info.attr.rnr_retry,
        _ => info.attr.retry_cnt,
    };
    let heard = if heard { Heard::Once } else { Heard::Never };
    let tries = u32::from(retries.unwrap_or(0)) + 1;
    Some(Ending { qp: info.qpn, from, to: info.state, at, cause, tries, heard }.tell())
}

impl Ending {
    fn tell(&self) -> Death {
        let Ending { qp, from, to, at, .. } = self;
        let (reason, what) = match self.cause {
            EndCause::Failed { wr_id, status } => (
                Reason::of_status(status).unwrap_or(Reason::BadResponse),
                format!("work request {wr_id} ended with {status:?}"),
            ),
            EndCause::Refused { psn, syndrome: Syndrome::Nak(code), denied } => {
                let why = denied.map_or(String::new(), |denied| format!(" ({denied})"));
                let reason = Reason::of_nak(code).unwrap_or(Reason::Invalid);
                (reason, format!("it refused the peer's request with PSN {psn}: {code}{why}"))
            }
            EndCause::Refused { .. } | EndCause::Asked => {
                (Reason::Asked, "its program took it there".to_owned())
            }
            EndCause::Overflow => (Reason::Overflow, "a completion was lost".to_owned()),
        };
        let happened = format!(
            "Queue pair {:#08x} went from {} to {} at {at}: {what}.",
            qp.value(),
            from.name(),
            to.name()
        );
        Death { reason, happened, because: self.because(reason) }
    }

    fn because(&self, reason: Reason) -> String {
        let heard = match self.heard {
            Heard::Last(time) => format!("the last packet of the peer came at {time}"),
            Heard::Once => "before that the peer had answered".to_owned(),
            Heard::Never => "the peer had never answered".to_owned(),
        };
        let times = self.tries;
        match reason {
            Reason::RetriesExhausted => {
                format!("The timeout expired {times} times without an answer; {heard}.")
            }
            Reason::ReceiverNotReady => {
                format!("The peer answered \"receiver not ready\" {times} times in a row.")
            }
            Reason::Invalid => {
                "An operation, an order or a length was not what the responder allows.".to_owned()
            }
            Reason::RemoteAccess => {
                "The R_Key is unknown, does not permit this access, or the range leaves its region."
                    .to_owned()
            }
            Reason::RemoteOperation => "The responder could not use its own memory for it.".to_owned(),
            Reason::LocalAccess => "Memory that the request names cannot be used so.".to_owned(),
            Reason::LocalLength => "A message was longer than the memory for it.".to_owned(),
            Reason::BadResponse => format!("A response did not fit its request; {heard}."),
            Reason::Overflow => "A completion queue was full when a completion came.".to_owned(),
            Reason::Asked => format!("No request failed before; {heard}."),
        }
    }
}
