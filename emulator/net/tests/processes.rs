//! Several processes on one address.

#[expect(dead_code, reason = "not everything is needed here")]
mod common;

use std::net::{IpAddr, UdpSocket};

use common::child::*;
use common::*;
use ferroce_engine::*;
use ferroce_net::*;

/// The test in which the others' children live.
const CHILD: &str = "a_child_of_another_test_lives_here";

#[test]
fn a_child_of_another_test_lives_here() {
    be_a_child();
}

/// A queue pair of our own at `addr`, connected to that of a child at `at`.
struct Pair {
    end: End,
    child: Peer,
    salt: u8,
}

impl Pair {
    fn new(addr: IpAddr, at: IpAddr, salt: u8) -> Pair {
        let nic = Nic::builder().address(addr).open().unwrap();
        let end = End::new(nic, MEMORY);
        let child = Peer::start(CHILD, at, addr, end.qp, None).unwrap();
        end.connect(at, child.qpn);
        Pair { end, child, salt }
    }

    /// Writes to the child's memory, and reads what is there then.
    fn exchange(&mut self) {
        self.salt = self.salt.wrapping_add(31);
        let (half, pattern) = (MEMORY / 2, vec![self.salt; MEMORY / 2]);
        self.end.buffer.write(0, &pattern);
        self.end.post_send(1, SendOp::Write(self.child.memory), self.end.sge(0, half as u32));
        self.end.post_send(2, SendOp::Read(self.child.memory), self.end.sge(half as u64, half as u32));
        for wr_id in [1, 2] {
            let done = self.end.wait_one();
            assert_eq!((done.wr_id, done.status), (wr_id, WcStatus::Success));
        }
        assert_eq!(self.end.buffer.to_vec(half, half), pattern);
    }
}

#[test]
fn everybody_gets_what_is_theirs_while_others_come_and_die() {
    let (shared, elsewhere) = (fresh_address(), fresh_address());
    // Half of our NICs are where the children are.
    let ours = |number: usize| if number.is_multiple_of(2) { shared } else { elsewhere };
    let mut pairs: Vec<Pair> = (0..6).map(|number| Pair::new(ours(number), shared, number as u8)).collect();
    let mut lanes: Vec<u32> = pairs.iter().map(|pair| pair.child.qpn.value() >> 16).collect();
    lanes.extend(pairs.iter().filter(|pair| pair.end.addr == shared).map(|pair| pair.end.qp.value() >> 16));
    let count = lanes.len();
    lanes.sort_unstable();
    lanes.dedup();
    assert_eq!(lanes.len(), count, "each has a lane of its own");
    pairs.iter_mut().for_each(Pair::exchange);
    // Two at once: nobody can tell in which order the kernel closed their sockets.
    for [first, second] in [[0, 2], [1, 3], [0, 1]] {
        pairs[first].child.kill();
        pairs[second].child.kill();
        for number in [first, second] {
            pairs[4].exchange();
            let addr = ours(number);
            pairs[number] = Pair::new(addr, shared, number as u8);
        }
        for _ in 0..3 {
            pairs.iter_mut().for_each(Pair::exchange);
        }
    }
}

#[test]
fn after_a_death_packets_find_the_right_door_again() {
    let addr = fresh_address();
    let mut pairs: Vec<Pair> = (0..4).map(|number| Pair::new(addr, addr, number)).collect();
    pairs.iter_mut().for_each(Pair::exchange);
    pairs[0].child.kill();
    pairs[1].child.kill();
    let mut rest = pairs.split_off(2);
    let handed_over =
        |pairs: &[Pair]| pairs.iter().map(|pair| pair.end.nic.link_counters().rx_handed_over).sum::<u64>();
    let start = std::time::Instant::now();
    loop {
        let before = handed_over(&rest);
        (0..20).for_each(|_| rest.iter_mut().for_each(Pair::exchange));
        if handed_over(&rest) == before {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "packets still come to the wrong door");
    }
    for Pair { end, child, .. } in rest {
        drop(end);
        child.finish();
    }
}

#[test]
fn a_server_survives_fifty_clients_that_are_killed() {
    const CLIENTS: usize = 50;
    const AT_A_TIME: usize = 5;
    let addr = fresh_address();
    let server = Nic::builder().address(addr).open().unwrap();
    let mut clients = std::collections::VecDeque::new();
    let mut random = 5_usize;
    for number in 0..CLIENTS {
        clients.push_back(Pair::new(addr, addr, number as u8));
        random = random.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        let chosen = (random >> 16) % clients.len();
        let survivor = &mut clients[chosen];
        survivor.exchange();
        if clients.len() == AT_A_TIME {
            let mut victim = clients.remove(random % AT_A_TIME).unwrap();
            // In the middle of something.
            victim.end.post_send(1, SendOp::Write(victim.child.memory), victim.end.sge(0, MEMORY as u32));
            victim.child.kill();
        }
    }
    clients.iter_mut().for_each(Pair::exchange);
    drop(clients);
    drop(server);
    // Doors of those who were killed last may be there until somebody comes to this address again.
    drop(Nic::builder().address(addr).open().unwrap());
    let left: Vec<_> = std::fs::read_dir(runtime_directory().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(&format!("-{addr}")))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_the_killed_leave_is_swept_up_by_the_next_nic_wherever_it_is() {
    let [addr, another] = [fresh_address(), fresh_address()];
    let child = || Peer::start(CHILD, addr, addr, Qpn::new(2), None).unwrap();
    let mut children = [child(), child()];
    let looks = children.each_ref().map(|child| format!("nic-{}-", child.pid()));
    let (registry, socket) = (format!("-{addr}"), format!("-{addr}."));
    let is_theirs = |name: &String| {
        name.ends_with(&registry) || name.contains(&socket) || looks.iter().any(|look| name.starts_with(look))
    };
    let of_children = || -> Vec<String> {
        let names = std::fs::read_dir(runtime_directory().unwrap()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(is_theirs).collect()
    };
    // The registry, and of each child a door, a mailbox and the socket to look at it.
    assert_eq!(of_children().len(), 1 + 2 * 3);
    drop(Nic::builder().address(another).open().unwrap());
    assert_eq!(of_children().len(), 1 + 2 * 3, "the living keep what they have");
    children.iter_mut().for_each(Peer::kill);
    let start = std::time::Instant::now();
    // Other tests sweep too, and who is at it is not disturbed.
    while !of_children().is_empty() {
        assert!(start.elapsed() < PATIENCE, "{:?}", of_children());
        drop(Nic::builder().address(another).open().unwrap());
    }
}

#[test]
fn a_door_is_there_as_long_as_its_nic_although_others_leave_and_come() {
    let addr = fresh_address();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let link = UdpLink::open(&[addr], IcrcCheck::Partial).unwrap();
                    let name = format!("-{addr}.{}", link.info().lane);
                    let mut files = std::fs::read_dir(runtime_directory().unwrap()).unwrap();
                    let is_door = |path: &std::path::Path| path.to_string_lossy().ends_with(&name);
                    let door = files.any(|entry| entry.is_ok_and(|entry| is_door(&entry.path())));
                    assert!(door, "no door {name}");
                }
            });
        }
    });
}

#[test]
fn there_are_255_places_at_an_address_and_those_given_up_are_given_again() {
    let addr = fresh_address();
    let mut links: Vec<UdpLink> = (0..255)
        .map(|_| UdpLink::open(&[addr], IcrcCheck::Partial).unwrap_or_else(|error| panic!("{error}")))
        .collect();
    let mut lanes: Vec<u8> = links.iter().map(|link| link.info().lane).collect();
    let error = UdpLink::open(&[addr], IcrcCheck::Partial).err().unwrap().to_string();
    assert!(error.contains("255 devices") && error.contains("use another address"), "{error}");
    let gone = links.swap_remove(100).info().lane;
    let again = UdpLink::open(&[addr], IcrcCheck::Partial).unwrap();
    assert_eq!(again.info().lane, gone);
    lanes.sort_unstable();
    assert!(lanes.into_iter().eq(0..255));
}

#[test]
fn a_registry_that_makes_no_sense_is_made_anew() {
    let addr = fresh_address();
    let mut first = Pair::new(addr, addr, 1);
    let file = std::fs::read_dir(runtime_directory().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_str().is_some_and(|path| path.ends_with(&format!("-{addr}"))))
        .unwrap();
    for nonsense in [vec![0xff; 4096], vec![], b"ferroce1\0\0\0\0\0\0\0\0\0\xff".to_vec()] {
        std::fs::write(&file, nonsense).unwrap();
        let mut second = Pair::new(addr, addr, 2);
        for _ in 0..3 {
            first.exchange();
            second.exchange();
        }
    }
}

#[test]
fn a_nic_with_two_addresses_has_one_lane_that_is_free_at_both() {
    let [a, b] = [fresh_address(), fresh_address()];
    let at_a = Nic::builder().address(a).open().unwrap();
    let at_b: Vec<Nic> = (0..3).map(|_| Nic::builder().address(b).open().unwrap()).collect();
    let both = Nic::builder().address(b).address(a).open().unwrap();
    let taken: Vec<u8> = at_b.iter().chain([&at_a]).map(|nic| nic.info().lane).collect();
    assert!(!taken.contains(&both.info().lane), "{taken:?}");
    let end = End::new(at_a, 64);
    let other = End::new(both, 64);
    end.connect(b, other.qp);
    other.connect(a, end.qp);
    end.post_send(1, SendOp::Write(other.remote(0)), end.sge(0, 64));
    assert_eq!(end.wait_one().status, WcStatus::Success);
}

#[test]
fn a_port_of_somebody_else_is_not_shared() {
    let addr = fresh_address();
    let stranger = UdpSocket::bind((addr, 4791)).unwrap();
    let error = Nic::builder().address(addr).open().err().unwrap().to_string();
    assert!(error.contains("is in use") && error.contains("use another address"), "{error}");
    drop(stranger);
    Nic::builder().address(addr).open().unwrap();
}

#[test]
fn what_claims_to_come_from_the_address_itself_must_come_from_a_nic() {
    let addr = fresh_address();
    let mut ours = Pair::new(addr, addr, 1);
    let before = ours.end.nic.link_counters();
    // Any program may send from our address, but not from the port.
    let forger = UdpSocket::bind((addr, 0)).unwrap();
    let mut packet = [0_u8; 20];
    packet[4..8].copy_from_slice(&ours.end.qp.value().to_be_bytes());
    forger.send_to(&packet, (addr, 4791)).unwrap();
    ours.exchange();
    let after = ours.end.nic.link_counters();
    assert_eq!(after.rx_errors, before.rx_errors + 1);
}

#[test]
fn another_user_gets_nothing() {
    const NOBODY: u32 = 65534;
    if !nix::unistd::Uid::effective().is_root() {
        assert!(std::env::var_os("CI").is_none(), "becoming another user needs root");
        eprintln!("SKIPPED: becoming another user needs root");
        return;
    }
    let addr = fresh_address();
    let mut ours = Pair::new(addr, addr, 1);
    let refused = Peer::start(CHILD, addr, addr, ours.end.qp, Some(NOBODY)).err().unwrap();
    assert!(refused.contains("of user 0 has it"), "{refused}");
    let directory = runtime_directory().unwrap();
    let looking = std::process::Command::new("ls").arg(&directory).uid_of(NOBODY).output().unwrap();
    assert!(!looking.status.success(), "{} is open to others", directory.display());
    ours.exchange();
}

/// Running a program as somebody else.
trait UidOf {
    fn uid_of(&mut self, user: u32) -> &mut Self;
}

impl UidOf for std::process::Command {
    fn uid_of(&mut self, user: u32) -> &mut Self {
        std::os::unix::process::CommandExt::uid(self, user)
    }
}
