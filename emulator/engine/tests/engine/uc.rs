//! Unreliable connections: what arrives, what does not, and who is told.

use ferroce_engine::*;

use crate::pair::{Fate, Pair, Setup};

fn setup() -> Setup {
    Setup { qp_type: QpType::Uc, ..Setup::default() }
}

/// Posts a SEND of `len` bytes and a receive for it.
fn send(pair: &mut Pair, wr_id: u64, len: u32) {
    let (source, target) = (pair.ends[0].sge(0, len), pair.ends[1].sge(0, len));
    pair.recv(1, 100 + wr_id, &[target]);
    pair.send(0, wr_id, SendOp::Send, &[source]);
}

/// `(wr_id, bytes)` of what arrived at the second end.
fn arrived(pair: &mut Pair) -> Vec<(u64, u32)> {
    let all = pair.ends[1].poll();
    assert!(all.iter().all(|wc| wc.status == WcStatus::Success), "{all:?}");
    all.iter().map(|wc| (wc.wr_id, wc.byte_len)).collect()
}

#[test]
fn sends_and_writes_arrive_without_acknowledgement() {
    let mut pair = Pair::new(setup());
    let data: Vec<u8> = (0..3000).map(|i| i as u8).collect();
    pair.ends[0].buffer.write(0, &data);
    let (source, target) = (pair.ends[0].sge(0, 3000), pair.ends[1].remote(8192));
    let recv = pair.ends[1].sge(0, 3000);
    pair.recv(1, 101, &[recv]);
    pair.recv(1, 102, &[]);
    pair.send(0, 1, SendOp::SendImm(ImmDt(*b"once")), &[source]);
    pair.send(0, 2, SendOp::WriteImm(target, ImmDt(*b"more")), &[source]);
    pair.settle();
    let packets =
        ["SEND_FIRST", "SEND_MIDDLE", "SEND_LAST_IMM", "WRITE_FIRST", "WRITE_MIDDLE", "WRITE_LAST_IMM"];
    assert_eq!(pair.opcodes(), packets.map(|name| format!("0>UC_{name}")));
    assert!(
        pair.log.iter().all(|(_, packet)| packet[8] & 0x80 == 0),
        "no packet asks for an acknowledgement"
    );
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success), (2, WcStatus::Success)]);
    let received = pair.ends[1].poll();
    assert_eq!((received[0].opcode, received[0].imm), (WcOpcode::Recv, Some(ImmDt(*b"once"))));
    assert_eq!((received[1].opcode, received[1].byte_len), (WcOpcode::RecvRdmaWithImm, 3000));
    assert!(!received[0].grh && received[0].src_qp == 0);
    assert_eq!(pair.ends[1].buffer.to_vec(0, 3000), data);
    assert_eq!(pair.ends[1].buffer.to_vec(8192, 3000), data);
    assert_eq!(pair.ends[0].device.next_timeout(), None, "nobody waits for anything");
}

#[test]
fn a_request_completes_when_its_last_packet_is_handed_over_and_not_before() {
    let mut pair = Pair::new(setup());
    let source = pair.ends[0].sge(0, 2048);
    pair.send(0, 1, SendOp::Send, &[source]);
    let mut train = Train::new();
    assert!(pair.ends[0].device.poll_transmit(pair.now, &TxLimits::SINGLE, &mut train));
    assert_eq!(pair.ends[0].statuses(), [], "one packet of two");
    assert!(pair.ends[0].device.poll_transmit(pair.now, &TxLimits::SINGLE, &mut train));
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
}

#[test]
fn a_message_with_a_hole_is_dropped_and_leaves_its_receive_to_the_next() {
    // First, middle and last packet of the second message, each lost in turn.
    for lost in 3..6 {
        let mut pair = Pair::new(setup());
        pair.fate = Box::new(move |_, number, _| if number == lost { Fate::Drop } else { Fate::Deliver });
        for wr_id in 1..=3 {
            send(&mut pair, wr_id, 3000);
        }
        pair.settle();
        assert_eq!(arrived(&mut pair), [(101, 3000), (102, 3000)], "packet {lost} was lost");
        assert_eq!(pair.ends[1].state(), QpState::Rts);
        let all_sent = [1, 2, 3].map(|wr_id| (wr_id, WcStatus::Success));
        assert_eq!(pair.ends[0].statuses(), all_sent, "the sender knows nothing of it");
    }
}

#[test]
fn a_message_without_a_receive_is_dropped_whole() {
    let mut pair = Pair::new(setup());
    let (source, target) = (pair.ends[0].sge(0, 2500), pair.ends[1].remote(8192));
    pair.send(0, 1, SendOp::Send, &[source]);
    pair.send(0, 2, SendOp::WriteImm(target, ImmDt([0; 4])), &[source]);
    pair.settle();
    send(&mut pair, 3, 48);
    pair.settle();
    assert_eq!(arrived(&mut pair), [(103, 48)]);
    let counters = *pair.ends[1].device.counters();
    assert_eq!((counters.drop_no_receive, counters.drop_incomplete), (2, 2));
}

#[test]
fn a_write_that_may_not_is_dropped_and_the_connection_goes_on() {
    let mut pair = Pair::new(setup());
    let (source, target) = (pair.ends[0].sge(0, 64), pair.ends[1].remote(0));
    let bad = [
        Remote { rkey: target.rkey ^ 1, ..target },
        Remote { addr: target.addr.wrapping_sub(1), ..target },
        pair.ends[1].remote((1 << 16) - 63),
    ];
    pair.ends[0].buffer.write(0, &[7; 64]);
    for remote in bad {
        pair.send(0, 1, SendOp::Write(remote), &[source]);
    }
    pair.settle();
    assert_eq!(pair.ends[1].device.counters().drop_access, 3);
    assert_eq!(pair.ends[1].buffer.to_vec(0, 1 << 16), vec![0; 1 << 16]);
    assert_eq!((pair.ends[1].state(), &pair.ends[1].events[..]), (QpState::Rts, &[][..]));
    pair.send(0, 2, SendOp::Write(target), &[source]);
    pair.settle();
    assert_eq!(pair.ends[1].buffer.to_vec(0, 64), [7; 64]);
}

#[test]
fn a_queue_pair_without_the_right_drops_writes() {
    let mut pair = Pair::new(Setup { qp_access: Access::empty(), ..setup() });
    let (source, target) = (pair.ends[0].sge(0, 64), pair.ends[1].remote(0));
    pair.send(0, 1, SendOp::Write(target), &[source]);
    send(&mut pair, 2, 32);
    pair.settle();
    assert_eq!((arrived(&mut pair), pair.ends[1].device.counters().drop_access), (vec![(102, 32)], 1));
}

#[test]
fn a_send_that_is_too_long_is_dropped_and_its_receive_is_kept() {
    let mut pair = Pair::new(setup());
    let (long, small) = (pair.ends[0].sge(0, 128), pair.ends[1].sge(0, 64));
    pair.recv(1, 101, &[small]);
    pair.send(0, 1, SendOp::Send, &[long]);
    let short = pair.ends[0].sge(0, 32);
    pair.send(0, 2, SendOp::Send, &[short]);
    pair.settle();
    assert_eq!((arrived(&mut pair), pair.ends[1].device.counters().drop_length), (vec![(101, 32)], 1));
}

#[test]
fn late_and_repeated_packets_are_not_taken_for_new_ones() {
    let mut pair = Pair::new(setup());
    pair.fate = Box::new(|_, _, _| Fate::Twice);
    for wr_id in 1..=3 {
        send(&mut pair, wr_id, 10);
    }
    pair.settle();
    pair.again(0);
    assert_eq!(arrived(&mut pair), [(101, 10), (102, 10), (103, 10)]);
    assert_eq!(pair.ends[1].device.counters().drop_duplicate, 4);

    // As the specification has it, whatever begins a message is a message.
    let mut pair = Pair::new(Setup { personality: Personality::rxe(), ..setup() });
    send(&mut pair, 1, 10);
    send(&mut pair, 2, 10);
    pair.fate = Box::new(|_, number, _| if number == 0 { Fate::Twice } else { Fate::Drop });
    pair.settle();
    assert_eq!(arrived(&mut pair).len(), 2);
}

#[test]
fn numbers_wrap_and_a_long_silence_is_survived() {
    let mut pair = Pair::new(Setup { psn: 0xff_ffff - 1, ..setup() });
    send(&mut pair, 1, 3000);
    pair.settle();
    // Lost so many that what comes next looks older than what came before, but not by a little.
    pair.fate = Box::new(|_, _, _| Fate::Drop);
    let source = pair.ends[0].sge(0, 0);
    for _ in 0..70_000 {
        pair.send_with(0, 2, SendOp::Send, &[source], SendFlags::empty());
        pair.settle();
    }
    pair.fate = Box::new(|_, _, _| Fate::Deliver);
    send(&mut pair, 3, 5);
    pair.settle();
    assert_eq!(arrived(&mut pair), [(101, 3000), (103, 5)]);
}

#[test]
fn a_failed_send_stops_the_send_queue_only() {
    let mut pair = Pair::new(setup());
    let (good, bad) = (pair.ends[0].sge(0, 16), Sge { lkey: 7, ..pair.ends[0].sge(0, 16) });
    let recv = pair.ends[0].sge(64, 16);
    pair.recv(0, 201, &[recv]);
    pair.send(0, 1, SendOp::Send, &[good]);
    pair.send(0, 2, SendOp::Send, &[bad]);
    pair.send(0, 3, SendOp::Send, &[good]);
    pair.settle();
    let ended = [(1, WcStatus::Success), (2, WcStatus::LocProtErr), (3, WcStatus::WrFlushErr)];
    assert_eq!((pair.ends[0].statuses(), pair.ends[0].state()), (ended.to_vec(), QpState::Sqe));
    pair.send(0, 4, SendOp::Send, &[good]);
    let reply = pair.ends[1].sge(0, 16);
    pair.send(1, 9, SendOp::Send, &[reply]);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(4, WcStatus::WrFlushErr), (201, WcStatus::Success)]);

    let qp = pair.ends[0].qp;
    pair.ends[0].device.modify_qp(pair.now, qp, &QpAttr::to(QpState::Rts)).unwrap();
    pair.ends[1].poll();
    send(&mut pair, 5, 16);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(5, WcStatus::Success)]);
    assert_eq!(arrived(&mut pair), [(105, 16)]);
}

#[test]
fn soft_roce_stops_the_whole_queue_pair() {
    let mut pair = Pair::new(Setup { personality: Personality::rxe(), ..setup() });
    pair.recv(0, 201, &[]);
    let bad = Sge { lkey: 7, ..pair.ends[0].sge(0, 16) };
    pair.send(0, 1, SendOp::Send, &[bad]);
    pair.settle();
    let ended = [(1, WcStatus::LocProtErr), (201, WcStatus::WrFlushErr)];
    assert_eq!((pair.ends[0].statuses(), pair.ends[0].state()), (ended.to_vec(), QpState::Err));
}

#[test]
fn what_needs_an_answer_cannot_be_sent() {
    let ops: [fn(Remote) -> SendOp; 4] = [
        SendOp::Read,
        |remote| SendOp::FetchAdd { remote, add: 1 },
        |remote| SendOp::CompareSwap { remote, compare: 0, swap: 1 },
        |remote| SendOp::SendInv(remote.rkey),
    ];
    for op in ops {
        let mut pair = Pair::new(setup());
        let (local, remote) = (pair.ends[0].sge(0, 8), pair.ends[1].remote(0));
        pair.send(0, 1, op(remote), &[local]);
        pair.settle();
        assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::LocQpOpErr)]);
        assert_eq!((pair.sent[0], pair.ends[0].state()), (0, QpState::Sqe));
    }
}

#[test]
fn a_receive_that_names_no_memory_of_ours_ends_the_queue_pair() {
    let mut pair = Pair::new(setup());
    let bad = Sge { lkey: 7, ..pair.ends[1].sge(0, 64) };
    pair.recv(1, 101, &[bad]);
    pair.recv(1, 102, &[]);
    let source = pair.ends[0].sge(0, 32);
    pair.send(0, 1, SendOp::Send, &[source]);
    pair.settle();
    let ended = [(101, WcStatus::LocProtErr), (102, WcStatus::WrFlushErr)];
    assert_eq!((pair.ends[1].statuses(), pair.ends[1].state()), (ended.to_vec(), QpState::Err));
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
}

#[test]
fn draining_ends_when_the_last_packet_is_sent() {
    let mut pair = Pair::new(setup());
    let source = pair.ends[0].sge(0, 2048);
    pair.send(0, 1, SendOp::Send, &[source]);
    pair.send(0, 2, SendOp::Send, &[source]);
    let (qp, mut train) = (pair.ends[0].qp, Train::new());
    assert!(pair.ends[0].device.poll_transmit(pair.now, &TxLimits::SINGLE, &mut train));
    let drain = QpAttr { en_sqd_async_notify: Some(true), ..QpAttr::to(QpState::Sqd) };
    pair.ends[0].device.modify_qp(pair.now, qp, &drain).unwrap();
    assert!(pair.ends[0].device.query_qp(qp).unwrap().sq_draining);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)], "the second was not started");
    assert_eq!(pair.ends[0].events, [AsyncEvent::Qp(qp, QpEvent::SqDrained)]);
    pair.ends[0].device.modify_qp(pair.now, qp, &QpAttr::to(QpState::Rts)).unwrap();
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(2, WcStatus::Success)]);
}
