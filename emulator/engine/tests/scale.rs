//! Many objects on one device: what each costs, and that nothing stays when they are gone.
#![expect(unsafe_code, reason = "counting bytes takes an allocator of one's own")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};

use ferroce_engine::*;

struct Counting;

thread_local! {
    static BYTES: Cell<isize> = const { Cell::new(0) };
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    BYTES.set(BYTES.get() + bytes);
    CALLS.set(CALLS.get() + 1);
}

// SAFETY: everything is passed on to the system's allocator; counting touches thread-local cells only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(start, layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(start, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const QPS: usize = 10_000;
const MRS: usize = 100_000;

/// Bytes that an idle, connected queue pair may take besides what its queues hold.
const PER_QP: usize = 4096;

/// Bytes that a registration may take.
const PER_MR: usize = 512;

const ACCESS: Access =
    Access::LOCAL_WRITE.union(Access::REMOTE_WRITE).union(Access::REMOTE_READ).union(Access::REMOTE_ATOMIC);

struct End {
    device: Device,
    addr: IpAddr,
    pd: Pd,
    cq: Cq,
    buffer: Buffer,
    mr: Mr,
    qps: Vec<Qpn>,
}

impl End {
    fn new(number: u8) -> End {
        let addr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, number));
        let mut device = Device::new(DeviceConfig::new("ferroce", [addr]), u64::from(number), NoTrace);
        let pd = device.alloc_pd().unwrap();
        let cq = device.create_cq(64).unwrap();
        let buffer = Buffer::new(1 << 16);
        let mr = device.reg_mr(pd, MrInit::new(&buffer, ACCESS)).unwrap();
        End { device, addr, pd, cq, buffer, mr, qps: Vec::with_capacity(QPS) }
    }

    fn create_qps(&mut self, count: usize) {
        let init = QpInit { signal_all: true, ..QpInit::new(QpType::Rc, self.pd, self.cq) };
        self.qps.extend((0..count).map(|_| self.device.create_qp(&init).unwrap()));
    }

    fn connect(&mut self, index: usize, dgid: IpAddr, peer: Qpn) {
        let (av, psn) = (AddressVector::new(0, dgid), Psn::new(index as u32));
        for change in [QpAttr::init(ACCESS), QpAttr::rtr(av, peer, psn, PathMtu::Mtu1024), QpAttr::rts(psn)] {
            self.device.modify_qp(Time::ZERO, self.qps[index], &change).unwrap();
        }
    }
}

/// Moves all packets between two devices.
fn settle(ends: &mut [End; 2], train: &mut Train) {
    let mut idle = false;
    while !idle {
        idle = true;
        for from in 0..2 {
            while ends[from].device.poll_transmit(Time::ZERO, &TxLimits::SINGLE, train) {
                idle = false;
                let flow = *train.flow();
                let ident = Ident::Known { ident: 0, flags_fragment: DONT_FRAGMENT };
                let (src, dst, src_port) = (flow.src, flow.dst, flow.src_port);
                let meta = RxMeta { src, dst, src_port, traffic_class: 0, ident };
                for packet in train.packets() {
                    ends[1 - from].device.handle_packet(Time::ZERO, &meta, packet);
                }
            }
        }
    }
}

/// One WRITE of 3000 bytes over connection `index`, and its completion.
fn transfer(ends: &mut [End; 2], index: usize, train: &mut Train) {
    let sge = Sge { addr: ends[0].buffer.addr(), len: 3000, lkey: ends[0].mr.lkey };
    let remote = Remote { addr: ends[1].buffer.addr(), rkey: ends[1].mr.rkey };
    let list = [sge];
    let wr = SendWr::new(index as u64, SendOp::Write(remote), Payload::Sges(&list));
    let (qp, cq) = (ends[0].qps[index], ends[0].cq);
    ends[0].device.post_send(Time::ZERO, qp, &[wr]).unwrap();
    settle(ends, train);
    let mut wc = [Wc::default()];
    assert_eq!(ends[0].device.poll_cq(cq, &mut wc).unwrap(), 1);
    assert_eq!((wc[0].wr_id, wc[0].status), (index as u64, WcStatus::Success));
}

#[test]
fn ten_thousand_queue_pairs_are_small_work_and_leave_nothing() {
    let start = BYTES.get();
    let mut train = Train::new();
    let mut ends = [End::new(1), End::new(2)];
    let before = BYTES.get();
    ends.iter_mut().for_each(|end| end.create_qps(QPS));
    let (addrs, qps) = ([ends[0].addr, ends[1].addr], [ends[0].qps.clone(), ends[1].qps.clone()]);
    for (index, (here, there)) in qps[0].iter().zip(&qps[1]).enumerate() {
        ends[0].connect(index, addrs[1], *there);
        ends[1].connect(index, addrs[0], *here);
    }
    let each = (BYTES.get() - before) as usize / (2 * QPS);
    assert!(each <= PER_QP, "{each} bytes for each queue pair");
    for index in [0, QPS / 2, QPS - 1] {
        transfer(&mut ends, index, &mut train);
    }
    let calls = CALLS.get();
    transfer(&mut ends, QPS - 1, &mut train);
    assert_eq!(CALLS.get(), calls, "a packet allocates nothing, however many there are");
    for end in &mut ends {
        for qp in std::mem::take(&mut end.qps) {
            end.device.destroy_qp(qp).unwrap();
        }
        end.device.destroy_cq(end.cq).unwrap();
        end.device.dereg_mr(end.mr.lkey).unwrap();
        end.device.dealloc_pd(end.pd).unwrap();
    }
    drop((ends, train, qps));
    assert_eq!(BYTES.get(), start, "bytes that nobody has given back");
}

#[test]
fn a_hundred_thousand_regions_are_found_and_leave_nothing() {
    let start = BYTES.get();
    {
        let mut end = End::new(1);
        let before = BYTES.get();
        let mut keys: Vec<u32> = Vec::with_capacity(MRS);
        for _ in 0..MRS {
            let mr = end.device.reg_mr(end.pd, MrInit::new(&end.buffer, ACCESS)).unwrap();
            keys.push(mr.lkey);
        }
        let each = (BYTES.get() - before) as usize / MRS;
        assert!(each <= PER_MR, "{each} bytes for each region");
        for key in keys.iter().step_by(997) {
            let sge = Sge { addr: end.buffer.addr(), len: 8, lkey: *key };
            end.device.advise_mr(end.pd, Advice::Prefetch, &[sge]).unwrap();
        }
        assert!(matches!(end.device.dealloc_pd(end.pd), Err(VerbsError::Busy(_))));
        for key in keys {
            end.device.dereg_mr(key).unwrap();
        }
        end.device.dereg_mr(end.mr.lkey).unwrap();
        end.device.dealloc_pd(end.pd).unwrap();
    }
    assert_eq!(BYTES.get(), start, "bytes that nobody has given back");
}
