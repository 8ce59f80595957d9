//! Faults by script, the clock, and what a run leaves behind.

use std::time::Duration;

use ferroce_engine::*;
use ferroce_fabric::*;
use ferroce_wire::frame::Frame;
use ferroce_wire::{Opcode, Packet};

/// Two hosts with a connection and 64 KiB of memory each.
struct Pair {
    fabric: Fabric,
    ends: [End; 2],
    cqs: [Cq; 2],
    buffers: [Buffer; 2],
    mrs: [Mr; 2],
}

const IOVA: u64 = 0x1_0000;

fn pair(seed: u64) -> Pair {
    let mut fabric: Fabric = Fabric::new(seed);
    let access = Access::LOCAL_WRITE | Access::REMOTE_WRITE | Access::REMOTE_READ | Access::REMOTE_ATOMIC;
    let side = |name: &str, fabric: &mut Fabric| {
        let host = fabric.add_host(name);
        let buffer = Buffer::new(1 << 16);
        let init = MrInit { iova: IOVA, ..MrInit::new(&buffer, access) };
        fabric.with(host, |device, _| {
            let pd = device.alloc_pd().unwrap();
            let cq = device.create_cq(64).unwrap();
            let cap = QpCap::default();
            let init_qp = QpInit { cap, signal_all: true, ..QpInit::new(QpType::Rc, pd, cq) };
            let qp = device.create_qp(&init_qp).unwrap();
            (End { host, qp }, cq, buffer, device.reg_mr(pd, init).unwrap())
        })
    };
    let (a, b) = (side("left", &mut fabric), side("right", &mut fabric));
    let ends = [a.0, b.0];
    fabric.connect(ends, &Connection::default()).unwrap();
    Pair { fabric, ends, cqs: [a.1, b.1], buffers: [a.2, b.2], mrs: [a.3, b.3] }
}

impl Pair {
    fn post(&mut self, wr_id: u64, op: SendOp, len: u32) {
        let sges = [Sge { addr: IOVA, len, lkey: self.mrs[0].lkey }];
        let wr = SendWr::new(wr_id, op, Payload::Sges(&sges));
        self.fabric.post_send(self.ends[0], &[wr]).unwrap();
    }

    fn remote(&self) -> Remote {
        Remote { addr: IOVA + 0x8000, rkey: self.mrs[1].rkey }
    }

    fn finish(&mut self) -> Vec<(u64, WcStatus)> {
        assert!(self.fabric.run_until_idle(100_000));
        let wcs = self.fabric.poll(self.ends[0].host, self.cqs[0]);
        wcs.iter().map(|wc| (wc.wr_id, wc.status)).collect()
    }

    /// The opcode and PSN of every packet that this end sent, counted from the first PSN of the requester.
    fn sent(&self, end: usize) -> Vec<(Opcode, u32)> {
        let mine = self.fabric.log().packets().filter(|(_, host, _)| *host == self.ends[end].host);
        let headers = mine.map(|(_, _, sent)| Packet::parse(&sent.bytes).unwrap().headers.bth);
        headers.map(|bth| (bth.opcode, bth.psn.value() - 0x1000)).collect()
    }

    fn counters(&self, end: usize) -> Counters {
        *self.fabric.device(self.ends[end].host).counters()
    }
}

const OK: WcStatus = WcStatus::Success;

#[test]
fn one_packet_is_lost_every_time_but_the_fourth() {
    let mut pair = pair(1);
    let host = pair.ends[0].host;
    pair.fabric.add_rule(Rule::new(Match::from(host).psn(Psn::new(0x1001)).first(3), Fate::Drop));
    pair.buffers[0].write(0, &[7; 3000]);
    let remote = pair.remote();
    pair.post(1, SendOp::Write(remote), 3000);
    assert_eq!(pair.finish(), [(1, OK)]);
    let middles = pair.sent(0).iter().filter(|(opcode, _)| *opcode == Opcode::RC_WRITE_MIDDLE).count();
    assert_eq!(middles, 4);
    assert_eq!(pair.fabric.carried().lost, 3);
    assert_eq!(pair.buffers[1].to_vec(0x8000, 3000), [7; 3000]);
}

#[test]
fn responses_that_overtake_each_other_are_asked_for_again() {
    let mut pair = pair(1);
    let data: Vec<u8> = (0..5000).map(|i| i as u8).collect();
    pair.buffers[1].write(0x8000, &data);
    let second = Match::from(pair.ends[1].host).opcode(Opcode::RC_READ_RESP_MIDDLE).nth(1);
    pair.fabric.add_rule(Rule::new(second, Fate::Delay(Duration::from_micros(3))));
    let remote = pair.remote();
    pair.post(1, SendOp::Read(remote), 5000);
    assert_eq!(pair.finish(), [(1, OK)]);
    assert_eq!(pair.buffers[0].to_vec(0, 5000), data);
    let requests = pair.sent(0);
    assert_eq!(requests, [(Opcode::RC_READ_REQUEST, 0), (Opcode::RC_READ_REQUEST, 1)], "from the gap on");
    assert_eq!(pair.counters(0).local_ack_timeout_err, 0, "and at once");
}

#[test]
fn responses_of_every_kind_may_come_twice_and_late() {
    for opcode in
        [Opcode::RC_ACKNOWLEDGE, Opcode::RC_ATOMIC_ACK, Opcode::RC_READ_RESP_FIRST, Opcode::RC_READ_RESP_LAST]
    {
        let mut pair = pair(1);
        let answers = Match::from(pair.ends[1].host).opcode(opcode);
        pair.fabric.add_rule(Rule::new(answers, Fate::Duplicate(Duration::from_micros(7))));
        pair.buffers[1].write(0x8000, &5u64.to_ne_bytes());
        let remote = pair.remote();
        for round in 0..4 {
            pair.post(round * 3, SendOp::FetchAdd { remote, add: 1 }, 8);
            pair.post(round * 3 + 1, SendOp::Write(Remote { addr: remote.addr + 8, ..remote }), 2000);
            pair.post(round * 3 + 2, SendOp::Read(remote), 2000);
        }
        assert_eq!(pair.finish(), (0..12).map(|id| (id, OK)).collect::<Vec<_>>(), "{opcode}");
        assert_eq!(pair.buffers[1].to_vec(0x8000, 8), 9u64.to_ne_bytes(), "{opcode}: four times, not more");
        assert!(pair.fabric.carried().repeated > 0, "{opcode}");
        assert_eq!(pair.counters(0).retransmitted_pkts, 0, "{opcode}");
    }
}

#[test]
fn a_damaged_packet_is_dropped_and_sent_again() {
    let mut pair = pair(1);
    pair.fabric.add_rule(Rule::new(Match::from(pair.ends[0].host).nth(1), Fate::Corrupt));
    let remote = pair.remote();
    pair.post(1, SendOp::Write(remote), 100);
    assert_eq!(pair.finish(), [(1, OK)]);
    assert_eq!((pair.fabric.carried().damaged, pair.sent(0).len()), (1, 2));
    assert_eq!(pair.counters(1).rcvd_pkts, 1);
}

/// A busy run over a bad link.
fn noisy(seed: u64) -> Pair {
    let mut pair = pair(seed);
    let some = Chance::percent(10);
    let link = Link {
        jitter: Duration::from_micros(1),
        loss: some,
        duplicate: some,
        reorder: some,
        corrupt: some,
        ..Link::default()
    };
    pair.fabric.set_links(link);
    let remote = pair.remote();
    for wr_id in 0..20 {
        pair.post(wr_id, SendOp::Write(remote), 3000);
        pair.post(wr_id, SendOp::Read(remote), 3000);
    }
    pair.fabric.run_for(Duration::from_millis(50));
    pair.fabric.heal();
    assert_eq!(pair.finish().len(), 40);
    pair
}

#[test]
fn a_seed_gives_the_same_run_again() {
    let (one, two, other) = (noisy(5), noisy(5), noisy(6));
    assert!(one.fabric.log() == two.fabric.log(), "every packet, event and completion, and their times");
    assert_eq!(one.fabric.digest(), two.fabric.digest());
    assert_ne!(one.fabric.digest(), other.fabric.digest());
    let carried = one.fabric.carried();
    assert!(carried.lost > 0 && carried.damaged > 0 && carried.repeated > 0);
    assert_eq!(carried.sent + carried.repeated, carried.lost + carried.delivered);
}

#[test]
fn the_log_has_completions_between_packets() {
    let pair = noisy(5);
    let done = pair.fabric.log().device(pair.ends[0].host);
    let done = done.filter(|(_, event)| matches!(event, TraceEvent::Completed { .. })).count();
    assert_eq!(done, 40);
    let entries = &pair.fabric.log().entries;
    assert!(entries.is_sorted_by_key(|entry| entry.at), "in the order of time");
}

#[test]
fn a_port_sends_at_its_rate() {
    let mut pair = pair(1);
    let port = Port { rate: Some(1_000_000_000), ..Port::default() };
    pair.fabric.set_port(pair.ends[0].host, port);
    let remote = pair.remote();
    for wr_id in 0..4 {
        pair.post(wr_id, SendOp::Write(remote), 32 * 1024);
    }
    pair.finish();
    let last = pair.fabric.log().packets().last().unwrap().0;
    let micros = last.nanos() / 1_000;
    assert!(
        (1_048..1_200).contains(&micros),
        "128 KiB at 1 Gbit/s take 1.05 ms and headers, not {micros} µs"
    );
}

#[test]
fn moderation_lets_acknowledgements_be_coalesced() {
    let acks = |moderation| {
        let mut pair = pair(1);
        let at_once = Port { train: 1, rate: Some(10_000_000_000), ..Port::default() };
        pair.fabric.set_port(pair.ends[0].host, at_once);
        pair.fabric.set_port(pair.ends[1].host, Port { moderation, ..Port::default() });
        let remote = pair.remote();
        (0..32).for_each(|wr_id| pair.post(wr_id, SendOp::Write(remote), 64));
        assert_eq!(pair.finish().len(), 32);
        pair.counters(1).ack_sent
    };
    assert_eq!(acks(Duration::ZERO), 32);
    assert!(acks(Duration::from_micros(50)) < 4);
}

#[test]
fn the_capture_file_holds_every_packet_as_it_was_sent() {
    let pair = noisy(5);
    let mut file = Vec::new();
    pair.fabric.log().write_pcap(&mut file).unwrap();
    assert_eq!(file[..4], 0xa1b2_3c4du32.to_le_bytes());
    let mut rest = &file[24..];
    let mut count = 0;
    for (at, _, sent) in pair.fabric.log().packets() {
        let word = |index: usize| u32::from_le_bytes(rest[index * 4..][..4].try_into().unwrap());
        assert_eq!(u64::from(word(0)) * 1_000_000_000 + u64::from(word(1)), at.nanos());
        let len = word(2) as usize;
        let frame = Frame::parse(&rest[16..16 + len]).unwrap();
        assert_eq!(frame.datagram.payload, &sent.bytes[..]);
        assert!(frame.datagram.pseudo_header().verify(frame.datagram.payload), "whole, ICRC included");
        rest = &rest[16 + len..];
        count += 1;
    }
    assert!(rest.is_empty() && count as u64 == pair.fabric.carried().sent);
}
