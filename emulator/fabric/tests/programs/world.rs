//! A plan as live devices: regions, queues, connected queue pairs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ferroce_engine::*;
use ferroce_fabric::{Fabric, HostId, Link, Watch};
use ferroce_wire::RnrTimer;

use crate::generate::MAX_INLINE;
use crate::plan::{Plan, Range};
use crate::program::*;
use crate::wiring::{Cables, slowness};

/// Registered memory at an address that does not depend on the run.
pub(crate) struct Place {
    pub(crate) buffer: Buffer,
    pub(crate) mr: Mr,
    iova: u64,
}

impl Place {
    pub(crate) fn sge(&self, range: Range) -> Sge {
        Sge { addr: self.iova + range.at as u64, len: range.len as u32, lkey: self.mr.lkey }
    }

    pub(crate) fn remote(&self, range: Range) -> Remote {
        Remote { addr: self.iova + range.at as u64, rkey: self.mr.rkey }
    }

    pub(crate) fn contents(&self) -> Vec<u8> {
        self.buffer.to_vec(0, self.buffer.len())
    }

    pub(crate) fn gather(&self, ranges: &[Range]) -> Vec<u8> {
        ranges.iter().flat_map(|range| self.buffer.to_vec(range.at, range.len)).collect()
    }
}

pub(crate) struct Host {
    pub(crate) id: HostId,
    pub(crate) words: Place,
    pub(crate) cqs: Vec<Cq>,
    /// Completions that each has room for at least.
    cq_size: u32,
    pd: Pd,
    pub(crate) events: Vec<AsyncEvent>,
}

/// One end of a connection.
pub(crate) struct Live {
    pub(crate) end: EndRef,
    pub(crate) host: usize,
    pub(crate) at: ferroce_fabric::End,
    /// Where its receives are posted, if not to the queue pair.
    pub(crate) srq: Option<Srq>,
    pub(crate) local: Place,
    pub(crate) inbox: Place,
    pub(crate) window: Place,
    /// For accesses that must be denied: a region of the window's size in the same domain that peers may only
    /// fetch from, or in another domain.
    pub(crate) denied: [Place; 2],
    /// The key of a window that opens the words of the host to the peer.
    pub(crate) gate: u32,
    /// Of each message: the window that it binds or shuts.
    pub(crate) keys: Vec<Keys>,
}

/// Windows that a message is about.
#[derive(Clone, Copy, Default)]
pub(crate) struct Keys {
    /// To be bound by this message, at its own end.
    pub(crate) bind: Option<Bind>,
    /// Bound at the peer's end before anything is sent, for this message to shut.
    pub(crate) shut: Option<u32>,
    /// To be registered by this message, at its own end.
    pub(crate) register: Option<u32>,
}

pub(crate) struct World<T> {
    pub(crate) fabric: Fabric<T>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) ends: Vec<Live>,
    pub(crate) cables: Cables,
    /// When the faults of links end.
    pub(crate) heals: Time,
}

/// Retries that every queue pair has.
const RETRIES: u8 = 7;
/// The same where something fails: fewer than what some NICs take for "without end".
const FINITE_RETRIES: u8 = 6;

impl<T: Watch> World<T> {
    pub(crate) fn new(plan: &Plan) -> World<T> {
        let program = &plan.program;
        let mut fabric = Fabric::new(program.seed);
        fabric.set_links(program.link);
        program.rules.iter().for_each(|rule| fabric.add_rule(*rule));
        let (hosts, ends, cables) = (Vec::new(), Vec::new(), Cables::default());
        let mut world = World { fabric, hosts, ends, cables, heals: Time::ZERO };
        for (index, host) in program.hosts.iter().enumerate() {
            world.add_host(plan, index, host);
        }
        let ids: Vec<_> = world.hosts.iter().map(|host| host.id).collect();
        world.cables = Cables::lay(&mut world.fabric, plan, &ids);
        for end in &plan.ends {
            world.add_end(plan, end.end);
        }
        for index in 0..world.ends.len() {
            world.connect(plan, index);
        }
        for index in 0..world.ends.len() {
            world.make_windows(plan, index);
        }
        world.arm(plan);
        // Three timeouts at most, and as many NAKs, can use up retries without progress until then.
        let timeout = Duration::from_nanos(4096 << timeout_code(plan));
        world.heals = Time::ZERO + if program.trouble.is_some() { timeout * 3 / 2 } else { timeout * 5 / 2 };
        world
    }

    fn add_host(&mut self, plan: &Plan, index: usize, host: &HostPlan) {
        let number = index as u8 + 1;
        let address: IpAddr = if plan.program.ipv6 {
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into()).into()
        } else {
            Ipv4Addr::new(10, 0, 0, number).into()
        };
        let config = DeviceConfig {
            personality: host.personality(),
            ..DeviceConfig::new(format!("host{index}"), [address])
        };
        let id = self.fabric.add_device(config);
        self.fabric.set_port(id, host.port);
        let (queues, sizes) = cq_sizes(plan, index);
        let (pd, cqs) = self.fabric.with(id, |device, _| {
            let pd = device.alloc_pd().unwrap();
            let cqs = (0..queues).map(|_| device.create_cq(sizes).unwrap()).collect::<Vec<_>>();
            (pd, cqs)
        });
        let words: Vec<u8> = plan.words[index].iter().flat_map(|word| word.to_ne_bytes()).collect();
        let words = place(&mut self.fabric, id, pd, &words, 0x40_0000, REMOTE | Access::MW_BIND);
        self.hosts.push(Host { id, words, cqs, cq_size: sizes, pd, events: Vec::new() });
    }

    fn add_end(&mut self, plan: &Plan, end: EndRef) {
        let (planned, shape) = (plan.end(end), plan.end_plan(end));
        let Host { id, pd, cqs, .. } = &self.hosts[planned.host];
        let (id, pd) = (*id, *pd);
        let mine = plan.ends.iter().filter(|other| other.host == planned.host);
        let number = mine.take_while(|other| other.end != end).count();
        let pair =
            if plan.program.hosts[planned.host].shared_cq { [0, 0] } else { [number * 2, number * 2 + 1] };
        let [send_cq, recv_cq] = pair.map(|index| cqs[index]);
        let cap = QpCap {
            max_send_wr: shape.send_depth,
            max_recv_wr: shape.recv_depth,
            max_send_sge: 4,
            max_recv_sge: 4,
            max_inline_data: MAX_INLINE,
        };
        let init =
            QpInit { recv_cq, cap, signal_all: shape.signal_all, ..QpInit::new(QpType::Rc, pd, send_cq) };
        let fabric = &mut self.fabric;
        let shared = SrqInit::new(pd, shape.recv_depth);
        let srq =
            shape.shared_receives.then(|| fabric.with(id, |device, _| device.create_srq(&shared).unwrap()));
        let init = QpInit { srq, ..init };
        let qp = fabric.with(id, |device, _| device.create_qp(&init).unwrap());
        let base = ((end.conn * 2 + end.side + 1) as u64) << 36 | 0x1003;
        let memory = &planned.memory;
        let local = place(fabric, id, pd, &memory.local, base, Access::LOCAL_WRITE);
        let inbox = place(fabric, id, pd, &memory.inbox, base + (1 << 32), Access::LOCAL_WRITE);
        // At multiples of 8, for ATOMIC WRITE.
        let base = base & !7;
        let window = place(fabric, id, pd, &memory.window, base + (2 << 32), REMOTE);
        let read_only = place(fabric, id, pd, &memory.window, base + (3 << 32), Access::empty());
        let other_pd = fabric.with(id, |device, _| device.alloc_pd().unwrap());
        let foreign = place(fabric, id, other_pd, &memory.window, base + (4 << 32), REMOTE);
        let at = ferroce_fabric::End { host: id, qp };
        let denied = [read_only, foreign];
        let (gate, keys) = (0, Vec::new());
        self.ends.push(Live { end, host: planned.host, at, srq, local, inbox, window, denied, gate, keys });
    }

    /// Gives all completion queues of a host as much room as they need, and `more`.
    pub(crate) fn resize_queues(&mut self, host: usize, more: u32) -> Result<(), VerbsError> {
        let Host { id, cqs, cq_size, .. } = &self.hosts[host];
        cqs.iter().try_for_each(|cq| self.fabric.with(*id, |device, _| device.resize_cq(*cq, cq_size + more)))
    }

    /// Registers the memory that messages of an end come from anew, as it is.
    pub(crate) fn reregister(&mut self, end: usize) -> Result<(), VerbsError> {
        let Live { at, local, .. } = &self.ends[end];
        let memory = Some((Region::from(&local.buffer), local.iova));
        let change = MrChange { memory, ..MrChange::default() };
        self.fabric.with(at.host, |device, _| device.rereg_mr(local.mr.lkey, change))
    }

    /// Binds the windows that must be there from the start, and makes those that messages bind.
    fn make_windows(&mut self, plan: &Plan, index: usize) {
        let kind = if index.is_multiple_of(2) { MwType::Type1 } else { MwType::Type2 };
        self.ends[index].gate = self.bind(index, kind);
        let messages = &plan.ends[index].messages;
        let keys = messages.iter().map(|planned| match planned.message.kind {
            Kind::BindMw => Keys { bind: Some(self.new_window(index, MwType::Type2)), ..Keys::default() },
            Kind::SendInv => Keys { shut: Some(self.bind(index ^ 1, MwType::Type2)), ..Keys::default() },
            Kind::RegMr => Keys { register: Some(self.new_key(index)), ..Keys::default() },
            _ => Keys::default(),
        });
        self.ends[index].keys = keys.collect::<Vec<_>>();
    }

    /// A window of an end, and how to bind it to all words of its host.
    fn new_window(&mut self, index: usize, kind: MwType) -> Bind {
        let live = &self.ends[index];
        let Host { id, pd, words, .. } = &self.hosts[live.host];
        let rkey = self.fabric.with(*id, |device, _| device.alloc_mw(*pd, kind).unwrap());
        let access = Access::REMOTE_ATOMIC | Access::REMOTE_READ;
        let len = words.buffer.len() as u64;
        Bind { rkey: rkey & !0xff | (rkey + 1) & 0xff, region: words.mr.lkey, addr: words.iova, len, access }
    }

    /// A key of an end under which memory waits to be registered.
    fn new_key(&mut self, index: usize) -> u32 {
        let Host { id, pd, words, .. } = &self.hosts[self.ends[index].host];
        self.fabric.with(*id, |device, _| {
            let key = device.alloc_mr(*pd).unwrap().rkey;
            device.map_mr(key, Region::from(&words.buffer), words.iova).unwrap();
            key & !0xff | (key + 1) & 0xff
        })
    }

    /// Makes a window of an end and binds it at once.
    fn bind(&mut self, index: usize, kind: MwType) -> u32 {
        let bind = self.new_window(index, kind);
        let (op, flags) = (SendOp::BindMw(bind), SendFlags::empty());
        let wr = SendWr { flags, ..SendWr::new(0, op, Payload::Sges(&[])) };
        let Live { at, host, .. } = self.ends[index];
        self.fabric.post_send(at, &[wr]).unwrap();
        for cq in &self.hosts[host].cqs {
            let done = self.fabric.poll(at.host, *cq);
            assert!(done.iter().all(|wc| wc.status == WcStatus::Success), "{done:?}");
        }
        bind.rkey
    }

    /// Arms the queues of those who wait for events.
    fn arm(&mut self, plan: &Plan) {
        for (host, planned) in self.hosts.iter().zip(&plan.program.hosts) {
            for cq in &host.cqs {
                if let Some(arm) = planned.polling.arm() {
                    self.fabric.with(host.id, |device, _| device.req_notify_cq(*cq, arm).unwrap());
                }
            }
        }
    }

    fn connect(&mut self, plan: &Plan, index: usize) {
        let (me, peer) = (&self.ends[index], &self.ends[index ^ 1]);
        let (mine, theirs) = (plan.end_plan(me.end), plan.end_plan(peer.end));
        let mtu = plan.program.conns[me.end.conn].mtu;
        let av = AddressVector::new(0, self.fabric.address(peer.at.host));
        let rtr = QpAttr {
            max_dest_rd_atomic: Some(theirs.max_rd_atomic + mine.spare_rd_atomic),
            min_rnr_timer: Some(RnrTimer(mine.rnr_timer)),
            ..QpAttr::rtr(av, peer.at.qp, Psn::new(theirs.first_psn), mtu)
        };
        let starves = plan.culprit().is_some_and(|(end, _)| end == me.end)
            && plan.trouble_kind() == Some(TroubleKind::NoReceive);
        let rts = QpAttr {
            timeout: Some(timeout_code(plan)),
            retry_cnt: Some(if plan.program.trouble.is_some() { FINITE_RETRIES } else { RETRIES }),
            rnr_retry: Some(if starves { 2 } else { 7 }),
            max_rd_atomic: Some(mine.max_rd_atomic),
            ..QpAttr::rts(Psn::new(mine.first_psn))
        };
        let at = me.at;
        for change in [QpAttr::init(REMOTE), rtr, rts] {
            self.fabric.modify_qp(at, &change).unwrap();
        }
    }
}

pub(crate) const REMOTE: Access = Access::LOCAL_WRITE
    .union(Access::REMOTE_WRITE)
    .union(Access::REMOTE_READ)
    .union(Access::REMOTE_ATOMIC)
    .union(Access::FLUSH_GLOBAL);

fn place<T: Watch>(
    fabric: &mut Fabric<T>,
    host: HostId,
    pd: Pd,
    contents: &[u8],
    iova: u64,
    access: Access,
) -> Place {
    let buffer = Buffer::new(contents.len());
    buffer.write(0, contents);
    let init = MrInit { iova, ..MrInit::new(&buffer, access) };
    let mr = fabric.with(host, |device, _| device.reg_mr(pd, init).unwrap());
    Place { buffer, mr, iova }
}

/// How many completion queues a host has, and how large they are: for programs that poll late all completions
/// must fit, for others those of full queues.
fn cq_sizes(plan: &Plan, host: usize) -> (usize, u32) {
    let mine = || plan.ends.iter().filter(|end| end.host == host);
    let queues = if plan.program.hosts[host].shared_cq { 1 } else { 2 * mine().count() };
    let size: usize = match plan.program.hosts[host].polling {
        Polling::Late => mine().map(|end| end.messages.len() + end.recvs.len()).sum(),
        _ => mine()
            .map(|end| plan.end_plan(end.end))
            .map(|end| 2 * (end.send_depth + end.recv_depth) as usize)
            .sum(),
    };
    (queues, size as u32 + 1)
}

/// A local ACK timeout that nothing but loss lets expire.
fn timeout_code(plan: &Plan) -> u8 {
    let Link { latency, jitter, reorder_by, .. } = plan.program.link;
    let delays = (latency + jitter + reorder_by).as_nanos() as u64 + 70_000;
    // Everything, sent at the rate of the slowest port, 10 Gbit/s, with as much again for headers.
    let sending = plan.total_bytes() * 2;
    let least = 8 * (delays + sending) * u64::from(slowness(&plan.program));
    (1..31).find(|code| 4096 << code >= least).expect("a program of less than an hour")
}
