//! The states of a queue pair. Read README.md, write `modify` and `post`, then: ferroce lab check

/// States of a queue pair of a reliable connection: `ibv_qp_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Reset,
    Init,
    Rtr,
    Rts,
    Err,
}

/// What a call can set beside the state: `ibv_qp_attr_mask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attr {
    PkeyIndex,
    Port,
    AccessFlags,
    Av,
    PathMtu,
    DestQpn,
    RqPsn,
    MaxDestRdAtomic,
    MinRnrTimer,
    SqPsn,
    Timeout,
    RetryCnt,
    RnrRetry,
    MaxQpRdAtomic,
}

/// Where a work request is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    Send,
    Receive,
}

/// What becomes of a work request when it is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// The call fails.
    Refused,
    /// It waits in the queue, or is carried out.
    Taken,
    /// It is taken, and comes back at once with the status "flushed".
    Flushed,
}

/// Attributes that a step must have, and those that it may have; `None` if there is no such step.
fn step(from: State, to: State) -> Option<(&'static [Attr], &'static [Attr])> {
    use Attr::*;
    match (from, to) {
        (State::Reset, State::Err) => None,
        (_, State::Reset | State::Err) => Some((&[], &[])),
        (State::Reset, State::Init) => Some((&[PkeyIndex, Port, AccessFlags], &[])),
        (State::Init, State::Init) => Some((&[], &[PkeyIndex, Port, AccessFlags])),
        (State::Init, State::Rtr) => {
            Some((&[Av, PathMtu, DestQpn, RqPsn, MaxDestRdAtomic, MinRnrTimer], &[AccessFlags, PkeyIndex]))
        }
        (State::Rtr, State::Rts) => {
            Some((&[SqPsn, Timeout, RetryCnt, RnrRetry, MaxQpRdAtomic], &[AccessFlags, MinRnrTimer]))
        }
        (State::Rts, State::Rts) => Some((&[], &[AccessFlags, MinRnrTimer])),
        _ => None,
    }
}

/// Whether a queue pair that is in the state `from` can be brought to `to` with these attributes.
pub fn modify(from: State, to: State, given: &[Attr]) -> bool {
    let Some((required, optional)) = step(from, to) else { return false };
    let has_all = required.iter().all(|attr| given.contains(attr));
    let has_no_other = given.iter().all(|attr| required.contains(attr) || optional.contains(attr));
    has_all && has_no_other
}

/// What becomes of a work request that is posted in this state.
pub fn post(state: State, queue: Queue) -> Posted {
    match (state, queue) {
        (State::Err, _) => Posted::Flushed,
        (State::Rts, _) => Posted::Taken,
        (State::Init | State::Rtr, Queue::Receive) => Posted::Taken,
        _ => Posted::Refused,
    }
}
