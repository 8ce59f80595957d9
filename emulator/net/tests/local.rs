//! NICs of one user on one machine, through shared memory.

#[expect(dead_code, reason = "not everything is needed here")]
mod common;

use std::fs::File;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::child::*;
use common::*;
use ferroce_engine::*;
use ferroce_net::*;
use ferroce_recording::{Reader, What};
use ferroce_wire::ip::Datagram;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::{Block, PcapNgReader};

/// The test in which the others' children live.
const CHILD: &str = "a_child_of_another_test_lives_here";

const LEN: usize = 1 << 20;

#[test]
fn a_child_of_another_test_lives_here() {
    be_a_child();
}

fn near(describe: impl Fn(NicBuilder) -> NicBuilder) -> Nic {
    open(|nic| describe(nic.shared_memory(true)))
}

fn noise(len: usize, salt: u32) -> Vec<u8> {
    (0..len as u32).map(|at| (at ^ salt).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

/// Writes all of the memory of `a` into that of `b`, and reads it back.
fn there_and_back(a: &End, b: &End, salt: u32) {
    let bytes = noise(LEN, salt);
    a.buffer.write(0, &bytes);
    a.post_send(1, SendOp::Write(b.remote(0)), a.sge(0, LEN as u32));
    assert_eq!(a.wait_one().status, WcStatus::Success);
    assert!(b.buffer.to_vec(0, LEN) == bytes);
    a.buffer.write(0, &[0; LEN]);
    a.post_send(2, SendOp::Read(b.remote(0)), a.sge(0, LEN as u32));
    assert_eq!(a.poll_one().status, WcStatus::Success);
    assert!(a.buffer.to_vec(0, LEN) == bytes);
}

/// Exchanges until packets go through shared memory both ways.
fn get_near(a: &End, b: &End) {
    let start = std::time::Instant::now();
    while a.nic.link_counters().tx_local == 0 || b.nic.link_counters().tx_local == 0 {
        there_and_back(a, b, 1);
        assert!(start.elapsed() < PATIENCE, "{:?}", a.nic.link_counters());
    }
}

#[test]
fn packets_go_through_memory_and_not_by_udp() {
    let (a, b) = pair(near(|nic| nic), near(|nic| nic), LEN);
    assert_eq!(a.nic.info().layers, ["shared memory", "udp"]);
    get_near(&a, &b);
    let before = (a.nic.link_counters(), b.nic.link_counters(), b.nic.counters());
    for salt in 2..5 {
        there_and_back(&a, &b, salt);
        there_and_back(&b, &a, salt);
    }
    let after = (a.nic.link_counters(), b.nic.link_counters(), b.nic.counters());
    for (before, after) in [(before.0, after.0), (before.1, after.1)] {
        assert!(after.tx_local > before.tx_local);
        assert_eq!(after.tx_packets - before.tx_packets, after.tx_local - before.tx_local, "all of them");
        assert_eq!(after.rx_packets - before.rx_packets, after.rx_local - before.rx_local);
        assert_eq!(after.rx_errors, 0);
    }
    assert_eq!(after.2.icrc_partial, before.2.icrc_partial, "there is no ICRC to look at");
}

#[test]
fn a_nic_has_a_short_way_to_itself() {
    let end = End::new(near(|nic| nic), LEN);
    end.connect(end.addr, end.qp);
    while end.nic.link_counters().tx_local == 0 {
        end.post_send(1, SendOp::Write(end.remote(LEN as u64 / 2)), end.sge(0, LEN as u32 / 2));
        assert_eq!(end.poll_one().status, WcStatus::Success);
    }
}

#[test]
fn who_does_not_want_to_is_reached_by_udp() {
    let (a, b) = pair(near(|nic| nic), open(|nic| nic), LEN);
    for salt in 0..3 {
        there_and_back(&a, &b, salt);
        there_and_back(&b, &a, salt);
    }
    assert_eq!((a.nic.link_counters().tx_local, b.nic.link_counters().tx_local), (0, 0));
    assert!(b.nic.counters().icrc_partial > 0 || b.nic.info().ports[0].icrc == IcrcMode::Full);
    assert_eq!(b.nic.counters().drop_icrc, 0);
}

#[test]
fn faults_are_found_out_there_too() {
    // So many that some are sure to be damaged, and so few that eight tries in a row never fail.
    let rates = FaultRates { drop: 0.01, duplicate: 0.02, corrupt: 0.03, reorder: 0.02 };
    let faults = |seed| Faults { seed, transmit: rates, receive: rates };
    let (a, b) = pair(near(|nic| nic.faults(faults(1))), near(|nic| nic.faults(faults(2))), LEN);
    get_near(&a, &b);
    there_and_back(&a, &b, 2);
    let (at_a, at_b) = (a.nic.counters(), b.nic.counters());
    assert!(at_a.drop_icrc > 0 && at_b.drop_icrc > 0, "what was damaged on its way in: {at_b:?}");
}

#[test]
fn who_polls_when_the_bell_rings_can_sleep_afterwards() {
    let (a, b) = (End::new(near(|nic| nic), LEN), End::new(near(|nic| nic), LEN));
    for (one, other) in [(&a, &b), (&b, &a)] {
        // What is lost is never repeated.
        let rts = QpAttr { timeout: Some(0), ..QpAttr::rts(Psn::new(100)) };
        let connect = |dev: &mut Device<_>, now| {
            let (av, mtu) = (AddressVector::new(0, other.addr), dev.config().mtu);
            dev.modify_qp(now, one.qp, &QpAttr::rtr(av, other.qp, Psn::new(100), mtu))?;
            dev.modify_qp(now, one.qp, &rts)
        };
        one.nic.with(connect).unwrap();
    }
    while a.nic.link_counters().tx_local == 0 || b.nic.link_counters().tx_local == 0 {
        for (one, other) in [(&a, &b), (&b, &a)] {
            one.post_send(1, SendOp::Write(other.remote(0)), one.sge(0, 8));
            assert_eq!(one.wait_one().status, WcStatus::Success);
        }
    }
    for round in 0..200 {
        b.post_recv(1, b.sge(0, 8));
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| {
                // Until the other NIC's thread sleeps.
                std::thread::sleep(Duration::from_micros(300));
                a.post_send(2, SendOp::Send, a.sge(0, 8));
                assert_eq!(a.wait_one().status, WcStatus::Success);
            });
            let received = if round % 2 == 0 { b.poll_one() } else { b.wait_one() };
            assert_eq!(received.status, WcStatus::Success);
            sender.join().unwrap();
        });
    }
}

/// A capture that stays here.
#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Vec<u8>>>);

impl Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_capture_shows_packets_with_right_icrcs() {
    let capture = Capture::default();
    let (a, b) = pair(near(|nic| nic.record(capture.clone())), near(|nic| nic), LEN);
    get_near(&a, &b);
    let local = a.nic.link_counters().rx_local;
    drop((a, b));
    let bytes = capture.0.lock().unwrap();
    let (mut rest, mut packets) = (&bytes[24..], 0_u64);
    while let Some((header, behind)) = rest.split_first_chunk::<16>() {
        let len = u32::from_le_bytes(header[8..12].try_into().unwrap()) as usize;
        let (frame, behind) = behind.split_at(len);
        let (datagram, _) = Datagram::parse(frame).unwrap();
        assert!(datagram.pseudo_header().verify(datagram.payload), "packet {packets}");
        (rest, packets) = (behind, packets + 1);
    }
    assert!(local > 0 && packets > local);
}

/// What a NIC records of packets there and back, with faults or not, and how many of them went through memory.
fn record(format: Format, rates: FaultRates) -> (Vec<u8>, LinkCounters) {
    let faults = Faults { seed: 1, transmit: rates, receive: FaultRates::NONE };
    let capture = Capture::default();
    let recorded = near(|nic| nic.record_as(format, capture.clone()).faults(faults));
    let (a, b) = pair(recorded, near(|nic| nic.faults(faults)), LEN);
    get_near(&a, &b);
    let counters = a.nic.link_counters();
    drop((a, b));
    let bytes = capture.0.lock().unwrap().clone();
    (bytes, counters)
}

#[test]
fn captures_tell_which_packets_went_through_memory() {
    // Packets that may be damaged have ICRCs, others have not.
    for rates in [FaultRates::NONE, FaultRates { drop: 0.005, ..FaultRates::NONE }] {
        let (bytes, counters) = record(Format::PcapNg, rates);
        let mut reader = PcapNgReader::new(&bytes[..]).unwrap();
        // Interface and direction.
        let mut seen = [[0_u64; 3]; 2];
        while let Some(block) = reader.next_block() {
            let Block::EnhancedPacket(packet) = block.unwrap() else { continue };
            let [EnhancedPacketOption::Flags(way @ (1 | 2))] = packet.options[..] else {
                panic!("{packet:?}");
            };
            seen[packet.interface_id as usize][way as usize] += 1;
            let (datagram, _) = Datagram::parse(&packet.data).unwrap();
            assert!(datagram.pseudo_header().verify(datagram.payload), "{packet:?}");
        }
        let names: Vec<String> = reader.interfaces().iter().map(|at| format!("{:?}", at.options)).collect();
        assert!(names[0].contains("network") && names[1].contains("shared memory"), "{names:?}");
        let [[_, by_udp, _], [_, received, sent]] = seen;
        assert!(received >= counters.rx_local && sent >= counters.tx_local, "{seen:?} {counters:?}");
        assert!(by_udp > 0, "the first ones");
    }
}

#[test]
fn recordings_tell_which_packets_went_through_memory() {
    let (bytes, counters) = record(Format::Run, FaultRates::NONE);
    let mut reader = Reader::open(&bytes[..]).unwrap();
    let mut seen = [0_u64; 2];
    while let Some(record) = reader.next_record().unwrap() {
        if let What::Packet(packet) = record.what {
            seen[usize::from(packet.local)] += 1;
        }
    }
    let [by_udp, local] = seen;
    assert!(by_udp > 0 && local >= counters.rx_local + counters.tx_local, "{seen:?} {counters:?}");
}

#[test]
fn processes_meet_and_who_comes_after_one_that_died_is_found() {
    let (here, there) = (fresh_address(), fresh_address());
    let nic = Nic::builder().address(here).shared_memory(true).open().unwrap();
    let end = End::new(nic, MEMORY);
    for round in 0..3 {
        let mut child = Peer::start(CHILD, there, here, end.qp, None).unwrap();
        end.nic
            .with(|dev, now| {
                dev.modify_qp(now, end.qp, &QpAttr { state: Some(QpState::Reset), ..QpAttr::default() })
            })
            .unwrap();
        end.nic.with(|dev, now| dev.modify_qp(now, end.qp, &QpAttr::init(EVERYTHING))).unwrap();
        end.connect(there, child.qpn);
        let before = end.nic.link_counters();
        while end.nic.link_counters().rx_local == before.rx_local {
            end.post_send(1, SendOp::Write(child.memory), end.sge(0, MEMORY as u32));
            let done = end.wait_one();
            assert_eq!(done.status, WcStatus::Success, "round {round}");
        }
        child.kill();
    }
}

#[test]
fn nonsense_in_a_mailbox_harms_nobody() {
    let (a, b) = pair(near(|nic| nic), near(|nic| nic), LEN);
    let name = format!("-{}.{}+", b.addr, b.nic.info().lane);
    let mailbox = std::fs::read_dir(runtime_directory().unwrap()).unwrap();
    let mailbox: PathBuf = mailbox
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().ends_with(&name))
        .expect("a mailbox");
    let mut strangers: Vec<UnixStream> =
        (0..200).filter_map(|_| UnixStream::connect(&mailbox).ok()).collect();
    for (number, stranger) in strangers.iter_mut().enumerate() {
        stranger.write_all(&noise(number % 50, number as u32)).ok();
    }
    get_near(&a, &b);
    drop(strangers);
    there_and_back(&a, &b, 7);
    drop(b);
    assert!(File::open(mailbox).is_err(), "it went with its owner");
}
