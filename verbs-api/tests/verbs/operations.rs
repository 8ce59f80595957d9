//! Every operation does what it says, alone and in batches.

use ferroce::{AsyncEvent, ImmDt, Payload, QpState, SendFlags, SendOp, SendWr, Wc, WcOpcode, WcStatus};

use crate::common::{PATIENCE, good};

#[test]
fn a_batch_is_carried_out_in_order() {
    let (a, b) = ferroce::pair().unwrap();
    let remote = b.memory.remote();
    for wr_id in 0..3 {
        b.qp.receive(wr_id, &[b.memory.slice(1000..1100)]).unwrap();
    }
    a.memory.write(0, b"first second third");
    b.memory.write_u64(64, 5);
    let old = [a.memory.slice(200..208)];
    a.qp.post()
        .write(10, &[a.memory.slice(0..5)], remote.at(0))
        .write_imm(11, &[a.memory.slice(6..12)], remote.at(8), ImmDt(*b"feed"))
        .send_inline(12, b"inline")
        .send_imm(13, &[a.memory.slice(13..18)], ImmDt(*b"imm!"))
        .fetch_add(14, &old, remote.at(64), 3)
        .compare_swap(15, &[a.memory.slice(208..216)], remote.at(64), 8, 80)
        .read(16, &[a.memory.slice(300..308)], remote.at(64))
        .fence()
        .submit()
        .unwrap();

    let sent: Vec<Wc> = (0..7).map(|_| good(&a.cq)).collect();
    assert!(sent.iter().map(|wc| wc.wr_id).eq(10..17));
    assert_eq!(b.memory.to_vec(0..5), b"first");
    assert_eq!(b.memory.to_vec(8..14), b"second");
    assert_eq!((a.memory.read_u64(200), a.memory.read_u64(208), b.memory.read_u64(64)), (5, 8, 80));
    assert_eq!(a.memory.read_u64(300), 80, "the READ waits for the atomics");

    let received: Vec<Wc> = (0..3).map(|_| good(&b.cq)).collect();
    let opcodes = [WcOpcode::RecvRdmaWithImm, WcOpcode::Recv, WcOpcode::Recv];
    assert!(received.iter().map(|wc| wc.opcode).eq(opcodes));
    assert_eq!((received[0].imm, received[2].imm), (Some(ImmDt(*b"feed")), Some(ImmDt(*b"imm!"))));
    assert_eq!(received[1].byte_len, 6);
}

#[test]
fn only_what_is_signaled_completes() {
    let (a, b) = ferroce::pair().unwrap();
    let data = [a.memory.slice(..64)];
    let mut batch = a.qp.post();
    for wr_id in 0..50 {
        batch = batch.write(wr_id, &data, b.memory.remote()).unsignaled();
    }
    batch.write(50, &data, b.memory.remote()).submit().unwrap();
    assert_eq!(good(&a.cq).wr_id, 50);
    assert_eq!(a.cq.poll_one(), None);

    let all = a.pd.queue_pair(&a.cq).signal_all(true).build().unwrap();
    let other = b.pd.queue_pair(&b.cq).build().unwrap();
    all.connect(&other.endpoint()).unwrap();
    other.connect(&all.endpoint()).unwrap();
    all.post().write(60, &data, b.memory.remote()).unsignaled().submit().unwrap();
    assert_eq!(good(&a.cq).wr_id, 60);
}

#[test]
fn an_empty_batch_is_fine() {
    let (a, _b) = ferroce::pair().unwrap();
    a.qp.post().submit().unwrap();
    a.qp.post_send(&[]).unwrap();
    a.qp.post_recv(&[]).unwrap();
}

#[test]
fn requests_that_are_there_already_can_be_posted() {
    let (a, b) = ferroce::pair().unwrap();
    a.memory.write(0, b"raw");
    let sges = [a.memory.slice(0..3)];
    let wr = SendWr {
        flags: SendFlags::SIGNALED,
        ..SendWr::new(1, SendOp::Write(b.memory.remote().at(10)), Payload::Sges(&sges))
    };
    a.qp.post_send(&[wr]).unwrap();
    let mut batch = a.qp.post();
    batch.extend([SendWr { wr_id: 2, op: SendOp::Write(b.memory.remote().at(20)), ..wr }]);
    batch.submit().unwrap();
    assert_eq!((good(&a.cq).wr_id, good(&a.cq).wr_id), (1, 2));
    assert_eq!((b.memory.to_vec(10..13), b.memory.to_vec(20..23)), (b"raw".to_vec(), b"raw".to_vec()));
}

#[test]
fn a_peer_cannot_invalidate_a_memory_region() {
    let (a, b) = ferroce::pair().unwrap();
    b.qp.receive(1, &[]).unwrap();
    a.qp.post().send_with_invalidate(2, &[], b.memory.rkey()).submit().unwrap();
    assert_eq!(b.cq.wait(PATIENCE).unwrap().status, WcStatus::RemInvReqErr);
    assert_eq!(b.qp.state(), QpState::Err);
    assert_eq!(b.context.snapshot().mrs.len(), 1);
}

#[test]
fn a_queue_pair_can_be_used_again_after_a_failure() {
    let (a, b) = ferroce::pair().unwrap();
    let nowhere = ferroce::Remote { addr: 0, rkey: 0 };
    a.qp.post().write(1, &[a.memory.slice(..8)], nowhere).submit().unwrap();
    assert_eq!(a.cq.wait(PATIENCE).unwrap().status, WcStatus::RemAccessErr);
    assert!(
        matches!(b.context.async_events().wait(PATIENCE), Some(AsyncEvent::Qp(qpn, _)) if qpn == b.qp.qpn())
    );

    a.qp.reset().unwrap();
    b.qp.reset().unwrap();
    a.qp.connect(&b.qp.endpoint()).unwrap();
    b.qp.connect(&a.qp.endpoint()).unwrap();
    a.qp.post().write(2, &[a.memory.slice(..8)], b.memory.remote()).submit().unwrap();
    assert_eq!(good(&a.cq).wr_id, 2);
}
