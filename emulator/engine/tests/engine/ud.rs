//! Datagrams and multicast.

use std::net::{IpAddr, Ipv4Addr};

use ferroce_engine::*;

use crate::pair::{Pair, QKEY, Setup};

const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 1, 1, 1));

fn setup() -> Setup {
    Setup { qp_type: QpType::Ud, ..Setup::default() }
}

/// From one end to the other's queue pair, and with this key.
fn to_peer(pair: &mut Pair, end: usize, qkey: u32) -> To {
    let (dgid, qpn) = (pair.ends[1 - end].addr, pair.ends[1 - end].qp);
    To::Datagram { ah: handle(pair, end, dgid), qpn, qkey }
}

fn handle(pair: &mut Pair, end: usize, dgid: IpAddr) -> Ah {
    let pd = pair.ends[end].pd;
    pair.ends[end].device.create_ah(pd, AddressVector::new(0, dgid)).unwrap()
}

fn send(pair: &mut Pair, end: usize, wr_id: u64, to: To, len: u32) {
    let sges = [pair.ends[end].sge(0, len)];
    let wr = SendWr::new(wr_id, SendOp::SendImm(ImmDt(*b"imm!")), Payload::Sges(&sges));
    pair.post(end, SendWr { to, flags: SendFlags::SIGNALED, ..wr }).unwrap();
}

#[test]
fn a_datagram_arrives_behind_its_network_header() {
    let mut pair = Pair::new(setup());
    pair.ends[0].buffer.write(0, b"where to?");
    let recv = pair.ends[1].sge(0, 100);
    pair.recv(1, 101, &[recv]);
    let to = to_peer(&mut pair, 0, QKEY);
    send(&mut pair, 0, 1, to, 9);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
    let wc = pair.ends[1].poll()[0];
    assert_eq!((wc.wr_id, wc.status, wc.byte_len), (101, WcStatus::Success, 49));
    assert_eq!((wc.src_qp, wc.grh, wc.imm), (pair.ends[0].qp.value(), true, Some(ImmDt(*b"imm!"))));
    assert_eq!(wc.sl, 2, "it came over IPv4");
    assert_eq!(pair.ends[1].buffer.to_vec(40, 9), b"where to?");

    // The answer finds its way from what came.
    let header: [u8; GRH_LEN] = pair.ends[1].buffer.to_vec(0, 40).try_into().unwrap();
    let (gids, pd) = ([pair.ends[1].addr], pair.ends[1].pd);
    let av = AddressVector::back_to_sender(&header, &gids).unwrap();
    let ah = pair.ends[1].device.create_ah(pd, av).unwrap();
    let recv = pair.ends[0].sge(1000, 100);
    pair.recv(0, 201, &[recv]);
    send(&mut pair, 1, 2, To::Datagram { ah, qpn: Qpn::new(wc.src_qp), qkey: QKEY }, 5);
    pair.settle();
    let wc = pair.ends[0].poll()[0];
    assert_eq!((wc.wr_id, wc.byte_len, wc.src_qp), (201, 45, pair.ends[1].qp.value()));
}

#[test]
fn what_does_not_fit_is_dropped_and_counted() {
    let mut pair = Pair::new(setup());
    let (right, wrong) = (to_peer(&mut pair, 0, QKEY), to_peer(&mut pair, 0, QKEY + 1));
    send(&mut pair, 0, 1, right, 10); // no receive
    pair.settle();
    let small = pair.ends[1].sge(0, 49);
    pair.recv(1, 101, &[small]);
    send(&mut pair, 0, 2, wrong, 9);
    send(&mut pair, 0, 3, right, 10); // one byte too many
    send(&mut pair, 0, 4, right, 9);
    pair.settle();
    assert_eq!(pair.ends[1].statuses(), [(101, WcStatus::Success)]);
    let counters = *pair.ends[1].device.counters();
    assert_eq!((counters.drop_no_receive, counters.drop_qkey, counters.drop_length), (1, 1, 1));
    assert_eq!(pair.ends[1].state(), QpState::Rts);
    assert_eq!(pair.ends[0].statuses(), [1, 2, 3, 4].map(|wr_id| (wr_id, WcStatus::Success)));
}

#[test]
fn the_highest_bit_of_a_key_stands_for_ones_own() {
    for (personality, arrives) in [(Personality::ferroce(), true), (Personality::rxe(), false)] {
        let mut pair = Pair::new(Setup { personality, ..setup() });
        let recv = pair.ends[1].sge(0, 100);
        pair.recv(1, 101, &[recv]);
        let to = to_peer(&mut pair, 0, 1 << 31);
        send(&mut pair, 0, 1, to, 9);
        pair.settle();
        assert_eq!(pair.ends[1].poll().len(), usize::from(arrives));
    }
}

#[test]
fn a_datagram_that_no_packet_takes_fails_or_vanishes() {
    let mut pair = Pair::new(setup());
    let to = to_peer(&mut pair, 0, QKEY);
    send(&mut pair, 0, 1, to, 1024);
    send(&mut pair, 0, 2, to, 1025);
    send(&mut pair, 0, 3, to, 4);
    pair.settle();
    let ended = [(1, WcStatus::Success), (2, WcStatus::LocLenErr), (3, WcStatus::WrFlushErr)];
    assert_eq!((pair.ends[0].statuses(), pair.ends[0].state()), (ended.to_vec(), QpState::Sqe));

    let mut pair = Pair::new(Setup { personality: Personality::rxe(), ..setup() });
    let to = to_peer(&mut pair, 0, QKEY);
    send(&mut pair, 0, 1, to, 1025);
    send(&mut pair, 0, 2, to, 4);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success), (2, WcStatus::Success)]);
    assert_eq!((pair.sent[0], pair.ends[0].state()), (1, QpState::Rts));
}

#[test]
fn requests_carry_their_own_destination_even_when_their_handle_is_gone() {
    let mut pair = Pair::new(setup());
    let nowhere = handle(&mut pair, 0, IpAddr::V4(Ipv4Addr::new(192, 0, 2, 77)));
    let lost = To::Datagram { ah: nowhere, qpn: pair.ends[1].qp, qkey: QKEY };
    let found = to_peer(&mut pair, 0, QKEY);
    for wr_id in 101..=102 {
        let recv = pair.ends[1].sge(0, 100);
        pair.recv(1, wr_id, &[recv]);
    }
    for (wr_id, to) in [(1, found), (2, lost), (3, found)] {
        send(&mut pair, 0, wr_id, to, 4);
        if let To::Datagram { ah, .. } = to
            && wr_id > 1
        {
            pair.ends[0].device.destroy_ah(ah).unwrap();
        }
    }
    pair.settle();
    assert_eq!(pair.ends[0].statuses().len(), 3);
    assert_eq!(pair.ends[1].statuses(), [(101, WcStatus::Success), (102, WcStatus::Success)]);
    assert_eq!(pair.ends[1].device.counters().drop_not_ours, 1);
}

#[test]
fn posting_tells_what_a_destination_lacks() {
    let mut pair = Pair::new(setup());
    let to = to_peer(&mut pair, 0, QKEY);
    let wr = SendWr::new(1, SendOp::Send, Payload::Sges(&[]));
    assert!(matches!(pair.post(0, wr).unwrap_err().cause, VerbsError::Invalid(_)));
    let To::Datagram { ah, .. } = to else { unreachable!() };
    pair.ends[0].device.destroy_ah(ah).unwrap();
    assert_eq!(pair.post(0, SendWr { to, ..wr }).unwrap_err().cause, VerbsError::Stale("address handle"));
    assert_eq!(pair.ends[0].device.destroy_ah(ah), Err(VerbsError::Stale("address handle")));

    let mut pair = Pair::new(Setup::default());
    let to = to_peer(&mut pair, 0, QKEY);
    assert!(matches!(pair.post(0, SendWr { to, ..wr }).unwrap_err().cause, VerbsError::Invalid(_)));
}

#[test]
fn a_handle_of_another_domain_fails_the_request() {
    let mut pair = Pair::new(setup());
    let (other, dgid) = (pair.ends[0].device.alloc_pd().unwrap(), pair.ends[1].addr);
    let ah = pair.ends[0].device.create_ah(other, AddressVector::new(0, dgid)).unwrap();
    assert!(matches!(pair.ends[0].device.dealloc_pd(other), Err(VerbsError::Busy(_))));
    let to = To::Datagram { ah, qpn: pair.ends[1].qp, qkey: QKEY };
    send(&mut pair, 0, 1, to, 4);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::LocQpOpErr)]);
}

#[test]
fn only_sends_are_offered() {
    let mut pair = Pair::new(setup());
    let to = to_peer(&mut pair, 0, QKEY);
    let (sges, remote) = ([pair.ends[0].sge(0, 8)], pair.ends[1].remote(0));
    let wr = SendWr::new(1, SendOp::Write(remote), Payload::Sges(&sges));
    pair.post(0, SendWr { to, ..wr }).unwrap();
    pair.settle();
    assert_eq!((pair.ends[0].statuses(), pair.sent[0]), (vec![(1, WcStatus::LocQpOpErr)], 0));
}

/// Another queue pair for datagrams at an end, ready to send, with one receive.
fn another(pair: &mut Pair, end: usize, qkey: u32) -> Qpn {
    let (pd, cq, now) = (pair.ends[end].pd, pair.ends[end].cq, pair.now);
    let device = &mut pair.ends[end].device;
    let qp = device.create_qp(&QpInit::new(QpType::Ud, pd, cq)).unwrap();
    for change in [QpAttr::init_ud(qkey), QpAttr::to(QpState::Rtr), QpAttr::rts_unreliable(Psn::new(1))] {
        device.modify_qp(now, qp, &change).unwrap();
    }
    let sges = [pair.ends[end].sge(2000, 100)];
    pair.ends[end]
        .device
        .post_recv(now, qp, &[RecvWr { wr_id: u64::from(qp.value()), sges: &sges }])
        .unwrap();
    qp
}

#[test]
fn a_group_reaches_all_its_members_but_the_sender() {
    let mut pair = Pair::new(setup());
    let near = another(&mut pair, 0, QKEY);
    let far = [another(&mut pair, 1, QKEY), another(&mut pair, 1, QKEY)];
    let stranger = another(&mut pair, 1, QKEY + 1);
    let outside = another(&mut pair, 1, QKEY);
    let own = pair.ends[0].qp;
    for (end, qp) in [(0, own), (0, near), (1, far[0]), (1, far[1]), (1, stranger)] {
        pair.ends[end].device.attach_mcast(qp, GROUP).unwrap();
        pair.ends[end].device.attach_mcast(qp, GROUP).unwrap();
    }
    let recv = pair.ends[0].sge(0, 100);
    pair.recv(0, 1, &[recv]);
    let to = To::Datagram { ah: handle(&mut pair, 0, GROUP), qpn: Qpn::MULTICAST, qkey: QKEY };
    send(&mut pair, 0, 9, to, 4);
    pair.settle_with_loopback();
    assert_eq!(pair.ends[0].statuses(), [(9, WcStatus::Success), (near.value().into(), WcStatus::Success)]);
    let received: Vec<u64> = pair.ends[1].poll().iter().map(|wc| wc.wr_id).collect();
    assert_eq!(received, far.map(|qp| u64::from(qp.value())));
    assert_eq!(pair.ends[1].device.counters().drop_qkey, 1, "the stranger has another key");
    assert!(matches!(pair.ends[1].device.destroy_qp(far[0]), Err(VerbsError::Busy(_))));
    pair.ends[1].device.destroy_qp(outside).unwrap();
}

#[test]
fn memberships_are_told_when_they_begin_and_end() {
    let mut pair = Pair::new(setup());
    let (first, second) = (pair.ends[0].qp, another(&mut pair, 0, QKEY));
    let device = &mut pair.ends[0].device;
    let mut steps = Vec::new();
    for (attach, qp) in [(true, first), (true, second), (false, first), (false, second)] {
        match attach {
            true => device.attach_mcast(qp, GROUP).unwrap(),
            false => device.detach_mcast(qp, GROUP).unwrap(),
        }
        steps.push(device.poll_event());
    }
    assert_eq!(steps, [Some(Event::Join(GROUP)), None, None, Some(Event::Leave(GROUP))]);
    assert!(device.detach_mcast(first, GROUP).is_err());
    assert!(device.attach_mcast(first, "192.0.2.1".parse().unwrap()).is_err());
    assert_eq!(device.mcast_groups().count(), 0);
}

#[test]
fn a_connection_cannot_join_a_group() {
    let mut pair = Pair::new(Setup::default());
    let qp = pair.ends[0].qp;
    assert!(matches!(pair.ends[0].device.attach_mcast(qp, GROUP), Err(VerbsError::Invalid(_))));
}
