//! Memory windows and invalidation.

use ferroce_engine::*;

use crate::pair::{ALL, Pair, Setup};

/// A pair whose regions open nothing to peers but may have windows, and a window of end 1.
fn with_window(kind: MwType) -> (Pair, u32) {
    let access = Access::LOCAL_WRITE | Access::MW_BIND;
    let rts: fn(&mut QpAttr) = |rts| rts.retry_cnt = Some(1);
    let mut pair = Pair::new(Setup { access, rts, ..Setup::default() });
    let pd = pair.ends[1].device.query_qp(pair.ends[1].qp).unwrap().init.pd;
    let rkey = pair.ends[1].device.alloc_mw(pd, kind).unwrap();
    (pair, rkey)
}

/// Binds a window of 64 bytes at offset 128 of end 1's memory, with a key that follows the one before.
fn bind(pair: &mut Pair, wr_id: u64, rkey: u32) -> u32 {
    let rkey = rkey & !0xff | (rkey + 1) & 0xff;
    let (addr, region) = (pair.ends[1].buffer.addr() + 128, pair.ends[1].mr.lkey);
    let bind = Bind { rkey, region, addr, len: 64, access: Access::REMOTE_WRITE | Access::REMOTE_READ };
    pair.send(1, wr_id, SendOp::BindMw(bind), &[]);
    pair.settle();
    rkey
}

/// End 0 WRITEs `len` bytes through `rkey`, `at` bytes behind the start of end 1's memory.
fn write(pair: &mut Pair, wr_id: u64, rkey: u32, at: usize, len: u32) -> Vec<(u64, WcStatus)> {
    let (local, remote) = (pair.ends[0].sge(0, len), Remote { rkey, ..pair.ends[1].remote(at) });
    pair.send(0, wr_id, SendOp::Write(remote), &[local]);
    pair.settle();
    pair.ends[0].statuses()
}

#[test]
fn a_window_opens_its_part_of_the_region_and_no_more() {
    for (at, len, status) in [
        (128, 64, WcStatus::Success),
        (128, 65, WcStatus::RemAccessErr),
        (127, 1, WcStatus::RemAccessErr),
        (192, 1, WcStatus::RemAccessErr),
    ] {
        let (mut pair, rkey) = with_window(MwType::Type2);
        let rkey = bind(&mut pair, 10, rkey);
        assert_eq!(pair.ends[1].poll()[0].opcode, WcOpcode::BindMw);
        assert_eq!(write(&mut pair, 1, rkey, at, len), [(1, status)], "{len} bytes at {at}");
    }
}

/// What end 1 has told of its keys.
fn told(pair: &Pair) -> Vec<TraceEvent> {
    let about_keys = |event: &TraceEvent| {
        matches!(event, TraceEvent::Registered { .. } | TraceEvent::Bound { .. })
            || matches!(event, TraceEvent::Invalidated { .. } | TraceEvent::Deregistered { .. })
    };
    pair.ends[1].device.trace().iter().map(|(_, event)| *event).filter(about_keys).collect()
}

#[test]
fn those_who_watch_are_told_what_becomes_of_keys() {
    let (mut pair, first) = with_window(MwType::Type2);
    let key = bind(&mut pair, 10, first);
    pair.send(1, 11, SendOp::LocalInv(key), &[]);
    pair.settle();
    let end = &mut pair.ends[1];
    let (addr, region, qp) = (end.buffer.addr(), end.mr.lkey, end.qp);
    end.device.note_time(Time::from_micros(5_000_000));
    end.device.dealloc_mw(key).unwrap();
    let access = Access::LOCAL_WRITE;
    end.device.rereg_mr(region, MrChange { access: Some(access), ..MrChange::default() }).unwrap();
    end.device.dereg_mr(region).unwrap();
    end.device.dereg_mr(region).unwrap_err();
    let opens = |access| TraceEvent::Registered { key: region, addr, len: 1 << 16, access };
    let access_through = Access::REMOTE_WRITE | Access::REMOTE_READ;
    let expected = [
        opens(Access::LOCAL_WRITE | Access::MW_BIND),
        TraceEvent::Bound { key, region, qp, addr: addr + 128, len: 64, access: access_through },
        TraceEvent::Invalidated { key },
        TraceEvent::Deregistered { key },
        opens(access),
        TraceEvent::Deregistered { key: region },
    ];
    assert_eq!(told(&pair), expected);
    let last = pair.ends[1].device.trace().last().unwrap();
    assert_eq!(last.0, Time::from_micros(5_000_000), "verbs about memory have no time of their own");
}

#[test]
fn a_window_of_no_bytes_and_a_refused_binding() {
    let (mut pair, first) = with_window(MwType::Type1);
    let key = bind(&mut pair, 10, first);
    let end = &pair.ends[1];
    let nothing =
        Bind { rkey: key, region: end.mr.lkey, addr: end.buffer.addr(), len: 0, access: Access::empty() };
    pair.send(1, 11, SendOp::BindMw(nothing), &[]);
    pair.settle();
    assert_eq!(told(&pair).last(), Some(&TraceEvent::Invalidated { key }));
    let before = told(&pair).len();
    pair.send(1, 12, SendOp::BindMw(Bind { len: 1 << 30, ..nothing }), &[]);
    pair.settle();
    assert_eq!(told(&pair).len(), before, "nothing came of it");
}

#[test]
fn a_window_gives_only_the_rights_it_was_bound_with() {
    let (mut pair, rkey) = with_window(MwType::Type1);
    let rkey = bind(&mut pair, 10, rkey);
    let (local, remote) = (pair.ends[0].sge(0, 8), Remote { rkey, ..pair.ends[1].remote(128) });
    pair.send(0, 1, SendOp::FetchAdd { remote, add: 1 }, &[local]);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::RemAccessErr)]);
}

#[test]
fn send_with_invalidate_shuts_a_window() {
    let (mut pair, rkey) = with_window(MwType::Type2);
    let rkey = bind(&mut pair, 10, rkey);
    pair.recv(1, 101, &[]);
    pair.send(0, 1, SendOp::SendInv(rkey), &[]);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
    let received = pair.ends[1].poll();
    assert_eq!((received[1].wr_id, received[1].invalidated), (101, Some(rkey)));
    assert_eq!(write(&mut pair, 2, rkey, 128, 8), [(2, WcStatus::RemAccessErr)]);
}

#[test]
fn what_cannot_be_invalidated_ends_the_connection() {
    let (mut pair, rkey) = with_window(MwType::Type1);
    let rkey = bind(&mut pair, 10, rkey);
    pair.recv(1, 101, &[]);
    pair.send(0, 1, SendOp::SendInv(rkey), &[]);
    pair.run_for(1_000_000);
    assert_eq!(pair.ends[1].statuses()[1], (101, WcStatus::RemInvReqErr));
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::RetryExcErr)], "nothing was acknowledged");
}

#[test]
fn a_bound_window_keeps_its_region_registered() {
    let (mut pair, rkey) = with_window(MwType::Type2);
    let (lkey, rkey) = (pair.ends[1].mr.lkey, bind(&mut pair, 10, rkey));
    assert!(matches!(pair.ends[1].device.dereg_mr(lkey), Err(VerbsError::Busy(_))));
    pair.send(1, 11, SendOp::LocalInv(rkey), &[]);
    pair.settle();
    assert_eq!(pair.ends[1].statuses(), [(10, WcStatus::Success), (11, WcStatus::Success)]);
    pair.ends[1].device.dereg_mr(lkey).unwrap();
    pair.ends[1].device.dealloc_mw(rkey).unwrap();
    assert_eq!(pair.ends[1].device.dealloc_mw(rkey), Err(VerbsError::Stale("memory window")));
}

#[test]
fn rules_of_binding() {
    type Spoil = fn(&mut Bind);
    let cases: [(MwType, Spoil); 5] = [
        (MwType::Type2, |bind| bind.len = 0),
        (MwType::Type2, |bind| bind.len = 1 << 20),
        (MwType::Type2, |bind| bind.region ^= 1),
        (MwType::Type1, |bind| bind.access |= Access::ZERO_BASED),
        (MwType::Type1, |bind| bind.rkey ^= 0x100),
    ];
    for (index, (kind, spoil)) in cases.iter().enumerate() {
        let (mut pair, rkey) = with_window(*kind);
        let (addr, region) = (pair.ends[1].buffer.addr(), pair.ends[1].mr.lkey);
        let mut bind = Bind { rkey, region, addr, len: 64, access: Access::REMOTE_READ };
        spoil(&mut bind);
        pair.send(1, 10, SendOp::BindMw(bind), &[]);
        pair.settle();
        assert_eq!(pair.ends[1].statuses(), [(10, WcStatus::MwBindErr)], "case {index}");
        assert_eq!(pair.ends[1].state(), QpState::Err);
    }
}

#[test]
fn a_type_2_window_must_be_invalidated_before_it_is_bound_again() {
    let (mut pair, rkey) = with_window(MwType::Type2);
    let rkey = bind(&mut pair, 10, rkey);
    bind(&mut pair, 11, rkey);
    assert_eq!(pair.ends[1].statuses(), [(10, WcStatus::Success), (11, WcStatus::MwBindErr)]);
}

#[test]
fn a_type_1_window_moves_when_it_is_bound_again() {
    let (mut pair, rkey) = with_window(MwType::Type1);
    let old = bind(&mut pair, 10, rkey);
    let new = bind(&mut pair, 11, old);
    assert_eq!(write(&mut pair, 1, new, 128, 8), [(1, WcStatus::Success)]);
    assert_eq!(write(&mut pair, 2, old, 128, 8), [(2, WcStatus::RemAccessErr)]);
}

#[test]
fn local_requests_keep_their_place_in_the_order_of_completions() {
    // The WRITE is not acknowledged when the window is bound behind it, nor when both are repeated.
    let mut pair = Pair::new(Setup { access: ALL | Access::MW_BIND, ..Setup::default() });
    let pd = pair.ends[0].device.query_qp(pair.ends[0].qp).unwrap().init.pd;
    let rkey = pair.ends[0].device.alloc_mw(pd, MwType::Type2).unwrap();
    let (local, remote) = (pair.ends[0].sge(0, 3000), pair.ends[1].remote(0));
    let (addr, region) = (pair.ends[0].buffer.addr(), pair.ends[0].mr.lkey);
    let bind = Bind { rkey, region, addr, len: 64, access: Access::REMOTE_READ };
    pair.fate =
        Box::new(
            |from, count, _| {
                if from == 0 && count < 2 { crate::pair::Fate::Drop } else { crate::pair::Fate::Deliver }
            },
        );
    pair.send(0, 1, SendOp::Write(remote), &[local]);
    pair.send(0, 2, SendOp::BindMw(bind), &[]);
    pair.send(0, 3, SendOp::Write(remote), &[local]);
    pair.send(0, 4, SendOp::LocalInv(rkey), &[]);
    pair.run_for(200_000);
    let ok: Vec<_> = (1..=4).map(|id| (id, WcStatus::Success)).collect();
    assert_eq!(pair.ends[0].statuses(), ok);
}

#[test]
fn a_window_bound_and_shut_in_one_go() {
    let (mut pair, rkey) = with_window(MwType::Type2);
    let (addr, region) = (pair.ends[1].buffer.addr(), pair.ends[1].mr.lkey);
    let bind = Bind { rkey, region, addr, len: 64, access: Access::REMOTE_READ };
    pair.send(1, 1, SendOp::BindMw(bind), &[]);
    pair.send(1, 2, SendOp::LocalInv(rkey), &[]);
    pair.send(1, 3, SendOp::LocalInv(rkey), &[]);
    pair.settle();
    let expected = [(1, WcStatus::Success), (2, WcStatus::Success), (3, WcStatus::LocQpOpErr)];
    assert_eq!(pair.ends[1].statuses(), expected, "shut twice is once too often");
    assert!(pair.log.is_empty(), "nothing of it leaves the device");
}
