//! Captures of a clean run in which one thing was changed.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ferroce_engine::*;
use ferroce_fabric::*;
use ferroce_wire::cm::{CmMad, CmMessage};
use ferroce_wire::{AtomicAckEth, Bth, Deth, Headers, Opcode, Operation, Packet, Position, Qpn};

use super::Labelled;
use super::faults::syndrome;
use super::world::*;

/// Changes a capture, and names the kinds of finding that must come of it.
type Change = fn(&mut Vec<Caught>, u64) -> Vec<&'static str>;

/// All changes.
pub(super) const CHANGES: [(&str, Change); 19] = [
    ("opcode order", |caught, seed| {
        let at = nth(caught, seed, |c| c.packet().headers.bth.opcode == Opcode::RC_WRITE_MIDDLE);
        caught[at].change(|headers, _| headers.bth.opcode = Opcode::RC_SEND_MIDDLE);
        vec!["wire.opcode-order", "wire.opcode-order"]
    }),
    ("length", |caught, seed| {
        let at = nth(caught, seed, |c| c.packet().headers.bth.opcode == Opcode::RC_WRITE_MIDDLE);
        caught[at].change(|_, payload| payload.truncate(1000));
        vec!["wire.len-mtu"]
    }),
    ("msn", |caught, seed| {
        let at = last(caught, |c| c.packet().headers.bth.opcode == Opcode::RC_ACKNOWLEDGE);
        caught[at].change(|headers, _| {
            let aeth = headers.aeth.as_mut().unwrap();
            aeth.msn = aeth.msn.wrapping_sub(3 + seed as u32 % 3) & 0xFF_FFFF;
        });
        vec!["msn.backwards"]
    }),
    ("ghost", |caught, seed| {
        let at = last(caught, |c| c.packet().headers.bth.opcode == Opcode::RC_ACKNOWLEDGE);
        caught[at].change(|headers, _| headers.bth.psn = headers.bth.psn + (40 + seed as u32));
        vec!["ack.ghost"]
    }),
    ("atomic", |caught, _| {
        let at = nth(caught, 0, |c| c.packet().headers.atomic_ack.is_some());
        let mut again = caught[at].clone();
        again.ident = again.ident.wrapping_add(500);
        again.at = again.at + Duration::from_nanos(1);
        again.change(|headers, _| headers.atomic_ack = Some(AtomicAckEth { original: 0xBAD }));
        caught.insert(at + 1, again);
        vec!["atomic.replay-diff"]
    }),
    ("short read", |caught, seed| {
        let at = nth(caught, seed, |c| {
            let opcode = c.packet().headers.bth.opcode;
            opcode.operation() == Operation::ReadRespLast && c.packet().payload.len() > 40
        });
        caught[at].change(|_, payload| payload.truncate(payload.len() - 8));
        vec!["read.short"]
    }),
    ("partition", |caught, _| {
        for packet in caught.iter_mut().filter(|c| c.from == 1) {
            packet.change(|headers, _| headers.bth.pkey = 0x8001);
        }
        vec!["pkey.differs"]
    }),
    ("marks", |caught, seed| {
        for packet in caught.iter_mut().filter(|c| c.from == 0).skip(seed as usize).take(5) {
            packet.tos |= 3;
        }
        vec!["ecn.marked", "ecn.no-cnp"]
    }),
    ("notifications", |caught, _| {
        let (to_left, at) = (caught.iter().find(|c| c.from == 1).unwrap().clone(), caught.len() / 2);
        let dest_qp = to_left.packet().headers.bth.dest_qp;
        let mut cnp = Caught { at: caught[at].at, ident: 9, ..to_left };
        let bth = Bth::new(Opcode::CNP, dest_qp, Psn::new(0));
        let packet = Packet::new(Headers::new(bth), &[0; 16]);
        cnp.bytes = vec![0; packet.wire_len()];
        packet.emit(&mut cnp.bytes).unwrap();
        cnp.seal();
        caught.insert(at, cnp);
        vec!["ecn.cnp"]
    }),
    ("elsewhere", |caught, seed| {
        let at = nth(caught, seed, |c| c.packet().headers.bth.opcode == Opcode::RC_SEND_ONLY);
        let request = caught[at].clone();
        let psn = request.packet().headers.bth.psn;
        let mut answer =
            caught[at..].iter().find(|c| c.from == 1 && c.packet().headers.bth.psn == psn).unwrap().clone();
        answer.addrs[0] = "10.9.9.9".parse().unwrap();
        answer.seal();
        let again = |n: u16| Caught {
            at: request.at + Duration::from_millis(n.into()),
            ident: 900 + n,
            ..request.clone()
        };
        let mut again = [again(1), again(2)];
        again.iter_mut().for_each(Caught::seal);
        *caught = [request, answer].into_iter().chain(again).collect();
        vec!["gid.differs", "rtx.timeout", "rtx.timeout", "req.unanswered"]
    }),
    ("GIDs in a request", |caught, seed| {
        let model = caught[0].clone();
        let [IpAddr::V4(src), IpAddr::V4(dst)] = model.addrs else { panic!("all addresses are IPv4") };
        let wrong = Ipv4Addr::new(10, 7, 7, 7);
        let (named, to) = if seed % 2 == 0 { (src, wrong) } else { (wrong, dst) };
        // A REQ of zeros but for its path.
        let mut payload = [0; 256];
        payload[..4].copy_from_slice(&[1, 7, 2, 3]);
        payload[17] = 0x10;
        let mut mad = CmMad::parse(&payload).unwrap();
        let CmMessage::Req(req) = &mut mad.message else { panic!("{:?}", mad.message) };
        req.primary.local_gid = named.to_ipv6_mapped();
        req.primary.remote_gid = to.to_ipv6_mapped();
        let payload = mad.emit();
        let deth = Deth { qkey: 0x8001_0000, reserved: 0, src_qp: Qpn::GSI };
        let bth = Bth::new(Opcode::UD_SEND_ONLY, Qpn::GSI, Psn::new(1));
        let packet = Packet::new(Headers { deth: Some(deth), ..Headers::new(bth) }, &payload);
        let mut datagram = Caught { bytes: vec![0; packet.wire_len()], ..model };
        packet.emit(&mut datagram.bytes).unwrap();
        datagram.seal();
        *caught = vec![datagram];
        vec!["gid.differs", "cm.unanswered"]
    }),
    ("one side", |caught, _| {
        caught.retain(|c| c.from == 0);
        vec!["cap.one-sided"]
    }),
    ("undecodable", |caught, seed| {
        let at = nth(caught, seed, |c| c.from == 1 && syndrome(c).is_some());
        caught[at].bytes.truncate(11);
        vec!["wire.undecodable"]
    }),
    ("restart", |caught, _| {
        let at =
            nth(caught, 5, |c| c.from == 0 && c.packet().headers.bth.opcode.position() == Position::Only);
        let from = caught[at].at;
        for packet in caught.iter_mut().filter(|c| c.at >= from) {
            packet.change(|headers, _| headers.bth.psn = headers.bth.psn + 0x40_0000);
        }
        vec!["psn.restart"]
    }),
    ("stalled", |caught, _| {
        let at = last(caught, |c| c.packet().headers.bth.opcode == Opcode::RC_ACKNOWLEDGE);
        for packet in &mut caught[at..] {
            packet.at = packet.at + Duration::from_millis(40);
        }
        vec!["ack.stalled"]
    }),
    ("sizes", |caught, _| {
        let responses = |c: &Caught| c.packet().headers.bth.opcode.operation() == Operation::ReadRespFirst;
        let at = nth(caught, 0, responses);
        caught[at].change(|_, payload| payload.truncate(512));
        vec!["mtu.differs"]
    }),
    ("Q_Keys", |caught, seed| {
        let model = caught[0].clone();
        caught.clear();
        for (number, qkey) in [0x1111, 0x1111, 0x2222].into_iter().enumerate() {
            let bth = Bth::new(Opcode::UD_SEND_ONLY, Qpn::new(0x40 + seed as u32), Psn::new(number as u32));
            let deth = Deth { qkey, reserved: 0, src_qp: Qpn::new(0x20) };
            let packet = Packet::new(Headers { deth: Some(deth), ..Headers::new(bth) }, b"hello");
            let mut datagram =
                Caught { ident: number as u16, bytes: vec![0; packet.wire_len()], ..model.clone() };
            packet.emit(&mut datagram.bytes).unwrap();
            datagram.seal();
            caught.push(datagram);
        }
        vec!["qkey.differs"]
    }),
    ("one port", |caught, seed| {
        let model = caught
            .iter()
            .find(|c| c.packet().headers.bth.opcode.position() == Position::Only)
            .unwrap()
            .clone();
        caught.clear();
        for number in 0..6 + seed % 5 {
            let mut packet = Caught { ident: number as u16, ..model.clone() };
            packet.change(|headers, _| {
                headers.bth.dest_qp = Qpn::new(0x100 + number as u32);
                headers.bth.ack_request = false;
            });
            caught.push(packet);
        }
        vec!["ecmp.low-entropy"]
    }),
    ("two NAKs", |caught, _| {
        let at = nth(caught, 0, |c| c.from == 1 && syndrome(c).is_some());
        let psn = caught[at].packet().headers.bth.psn;
        for number in 0..2 {
            let mut nak = Caught { ident: 7 + number, ..caught[at].clone() };
            nak.change(|headers, payload| {
                payload.clear();
                let aeth = ferroce_wire::Aeth {
                    syndrome: ferroce_wire::Syndrome::Nak(ferroce_wire::NakCode::PsnSequence),
                    ..headers.aeth.unwrap()
                };
                *headers = Headers { aeth: Some(aeth), ..Headers::new(headers.bth) };
                headers.bth.opcode = Opcode::RC_ACKNOWLEDGE;
                headers.bth.psn = psn.next();
            });
            caught.insert(at + 1 + usize::from(number), nak);
        }
        caught.truncate(at + 3);
        vec!["nak.seq", "nak.seq", "nak.repeat", "req.unanswered"]
    }),
];

/// A clean run, changed.
pub(super) fn changed(name: &'static str, change: Change, seed: u64) -> Labelled {
    let mut caught = run(seed);
    let truth = change(&mut caught, seed);
    Labelled {
        name,
        seed,
        file: pcap(&caught, 1 << 16),
        truth: truth.into_iter().map(|kind| (kind, None)).collect(),
    }
}

/// The capture keeps only the headers.
pub(super) fn cut_short(seed: u64) -> Labelled {
    Labelled {
        name: "cut short",
        seed,
        file: pcap(&run(seed), 20 + 8 + 44),
        truth: vec![("cap.truncated", None)],
    }
}

/// The file ends inside a packet.
pub(super) fn damaged(seed: u64) -> Labelled {
    let mut file = pcap(&run(seed), 1 << 16);
    file.truncate(file.len() - 9);
    Labelled { name: "damaged", seed, file, truth: vec![("file.damaged", None), ("req.unanswered", None)] }
}

/// One packet travels in pieces.
pub(super) fn fragmented(seed: u64) -> Labelled {
    let caught = run(seed);
    let at = nth(&caught, seed, |c| c.from == 1 && syndrome(c).is_some());
    let packets = caught.iter().enumerate().map(|(index, packet)| {
        let mut ip = packet.ip();
        if index == at {
            ip[6] |= 0x20;
        }
        (packet.at, ip)
    });
    Labelled {
        name: "fragmented",
        seed,
        file: file(RAW, packets, 1 << 16),
        truth: vec![("wire.fragmented", None)],
    }
}

/// The requester begins somewhere else than the NAK asked.
pub(super) fn bad_restart(seed: u64) -> Labelled {
    let mut world = World::new(seed, Terms::default());
    let lost = Match::from(world.ends[0].host).psn(Psn::new(0x1001)).nth(1);
    world.fabric.add_rule(Rule::new(lost, Fate::Drop));
    world.post(SEND(world.remote()), 5_000);
    world.finish();
    let mut caught = world.tap(0);
    let nak = nth(&caught, 0, |c| c.from == 1);
    caught[nak].change(|headers, _| headers.bth.psn = Psn::new(0x1000));
    let truth = vec![("nak.seq", Some(nak as u64 + 1)), ("gbn.bad-restart", None), ("rtx.nak", None)];
    Labelled { name: "bad restart", seed, file: pcap(&caught, 1 << 16), truth }
}

fn run(seed: u64) -> Vec<Caught> {
    let mut world = World::new(seed, Terms::default());
    (0..3).for_each(|_| world.post(WRITE(world.remote()), 5_000));
    world.traffic(20, 3_000, &[SEND, WRITE, READ, ADD]);
    (0..2).for_each(|_| world.post(ADD(world.remote()), 8));
    (0..6).for_each(|_| world.post(READ(world.remote()), 2_500));
    world.finish();
    for _ in 0..12 {
        world.post(SEND(world.remote()), 64);
        world.finish();
    }
    world.tap(0)
}

fn nth(caught: &[Caught], seed: u64, is: impl Fn(&Caught) -> bool) -> usize {
    let fitting: Vec<usize> = (0..caught.len()).filter(|at| is(&caught[*at])).collect();
    fitting[seed as usize % fitting.len()]
}

fn last(caught: &[Caught], is: impl Fn(&Caught) -> bool) -> usize {
    caught.iter().rposition(is).unwrap()
}
