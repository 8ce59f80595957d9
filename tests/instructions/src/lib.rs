//! Two engines back to back, without a network: what the protocol itself costs.

use std::net::{IpAddr, Ipv4Addr};

use ferroce_engine::{
    Access, AddressVector, Buffer, Cq, DONT_FRAGMENT, Device, DeviceConfig, Ident, Mr, MrInit, NoTrace,
    PathMtu, Payload, Psn, QpAttr, QpCap, QpInit, QpType, Qpn, RecvWr, Remote, RxMeta, SendFlags, SendOp,
    SendWr, Sge, Time, Train, TxLimits, Wc, WcStatus,
};

/// Messages that are posted at once, of which the last is signaled.
pub const BATCH: u32 = 32;

/// Bytes in a full packet.
pub const MTU: u32 = 4096;

/// What one end asks of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// RDMA WRITE.
    Write,
    /// SEND, into a receive request of the other's.
    Send,
    /// RDMA READ.
    Read,
}

/// Two connected engines and the packets between them.
pub struct Pair {
    ends: [End; 2],
    train: Train,
    packets: u64,
    sealed: bool,
}

struct End {
    device: Device,
    addr: IpAddr,
    cq: Cq,
    qp: Qpn,
    buffer: Buffer,
    mr: Mr,
}

impl End {
    fn new(number: u8) -> End {
        let addr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, number));
        let mut device = Device::new(DeviceConfig::new("pair", [addr]), u64::from(number), NoTrace);
        let access = Access::LOCAL_WRITE | Access::REMOTE_WRITE | Access::REMOTE_READ;
        let buffer = Buffer::new(1 << 20);
        let pd = device.alloc_pd().expect("a fresh device has room");
        let cq = device.create_cq(4096).expect("a fresh device has room");
        let mr = device.reg_mr(pd, MrInit::new(&buffer, access)).expect("a fresh device has room");
        let cap = QpCap { max_send_wr: 4 * BATCH, max_recv_wr: BATCH, ..QpCap::default() };
        let init = QpInit { cap, ..QpInit::new(QpType::Rc, pd, cq) };
        let qp = device.create_qp(&init).expect("a fresh device has room");
        device.modify_qp(Time::ZERO, qp, &QpAttr::init(access)).expect("the usual way");
        End { device, addr, cq, qp, buffer, mr }
    }

    fn sge(&self, len: u32) -> Sge {
        Sge { addr: self.buffer.addr(), len, lkey: self.mr.lkey }
    }

    /// Takes completions away, and says how many there were.
    fn poll(&mut self) -> u32 {
        let mut wc = [Wc::default(); BATCH as usize];
        let found = self.device.poll_cq(self.cq, &mut wc).expect("the queue exists");
        assert!(wc[..found].iter().all(|wc| wc.status == WcStatus::Success), "a request failed");
        found as u32
    }
}

impl Pair {
    /// Joins two engines. Packets are `sealed` with an ICRC and checked, as on a network, or go without, as through shared
    /// memory.
    pub fn new(sealed: bool) -> Pair {
        let mut ends = [End::new(1), End::new(2)];
        for me in 0..2 {
            let (addr, peer) = (ends[1 - me].addr, ends[1 - me].qp);
            let qp = ends[me].qp;
            let rtr = QpAttr::rtr(AddressVector::new(0, addr), peer, Psn::new(0), PathMtu::Mtu4096);
            for change in [rtr, QpAttr::rts(Psn::new(0))] {
                ends[me].device.modify_qp(Time::ZERO, qp, &change).expect("the usual way");
            }
        }
        Pair { ends, train: Train::new(), packets: 0, sealed }
    }

    /// Carries out so many [batches](BATCH) of messages of `len` bytes, up to 1 MiB, one after the other. Says how many
    /// packets that took.
    pub fn play(&mut self, request: Request, len: u32, batches: u32) -> u64 {
        let [near, far] = &self.ends;
        let remote = Remote { addr: far.buffer.addr(), rkey: far.mr.rkey };
        let op = match request {
            Request::Write => SendOp::Write(remote),
            Request::Send => SendOp::Send,
            Request::Read => SendOp::Read(remote),
        };
        let (near_qp, far_qp, into, from) = (near.qp, far.qp, [far.sge(len)], [near.sge(len)]);
        let wr = |flags| SendWr { flags, ..SendWr::new(0, op, Payload::Sges(&from)) };
        let mut batch = [wr(SendFlags::empty()); BATCH as usize];
        batch[BATCH as usize - 1] = wr(SendFlags::SIGNALED);
        let receives = [RecvWr { wr_id: 0, sges: &into }; BATCH as usize];
        let before = self.packets;
        for _ in 0..batches {
            let [near, far] = &mut self.ends;
            let mut received = 0;
            if request == Request::Send {
                far.device.post_recv(Time::ZERO, far_qp, &receives).expect("the queue is empty");
                received = BATCH;
            }
            near.device.post_send(Time::ZERO, near_qp, &batch).expect("the queue is empty");
            while self.ends[0].poll() == 0 {
                self.exchange();
            }
            while received > 0 {
                received -= self.ends[1].poll();
            }
        }
        self.packets - before
    }

    /// Carries everything that either end wants to send.
    fn exchange(&mut self) {
        let limits = TxLimits {
            max_packets: 64,
            max_bytes: 65_000,
            ident_step: 1,
            seal: self.sealed,
            ..TxLimits::SINGLE
        };
        for from in 0..2 {
            while self.ends[from].device.poll_transmit(Time::ZERO, &limits, &mut self.train) {
                let flow = *self.train.flow();
                for (index, packet) in self.train.packets().enumerate() {
                    let ident = match self.sealed {
                        true => Ident::Known { ident: index as u16, flags_fragment: DONT_FRAGMENT },
                        false => Ident::Vouched,
                    };
                    let (src, dst, src_port) = (flow.src, flow.dst, flow.src_port);
                    let meta = RxMeta { src, dst, src_port, traffic_class: 0, ident };
                    self.ends[1 - from].device.handle_packet(Time::ZERO, &meta, packet);
                    self.packets += 1;
                }
            }
        }
    }
}
