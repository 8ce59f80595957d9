//! Marks, notifications, and packets that wait for their turn.

use ferroce_engine::*;
use ferroce_wire::{Bth, Opcode};

use crate::pair::{Fate, Pair, Setup};

const LINE_RATE: u64 = 1_000_000_000;

fn pair(personality: Personality) -> Pair {
    Pair::new(Setup { personality, ..Setup::default() })
}

fn headers(bytes: &[u8]) -> Bth {
    Bth::parse(bytes.first_chunk().unwrap()).unwrap()
}

/// Posts a WRITE of `len` bytes from the first end to the second.
fn write(pair: &mut Pair, wr_id: u64, len: u32) {
    let (sge, remote) = (pair.ends[0].sge(0, len), pair.ends[1].remote(0));
    pair.send(0, wr_id, SendOp::Write(remote), &[sge]);
}

fn times_of(pair: &Pair, end: usize, wanted: fn(Opcode) -> bool) -> Vec<u64> {
    let sent = pair.ends[end].device.trace().iter().filter_map(|(at, event)| match event {
        TraceEvent::Sent { opcode, .. } if wanted(*opcode) => Some(at.nanos()),
        _ => None,
    });
    sent.collect()
}

#[test]
fn a_marked_packet_is_answered_by_a_notification_that_slows_the_sender_down() {
    let mut pair = pair(Personality::dcqcn(LINE_RATE));
    pair.fate = Box::new(|from, number, _| if (from, number) == (0, 0) { Fate::Mark } else { Fate::Deliver });
    write(&mut pair, 1, 1000);
    pair.settle();
    let cnp = pair.log.iter().map(|(from, bytes)| (*from, headers(bytes))).find(|(_, bth)| bth.becn);
    let (from, bth) = cnp.expect("a CNP");
    assert_eq!((from, bth.opcode, bth.psn, bth.dest_qp), (1, Opcode::CNP, Psn::new(0), pair.ends[0].qp));
    assert_eq!(pair.ends[0].device.counters().rp_cnp_handled, 1);
    assert_eq!(pair.ends[1].device.counters().np_cnp_sent, 1);
    assert_eq!(pair.ends[0].device.snapshot().qps[0].rate, Some(LINE_RATE / 2));
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);

    write(&mut pair, 2, 32 * 1024);
    pair.run_for(1_000);
    assert_eq!(pair.ends[0].statuses(), [(2, WcStatus::Success)]);
    let times = times_of(&pair, 0, Opcode::is_request);
    let gap = times[3] - times[2];
    // 1024 bytes of payload, 16 of BTH and ICRC, 66 around, at half of 1 Gb/s.
    assert_eq!(gap, (1024 + 16 + 66) * 8 * 2);
}

#[test]
fn notifications_come_at_most_every_50_microseconds() {
    let mut pair = pair(Personality::dcqcn(LINE_RATE));
    pair.fate = Box::new(|from, _, _| if from == 0 { Fate::Mark } else { Fate::Deliver });
    for round in 0..40 {
        write(&mut pair, round, 100);
        pair.run_for(10);
    }
    let times = times_of(&pair, 1, |opcode| opcode == Opcode::CNP);
    assert!(times.len() >= 5, "{times:?}");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 50_000), "{times:?}");
    let marked = pair.ends[1].device.counters().np_ecn_marked_roce_packets;
    assert_eq!(marked as usize, times_of(&pair, 0, Opcode::is_request).len());
}

#[test]
fn responses_to_a_read_are_paced_too() {
    let mut pair = pair(Personality::dcqcn(LINE_RATE));
    pair.fate = Box::new(|from, number, _| if (from, number) == (1, 0) { Fate::Mark } else { Fate::Deliver });
    for (wr_id, micros) in [(1, 50), (2, 2_000)] {
        let (sge, remote) = (pair.ends[0].sge(0, 16 * 1024), pair.ends[1].remote(0));
        pair.send(0, wr_id, SendOp::Read(remote), &[sge]);
        pair.run_for(micros);
        assert_eq!(pair.ends[0].statuses(), [(wr_id, WcStatus::Success)]);
    }
    let times = times_of(&pair, 1, Opcode::is_response);
    let gap = times[17] - times[16];
    assert!((17_000..18_000).contains(&gap), "1106 bytes at half of 1 Gb/s: {gap} ns");
    assert_eq!(pair.ends[1].device.counters().rp_cnp_handled, 1);
}

#[test]
fn a_device_without_congestion_control_only_counts() {
    let mut pair = pair(Personality::ferroce());
    pair.fate = Box::new(|_, _, _| Fate::Mark);
    write(&mut pair, 1, 10_000);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
    let counters = *pair.ends[1].device.counters();
    assert_eq!((counters.np_ecn_marked_roce_packets, counters.np_cnp_sent), (10, 0));
}

#[test]
fn a_notification_to_a_device_without_rate_control_is_counted_and_ignored() {
    let mut answers_only = Personality::ferroce();
    answers_only.congestion.notify = Some(CnpPolicy::default());
    let mut pair = pair(answers_only);
    pair.fate = Box::new(|from, _, _| if from == 0 { Fate::Mark } else { Fate::Deliver });
    write(&mut pair, 1, 10_000);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
    assert_eq!(pair.ends[0].device.counters().rp_cnp_ignored, 1);
    assert_eq!(pair.ends[0].device.snapshot().qps[0].rate, None);
}
