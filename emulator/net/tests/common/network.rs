//! Networks of a test's own. Needs root and iproute2.

use std::net::IpAddr;
use std::process::Command;
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};

use super::PATIENCE;

/// Moves the calling thread, and what it starts, into a network of its own. False when that is not allowed.
pub(crate) fn enter_namespace() -> bool {
    if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET) {
        assert!(std::env::var_os("CI").is_none(), "cannot make a network namespace: {errno}");
        eprintln!("SKIPPED: making a network namespace needs root ({errno})");
        return false;
    }
    ip("link set lo up");
    true
}

pub(crate) fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split_whitespace()).status();
    assert!(status.expect("`ip` runs (Debian package iproute2)").success(), "ip {arguments}");
}

pub(crate) fn addr(text: &str) -> IpAddr {
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
pub(crate) fn at_both_ends(mtu: usize, act: impl Fn(u8) + Sync) {
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
