//! What goes wrong is told with its cause and the next step.

use std::time::Duration;

use ferroce::{
    Access, ConnectOptions, Endpoint, Error, Hub, Limits, NetError, Nic, Psn, QpAttr, QpState, Qpn, Remote,
    WcExt, WcStatus,
};

use crate::common::{PATIENCE, at_hub};

/// Asserts that an error's text holds all of these.
fn tells(error: impl std::error::Error, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn a_refused_request_is_named_and_those_before_it_are_posted() {
    let (a, b) = ferroce::pair().unwrap();
    let too_many = [a.memory.slice(..1); 9];
    let posted =
        a.qp.post()
            .write(71, &[a.memory.slice(..8)], b.memory.remote())
            .write(72, &too_many, b.memory.remote())
            .write(73, &[a.memory.slice(..8)], b.memory.remote())
            .submit();
    let error = posted.unwrap_err();
    assert!(matches!(&error, Error::Post { wr_id: 72, of: 3, error, .. } if error.index == 1));
    tells(error, &["work request 72", "2 of 3", "max_send_sge", "Context::limits"]);
    assert_eq!(a.cq.wait(PATIENCE).unwrap().wr_id, 71);
    assert_eq!(a.cq.poll_one(), None);
}

#[test]
fn posting_before_connecting_says_to_connect() {
    let (a, _b) = ferroce::pair().unwrap();
    let idle = a.pd.queue_pair(&a.cq).build().unwrap();
    assert_eq!(idle.state(), QpState::Init);
    idle.receive(1, &[a.memory.sge()]).unwrap();
    tells(idle.post().send(5, &[]).submit().unwrap_err(), &["work request 5", "Init", "connect it first"]);
}

#[test]
fn a_full_queue_says_how_deep_it_is() {
    let (a, _b) = ferroce::pair().unwrap();
    let shallow = a.pd.queue_pair(&a.cq).max_recv_wr(2).build().unwrap();
    shallow.receive(1, &[]).unwrap();
    shallow.receive(2, &[]).unwrap();
    tells(shallow.receive(3, &[]).unwrap_err(), &["work request 3", "full (2 requests)", "deeper"]);
}

#[test]
fn failed_completions_name_request_status_and_next_step() {
    let (a, b) = ferroce::pair().unwrap();
    let beyond = Remote { addr: b.memory.addr() + b.memory.len() as u64 - 4, rkey: b.memory.rkey() };
    a.qp.post().write(31, &[a.memory.slice(..8)], beyond).send(32, &[]).submit().unwrap();
    tells(
        a.cq.wait(PATIENCE).unwrap().ok().unwrap_err(),
        &["work request 31", "IBV_WC_REM_ACCESS_ERR", "rkey"],
    );
    tells(
        a.cq.wait(PATIENCE).unwrap().ok().unwrap_err(),
        &["work request 32", "IBV_WC_WR_FLUSH_ERR", "first failed completion"],
    );
    tells(a.qp.connect(&b.qp.endpoint()).unwrap_err(), &["connect the queue pair", "Err", "Rtr"]);
}

#[test]
fn a_peer_that_is_not_there_is_noticed() {
    let hub = Hub::new();
    let context = at_hub(&hub, 1);
    let (pd, cq) = (context.protection_domain().unwrap(), context.completion_queue(8).unwrap());
    let qp = pd.queue_pair(&cq).build().unwrap();
    let nobody =
        Endpoint { gid: "192.0.2.99".parse().unwrap(), qpn: Qpn::new(17), psn: Psn::new(0), ..qp.endpoint() };
    let impatient = ConnectOptions { timeout: 1, retry_cnt: 1, ..ConnectOptions::default() };
    qp.connect_with(&nobody, &impatient).unwrap();
    qp.post().send_inline(9, b"anybody?").submit().unwrap();
    let error = cq.wait(PATIENCE).unwrap().ok().unwrap_err();
    assert_eq!(error.wc.status, WcStatus::RetryExcErr);
    tells(error, &["work request 9", "did not answer", "4791"]);
}

#[test]
fn arguments_out_of_range_are_named() {
    let (a, b) = ferroce::pair().unwrap();
    tells(a.context.completion_queue(0).unwrap_err(), &["completion queue", "cqe"]);
    tells(a.pd.register(8, Access::REMOTE_WRITE).unwrap_err(), &["register memory", "LOCAL_WRITE"]);
    tells(a.pd.queue_pair(&a.cq).max_send_wr(1 << 30).build().unwrap_err(), &["max_send_wr"]);
    tells(a.pd.queue_pair(&a.cq).gid_index(1).build().unwrap_err(), &["gid_index"]);
    tells(a.pd.queue_pair(&b.cq).max_recv_sge(1 << 10).build().unwrap_err(), &["max_recv_sge"]);
    let qp = a.pd.queue_pair(&a.cq).build().unwrap();
    let options = ConnectOptions { timeout: 32, ..ConnectOptions::default() };
    tells(qp.connect_with(&b.qp.endpoint(), &options).unwrap_err(), &["timeout is out of range"]);
    let v6 = Endpoint { gid: "2001:db8::1".parse().unwrap(), ..b.qp.endpoint() };
    qp.reset().unwrap();
    tells(qp.connect(&v6).unwrap_err(), &["av is out of range"]);
    tells(qp.modify(&QpAttr::to(QpState::Rts)).unwrap_err(), &["Init -> Rts", "no such transition"]);
}

#[test]
fn limits_are_kept_and_named() {
    let hub = Hub::new();
    let limits = Limits { max_mr: 2, max_qp: 1, ..Limits::default() };
    let nic = Nic::builder().address("192.0.2.1".parse().unwrap()).hub(&hub).limits(limits).open().unwrap();
    let context = ferroce::Context::new(nic);
    let (pd, cq) = (context.protection_domain().unwrap(), context.completion_queue(8).unwrap());
    let first = pd.register(8, Access::LOCAL_WRITE).unwrap();
    let _second = pd.register(8, Access::LOCAL_WRITE).unwrap();
    tells(pd.register(8, Access::LOCAL_WRITE).unwrap_err(), &["out of memory regions", "NicBuilder::limits"]);
    drop(first);
    pd.register(8, Access::LOCAL_WRITE).unwrap();
    let _qp = pd.queue_pair(&cq).build().unwrap();
    tells(pd.queue_pair(&cq).build().unwrap_err(), &["out of queue pairs"]);
}

#[test]
fn waiting_ends_when_the_time_is_over() {
    let (a, _b) = ferroce::pair().unwrap();
    let error = a.cq.wait(Duration::from_millis(20)).unwrap_err();
    assert!(matches!(error, Error::Timeout(after) if after == Duration::from_millis(20)));
    assert_eq!(a.context.async_events().wait(Duration::from_millis(1)), None);
}

#[test]
fn two_nics_cannot_have_one_address() {
    let hub = Hub::new();
    let _first = at_hub(&hub, 1);
    let second = Nic::builder().address("192.0.2.1".parse().unwrap()).hub(&hub).open();
    assert!(matches!(second.err(), Some(NetError::PortInUse { .. })));
}

#[test]
fn slices_that_leave_the_region_panic() {
    let (a, _b) = ferroce::pair().unwrap();
    let len = a.memory.len();
    assert_eq!(a.memory.slice(len..).len, 0);
    assert_eq!(a.memory.slice(..=9).len, 10);
    let leaves = [0..len + 1, len + 1..len + 2, usize::MAX - 1..usize::MAX];
    for range in leaves {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| a.memory.slice(range.clone())));
        assert!(result.is_err(), "{range:?}");
    }
}

#[test]
fn a_queue_pair_in_error_says_why() {
    let (a, b) = ferroce::pair().unwrap();
    assert_eq!(a.qp.why(), None);
    let beyond = Remote { addr: b.memory.addr() + b.memory.len() as u64 - 4, rkey: b.memory.rkey() };
    a.qp.post().write(31, &[a.memory.slice(..8)], beyond).submit().unwrap();
    assert!(a.cq.wait(PATIENCE).unwrap().ok().is_err());
    let (mine, theirs) = (a.qp.why().unwrap(), b.qp.why().unwrap());
    assert_eq!((mine.reason.name(), theirs.reason.name()), ("remote-access", "remote-access"));
    assert!(mine.happened.contains("from RTS to ERR") && mine.happened.contains("work request 31"), "{mine}");
    assert!(
        theirs.happened.contains("refused the peer's request") && theirs.happened.contains("range"),
        "{theirs}"
    );
    assert!(mine.to_string().contains("what the peer registered"), "{mine}");
    // Reset, it has forgotten.
    a.qp.reset().unwrap();
    assert_eq!(a.qp.why(), None);
    a.qp.modify(&QpAttr::to(QpState::Err)).unwrap();
    let asked = a.qp.why().unwrap();
    assert!(asked.reason.name() == "asked-for" && asked.because.contains("never answered"), "{asked}");
}

#[test]
fn a_queue_pair_whose_peer_is_gone_says_how_long_it_tried() {
    let (a, b) = ferroce::pair().unwrap();
    b.qp.modify(&QpAttr::to(QpState::Reset)).unwrap();
    let options = ConnectOptions { timeout: 5, retry_cnt: 2, ..ConnectOptions::default() };
    a.qp.reset().unwrap();
    a.qp.connect_with(&b.qp.endpoint(), &options).unwrap();
    a.qp.post().send(7, &[]).submit().unwrap();
    assert!(a.cq.wait(PATIENCE).unwrap().ok().is_err());
    let why = a.qp.why().unwrap();
    assert_eq!(why.reason.name(), "retries-exhausted");
    assert_eq!(why.because, "The timeout expired 3 times without an answer; the peer had never answered.");
}
