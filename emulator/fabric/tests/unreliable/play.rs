//! Plays a plan.

use std::net::{IpAddr, Ipv4Addr};

use ferroce_engine::*;
use ferroce_fabric::{Connection, End, Fabric, HostId, Watch};

use crate::plan::{Act, LONGEST, MTU, Plan, contents};

pub(crate) const HEADER: usize = 40;
/// What fills memory before anything arrives.
pub(crate) const BLANK: u8 = 0xee;
/// Bytes of the memory of one receive.
const SLOT: usize = LONGEST as usize + HEADER;
/// Receives that a host may post in all, and messages that it may be sent.
const SLOTS: usize = 400;
/// Address by which all registered memory begins.
const WINDOW: u64 = 1 << 40;
const QKEY: u32 = 0x77;
const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 0, 0, 7));

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) sent: Vec<Sent>,
    /// Of each host: its completions of sends, as `(queue pair, message)`.
    pub(crate) completed: Vec<Vec<(u32, u64)>>,
    /// Of each host.
    pub(crate) arrived: Vec<Vec<Arrival>>,
    /// Receives that never completed, of datagram queue pairs: their memory.
    pub(crate) unused: Vec<Vec<u8>>,
    /// Memory of each WRITE, by message.
    pub(crate) written: Vec<(u32, Vec<u8>)>,
    /// Receives that were posted, by host and peer; for datagrams the host itself.
    pub(crate) posted: Vec<((usize, usize), usize)>,
    pub(crate) repeated: u64,
    pub(crate) digest: u64,
}

/// A message that was posted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) act: Act,
    pub(crate) qp: u32,
}

/// A message that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    /// The message that its immediate data name.
    pub(crate) message: u32,
    pub(crate) wc: Wc,
    pub(crate) bytes: Vec<u8>,
    /// The peer whose connection it came by; `None` for datagrams.
    pub(crate) from: Option<usize>,
}

struct Host {
    id: HostId,
    pd: Pd,
    cq: Cq,
    /// For datagrams, with handles for every host and, last, the group.
    ud: Qpn,
    handles: Vec<Ah>,
    /// The connection to each host; its own place stays empty.
    uc: Vec<Option<Qpn>>,
    inbox: (Buffer, Mr),
    window: (Buffer, Mr),
    slots: usize,
    /// For each slot: whose messages it is for.
    owner: Vec<usize>,
}

struct Stage<T> {
    fabric: Fabric<T>,
    hosts: Vec<Host>,
    outcome: Outcome,
    used: Vec<Vec<bool>>,
}

pub(crate) fn play<T: Watch>(plan: &Plan) -> Result<Outcome, String> {
    let mut stage: Stage<T> = Stage::new(plan);
    for step in &plan.steps {
        let until = stage.fabric.now() + step.gap;
        stage.fabric.run_until(until);
        stage.collect()?;
        stage.act(step.act);
    }
    if !stage.fabric.run_until_idle(200_000) {
        return Err("no rest".to_owned());
    }
    stage.collect()?;
    Ok(stage.into_outcome())
}

impl<T: Watch> Stage<T> {
    fn new(plan: &Plan) -> Stage<T> {
        let mut fabric = Fabric::new(plan.seed);
        fabric.set_links(plan.link);
        let mut hosts: Vec<Host> = (0..plan.hosts).map(|index| host(&mut fabric, plan, index)).collect();
        for a in 0..hosts.len() {
            for b in a + 1..hosts.len() {
                let ends = [a, b].map(|host| end(&mut fabric, &hosts[host]));
                fabric.connect(ends, &Connection::default()).unwrap();
                (hosts[a].uc[b], hosts[b].uc[a]) = (Some(ends[0].qp), Some(ends[1].qp));
            }
        }
        for index in 0..hosts.len() {
            let addresses = hosts.iter().map(|host| fabric.address(host.id));
            let targets: Vec<IpAddr> = addresses.chain([GROUP]).collect();
            let (id, pd) = (hosts[index].id, hosts[index].pd);
            let handle = |dgid| {
                fabric.with(id, |device, _| device.create_ah(pd, AddressVector::new(0, dgid)).unwrap())
            };
            hosts[index].handles = targets.into_iter().map(handle).collect();
        }
        let outcome = Outcome {
            sent: Vec::new(),
            completed: vec![Vec::new(); plan.hosts],
            arrived: vec![Vec::new(); plan.hosts],
            unused: Vec::new(),
            written: Vec::new(),
            posted: Vec::new(),
            repeated: 0,
            digest: 0,
        };
        Stage { fabric, hosts, outcome, used: vec![Vec::new(); plan.hosts] }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Message { from, to, len, write } => {
                let qp = self.hosts[from].uc[to].expect("hosts are not sent to from themselves");
                let number = self.outcome.sent.len();
                let window = &self.hosts[to].window;
                let addr = WINDOW + (number * LONGEST as usize) as u64;
                let imm = ImmDt((number as u32).to_be_bytes());
                let op = match write {
                    true => SendOp::WriteImm(Remote { addr, rkey: window.1.rkey }, imm),
                    false => SendOp::SendImm(imm),
                };
                self.send(from, qp, op, To::Peer, len, act);
            }
            Act::Datagram { from, to, len } => {
                let place = to.unwrap_or(self.hosts.len());
                let qpn = to.map_or(Qpn::MULTICAST, |to| self.hosts[to].ud);
                let to = To::Datagram { ah: self.hosts[from].handles[place], qpn, qkey: QKEY };
                let imm = ImmDt((self.outcome.sent.len() as u32).to_be_bytes());
                self.send(from, self.hosts[from].ud, SendOp::SendImm(imm), to, len, act);
            }
            Act::Receive { at, from, count } => {
                let qp = self.hosts[at].uc[from].expect("hosts are not peers of themselves");
                self.receive(at, qp, from, count);
            }
            Act::ReceiveDatagrams { at, count } => self.receive(at, self.hosts[at].ud, at, count),
        }
    }

    fn send(&mut self, from: usize, qp: Qpn, op: SendOp, to: To, len: u32, act: Act) {
        let number = self.outcome.sent.len() as u32;
        let (id, pd) = (self.hosts[from].id, self.hosts[from].pd);
        let buffer = Buffer::new(len as usize);
        buffer.write(0, &contents(number, len));
        let mr = self
            .fabric
            .with(id, |device, _| device.reg_mr(pd, MrInit::new(&buffer, Access::empty())).unwrap());
        let sges = [Sge { addr: buffer.addr(), len, lkey: mr.lkey }];
        let wr = SendWr::new(number.into(), op, Payload::Sges(&sges));
        let wr = SendWr { to, flags: SendFlags::SIGNALED, ..wr };
        self.fabric.post_send(End { host: id, qp }, &[wr]).unwrap();
        self.outcome.sent.push(Sent { act, qp: qp.value() });
    }

    fn receive(&mut self, at: usize, qp: Qpn, from: usize, count: usize) {
        for _ in 0..count {
            let host = &mut self.hosts[at];
            let slot = host.slots;
            host.slots += 1;
            host.owner.push(from);
            self.used[at].push(false);
            let addr = WINDOW + (slot * SLOT) as u64;
            let sges = [Sge { addr, len: SLOT as u32, lkey: host.inbox.1.lkey }];
            let wr = RecvWr { wr_id: slot as u64, sges: &sges };
            let end = End { host: host.id, qp };
            self.fabric.post_recv(end, &[wr]).unwrap();
        }
        self.outcome.posted.push(((at, from), count));
    }

    /// Takes completions, and looks at the memory the moment they say that it is done.
    fn collect(&mut self) -> Result<(), String> {
        for index in 0..self.hosts.len() {
            let host = &self.hosts[index];
            for wc in self.fabric.poll(host.id, host.cq) {
                if wc.status != WcStatus::Success {
                    return Err(format!("host {index}: {wc:?}"));
                }
                let Some(imm) = wc.imm else {
                    self.outcome.completed[index].push((wc.qpn, wc.wr_id));
                    continue;
                };
                let slot = wc.wr_id as usize;
                if std::mem::replace(&mut self.used[index][slot], true) {
                    return Err(format!("host {index}: a receive completed twice: {wc:?}"));
                }
                let message = u32::from_be_bytes(imm.0);
                let from = (wc.qpn != host.ud.value()).then(|| host.owner[slot]);
                let bytes = match wc.opcode {
                    WcOpcode::RecvRdmaWithImm => {
                        let len = (wc.byte_len as usize).min(LONGEST as usize);
                        host.window.0.to_vec(message as usize * LONGEST as usize, len)
                    }
                    _ => {
                        let header = if wc.grh { HEADER } else { 0 };
                        let len = (wc.byte_len as usize).min(SLOT).saturating_sub(header);
                        host.inbox.0.to_vec(slot * SLOT + header, len)
                    }
                };
                self.outcome.arrived[index].push(Arrival { message, wc, bytes, from });
            }
        }
        Ok(())
    }

    fn into_outcome(mut self) -> Outcome {
        for (index, host) in self.hosts.iter().enumerate() {
            for slot in (0..host.slots).filter(|slot| host.owner[*slot] == index && !self.used[index][*slot])
            {
                self.outcome.unused.push(host.inbox.0.to_vec(slot * SLOT, SLOT));
            }
        }
        for (number, sent) in self.outcome.sent.iter().enumerate() {
            if let Act::Message { to, len, write: true, .. } = sent.act {
                let bytes = self.hosts[to].window.0.to_vec(number * LONGEST as usize, len as usize);
                self.outcome.written.push((number as u32, bytes));
            }
        }
        self.outcome.repeated = self.fabric.carried().repeated;
        self.outcome.digest = self.fabric.digest();
        self.outcome
    }
}

fn host<T: Watch>(fabric: &mut Fabric<T>, plan: &Plan, index: usize) -> Host {
    let address = Ipv4Addr::new(10, 0, 0, 1 + index as u8);
    let mtu = PathMtu::from_bytes(MTU as usize).expect("one of the five");
    let config = DeviceConfig { mtu, ..DeviceConfig::new(format!("host{index}"), [address.into()]) };
    let id = fabric.add_device(config);
    fabric.with(id, |device, now| {
        let (pd, cq) = (device.alloc_pd().unwrap(), device.create_cq(4096).unwrap());
        let mut memory = |access| {
            let buffer = Buffer::new(SLOTS * SLOT);
            buffer.write(0, &vec![BLANK; SLOTS * SLOT]);
            // Fixed, since packets name addresses and must be the same in every run.
            let mr = device.reg_mr(pd, MrInit { iova: WINDOW, ..MrInit::new(&buffer, access) }).unwrap();
            (buffer, mr)
        };
        let inbox = memory(Access::LOCAL_WRITE);
        let window = memory(Access::LOCAL_WRITE | Access::REMOTE_WRITE);
        let ud = device.create_qp(&QpInit { cap: CAP, ..QpInit::new(QpType::Ud, pd, cq) }).unwrap();
        let psn = Psn::new(0xff_fff0);
        for change in [QpAttr::init_ud(QKEY), QpAttr::to(QpState::Rtr), QpAttr::rts_unreliable(psn)] {
            device.modify_qp(now, ud, &change).unwrap();
        }
        if plan.members[index] {
            device.attach_mcast(ud, GROUP).unwrap();
        }
        let (handles, uc, owner) = (Vec::new(), vec![None; plan.hosts], Vec::new());
        Host { id, pd, cq, ud, handles, uc, inbox, window, slots: 0, owner }
    })
}

const CAP: QpCap =
    QpCap { max_send_wr: 256, max_recv_wr: 400, max_send_sge: 1, max_recv_sge: 1, max_inline_data: 0 };

fn end<T: Watch>(fabric: &mut Fabric<T>, host: &Host) -> End {
    let init = QpInit { cap: CAP, ..QpInit::new(QpType::Uc, host.pd, host.cq) };
    let qp = fabric.with(host.id, |device, _| device.create_qp(&init).unwrap());
    End { host: host.id, qp }
}
