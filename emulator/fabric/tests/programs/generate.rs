//! From a seed to a program.

use std::time::Duration;

use ferroce_engine::{AckRequests, PathMtu};
use ferroce_fabric::{Chance, Dice, Fate, HostId, Link, Match, Port, Rule};
use ferroce_wire::Opcode;

use crate::program::*;

/// The program of a seed in which everything succeeds in the end.
pub(crate) fn program(seed: u64) -> Program {
    let mut dice = Dice::new(seed);
    let hosts = 2 + dice.below(3) as usize;
    let conns = 1 + dice.below(5) as usize;
    let most = pick(&mut dice, &[10, 40, 40, 40, 40, 40, 120]);
    let count = 1 + dice.below(most);
    let faulty = !one_in(&mut dice, 5);
    let conns: Vec<_> = (0..conns).map(|_| conn(&mut dice, hosts)).collect();
    let mtus: Vec<_> = conns.iter().map(|conn| conn.mtu).collect();
    Program {
        seed,
        ipv6: one_in(&mut dice, 3),
        hosts: (0..hosts).map(|_| host(&mut dice)).collect(),
        wiring: one_in(&mut dice, 3).then(|| wiring(&mut dice, faulty)),
        link: link(&mut dice, faulty),
        rules: if faulty { (0..dice.below(5)).map(|_| rule(&mut dice, hosts)).collect() } else { Vec::new() },
        steps: (0..count).map(|_| step(&mut dice, &mtus)).collect(),
        conns,
        trouble: None,
    }
}

/// The program of a seed in which one connection fails.
pub(crate) fn troubled_program(seed: u64) -> Program {
    let mut program = program(seed);
    let mut dice = Dice::new(!seed);
    for step in &mut program.steps {
        // What others do to a shared word has no defined order with what fails.
        if let Act::Send(message) = &mut step.act {
            message.kind = match message.kind {
                Kind::SharedAdd => Kind::FetchAdd,
                Kind::SharedSwap => Kind::CompareSwap,
                kind => kind,
            };
        }
    }
    let end = pick(&mut dice, &program.steps).end;
    let kind = pick(&mut dice, &TroubleKind::ALL);
    let most = if kind.is_about_message() { 6 } else { program.steps.len() as u64 };
    program.trouble = Some(Trouble { end, at: dice.below(most) as usize, kind });
    program
}

fn pick<A: Clone>(dice: &mut Dice, from: &[A]) -> A {
    from[dice.below(from.len() as u64) as usize].clone()
}

fn one_in(dice: &mut Dice, n: u64) -> bool {
    dice.below(n) == 0
}

fn host(dice: &mut Dice) -> HostPlan {
    let sparse = AckRequests::Sparse { packets: 1 + dice.below(40) as u32 };
    HostPlan {
        personality: pick(
            dice,
            &["default", "default", "rxe", "go-back-0", "selective-repeat", "selective-repeat"],
        ),
        read_chunk: pick(dice, &[1, 2, 3, 16, 1 << 22, 1 << 22]),
        window: pick(dice, &[1, 2, 5, 16, 128, 512, 512]),
        ack_coalescing: pick(dice, &[1, 4, u32::MAX]),
        ack_requests: pick(dice, &[AckRequests::EveryMessage, sparse, AckRequests::Sparse { packets: 16 }]),
        port: Port {
            rate: pick(dice, &[None, Some(10_000_000_000), Some(100_000_000_000)]),
            moderation: pick(dice, &[Duration::ZERO, Duration::ZERO, Duration::from_micros(5)]),
            train: pick(dice, &[1, 2, 16, 64]),
        },
        polling: pick(dice, &[Polling::Busy, Polling::Events, Polling::Solicited, Polling::Late]),
        shared_cq: one_in(dice, 2),
    }
}

fn wiring(dice: &mut Dice, faulty: bool) -> Wiring {
    let leaves = 1 + dice.below(3) as usize;
    Wiring {
        leaves,
        tops: if leaves == 1 { 0 } else { 1 + dice.below(2) as usize },
        rate: pick(dice, &[10_000_000_000, 25_000_000_000, 100_000_000_000]),
        lossless: one_in(dice, 2),
        pause_at: pick(dice, &[3_000, 10_000, 50_000]),
        outage: (faulty && one_in(dice, 2)).then(|| Outage {
            what: dice.below(16) as usize,
            from: 1 + dice.below(11) as u32,
            lasts: 1 + dice.below(4) as u32,
        }),
    }
}

fn link(dice: &mut Dice, faulty: bool) -> Link {
    let perfect = Link {
        jitter: pick(dice, &[Duration::ZERO, Duration::from_nanos(300), Duration::from_micros(3)]),
        ..Link::perfect(pick(dice, &[0, 500, 2_000, 20_000]).pipe(Duration::from_nanos))
    };
    if !faulty {
        return perfect;
    }
    let mut chance = |most: u64| match dice.below(3) {
        0 => Chance::NEVER,
        1 => Chance::millionths(dice.below(10_000) as u32),
        _ => Chance::millionths(dice.below(most) as u32),
    };
    let (loss, duplicate) = (chance(300_000), chance(200_000));
    let (reorder, corrupt) = (chance(300_000), chance(100_000));
    let reorder_by = Duration::from_micros(pick(dice, &[1, 10, 50]));
    Link { loss, duplicate, reorder, reorder_by, corrupt, ..perfect }
}

trait Pipe: Sized {
    fn pipe<B>(self, f: impl FnOnce(Self) -> B) -> B {
        f(self)
    }
}
impl Pipe for u64 {}

/// A fault that strikes packets of one kind at one moment.
fn rule(dice: &mut Dice, hosts: usize) -> Rule {
    let mut when = Match::from(HostId(dice.below(hosts as u64) as usize));
    if !one_in(dice, 3) {
        let rc: Vec<_> = Opcode::ALL.iter().filter(|op| op.name().starts_with("RC_")).copied().collect();
        when = when.opcode(pick(dice, &rc));
    }
    let when = if one_in(dice, 2) { when.nth(1 + dice.below(6)) } else { when.first(1 + dice.below(3)) };
    let by = Duration::from_micros(1 + dice.below(60));
    Rule::new(
        when,
        pick(dice, &[Fate::Drop, Fate::Drop, Fate::Duplicate(by), Fate::Delay(by), Fate::Corrupt]),
    )
}

fn conn(dice: &mut Dice, hosts: usize) -> ConnPlan {
    let a = dice.below(hosts as u64) as usize;
    // Sometimes a host talks to itself.
    let b = if one_in(dice, 10) { a } else { (a + 1 + dice.below(hosts as u64 - 1) as usize) % hosts };
    let mtu = pick(dice, &PathMtu::ALL);
    ConnPlan { ends: [end(dice, a), end(dice, b)], mtu }
}

fn end(dice: &mut Dice, host: usize) -> EndPlan {
    EndPlan {
        host,
        first_psn: match dice.below(3) {
            0 => 0xff_ffff - dice.below(20) as u32,
            1 => 0x7f_ffff - dice.below(20) as u32,
            _ => dice.below(1 << 24) as u32,
        },
        send_depth: pick(dice, &[1, 2, 5, 16, 64]),
        recv_depth: pick(dice, &[1, 2, 5, 16, 64]),
        max_rd_atomic: pick(dice, &[1, 1, 2, 3, 4, 7, 16]),
        spare_rd_atomic: pick(dice, &[0, 0, 0, 1, 8]),
        rnr_timer: pick(dice, &[1, 2, 5, 12, 0]),
        signal_all: one_in(dice, 4),
        spare_recvs: dice.below(3) as u8,
        shared_receives: one_in(dice, 3),
    }
}

/// The connection is chosen by position, so that steps of all connections mix.
fn step(dice: &mut Dice, mtus: &[PathMtu]) -> Step {
    let conn = dice.below(mtus.len() as u64) as usize;
    let gap = match dice.below(8) {
        0..=4 => 0,
        5 => dice.below(2_000),
        6 => dice.below(20_000),
        _ => dice.below(300_000),
    };
    let act = match dice.below(48) {
        0..=9 => Act::Recv(1 + dice.below(6) as u8),
        10..=11 => Act::Drain,
        12 => Act::Misuse,
        13 => Act::Resize(dice.below(40) as u8),
        14 => Act::Reregister,
        _ => Act::Send(message(dice, mtus[conn])),
    };
    Step { gap: Duration::from_nanos(gap), end: EndRef { conn, side: dice.below(2) as usize }, act }
}

fn message(dice: &mut Dice, mtu: PathMtu) -> Message {
    use Kind::*;
    let usual = [Send, SendImm, Write, Write, WriteImm, Read, Read, CompareSwap, FetchAdd];
    let rare = [Send, SendInv, SharedAdd, SharedSwap, AtomicWrite, Flush, BindMw, RegMr, LocalInv];
    let kind = if one_in(dice, 3) { pick(dice, &rare) } else { pick(dice, &usual) };
    let mtu = mtu.bytes() as u64;
    let len = match dice.below(8) {
        0 => 0,
        1..=3 => 1 + dice.below(64),
        4 => mtu * (1 + dice.below(4)) + dice.below(3) - 1,
        5 | 6 => dice.below(mtu * 2),
        _ => dice.below(20_000),
    };
    let len = match kind {
        _ if kind.is_atomic() || kind == AtomicWrite => 8,
        _ if kind.is_local() || kind == Flush => 0,
        _ => len as u32,
    };
    Message {
        kind,
        len,
        pieces: [1 + dice.below(4) as u8, 1 + dice.below(4) as u8],
        place: dice.any() as u32,
        value: dice.any() as u32,
        signaled: !one_in(dice, 3),
        fence: one_in(dice, 8),
        solicited: one_in(dice, 3),
        inline: len <= MAX_INLINE && (kind.is_send() || matches!(kind, Write | WriteImm)) && one_in(dice, 4),
    }
}

/// Bytes that every queue pair takes inline.
pub(crate) const MAX_INLINE: u32 = 64;
