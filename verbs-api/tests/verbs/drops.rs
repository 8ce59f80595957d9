//! Handles can be dropped in any order, while traffic flows, and nothing dangles or is left behind.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ferroce::{Access, Context, Hub, Peer, Wc, WcStatus};

use crate::common::{PATIENCE, at_hub, good, until};

/// One part of a peer.
type Part = Box<dyn std::any::Any>;

/// A peer's parts, to be dropped one by one.
fn parts(peer: Peer) -> [Option<Part>; 5] {
    let Peer { qp, memory, cq, pd, context } = peer;
    let parts: [Part; 5] = [Box::new(qp), Box::new(memory), Box::new(cq), Box::new(pd), Box::new(context)];
    parts.map(Some)
}

/// All orders of `n` things.
fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(n - 1);
    let insert = |order: &Vec<usize>, at: usize| {
        let mut order = order.clone();
        order.insert(at, n - 1);
        order
    };
    shorter.iter().flat_map(|order| (0..n).map(move |at| insert(order, at))).collect()
}

#[test]
fn every_order_of_dropping_is_fine_while_traffic_flows() {
    let orders = orders(5);
    assert_eq!(orders.len(), 120);
    for order in orders {
        let hub = Hub::new();
        let nic = |last: u8| ferroce::Nic::builder().address([192, 0, 2, last].into()).hub(&hub);
        let (a, b) = ferroce::pair_of(nic(1), nic(2), 64 << 10).unwrap();
        for wr_id in 0..8 {
            b.qp.receive(wr_id, &[b.memory.slice(32 << 10..)]).unwrap();
        }
        let (whole, half) = ([a.memory.sge()], [a.memory.slice(..32 << 10)]);
        a.qp.post()
            .write(1, &whole, b.memory.remote())
            .send(2, &half)
            .read(3, &whole, b.memory.remote())
            .send(4, &half)
            .submit()
            .unwrap();
        let (mut a, mut b) = (parts(a), parts(b));
        for part in order {
            drop(a[part].take());
            drop(b[part].take());
        }
        // The NICs are closed, and their addresses free again.
        drop((at_hub(&hub, 1), at_hub(&hub, 2)));
    }
}

#[test]
fn what_is_dropped_is_gone_from_the_nic() {
    let context = at_hub(&Hub::new(), 1);
    let cq = context.completion_queue(8).unwrap();
    let pd = context.protection_domain().unwrap();
    let memory = pd.register(64, Access::LOCAL_WRITE).unwrap();
    let qp = pd.queue_pair(&cq).build().unwrap();
    let counts = |context: &Context| {
        let snapshot = context.snapshot();
        (snapshot.qps.len(), snapshot.cqs.len(), snapshot.mrs.len())
    };
    assert_eq!(counts(&context), (1, 1, 1));
    drop(cq);
    assert_eq!(counts(&context), (1, 1, 1), "the queue pair keeps its completion queue");
    drop(memory);
    assert_eq!(counts(&context), (1, 1, 0));
    drop(pd);
    drop(qp);
    assert_eq!(counts(&context), (0, 0, 0));
}

#[test]
fn memory_that_is_gone_is_refused_on_both_sides() {
    let (a, b) = ferroce::pair().unwrap();
    let gone = b.pd.register(64, Access::LOCAL_WRITE | Access::REMOTE_WRITE).unwrap();
    let (remote, buffer) = (gone.remote(), gone.buffer().clone());
    drop(gone);
    a.memory.write(0, b"too late");
    a.qp.post().write(1, &[a.memory.slice(..8)], remote).submit().unwrap();
    assert_eq!(a.cq.wait(PATIENCE).unwrap().status, WcStatus::RemAccessErr);
    assert_eq!(buffer.to_vec(0, 8), [0; 8]);

    let (a, b) = ferroce::pair().unwrap();
    let gone = a.pd.register(64, Access::LOCAL_WRITE).unwrap();
    let sge = gone.sge();
    drop(gone);
    a.qp.post().write(2, &[sge], b.memory.remote()).submit().unwrap();
    assert_eq!(a.cq.wait(PATIENCE).unwrap().status, WcStatus::LocProtErr);
}

#[test]
fn completions_outlive_their_queue_pair() {
    let (a, b) = ferroce::pair().unwrap();
    a.qp.post().write(1, &[a.memory.slice(..8)], b.memory.remote()).submit().unwrap();
    let Peer { qp, cq, context, .. } = a;
    until("the completion is there", || context.snapshot().cqs[0].entries.len() == 1);
    drop(qp);
    assert_eq!(good(&cq).wr_id, 1);
}

#[test]
fn a_peer_that_vanishes_is_noticed() {
    let (a, b) = ferroce::pair().unwrap();
    let (data, remote) = ([a.memory.slice(..8)], b.memory.remote());
    a.qp.post().write(1, &data, remote).submit().unwrap();
    good(&a.cq);
    drop(b);
    a.qp.post().write(2, &data, remote).submit().unwrap();
    assert_eq!(a.cq.wait(PATIENCE).unwrap().status, WcStatus::RetryExcErr);
}

#[test]
fn regions_come_and_go_while_a_peer_writes_to_them() {
    let (a, b) = ferroce::pair().unwrap();
    let stop = AtomicBool::new(false);
    let remote = b.memory.remote();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let access = Access::LOCAL_WRITE | Access::REMOTE_WRITE;
                let first = b.pd.register(4096, access).unwrap();
                let second = b.pd.register_buffer(first.buffer(), access).unwrap();
                drop(first);
                let qp = b.pd.queue_pair(&b.cq).build().unwrap();
                drop((second, qp));
            }
        });
        let data = [a.memory.slice(..4096)];
        for round in 0..300 {
            a.qp.post().write(round, &data, remote).submit().unwrap();
            assert_eq!(good(&a.cq).wr_id, round);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(b.context.snapshot().mrs.len(), 1);
    assert_eq!(b.cq.poll(&mut [Wc::default(); 4]), 0);
}
