//! Completion queues: room, moments, wishes.

use ferroce_engine::*;

use crate::pair::{Pair, Setup};

#[test]
fn a_completion_says_when_it_was_added() {
    let mut pair = Pair::new(Setup::default());
    pair.run_for(1_500);
    let sge = pair.ends[0].sge(0, 8);
    pair.send(0, 1, SendOp::Write(pair.ends[1].remote(0)), &[sge]);
    pair.settle();
    pair.run_for(10);
    assert_eq!(pair.ends[0].poll()[0].timestamp, Time::from_micros(1_500), "not when it was polled");
}

#[test]
fn many_lost_completions_are_told_once_until_the_queue_is_polled() {
    let mut pair = Pair::new(Setup::default());
    let (qp, cq) = (pair.ends[0].qp, pair.ends[0].cq);
    pair.ends[0].device.resize_cq(cq, 2).unwrap();
    for round in 0..2 {
        (0..5).for_each(|wr_id| pair.recv(0, wr_id, &[]));
        pair.ends[0].device.modify_qp(pair.now, qp, &QpAttr::to(QpState::Err)).unwrap();
        pair.settle();
        assert_eq!(pair.ends[0].events, [AsyncEvent::CqErr(cq)], "round {round}");
        pair.ends[0].events.clear();
        assert_eq!(pair.ends[0].poll().len(), 2);
        pair.ends[0].device.modify_qp(pair.now, qp, &QpAttr::to(QpState::Reset)).unwrap();
        pair.ends[0].device.modify_qp(pair.now, qp, &QpAttr::init(Access::empty())).unwrap();
    }
}

#[test]
fn room_is_changed_within_bounds_and_never_below_what_is_queued() {
    let mut pair = Pair::new(Setup::default());
    let cq = pair.ends[0].cq;
    let sge = pair.ends[0].sge(0, 8);
    for wr_id in 0..3 {
        pair.send(0, wr_id, SendOp::Write(pair.ends[1].remote(0)), &[sge]);
    }
    pair.settle();
    let device = &mut pair.ends[0].device;
    let most = device.config().limits.max_cqe;
    for wrong in [0, 2, most + 1] {
        assert_eq!(device.resize_cq(cq, wrong).map_err(VerbsError::errno), Err(22), "{wrong}");
    }
    assert_eq!(device.query_cq(cq).unwrap().capacity, 1024, "nothing changed");
    device.resize_cq(cq, 3).unwrap();
    let info = device.query_cq(cq).unwrap();
    assert_eq!((info.capacity, info.queued), (3, 3));
    device.resize_cq(cq, most).unwrap();
    let order: Vec<_> = pair.ends[0].poll().iter().map(|wc| wc.wr_id).collect();
    assert_eq!(order, [0, 1, 2], "nothing is lost");
}

#[test]
fn moderation_is_kept() {
    let mut pair = Pair::new(Setup::default());
    let (cq, device) = (pair.ends[0].cq, &mut pair.ends[0].device);
    let wish = Moderation { count: 10, period: 100 };
    device.modify_cq(cq, wish).unwrap();
    device.req_notify_cq(cq, Arm::Solicited).unwrap();
    let info = device.query_cq(cq).unwrap();
    assert_eq!((info.moderation, info.armed), (wish, Arm::Solicited));
}
