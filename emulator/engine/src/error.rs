//! What a verb answers when it cannot do what was asked.

/// Why a verb was refused. Nothing changed.
///
/// These are the local misuses of the interface; what goes wrong later is told by a completion's
/// [`WcStatus`](crate::WcStatus) or an [`AsyncEvent`](crate::AsyncEvent).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerbsError {
    /// The handle names nothing: the object was destroyed, or belongs to another device.
    #[error("no such {0}: it was destroyed, or belongs to another device")]
    Stale(&'static str),
    /// An argument has a value that the verb does not allow.
    #[error("invalid argument: {0}")]
    Invalid(&'static str),
    /// The queue pair is in a state in which the verb is not allowed.
    #[error("not allowed while the queue pair is in state {0:?}")]
    WrongState(crate::QpState),
    /// The state transition or its attributes are not those of the table in IBTA 11.2.4.2.
    #[error("modify_qp {from:?} -> {to:?}: {why}")]
    Transition {
        /// The state that the queue pair is in.
        from: crate::QpState,
        /// The state that was asked for.
        to: crate::QpState,
        /// What is wrong.
        why: TransitionFault,
    },
    /// The work queue holds as many requests as it was created for.
    #[error("the work queue is full ({depth} requests): poll completions, or create it deeper")]
    QueueFull {
        /// The queue's capacity in work requests.
        depth: u32,
    },
    /// The object is still used by another.
    #[error("busy: {0}")]
    Busy(&'static str),
    /// A limit of the device, see [`Limits`](crate::Limits).
    #[error("out of {0}: the device's limit is reached")]
    Exhausted(&'static str),
    /// What the call names was not made yet.
    #[error("there is no {0}")]
    NotThere(&'static str),
    /// The call names memory that is not there, or that it may not use so.
    #[error("bad address: {0}")]
    Fault(&'static str),
    /// The device does not offer this.
    #[error("not supported: {0}")]
    Unsupported(&'static str),
}

/// What is wrong with a call of `modify_qp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransitionFault {
    /// There is no such transition.
    #[error("there is no such transition")]
    Illegal,
    /// Attributes are missing that the transition requires.
    #[error("required attributes are missing: {0}")]
    Missing(crate::AttrMask),
    /// Attributes were given that the transition does not allow.
    #[error("attributes that this transition does not allow: {0}")]
    Unexpected(crate::AttrMask),
    /// `cur_state` was given and differs from the state the queue pair is in.
    #[error("cur_state does not match")]
    CurState,
    /// An attribute is out of its range.
    #[error("{0} is out of range")]
    Range(&'static str),
}

impl VerbsError {
    /// The `errno` value with which libibverbs reports this (Linux numbering).
    pub const fn errno(self) -> i32 {
        match self {
            VerbsError::Stale(_) | VerbsError::Invalid(_) => 22, // EINVAL
            VerbsError::WrongState(_) | VerbsError::Transition { .. } => 22,
            VerbsError::QueueFull { .. } | VerbsError::Exhausted(_) => 12, // ENOMEM
            VerbsError::Busy(_) => 16,                                     // EBUSY
            VerbsError::NotThere(_) => 11,                                 // EAGAIN
            VerbsError::Fault(_) => 14,                                    // EFAULT
            VerbsError::Unsupported(_) => 95,                              // EOPNOTSUPP
        }
    }
}

/// A batch of work requests that was posted in part.
///
/// The requests before `index` were posted, that one and all after it were not (`bad_wr` of `ibv_post_send`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("work request {index} of the batch: {cause}")]
pub struct PostError {
    /// Position of the first request that was not posted.
    pub index: usize,
    /// Why.
    #[source]
    pub cause: VerbsError,
}
