//! Two engines back to back: what the protocol costs without a network.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use ferroce_engine::{
    Access, AddressVector, Buffer, Cq, DONT_FRAGMENT, Device, DeviceConfig, Ident, Mr, MrInit, NoTrace,
    PathMtu, Payload, Psn, QpAttr, QpCap, QpInit, QpType, Qpn, Remote, RxMeta, SendFlags, SendOp, SendWr,
    Sge, Time, Train, TxLimits, Wc,
};

use super::Report;

/// Messages per completion, and completions outstanding.
const BATCH: u32 = 32;

struct End {
    device: Device,
    addr: IpAddr,
    cq: Cq,
    qp: Qpn,
    buffer: Buffer,
    mr: Mr,
}

/// Two connected engines and the packets between them.
struct Pair {
    ends: [End; 2],
    train: Train,
    packets: u64,
}

impl End {
    fn new(number: u8) -> End {
        let addr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, number));
        let mut device = Device::new(DeviceConfig::new("bench", [addr]), u64::from(number), NoTrace);
        let access = Access::LOCAL_WRITE | Access::REMOTE_WRITE | Access::REMOTE_READ;
        let buffer = Buffer::new(1 << 20);
        let pd = device.alloc_pd().expect("a fresh device has room");
        let cq = device.create_cq(4096).expect("a fresh device has room");
        let mr = device.reg_mr(pd, MrInit::new(&buffer, access)).expect("a fresh device has room");
        let cap = QpCap { max_send_wr: 4 * BATCH, ..QpCap::default() };
        let init = QpInit { cap, ..QpInit::new(QpType::Rc, pd, cq) };
        let qp = device.create_qp(&init).expect("a fresh device has room");
        device.modify_qp(Time::ZERO, qp, &QpAttr::init(access)).expect("the usual way");
        End { device, addr, cq, qp, buffer, mr }
    }
}

impl Pair {
    fn new() -> Pair {
        let mut ends = [End::new(1), End::new(2)];
        for me in 0..2 {
            let (addr, peer) = (ends[1 - me].addr, ends[1 - me].qp);
            let qp = ends[me].qp;
            let rtr = QpAttr::rtr(AddressVector::new(0, addr), peer, Psn::new(0), PathMtu::Mtu4096);
            for change in [rtr, QpAttr::rts(Psn::new(0))] {
                ends[me].device.modify_qp(Time::ZERO, qp, &change).expect("the usual way");
            }
        }
        Pair { ends, train: Train::new(), packets: 0 }
    }

    fn exchange(&mut self) {
        let limits = TxLimits { max_packets: 64, max_bytes: 65_000, ident_step: 1, ..TxLimits::SINGLE };
        for from in 0..2 {
            while self.ends[from].device.poll_transmit(Time::ZERO, &limits, &mut self.train) {
                let flow = *self.train.flow();
                for (index, packet) in self.train.packets().enumerate() {
                    let ident = Ident::Known { ident: index as u16, flags_fragment: DONT_FRAGMENT };
                    let (src, dst, src_port) = (flow.src, flow.dst, flow.src_port);
                    let meta = RxMeta { src, dst, src_port, traffic_class: 0, ident };
                    self.ends[1 - from].device.handle_packet(Time::ZERO, &meta, packet);
                    self.packets += 1;
                }
            }
        }
    }

    /// Nanoseconds per packet of WRITEs of `len` bytes, of which at least `messages` are sent.
    fn write(&mut self, len: u32, messages: u32) -> f64 {
        let (local, remote) = (&self.ends[0], &self.ends[1]);
        let sges = [Sge { addr: local.buffer.addr(), len, lkey: local.mr.lkey }];
        let op = SendOp::Write(Remote { addr: remote.buffer.addr(), rkey: remote.mr.rkey });
        let (qp, cq) = (local.qp, local.cq);
        let wr = |flags| SendWr { flags, ..SendWr::new(0, op, Payload::Sges(&sges)) };
        let mut batch = vec![wr(SendFlags::empty()); BATCH as usize];
        batch[BATCH as usize - 1] = wr(SendFlags::SIGNALED);
        let (before, start) = (self.packets, Instant::now());
        let mut wc = [Wc::default(); 8];
        for _ in 0..messages.div_ceil(BATCH) {
            self.ends[0].device.post_send(Time::ZERO, qp, &batch).expect("the queue is empty");
            while self.ends[0].device.poll_cq(cq, &mut wc).expect("the queue exists") == 0 {
                self.exchange();
            }
        }
        start.elapsed().as_nanos() as f64 / (self.packets - before) as f64
    }
}

/// Cost of a packet at both ends together, beside the copying that it cannot do without.
pub fn run(report: &mut Report) {
    let mut pair = Pair::new();
    let (source, mut copy) = (vec![1u8; 4096], vec![0u8; 4096]);
    for (len, messages) in [(8, 200_000), (1 << 20, 64)] {
        let payload = len.min(4096) as usize;
        report.figure(
            &format!("WRITEs of {len} bytes, both engines"),
            "ns per packet",
            "copying its payload three times",
            || pair.write(len, messages),
            || {
                super::nanos_per(20_000, || {
                    for _ in 0..3 {
                        std::hint::black_box(&mut copy[..payload])
                            .copy_from_slice(std::hint::black_box(&source[..payload]));
                    }
                })
            },
        );
    }
}
