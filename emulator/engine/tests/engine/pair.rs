//! Two devices joined back to back, with a clock of their own and a say in every packet.

use std::net::{IpAddr, Ipv4Addr};

use ferroce_engine::*;

/// What is done with a packet on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Deliver,
    Drop,
    Twice,
    /// It arrives, marked "congestion experienced".
    Mark,
}

/// Every right that a peer can have.
pub(crate) const ALL: Access =
    Access::LOCAL_WRITE.union(Access::REMOTE_WRITE).union(Access::REMOTE_READ).union(Access::REMOTE_ATOMIC);

/// The Q_Key of queue pairs for datagrams.
pub(crate) const QKEY: u32 = 0x1122_3344;

pub(crate) type Trace = Vec<(Time, TraceEvent)>;

/// One end: a device with one connected queue pair and 64 KiB of registered memory.
pub(crate) struct End {
    pub(crate) device: Device<Trace>,
    pub(crate) addr: IpAddr,
    pub(crate) pd: Pd,
    pub(crate) cq: Cq,
    pub(crate) qp: Qpn,
    pub(crate) buffer: Buffer,
    pub(crate) mr: Mr,
    pub(crate) events: Vec<AsyncEvent>,
}

impl End {
    fn new(number: u8, setup: &Setup) -> End {
        let addr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, number));
        let personality = setup.peer.as_ref().filter(|_| number == 2).unwrap_or(&setup.personality);
        let config = DeviceConfig {
            personality: personality.clone(),
            mtu: setup.mtu,
            ..DeviceConfig::new(format!("ferroce{number}"), [addr])
        };
        let mut device = Device::new(config, u64::from(number), Trace::new());
        let pd = device.alloc_pd().unwrap();
        let cq = device.create_cq(1024).unwrap();
        let buffer = Buffer::new(1 << 16);
        let mr = device.reg_mr(pd, MrInit::new(&buffer, setup.access)).unwrap();
        let init = QpInit { cap: setup.cap, ..QpInit::new(setup.qp_type, pd, cq) };
        let qp = device.create_qp(&init).unwrap();
        End { device, addr, pd, cq, qp, buffer, mr, events: Vec::new() }
    }

    /// A scatter/gather entry in the registered memory.
    pub(crate) fn sge(&self, offset: usize, len: u32) -> Sge {
        Sge { addr: self.buffer.addr() + offset as u64, len, lkey: self.mr.lkey }
    }

    /// The registered memory as the peer names it.
    pub(crate) fn remote(&self, offset: usize) -> Remote {
        Remote { addr: self.buffer.addr() + offset as u64, rkey: self.mr.rkey }
    }

    pub(crate) fn state(&self) -> QpState {
        self.device.query_qp(self.qp).unwrap().state
    }

    /// All completions so far.
    pub(crate) fn poll(&mut self) -> Vec<Wc> {
        let mut out = [Wc::default(); 256];
        let count = self.device.poll_cq(self.cq, &mut out).unwrap();
        out[..count].to_vec()
    }

    /// `(wr_id, status)` of all completions so far.
    pub(crate) fn statuses(&mut self) -> Vec<(u64, WcStatus)> {
        self.poll().iter().map(|wc| (wc.wr_id, wc.status)).collect()
    }
}

/// How the pair is set up.
pub(crate) struct Setup {
    pub(crate) qp_type: QpType,
    pub(crate) personality: Personality,
    /// Of the second end, if it has another.
    pub(crate) peer: Option<Personality>,
    pub(crate) access: Access,
    pub(crate) qp_access: Access,
    pub(crate) mtu: PathMtu,
    pub(crate) cap: QpCap,
    pub(crate) psn: u32,
    pub(crate) rtr: fn(&mut QpAttr),
    pub(crate) rts: fn(&mut QpAttr),
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            qp_type: QpType::Rc,
            personality: Personality::ferroce(),
            peer: None,
            access: ALL,
            qp_access: ALL,
            mtu: PathMtu::Mtu1024,
            cap: QpCap::default(),
            psn: 0x1000,
            rtr: |_| {},
            rts: |_| {},
        }
    }
}

/// Decides on each packet: sender, its number among that sender's packets, its bytes.
type Decide = Box<dyn FnMut(usize, usize, &[u8]) -> Fate>;

pub(crate) struct Pair {
    pub(crate) now: Time,
    pub(crate) ends: [End; 2],
    pub(crate) fate: Decide,
    pub(crate) sent: [usize; 2],
    loopback: bool,
    /// All packets sent, with their sender.
    pub(crate) log: Vec<(usize, Vec<u8>)>,
}

impl Pair {
    pub(crate) fn new(setup: Setup) -> Pair {
        let mut ends = [End::new(1, &setup), End::new(2, &setup)];
        let now = Time::ZERO;
        let (addrs, qps) = ([ends[0].addr, ends[1].addr], [ends[0].qp, ends[1].qp]);
        for (index, end) in ends.iter_mut().enumerate() {
            let peer = 1 - index;
            let psn = |who: usize| Psn::new(setup.psn + who as u32 * 0x9000);
            let av = AddressVector::new(0, addrs[peer]);
            let connected = QpAttr::init(setup.qp_access);
            let (init, mut rtr, mut rts) = match setup.qp_type {
                QpType::Uc => {
                    let rtr = QpAttr::rtr_uc(av, qps[peer], psn(peer), setup.mtu);
                    (connected, rtr, QpAttr::rts_unreliable(psn(index)))
                }
                QpType::Ud => {
                    let rts = QpAttr::rts_unreliable(psn(index));
                    (QpAttr::init_ud(QKEY), QpAttr::to(QpState::Rtr), rts)
                }
                _ => {
                    let rtr = QpAttr::rtr(av, qps[peer], psn(peer), setup.mtu);
                    (connected, rtr, QpAttr::rts(psn(index)))
                }
            };
            (setup.rtr)(&mut rtr);
            (setup.rts)(&mut rts);
            for change in [init, rtr, rts] {
                end.device.modify_qp(now, end.qp, &change).unwrap();
            }
        }
        Pair {
            now,
            ends,
            fate: Box::new(|_, _, _| Fate::Deliver),
            sent: [0, 0],
            loopback: false,
            log: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, end: usize, wr_id: u64, op: SendOp, sges: &[Sge]) {
        self.send_with(end, wr_id, op, sges, SendFlags::SIGNALED);
    }

    pub(crate) fn send_with(&mut self, end: usize, wr_id: u64, op: SendOp, sges: &[Sge], flags: SendFlags) {
        self.post(end, SendWr { flags, ..SendWr::new(wr_id, op, Payload::Sges(sges)) }).unwrap();
    }

    pub(crate) fn post(&mut self, end: usize, wr: SendWr<'_>) -> Result<(), PostError> {
        let qp = self.ends[end].qp;
        self.ends[end].device.post_send(self.now, qp, &[wr])
    }

    pub(crate) fn recv(&mut self, end: usize, wr_id: u64, sges: &[Sge]) {
        let qp = self.ends[end].qp;
        self.ends[end].device.post_recv(self.now, qp, &[RecvWr { wr_id, sges }]).unwrap();
    }

    /// Moves packets until nobody has any more to send, and brings each to its sender too, as links do with
    /// packets to a multicast group.
    pub(crate) fn settle_with_loopback(&mut self) {
        self.loopback = true;
        self.settle();
        self.loopback = false;
    }

    /// Moves packets until nobody has any more to send.
    pub(crate) fn settle(&mut self) {
        let mut train = Train::new();
        let limits = TxLimits { max_packets: 16, max_bytes: 1 << 16, ident_step: 1, ..TxLimits::SINGLE };
        loop {
            let mut idle = true;
            for from in 0..2 {
                while self.ends[from].device.poll_transmit(self.now, &limits, &mut train) {
                    idle = false;
                    self.carry(from, &train);
                }
                while let Some(event) = self.ends[from].device.poll_event() {
                    if let Event::Async(event) = event {
                        self.ends[from].events.push(event);
                    }
                }
            }
            if idle {
                return;
            }
        }
    }

    fn carry(&mut self, from: usize, train: &Train) {
        let flow = *train.flow();
        for (index, packet) in train.packets().enumerate() {
            let number = self.sent[from];
            self.sent[from] += 1;
            self.log.push((from, packet.to_vec()));
            let fate = (self.fate)(from, number, packet);
            let copies = match fate {
                Fate::Deliver | Fate::Mark => 1,
                Fate::Drop => 0,
                Fate::Twice => 2,
            };
            let ident = Ident::Known { ident: index as u16, flags_fragment: DONT_FRAGMENT };
            let traffic_class = flow.traffic_class | if fate == Fate::Mark { 3 } else { 0 };
            let Flow { src, dst, src_port, .. } = flow;
            let meta = RxMeta { src, dst, src_port, traffic_class, ident };
            for _ in 0..copies {
                self.ends[1 - from].device.handle_packet(self.now, &meta, packet);
            }
            if self.loopback {
                self.ends[from].device.handle_packet(self.now, &meta, packet);
            }
        }
    }

    /// Hands packet `number` of the log, the first of its train, to its receiver once more, as a network does
    /// that kept a copy.
    pub(crate) fn again(&mut self, number: usize) {
        let (from, packet) = &self.log[number];
        let [src, dst] = [&self.ends[*from], &self.ends[1 - from]];
        let label = ferroce_wire::flow::flow_label_for_qps(src.qp, dst.qp);
        let src_port = ferroce_wire::flow::port_from_flow_label(label);
        let ident = Ident::Known { ident: 0, flags_fragment: DONT_FRAGMENT };
        let meta = RxMeta { src: src.addr, dst: dst.addr, src_port, traffic_class: 0, ident };
        self.ends[1 - from].device.handle_packet(self.now, &meta, packet);
    }

    /// Lets time run until all deadlines before `now + micros` have been dealt with.
    pub(crate) fn run_for(&mut self, micros: u64) {
        let end = self.now + std::time::Duration::from_micros(micros);
        loop {
            self.settle();
            let next = self.ends.iter().filter_map(|end| end.device.next_timeout()).min();
            match next.filter(|next| *next <= end) {
                Some(next) => {
                    self.now = self.now.max(next);
                    for end in &mut self.ends {
                        end.device.handle_timeout(self.now);
                    }
                }
                None => {
                    self.now = end;
                    return;
                }
            }
        }
    }

    /// Names of the packets sent, each with its sender: `0>RC_SEND_ONLY`.
    pub(crate) fn opcodes(&self) -> Vec<String> {
        let name = |bytes: &[u8]| ferroce_wire::Opcode::from_u8(bytes[0]).unwrap().name();
        self.log.iter().map(|(from, bytes)| format!("{from}>{}", name(bytes))).collect()
    }
}
