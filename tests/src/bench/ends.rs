//! Connected NICs, and the conversations that are measured.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Result;
use ferroce_engine::{
    Access, AddressVector, Buffer, Cq, Mr, MrInit, PathMtu, Payload, Psn, QpAttr, QpCap, QpInit, QpType, Qpn,
    RecvWr, Remote, SendFlags, SendOp, SendWr, Sge, VerbsError, Wc, WcStatus,
};
use ferroce_net::{Nic, NicBuilder};

/// Bytes of the registered memory of each end.
const MEMORY: usize = 4 << 20;

/// More connections are a crowd.
const CROWD: usize = 1000;

/// Messages between two completions of the message-rate run.
const BATCH: usize = 64;

/// A NIC with queue pairs, or those of one thread at a NIC that several use.
pub(super) struct End {
    nic: Arc<Nic>,
    addr: IpAddr,
    cq: Cq,
    qps: Vec<Qpn>,
    buffer: Buffer,
    mr: Mr,
}

/// Two of them with so many connections, at addresses that end in `number` and the next.
pub(super) fn connected(
    number: u8,
    connections: usize,
    describe: impl Fn(NicBuilder) -> NicBuilder,
) -> Result<(End, Arc<End>)> {
    let near = End::open(number, connections, &describe)?;
    let far = Arc::new(End::open(number + 1, connections, &describe)?);
    near.connect(&far)?;
    far.connect(&near)?;
    // Whoever takes one posts another.
    far.qps.iter().for_each(|qp| far.post_recv(*qp));
    Ok((near, far))
}

/// As many ends as threads, each with a queue pair that is connected to another of the same NIC: a NIC each at one address,
/// or one for all.
pub(super) fn looped(
    number: u8,
    threads: usize,
    one_for_all: bool,
    describe: impl Fn(NicBuilder) -> NicBuilder,
) -> Result<Vec<End>> {
    let first = End::open(number, 2, &describe)?;
    let mut ends = vec![first];
    while ends.len() < threads {
        ends.push(match one_for_all {
            true => End::at(Arc::clone(&ends[0].nic), ends[0].addr, 2)?,
            false => End::open(number, 2, &describe)?,
        });
    }
    for end in &ends {
        let [one, other] = end.qps[..] else { continue };
        end.connect_qp(one, end.addr, other)?;
        end.connect_qp(other, end.addr, one)?;
    }
    Ok(ends)
}

impl End {
    fn open(number: u8, connections: usize, describe: impl Fn(NicBuilder) -> NicBuilder) -> Result<End> {
        let addr = IpAddr::V4(Ipv4Addr::new(127, 91, 0, number));
        let nic = describe(Nic::builder().address(addr).shared_memory(false)).open()?;
        End::at(Arc::new(nic), addr, connections)
    }

    fn at(nic: Arc<Nic>, addr: IpAddr, connections: usize) -> Result<End> {
        let access = Access::LOCAL_WRITE | Access::REMOTE_WRITE | Access::REMOTE_READ;
        let buffer = Buffer::new(MEMORY);
        let (cq, qps, mr) = nic.with(|device, now| {
            let pd = device.alloc_pd()?;
            let cq = device.create_cq(4096)?;
            let mr = device.reg_mr(pd, MrInit::new(&buffer, access))?;
            // Of a crowd the queues are short, so that all of them have soon been written to once.
            let depth = if connections > CROWD { 16 } else { 4 * BATCH as u32 };
            let cap = QpCap { max_send_wr: depth, max_recv_wr: depth, ..QpCap::default() };
            let init = QpInit { cap, ..QpInit::new(QpType::Rc, pd, cq) };
            let mut qps = Vec::new();
            for _ in 0..connections {
                let qp = device.create_qp(&init)?;
                device.modify_qp(now, qp, &QpAttr::init(access))?;
                qps.push(qp);
            }
            Ok::<_, VerbsError>((cq, qps, mr))
        })?;
        Ok(End { nic, addr, cq, qps, buffer, mr })
    }

    fn connect(&self, peer: &End) -> Result<()> {
        self.qps
            .iter()
            .zip(&peer.qps)
            .try_for_each(|(ours, theirs)| self.connect_qp(*ours, peer.addr, *theirs))
    }

    fn connect_qp(&self, ours: Qpn, addr: IpAddr, theirs: Qpn) -> Result<()> {
        let rtr = QpAttr::rtr(AddressVector::new(0, addr), theirs, Psn::new(0), PathMtu::Mtu4096);
        for change in [rtr, QpAttr::rts(Psn::new(0))] {
            self.nic.with(|device, now| device.modify_qp(now, ours, &change))?;
        }
        Ok(())
    }

    /// Where a peer may write and read.
    pub(super) fn remote(&self) -> Remote {
        Remote { addr: self.buffer.addr(), rkey: self.mr.rkey }
    }

    fn post(&self, qp: Qpn, op: SendOp, len: u32, count: usize) {
        let sges = [Sge { addr: self.buffer.addr(), len, lkey: self.mr.lkey }];
        let wr = |flags| SendWr { flags, ..SendWr::new(0, op, Payload::Sges(&sges)) };
        let mut batch = vec![wr(SendFlags::empty()); count];
        batch[count - 1] = wr(SendFlags::SIGNALED);
        self.nic.post_send(qp, &batch).expect("there is room in the queue");
    }

    fn post_recv(&self, qp: Qpn) {
        let sges = [Sge { addr: self.buffer.addr(), len: 64, lkey: self.mr.lkey }];
        self.nic.post_recv(qp, &[RecvWr { wr_id: 0, sges: &sges }]).expect("there is room in the queue");
    }

    /// What has completed; a failure would make every figure a lie.
    fn poll(&self, wc: &mut [Wc]) -> usize {
        let found = self.nic.poll_cq(self.cq, wc).expect("the queue exists");
        let failed = wc[..found].iter().find(|wc| wc.status != WcStatus::Success);
        assert!(failed.is_none(), "{failed:?}");
        found
    }

    /// Waits by polling until `count` completions have come.
    fn complete(&self, count: usize) {
        let (mut done, mut wc) = (0, [Wc::default(); 32]);
        while done < count {
            // No more than asked for: the caller waits for each of the others later.
            let most = (count - done).min(wc.len());
            done += self.poll(&mut wc[..most]);
        }
    }
}

/// Microseconds for one way of a ping-pong of 8-byte SENDs, on so many connections in turn.
pub(super) fn send_latency(near: &End, far: &Arc<End>, connections: usize, rounds: usize) -> f64 {
    let (stop, server) = (Arc::new(AtomicBool::new(false)), Arc::clone(far));
    let done = Arc::clone(&stop);
    let echo = std::thread::spawn(move || {
        let mut wc = [Wc::default(); 4];
        while !stop.load(Ordering::Relaxed) {
            let found = server.poll(&mut wc);
            for wc in wc[..found].iter().filter(|wc| wc.opcode as u32 >= 128) {
                let qp = Qpn::new(wc.qpn);
                server.post_recv(qp);
                server.post(qp, SendOp::Send, 8, 1);
            }
        }
    });
    let start = Instant::now();
    for round in 0..rounds {
        // Far apart, so that no two rounds use the same cache lines.
        let qp = near.qps[round.wrapping_mul(7919) % connections];
        near.post_recv(qp);
        near.post(qp, SendOp::Send, 8, 1);
        near.complete(2);
    }
    let elapsed = start.elapsed();
    done.store(true, Ordering::Relaxed);
    echo.join().expect("the echo thread does not panic");
    // A completion of the last answer may be left: start the next round clean.
    let mut wc = [Wc::default(); 32];
    while far.poll(&mut wc) > 0 {}
    elapsed.as_secs_f64() * 1e6 / rounds as f64 / 2.0
}

/// Microseconds for one way of a ping-pong of 8-byte WRITEs: each end watches its memory, and polls meanwhile.
pub(super) fn write_latency(near: &End, far: &Arc<End>, rounds: u64) -> f64 {
    let word = |end: &End| {
        let mut bytes = [0; 8];
        end.buffer.read(64, &mut bytes);
        u64::from_ne_bytes(bytes)
    };
    let turn = |end: &End, peer: &End, number: u64| {
        end.buffer.write(0, &number.to_ne_bytes());
        let to = Remote { addr: peer.remote().addr + 64, ..peer.remote() };
        end.post(end.qps[0], SendOp::Write(to), 8, 1);
    };
    let wait = |end: &End, number: u64| {
        let mut wc = [Wc::default(); 4];
        while word(end) != number {
            end.poll(&mut wc);
        }
    };
    [near, far].iter().for_each(|end| end.buffer.write(64, &[0; 8]));
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=rounds {
                wait(far, number);
                turn(far, near, number);
            }
        });
        for number in 1..=rounds {
            turn(near, far, number);
            wait(near, number);
        }
    });
    let elapsed = start.elapsed();
    let mut wc = [Wc::default(); 32];
    for end in [near, far] {
        while end.poll(&mut wc) > 0 {}
    }
    elapsed.as_secs_f64() * 1e6 / rounds as f64 / 2.0
}

/// Gigabits per second of `count` messages of `len` bytes, several of them outstanding, served by nobody's
/// polling at the far end.
pub(super) fn throughput(near: &End, op: SendOp, len: u32, count: usize) -> f64 {
    const OUTSTANDING: usize = 4;
    let (qp, start) = (near.qps[0], Instant::now());
    for _ in 0..OUTSTANDING {
        near.post(qp, op, len, 1);
    }
    for _ in OUTSTANDING..count {
        near.complete(1);
        near.post(qp, op, len, 1);
    }
    near.complete(OUTSTANDING);
    count as f64 * f64::from(len) * 8.0 / start.elapsed().as_nanos() as f64
}

/// Millions of messages per second, posted in batches of which the last is signaled.
pub(super) fn message_rate(near: &End, op: SendOp, count: usize) -> f64 {
    let (qp, batches, start) = (near.qps[0], count / BATCH, Instant::now());
    near.post(qp, op, 8, BATCH);
    for _ in 1..batches {
        near.post(qp, op, 8, BATCH);
        near.complete(1);
    }
    near.complete(1);
    (batches * BATCH) as f64 * 1e3 / start.elapsed().as_nanos() as f64
}

/// The same of all threads together, each of which writes to itself.
pub(super) fn looped_message_rate(ends: &[End], count: usize) -> f64 {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for end in ends {
            scope.spawn(|| message_rate(end, SendOp::Write(end.remote()), count));
        }
    });
    (ends.len() * count) as f64 * 1e3 / start.elapsed().as_nanos() as f64
}
