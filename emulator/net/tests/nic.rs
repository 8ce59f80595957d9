//! NICs as an application meets them, on the loopback interface.

#[expect(dead_code, reason = "not everything is needed here")]
mod common;

use std::io::Write;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use common::*;
use ferroce_engine::*;
use ferroce_net::*;
use ferroce_recording::{Damage, Reader, Record, What};
use ferroce_wire::ip::Datagram;

const LEN: usize = 1 << 20;

/// Bytes that are easy to tell from any others.
fn pattern(len: usize, salt: u8) -> Vec<u8> {
    (0..len).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0] ^ salt).collect()
}

/// One message each way, and what comes out is what went in.
fn exchange<A, B>(a: &End<A>, b: &End<B>, len: usize)
where
    A: TraceSink + Send + 'static,
    B: TraceSink + Send + 'static,
{
    a.buffer.write(0, &pattern(len, 1));
    b.post_recv(7, b.sge(0, LEN as u32));
    a.post_send(8, SendOp::Send, a.sge(0, len as u32));
    let received = b.poll_one();
    assert_eq!((received.wr_id, received.status, received.byte_len), (7, WcStatus::Success, len as u32));
    assert_eq!(b.buffer.to_vec(0, len), pattern(len, 1));
    let sent = a.poll_one();
    assert_eq!((sent.wr_id, sent.status), (8, WcStatus::Success));
}

#[test]
fn messages_of_all_sizes_arrive_as_they_were_sent() {
    let (a, b) = pair(open(|nic| nic), open(|nic| nic), LEN);
    for len in [0, 1, 64, 4096, 4097, 300_000, LEN] {
        exchange(&a, &b, len);
        exchange(&b, &a, len);
    }
    let link = a.nic.link_counters();
    assert!(link.tx_pieces < link.tx_packets, "trains are segmented by the kernel: {link:?}");
    assert_eq!((link.tx_errors, link.rx_errors, link.rx_overflows), (0, 0, 0));
}

#[test]
fn nobody_polls_and_still_one_sided_operations_are_served() {
    let (a, b) = pair(open(|nic| nic), open(|nic| nic), LEN);
    a.buffer.write(0, &pattern(LEN, 2));
    let whole = a.sge(0, LEN as u32);
    a.post_send(1, SendOp::Write(b.remote(0)), whole);
    assert_eq!(a.wait_one().status, WcStatus::Success);
    assert_eq!(b.buffer.to_vec(0, LEN), pattern(LEN, 2));

    b.buffer.write(0, &pattern(LEN, 3));
    a.post_send(2, SendOp::Read(b.remote(0)), whole);
    assert_eq!(a.wait_one().status, WcStatus::Success);
    assert_eq!(a.buffer.to_vec(0, LEN), pattern(LEN, 3));

    b.buffer.write(0, &41_u64.to_ne_bytes());
    a.post_send(3, SendOp::FetchAdd { remote: b.remote(0), add: 1 }, a.sge(0, 8));
    assert_eq!(a.wait_one().status, WcStatus::Success);
    assert_eq!(a.buffer.to_vec(0, 8), 41_u64.to_ne_bytes());
    assert_eq!(b.buffer.to_vec(0, 8), 42_u64.to_ne_bytes());
}

#[test]
fn ipv6_checks_all_of_the_icrc_without_privileges() {
    let nic = Nic::builder().address("::1".parse().unwrap()).icrc(IcrcCheck::Partial).open().unwrap();
    assert_eq!(nic.info().ports[0].icrc, IcrcMode::Full);
    // A connection of the NIC with itself.
    let end = End::new(nic, LEN);
    end.connect(end.addr, end.qp);
    end.buffer.write(0, &pattern(100_000, 4));
    end.post_recv(1, end.sge(500_000, 200_000));
    end.post_send(2, SendOp::Send, end.sge(0, 100_000));
    let mut done = [end.poll_one(), end.poll_one()];
    done.sort_by_key(|wc| wc.wr_id);
    assert_eq!(done.map(|wc| (wc.wr_id, wc.status)), [(1, WcStatus::Success), (2, WcStatus::Success)]);
    assert_eq!(end.buffer.to_vec(500_000, 100_000), pattern(100_000, 4));
    let counters = end.nic.counters();
    assert_eq!((counters.icrc_partial, counters.drop_icrc), (0, 0));
}

#[test]
fn both_ways_of_checking_the_icrc_find_damage() {
    for check in [IcrcCheck::Full, IcrcCheck::Partial] {
        let describe = |nic: NicBuilder| nic.icrc(check);
        if let Err(error @ NetError::NoPermission(_)) =
            Nic::builder().address(fresh_address()).icrc(check).open()
        {
            assert!(std::env::var_os("CI").is_none(), "{error}");
            eprintln!("SKIPPED the full check: {error}");
            continue;
        }
        let damage = FaultRates { corrupt: 0.05, ..FaultRates::NONE };
        let faults = Faults { seed: 5, transmit: damage, receive: damage };
        let (a, b) = pair(open(describe), open(|nic| describe(nic).faults(faults)), LEN);
        for _ in 0..3 {
            exchange(&a, &b, LEN);
            exchange(&b, &a, LEN);
        }
        let (seen, link) = (b.nic.counters(), b.nic.link_counters());
        assert!(link.rx_faults > 0 && link.tx_faults > 0, "{link:?}");
        assert!(seen.drop_icrc > 0, "{seen:?}");
        let (mode, partial) = (b.nic.info().ports[0].icrc, seen.icrc_partial > 0);
        assert_eq!(
            (mode == IcrcMode::Partial, partial),
            (check == IcrcCheck::Partial, check == IcrcCheck::Partial)
        );
    }
}

#[test]
fn every_kind_of_fault_at_once_delays_but_does_not_damage() {
    let rates = FaultRates { drop: 0.02, duplicate: 0.02, corrupt: 0.02, reorder: 0.02 };
    let faults = |seed| Faults { seed, transmit: rates, receive: rates };
    let (a, b) = pair(open(|nic| nic.faults(faults(1))), open(|nic| nic.faults(faults(2))), LEN);
    exchange(&a, &b, LEN / 2);
    exchange(&b, &a, LEN / 2);
    assert!(a.nic.counters().retransmitted_pkts > 0);
}

#[test]
fn what_strangers_send_changes_nothing_but_counters() {
    let (a, b) = pair(open(|nic| nic), open(|nic| nic), LEN);
    let before = b.nic.counters();
    let stranger = UdpSocket::bind((fresh_address(), 0)).unwrap();
    let mut random = 1_u64;
    for len in 0..3000 {
        let noise: Vec<u8> = (0..len % 200)
            .map(|_| {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 56) as u8
            })
            .collect();
        stranger.send_to(&noise, (b.addr, 4791)).unwrap();
    }
    exchange(&a, &b, 10_000);
    let after = b.nic.counters();
    let dropped = |c: &Counters| c.drop_malformed + c.drop_version + c.drop_icrc + c.drop_no_qp;
    assert!(dropped(&after) > dropped(&before), "{after:?}");
}

#[test]
fn a_dropped_nic_leaves_nothing_behind() {
    let threads = |name: &str| {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|comm| comm.trim() == name).count()
    };
    let nic = open(|nic| nic.name("shortlived"));
    let addr = nic.info().ports[0].addr;
    eventually("the thread has its name", || threads("shortlived") == 1);
    drop(nic);
    assert_eq!(threads("shortlived"), 0);
    let again = Nic::builder().address(addr).open();
    assert!(again.is_ok(), "the port is free again: {:?}", again.err());
}

#[test]
fn a_nic_at_rest_uses_no_processor_time() {
    let (a, b) = pair(open(|nic| nic.name("resting")), open(|nic| nic.name("resting")), LEN);
    exchange(&a, &b, LEN);
    let wake_ups = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().filter_map(|task| Some(task.ok()?.path()));
        let resting = tasks
            .filter(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|c| c.trim() == "resting"));
        let wakes = resting.map(|task| {
            let status = std::fs::read_to_string(task.join("status")).unwrap();
            let line =
                status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap().to_owned();
            line.split_whitespace().last().unwrap().parse::<u64>().unwrap()
        });
        wakes.sum::<u64>()
    };
    // The last retransmission timers have yet to run out.
    eventually("the NICs' threads sleep", || {
        let before = wake_ups();
        std::thread::sleep(Duration::from_millis(200));
        wake_ups() == before
    });
}

/// A file in memory.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_recording_has_every_packet_with_a_right_icrc() {
    let file = Shared::default();
    let (a, b) = pair(open(|nic| nic.record(file.clone()).icrc(IcrcCheck::Partial)), open(|nic| nic), LEN);
    exchange(&a, &b, 100_000);
    exchange(&b, &a, 100_000);
    let counters = a.nic.link_counters();
    drop(a);
    let bytes = file.0.lock().unwrap().clone();
    assert_eq!(bytes[..4], 0xa1b2_3c4d_u32.to_le_bytes());
    let (mut rest, mut packets) = (&bytes[24..], 0);
    while !rest.is_empty() {
        let len = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        let (datagram, _) = Datagram::parse(&rest[16..16 + len]).unwrap();
        assert!(
            datagram.pseudo_header().verify(datagram.payload),
            "packet {packets}: {:?}",
            datagram.packet()
        );
        rest = &rest[16 + len..];
        packets += 1;
    }
    assert!(packets >= counters.tx_packets + counters.rx_packets, "{packets} {counters:?}");
    assert!(packets > 50);
}

/// What can be read of a recording, and whether it is whole.
fn records(file: &[u8]) -> (Vec<Record>, bool) {
    let mut reader = Reader::open(file).unwrap();
    let mut records = Vec::new();
    loop {
        match reader.next_record() {
            Ok(Some(record)) => records.push(record),
            Ok(None) => return (records, true),
            Err(Damage::Cut) => return (records, false),
            Err(damage) => panic!("{damage}"),
        }
    }
}

#[test]
fn a_run_is_recorded_with_packets_and_events_and_can_be_read_before_it_ends() {
    let file = Shared::default();
    let (a, b) = pair(open(|nic| nic.record_as(Format::Run, file.clone())), open(|nic| nic), LEN);
    exchange(&a, &b, 100_000);
    exchange(&b, &a, 100_000);
    let done = |record: &Record| {
        let What::Device(TraceEvent::Completed { wc, .. }) = &record.what else { return false };
        wc.status == WcStatus::Success
    };
    // As if the process were killed now.
    eventually("what happened is in the file", || {
        let (so_far, whole) = records(&file.0.lock().unwrap());
        !whole && so_far.iter().filter(|record| done(record)).count() >= 2
    });
    let counters = a.nic.link_counters();
    assert_eq!(counters.unrecorded, 0);
    assert_eq!(a.nic.link_info().layers[0], "record");
    drop(a);
    let bytes = file.0.lock().unwrap().clone();
    let (all, whole) = records(&bytes);
    assert!(whole, "it was ended with its NIC");
    assert_eq!(Reader::open(&bytes[..]).unwrap().header().hosts.len(), 2);
    assert!(all.is_sorted_by_key(|record| record.at));
    let packets = |host| all.iter().filter(move |r| r.host == host && matches!(r.what, What::Packet(_)));
    assert!(packets(0).count() as u64 >= counters.tx_packets, "{counters:?}");
    assert!(packets(1).count() as u64 >= counters.rx_packets, "{counters:?}");
    let events = all.iter().filter(|record| matches!(record.what, What::Device(_)));
    assert!(events.clone().all(|record| record.host == 0), "a NIC speaks for itself alone");
    let says = |event: fn(&TraceEvent) -> bool| {
        events.clone().any(|record| matches!(&record.what, What::Device(of) if event(of)))
    };
    assert!(says(|event| matches!(event, TraceEvent::State { to: QpState::Rts, .. })));
    assert!(says(|event| matches!(event, TraceEvent::PostSend { .. })));
    assert!(says(|event| matches!(event, TraceEvent::Received { .. })));
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_traffic() {
    /// Takes so many bytes.
    struct Disk(usize);
    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    for format in [Format::Run, Format::Pcap, Format::PcapNg] {
        let (a, b) = pair(open(|nic| nic.record_as(format, Disk(3_000))), open(|nic| nic), LEN);
        (0..4).for_each(|_| exchange(&a, &b, 100_000));
        assert_eq!(a.nic.link_info().layers[0], "record (stopped: write error)", "{format:?}");
        let unrecorded = a.nic.link_counters().unrecorded;
        assert!(unrecorded > 50, "{format:?}: {unrecorded}");
        exchange(&b, &a, 100_000);
    }
}

#[test]
fn a_file_name_decides_the_format() {
    let format = |name: &str| Format::of(name.as_ref());
    assert_eq!([format("a.frec"), format("/x/b.c.frec")], [Format::Run; 2]);
    assert_eq!(format("a.pcapng"), Format::PcapNg);
    assert_eq!(["a.pcap", "pcapng", "frec", "a.frec.gz"].map(format), [Format::Pcap; 4]);
}

#[test]
fn many_threads_post_while_one_polls() {
    const THREADS: u64 = 4;
    const EACH: u64 = 200;
    let (a, b) = pair(open(|nic| nic), open(|nic| nic), LEN);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (a, b) = (&a, &b);
            scope.spawn(move || {
                for message in 0..EACH {
                    let wr_id = thread << 32 | message;
                    let sges = [a.sge(0, 64)];
                    let op = SendOp::Write(b.remote(0));
                    let wr =
                        SendWr { flags: SendFlags::SIGNALED, ..SendWr::new(wr_id, op, Payload::Sges(&sges)) };
                    while a.nic.post_send(a.qp, &[wr]).is_err() {
                        std::thread::yield_now(); // the queue is full until the other thread has polled
                    }
                }
            });
        }
        let mut last = [None; THREADS as usize];
        for _ in 0..THREADS * EACH {
            let wc = a.poll_one();
            assert_eq!(wc.status, WcStatus::Success);
            let (thread, message) = ((wc.wr_id >> 32) as usize, wc.wr_id as u32);
            assert!(last[thread] < Some(message), "each thread's requests complete in order");
            last[thread] = Some(message);
        }
    });
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_notification_wakes_once_and_waits_for_a_waker() {
    let (a, b) = pair(open(|nic| nic), open(|nic| nic), LEN);
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    let woken = || count.0.load(Ordering::SeqCst);
    (0..4).for_each(|wr_id| b.post_recv(wr_id, b.sge(0, 64)));

    b.nic.set_waker(b.cq, Some(&waker));
    b.nic.req_notify_cq(b.cq, Arm::Next).unwrap();
    (0..2).for_each(|wr_id| a.post_send(wr_id, SendOp::Send, a.sge(0, 64)));
    eventually("the waker is woken", || woken() == 1);
    assert_eq!([b.poll_one().wr_id, b.poll_one().wr_id], [0, 1]);
    assert_eq!(woken(), 1, "once per arming");

    b.nic.set_waker(b.cq, None);
    b.nic.req_notify_cq(b.cq, Arm::Next).unwrap();
    a.post_send(2, SendOp::Send, a.sge(0, 64));
    (0..3).for_each(|_| assert_eq!(a.wait_one().status, WcStatus::Success));
    b.nic.set_waker(b.cq, Some(&waker));
    assert_eq!(woken(), 2, "a notification without a waker is kept for the next one");
}

#[test]
fn asynchronous_events_wake_and_wait_to_be_taken() {
    let (a, b) = (End::new(open(|nic| nic), LEN), End::new(open(|nic| nic), LEN));
    a.connect(b.addr, b.qp);
    b.nic
        .with(|dev, now| {
            let mtu = dev.config().mtu;
            dev.modify_qp(now, b.qp, &QpAttr::rtr(AddressVector::new(0, a.addr), a.qp, Psn::new(100), mtu))
        })
        .unwrap();
    let count = Arc::new(Count(AtomicUsize::new(0)));
    b.nic.set_async_waker(Some(&Waker::from(Arc::clone(&count))));
    a.post_send(1, SendOp::Write(b.remote(0)), a.sge(0, 64));
    assert_eq!(a.wait_one().status, WcStatus::Success);
    eventually("the waker is woken", || count.0.load(Ordering::SeqCst) == 1);
    assert_eq!(b.nic.poll_async_event(), Some(AsyncEvent::Qp(b.qp, QpEvent::CommEst)));
    assert_eq!(b.nic.poll_async_event(), None);
}

#[test]
fn waiting_has_an_end() {
    let end = End::new(open(|nic| nic), LEN);
    let waited = end.nic.wait_cq(end.cq, &mut [Wc::default()], Some(Duration::from_millis(5)));
    assert_eq!(waited, Ok(0));
}

#[test]
fn devices_of_one_process_need_no_network() {
    let hub = Hub::new();
    let nic = |addr: &str| Nic::builder().address(addr.parse().unwrap()).hub(&hub).open();
    let (a, b) = pair(nic("192.0.2.1").unwrap(), nic("192.0.2.2").unwrap(), LEN);
    exchange(&a, &b, LEN);
    a.post_send(1, SendOp::Read(b.remote(0)), a.sge(0, LEN as u32));
    assert_eq!(a.wait_one().status, WcStatus::Success);
    assert!(matches!(nic("192.0.2.2"), Err(NetError::PortInUse { .. })));
}

#[test]
fn errors_say_what_to_do() {
    let addr = fresh_address();
    let _taken = UdpSocket::bind((addr, 4791)).unwrap();
    let message = |nic: NicBuilder| nic.open().err().expect("this cannot be opened").to_string();
    let at = |addr: &str| Nic::builder().address(addr.parse().unwrap());

    let in_use = message(Nic::builder().address(addr));
    assert!(in_use.contains(&format!("port 4791 of {addr} is in use")), "{in_use}");
    assert!(in_use.contains("use another address") || in_use.contains("modprobe -r rdma_rxe"), "{in_use}");
    let foreign = message(at("192.0.2.77"));
    assert!(
        foreign.contains("not an address of this machine") && foreign.contains("`ip address`"),
        "{foreign}"
    );
    let unknown = message(Nic::builder().interface("nonesuch0"));
    assert!(unknown.contains("nonesuch0") && unknown.contains("lo"), "{unknown}");
    assert!(message(Nic::builder()).contains("127.0.0.1 always works"));
    let twice = message(at("127.99.0.1").address("127.99.0.1".parse().unwrap()));
    assert!(twice.contains("given twice"), "{twice}");
}
