//! The verbs themselves: what they refuse at once, and what the states allow.

use std::net::{IpAddr, Ipv4Addr};

use ferroce_engine::*;

use crate::pair::{Pair, Setup};

fn device() -> Device {
    let addr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    Device::new(DeviceConfig::new("ferroce0", [addr]), 1, NoTrace)
}

fn qp_init(device: &mut Device) -> QpInit {
    let pd = device.alloc_pd().unwrap();
    let cq = device.create_cq(16).unwrap();
    QpInit::new(QpType::Rc, pd, cq)
}

#[test]
fn objects_in_use_cannot_be_destroyed() {
    let mut device = device();
    let init = qp_init(&mut device);
    let qp = device.create_qp(&init).unwrap();
    assert!(matches!(device.dealloc_pd(init.pd), Err(VerbsError::Busy(_))));
    assert!(matches!(device.destroy_cq(init.send_cq), Err(VerbsError::Busy(_))));
    device.destroy_qp(qp).unwrap();
    device.destroy_cq(init.send_cq).unwrap();
    device.dealloc_pd(init.pd).unwrap();
    assert_eq!(device.destroy_qp(qp), Err(VerbsError::Stale("queue pair")));
    assert_eq!(device.destroy_cq(init.send_cq), Err(VerbsError::Stale("completion queue")));
    assert_eq!(device.dealloc_pd(init.pd), Err(VerbsError::Stale("protection domain")));
}

#[test]
fn a_new_queue_pair_does_not_inherit_a_number() {
    let mut device = device();
    let init = qp_init(&mut device);
    let old = device.create_qp(&init).unwrap();
    device.destroy_qp(old).unwrap();
    let new = device.create_qp(&init).unwrap();
    assert_ne!(old, new);
    assert!(device.query_qp(old).is_err());
}

#[test]
fn limits_are_told_by_name() {
    let mut device = device();
    let init = qp_init(&mut device);
    let cap = QpCap { max_send_wr: 1 << 20, ..QpCap::default() };
    assert_eq!(device.create_qp(&QpInit { cap, ..init }), Err(VerbsError::Invalid("max_send_wr")));
    assert_eq!(device.create_cq(0), Err(VerbsError::Invalid("cqe")));
}

#[test]
fn the_way_to_rts_is_the_one_of_the_table() {
    let mut device = device();
    let init = qp_init(&mut device);
    let qp = device.create_qp(&init).unwrap();
    let mut modify = |change: QpAttr| device.modify_qp(Time::ZERO, qp, &change);
    let av = AddressVector::new(0, IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)));
    let rtr = QpAttr::rtr(av, Qpn::new(5), Psn::new(1), PathMtu::Mtu1024);
    let why = |result: Result<(), VerbsError>| match result {
        Err(VerbsError::Transition { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(why(modify(rtr)), TransitionFault::Illegal, "RESET to RTR");
    modify(QpAttr::init(Access::empty())).unwrap();
    let missing = QpAttr { dest_qpn: None, ..rtr };
    assert_eq!(why(modify(missing)), TransitionFault::Missing(AttrMask::DEST_QPN));
    let unexpected = QpAttr { retry_cnt: Some(3), ..rtr };
    assert_eq!(why(modify(unexpected)), TransitionFault::Unexpected(AttrMask::RETRY_CNT));
    let wrong = QpAttr { av: Some(AddressVector { sgid_index: 9, ..av }), ..rtr };
    assert_eq!(why(modify(wrong)), TransitionFault::Range("av"));
    modify(rtr).unwrap();
    let wrong = QpAttr { timeout: Some(32), ..QpAttr::rts(Psn::new(7)) };
    assert_eq!(why(modify(wrong)), TransitionFault::Range("timeout"));
    let wrong = QpAttr { cur_state: Some(QpState::Init), ..QpAttr::rts(Psn::new(7)) };
    assert_eq!(why(modify(wrong)), TransitionFault::CurState);
    modify(QpAttr::rts(Psn::new(7))).unwrap();
    let info = device.query_qp(qp).unwrap();
    assert_eq!(
        (info.state, info.attr.sq_psn, info.attr.retry_cnt),
        (QpState::Rts, Some(Psn::new(7)), Some(6))
    );
}

#[test]
fn posting_is_refused_with_the_index_of_the_bad_request() {
    let mut device = device();
    let init = qp_init(&mut device);
    let cap = QpCap { max_recv_wr: 2, ..QpCap::default() };
    let qp = device.create_qp(&QpInit { cap, ..init }).unwrap();
    let recv = |wr_id| RecvWr { wr_id, sges: &[] };
    let early = device.post_recv(Time::ZERO, qp, &[recv(1)]);
    assert_eq!(early, Err(PostError { index: 0, cause: VerbsError::WrongState(QpState::Reset) }));
    device.modify_qp(Time::ZERO, qp, &QpAttr::init(Access::empty())).unwrap();
    let full = device.post_recv(Time::ZERO, qp, &[recv(1), recv(2), recv(3)]);
    assert_eq!(full, Err(PostError { index: 2, cause: VerbsError::QueueFull { depth: 2 } }));
    let send = SendWr::new(1, SendOp::Send, Payload::Sges(&[]));
    let early = device.post_send(Time::ZERO, qp, &[send]);
    assert_eq!(early, Err(PostError { index: 0, cause: VerbsError::WrongState(QpState::Init) }));
}

#[test]
fn a_batch_that_must_go_as_a_whole_goes_not_at_all_when_one_request_is_wrong() {
    let mut pair = Pair::new(Setup::default());
    let (qp, depth) = (pair.ends[0].qp, QpCap::default().max_send_wr as usize);
    let send = SendWr::new(1, SendOp::Send, Payload::Sges(&[]));
    let long = SendWr { payload: Payload::Inline(&[0; 4096]), ..send };
    let device = &mut pair.ends[0].device;
    let wrong = device.post_send_all(Time::ZERO, qp, &[send, long]).unwrap_err();
    assert_eq!((wrong.index, wrong.cause.errno()), (1, 22));
    let full = device.post_send_all(Time::ZERO, qp, &vec![send; depth + 1]).unwrap_err();
    assert_eq!((full.index, full.cause.errno()), (depth, 12));
    assert_eq!(device.post_send_all(Time::ZERO, qp, &vec![send; depth]), Ok(()), "the queue was left empty");
}

#[test]
fn in_the_error_state_everything_posted_is_flushed_in_order() {
    let mut pair = Pair::new(Setup::default());
    let qp = pair.ends[0].qp;
    pair.recv(0, 101, &[]);
    pair.ends[0].device.modify_qp(pair.now, qp, &QpAttr::to(QpState::Err)).unwrap();
    pair.recv(0, 102, &[]);
    pair.send_with(0, 1, SendOp::Send, &[], SendFlags::empty());
    let flushed = |id| (id, WcStatus::WrFlushErr);
    assert_eq!(pair.ends[0].statuses(), [flushed(101), flushed(102), flushed(1)]);
}

#[test]
fn a_reset_forgets_without_completions() {
    let mut pair = Pair::new(Setup::default());
    let qp = pair.ends[0].qp;
    pair.recv(0, 101, &[]);
    pair.send(0, 1, SendOp::Send, &[]);
    pair.ends[0].device.modify_qp(pair.now, qp, &QpAttr::to(QpState::Reset)).unwrap();
    pair.settle();
    assert!(pair.ends[0].statuses().is_empty());
    assert_eq!(pair.sent, [0, 0]);
}

#[test]
fn a_reset_queue_pair_sends_nothing_and_repeats_nothing() {
    let mut pair = Pair::new(Setup::default());
    for wr_id in 1..=2 {
        pair.recv(1, wr_id, &[]);
        pair.send(0, wr_id, SendOp::Send, &[]);
    }
    let (qp, mut train) = (pair.ends[0].qp, Train::new());
    let device = &mut pair.ends[0].device;
    assert!(device.poll_transmit(Time::ZERO, &TxLimits::SINGLE, &mut train));
    device.modify_qp(Time::ZERO, qp, &QpAttr::to(QpState::Reset)).unwrap();
    assert!(!device.poll_transmit(Time::ZERO, &TxLimits::SINGLE, &mut train), "the old train came again");
}

#[test]
fn a_draining_queue_finishes_what_it_began_and_then_says_so() {
    let mut pair = Pair::new(Setup::default());
    let (qp, local, remote) = (pair.ends[0].qp, pair.ends[0].sge(0, 64), pair.ends[1].remote(0));
    pair.send(0, 1, SendOp::Write(remote), &[local]);
    let mut train = Train::new();
    assert!(pair.ends[0].device.poll_transmit(pair.now, &TxLimits::SINGLE, &mut train));
    let drain = QpAttr { en_sqd_async_notify: Some(true), ..QpAttr::to(QpState::Sqd) };
    pair.ends[0].device.modify_qp(pair.now, qp, &drain).unwrap();
    assert!(pair.ends[0].device.query_qp(qp).unwrap().sq_draining);
    pair.send(0, 2, SendOp::Write(remote), &[local]);
    pair.run_for(100_000);
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)], "the second was not begun");
    assert_eq!(pair.ends[0].events, [AsyncEvent::Qp(qp, QpEvent::SqDrained)]);
    pair.ends[0].device.modify_qp(pair.now, qp, &QpAttr::to(QpState::Rts)).unwrap();
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(2, WcStatus::Success)]);
}

#[test]
fn a_ready_to_receive_queue_pair_serves_and_reports_the_first_packet() {
    let mut pair = Pair::new(Setup::default());
    let qp = pair.ends[1].qp;
    let reset = [QpAttr::to(QpState::Reset), QpAttr::init(Access::REMOTE_WRITE | Access::LOCAL_WRITE)];
    for change in reset {
        pair.ends[1].device.modify_qp(pair.now, qp, &change).unwrap();
    }
    let av = AddressVector::new(0, pair.ends[0].addr);
    let rtr = QpAttr::rtr(av, pair.ends[0].qp, Psn::new(0x1000), PathMtu::Mtu1024);
    pair.ends[1].device.modify_qp(pair.now, qp, &rtr).unwrap();
    let (local, remote) = (pair.ends[0].sge(0, 64), pair.ends[1].remote(0));
    pair.send(0, 1, SendOp::Write(remote), &[local]);
    pair.send(0, 2, SendOp::Write(remote), &[local]);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success), (2, WcStatus::Success)]);
    assert_eq!(pair.ends[1].events, [AsyncEvent::Qp(qp, QpEvent::CommEst)], "once");
}
