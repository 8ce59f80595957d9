//! What the tests share.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ferroce::{CompletionQueue, Context, Error, Hub, NetError, Nic, Peer, Wc, WcExt};

/// How long anything may take before a test gives up; far more than it needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The next completion, which must be a good one.
pub(crate) fn good(cq: &CompletionQueue) -> Wc {
    cq.wait(PATIENCE).unwrap().ok().unwrap()
}

/// Waits until something is so.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

/// A NIC of its own at a hub.
pub(crate) fn at_hub(hub: &Hub, last: u8) -> Context {
    let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, last));
    Context::new(Nic::builder().address(address).hub(hub).open().unwrap())
}

/// Two connected queue pairs on sockets, at loopback addresses that no other test uses.
pub(crate) fn socket_pair() -> (Peer, Peer) {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = COUNTER.fetch_add(2, Ordering::Relaxed) % 200;
        let [_, high, low, _] = (std::process::id() << 8).to_be_bytes();
        let nic = |last| {
            let address = Ipv4Addr::new(127, 1 + high % 250, low, (number + last) as u8);
            Nic::builder().address(address.into())
        };
        match ferroce::pair_of(nic(1), nic(2), 64 << 10) {
            Err(Error::Network(NetError::PortInUse { .. })) => continue,
            pair => return pair.unwrap(),
        }
    }
}
