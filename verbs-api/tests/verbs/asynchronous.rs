//! Completions and events for `async` programs.

use std::pin::pin;
use std::time::Duration;

use ferroce::{AsyncEvent, QpEvent, Remote, WcExt, WcStatus};
use futures_core::Stream;

use crate::common::{PATIENCE, socket_pair};

/// The next item of a stream.
async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    std::future::poll_fn(|task| pin!(&mut *stream).poll_next(task)).await
}

#[tokio::test]
async fn tasks_ping_and_pong() {
    const ROUNDS: u64 = 200;
    let (a, b) = ferroce::pair().unwrap();
    let echo = tokio::spawn(async move {
        let (into, out) = ([b.memory.slice(..64)], [b.memory.slice(..64)]);
        b.qp.receive(0, &into).unwrap();
        for round in 1..=ROUNDS {
            let received = loop {
                let wc = b.cq.next().await.ok().unwrap();
                if wc.wr_id == 0 {
                    break wc;
                }
            };
            assert_eq!(received.byte_len, 64);
            b.qp.receive(0, &into).unwrap();
            b.qp.post().send(round, &out).submit().unwrap();
        }
        // The last answer must be acknowledged before its queue pair goes.
        while b.cq.next().await.ok().unwrap().wr_id != ROUNDS {}
    });
    let mut completions = a.cq.completions();
    a.qp.receive(0, &[a.memory.slice(64..128)]).unwrap();
    for round in 1..=ROUNDS {
        a.memory.write(0, &round.to_be_bytes());
        a.qp.post().send(round, &[a.memory.slice(..64)]).submit().unwrap();
        for _ in 0..2 {
            next(&mut completions).await.unwrap().ok().unwrap();
        }
        assert_eq!(a.memory.to_vec(64..72), round.to_be_bytes());
        a.qp.receive(0, &[a.memory.slice(64..128)]).unwrap();
    }
    echo.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_await_one_queue_on_sockets() {
    let (a, b) = socket_pair();
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let cq = a.cq.clone();
            tokio::spawn(async move { cq.next().await.ok().unwrap().wr_id })
        })
        .collect();
    for wr_id in 0..20 {
        a.qp.post().write(wr_id, &[a.memory.slice(..32)], b.memory.remote()).submit().unwrap();
        tokio::task::yield_now().await;
    }
    let mut ids = Vec::new();
    for task in tasks {
        ids.push(tokio::time::timeout(PATIENCE, task).await.expect("no task is forgotten").unwrap());
    }
    ids.sort();
    assert!(ids.into_iter().eq(0..20));
}

#[tokio::test]
async fn a_future_that_is_dropped_takes_no_completion() {
    let (a, b) = ferroce::pair().unwrap();
    let early = tokio::time::timeout(Duration::from_millis(5), a.cq.next()).await;
    assert!(early.is_err(), "nothing was posted");
    a.qp.post().write(4, &[a.memory.slice(..8)], b.memory.remote()).submit().unwrap();
    assert_eq!(tokio::time::timeout(PATIENCE, a.cq.next()).await.unwrap().wr_id, 4);
}

#[tokio::test]
async fn events_can_be_awaited_and_iterated() {
    let (a, b) = ferroce::pair().unwrap();
    let mut events = b.context.async_events();
    let waiting = tokio::spawn(async move { (next(&mut events).await, events) });
    tokio::task::yield_now().await;
    let nowhere = Remote { addr: 1, rkey: 2 };
    a.qp.post().read(1, &[a.memory.slice(..8)], nowhere).submit().unwrap();
    assert_eq!(a.cq.next().await.status, WcStatus::RemAccessErr);
    let (event, mut events) = waiting.await.unwrap();
    assert_eq!(event, Some(AsyncEvent::Qp(b.qp.qpn(), QpEvent::AccessErr)));
    assert_eq!(Iterator::next(&mut events), None, "there was one event");
}
