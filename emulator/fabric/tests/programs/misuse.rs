//! Verbs that must be refused, on a queue pair that works.

use ferroce_engine::*;
use ferroce_fabric::Watch;

use crate::run::Checked;
use crate::world::World;

/// Tries them all; nothing may change.
pub(crate) fn check<T: Watch>(world: &mut World<T>, end: usize) -> Checked {
    let at = world.ends[end].at;
    let Ok(before) = world.fabric.device(at.host).query_qp(at.qp) else { return Ok(()) };
    let legal = |to| transitions(QpType::Rc).any(|row| (row.from, row.to) == (before.state, to));
    let unknown = QpState::ALL.into_iter().filter(|to| !legal(*to)).map(QpAttr::to);
    let wrong = [
        QpAttr { cur_state: Some(QpState::Init), ..QpAttr::to(QpState::Rts) },
        QpAttr { path_mtu: Some(PathMtu::Mtu256), ..QpAttr::to(QpState::Rts) },
        QpAttr { rq_psn: Some(Psn::new(1)), ..QpAttr::to(QpState::Sqd) },
        QpAttr { retry_cnt: Some(1), ..QpAttr::to(QpState::Err) },
    ];
    for change in unknown.chain(wrong) {
        if world.fabric.modify_qp(at, &change).is_ok() {
            return Err(format!("end {end}: {:?} to {change:?} was allowed", before.state));
        }
    }
    let sge = Sge { len: 1, ..Sge::default() };
    let read = SendOp::Read(Remote::default());
    let too_much = [
        (SendOp::Send, Payload::Sges(&[sge; 5])),
        (SendOp::Send, Payload::Inline(&[0; 65])),
        (read, Payload::Inline(&[0; 1])),
    ];
    for (op, payload) in too_much {
        let wr = SendWr { flags: SendFlags::SIGNALED, ..SendWr::new(999, op, payload) };
        if world.fabric.post_send(at, &[wr]).is_ok() {
            return Err(format!("end {end}: {wr:?} was posted"));
        }
    }
    if world.fabric.post_recv(at, &[RecvWr { wr_id: 1999, sges: &[sge; 5] }]).is_ok() {
        return Err(format!("end {end}: a receive with too many entries was posted"));
    }
    match world.fabric.device(at.host).query_qp(at.qp) {
        Ok(after) if after == before => Ok(()),
        after => Err(format!("end {end}: refused verbs changed {before:?} to {after:?}")),
    }
}
