//! Every operation, as both ends see it.

use ferroce_engine::*;

use crate::pair::{Pair, Setup};

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

#[test]
fn inline_data_is_taken_when_it_is_posted() {
    let mut pair = Pair::new(Setup::default());
    let recv = pair.ends[1].sge(0, 64);
    pair.recv(1, 101, &[recv]);
    let qp = pair.ends[0].qp;
    let mut data = *b"taken at once";
    let wr = SendWr { flags: SendFlags::SIGNALED, ..SendWr::new(1, SendOp::Send, Payload::Inline(&data)) };
    pair.ends[0].device.post_send(pair.now, qp, &[wr]).unwrap();
    data.fill(0);
    pair.settle();
    assert_eq!(pair.ends[1].buffer.to_vec(0, 13), b"taken at once");
}

#[test]
fn a_list_is_gathered_and_another_scattered() {
    let mut pair = Pair::new(Setup::default());
    let data = filled(&pair, 0, 0, 134, 9);
    let [a, b, c, d] = [(0, 1), (1, 0), (1, 100), (101, 33)].map(|(at, len)| pair.ends[0].sge(at, len));
    let [w, x, y, z] = [(0, 10), (0, 0), (10, 90), (100, 100)].map(|(at, len)| pair.ends[1].sge(at, len));
    pair.recv(1, 101, &[w, x, y, z]);
    pair.send(0, 1, SendOp::Send, &[a, b, c, d]);
    pair.settle();
    assert_eq!(pair.ends[1].buffer.to_vec(0, 134), data);
}

#[test]
fn empty_messages_name_no_memory() {
    let mut pair = Pair::new(Setup::default());
    let nowhere = Remote { addr: 0xdead, rkey: 0xdead };
    let empty = Sge { addr: 1, len: 0, lkey: 1 };
    pair.recv(1, 101, &[]);
    pair.recv(1, 102, &[]);
    pair.send(0, 1, SendOp::Send, &[empty]);
    pair.send(0, 2, SendOp::WriteImm(nowhere, ImmDt([1, 2, 3, 4])), &[]);
    pair.send(0, 3, SendOp::Write(nowhere), &[]);
    pair.send(0, 4, SendOp::Read(nowhere), &[]);
    pair.settle();
    assert!(pair.ends[0].statuses().iter().all(|(_, status)| *status == WcStatus::Success));
    let received = pair.ends[1].poll();
    assert_eq!(received.iter().map(|wc| (wc.wr_id, wc.byte_len)).collect::<Vec<_>>(), [(101, 0), (102, 0)]);
    assert_eq!(received[1].opcode, WcOpcode::RecvRdmaWithImm);
}

#[test]
fn a_fence_waits_for_reads_and_nothing_else_does() {
    for (flags, expected) in
        [(SendFlags::FENCE, "1>RC_READ_RESP_ONLY"), (SendFlags::empty(), "0>RC_WRITE_ONLY")]
    {
        let mut pair = Pair::new(Setup::default());
        let (local, remote) = (pair.ends[0].sge(0, 64), pair.ends[1].remote(0));
        pair.send(0, 1, SendOp::Read(remote), &[local]);
        pair.send_with(0, 2, SendOp::Write(remote), &[local], SendFlags::SIGNALED | flags);
        pair.settle();
        assert_eq!(pair.opcodes()[1], expected);
        assert_eq!(pair.ends[0].statuses().len(), 2);
    }
}

#[test]
fn unsignaled_requests_share_one_acknowledgement() {
    let mut pair = Pair::new(Setup::default());
    let (local, remote) = (pair.ends[0].sge(0, 8), pair.ends[1].remote(0));
    for wr_id in 1..8 {
        pair.send_with(0, wr_id, SendOp::Write(remote), &[local], SendFlags::empty());
    }
    pair.send(0, 8, SendOp::Write(remote), &[local]);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(8, WcStatus::Success)]);
    assert_eq!(pair.opcodes().iter().filter(|name| *name == "1>RC_ACKNOWLEDGE").count(), 1);
}

#[test]
fn psns_wrap_around() {
    let mut pair = Pair::new(Setup { psn: 0xff_fffe, mtu: PathMtu::Mtu256, ..Setup::default() });
    let data = filled(&pair, 0, 0, 1200, 5);
    let (local, remote) = (pair.ends[0].sge(0, 1200), pair.ends[1].remote(0));
    pair.send(0, 1, SendOp::Write(remote), &[local]);
    let back = pair.ends[0].sge(4096, 1200);
    pair.send(0, 2, SendOp::Read(remote), &[back]);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success), (2, WcStatus::Success)]);
    assert_eq!(pair.ends[0].buffer.to_vec(4096, 1200), data);
    assert_eq!(pair.ends[0].device.query_qp(pair.ends[0].qp).unwrap().attr.sq_psn, Some(Psn::new(8)));
}

#[test]
fn long_reads_are_asked_for_in_chunks_when_the_policy_says_so() {
    let personality = Personality { read_chunk: 2, ..Personality::ferroce() };
    let rts: fn(&mut QpAttr) = |rts| rts.max_rd_atomic = Some(2);
    let mut pair = Pair::new(Setup { personality, mtu: PathMtu::Mtu256, rts, ..Setup::default() });
    let data = filled(&pair, 1, 0, 1300, 5);
    let (back, remote) = (pair.ends[0].sge(4096, 1300), pair.ends[1].remote(0));
    pair.send(0, 1, SendOp::Read(remote), &[back]);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
    assert_eq!(pair.ends[0].buffer.to_vec(4096, 1300), data);
    let asked = pair.opcodes().iter().filter(|name| *name == "0>RC_READ_REQUEST").count();
    assert_eq!(asked, 3, "six packets, two at a time");
}

#[test]
fn a_solicited_message_says_so_in_its_last_packet() {
    let mut pair = Pair::new(Setup::default());
    let (local, recv) = (pair.ends[0].sge(0, 2500), pair.ends[1].sge(0, 4096));
    pair.recv(1, 101, &[recv]);
    pair.send_with(0, 1, SendOp::Send, &[local], SendFlags::SIGNALED | SendFlags::SOLICITED);
    pair.settle();
    let bits: Vec<_> =
        pair.log.iter().filter(|(from, _)| *from == 0).map(|(_, bytes)| bytes[1] >> 7).collect();
    assert_eq!(bits, [0, 0, 1]);
}

#[test]
fn acknowledgements_count_the_messages() {
    let mut pair = Pair::new(Setup::default());
    for wr_id in 1..=3 {
        let (local, remote) = (pair.ends[0].sge(0, 2500), pair.ends[1].remote(0));
        pair.send(0, wr_id, SendOp::Write(remote), &[local]);
        pair.settle();
        let (from, last) = pair.log.last().unwrap();
        assert_eq!((*from, last[0]), (1, 0x11));
        assert_eq!(last[13..16], [0, 0, wr_id as u8], "the MSN behind the syndrome");
    }
}
