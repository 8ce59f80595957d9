//! The states of a queue pair and the legal ways between them, as data.
//!
//! [`TRANSITIONS`] is IBTA table 91 (11.2.4.2) in the attributes of libibverbs. `modify_qp` checks against it,
//! and pictures of the state machine are drawn from it.

use crate::error::TransitionFault;

use super::attr::{AttrMask, QpType};

/// State of a queue pair; values of `enum ibv_qp_state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum QpState {
    /// Just created: nothing can be posted.
    #[default]
    Reset = 0,
    /// Receives can be posted, packets are dropped.
    Init = 1,
    /// Ready to receive: the responder works.
    Rtr = 2,
    /// Ready to send: requester and responder work.
    Rts = 3,
    /// Send queue draining: messages under way are finished, no new one is started.
    Sqd = 4,
    /// Send queue error, for unreliable services.
    Sqe = 5,
    /// Everything posted is flushed, packets are dropped.
    Err = 6,
}

impl QpState {
    /// All states.
    pub const ALL: [QpState; 7] =
        [QpState::Reset, QpState::Init, QpState::Rtr, QpState::Rts, QpState::Sqd, QpState::Sqe, QpState::Err];

    /// True where requests of the peer are processed.
    pub const fn receives(self) -> bool {
        matches!(self, QpState::Rtr | QpState::Rts | QpState::Sqd | QpState::Sqe)
    }

    /// True where responses of the peer are processed.
    pub const fn sends(self) -> bool {
        matches!(self, QpState::Rts | QpState::Sqd)
    }

    /// The name that libibverbs programs print.
    pub const fn name(self) -> &'static str {
        match self {
            QpState::Reset => "RESET",
            QpState::Init => "INIT",
            QpState::Rtr => "RTR",
            QpState::Rts => "RTS",
            QpState::Sqd => "SQD",
            QpState::Sqe => "SQE",
            QpState::Err => "ERR",
        }
    }
}

/// One legal transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The service it is for.
    pub qp_type: QpType,
    /// State before.
    pub from: QpState,
    /// State after.
    pub to: QpState,
    /// Attributes that must be given.
    pub required: AttrMask,
    /// Attributes that may be given.
    pub optional: AttrMask,
}

const fn rc(from: QpState, to: QpState, required: AttrMask, optional: AttrMask) -> Transition {
    Transition { qp_type: QpType::Rc, from, to, required, optional }
}

const NONE: AttrMask = AttrMask::empty();
const PKEY_PORT_ACCESS: AttrMask = AttrMask::PKEY_INDEX.union(AttrMask::PORT).union(AttrMask::ACCESS_FLAGS);
const CUR_ACCESS_RNR: AttrMask =
    AttrMask::CUR_STATE.union(AttrMask::ACCESS_FLAGS).union(AttrMask::MIN_RNR_TIMER);
const WHILE_DRAINED: AttrMask = AttrMask::PORT
    .union(AttrMask::AV)
    .union(AttrMask::TIMEOUT)
    .union(AttrMask::RETRY_CNT)
    .union(AttrMask::RNR_RETRY)
    .union(AttrMask::MAX_QP_RD_ATOMIC)
    .union(AttrMask::MAX_DEST_RD_ATOMIC)
    .union(AttrMask::ACCESS_FLAGS)
    .union(AttrMask::PKEY_INDEX)
    .union(AttrMask::MIN_RNR_TIMER);

/// Every legal transition that `modify_qp` can make. (A queue pair goes to ERR by itself when it fails.)
pub const TRANSITIONS: &[Transition] = {
    use QpState::{Err, Init, Reset, Rtr, Rts, Sqd, Sqe};
    &[
        rc(Reset, Init, PKEY_PORT_ACCESS, NONE),
        rc(Init, Init, NONE, PKEY_PORT_ACCESS),
        rc(
            Init,
            Rtr,
            AttrMask::AV
                .union(AttrMask::PATH_MTU)
                .union(AttrMask::DEST_QPN)
                .union(AttrMask::RQ_PSN)
                .union(AttrMask::MAX_DEST_RD_ATOMIC)
                .union(AttrMask::MIN_RNR_TIMER),
            AttrMask::ACCESS_FLAGS.union(AttrMask::PKEY_INDEX),
        ),
        rc(
            Rtr,
            Rts,
            AttrMask::SQ_PSN
                .union(AttrMask::TIMEOUT)
                .union(AttrMask::RETRY_CNT)
                .union(AttrMask::RNR_RETRY)
                .union(AttrMask::MAX_QP_RD_ATOMIC),
            CUR_ACCESS_RNR.union(AttrMask::RATE_LIMIT),
        ),
        rc(Rts, Rts, NONE, CUR_ACCESS_RNR.union(AttrMask::RATE_LIMIT)),
        rc(Rts, Sqd, NONE, AttrMask::EN_SQD_ASYNC_NOTIFY),
        rc(Sqd, Rts, NONE, CUR_ACCESS_RNR),
        rc(Sqd, Sqd, NONE, WHILE_DRAINED),
        rc(Reset, Reset, NONE, NONE),
        rc(Init, Reset, NONE, NONE),
        rc(Rtr, Reset, NONE, NONE),
        rc(Rts, Reset, NONE, NONE),
        rc(Sqd, Reset, NONE, NONE),
        rc(Sqe, Reset, NONE, NONE),
        rc(Err, Reset, NONE, NONE),
        rc(Init, Err, NONE, NONE),
        rc(Rtr, Err, NONE, NONE),
        rc(Rts, Err, NONE, NONE),
        rc(Sqd, Err, NONE, NONE),
        rc(Sqe, Err, NONE, NONE),
        rc(Err, Err, NONE, NONE),
    ]
};

/// Checks that `given` is right for going from `from` to `to`.
pub(super) fn check(
    qp_type: QpType,
    from: QpState,
    to: QpState,
    given: AttrMask,
) -> Result<(), TransitionFault> {
    let given = given.difference(AttrMask::STATE);
    let row = TRANSITIONS.iter().find(|t| (t.qp_type, t.from, t.to) == (qp_type, from, to));
    let row = row.ok_or(TransitionFault::Illegal)?;
    let missing = row.required.difference(given);
    if !missing.is_empty() {
        return Err(TransitionFault::Missing(missing));
    }
    let unexpected = given.difference(row.required.union(row.optional));
    if !unexpected.is_empty() {
        return Err(TransitionFault::Unexpected(unexpected));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// IBTA figure 126 as a matrix: rows are states before, columns after, in the order of `QpState::ALL`.
    const LEGAL: [&str; 7] = ["xx.....", "xxx...x", "x..x..x", "x..xx.x", "x..xx.x", "x.....x", "x.....x"];

    #[test]
    fn the_table_holds_exactly_the_legal_transitions() {
        for (row, from) in QpState::ALL.iter().enumerate() {
            for (column, to) in QpState::ALL.iter().enumerate() {
                let count = TRANSITIONS.iter().filter(|t| (t.from, t.to) == (*from, *to)).count();
                let legal = LEGAL[row].as_bytes()[column] == b'x';
                assert_eq!(count, usize::from(legal), "{from:?} -> {to:?}");
            }
        }
    }

    #[test]
    fn a_wrong_mask_is_named() {
        let given = AttrMask::STATE | AttrMask::PORT | AttrMask::PKEY_INDEX;
        let missing = check(QpType::Rc, QpState::Reset, QpState::Init, given);
        assert_eq!(missing, Err(TransitionFault::Missing(AttrMask::ACCESS_FLAGS)));
        let unexpected = check(QpType::Rc, QpState::Rts, QpState::Sqd, AttrMask::AV);
        assert_eq!(unexpected, Err(TransitionFault::Unexpected(AttrMask::AV)));
    }
}
