//! NICs that are stations of their own, at TAP interfaces and packet sockets, beside the kernel and each other. In
//! network namespaces that the tests make for themselves: needs root, iproute2 and iputils-ping.

#[expect(dead_code, reason = "not everything is needed here")]
mod common;

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use common::network::{addr, at_both_ends, enter_namespace, ip};
use common::*;
use ferroce_engine::*;
use ferroce_net::*;
use nix::net::if_::InterfaceFlags;

const LEN: usize = 300_000;

fn station(text: &str) -> Nic {
    let start = Instant::now();
    loop {
        match Nic::builder().ethernet(text.parse().unwrap()).open() {
            // A process that another test is starting has our interface until it is what it will be.
            Err(error) if error.to_string().contains("another program") && start.elapsed() < PATIENCE => {
                thread::yield_now();
            }
            result => break result.unwrap_or_else(|error| panic!("{text}: {error}")),
        }
    }
}

fn refused(text: &str) -> String {
    let opened = Nic::builder().ethernet(text.parse().unwrap()).open();
    opened.err().unwrap_or_else(|| panic!("{text} opened")).to_string()
}

/// What `ping` says, once it was answered.
fn ping(arguments: &str) -> String {
    let output = Command::new("ping").args(arguments.split_whitespace()).output();
    let output = output.expect("`ping` runs (Debian package iputils-ping)");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "ping {arguments}\n{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Messages in both directions and a READ, all bytes checked.
fn converse(a: Nic, b: Nic) {
    let (a, b) = pair(a, b, LEN);
    for (from, to, seed) in [(&a, &b, 1_u8), (&b, &a, 2)] {
        let bytes: Vec<u8> = (0..LEN).map(|i| (i as u8).wrapping_mul(seed).wrapping_add(seed)).collect();
        to.post_recv(1, to.sge(0, LEN as u32));
        let (_source, sge) = from.source(&bytes);
        from.post_send(2, SendOp::Send, sge);
        assert_eq!(from.wait_one().status, WcStatus::Success, "{:?}", from.nic.link_info());
        assert_eq!(to.wait_one().status, WcStatus::Success);
        assert!(to.buffer.to_vec(0, LEN) == bytes, "the bytes differ");
    }
    a.post_send(3, SendOp::Read(b.remote(0)), a.sge(0, LEN as u32));
    assert_eq!(a.wait_one().status, WcStatus::Success);
    assert!(a.buffer.to_vec(0, LEN) == b.buffer.to_vec(0, LEN), "the bytes differ");
    for end in [&a, &b] {
        let link = end.nic.link_counters();
        assert_eq!(end.nic.counters().drop_icrc, 0, "{:?}", end.nic.link_info());
        assert_eq!((link.rx_errors, link.rx_checksum_errors, link.rx_fragments), (0, 0, 0), "{link:?}");
    }
}

fn udp(text: &str) -> Nic {
    let start = Instant::now();
    loop {
        match Nic::builder().address(addr(text)).open() {
            Err(NetError::PortInUse { .. }) if start.elapsed() < PATIENCE => thread::yield_now(),
            result => break result.unwrap_or_else(|error| panic!("{text}: {error}")),
        }
    }
}

/// The kernel's end of a TAP interface that a NIC has opened.
fn address_tap(name: &str) {
    ip(&format!("address add 10.9.0.1/24 dev {name}"));
    ip(&format!("address add fd09::1/64 dev {name} nodad"));
}

#[test]
fn the_kernel_pings_a_nic_at_a_tap_interface_over_ipv4_and_ipv6() {
    if !enter_namespace() {
        return;
    }
    let nic = station("tap:ferroce0,10.9.0.2/24,fd09::2/64");
    address_tap("ferroce0");
    for arguments in
        ["10.9.0.2", "-s 1400 10.9.0.2", "fd09::2", "-s 1400 fd09::2", "fe80::fe:aff:fe09:2%ferroce0"]
    {
        let text = ping(&format!("-c 3 -i 0.01 -w 30 {arguments}"));
        assert!(text.contains("3 received"), "{text}");
    }
    let link = nic.link_counters();
    assert_eq!((link.rx_errors, link.rx_checksum_errors, link.rx_packets), (0, 0, 0), "{link:?}");
    // A second NIC cannot have the same cable.
    let error = refused("tap:ferroce0,10.9.0.3/24");
    assert!(error.contains("another program"), "{error}");
}

#[test]
fn behind_a_bridge_a_nic_is_heard_as_soon_as_it_is_open() {
    if !enter_namespace() {
        return;
    }
    ip("link add bridge0 type bridge");
    ip("link set bridge0 up");
    ip("tuntap add name ferroce0 mode tap");
    ip("link set ferroce0 master bridge0 up");
    // The kernel looks for cables that are plugged in at most once a second, and here they come sooner.
    for round in 0..50 {
        let _nic = station("tap:ferroce0,10.9.0.2/24");
        let running = nix::ifaddrs::getifaddrs().unwrap().any(|interface| {
            interface.interface_name == "ferroce0" && interface.flags.contains(InterfaceFlags::IFF_RUNNING)
        });
        assert!(running, "the bridge does not hear it yet, round {round}");
    }
}

#[test]
fn a_nic_at_a_tap_interface_talks_with_one_on_the_kernels_sockets() {
    if !enter_namespace() {
        return;
    }
    for (raw, own) in [("10.9.0.2/24", "10.9.0.1"), ("fd09::2/64", "fd09::1")] {
        let nic = station(&format!("tap:ferroce0,{raw},mtu=9000"));
        address_tap("ferroce0");
        assert_eq!(nic.with(|device, _| device.config().mtu), PathMtu::Mtu4096);
        converse(nic, udp(own));
    }
}

#[test]
fn two_stations_talk_over_a_cable_tagged_and_untagged() {
    if !enter_namespace() {
        return;
    }
    ip("link add left type veth peer name right");
    ip("link set left up");
    ip("link set right up");
    for (left, right) in [
        ("10.9.0.1/24", "10.9.0.2/24"),
        ("fd09::1/64", "fd09::2/64"),
        ("10.9.0.1/24,vlan=5,pcp=3", "10.9.0.2/24,vlan=5"),
        ("fd09::1/64,vlan=0", "fd09::2/64"),
        ("10.9.0.1/24,mac=host", "10.9.0.2/24,mac=02:00:00:00:00:07"),
    ] {
        converse(station(&format!("raw:left,{left}")), station(&format!("raw:right,{right}")));
    }
}

#[test]
fn a_station_beside_the_kernel_talks_with_a_nic_on_another_machines_sockets() {
    // The machine at end 2 has a kernel's NIC, whose trains cross the cable whole.
    let (to_left, from_right) = std::sync::mpsc::channel();
    let (to_right, from_left) = std::sync::mpsc::channel();
    let ways = std::sync::Mutex::new([Some((to_right, from_right)), Some((to_left, from_left))]);
    at_both_ends(9000, |number| {
        let (tell, hear) = ways.lock().unwrap()[usize::from(number) - 1].take().unwrap();
        for (own, peer) in [("192.0.2.77/24", "192.0.2.2"), ("2001:db8::77/64", "2001:db8::2")] {
            let station_addr = own.split('/').next().unwrap();
            let (nic, remote) = match number {
                1 => (station(&format!("raw:left,{own}")), peer),
                _ => (udp(peer), station_addr),
            };
            let end = End::new(nic, LEN);
            tell.send(end.qp).unwrap();
            end.connect(addr(remote), hear.recv().unwrap());
            end.post_recv(1, end.sge(0, LEN as u32));
            tell.send(end.qp).unwrap();
            hear.recv().unwrap();
            let (_source, sge) = end.source(&vec![number; LEN]);
            end.post_send(2, SendOp::Send, sge);
            for _ in 0..2 {
                assert_eq!(end.wait_one().status, WcStatus::Success, "{:?}", end.nic.link_info());
            }
            assert!(end.buffer.to_vec(0, LEN) == vec![3 - number; LEN], "the bytes differ");
            assert_eq!(end.nic.counters().drop_icrc, 0, "{:?}", end.nic.link_info());
            tell.send(end.qp).unwrap();
            hear.recv().unwrap();
        }
    });
}

#[test]
fn stations_at_both_ends_of_a_tap_interface_talk_on_a_vlan() {
    if !enter_namespace() {
        return;
    }
    for vlan in ["vlan=5", "vlan=5,pcp=7", "vlan=0"] {
        let near = station(&format!("tap:ferroce0,10.9.5.2/24,{vlan}"));
        let far = station(&format!("raw:ferroce0,10.9.5.1/24,{vlan}"));
        converse(near, far);
    }
}

#[test]
fn what_cannot_be_opened_is_explained() {
    if !enter_namespace() {
        return;
    }
    ip("link add left type veth peer name right");
    for (text, parts) in [
        ("raw:nonesuch,10.9.0.2/24", ["nonesuch", "left"]),
        ("raw:lo,10.9.0.2/24", ["no Ethernet", "UDP"]),
        ("raw:left,10.9.0.2/24", ["is down", "ip link set left up"]),
        ("tap:left,10.9.0.2/24", ["left", "no TAP interface"]),
        ("tap:a-name-that-is-too-long,10.9.0.2/24", ["1 to 15 bytes", "a-name"]),
    ] {
        let error = refused(text);
        assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
    }
    ip("link set left up");
    ip("address add 10.9.0.2/24 dev left");
    let error = refused("raw:left,10.9.0.2/24");
    assert!(error.contains("(left)") && error.contains("kernel would answer"), "{error}");
}

#[test]
fn an_interface_that_vanishes_is_told_and_does_no_harm() {
    if !enter_namespace() {
        return;
    }
    let nic = station("tap:ferroce0,10.9.0.2/24");
    ip("link delete ferroce0");
    let start = Instant::now();
    while !nic.link_info().last_error.is_some_and(|error| error.contains("gone")) {
        assert!(start.elapsed() < PATIENCE, "{:?}", nic.link_info());
        nic.with(|_, _| {});
        thread::sleep(Duration::from_millis(5));
    }
    let end = End::new(nic, 64);
    end.connect(addr("10.9.0.1"), end.qp);
    end.post_send(1, SendOp::Send, end.sge(0, 64));
    drop(end);
}
