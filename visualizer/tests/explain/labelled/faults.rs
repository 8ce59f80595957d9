//! Faults of the network, and of what programs ask for: the devices themselves tell what happened.

use std::time::Duration;

use ferroce_engine::*;
use ferroce_fabric::*;
use ferroce_wire::{Aeth, NakCode, Opcode, Syndrome};

use super::world::*;
use super::{Labelled, Truth};

/// Messages in which every operation may occur.
const ALL: [fn(Remote) -> SendOp; 4] = [SEND, WRITE, READ, ADD];

/// Nothing goes wrong: READs, PSNs that wrap, acknowledgements for many requests at once.
pub(super) fn clean(seed: u64) -> Labelled {
    let psn = if seed.is_multiple_of(2) { 0xFF_FFF0 } else { 7 };
    let mut world = World::new(seed, Terms { psn, ..Terms::default() });
    world.traffic(24, 9_000, &ALL);
    label("clean", seed, &world, (seed % 2) as usize, Vec::new())
}

/// Packets are lost in both directions; the capture is at the requester, which knows why it sends again.
pub(super) fn lossy(seed: u64) -> Labelled {
    let mut world = World::new(seed, Terms::default());
    world.fabric.set_links(Link { loss: Chance::percent(4), ..Link::default() });
    world.traffic(16, 6_000, &[SEND, WRITE]);
    let truth = resent(&world, 0);
    label("lossy", seed, &world, 0, truth)
}

/// Requests are lost, damaged, doubled or late; the capture is at the responder, which sees the gaps.
pub(super) fn gaps(seed: u64) -> Labelled {
    let mut world = World::new(seed, Terms::default());
    let [a, b] = world.ends.map(|end| end.host);
    let chance = Chance::percent(5);
    let link = match seed % 3 {
        0 => Link { loss: chance, ..Link::default() },
        1 => Link { corrupt: chance, ..Link::default() },
        _ => Link { loss: Chance::percent(2), duplicate: chance, ..Link::default() },
    };
    world.fabric.set_link(a, b, link);
    world.traffic(16, 6_000, &ALL);
    let mut truth = resent(&world, 1);
    truth.extend(missed(&world));
    let caught = world.tap(1);
    for (at, packet) in caught.iter().enumerate() {
        let damaged = world.fabric.log().packets().any(|(_, _, sent)| {
            packet.from == 0 && sent.ident == packet.ident && sent.bytes[..] != packet.bytes[..]
        });
        let copy = caught[..at].iter().any(|other| (other.from, other.index) == (packet.from, packet.index));
        if damaged {
            truth.push(("wire.icrc-bad", Some(at as u64 + 1)));
        } else if copy {
            truth.push(("cap.duplicate", Some(at as u64 + 1)));
        }
    }
    label("gaps", seed, &world, 1, truth)
}

/// Acknowledgements are lost; the capture at the responder knows that they were sent.
pub(super) fn deaf(seed: u64) -> Labelled {
    let mut world = World::new(seed, Terms::default());
    let [a, b] = world.ends.map(|end| end.host);
    world.fabric.set_link(b, a, Link { loss: Chance::percent(40), ..Link::default() });
    world.traffic(8, 3_000, &[SEND, WRITE]);
    let mut truth = resent(&world, 1);
    truth.iter_mut().filter(|(kind, _)| *kind == "rtx.timeout").for_each(|(kind, _)| *kind = "rtx.spurious");
    label("deaf", seed, &world, 1, truth)
}

/// The end of a message is lost, or its acknowledgement: only the timeout helps.
pub(super) fn tail(seed: u64) -> Labelled {
    let mut world = World::new(seed, Terms::default());
    world.traffic(2, 3_000, &[WRITE]);
    let [left, right] = world.ends.map(|end| end.host);
    let answer = Match::from(right).opcode(Opcode::RC_ACKNOWLEDGE).nth(1);
    let last = Match::from(left).opcode(Opcode::RC_SEND_LAST).nth(1);
    world.fabric.add_rule(Rule::new(if seed.is_multiple_of(3) { answer } else { last }, Fate::Drop));
    world.post(SEND(world.remote()), 3_000 + 500 * (seed % 5) as u32);
    world.finish();
    world.traffic(2, 3_000, &[WRITE]);
    let truth = resent(&world, 0);
    assert!(truth.iter().any(|(kind, _)| *kind == "rtx.tail-loss"), "{truth:?}");
    label("tail", seed, &world, 0, truth)
}

/// A response to a READ is lost.
pub(super) fn short_reads(seed: u64) -> Labelled {
    let mut world = World::new(seed, Terms::default());
    let lost = Match::from(world.ends[1].host).opcode(Opcode::RC_READ_RESP_MIDDLE).nth(1 + seed % 3);
    world.fabric.add_rule(Rule::new(lost, Fate::Drop));
    (0..2).for_each(|_| world.post(SendOp::Read(world.remote()), 6_000));
    world.finish();
    let again = position(&world, 0, |packet| packet.from == 0 && packet.index == 2);
    label("short reads", seed, &world, 0, vec![("read.gap", None), ("rtx.read", Some(again))])
}

/// The responder posts its receive late, or not at all.
pub(super) fn not_ready(seed: u64) -> Labelled {
    let never = seed.is_multiple_of(3);
    let mut world = World::new(seed, Terms { rnr_retry: 6, ..Terms::default() });
    let sges = [];
    let wr = SendWr::new(1, SendOp::Send, Payload::Sges(&sges));
    world.fabric.post_send(world.ends[0], &[wr]).unwrap();
    world.fabric.run_for(Duration::from_micros(700 * (1 + seed % 2)));
    if !never {
        world.receive();
    }
    world.finish();
    let caught = world.tap(0);
    let mut truth = resent(&world, 0);
    let refused = |packet: &&Caught| matches!(syndrome(packet), Some(Syndrome::RnrNak { .. }));
    let naks = caught.iter().filter(refused).count();
    truth.extend(
        (1..=caught.len() as u64)
            .filter(|n| refused(&&caught[*n as usize - 1]))
            .map(|n| ("rnr.nak", Some(n))),
    );
    if naks >= 7 {
        truth.push(("rnr.storm", None));
    }
    if never {
        truth.push(("req.unanswered", Some(1)));
    }
    label("not ready", seed, &world, 0, truth)
}

/// The responder refuses.
pub(super) fn refused(seed: u64) -> Labelled {
    let mut world = World::new(seed, Terms::default());
    world.traffic(3, 2_000, &[WRITE]);
    let good = world.remote();
    let (op, len, kind) = match seed % 4 {
        0 => (SendOp::Write(Remote { rkey: good.rkey ^ 0x100, ..good }), 64, "mem.access"),
        1 => (SendOp::Read(Remote { addr: good.addr + (1 << 20), ..good }), 64, "mem.access"),
        2 => (SendOp::FetchAdd { remote: Remote { addr: good.addr + 3, ..good }, add: 1 }, 8, "op.invalid"),
        _ => (SendOp::WriteImm(Remote { rkey: 1, ..good }, ImmDt([0; 4])), 64, "mem.access"),
    };
    world.post(op, len);
    world.finish();
    let no = |packet: &Caught| matches!(syndrome(packet), Some(Syndrome::Nak(code)) if code != NakCode::PsnSequence);
    let at = position(&world, 0, no);
    label("refused", seed, &world, 0, vec![(kind, Some(at))])
}

/// The network fails for good.
pub(super) fn cut(seed: u64) -> Labelled {
    let mut world = World::new(seed, Terms::default());
    world.traffic(2 + seed % 3, 2_000, &[WRITE]);
    world.fabric.set_links(Link { loss: Chance::ALWAYS, ..Link::default() });
    world.post(SEND(world.remote()), 100);
    world.finish();
    let mut truth = resent(&world, 0);
    let first = truth[0].1.unwrap() - 1;
    truth.extend([("rtx.storm", None), ("req.unanswered", Some(first))]);
    label("cut", seed, &world, 0, truth)
}

/// The responder was told another first PSN, further on than the requester's or behind it.
pub(super) fn disagree(seed: u64) -> Labelled {
    let expected = Some(0x1000 - 1 - seed as u32);
    let mut world = World::new(seed, Terms { expected, ..Terms::default() });
    world.post(SEND(world.remote()), 100);
    world.fabric.run_for(Duration::from_micros(20));
    let nak = position(&world, 0, |packet| packet.from == 1);
    label(
        "disagree",
        seed,
        &world,
        0,
        vec![("nak.seq", Some(nak)), ("psn.disagree", Some(nak)), ("req.unanswered", None)],
    )
}

fn label(name: &'static str, seed: u64, world: &World, end: usize, truth: Vec<Truth>) -> Labelled {
    Labelled { name, seed, file: pcap(&world.tap(end), 1 << 16), truth }
}

pub(super) fn syndrome(packet: &Caught) -> Option<Syndrome> {
    ferroce_wire::Packet::parse(&packet.bytes).ok()?.headers.aeth.map(|aeth: Aeth| aeth.syndrome)
}

fn position(world: &World, end: usize, is: impl Fn(&Caught) -> bool) -> u64 {
    world.tap(end).iter().position(is).unwrap() as u64 + 1
}

/// The packets that the left end sends again, each run by its first packet that the capture has, and why; and the
/// sequence NAKs.
pub(super) fn resent(world: &World, end: usize) -> Vec<Truth> {
    let caught = world.tap(end);
    let number = |index| caught.iter().position(|c| c.from == 0 && c.index == index).map(|at| at as u64 + 1);
    let mut truth: Vec<Truth> = Vec::new();
    let (mut sent, mut why) = (0, None);
    // Requests to which answers are due, the last that was sent, and what is said of the one that waits alone.
    let (mut due, mut last, mut alone, mut tail) = (Vec::new(), None, false, None);
    for (_, event) in world.fabric.log().device(world.ends[0].host) {
        match event {
            TraceEvent::GoBack { cause, .. } => {
                (tail, alone) = (None, due.len() == 1 && due.last().copied() == last);
                why = Some(match cause {
                    LossCause::SequenceNak => "rtx.nak",
                    LossCause::ImpliedNak => "rtx.read",
                    LossCause::ReceiverNotReady => "rtx.rnr",
                    LossCause::Timeout => "rtx.timeout",
                });
            }
            TraceEvent::Acknowledged { unacked, .. } => {
                due.retain(|psn: &Psn| !psn.is_before(*unacked));
                if let Some(tail) = tail.take_if(|_| due.is_empty()) {
                    let truth: &mut Truth = &mut truth[tail];
                    truth.0 = "rtx.tail-loss";
                }
            }
            TraceEvent::Sent { again, psn, ack_request, .. } => {
                if !*again {
                    last = Some(*psn);
                    due.extend(ack_request.then_some(*psn));
                }
                if *again
                    && let Some(kind) = why
                    && let Some(number) = number(sent)
                {
                    tail = (alone && kind == "rtx.timeout" && end == 0).then_some(truth.len());
                    truth.push((kind, Some(number)));
                    why = None;
                }
                sent += 1;
            }
            _ => {}
        }
    }
    let is_nak = |caught: &Caught| syndrome(caught) == Some(Syndrome::Nak(NakCode::PsnSequence));
    let naks = caught.iter().enumerate().filter(|(_, caught)| is_nak(caught));
    truth.extend(naks.map(|(at, _)| ("nak.seq", Some(at as u64 + 1))));
    truth
}

/// The gaps that the responder noticed, each once.
fn missed(world: &World) -> Vec<Truth> {
    let mut seen = Vec::new();
    for (_, event) in world.fabric.log().device(world.ends[1].host) {
        if let TraceEvent::Gap { expected, .. } = event
            && !seen.contains(expected)
        {
            seen.push(*expected);
        }
    }
    seen.into_iter().map(|_| ("psn.gap", None)).collect()
}
