//! Recovery: what is sent again, when, and what the peer makes of it.

use ferroce_engine::*;

use crate::pair::{Fate, Pair, Setup};

/// Drops the `number`th packet of `sender` (counted from 0), once.
fn drop_one(pair: &mut Pair, sender: usize, number: usize) {
    pair.fate = Box::new(
        move |from, count, _| if (from, count) == (sender, number) { Fate::Drop } else { Fate::Deliver },
    );
}

fn write(pair: &mut Pair, wr_id: u64, len: u32) {
    let (local, remote) = (pair.ends[0].sge(0, len), pair.ends[1].remote(0));
    pair.send(0, wr_id, SendOp::Write(remote), &[local]);
}

fn read(pair: &mut Pair, wr_id: u64, len: u32) {
    let (local, remote) = (pair.ends[0].sge(8192, len), pair.ends[1].remote(0));
    pair.send(0, wr_id, SendOp::Read(remote), &[local]);
}

#[test]
fn a_gap_is_reported_once_and_everything_from_it_sent_again() {
    let mut pair = Pair::new(Setup::default());
    drop_one(&mut pair, 0, 1);
    write(&mut pair, 1, 4096);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
    let names = pair.opcodes();
    assert_eq!(
        names[4..],
        ["1>RC_ACKNOWLEDGE", "0>RC_WRITE_MIDDLE", "0>RC_WRITE_MIDDLE", "0>RC_WRITE_LAST", "1>RC_ACKNOWLEDGE"]
    );
    assert_eq!(pair.ends[1].device.counters().seq_nak_sent, 1);
    assert_eq!(pair.ends[0].device.counters().retransmitted_pkts, 3);
}

#[test]
fn silence_is_broken_by_the_timer() {
    let mut pair = Pair::new(Setup::default());
    drop_one(&mut pair, 0, 0);
    write(&mut pair, 1, 64);
    pair.settle();
    assert!(pair.ends[0].statuses().is_empty());
    pair.run_for(67_108);
    assert!(pair.ends[0].statuses().is_empty(), "4.096 µs · 2^14 is not over yet");
    pair.run_for(10);
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
}

#[test]
fn a_lost_acknowledgement_is_given_again_and_nothing_done_twice() {
    let mut pair = Pair::new(Setup::default());
    drop_one(&mut pair, 1, 0);
    let (result, word) = (pair.ends[0].sge(0, 8), pair.ends[1].remote(0));
    pair.send(0, 1, SendOp::FetchAdd { remote: word, add: 5 }, &[result]);
    pair.run_for(70_000);
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
    assert_eq!(pair.ends[1].buffer.to_vec(0, 8), 5u64.to_ne_bytes(), "added once");
    assert_eq!(pair.ends[0].buffer.to_vec(0, 8), 0u64.to_ne_bytes(), "the saved result, not a new one");
    assert_eq!(pair.ends[1].device.counters().duplicate_request, 1);
}

#[test]
fn what_comes_again_is_acknowledged_as_far_as_all_was_executed() {
    let mut pair = Pair::new(Setup::default());
    write(&mut pair, 1, 64);
    write(&mut pair, 2, 64);
    pair.settle();
    let before = pair.log.len();
    pair.again(0);
    pair.settle();
    let acks: Vec<_> = pair.log[before..].iter().map(|(from, bytes)| (*from, bytes[0], bytes[11])).collect();
    assert_eq!(acks, [(1, 0x11, 1)], "the ACK names the second packet, though the first was asked about");
}

#[test]
fn a_read_resumes_behind_what_has_arrived() {
    let mut pair = Pair::new(Setup::default());
    pair.ends[1].buffer.write(0, &[7; 4096]);
    drop_one(&mut pair, 1, 2);
    read(&mut pair, 1, 4096);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
    assert_eq!(pair.ends[0].buffer.to_vec(8192, 4096), [7; 4096]);
    let again = pair.log.iter().filter(|(from, bytes)| *from == 0 && bytes[0] == 0x0c).nth(1).unwrap();
    assert_eq!(again.1[24..28], 2048u32.to_be_bytes(), "only the second half is asked for again");
}

#[test]
fn an_acknowledgement_behind_a_lost_response_implies_the_loss() {
    let mut pair = Pair::new(Setup::default());
    pair.ends[1].buffer.write(0, &[7; 64]);
    drop_one(&mut pair, 1, 0);
    read(&mut pair, 1, 64);
    write(&mut pair, 2, 0);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success), (2, WcStatus::Success)]);
    assert_eq!(pair.ends[0].device.counters().implied_nak_seq_err, 1);
    assert_eq!(pair.ends[0].device.counters().local_ack_timeout_err, 0, "without waiting for the timer");
}

#[test]
fn repeating_an_old_read_costs_no_newer_one_its_place() {
    let two = Setup { rtr: |rtr| rtr.max_dest_rd_atomic = Some(2), ..Setup::default() };
    let mut pair = Pair::new(Setup { rts: |rts| rts.max_rd_atomic = Some(2), ..two });
    read(&mut pair, 1, 64);
    pair.settle();
    drop_one(&mut pair, 1, 1);
    read(&mut pair, 2, 64);
    pair.settle();
    pair.again(0);
    assert_eq!(pair.ends[1].device.counters().duplicate_request, 1);
    read(&mut pair, 3, 64);
    pair.settle();
    let ok: Vec<_> = (1..=3).map(|id| (id, WcStatus::Success)).collect();
    assert_eq!(pair.ends[0].statuses(), ok, "the second is asked for again, and its answer is still there");
    assert_eq!(pair.ends[0].device.counters().local_ack_timeout_err, 0);
}

#[test]
fn retries_are_counted_and_then_it_is_over() {
    let mut pair = Pair::new(Setup { rts: |rts| rts.retry_cnt = Some(2), ..Setup::default() });
    pair.fate = Box::new(|from, _, _| if from == 0 { Fate::Drop } else { Fate::Deliver });
    write(&mut pair, 1, 64);
    write(&mut pair, 2, 64);
    pair.run_for(10_000_000);
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::RetryExcErr), (2, WcStatus::WrFlushErr)]);
    assert_eq!(pair.ends[0].state(), QpState::Err);
    assert_eq!(pair.sent[0], 6, "both packets, three times");
}

/// Whoever must wait for a processor gets time, within what IBTA 9.7.6.1.3 allows.
#[test]
fn the_timeout_grows_to_four_times_its_value_while_nothing_is_heard() {
    let timeouts_at = |personality: Personality| {
        let mut pair = Pair::new(Setup { personality, ..Setup::default() });
        pair.fate = Box::new(|_, _, _| Fate::Drop);
        write(&mut pair, 1, 64);
        let mut count = 0;
        let mut happens = |_: &u64| {
            // Timeout code 14 is 67.1 ms.
            pair.run_for(67_200);
            let before = std::mem::replace(&mut count, pair.ends[0].device.counters().local_ack_timeout_err);
            count > before
        };
        (1..=12).filter(|number| happens(number)).collect::<Vec<u64>>()
    };
    assert_eq!(timeouts_at(Personality::ferroce()), [1, 3, 7, 11]);
    assert_eq!(timeouts_at(Personality::connectx()), [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn what_arrives_after_a_timeout_is_progress_even_if_the_end_is_lost_again() {
    let mut pair = Pair::new(Setup { rts: |rts| rts.retry_cnt = Some(2), ..Setup::default() });
    let (mut firsts, mut lasts) = (0, 0);
    pair.fate = Box::new(move |_, _, packet| {
        let (count, lost) = match packet[0] {
            0x06 => (&mut firsts, 1),
            0x08 => (&mut lasts, 3),
            _ => return Fate::Deliver,
        };
        *count += 1;
        if *count <= lost { Fate::Drop } else { Fate::Deliver }
    });
    write(&mut pair, 1, 2048);
    pair.run_for(1_000_000);
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
}

#[test]
fn timeout_zero_waits_for_ever() {
    let mut pair = Pair::new(Setup { rts: |rts| rts.timeout = Some(0), ..Setup::default() });
    drop_one(&mut pair, 0, 0);
    write(&mut pair, 1, 64);
    pair.run_for(3_600_000_000);
    assert!(pair.ends[0].statuses().is_empty());
    assert_eq!(pair.ends[0].state(), QpState::Rts);
}

#[test]
fn a_requester_waits_as_long_as_the_receiver_asks() {
    let mut pair = Pair::new(Setup::default());
    let (local, recv) = (pair.ends[0].sge(0, 3000), pair.ends[1].sge(0, 4096));
    pair.send(0, 1, SendOp::Send, &[local]);
    pair.run_for(600);
    assert_eq!(pair.ends[1].device.counters().rnr_nak_sent, 1, "timer code 12 is 0.64 ms");
    pair.recv(1, 101, &[recv]);
    pair.run_for(100);
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
    assert_eq!(pair.ends[1].poll()[0].byte_len, 3000);
    assert_eq!(pair.ends[1].device.counters().seq_nak_sent, 0, "the packets behind were not reported too");
}

#[test]
fn waiting_for_a_receive_ends_when_rnr_retry_says_so() {
    let mut pair = Pair::new(Setup { rts: |rts| rts.rnr_retry = Some(2), ..Setup::default() });
    let local = pair.ends[0].sge(0, 64);
    pair.send(0, 1, SendOp::Send, &[local]);
    pair.run_for(1_000_000);
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::RnrRetryExcErr)]);
    assert_eq!(pair.sent[0], 3);
    assert_eq!(pair.ends[1].state(), QpState::Rts, "the responder is not to blame");
}

#[test]
fn only_the_last_packet_of_a_write_with_immediate_waits_for_a_receive() {
    let mut pair = Pair::new(Setup::default());
    let (local, remote) = (pair.ends[0].sge(0, 2500), pair.ends[1].remote(0));
    pair.send(0, 1, SendOp::WriteImm(remote, ImmDt([0; 4])), &[local]);
    pair.settle();
    pair.recv(1, 101, &[]);
    pair.run_for(1000);
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
    let names = pair.opcodes();
    assert_eq!(names[4..], ["0>RC_WRITE_LAST_IMM", "1>RC_ACKNOWLEDGE"]);
}

#[test]
fn duplicates_in_the_network_change_nothing() {
    let mut pair = Pair::new(Setup::default());
    pair.fate = Box::new(|_, _, _| Fate::Twice);
    let recv = pair.ends[1].sge(0, 4096);
    pair.recv(1, 101, &[recv]);
    pair.recv(1, 102, &[recv]);
    let local = pair.ends[0].sge(0, 2048);
    pair.send(0, 1, SendOp::Send, &[local]);
    read(&mut pair, 2, 3000);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success), (2, WcStatus::Success)]);
    assert_eq!(pair.ends[1].statuses(), [(101, WcStatus::Success)], "the second receive is still there");
}

#[test]
fn unasked_packets_are_probed_for_when_nothing_else_can_follow() {
    // An unsignaled WRITE does not ask for an acknowledgement because another request follows. That one turns
    // out to be wrong, and with no timer running only a probe can tell that the first is done.
    let mut pair = Pair::new(Setup { rts: |rts| rts.timeout = Some(0), ..Setup::default() });
    let (local, remote) = (pair.ends[0].sge(0, 64), pair.ends[1].remote(0));
    let wrong = Sge { lkey: 0xdead, ..local };
    let qp = pair.ends[0].qp;
    let wr = |wr_id, sges, flags| SendWr {
        flags,
        ..SendWr::new(wr_id, SendOp::Write(remote), Payload::Sges(sges))
    };
    let (first, second) = ([local], [wrong]);
    let batch = [wr(1, &first, SendFlags::empty()), wr(2, &second, SendFlags::SIGNALED)];
    pair.ends[0].device.post_send(pair.now, qp, &batch).unwrap();
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(2, WcStatus::LocProtErr)]);
}

#[test]
fn go_back_0_repeats_the_whole_message() {
    let mut pair = Pair::new(Setup { personality: Personality::go_back_0(), ..Setup::default() });
    drop_one(&mut pair, 0, 2);
    write(&mut pair, 1, 4096);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
    assert_eq!(pair.opcodes()[5], "0>RC_WRITE_FIRST");
}

#[test]
fn a_long_message_asks_for_acknowledgements_on_its_way() {
    let mut pair = Pair::new(Setup { mtu: PathMtu::Mtu256, ..Setup::default() });
    write(&mut pair, 1, 1 << 16);
    pair.settle();
    let asking = pair.log.iter().filter(|(from, bytes)| *from == 0 && bytes[8] & 0x80 != 0).count();
    assert_eq!(asking, 256 / 64);
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
}

#[test]
fn a_silent_peer_is_not_flooded() {
    let mut pair = Pair::new(Setup { mtu: PathMtu::Mtu256, ..Setup::default() });
    pair.fate = Box::new(|_, _, _| Fate::Drop);
    write(&mut pair, 1, 1 << 16);
    pair.settle();
    assert_eq!(pair.sent[0], 256);
    for (round, timeouts) in [(1, 1), (2, 2), (3, 4)] {
        pair.run_for(timeouts * 67_200);
        assert_eq!(pair.sent[0], 256 + round * 16, "a few packets after each timeout");
    }
    pair.fate = Box::new(|_, _, _| Fate::Deliver);
    pair.run_for(4 * 67_200);
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
    assert_eq!(pair.sent[0], 256 + 3 * 16 + 256, "and everything once it answers");
}

/// Packets that a requester sends until it waits for acknowledgements, which do not come.
fn sent_unanswered(pair: &mut Pair) -> usize {
    let before = pair.sent[0];
    pair.fate = Box::new(|from, _, _| if from == 1 { Fate::Drop } else { Fate::Deliver });
    write(pair, 9, 1 << 15);
    pair.settle();
    pair.sent[0] - before
}

#[test]
fn a_peer_that_was_too_slow_once_is_given_less_to_do() {
    let personality = Personality { window: 64, ..Personality::ferroce() };
    let mut pair = Pair::new(Setup { mtu: PathMtu::Mtu256, personality, ..Setup::default() });
    assert_eq!(sent_unanswered(&mut pair), 64);
    pair.run_for(67_200);
    pair.fate = Box::new(|_, _, _| Fate::Deliver);
    pair.run_for(2 * 67_200);
    assert_eq!(pair.ends[0].statuses(), [(9, WcStatus::Success)]);
    let given = sent_unanswered(&mut pair);
    assert!((32..64).contains(&given), "{given}");
}
