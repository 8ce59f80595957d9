//! What goes wrong, what each end is told, and what becomes of everything else that was posted.

use ferroce_engine::*;

use crate::pair::{Pair, Setup};

/// Lets end 0 do `op` with 64 bytes while both ends have another request posted; gives both ends' completions.
fn outcome(pair: &mut Pair, op: SendOp) -> [Vec<(u64, WcStatus)>; 2] {
    let recv = pair.ends[1].sge(0, 64);
    pair.recv(1, 900, &[recv]);
    let recv = pair.ends[0].sge(0, 64);
    pair.recv(0, 900, &[recv]);
    let local = pair.ends[0].sge(0, 64);
    pair.send(0, 1, op, &[local]);
    pair.send(0, 2, SendOp::Read(pair.ends[1].remote(0)), &[local]);
    pair.settle();
    [pair.ends[0].statuses(), pair.ends[1].statuses()]
}

/// The usual outcome: the request fails, everything else is flushed on both sides.
fn fails_with(mut pair: Pair, op: SendOp, status: WcStatus, event: QpEvent) {
    let [requester, responder] = outcome(&mut pair, op);
    let flushed = (900, WcStatus::WrFlushErr);
    assert_eq!(requester, [(1, status), (2, WcStatus::WrFlushErr), flushed]);
    assert_eq!(responder, [flushed]);
    assert_eq!(pair.ends[1].events, [AsyncEvent::Qp(pair.ends[1].qp, event)]);
    assert_eq!([pair.ends[0].state(), pair.ends[1].state()], [QpState::Err, QpState::Err]);
}

#[test]
fn memory_that_is_not_open_to_the_peer() {
    let cases: [fn(Remote) -> SendOp; 3] = [
        |right| SendOp::Write(Remote { rkey: right.rkey ^ 1, ..right }),
        |right| SendOp::Read(Remote { addr: right.addr + 65_536 - 63, ..right }),
        |right| SendOp::FetchAdd { remote: Remote { addr: right.addr.wrapping_sub(8), ..right }, add: 1 },
    ];
    for case in cases {
        let pair = Pair::new(Setup::default());
        let op = case(pair.ends[1].remote(0));
        fails_with(pair, op, WcStatus::RemAccessErr, QpEvent::AccessErr);
    }
}

#[test]
fn rights_of_the_region() {
    let local_only = || Setup { access: Access::LOCAL_WRITE, ..Setup::default() };
    let cases: [fn(Remote) -> SendOp; 3] =
        [SendOp::Write, SendOp::Read, |remote| SendOp::FetchAdd { remote, add: 1 }];
    for case in cases {
        let pair = Pair::new(local_only());
        let op = case(pair.ends[1].remote(0));
        fails_with(pair, op, WcStatus::RemAccessErr, QpEvent::AccessErr);
    }
}

#[test]
fn rights_of_the_queue_pair_come_first() {
    let cases: [fn(Remote) -> SendOp; 3] =
        [SendOp::Write, SendOp::Read, |remote| SendOp::FetchAdd { remote, add: 1 }];
    for case in cases {
        let pair = Pair::new(Setup { qp_access: Access::LOCAL_WRITE, ..Setup::default() });
        let wrong_key = Remote { rkey: 0xdead_be00, ..pair.ends[1].remote(0) };
        fails_with(pair, case(wrong_key), WcStatus::RemInvReqErr, QpEvent::ReqErr);
    }
}

#[test]
fn unaligned_atomics_are_invalid() {
    let pair = Pair::new(Setup::default());
    let op = SendOp::FetchAdd { remote: pair.ends[1].remote(4), add: 1 };
    fails_with(pair, op, WcStatus::RemInvReqErr, QpEvent::ReqErr);
}

#[test]
fn reads_without_responder_resources_are_invalid() {
    let pair = Pair::new(Setup { rtr: |rtr| rtr.max_dest_rd_atomic = Some(0), ..Setup::default() });
    let op = SendOp::Read(pair.ends[1].remote(0));
    fails_with(pair, op, WcStatus::RemInvReqErr, QpEvent::ReqErr);
}

#[test]
fn nothing_is_written_of_what_does_not_fit_entirely() {
    let mut pair = Pair::new(Setup::default());
    pair.ends[0].buffer.write(0, &[9; 3000]);
    let (local, remote) = (pair.ends[0].sge(0, 3000), pair.ends[1].remote(65_536 - 2500));
    pair.send(0, 1, SendOp::Write(remote), &[local]);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::RemAccessErr)]);
    assert_eq!(pair.ends[1].buffer.to_vec(65_536 - 2500, 2500), [0; 2500]);
}

#[test]
fn a_send_longer_than_its_receive() {
    for (personality, status) in
        [(Personality::ferroce(), WcStatus::RemInvReqErr), (Personality::rxe(), WcStatus::RemOpErr)]
    {
        let mut pair = Pair::new(Setup { personality, ..Setup::default() });
        let recv = pair.ends[1].sge(0, 1500);
        pair.recv(1, 101, &[recv]);
        pair.recv(1, 102, &[recv]);
        let local = pair.ends[0].sge(0, 3000);
        pair.send(0, 1, SendOp::Send, &[local]);
        pair.settle();
        assert_eq!(pair.ends[0].statuses(), [(1, status)]);
        assert_eq!(pair.ends[1].statuses(), [(101, WcStatus::LocLenErr), (102, WcStatus::WrFlushErr)]);
        assert!(pair.ends[1].events.is_empty(), "the receive tells it all");
    }
}

#[test]
fn a_receive_with_a_wrong_key() {
    let mut pair = Pair::new(Setup::default());
    let recv = Sge { lkey: 1, ..pair.ends[1].sge(0, 64) };
    pair.recv(1, 101, &[recv]);
    let local = pair.ends[0].sge(0, 64);
    pair.send(0, 1, SendOp::Send, &[local]);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::RemOpErr)]);
    assert_eq!(pair.ends[1].statuses(), [(101, WcStatus::LocProtErr)]);
}

#[test]
fn requests_before_the_failing_one_succeed_even_when_they_ask_for_nothing() {
    let mut pair = Pair::new(Setup::default());
    let (local, remote) = (pair.ends[0].sge(0, 64), pair.ends[1].remote(0));
    let wrong = Remote { rkey: 0xdead_be00, ..remote };
    pair.send(0, 1, SendOp::Write(remote), &[local]);
    pair.send_with(0, 2, SendOp::Write(remote), &[local], SendFlags::empty());
    pair.send_with(0, 3, SendOp::Read(wrong), &[local], SendFlags::empty());
    pair.send_with(0, 4, SendOp::Write(remote), &[local], SendFlags::empty());
    pair.settle();
    let expected = [(1, WcStatus::Success), (3, WcStatus::RemAccessErr), (4, WcStatus::WrFlushErr)];
    assert_eq!(pair.ends[0].statuses(), expected, "failed and flushed requests complete though unsignaled");
}

#[test]
fn local_memory_is_checked_before_anything_is_sent() {
    let remote = |pair: &Pair| pair.ends[1].remote(0);
    let cases: [fn(Remote) -> SendOp; 3] =
        [|_| SendOp::Send, SendOp::Read, |remote| SendOp::FetchAdd { remote, add: 1 }];
    for case in cases {
        let mut pair = Pair::new(Setup::default());
        let local = Sge { lkey: 7, ..pair.ends[0].sge(0, 64) };
        let op = case(remote(&pair));
        pair.send(0, 1, op, &[local]);
        pair.settle();
        assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::LocProtErr)]);
        assert_eq!((pair.sent, pair.ends[1].state()), ([0, 0], QpState::Rts));
    }
}

#[test]
fn memory_deregistered_under_a_read_is_a_remote_access_error() {
    let mut pair = Pair::new(Setup::default());
    let (local, remote) = (pair.ends[0].sge(0, 64), pair.ends[1].remote(0));
    pair.send(0, 1, SendOp::Read(remote), &[local]);
    let mut train = Train::new();
    assert!(pair.ends[0].device.poll_transmit(pair.now, &TxLimits::SINGLE, &mut train));
    let flow = *train.flow();
    let ident = Ident::Known { ident: 0, flags_fragment: DONT_FRAGMENT };
    let meta = RxMeta { src: flow.src, dst: flow.dst, src_port: flow.src_port, traffic_class: 0, ident };
    pair.ends[1].device.handle_packet(pair.now, &meta, train.bytes());
    let lkey = pair.ends[1].mr.lkey;
    pair.ends[1].device.dereg_mr(lkey).unwrap();
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::RemAccessErr)]);
    assert_eq!(pair.ends[1].state(), QpState::Err);
}

#[test]
fn a_user_region_cannot_be_invalidated_by_the_peer() {
    let mut pair = Pair::new(Setup { rts: |rts| rts.retry_cnt = Some(0), ..Setup::default() });
    let recv = pair.ends[1].sge(0, 64);
    pair.recv(1, 101, &[recv]);
    pair.recv(1, 102, &[recv]);
    let (local, key) = (pair.ends[0].sge(0, 64), pair.ends[1].mr.rkey);
    pair.send(0, 1, SendOp::SendInv(key), &[local]);
    pair.run_for(1_000_000);
    assert_eq!(pair.ends[1].statuses(), [(101, WcStatus::RemInvReqErr), (102, WcStatus::WrFlushErr)]);
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::RetryExcErr)], "nothing was acknowledged");
    let mr = pair.ends[1].remote(0);
    assert_eq!(mr.rkey, key);
    assert!(pair.ends[1].device.dereg_mr(key).is_ok(), "the region is still registered");
}

#[test]
fn a_lost_completion_ends_the_connection() {
    let mut pair = Pair::new(Setup { rts: |rts| rts.retry_cnt = Some(0), ..Setup::default() });
    let (qp, cq) = (pair.ends[1].qp, pair.ends[1].cq);
    pair.ends[1].device.resize_cq(cq, 1).unwrap();
    for wr_id in [101, 102] {
        pair.recv(1, wr_id, &[]);
        pair.send(0, wr_id - 100, SendOp::Send, &[]);
    }
    pair.run_for(1_000_000);
    assert_eq!(pair.ends[1].statuses(), [(101, WcStatus::Success)], "what was there stays");
    let events = [AsyncEvent::CqErr(cq), AsyncEvent::Qp(qp, QpEvent::Fatal)];
    assert_eq!(pair.ends[1].events, events);
    assert_eq!(pair.ends[1].state(), QpState::Err);
    let statuses = pair.ends[0].statuses();
    assert_eq!(
        statuses,
        [(1, WcStatus::Success), (2, WcStatus::RetryExcErr)],
        "only the first was acknowledged"
    );
}
