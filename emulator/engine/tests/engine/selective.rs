//! Selective repeat: what is sent again, what is not, and what peers that do not know it make of it.

use ferroce_engine::*;

use crate::pair::{ALL, Fate, Pair, Setup};

const SETUP: fn() -> Setup = || Setup { personality: Personality::selective_repeat(), ..Setup::default() };

/// Behind what is missing a packet that has arrived is sent once more, where nothing new can follow.
const ECHO: u64 = 1;

/// Drops these packets of the requester (counted from 0), once each.
fn drop_these(pair: &mut Pair, numbers: &'static [usize]) {
    pair.fate = Box::new(
        |from, number, _| {
            if from == 0 && numbers.contains(&number) { Fate::Drop } else { Fate::Deliver }
        },
    );
}

/// Writes bytes that tell their place.
fn write(pair: &mut Pair, wr_id: u64, len: u32) {
    let data: Vec<u8> = (0..len).map(|at| (at / 7) as u8).collect();
    pair.ends[0].buffer.write(0, &data);
    let (local, remote) = (pair.ends[0].sge(0, len), pair.ends[1].remote(0));
    pair.send(0, wr_id, SendOp::Write(remote), &[local]);
}

fn read(pair: &mut Pair, wr_id: u64, len: u32) {
    let (local, remote) = (pair.ends[0].sge(1 << 15, len), pair.ends[1].remote(0));
    pair.send(0, wr_id, SendOp::Read(remote), &[local]);
}

fn arrived(pair: &Pair, len: usize) -> bool {
    pair.ends[1].buffer.to_vec(0, len) == pair.ends[0].buffer.to_vec(0, len)
}

fn again(pair: &Pair) -> u64 {
    pair.ends[0].device.counters().retransmitted_pkts
}

fn timeouts(pair: &Pair) -> u64 {
    pair.ends[0].device.counters().local_ack_timeout_err
}

#[test]
fn only_what_is_missing_is_sent_again() {
    let mut pair = Pair::new(SETUP());
    drop_these(&mut pair, &[2, 5, 6]);
    write(&mut pair, 1, 16 << 10);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
    assert!(arrived(&pair, 16 << 10));
    assert_eq!((again(&pair), timeouts(&pair)), (3 + ECHO, 0));
    assert!(pair.ends[1].device.counters().kept_early > 0);
}

#[test]
fn a_read_that_was_kept_behind_a_local_request_is_not_asked_for_again() {
    let mut pair = Pair::new(Setup { access: ALL | Access::MW_BIND, ..SETUP() });
    drop_these(&mut pair, &[0]);
    let sge = [0, 1].map(|end: usize| pair.ends[end].sge(0, 8));
    pair.send(0, 1, SendOp::Send, &sge[..1]);
    let end = &mut pair.ends[0];
    let rkey = end.device.alloc_mw(end.pd, MwType::Type2).unwrap();
    let rkey = rkey & !0xff | (rkey + 1) & 0xff;
    let (region, addr, access) = (end.mr.lkey, end.buffer.addr(), Access::REMOTE_READ);
    pair.send(0, 2, SendOp::BindMw(Bind { rkey, region, addr, len: 8, access }), &[]);
    read(&mut pair, 3, 8 << 10);
    let (local, remote) = (pair.ends[0].sge(0, 8), pair.ends[1].remote(64));
    pair.send_with(0, 4, SendOp::Write(remote), &[local], SendFlags::SIGNALED | SendFlags::FENCE);
    // The READ is kept, the SEND comes again and finds no receive.
    pair.run_for(10);
    pair.recv(1, 101, &sge[1..]);
    pair.run_for(1_000);
    let ok = (1..=4).map(|id| (id, WcStatus::Success)).collect::<Vec<_>>();
    assert_eq!(pair.ends[0].statuses(), ok, "the last waits for the READ to be over");
    assert_eq!((again(&pair), timeouts(&pair)), (2 + ECHO, 0));
}

#[test]
fn messages_behind_a_gap_arrive_in_order_when_it_is_closed() {
    let mut pair = Pair::new(SETUP());
    drop_these(&mut pair, &[0]);
    for wr_id in 1..=4 {
        let recv = pair.ends[1].sge(wr_id as usize * 64, 64);
        pair.recv(1, 100 + wr_id, &[recv]);
    }
    for wr_id in 1..=4 {
        pair.ends[0].buffer.write(wr_id as usize * 64, &[wr_id as u8; 64]);
        let local = pair.ends[0].sge(wr_id as usize * 64, 64);
        pair.send(0, wr_id, SendOp::Send, &[local]);
    }
    pair.settle();
    let ok = |ids: std::ops::RangeInclusive<u64>| ids.map(|id| (id, WcStatus::Success)).collect::<Vec<_>>();
    assert_eq!(pair.ends[1].statuses(), ok(101..=104));
    assert_eq!(pair.ends[0].statuses(), ok(1..=4));
    assert!((1..=4).all(|id| pair.ends[1].buffer.to_vec(id * 64, 64) == [id as u8; 64]));
    assert_eq!(again(&pair), 1 + ECHO);
}

#[test]
fn a_repair_that_is_lost_is_noticed_by_what_arrives_after_it() {
    let mut pair = Pair::new(SETUP());
    let mut lost = 0;
    pair.fate = Box::new(move |from, number, packet| {
        // The first packet, and its repair, which is recognized by its opcode.
        let first = from == 0 && packet[0] == 0x06 && number < 1000;
        lost += usize::from(first);
        if first && lost <= 2 { Fate::Drop } else { Fate::Deliver }
    });
    // More than fits the window, so that new packets follow the repair.
    write(&mut pair, 1, 1 << 15);
    let (local, remote) = (pair.ends[0].sge(0, 1 << 15), pair.ends[1].remote(1 << 15));
    for wr_id in 2..=6 {
        pair.send(0, wr_id, SendOp::Write(remote), &[local]);
    }
    pair.settle();
    assert_eq!(pair.ends[0].statuses().len(), 6);
    // The window lets new packets follow the first repair only.
    assert_eq!((again(&pair), timeouts(&pair)), (2 + ECHO, 0));
}

#[test]
fn a_repair_that_is_lost_is_noticed_where_nothing_new_can_follow() {
    // All of one message; and as much as the window allows of a longer one, which nobody acknowledges.
    for len in [8 << 10, 1 << 15] {
        let mut pair =
            Pair::new(Setup { personality: Personality { window: 16, ..SETUP().personality }, ..SETUP() });
        let mut lost = 0;
        pair.fate = Box::new(move |from, _, packet| {
            let first = from == 0 && packet[0] == 0x06;
            lost += usize::from(first);
            if first && lost <= 2 { Fate::Drop } else { Fate::Deliver }
        });
        write(&mut pair, 1, len);
        pair.settle();
        assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
        assert!(arrived(&pair, len as usize));
        assert_eq!((again(&pair), timeouts(&pair)), (2 + ECHO, 0));
    }
}

#[test]
fn after_a_timeout_all_is_repeated_that_is_not_known_to_be_there() {
    let mut pair = Pair::new(SETUP());
    drop_these(&mut pair, &[1, 2, 3]);
    write(&mut pair, 1, 4096);
    pair.settle();
    assert!(pair.ends[0].statuses().is_empty(), "nothing tells that the tail is lost");
    pair.run_for(70_000);
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
    assert!(arrived(&pair, 4096));
    assert_eq!((again(&pair), timeouts(&pair)), (4, 1));
}

#[test]
fn a_lost_answer_to_a_read_makes_nothing_be_written_twice() {
    let mut pair = Pair::new(SETUP());
    pair.ends[1].buffer.write(0, &[7; 64]);
    pair.fate = Box::new(|from, number, _| if (from, number) == (1, 0) { Fate::Drop } else { Fate::Deliver });
    read(&mut pair, 1, 64);
    for wr_id in 2..=4 {
        let (local, remote) = (pair.ends[0].sge(0, 2048), pair.ends[1].remote(4096));
        pair.send(0, wr_id, SendOp::Write(remote), &[local]);
    }
    pair.settle();
    let ok: Vec<_> = (1..=4).map(|id| (id, WcStatus::Success)).collect();
    assert_eq!(pair.ends[0].statuses(), ok);
    assert_eq!(pair.ends[0].buffer.to_vec(1 << 15, 64), [7; 64]);
    assert_eq!((again(&pair), timeouts(&pair)), (1, 0), "only the READ is asked for again");
}

#[test]
fn what_waits_for_a_receive_does_not_hold_up_what_was_kept() {
    let mut pair = Pair::new(SETUP());
    let local = pair.ends[0].sge(0, 64);
    for wr_id in 1..=3 {
        pair.send(0, wr_id, SendOp::Send, &[local]);
    }
    pair.settle();
    let waited = pair.ends[1].device.counters();
    assert_eq!((waited.rnr_nak_sent, waited.kept_early), (1, 2));
    for wr_id in 101..=103 {
        let recv = pair.ends[1].sge(0, 64);
        pair.recv(1, wr_id, &[recv]);
    }
    pair.run_for(1000);
    assert_eq!(pair.ends[0].statuses().len(), 3);
    assert_eq!(pair.ends[1].statuses().len(), 3);
    assert_eq!(again(&pair), 1);
}

#[test]
fn with_a_peer_that_keeps_nothing_it_goes_back() {
    let mut pair = Pair::new(Setup { peer: Some(Personality::ferroce()), ..SETUP() });
    drop_these(&mut pair, &[2]);
    write(&mut pair, 1, 8 << 10);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
    assert!(arrived(&pair, 8 << 10));
    assert_eq!((again(&pair), timeouts(&pair)), (6, 0), "everything from the gap on");
}

#[test]
fn a_requester_that_goes_back_gets_on_with_a_peer_that_keeps() {
    let personality = Personality::ferroce();
    let mut pair = Pair::new(Setup { personality, peer: Some(Personality::selective_repeat()), ..SETUP() });
    drop_these(&mut pair, &[2, 4]);
    write(&mut pair, 1, 8 << 10);
    write(&mut pair, 2, 8 << 10);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success), (2, WcStatus::Success)]);
    assert!(arrived(&pair, 8 << 10));
    assert_eq!(timeouts(&pair), 0);
}

#[test]
fn no_more_is_kept_than_was_agreed() {
    let recovery = Box::new(SelectiveRepeat { keeps: 3 });
    let personality = Personality { recovery, ..Personality::selective_repeat() };
    let mut pair = Pair::new(Setup { personality, ..SETUP() });
    drop_these(&mut pair, &[0]);
    write(&mut pair, 1, 16 << 10);
    pair.settle();
    assert_eq!(pair.ends[1].device.counters().kept_early, 3);
    pair.run_for(70_000);
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
    assert!(arrived(&pair, 16 << 10));
}
