//! Two NICs, connected.

pub(crate) mod child;
pub(crate) mod network;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ferroce_engine::*;
use ferroce_net::{NetError, Nic, NicBuilder, RunTrace};

/// How long anything may take before a test gives up; far more than it needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// An address of this process's own, so that tests can run at the same time.
pub(crate) fn fresh_address() -> IpAddr {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let pid = std::process::id();
    let [_, b, c, _] = (pid << 8).to_be_bytes();
    Ipv4Addr::new(127, 1 + b % 250, c, (number % 250 + 2) as u8).into()
}

/// A NIC at an address of its own, which is reached by UDP unless something else is said.
pub(crate) fn open(describe: impl Fn(NicBuilder) -> NicBuilder) -> Nic {
    loop {
        match describe(Nic::builder().address(fresh_address()).shared_memory(false)).open() {
            Err(NetError::PortInUse { .. }) => continue,
            other => return other.expect("a NIC on loopback opens"),
        }
    }
}

/// A queue pair of a NIC with a buffer of its own.
pub(crate) struct End<T: TraceSink = RunTrace> {
    pub(crate) nic: Nic<T>,
    pub(crate) addr: IpAddr,
    pub(crate) pd: Pd,
    pub(crate) cq: Cq,
    pub(crate) qp: Qpn,
    pub(crate) buffer: Buffer,
    pub(crate) mr: Mr,
}

pub(crate) const EVERYTHING: Access =
    Access::LOCAL_WRITE.union(Access::REMOTE_WRITE).union(Access::REMOTE_READ).union(Access::REMOTE_ATOMIC);

impl<T: TraceSink + Send + 'static> End<T> {
    pub(crate) fn new(nic: Nic<T>, buffer_len: usize) -> End<T> {
        let buffer = Buffer::new(buffer_len);
        let (addr, pd, cq, qp, mr) = nic
            .with(|dev, now| {
                let pd = dev.alloc_pd()?;
                let mr = dev.reg_mr(pd, MrInit::new(&buffer, EVERYTHING))?;
                let cq = dev.create_cq(1024)?;
                let cap = QpCap { max_send_wr: 128, max_recv_wr: 128, ..QpCap::default() };
                let init = QpInit { cap, ..QpInit::new(QpType::Rc, pd, cq) };
                let qp = dev.create_qp(&init)?;
                dev.modify_qp(now, qp, &QpAttr::init(EVERYTHING))?;
                Ok::<_, VerbsError>((dev.config().gids[0], pd, cq, qp, mr))
            })
            .unwrap();
        End { nic, addr, pd, cq, qp, buffer, mr }
    }

    pub(crate) fn connect(&self, addr: IpAddr, qp: Qpn) {
        self.nic
            .with(|dev, now| {
                let mtu = dev.config().mtu;
                let av = AddressVector::new(0, addr);
                dev.modify_qp(now, self.qp, &QpAttr::rtr(av, qp, Psn::new(100), mtu))?;
                dev.modify_qp(now, self.qp, &QpAttr::rts(Psn::new(100)))
            })
            .unwrap();
    }

    pub(crate) fn sge(&self, offset: u64, len: u32) -> Sge {
        Sge { addr: self.buffer.addr() + offset, len, lkey: self.mr.lkey }
    }

    pub(crate) fn post_send(&self, wr_id: u64, op: SendOp, sge: Sge) {
        let sges = [sge];
        let wr = SendWr { flags: SendFlags::SIGNALED, ..SendWr::new(wr_id, op, Payload::Sges(&sges)) };
        self.nic.post_send(self.qp, &[wr]).unwrap();
    }

    pub(crate) fn post_recv(&self, wr_id: u64, sge: Sge) {
        self.nic.post_recv(self.qp, &[RecvWr { wr_id, sges: &[sge] }]).unwrap();
    }

    /// The next completion, polled for.
    pub(crate) fn poll_one(&self) -> Wc {
        let (mut wc, start) = ([Wc::default()], std::time::Instant::now());
        while self.nic.poll_cq(self.cq, &mut wc).unwrap() == 0 {
            assert!(start.elapsed() < PATIENCE, "no completion: {:?}", self.nic.counters());
        }
        wc[0]
    }

    /// The next completion, slept for.
    pub(crate) fn wait_one(&self) -> Wc {
        let mut wc = [Wc::default()];
        let count = self.nic.wait_cq(self.cq, &mut wc, Some(PATIENCE)).unwrap();
        assert_eq!(count, 1, "no completion: {:?}", self.nic.counters());
        wc[0]
    }

    /// Registers a second buffer with these bytes.
    pub(crate) fn source(&self, bytes: &[u8]) -> (Buffer, Sge) {
        let buffer = Buffer::new(bytes.len());
        buffer.write(0, bytes);
        let init = MrInit::new(&buffer, Access::empty());
        let mr = self.nic.with(|dev, _| dev.reg_mr(self.pd, init)).unwrap();
        let sge = Sge { addr: buffer.addr(), len: bytes.len() as u32, lkey: mr.lkey };
        (buffer, sge)
    }

    pub(crate) fn remote(&self, offset: u64) -> Remote {
        Remote { addr: self.buffer.addr() + offset, rkey: self.mr.rkey }
    }
}

/// Two connected queue pairs with buffers of `len` bytes.
pub(crate) fn pair<A, B>(a: Nic<A>, b: Nic<B>, len: usize) -> (End<A>, End<B>)
where
    A: TraceSink + Send + 'static,
    B: TraceSink + Send + 'static,
{
    let (a, b) = (End::new(a, len), End::new(b, len));
    a.connect(b.addr, b.qp);
    b.connect(a.addr, a.qp);
    (a, b)
}
