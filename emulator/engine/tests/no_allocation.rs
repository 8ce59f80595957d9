//! The steady path allocates nothing: once queues and trains have grown to their size, packets and work
//! requests pass through without a call to the allocator.
#![expect(unsafe_code, reason = "counting allocations takes an allocator of one's own")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};

use ferroce_engine::*;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator; counting touches a thread-local cell only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(start, layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(start, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct End {
    device: Device,
    addr: IpAddr,
    cq: Cq,
    qp: Qpn,
    buffer: Buffer,
    mr: Mr,
}

fn end(number: u8) -> End {
    let addr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, number));
    let mut device = Device::new(DeviceConfig::new("ferroce", [addr]), u64::from(number), NoTrace);
    let pd = device.alloc_pd().unwrap();
    let cq = device.create_cq(64).unwrap();
    let buffer = Buffer::new(1 << 16);
    let access = Access::LOCAL_WRITE | Access::REMOTE_WRITE | Access::REMOTE_READ | Access::REMOTE_ATOMIC;
    let mr = device.reg_mr(pd, MrInit::new(&buffer, access)).unwrap();
    let cap = QpCap::default();
    let init = QpInit { cap, signal_all: true, ..QpInit::new(QpType::Rc, pd, cq) };
    let qp = device.create_qp(&init).unwrap();
    device.modify_qp(Time::ZERO, qp, &QpAttr::init(access)).unwrap();
    End { device, addr, cq, qp, buffer, mr }
}

/// Hands all packets over, one of every seven lost.
fn carry(ends: &mut [End; 2], train: &mut Train, now: Time, sent: &mut u64) {
    let limits = TxLimits { max_packets: 64, max_bytes: 65_000, ident_step: 1, ..TxLimits::SINGLE };
    loop {
        let mut idle = true;
        for from in 0..2 {
            while ends[from].device.poll_transmit(now, &limits, train) {
                idle = false;
                let flow = *train.flow();
                for (index, packet) in train.packets().enumerate() {
                    *sent += 1;
                    let ident = Ident::Known { ident: index as u16, flags_fragment: DONT_FRAGMENT };
                    let (src, dst, src_port) = (flow.src, flow.dst, flow.src_port);
                    let meta = RxMeta { src, dst, src_port, traffic_class: 0, ident };
                    if !sent.is_multiple_of(7) {
                        ends[1 - from].device.handle_packet(now, &meta, packet);
                    }
                }
            }
            while ends[from].device.poll_event().is_some() {}
        }
        if idle {
            return;
        }
    }
}

/// One message of every kind, both ways, until all are complete.
fn round(ends: &mut [End; 2], train: &mut Train, now: &mut Time, sent: &mut u64) {
    for me in 0..2 {
        let (local, remote) = (&ends[me], &ends[1 - me]);
        let sges = [Sge { addr: local.buffer.addr(), len: 9000, lkey: local.mr.lkey }];
        let word = [Sge { len: 8, ..sges[0] }];
        let target = Remote { addr: remote.buffer.addr() + 16_384, rkey: remote.mr.rkey };
        let ops = [
            (SendOp::Send, Payload::Sges(&sges)),
            (SendOp::Write(target), Payload::Sges(&sges)),
            (SendOp::Read(target), Payload::Sges(&sges)),
            (SendOp::FetchAdd { remote: target, add: 1 }, Payload::Sges(&word)),
            (SendOp::WriteImm(target, ImmDt([0; 4])), Payload::Inline(b"inline")),
        ];
        let recv = RecvWr { wr_id: 0, sges: &sges };
        let qp = local.qp;
        ends[me].device.post_recv(*now, qp, &[recv, recv]).unwrap();
        for (op, payload) in ops {
            let wr = SendWr { flags: SendFlags::SIGNALED, ..SendWr::new(1, op, payload) };
            ends[me].device.post_send(*now, qp, &[wr]).unwrap();
        }
    }
    let (mut done, mut wc) = (0, [Wc::default(); 16]);
    while done < 2 * (5 + 2) {
        carry(ends, train, *now, sent);
        for end in ends.iter_mut() {
            let count = end.device.poll_cq(end.cq, &mut wc).unwrap();
            assert!(wc[..count].iter().all(|wc| wc.status == WcStatus::Success));
            done += count;
        }
        if let Some(next) = ends.iter().filter_map(|end| end.device.next_timeout()).min() {
            *now = (*now).max(next);
            ends.iter_mut().for_each(|end| end.device.handle_timeout(*now));
        }
    }
}

#[test]
fn the_steady_path_does_not_allocate_even_under_loss() {
    let mut ends = [end(1), end(2)];
    for me in 0..2 {
        let (addr, qp) = (ends[1 - me].addr, ends[1 - me].qp);
        let rtr = QpAttr::rtr(AddressVector::new(0, addr), qp, Psn::new(0), PathMtu::Mtu1024);
        let qp = ends[me].qp;
        ends[me].device.modify_qp(Time::ZERO, qp, &rtr).unwrap();
        ends[me].device.modify_qp(Time::ZERO, qp, &QpAttr::rts(Psn::new(0))).unwrap();
    }
    let (mut train, mut now, mut sent) = (Train::new(), Time::ZERO, 0);
    for _ in 0..50 {
        round(&mut ends, &mut train, &mut now, &mut sent);
    }
    let before = ALLOCATIONS.get();
    for _ in 0..500 {
        round(&mut ends, &mut train, &mut now, &mut sent);
    }
    assert_eq!(ALLOCATIONS.get() - before, 0, "allocations in {sent} packets");
}
