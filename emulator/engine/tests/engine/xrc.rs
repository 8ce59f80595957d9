//! Extended reliable connections: one connection, several shared receive queues behind it.

use ferroce_engine::*;

use crate::pair::{ALL, Pair, Setup};

struct Xrc {
    pair: Pair,
    xrcd: Xrcd,
    initiator: Qpn,
    target: Qpn,
    /// Two programs' queues at end 1: queue, its number, where it completes, its domain.
    programs: [Program; 2],
}

#[derive(Clone, Copy)]
struct Program {
    srq: Srq,
    number: u32,
    cq: Cq,
    pd: Pd,
}

fn program(pair: &mut Pair, xrcd: Xrcd) -> Program {
    let device = &mut pair.ends[1].device;
    let (pd, cq) = (device.alloc_pd().unwrap(), device.create_cq(16).unwrap());
    let srq = device.create_srq(&SrqInit { xrc: Some((xrcd, cq)), ..SrqInit::new(pd, 8) }).unwrap();
    Program { srq, number: device.query_srq(srq).unwrap().number, cq, pd }
}

fn new() -> Xrc {
    let mut pair = Pair::new(Setup::default());
    let xrcd = pair.ends[1].device.open_xrcd(XrcdOpen { create: true, ..XrcdOpen::default() }).unwrap();
    let programs = [program(&mut pair, xrcd), program(&mut pair, xrcd)];
    let init = QpInit::new(QpType::XrcInitiator, pair.ends[0].pd, pair.ends[0].cq);
    let initiator = pair.ends[0].device.create_qp(&init).unwrap();
    let target = pair.ends[1].device.create_qp(&QpInit::xrc_target(xrcd)).unwrap();
    let (psn, mtu) = (Psn::new(9), PathMtu::Mtu256);
    let av = |end: usize| AddressVector::new(0, pair.ends[end].addr);
    let (to_target, to_initiator) = (av(1), av(0));
    let rtr =
        QpAttr { max_dest_rd_atomic: None, min_rnr_timer: None, ..QpAttr::rtr(to_target, target, psn, mtu) };
    let changes =
        [QpAttr::init(ALL), rtr, QpAttr { retry_cnt: Some(1), rnr_retry: Some(1), ..QpAttr::rts(psn) }];
    for change in changes {
        pair.ends[0].device.modify_qp(pair.now, initiator, &change).unwrap();
    }
    let changes = [QpAttr::init(ALL), QpAttr::rtr(to_initiator, initiator, psn, mtu)];
    for change in changes {
        pair.ends[1].device.modify_qp(pair.now, target, &change).unwrap();
    }
    Xrc { pair, xrcd, initiator, target, programs }
}

impl Xrc {
    fn send(&mut self, wr_id: u64, to: u32, op: SendOp, sges: &[Sge]) {
        let flags = SendFlags::SIGNALED;
        let wr = SendWr { flags, to: To::Srq(to), ..SendWr::new(wr_id, op, Payload::Sges(sges)) };
        self.pair.ends[0].device.post_send(self.pair.now, self.initiator, &[wr]).unwrap();
        self.pair.settle();
    }

    fn poll(&mut self, program: usize) -> Vec<Wc> {
        let mut out = [Wc::default(); 16];
        let cq = self.programs[program].cq;
        let count = self.pair.ends[1].device.poll_cq(cq, &mut out).unwrap();
        out[..count].to_vec()
    }

    /// Registers memory of a program.
    fn register(&mut self, program: usize, buffer: &Buffer) -> Mr {
        let pd = self.programs[program].pd;
        self.pair.ends[1].device.reg_mr(pd, MrInit::new(buffer, ALL)).unwrap()
    }

    fn post(&mut self, program: usize, wr_id: u64, sges: &[Sge]) {
        let (now, srq) = (self.pair.now, self.programs[program].srq);
        self.pair.ends[1].device.post_srq_recv(now, srq, &[RecvWr { wr_id, sges }]).unwrap();
    }
}

#[test]
fn a_message_goes_to_the_queue_that_it_names() {
    let mut xrc = new();
    let buffers = [Buffer::new(1024), Buffer::new(1024)];
    for (program, buffer) in buffers.iter().enumerate() {
        let mr = xrc.register(program, buffer);
        let sge = Sge { addr: buffer.addr(), len: 1024, lkey: mr.lkey };
        xrc.post(program, 100 + program as u64, &[sge]);
    }
    xrc.pair.ends[0].buffer.write(0, &[5; 700]);
    let (long, numbers) = (xrc.pair.ends[0].sge(0, 700), [0, 1].map(|program| xrc.programs[program].number));
    xrc.send(1, numbers[1], SendOp::SendImm(ImmDt([1, 2, 3, 4])), &[long]);
    xrc.send(2, numbers[0], SendOp::Send, &[Sge { len: 8, ..long }]);
    assert_eq!(xrc.pair.ends[0].statuses(), [(1, WcStatus::Success), (2, WcStatus::Success)]);
    let [first, second] = [xrc.poll(0), xrc.poll(1)];
    assert_eq!((first[0].wr_id, first[0].byte_len), (100, 8));
    assert_eq!((second[0].wr_id, second[0].byte_len, second[0].imm), (101, 700, Some(ImmDt([1, 2, 3, 4]))));
    assert_eq!(Qpn::new(second[0].qpn), xrc.target);
    assert!(buffers[1].to_vec(0, 700).iter().all(|byte| *byte == 5));
    let names = xrc.pair.opcodes();
    assert_eq!(names[0], "0>XRC_SEND_FIRST");
    assert!(names.contains(&"1>XRC_ACKNOWLEDGE".to_owned()), "{names:?}");
}

#[test]
fn memory_is_reached_in_the_name_of_the_queues_domain() {
    let mut xrc = new();
    let buffer = Buffer::new(1024);
    let mr = xrc.register(1, &buffer);
    let remote = Remote { addr: buffer.addr(), rkey: mr.rkey };
    let (out, back) = (xrc.pair.ends[0].sge(0, 600), xrc.pair.ends[0].sge(2048, 600));
    xrc.pair.ends[0].buffer.write(0, &[3; 600]);
    let number = xrc.programs[1].number;
    xrc.send(1, number, SendOp::Write(remote), &[out]);
    xrc.send(2, number, SendOp::Read(remote), &[back]);
    xrc.send(3, number, SendOp::FetchAdd { remote, add: 1 }, &[Sge { len: 8, ..back }]);
    assert_eq!(xrc.pair.ends[0].statuses(), [1, 2, 3].map(|wr_id| (wr_id, WcStatus::Success)));
    assert!(xrc.pair.ends[0].buffer.to_vec(2056, 592).iter().all(|byte| *byte == 3));
    assert_eq!(buffer.to_vec(0, 8), (u64::from_ne_bytes([3; 8]) + 1).to_ne_bytes());
    let other = xrc.programs[0].number;
    xrc.send(4, other, SendOp::Write(remote), &[out]);
    assert_eq!(xrc.pair.ends[0].statuses(), [(4, WcStatus::RemAccessErr)], "the other program's key");
}

#[test]
fn a_number_of_no_queue_of_the_domain_is_refused() {
    let mut xrc = new();
    let elsewhere =
        xrc.pair.ends[1].device.open_xrcd(XrcdOpen { create: true, ..XrcdOpen::default() }).unwrap();
    let stranger = program(&mut xrc.pair, elsewhere);
    xrc.send(1, stranger.number, SendOp::Send, &[]);
    assert_eq!(xrc.pair.ends[0].statuses(), [(1, WcStatus::RemInvReqErr)]);
    let mut xrc = new();
    xrc.send(1, 0xff_ffff, SendOp::Send, &[]);
    assert_eq!(xrc.pair.ends[0].statuses(), [(1, WcStatus::RemInvReqErr)]);
}

#[test]
fn an_empty_queue_is_waited_for() {
    let mut xrc = new();
    let number = xrc.programs[0].number;
    xrc.send(1, number, SendOp::Send, &[]);
    xrc.post(0, 100, &[]);
    xrc.pair.run_for(100_000);
    assert_eq!(xrc.pair.ends[0].statuses(), [(1, WcStatus::Success)]);
    assert_eq!(xrc.poll(0)[0].wr_id, 100);
}

#[test]
fn requests_must_name_a_queue_and_targets_send_nothing() {
    let mut xrc = new();
    let posted = |device: &mut Device<_>, qp, to| {
        let wr = SendWr { to, ..SendWr::new(1, SendOp::Send, Payload::Sges(&[])) };
        device.post_send(Time::ZERO, qp, &[wr]).map_err(|error: PostError| error.cause.errno())
    };
    let (initiator, target) = (xrc.initiator, xrc.target);
    assert_eq!(posted(&mut xrc.pair.ends[0].device, initiator, To::Peer), Err(22));
    assert_eq!(posted(&mut xrc.pair.ends[0].device, xrc.pair.ends[0].qp, To::Srq(1)), Err(22));
    let rts = QpAttr { timeout: Some(14), sq_psn: Some(Psn::new(1)), ..QpAttr::to(QpState::Rts) };
    xrc.pair.ends[1].device.modify_qp(xrc.pair.now, target, &rts).unwrap();
    assert_eq!(posted(&mut xrc.pair.ends[1].device, target, To::Srq(1)), Err(22));
}

#[test]
fn a_target_lives_until_everybody_has_left_it() {
    let mut xrc = new();
    let device = &mut xrc.pair.ends[1].device;
    device.open_qp(xrc.xrcd, xrc.target).unwrap();
    device.destroy_qp(xrc.target).unwrap();
    assert!(device.query_qp(xrc.target).is_ok(), "the other one has it still");
    assert_eq!(device.close_xrcd(xrc.xrcd).map_err(VerbsError::errno), Err(16));
    device.destroy_qp(xrc.target).unwrap();
    assert_eq!(device.destroy_qp(xrc.target), Err(VerbsError::Stale("queue pair")));
    assert_eq!(device.open_qp(xrc.xrcd, xrc.target), Err(VerbsError::Stale("queue pair")));
    for Program { srq, cq, pd, .. } in xrc.programs {
        assert_eq!(device.destroy_cq(cq).map_err(VerbsError::errno), Err(16));
        device.destroy_srq(srq).unwrap();
        device.destroy_cq(cq).unwrap();
        device.dealloc_pd(pd).unwrap();
    }
    device.close_xrcd(xrc.xrcd).unwrap();
}

#[test]
fn domains_are_shared_by_name() {
    let mut xrc = new();
    let device = &mut xrc.pair.ends[1].device;
    let name = Some(77);
    let mut open =
        |create, exclusive| device.open_xrcd(XrcdOpen { name, create, exclusive }).map_err(VerbsError::errno);
    assert_eq!(open(false, false), Err(11), "nobody has made it");
    let mine = open(true, true).unwrap();
    assert_eq!(open(true, true), Err(22), "it is there");
    assert_eq!(open(false, false), Ok(mine));
    assert_eq!(open(true, false), Ok(mine));
    (0..2).for_each(|_| device.close_xrcd(mine).unwrap());
    assert_eq!(device.create_srq(&SrqInit::new(xrc.programs[0].pd, 4)).map(drop), Ok(()));
    device.close_xrcd(mine).unwrap();
    assert_eq!(device.close_xrcd(mine), Err(VerbsError::Stale("XRC domain")));
    let unnamed = XrcdOpen::default();
    assert_eq!(device.open_xrcd(unnamed).map_err(VerbsError::errno), Err(22));
}
