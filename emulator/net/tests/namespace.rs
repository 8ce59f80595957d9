//! NICs on Ethernet, in network namespaces that the test makes for itself. Needs root and iproute2.

#[expect(dead_code, reason = "not everything is needed here")]
mod common;

use std::net::IpAddr;
use std::process::Command;
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use ferroce_engine::*;
use ferroce_net::*;
use nix::sched::{CloneFlags, unshare};

const LEN: usize = 300_000;

/// Moves the calling thread, and what it starts, into a network of its own. False when that is not allowed.
fn enter_namespace() -> bool {
    if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET) {
        assert!(std::env::var_os("CI").is_none(), "cannot make a network namespace: {errno}");
        eprintln!("SKIPPED: making a network namespace needs root ({errno})");
        return false;
    }
    ip("link set lo up");
    true
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split_whitespace()).status();
    assert!(status.expect("`ip` runs (Debian package iproute2)").success(), "ip {arguments}");
}

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn set_up_ethernet(name: &str, number: u8, mtu: usize, both: &Barrier) {
    ip(&format!("link set {name} mtu {mtu} up"));
    both.wait();
    let has_carrier = || {
        let output = Command::new("ip").args(["-oneline", "link", "show", name]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().contains("state UP")
    };
    let start = Instant::now();
    while !has_carrier() {
        assert!(start.elapsed() < PATIENCE, "{name} has no carrier");
        thread::sleep(Duration::from_millis(5));
    }
    ip(&format!("address add 192.0.2.{number}/24 dev {name}"));
    ip(&format!("address add 2001:db8::{number}/64 dev {name} nodad"));
}

/// Lets `act` run at both ends of an Ethernet cable, each end in a namespace of its own.
fn at_both_ends(mtu: usize, act: impl Fn(u8) + Sync) {
    let (tid, other) = mpsc::channel();
    let (plugged_in, cable) = mpsc::channel();
    let (ready, both_ready) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        let act = &act;
        let (ready, both_ready) = (&ready, &both_ready);
        scope.spawn(move || {
            if enter_namespace() {
                tid.send(nix::unistd::gettid()).unwrap();
                cable.recv().unwrap();
                set_up_ethernet("right", 2, mtu, ready);
                both_ready.wait();
                act(2);
            }
        });
        scope.spawn(move || {
            if enter_namespace() {
                let Ok(other) = other.recv() else { return };
                ip(&format!("link add left type veth peer name right netns {other}"));
                plugged_in.send(()).unwrap();
                set_up_ethernet("left", 1, mtu, ready);
                both_ready.wait();
                act(1);
            }
        });
    });
}

/// The next two completions, in the order of their requests.
fn done(end: &End) -> [(u64, WcStatus); 2] {
    let mut done = [end.wait_one(), end.wait_one()].map(|wc| (wc.wr_id, wc.status));
    done.sort_by_key(|(wr_id, _)| *wr_id);
    done
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
            let nic = Nic::builder().address(own(number)).icrc(check).open().unwrap();
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
        let open = |mtu: Option<PathMtu>| loop {
            let nic = Nic::builder().interface(name);
            match mtu.into_iter().fold(nic, NicBuilder::path_mtu).open() {
                // A process that another test is starting has our sockets until it is what it will be.
                Err(NetError::PortInUse { .. }) => thread::yield_now(),
                result => break result,
            }
        };
        let ports = open(None).unwrap().info().ports.clone();
        assert_eq!(ports.iter().map(|port| port.addr.is_ipv4()).collect::<Vec<_>>(), [true, false]);
        let error = open(Some(PathMtu::Mtu4096)).err().unwrap().to_string();
        for part in ["path MTU 4096", "4192", name, "1500", "use path MTU 1024"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    });
}
