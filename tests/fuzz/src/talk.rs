//! Two NICs, and bytes that say what their programs and the network between them do.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ferroce_engine::*;
use ferroce_wire::{ICRC_LEN, PseudoHeader, UDP_PORT};

use crate::input::Input;

/// Where the registered memory of each end begins, in its buffer and as its peer names it.
const GUARD: usize = 64;
const IOVA: u64 = 0x1_0000;
const SIZE: usize = 1 << 14;

/// Packets that can be on their way at once; those that come when there are so many are lost.
const ROOM: usize = 128;
const MOST_STEPS: usize = 400;

/// A packet on its way, with what its receiver is told of it.
#[derive(Clone)]
struct InFlight {
    meta: RxMeta,
    bytes: Vec<u8>,
}

struct End {
    device: Device<NoTrace>,
    pd: Pd,
    cq: Cq,
    qp: Qpn,
    ah: Option<Ah>,
    buffer: Buffer,
    mr: Mr,
    window: u32,
    /// Requests posted, and completed, to the last.
    posted: [u64; 2],
    done: [u64; 2],
    failed: bool,
}

/// Receives are told from sends by this bit of their names.
const RECV: u64 = 1 << 32;
const QKEY: u32 = 7;

impl End {
    fn new(number: u8, qp_type: QpType, personality: Personality) -> End {
        let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, number));
        let personality = Personality { placement: true, ..personality };
        let config = DeviceConfig { personality, ..DeviceConfig::new("fuzz", [address]) };
        let mut device = Device::new(config, u64::from(number), NoTrace);
        let pd = device.alloc_pd().expect("the first");
        let cq = device.create_cq(32).expect("the first");
        let buffer = Buffer::new(SIZE + 2 * GUARD);
        buffer.write(0, &[GUARD as u8; SIZE + 2 * GUARD]);
        let region = Region::part(&buffer, GUARD..GUARD + SIZE).expect("a part of it");
        let init = MrInit { iova: IOVA, ..MrInit::new(region, rights()) };
        let mr = device.reg_mr(pd, init).expect("the first");
        let window = device.alloc_mw(pd, MwType::Type2).expect("the first");
        let cap = QpCap { max_send_wr: 12, max_recv_wr: 8, ..QpCap::default() };
        let init = QpInit { cap, signal_all: true, ..QpInit::new(qp_type, pd, cq) };
        let qp = device.create_qp(&init).expect("the first");
        let (posted, done) = ([0; 2], [0; 2]);
        End { device, pd, cq, qp, ah: None, buffer, mr, window, posted, done, failed: false }
    }

    fn address(&self) -> IpAddr {
        self.device.config().gids[0]
    }

    fn connect(&mut self, qp_type: QpType, peer: (IpAddr, Qpn)) {
        let av = AddressVector::new(0, peer.0);
        let (psn, mtu) = (Psn::new(0xff_fff8), PathMtu::Mtu256);
        let changes = match qp_type {
            QpType::Uc => {
                [QpAttr::init(rights()), QpAttr::rtr_uc(av, peer.1, psn, mtu), QpAttr::rts_unreliable(psn)]
            }
            QpType::Ud => {
                self.ah = self.device.create_ah(self.pd, av).ok();
                [QpAttr::init_ud(QKEY), QpAttr::to(QpState::Rtr), QpAttr::rts_unreliable(psn)]
            }
            _ => {
                let tries = QpAttr { retry_cnt: Some(3), rnr_retry: Some(3), ..QpAttr::rts(psn) };
                let rts = QpAttr { timeout: Some(10), max_rd_atomic: Some(4), ..tries };
                [QpAttr::init(rights()), QpAttr::rtr(av, peer.1, psn, mtu), rts]
            }
        };
        for change in changes {
            self.device.modify_qp(Time::ZERO, self.qp, &change).expect("the way to RTS");
        }
    }

    /// Looks at all completions: each request completes once, in its turn, and nothing succeeds after a failure.
    fn poll(&mut self, qp_type: QpType) {
        let mut wcs = [Wc::default(); 32];
        let count = self.device.poll_cq(self.cq, &mut wcs).expect("it is there");
        for wc in &wcs[..count] {
            let kind = usize::from(wc.wr_id >= RECV);
            let number = wc.wr_id & (RECV - 1);
            assert!(number > self.done[kind], "again, or out of turn: {wc:?}");
            assert!(number <= self.posted[kind], "never posted: {wc:?}");
            self.done[kind] = number;
            let failed = wc.status != WcStatus::Success;
            let spoils = qp_type == QpType::Rc && kind == 0;
            assert!(failed || !self.failed || !spoils, "success after a failure: {wc:?}");
            self.failed |= failed && spoils;
        }
    }

    fn guards_hold(&self) -> bool {
        let guards = [self.buffer.to_vec(0, GUARD), self.buffer.to_vec(GUARD + SIZE, GUARD)];
        guards.concat().iter().all(|byte| *byte == GUARD as u8)
    }
}

fn rights() -> Access {
    let remote = Access::REMOTE_WRITE | Access::REMOTE_READ | Access::REMOTE_ATOMIC | Access::MW_BIND;
    remote | Access::LOCAL_WRITE | Access::FLUSH_GLOBAL
}

struct Talk<'a> {
    input: Input<'a>,
    qp_type: QpType,
    now: Time,
    ends: [End; 2],
    /// To each end.
    wires: [VecDeque<InFlight>; 2],
}

/// Two queue pairs talk while the network loses, repeats, reorders and forges. Whatever happens: each request completes
/// once and in its turn, no byte beside the registered memory changes, and when the network falls silent everything
/// comes to an end.
pub fn conversation(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let qp_type = input.pick(&[QpType::Rc, QpType::Rc, QpType::Rc, QpType::Uc, QpType::Ud]);
    let personalities = Personality::all();
    let ends = [1, 2].map(|number| {
        let personality = personalities[input.below(personalities.len())].clone();
        End::new(number, qp_type, personality)
    });
    let mut talk = Talk { input, qp_type, now: Time::ZERO, ends, wires: Default::default() };
    let places = [0, 1].map(|side| (talk.ends[side].address(), talk.ends[side].qp));
    talk.ends[0].connect(qp_type, places[1]);
    talk.ends[1].connect(qp_type, places[0]);
    for _ in 0..MOST_STEPS {
        if talk.input.is_empty() {
            break;
        }
        talk.step();
    }
    talk.finish();
}

impl Talk<'_> {
    fn step(&mut self) {
        let choice = self.input.byte();
        let side = usize::from(choice >> 7);
        match choice & 0x0f {
            0..=3 => self.send(side),
            4 => self.receive(side),
            5..=8 => self.carry(side),
            9 => self.forge(side),
            10 => self.pass_time(),
            11 => self.change_state(side),
            12 => self.ends[side].poll(self.qp_type),
            _ => self.carry_all(),
        }
        self.transmit();
    }

    fn send(&mut self, side: usize) {
        let op = self.operation(side);
        let len = self.input.below(2000);
        let flags = if self.input.byte() & 1 == 1 { SendFlags::FENCE } else { SendFlags::empty() };
        let at = self.input.u16();
        let end = &mut self.ends[side];
        let lkey = if at % 61 == 60 { 0xbad } else { end.mr.lkey };
        let (len, no_data) = match op {
            op if op.is_local() => (0, true),
            SendOp::CompareSwap { .. } | SendOp::FetchAdd { .. } | SendOp::AtomicWrite(_) => (8, false),
            SendOp::Flush { .. } => (0, true),
            _ => (len as u32, false),
        };
        let sge = [Sge { addr: IOVA + u64::from(at), len, lkey }];
        let payload = Payload::Sges(if no_data { &[] } else { &sge });
        let wr = SendWr { flags, ..SendWr::new(end.posted[0] + 1, op, payload) };
        let to = end.ah.map(|ah| To::Datagram { ah, qpn: end.qp, qkey: QKEY });
        let wr = match to {
            Some(to) => SendWr { to, ..wr },
            None => wr,
        };
        if end.device.post_send(self.now, end.qp, &[wr]).is_ok() {
            end.posted[0] += 1;
        }
    }

    fn operation(&mut self, side: usize) -> SendOp {
        let kind = self.input.byte();
        let addr = IOVA + u64::from(self.input.u16());
        let peer = &self.ends[1 - side];
        let rkey = if kind & 0xe0 == 0xe0 { peer.window ^ u32::from(kind) } else { peer.mr.rkey };
        let (remote, word) = (Remote { addr, rkey }, Remote { addr: addr & !7, rkey });
        let mine = &self.ends[side];
        match kind & 0x0f {
            0 | 1 => SendOp::Send,
            2 => SendOp::SendImm(ImmDt(*b"word")),
            3 => SendOp::SendInv(rkey),
            4..=6 => SendOp::Write(remote),
            7 => SendOp::WriteImm(remote, ImmDt(*b"word")),
            8 | 9 => SendOp::Read(remote),
            10 => SendOp::CompareSwap { remote: word, compare: 0, swap: addr },
            11 => SendOp::FetchAdd { remote: if kind & 0x10 == 0 { word } else { remote }, add: 1 },
            12 => SendOp::AtomicWrite(word),
            13 => SendOp::Flush { remote, len: 64, placement: Access::FLUSH_GLOBAL, whole_region: false },
            14 => {
                let (len, access) = (SIZE as u64, Access::REMOTE_WRITE | Access::REMOTE_READ);
                let rkey = mine.window & !0xff | u32::from(kind);
                SendOp::BindMw(Bind { rkey, region: mine.mr.lkey, addr: IOVA, len, access })
            }
            _ => SendOp::LocalInv(mine.window & !0xff | u32::from(kind)),
        }
    }

    fn receive(&mut self, side: usize) {
        let (at, len) = (self.input.u16(), self.input.below(3000) as u32);
        let end = &mut self.ends[side];
        let sge = [Sge { addr: IOVA + u64::from(at) % SIZE as u64, len, lkey: end.mr.lkey }];
        let wr = RecvWr { wr_id: RECV + end.posted[1] + 1, sges: &sge };
        if end.device.post_recv(self.now, end.qp, &[wr]).is_ok() {
            end.posted[1] += 1;
        }
    }

    /// Something happens to the packet that has been longest on its way to an end.
    fn carry(&mut self, side: usize) {
        let fate = self.input.byte();
        let Some(packet) = self.wires[side].pop_front() else { return };
        match fate % 8 {
            0 => {}
            1 => self.wires[side].push_back(packet),
            2 => {
                self.arrive(side, &packet);
                self.wires[side].push_back(packet);
            }
            _ => self.arrive(side, &packet),
        }
    }

    fn carry_all(&mut self) {
        for side in [0, 1] {
            while let Some(packet) = self.wires[side].pop_front() {
                self.arrive(side, &packet);
            }
        }
    }

    fn arrive(&mut self, side: usize, packet: &InFlight) {
        self.ends[side].device.handle_packet(self.now, &packet.meta, &packet.bytes);
    }

    /// A packet on its way is changed, and sealed so that nobody can tell.
    fn forge(&mut self, side: usize) {
        let place = self.input.below(self.wires[side].len());
        let (at, bytes) = (self.input.below(64), self.input.bytes(8));
        let Some(packet) = self.wires[side].get_mut(place) else { return };
        for (old, new) in packet.bytes.iter_mut().skip(at).zip(bytes) {
            *old = *new;
        }
        let (IpAddr::V4(src), IpAddr::V4(dst)) = (packet.meta.src, packet.meta.dst) else { return };
        let Ident::Known { ident, flags_fragment } = packet.meta.ident else { return };
        let src_port = packet.meta.src_port;
        let header = PseudoHeader::V4 { src, dst, ident, flags_fragment, src_port, dst_port: UDP_PORT };
        let end = packet.bytes.len() - ICRC_LEN;
        let (covered, icrc) = packet.bytes.split_at_mut(end);
        icrc.copy_from_slice(&header.compute(covered).to_le_bytes());
    }

    fn pass_time(&mut self) {
        let next = self.ends.iter().filter_map(|end| end.device.next_timeout()).min();
        self.now = match next {
            Some(next) => self.now.max(next),
            None => self.now + Duration::from_micros(u64::from(self.input.byte())),
        };
        self.ends.iter_mut().for_each(|end| end.device.handle_timeout(self.now));
    }

    fn change_state(&mut self, side: usize) {
        let to = self.input.pick(&[QpState::Sqd, QpState::Rts, QpState::Rts, QpState::Err]);
        let end = &mut self.ends[side];
        // Refused where it is not legal.
        end.device.modify_qp(self.now, end.qp, &QpAttr::to(to)).ok();
    }

    /// Takes everything that the ends have to send.
    fn transmit(&mut self) {
        let mut train = Train::new();
        let limits = TxLimits { max_packets: 16, max_bytes: 1 << 16, ident_step: 1, ..TxLimits::SINGLE };
        for side in [0, 1] {
            let mut trains = 0;
            while self.ends[side].device.poll_transmit(self.now, &limits, &mut train) {
                trains += 1;
                assert!(trains < 10_000, "it sends without end");
                let Flow { src, dst, src_port, traffic_class, .. } = *train.flow();
                for (index, bytes) in train.packets().enumerate() {
                    let ident = Ident::Known { ident: index as u16, flags_fragment: DONT_FRAGMENT };
                    let meta = RxMeta { src, dst, src_port, traffic_class, ident };
                    if self.wires[1 - side].len() < ROOM {
                        self.wires[1 - side].push_back(InFlight { meta, bytes: bytes.to_vec() });
                    }
                }
            }
            while self.ends[side].device.poll_event().is_some() {}
        }
    }

    /// The network falls silent. What has to be waited for is eight ACK timeouts, most of them four times their value,
    /// in steps of 55 µs where a queue pair has a timer of rate control.
    fn finish(&mut self) {
        for _ in 0..10_000 {
            self.wires.iter_mut().for_each(VecDeque::clear);
            self.ends.iter_mut().for_each(|end| end.poll(self.qp_type));
            if self.ends.iter().all(|end| end.device.next_timeout().is_none()) {
                break;
            }
            self.pass_time();
            self.transmit();
        }
        for end in &self.ends {
            assert_eq!(end.device.next_timeout(), None, "it waits without end");
            assert!(end.guards_hold(), "memory was written that is not registered");
            let state = end.device.query_qp(end.qp).expect("it is there").state;
            let over = end.done[0] == end.posted[0] || end.device.counters().cq_overflow > 0;
            assert!(
                state == QpState::Sqd || over,
                "{:?} of {:?} completed, in {state:?}",
                end.done,
                end.posted
            );
        }
    }
}
