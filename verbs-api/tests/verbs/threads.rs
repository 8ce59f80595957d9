//! Handles are shared between threads, and many queue pairs live side by side.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ferroce::{Access, Error, Hub, QueuePair, Wc, WcExt};

use crate::common::{PATIENCE, at_hub, good, until};

#[test]
fn threads_post_to_one_queue_pair_and_poll_one_queue() {
    const POSTERS: u64 = 4;
    const EACH: u64 = 500;
    let (a, b) = ferroce::pair().unwrap();
    let (posted, polled) = (AtomicU64::new(0), AtomicU64::new(0));
    let post = |poster: u64| {
        let at = poster as usize * 64;
        a.memory.write(at, &[poster as u8 + 1; 64]);
        for number in 0..EACH {
            // Fewer than the send queue holds, even if all posters see the same room.
            let room = || posted.load(Ordering::SeqCst) < polled.load(Ordering::SeqCst) + 128;
            until("there is room in the send queue", room);
            posted.fetch_add(1, Ordering::SeqCst);
            let (data, to) = ([a.memory.slice(at..at + 64)], b.memory.remote().at(at as u64));
            a.qp.post().write(poster * EACH + number, &data, to).submit().unwrap();
        }
    };
    let poll = || {
        let (mut ids, mut wcs) = (Vec::new(), [Wc::default(); 16]);
        while polled.load(Ordering::SeqCst) < POSTERS * EACH {
            let found = a.cq.poll(&mut wcs);
            ids.extend(wcs[..found].iter().map(|wc| wc.ok().unwrap().wr_id));
            polled.fetch_add(found as u64, Ordering::SeqCst);
        }
        ids
    };
    let mut ids = thread::scope(|scope| {
        for poster in 0..POSTERS {
            scope.spawn(move || post(poster));
        }
        let pollers = [scope.spawn(poll), scope.spawn(poll)];
        pollers.map(|poller| poller.join().unwrap()).concat()
    });
    ids.sort();
    assert!(ids.into_iter().eq(0..POSTERS * EACH), "each request completes once");
    assert_eq!(b.memory.to_vec(..256), [[1; 64], [2; 64], [3; 64], [4; 64]].concat());
}

#[test]
fn several_threads_wait_at_one_queue() {
    const WAITERS: usize = 4;
    const EACH: usize = 50;
    let (a, b) = ferroce::pair().unwrap();
    let ids = thread::scope(|scope| {
        let waiters: Vec<_> = (0..WAITERS)
            .map(|_| {
                let cq = a.cq.clone();
                scope.spawn(move || (0..EACH).map(|_| good(&cq).wr_id).collect::<Vec<_>>())
            })
            .collect();
        let data = [a.memory.slice(..8)];
        for wr_id in 0..(WAITERS * EACH) as u64 {
            a.qp.post().write(wr_id, &data, b.memory.remote()).submit().unwrap();
        }
        waiters.into_iter().flat_map(|waiter| waiter.join().unwrap()).collect::<HashSet<_>>()
    });
    assert_eq!(ids, (0..(WAITERS * EACH) as u64).collect());
}

#[test]
fn a_waiter_that_gives_up_takes_nothing_from_the_others() {
    let (a, b) = ferroce::pair().unwrap();
    thread::scope(|scope| {
        let patient = scope.spawn(|| good(&a.cq).wr_id);
        for _ in 0..5 {
            assert!(matches!(a.cq.wait(Duration::from_millis(2)), Err(Error::Timeout(_))));
        }
        a.qp.post().write(77, &[a.memory.slice(..8)], b.memory.remote()).submit().unwrap();
        assert_eq!(patient.join().unwrap(), 77);
    });
}

#[test]
fn both_ends_talk_at_once() {
    const ROUNDS: u64 = 300;
    let (a, b) = ferroce::pair().unwrap();
    thread::scope(|scope| {
        for end in [&a, &b] {
            scope.spawn(move || {
                let (out, into) = ([end.memory.slice(..1000)], [end.memory.slice(2000..3000)]);
                end.qp.receive(0, &into).unwrap();
                end.qp.receive(0, &into).unwrap();
                for round in 1..=ROUNDS {
                    end.qp.post().send(round, &out).submit().unwrap();
                    // One of the send's and one of the receive's, in either order.
                    let pair = [good(&end.cq), good(&end.cq)];
                    assert_eq!(pair.iter().map(|wc| wc.wr_id).max(), Some(round));
                    end.qp.receive(0, &into).unwrap();
                }
            });
        }
    });
}

#[test]
fn many_queue_pairs_share_a_nic() {
    const QPS: usize = 1000;
    let hub = Hub::new();
    let (a, b) = (at_hub(&hub, 1), at_hub(&hub, 2));
    let (a_cq, b_cq) = (a.completion_queue(4096).unwrap(), b.completion_queue(4096).unwrap());
    let (a_pd, b_pd) = (a.protection_domain().unwrap(), b.protection_domain().unwrap());
    let source = a_pd.register(4 * QPS, Access::LOCAL_WRITE).unwrap();
    let target = b_pd.register(4 * QPS, Access::LOCAL_WRITE | Access::REMOTE_WRITE).unwrap();
    let small =
        |pd: &ferroce::ProtectionDomain, cq| pd.queue_pair(cq).max_send_wr(4).max_recv_wr(1).build().unwrap();
    let pairs: Vec<(QueuePair, QueuePair)> =
        (0..QPS).map(|_| (small(&a_pd, &a_cq), small(&b_pd, &b_cq))).collect();
    for (number, (from, to)) in pairs.iter().enumerate() {
        from.connect(&to.endpoint()).unwrap();
        to.connect(&from.endpoint()).unwrap();
        source.write(4 * number, &(number as u32).to_be_bytes());
    }
    assert_eq!(pairs.iter().map(|(from, _)| from.qpn()).collect::<HashSet<_>>().len(), QPS);
    for (number, (from, _)) in pairs.iter().enumerate() {
        let place = 4 * number;
        let data = [source.slice(place..place + 4)];
        from.post().write(number as u64, &data, target.remote().at(place as u64)).submit().unwrap();
    }
    let mut wcs = [Wc::default(); 64];
    let mut done = HashSet::new();
    while done.len() < QPS {
        let found = a_cq.wait_many(&mut wcs, PATIENCE).unwrap();
        done.extend(wcs[..found].iter().map(|wc| wc.ok().unwrap().wr_id));
    }
    assert_eq!(target.to_vec(..), source.to_vec(..));
}
