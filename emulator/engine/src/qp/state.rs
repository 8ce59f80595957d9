//! The states of a queue pair and the legal ways between them, as data.
//!
//! [`transitions`] is IBTA table 91 (11.2.4.2) in the attributes of libibverbs. `modify_qp` checks against it,
//! and pictures of the state machine are drawn from it.

use crate::error::TransitionFault;

use super::attr::AttrMask;
use super::init::QpType;

/// State of a queue pair; values of `enum ibv_qp_state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u32)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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
    /// Send queue error, for unreliable services: sends are flushed, the responder works.
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

/// One legal transition of a queue pair of one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// State before.
    pub from: QpState,
    /// State after.
    pub to: QpState,
    /// Attributes that must be given.
    pub required: AttrMask,
    /// Attributes that may be given.
    pub optional: AttrMask,
}

/// Every legal transition that `modify_qp` can make with a queue pair of this service, those that lead on first.
/// (A queue pair goes to ERR, or SQE, by itself when it fails.)
pub fn transitions(qp_type: QpType) -> impl Iterator<Item = Transition> {
    let column = column(qp_type);
    TABLE.iter().filter_map(move |&(from, to, rules)| {
        let (required, optional) = rules[column]?;
        Some(Transition { from, to, required, optional })
    })
}

/// What a transition asks of a service: attributes that must, and attributes that may be given. `None` where the
/// service has no such transition.
type Rule = Option<(AttrMask, AttrMask)>;

/// For UD, UC, RC, XRC initiator, XRC target.
type Rules = [Rule; 5];

const fn column(qp_type: QpType) -> usize {
    match qp_type {
        QpType::Ud => 0,
        QpType::Uc => 1,
        QpType::Rc => 2,
        QpType::XrcInitiator => 3,
        QpType::XrcTarget => 4,
    }
}

const NONE: AttrMask = AttrMask::empty();
const CUR: AttrMask = AttrMask::CUR_STATE;
const ACCESS: AttrMask = AttrMask::ACCESS_FLAGS;
const PKEY: AttrMask = AttrMask::PKEY_INDEX;
const QKEY: AttrMask = AttrMask::QKEY;
const SQ_PSN: AttrMask = AttrMask::SQ_PSN;
const PATH: AttrMask = AttrMask::ALT_PATH.union(AttrMask::PATH_MIG_STATE);
const RNR_TIMER: AttrMask = AttrMask::MIN_RNR_TIMER;
const RATE: AttrMask = AttrMask::RATE_LIMIT;

/// What an initiator adds when it becomes ready to send.
const INITIATES: AttrMask =
    AttrMask::TIMEOUT.union(AttrMask::RETRY_CNT).union(AttrMask::RNR_RETRY).union(AttrMask::MAX_QP_RD_ATOMIC);

/// Where to: for all connected services.
const CONNECT: AttrMask =
    AttrMask::AV.union(AttrMask::PATH_MTU).union(AttrMask::DEST_QPN).union(AttrMask::RQ_PSN);

/// Plain transitions, for every service alike.
const ALL: Rules = [Some((NONE, NONE)); 5];

/// The same for the connected services.
const fn rules(ud: (AttrMask, AttrMask), connected: [(AttrMask, AttrMask); 4]) -> Rules {
    let [uc, rc, initiator, target] = connected;
    [Some(ud), Some(uc), Some(rc), Some(initiator), Some(target)]
}

const INIT: Rules = rules(
    (PKEY.union(AttrMask::PORT).union(QKEY), NONE),
    [(PKEY.union(AttrMask::PORT).union(ACCESS), NONE); 4],
);

const INIT_AGAIN: Rules = rules(
    (NONE, PKEY.union(AttrMask::PORT).union(QKEY)),
    [(NONE, PKEY.union(AttrMask::PORT).union(ACCESS)); 4],
);

const TO_RTR: Rules = {
    let optional = AttrMask::ALT_PATH.union(ACCESS).union(PKEY);
    let responds = CONNECT.union(AttrMask::MAX_DEST_RD_ATOMIC).union(RNR_TIMER);
    let (plain, responder) = ((CONNECT, optional), (responds, optional));
    rules((NONE, PKEY.union(QKEY)), [plain, responder, plain, responder])
};

const TO_RTS: Rules = {
    let optional = CUR.union(PATH).union(ACCESS).union(RATE);
    rules(
        (SQ_PSN, CUR.union(QKEY).union(RATE)),
        [
            (SQ_PSN, optional),
            (SQ_PSN.union(INITIATES), optional.union(RNR_TIMER)),
            (SQ_PSN.union(INITIATES), optional),
            (SQ_PSN.union(AttrMask::TIMEOUT), optional.union(RNR_TIMER)),
        ],
    )
};

const IN_RTS: Rules = {
    let optional = CUR.union(PATH).union(ACCESS).union(RATE);
    let (plain, responder) = ((NONE, optional), (NONE, optional.union(RNR_TIMER)));
    rules((NONE, CUR.union(QKEY).union(RATE)), [plain, responder, plain, responder])
};

const TO_SQD: Rules = [Some((NONE, AttrMask::EN_SQD_ASYNC_NOTIFY)); 5];

const RESUME: Rules = {
    let optional = CUR.union(PATH).union(ACCESS);
    let (plain, responder) = ((NONE, optional), (NONE, optional.union(RNR_TIMER)));
    rules((NONE, CUR.union(QKEY)), [plain, responder, plain, responder])
};

const IN_SQD: Rules = {
    let uc = AttrMask::AV.union(PATH).union(ACCESS).union(PKEY);
    let initiator = uc.union(AttrMask::PORT).union(INITIATES);
    let target = uc.union(AttrMask::PORT).union(AttrMask::TIMEOUT);
    let responds = AttrMask::MAX_DEST_RD_ATOMIC.union(RNR_TIMER);
    rules(
        (NONE, PKEY.union(QKEY)),
        [(NONE, uc), (NONE, initiator.union(responds)), (NONE, initiator), (NONE, target.union(responds))],
    )
};

/// Only unreliable services come to SQE.
const RECOVER: Rules = [Some((NONE, CUR.union(QKEY))), Some((NONE, CUR.union(ACCESS))), None, None, None];

const TABLE: &[(QpState, QpState, Rules)] = {
    use QpState::{Err, Init, Reset, Rtr, Rts, Sqd, Sqe};
    &[
        (Reset, Init, INIT),
        (Init, Init, INIT_AGAIN),
        (Init, Rtr, TO_RTR),
        (Rtr, Rts, TO_RTS),
        (Rts, Rts, IN_RTS),
        (Rts, Sqd, TO_SQD),
        (Sqd, Rts, RESUME),
        (Sqd, Sqd, IN_SQD),
        (Sqe, Rts, RECOVER),
        (Reset, Reset, ALL),
        (Init, Reset, ALL),
        (Rtr, Reset, ALL),
        (Rts, Reset, ALL),
        (Sqd, Reset, ALL),
        (Sqe, Reset, ALL),
        (Err, Reset, ALL),
        (Init, Err, ALL),
        (Rtr, Err, ALL),
        (Rts, Err, ALL),
        (Sqd, Err, ALL),
        (Sqe, Err, ALL),
        (Err, Err, ALL),
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
    let transition = transitions(qp_type).find(|t| (t.from, t.to) == (from, to));
    let Transition { required, optional, .. } = transition.ok_or(TransitionFault::Illegal)?;
    let missing = required.difference(given);
    if !missing.is_empty() {
        return Err(TransitionFault::Missing(missing));
    }
    let unexpected = given.difference(required.union(optional));
    if !unexpected.is_empty() {
        return Err(TransitionFault::Unexpected(unexpected));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// IBTA figure 126 as a matrix: rows are states before, columns after, in the order of `QpState::ALL`.
    const LEGAL: [&str; 7] = ["xx.....", "xxx...x", "x..x..x", "x..xx.x", "x..xx.x", "x..u..x", "x.....x"];

    #[test]
    fn the_table_holds_exactly_the_legal_transitions() {
        for qp_type in QpType::ALL {
            for (row, from) in QpState::ALL.iter().enumerate() {
                for (column, to) in QpState::ALL.iter().enumerate() {
                    let count = transitions(qp_type).filter(|t| (t.from, t.to) == (*from, *to)).count();
                    let legal = match LEGAL[row].as_bytes()[column] {
                        b'x' => true,
                        b'u' => matches!(qp_type, QpType::Uc | QpType::Ud),
                        _ => false,
                    };
                    assert_eq!(count, usize::from(legal), "{qp_type:?}: {from:?} -> {to:?}");
                }
            }
        }
    }

    #[test]
    fn each_service_asks_for_its_own_attributes() {
        let asks = |qp_type, from, to| {
            transitions(qp_type).find(|t| (t.from, t.to) == (from, to)).map(|t| t.required)
        };
        use QpState::{Init, Reset, Rtr, Rts};
        assert_eq!(
            asks(QpType::Ud, Reset, Init),
            Some(AttrMask::PKEY_INDEX | AttrMask::PORT | AttrMask::QKEY)
        );
        assert_eq!(asks(QpType::Ud, Init, Rtr), Some(NONE));
        assert_eq!(asks(QpType::Uc, Init, Rtr), Some(CONNECT));
        assert_eq!(asks(QpType::Uc, Rtr, Rts), Some(AttrMask::SQ_PSN));
        assert_eq!(asks(QpType::XrcTarget, Rtr, Rts), Some(AttrMask::SQ_PSN | AttrMask::TIMEOUT));
        assert_eq!(asks(QpType::Rc, Rtr, Rts), Some(AttrMask::SQ_PSN | INITIATES));
    }

    #[test]
    fn a_wrong_mask_is_named() {
        let given = AttrMask::STATE | AttrMask::PORT | AttrMask::PKEY_INDEX;
        let missing = check(QpType::Rc, QpState::Reset, QpState::Init, given);
        assert_eq!(missing, Err(TransitionFault::Missing(AttrMask::ACCESS_FLAGS)));
        let unexpected = check(QpType::Rc, QpState::Rts, QpState::Sqd, AttrMask::AV);
        assert_eq!(unexpected, Err(TransitionFault::Unexpected(AttrMask::AV)));
        let retries = AttrMask::SQ_PSN | AttrMask::RETRY_CNT;
        let unexpected = check(QpType::Uc, QpState::Rtr, QpState::Rts, retries);
        assert_eq!(unexpected, Err(TransitionFault::Unexpected(AttrMask::RETRY_CNT)));
    }
}
