//! Shared receive queues.

use ferroce_engine::*;

use crate::pair::{ALL, Fate, Pair, QKEY, Setup};

/// A pair whose end 1 has a shared receive queue, and `count` more connections that use it there.
fn sharing(count: usize, max_wr: u32) -> (Pair, Srq, Vec<[Qpn; 2]>) {
    let mut pair = Pair::new(Setup::default());
    let srq = pair.ends[1].device.create_srq(&SrqInit::new(pair.ends[1].pd, max_wr)).unwrap();
    let qps = (0..count).map(|_| connect(&mut pair, QpType::Rc, srq)).collect();
    (pair, srq, qps)
}

/// One more connection, whose end 1 uses `srq`.
fn connect(pair: &mut Pair, qp_type: QpType, srq: Srq) -> [Qpn; 2] {
    let init = |pair: &Pair, end: usize| QpInit::new(qp_type, pair.ends[end].pd, pair.ends[end].cq);
    let inits = [init(pair, 0), QpInit { srq: Some(srq), ..init(pair, 1) }];
    let qps = [0, 1].map(|end| pair.ends[end].device.create_qp(&inits[end]).unwrap());
    for end in 0..2 {
        let av = AddressVector::new(0, pair.ends[1 - end].addr);
        let rts = QpAttr { rnr_retry: Some(1), ..QpAttr::rts(Psn::new(7)) };
        let changes = [QpAttr::init(ALL), QpAttr::rtr(av, qps[1 - end], Psn::new(7), PathMtu::Mtu256), rts];
        for change in changes {
            pair.ends[end].device.modify_qp(pair.now, qps[end], &change).unwrap();
        }
    }
    qps
}

fn post(pair: &mut Pair, srq: Srq, wr_id: u64, sges: &[Sge]) {
    pair.ends[1].device.post_srq_recv(pair.now, srq, &[RecvWr { wr_id, sges }]).unwrap();
}

fn send(pair: &mut Pair, qp: Qpn, wr_id: u64, op: SendOp, sges: &[Sge]) {
    let wr = SendWr { flags: SendFlags::SIGNALED, ..SendWr::new(wr_id, op, Payload::Sges(sges)) };
    pair.ends[0].device.post_send(pair.now, qp, &[wr]).unwrap();
}

#[test]
fn whoever_comes_first_takes_the_oldest_receive() {
    let (mut pair, srq, qps) = sharing(3, 16);
    for (slot, wr_id) in (100..103).enumerate() {
        let sge = pair.ends[1].sge(slot * 64, 64);
        post(&mut pair, srq, wr_id, &[sge]);
    }
    for (index, qp) in [2, 0, 1].into_iter().enumerate() {
        pair.ends[0].buffer.write(0, &[index as u8 + 1; 8]);
        let sge = pair.ends[0].sge(0, 8);
        send(&mut pair, qps[qp][0], 1, SendOp::Send, &[sge]);
        pair.settle();
    }
    let done: Vec<_> = pair.ends[1].poll().iter().map(|wc| (wc.wr_id, Qpn::new(wc.qpn))).collect();
    assert_eq!(done, [(100, qps[2][1]), (101, qps[0][1]), (102, qps[1][1])]);
    let first_bytes = [0, 64, 128].map(|at| pair.ends[1].buffer.to_vec(at, 1)[0]);
    assert_eq!(first_bytes, [1, 2, 3]);
}

#[test]
fn a_long_message_keeps_its_receive_while_others_take_the_next() {
    let (mut pair, srq, qps) = sharing(2, 16);
    for (slot, wr_id) in (100..102).enumerate() {
        let sge = pair.ends[1].sge(slot * 1024, 1024);
        post(&mut pair, srq, wr_id, &[sge]);
    }
    // The second packet of three is lost once, so that the other connection comes in between.
    pair.fate = Box::new(|from, number, _| match (from, number) {
        (0, 1) => Fate::Drop,
        _ => Fate::Deliver,
    });
    pair.ends[0].buffer.write(0, &[7; 600]);
    let (long, short) = (pair.ends[0].sge(0, 600), pair.ends[0].sge(1000, 8));
    send(&mut pair, qps[0][0], 1, SendOp::Send, &[long]);
    send(&mut pair, qps[1][0], 2, SendOp::Send, &[short]);
    pair.run_for(1_000_000);
    let mut done: Vec<_> = pair.ends[1].poll().iter().map(|wc| (wc.wr_id, wc.byte_len)).collect();
    done.sort_unstable();
    assert_eq!(done, [(100, 600), (101, 8)]);
    assert!(pair.ends[1].buffer.to_vec(0, 600).iter().all(|byte| *byte == 7));
}

#[test]
fn an_empty_queue_makes_the_peer_wait_and_give_up() {
    let (mut pair, srq, qps) = sharing(1, 16);
    send(&mut pair, qps[0][0], 1, SendOp::Send, &[]);
    pair.settle();
    post(&mut pair, srq, 100, &[]);
    pair.run_for(100_000);
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)], "it came in time");
    send(&mut pair, qps[0][0], 2, SendOp::Send, &[]);
    pair.run_for(1_000_000);
    assert_eq!(pair.ends[0].statuses(), [(2, WcStatus::RnrRetryExcErr)]);
}

#[test]
fn the_limit_is_told_once_each_time_that_it_is_armed() {
    let (mut pair, srq, qps) = sharing(1, 16);
    (100..106).for_each(|wr_id| post(&mut pair, srq, wr_id, &[]));
    pair.ends[1].device.modify_srq(srq, None, Some(4)).unwrap();
    let mut after = Vec::new();
    for wr_id in 0..6 {
        send(&mut pair, qps[0][0], wr_id, SendOp::Send, &[]);
        pair.settle();
        after.push(
            pair.ends[1].events.iter().filter(|event| **event == AsyncEvent::SrqLimitReached(srq)).count(),
        );
        if wr_id == 3 {
            assert_eq!(pair.ends[1].device.query_srq(srq).unwrap().limit, 0, "it is off now");
            pair.ends[1].device.modify_srq(srq, None, Some(1)).unwrap();
        }
    }
    assert_eq!(after, [0, 0, 1, 1, 1, 2], "with three left, and, armed anew, with none");
}

#[test]
fn a_failing_queue_pair_flushes_what_it_holds_and_says_that_it_takes_no_more() {
    let (mut pair, srq, qps) = sharing(2, 16);
    (100..103).for_each(|wr_id| {
        let sge = pair.ends[1].sge(0, 1024);
        post(&mut pair, srq, wr_id, &[sge]);
    });
    pair.fate = Box::new(|from, number, _| match (from, number) {
        (0, 1..) => Fate::Drop,
        _ => Fate::Deliver,
    });
    let long = pair.ends[0].sge(0, 600);
    send(&mut pair, qps[0][0], 1, SendOp::Send, &[long]);
    pair.settle();
    let qp = qps[0][1];
    pair.ends[1].device.modify_qp(pair.now, qp, &QpAttr::to(QpState::Err)).unwrap();
    pair.settle();
    assert_eq!(pair.ends[1].statuses(), [(100, WcStatus::WrFlushErr)]);
    assert_eq!(pair.ends[1].events, [AsyncEvent::Qp(qp, QpEvent::LastWqeReached)]);
    assert_eq!(pair.ends[1].device.query_srq(srq).unwrap().queued, 2, "the others keep theirs");
    pair.ends[1].device.modify_qp(pair.now, qp, &QpAttr::to(QpState::Err)).unwrap();
    pair.settle();
    assert_eq!(pair.ends[1].events.len(), 1, "it is told once");
}

#[test]
fn a_receive_that_is_too_short_or_wrong_fails_its_own_connection_only() {
    let (mut pair, srq, qps) = sharing(3, 16);
    let good = pair.ends[1].sge(0, 64);
    post(&mut pair, srq, 100, &[Sge { len: 4, ..good }]);
    post(&mut pair, srq, 101, &[Sge { lkey: good.lkey ^ 1, ..good }]);
    post(&mut pair, srq, 102, &[good]);
    let data = pair.ends[0].sge(0, 8);
    for (index, [qp, _]) in qps.iter().enumerate() {
        send(&mut pair, *qp, index as u64, SendOp::Send, &[data]);
        pair.settle();
    }
    let there = [(100, WcStatus::LocLenErr), (101, WcStatus::LocProtErr), (102, WcStatus::Success)];
    assert_eq!(pair.ends[1].statuses(), there);
    let here = [(0, WcStatus::RemInvReqErr), (1, WcStatus::RemOpErr), (2, WcStatus::Success)];
    assert_eq!(pair.ends[0].statuses(), here);
}

#[test]
fn receives_name_memory_of_the_queues_domain() {
    let (mut pair, _, _) = sharing(0, 1);
    let device = &mut pair.ends[1].device;
    let other = device.alloc_pd().unwrap();
    let buffer = Buffer::new(64);
    let mr = device.reg_mr(other, MrInit::new(&buffer, Access::LOCAL_WRITE)).unwrap();
    let srq = device.create_srq(&SrqInit::new(other, 4)).unwrap();
    let [qp, _] = connect(&mut pair, QpType::Rc, srq);
    post(&mut pair, srq, 100, &[Sge { addr: buffer.addr(), len: 64, lkey: mr.lkey }]);
    pair.ends[0].buffer.write(0, b"in there");
    let data = pair.ends[0].sge(0, 8);
    send(&mut pair, qp, 1, SendOp::Send, &[data]);
    pair.settle();
    assert_eq!(pair.ends[1].statuses(), [(100, WcStatus::Success)]);
    assert_eq!(buffer.to_vec(0, 8), b"in there");
}

#[test]
fn datagrams_share_receives_too() {
    let mut pair = Pair::new(Setup { qp_type: QpType::Ud, ..Setup::default() });
    let (pd, cq) = (pair.ends[1].pd, pair.ends[1].cq);
    let srq = pair.ends[1].device.create_srq(&SrqInit::new(pd, 4)).unwrap();
    let init = QpInit { srq: Some(srq), ..QpInit::new(QpType::Ud, pd, cq) };
    let qps = [0; 2].map(|_| pair.ends[1].device.create_qp(&init).unwrap());
    for qp in qps {
        for change in [QpAttr::init_ud(QKEY), QpAttr::to(QpState::Rtr)] {
            pair.ends[1].device.modify_qp(pair.now, qp, &change).unwrap();
        }
    }
    for wr_id in [100, 101] {
        let sge = pair.ends[1].sge(0, 64);
        post(&mut pair, srq, wr_id, &[sge]);
    }
    let av = AddressVector::new(0, pair.ends[1].addr);
    let (from, here) = (pair.ends[0].qp, pair.ends[0].pd);
    let ah = pair.ends[0].device.create_ah(here, av).unwrap();
    let list = [pair.ends[0].sge(0, 8)];
    for qpn in [qps[1], qps[0]] {
        let to = To::Datagram { ah, qpn, qkey: QKEY };
        let wr = SendWr { to, ..SendWr::new(1, SendOp::Send, Payload::Sges(&list)) };
        pair.ends[0].device.post_send(pair.now, from, &[wr]).unwrap();
    }
    pair.settle();
    let done: Vec<_> = pair.ends[1].poll().iter().map(|wc| (wc.wr_id, Qpn::new(wc.qpn))).collect();
    assert_eq!(done, [(100, qps[1]), (101, qps[0])]);
}

#[test]
fn rules_of_shared_queues() {
    let (mut pair, srq, qps) = sharing(1, 4);
    let (pd, cq) = (pair.ends[1].pd, pair.ends[1].cq);
    let device = &mut pair.ends[1].device;
    let errno = |result: Result<(), VerbsError>| result.map_err(VerbsError::errno);
    let limits = device.config().limits;
    for init in [
        SrqInit::new(pd, 0),
        SrqInit::new(pd, limits.max_srq_wr + 1),
        SrqInit { max_sge: limits.max_srq_sge + 1, ..SrqInit::new(pd, 4) },
    ] {
        assert_eq!(errno(device.create_srq(&init).map(drop)), Err(22), "{init:?}");
    }
    let uc = QpInit { srq: Some(srq), ..QpInit::new(QpType::Uc, pd, cq) };
    assert_eq!(errno(device.create_qp(&uc).map(drop)), Err(22));
    let recv = RecvWr { wr_id: 1, sges: &[] };
    let own = device.post_recv(Time::ZERO, qps[0][1], &[recv]);
    assert_eq!(own.map_err(|error| error.cause.errno()), Err(22), "it has no queue of its own");
    let full = device.post_srq_recv(Time::ZERO, srq, &[recv; 5]).unwrap_err();
    assert_eq!((full.index, full.cause.errno()), (4, 12));
    assert_eq!(errno(device.modify_srq(srq, Some(3), None)), Err(22), "four are posted");
    assert_eq!(errno(device.modify_srq(srq, None, Some(5))), Err(22), "a limit above the room");
    device.modify_srq(srq, Some(6), Some(2)).unwrap();
    let info = device.query_srq(srq).unwrap();
    assert_eq!((info.init.max_wr, info.queued, info.limit), (6, 4, 2));
    let seen = device.snapshot().srqs.remove(0);
    assert_eq!((seen.srq, seen.depth, seen.queue.len(), seen.limit), (srq, 6, 4, 2));
    assert_eq!(errno(device.destroy_srq(srq)), Err(16));
    assert_eq!(errno(device.dealloc_pd(pd)), Err(16));
    device.destroy_qp(qps[0][1]).unwrap();
    device.destroy_srq(srq).unwrap();
    assert_eq!(device.query_srq(srq), Err(VerbsError::Stale("shared receive queue")));
}

#[test]
fn room_can_change_while_receives_are_posted() {
    let (mut pair, srq, qps) = sharing(1, 3);
    (100..103).for_each(|wr_id| {
        let sge = pair.ends[1].sge((wr_id as usize - 100) * 8, 8);
        post(&mut pair, srq, wr_id, &[sge]);
    });
    pair.ends[1].device.modify_srq(srq, Some(5), None).unwrap();
    (103..105).for_each(|wr_id| {
        let sge = pair.ends[1].sge((wr_id as usize - 100) * 8, 8);
        post(&mut pair, srq, wr_id, &[sge]);
    });
    for value in 0..5u8 {
        pair.ends[0].buffer.write(0, &[value; 8]);
        let data = pair.ends[0].sge(0, 8);
        send(&mut pair, qps[0][0], 1, SendOp::Send, &[data]);
        pair.settle();
    }
    let order: Vec<_> = pair.ends[1].poll().iter().map(|wc| wc.wr_id).collect();
    assert_eq!(order, [100, 101, 102, 103, 104]);
    let bytes: Vec<_> = (0..5).map(|slot| pair.ends[1].buffer.to_vec(slot * 8, 1)[0]).collect();
    assert_eq!(bytes, [0, 1, 2, 3, 4]);
}
