//! ATOMIC WRITE and FLUSH.

use ferroce_engine::*;

use crate::pair::{ALL, Fate, Pair, Setup};

const GLOBAL: Access = Access::FLUSH_GLOBAL;

fn setup() -> Setup {
    let personality = Personality { placement: true, ..Personality::ferroce() };
    Setup { personality, access: ALL | GLOBAL, qp_access: ALL | GLOBAL, ..Setup::default() }
}

fn flush(remote: Remote, len: u32) -> SendOp {
    SendOp::Flush { remote, len, placement: GLOBAL, whole_region: false }
}

/// Posts one request of end 0 and lets it run to its end.
fn status(pair: &mut Pair, op: SendOp, len: u32) -> WcStatus {
    let sge = pair.ends[0].sge(0, len);
    pair.send(0, 1, op, &[sge]);
    pair.run_for(10_000_000);
    pair.ends[0].poll()[0].status
}

#[test]
fn eight_bytes_are_written_at_once_and_what_was_written_is_flushed() {
    let mut pair = Pair::new(setup());
    pair.ends[0].buffer.write(0, b"pointers");
    let (data, word) = (pair.ends[0].sge(0, 8), pair.ends[1].remote(64));
    pair.send(0, 1, SendOp::Write(pair.ends[1].remote(0)), &[data]);
    pair.send(0, 2, flush(pair.ends[1].remote(0), 8), &[]);
    pair.send(0, 3, SendOp::AtomicWrite(word), &[data]);
    pair.settle();
    let done: Vec<_> = pair.ends[0].poll().iter().map(|wc| (wc.wr_id, wc.opcode, wc.byte_len)).collect();
    assert_eq!(done, [(1, WcOpcode::RdmaWrite, 8), (2, WcOpcode::Flush, 0), (3, WcOpcode::AtomicWrite, 8)]);
    assert_eq!(pair.ends[1].buffer.to_vec(64, 8), b"pointers");
    let answers = pair.opcodes().iter().filter(|name| *name == "1>RC_READ_RESP_ONLY").count();
    assert_eq!(answers, 2, "one for each: {:?}", pair.opcodes());
}

#[test]
fn an_answer_that_is_lost_is_given_again_and_nothing_is_done_twice() {
    for op in [|remote| SendOp::AtomicWrite(remote), |remote| flush(remote, 8)] {
        let mut pair = Pair::new(setup());
        pair.fate =
            Box::new(|from, number, _| if (from, number) == (1, 0) { Fate::Drop } else { Fate::Deliver });
        pair.ends[0].buffer.write(0, b"original");
        let (data, word) = (pair.ends[0].sge(0, 8), pair.ends[1].remote(0));
        pair.send(0, 1, op(word), &[data]);
        pair.settle();
        pair.ends[1].buffer.write(0, b"changed.");
        pair.run_for(1_000_000);
        assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
        assert_eq!(pair.ends[1].buffer.to_vec(0, 8), b"changed.");
        assert_eq!(pair.ends[1].device.counters().duplicate_request, 1);
    }
}

#[test]
fn they_count_as_reads_that_are_outstanding() {
    let setup = Setup { rts: |rts| rts.max_rd_atomic = Some(1), ..setup() };
    let mut pair = Pair::new(setup);
    pair.fate = Box::new(|from, _, _| if from == 1 { Fate::Drop } else { Fate::Deliver });
    for wr_id in 0..3 {
        pair.send(0, wr_id, flush(pair.ends[1].remote(0), 8), &[]);
    }
    pair.settle();
    assert_eq!(pair.sent[0], 1, "the others wait");
}

#[test]
fn what_each_asks_of_the_peer() {
    let nowhere = |pair: &Pair| Remote { rkey: pair.ends[1].mr.rkey ^ 1, ..pair.ends[1].remote(0) };
    let end = 1 << 16;
    type Make = fn(&Pair, Remote) -> SendOp;
    let cases: [(&str, WcStatus, u64, Make); 5] = [
        ("unaligned", WcStatus::RemInvReqErr, 4, |_, at| SendOp::AtomicWrite(at)),
        ("out of range", WcStatus::RemAccessErr, end, |_, at| SendOp::AtomicWrite(at)),
        ("flush out of range", WcStatus::RemAccessErr, end - 4, |_, at| flush(at, 8)),
        ("flush of all, wherever", WcStatus::Success, end + 99, |_, remote| SendOp::Flush {
            remote,
            len: 0,
            placement: GLOBAL,
            whole_region: true,
        }),
        ("a queue pair without the right", WcStatus::RemInvReqErr, 0, |_, remote| SendOp::Flush {
            remote,
            len: 8,
            placement: Access::FLUSH_PERSISTENT,
            whole_region: false,
        }),
    ];
    for (name, expected, at, make) in cases {
        let mut pair = Pair::new(setup());
        let remote = Remote { addr: pair.ends[1].buffer.addr() + at, ..pair.ends[1].remote(0) };
        let op = make(&pair, remote);
        assert_eq!(status(&mut pair, op, 8), expected, "{name}");
    }
    let mut pair = Pair::new(setup());
    let op = flush(nowhere(&pair), 8);
    assert_eq!(status(&mut pair, op, 0), WcStatus::RemAccessErr, "no such key");
    let mut pair = Pair::new(Setup { access: ALL, ..setup() });
    let op = flush(pair.ends[1].remote(0), 8);
    assert_eq!(status(&mut pair, op, 0), WcStatus::RemAccessErr, "a region without the right");
    let mut pair = Pair::new(setup());
    let op = SendOp::AtomicWrite(pair.ends[1].remote(0));
    assert_eq!(status(&mut pair, op, 7), WcStatus::LocLenErr, "seven bytes");
}

#[test]
fn nobody_meets_them_who_has_not_switched_them_on() {
    let mut pair = Pair::new(Setup { qp_access: ALL | GLOBAL, ..Setup::default() });
    let op = SendOp::AtomicWrite(pair.ends[1].remote(0));
    let wr = SendWr::new(1, op, Payload::Inline(&[0; 8]));
    let (now, qp) = (pair.now, pair.ends[0].qp);
    let refused = pair.ends[0].device.post_send(now, qp, &[wr]).unwrap_err();
    assert_eq!(refused.cause.errno(), 95);
    // A peer that sends one all the same.
    let mut knowing = Pair::new(setup());
    let sge = knowing.ends[0].sge(0, 8);
    knowing.fate = Box::new(|_, _, _| Fate::Drop);
    knowing.send(0, 1, SendOp::AtomicWrite(knowing.ends[1].remote(0)), &[sge]);
    knowing.settle();
    let packet = knowing.log[0].clone();
    pair.log = vec![packet];
    pair.again(0);
    pair.settle();
    assert_eq!(pair.ends[1].state(), QpState::Err);
    assert_eq!(pair.ends[1].events.last(), Some(&AsyncEvent::Qp(pair.ends[1].qp, QpEvent::ReqErr)));
}

#[test]
fn memory_is_never_persistent() {
    let mut pair = Pair::new(setup());
    let pd = pair.ends[1].pd;
    let init = MrInit::new(&Buffer::new(64), Access::FLUSH_PERSISTENT);
    assert_eq!(pair.ends[1].device.reg_mr(pd, init).map_err(VerbsError::errno), Err(22));
}
