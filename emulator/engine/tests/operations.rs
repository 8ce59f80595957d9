//! Every operation, as both ends see it.

mod common;

use common::{Pair, Setup};
use ferroce_engine::*;

fn filled(pair: &Pair, end: usize, offset: usize, len: usize, salt: u8) -> Vec<u8> {
    let data: Vec<u8> = (0..len).map(|i| (i as u8).wrapping_mul(31).wrapping_add(salt)).collect();
    pair.ends[end].buffer.write(offset, &data);
    data
}

#[test]
fn a_send_of_several_packets_arrives_in_one_receive() {
    let mut pair = Pair::new(Setup::default());
    let data = filled(&pair, 0, 0, 3001, 7);
    let recv = pair.ends[1].sge(100, 4000);
    pair.recv(1, 101, &[recv]);
    let source = pair.ends[0].sge(0, 3001);
    pair.send(0, 1, SendOp::SendImm(ImmDt(*b"imm!")), &[source]);
    pair.settle();
    let sent = pair.ends[0].poll();
    assert_eq!((sent.len(), sent[0].wr_id, sent[0].status), (1, 1, WcStatus::Success));
    let received = pair.ends[1].poll();
    assert_eq!(received.len(), 1);
    assert_eq!((received[0].wr_id, received[0].byte_len), (101, 3001));
    assert_eq!(received[0].imm, Some(ImmDt(*b"imm!")));
    assert_eq!(pair.ends[1].buffer.to_vec(100, 3001), data);
    assert_eq!(
        pair.opcodes(),
        ["0>RC_SEND_FIRST", "0>RC_SEND_MIDDLE", "0>RC_SEND_LAST_IMM", "1>RC_ACKNOWLEDGE"]
    );
}

#[test]
fn write_read_and_atomics_touch_what_they_name() {
    let mut pair = Pair::new(Setup::default());
    let data = filled(&pair, 0, 0, 2500, 3);
    let (source, target) = (pair.ends[0].sge(0, 2500), pair.ends[1].remote(4096));
    pair.send(0, 1, SendOp::Write(target), &[source]);
    let back = pair.ends[0].sge(8192, 2500);
    pair.send(0, 2, SendOp::Read(target), &[back]);
    pair.ends[1].buffer.write(0, &40u64.to_ne_bytes());
    let (word, result) = (pair.ends[1].remote(0), pair.ends[0].sge(16000, 8));
    pair.send(0, 3, SendOp::FetchAdd { remote: word, add: 2 }, &[result]);
    let result = pair.ends[0].sge(16008, 8);
    pair.send(0, 4, SendOp::CompareSwap { remote: word, compare: 42, swap: 7 }, &[result]);
    pair.settle();
    let ok: Vec<_> = (1..=4).map(|id| (id, WcStatus::Success)).collect();
    assert_eq!(pair.ends[0].statuses(), ok);
    assert_eq!(pair.ends[1].buffer.to_vec(4096, 2500), data);
    assert_eq!(pair.ends[0].buffer.to_vec(8192, 2500), data);
    assert_eq!(pair.ends[0].buffer.to_vec(16000, 8), 40u64.to_ne_bytes());
    assert_eq!(pair.ends[0].buffer.to_vec(16008, 8), 42u64.to_ne_bytes());
    assert_eq!(pair.ends[1].buffer.to_vec(0, 8), 7u64.to_ne_bytes());
    assert!(pair.ends[1].poll().is_empty(), "one-sided operations complete nothing at the peer");
}
