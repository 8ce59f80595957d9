//! NICs on Ethernet, in network namespaces that the test makes for itself. Needs root and iproute2.

#[expect(dead_code, reason = "not everything is needed here")]
mod common;

use std::sync::mpsc;
use std::thread;

use common::network::{addr, at_both_ends};
use common::*;
use ferroce_engine::*;
use ferroce_net::*;

const LEN: usize = 300_000;

/// The next two completions, in the order of their requests.
fn done(end: &End) -> [(u64, WcStatus); 2] {
    let mut done = [end.wait_one(), end.wait_one()].map(|wc| (wc.wr_id, wc.status));
    done.sort_by_key(|(wr_id, _)| *wr_id);
    done
}

/// Opens a NIC. A process that another test is starting has our sockets until it is what it will be: then again.
fn open(builder: impl Fn() -> NicBuilder) -> Result<Nic, NetError> {
    loop {
        match builder().open() {
            Err(NetError::PortInUse { .. }) => thread::yield_now(),
            result => break result,
        }
    }
}

/// Messages in both directions between the two ends, over IPv4 and IPv6.
fn exchange_over_ethernet(check: IcrcCheck, mtu: usize, path_mtu: PathMtu) {
    let (to_left, to_right) = (mpsc::channel(), mpsc::channel());
    let ways = std::sync::Mutex::new([Some((to_left.0, to_right.1)), Some((to_right.0, to_left.1))]);
    at_both_ends(mtu, |number| {
        let (tell, hear) = ways.lock().unwrap()[usize::from(number) - 1].take().unwrap();
        for family in [4, 6] {
            let own = |number| match family {
                4 => addr(&format!("192.0.2.{number}")),
                _ => addr(&format!("2001:db8::{number}")),
            };
            let nic = open(|| Nic::builder().address(own(number)).icrc(check)).unwrap();
            assert_eq!(nic.with(|dev, _| dev.config().mtu), path_mtu);
            assert_eq!(
                nic.info().ports[0].icrc == IcrcMode::Partial,
                family == 4 && check == IcrcCheck::Partial
            );
            let end = End::new(nic, LEN);
            tell.send(end.qp).unwrap();
            end.connect(own(3 - number), hear.recv().unwrap());
            // A first packet each way: until the neighbour's hardware address is known, packets may be lost.
            (0..2).for_each(|wr_id| end.post_recv(wr_id, end.sge(0, LEN as u32)));
            tell.send(end.qp).unwrap();
            hear.recv().unwrap();
            end.post_send(2, SendOp::Send, end.sge(0, 1));
            assert_eq!(done(&end), [(0, WcStatus::Success), (2, WcStatus::Success)]);
            let (_source, sge) = end.source(&vec![number; LEN]);
            end.post_send(3, SendOp::Send, sge);
            assert_eq!(done(&end), [(1, WcStatus::Success), (3, WcStatus::Success)]);
            assert_eq!(end.buffer.to_vec(0, LEN), vec![3 - number; LEN]);
            let counters = end.nic.counters();
            assert_eq!(counters.drop_icrc, 0, "{:?}", end.nic.link_info());
            assert_eq!(counters.icrc_partial > 0, family == 4 && check == IcrcCheck::Partial);
            // Nobody leaves before both are done.
            tell.send(end.qp).unwrap();
            hear.recv().unwrap();
        }
    });
}

#[test]
fn ethernet_of_1500_bytes_with_full_icrc_checks_as_the_privileged_have() {
    exchange_over_ethernet(IcrcCheck::Auto, 1500, PathMtu::Mtu1024);
}

#[test]
fn ethernet_of_9000_bytes_with_partial_icrc_checks() {
    exchange_over_ethernet(IcrcCheck::Partial, 9000, PathMtu::Mtu4096);
}

#[test]
fn an_mtu_that_is_too_small_is_explained() {
    at_both_ends(1500, |number| {
        let name = if number == 1 { "left" } else { "right" };
        let builder = || Nic::builder().interface(name);
        let ports = open(builder).unwrap().info().ports.clone();
        assert_eq!(ports.iter().map(|port| port.addr.is_ipv4()).collect::<Vec<_>>(), [true, false]);
        let error = open(|| builder().path_mtu(PathMtu::Mtu4096)).err().unwrap().to_string();
        for part in ["path MTU 4096", "4192", name, "1500", "use path MTU 1024"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    });
}
