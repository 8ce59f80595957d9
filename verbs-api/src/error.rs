//! What can go wrong, why, and what to do about it.

use std::time::Duration;

use ferroce_engine::{PostError, QpState, Qpn, VerbsError, Wc, WcStatus};
use ferroce_net::NetError;

use crate::cm::CmError;
use crate::endpoint::ParseError;

/// Why something could not be done. Every message ends with the next step to take where one is known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The NIC could not be opened.
    #[error(transparent)]
    Network(#[from] NetError),
    /// The NIC refused a verb. Nothing changed.
    #[error("cannot {doing}: {cause}{}", advice(.cause))]
    Verb {
        /// What was tried.
        doing: &'static str,
        /// Why it was refused.
        #[source]
        cause: VerbsError,
    },
    /// The NIC refused a work request. Those before it in the batch were posted, it and those after it were not.
    #[error(
        "cannot post work request {wr_id} ({} of {of} in the batch) to queue pair {qpn}: {}{}",
        .error.index + 1, .error.cause, advice(&.error.cause)
    )]
    Post {
        /// The request's own number.
        wr_id: u64,
        /// Requests in the batch.
        of: usize,
        /// The queue pair.
        qpn: Qpn,
        /// Which, and why.
        #[source]
        error: PostError,
    },
    /// There was no completion in time.
    #[error(
        "no completion within {0:?}: wait longer, post what should complete signaled, and see that the peer has \
         receives posted"
    )]
    Timeout(Duration),
    /// A work request failed.
    #[error(transparent)]
    Completion(#[from] CompletionError),
    /// A connection could not be made, or has ended.
    #[error(transparent)]
    Connection(#[from] CmError),
    /// A peer's line makes no sense.
    #[error(transparent)]
    Parse(#[from] ParseError),
}

/// For `map_err`: the NIC refused to `doing`.
pub(crate) fn verb(doing: &'static str) -> impl Fn(VerbsError) -> Error {
    move |cause| Error::Verb { doing, cause }
}

/// The next step, for errors that do not name it themselves.
fn advice(cause: &VerbsError) -> &'static str {
    match cause {
        VerbsError::WrongState(QpState::Err) => {
            ": it failed; its completions tell why, reset and connect it again"
        }
        VerbsError::WrongState(_) => ": connect it first",
        VerbsError::Transition { .. } => ": QueuePair::connect makes the usual transitions",
        VerbsError::Invalid(_) => ": Context::limits tells what the NIC allows",
        VerbsError::Exhausted(_) => ": drop what is no longer needed, or raise it with NicBuilder::limits",
        VerbsError::Stale(_)
        | VerbsError::QueueFull { .. }
        | VerbsError::Busy(_)
        | VerbsError::Fault(_)
        | VerbsError::NotThere(_)
        | VerbsError::Unsupported(_) => "",
    }
}

/// A work request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "work request {} of queue pair {} failed with {}: {}",
    .wc.wr_id, Qpn::new(.wc.qpn), name(.wc.status), explain(.wc.status)
)]
pub struct CompletionError {
    /// Its completion.
    pub wc: Wc,
}

/// What every completion should be asked.
pub trait WcExt {
    /// The completion, if its work request did what it should.
    ///
    /// ```
    /// use ferroce::{Wc, WcExt, WcStatus};
    ///
    /// let failed = Wc { wr_id: 3, status: WcStatus::RetryExcErr, ..Wc::default() };
    /// let message = failed.ok().unwrap_err().to_string();
    /// assert!(message.contains("work request 3") && message.contains("IBV_WC_RETRY_EXC_ERR"));
    /// ```
    ///
    /// # Errors
    /// When it failed.
    fn ok(self) -> Result<Wc, CompletionError>;
}

impl WcExt for Wc {
    fn ok(self) -> Result<Wc, CompletionError> {
        match self.status {
            WcStatus::Success => Ok(self),
            _ => Err(CompletionError { wc: self }),
        }
    }
}

/// The name that libibverbs gives it.
fn name(status: WcStatus) -> &'static str {
    match status {
        WcStatus::Success => "IBV_WC_SUCCESS",
        WcStatus::LocLenErr => "IBV_WC_LOC_LEN_ERR",
        WcStatus::LocQpOpErr => "IBV_WC_LOC_QP_OP_ERR",
        WcStatus::LocProtErr => "IBV_WC_LOC_PROT_ERR",
        WcStatus::WrFlushErr => "IBV_WC_WR_FLUSH_ERR",
        WcStatus::MwBindErr => "IBV_WC_MW_BIND_ERR",
        WcStatus::BadRespErr => "IBV_WC_BAD_RESP_ERR",
        WcStatus::LocAccessErr => "IBV_WC_LOC_ACCESS_ERR",
        WcStatus::RemInvReqErr => "IBV_WC_REM_INV_REQ_ERR",
        WcStatus::RemAccessErr => "IBV_WC_REM_ACCESS_ERR",
        WcStatus::RemOpErr => "IBV_WC_REM_OP_ERR",
        WcStatus::RetryExcErr => "IBV_WC_RETRY_EXC_ERR",
        WcStatus::RnrRetryExcErr => "IBV_WC_RNR_RETRY_EXC_ERR",
    }
}

/// What it means, and what to look at.
fn explain(status: WcStatus) -> &'static str {
    match status {
        WcStatus::Success => "all is well",
        WcStatus::LocLenErr => {
            "the message is longer than the receive that was posted for it, or than any may be; post longer receives"
        }
        WcStatus::LocQpOpErr => {
            "the queue pair cannot do this; see max_rd_atomic, and that the request suits its type"
        }
        WcStatus::LocProtErr => {
            "a scatter/gather entry names memory that its key does not open; see that the region still exists, \
             belongs to the queue pair's domain, holds the range and has LOCAL_WRITE if it is written to"
        }
        WcStatus::WrFlushErr => {
            "it was not carried out, because the queue pair is in the error state; the first failed completion, \
             or an asynchronous event, tells why"
        }
        WcStatus::MwBindErr => {
            "the memory window could not be bound; see that its region exists, has MW_BIND and holds the range"
        }
        WcStatus::BadRespErr => "the peer's response does not belong to the request; the peer is faulty",
        WcStatus::LocAccessErr => "the peer's WRITE with immediate data failed here; see its address and key",
        WcStatus::RemInvReqErr => {
            "the peer calls the request invalid; see that its receives are long enough and its queue pair allows \
             this operation"
        }
        WcStatus::RemAccessErr => {
            "the peer's memory does not allow the access; see address, length, rkey and rights of its region and \
             the access of its queue pair"
        }
        WcStatus::RemOpErr => "the peer could not carry the request out; its own completions tell why",
        WcStatus::RetryExcErr => {
            "the peer did not answer; see that it runs, that its queue pair is connected to this one with these \
             PSNs, that UDP port 4791 is open between the two, and that both use the same path MTU"
        }
        WcStatus::RnrRetryExcErr => {
            "the peer had no receive posted in time; post receives earlier, or raise rnr_retry"
        }
    }
}
