//! Two NICs on loop-back sockets, beside the sockets themselves.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Result;
use ferroce_engine::{
    Access, AddressVector, Buffer, Cq, Mr, MrInit, PathMtu, Payload, Psn, QpAttr, QpCap, QpInit, QpType, Qpn,
    RecvWr, Remote, SendFlags, SendOp, SendWr, Sge, Wc, WcStatus,
};
use ferroce_net::Nic;

use super::{Report, reference};

/// Bytes of the registered memory of each end.
const MEMORY: usize = 4 << 20;

/// Messages between two completions of the message-rate run.
const BATCH: usize = 64;

struct End {
    nic: Nic,
    addr: IpAddr,
    cq: Cq,
    qp: Qpn,
    buffer: Buffer,
    mr: Mr,
}

impl End {
    fn open(number: u8) -> Result<End> {
        let addr = IpAddr::V4(Ipv4Addr::new(127, 91, 0, number));
        let nic = Nic::builder().address(addr).open()?;
        let access = Access::LOCAL_WRITE | Access::REMOTE_WRITE | Access::REMOTE_READ;
        let buffer = Buffer::new(MEMORY);
        let (cq, qp, mr) = nic.with(|device, now| {
            let pd = device.alloc_pd()?;
            let cq = device.create_cq(4096)?;
            let mr = device.reg_mr(pd, MrInit::new(&buffer, access))?;
            let cap = QpCap { max_send_wr: 4 * BATCH as u32, max_recv_wr: 256, ..QpCap::default() };
            let init = QpInit { cap, ..QpInit::new(QpType::Rc, pd, cq) };
            let qp = device.create_qp(&init)?;
            device.modify_qp(now, qp, &QpAttr::init(access))?;
            Ok::<_, ferroce_engine::VerbsError>((cq, qp, mr))
        })?;
        Ok(End { nic, addr, cq, qp, buffer, mr })
    }

    fn connect(&self, peer: &End) -> Result<()> {
        let rtr = QpAttr::rtr(AddressVector::new(0, peer.addr), peer.qp, Psn::new(0), PathMtu::Mtu4096);
        for change in [rtr, QpAttr::rts(Psn::new(0))] {
            self.nic.with(|device, now| device.modify_qp(now, self.qp, &change))?;
        }
        Ok(())
    }

    fn sge(&self, len: u32) -> Sge {
        Sge { addr: self.buffer.addr(), len, lkey: self.mr.lkey }
    }

    fn remote(&self) -> Remote {
        Remote { addr: self.buffer.addr(), rkey: self.mr.rkey }
    }

    fn post(&self, op: SendOp, len: u32, count: usize) {
        let sges = [self.sge(len)];
        let wr = |flags| SendWr { flags, ..SendWr::new(0, op, Payload::Sges(&sges)) };
        let mut batch = vec![wr(SendFlags::empty()); count];
        batch[count - 1] = wr(SendFlags::SIGNALED);
        self.nic.post_send(self.qp, &batch).expect("there is room in the queue");
    }

    /// Waits by polling until `count` completions have come.
    fn complete(&self, count: usize) {
        let (mut done, mut wc) = (0, [Wc::default(); 32]);
        while done < count {
            // No more than asked for: the caller waits for each of the others later.
            let most = (count - done).min(wc.len());
            let found = self.nic.poll_cq(self.cq, &mut wc[..most]).expect("the queue exists");
            assert!(wc[..found].iter().all(|wc| wc.status == WcStatus::Success), "{:?}", wc[0].status);
            done += found;
        }
    }

    fn post_recv(&self) {
        let sges = [self.sge(64)];
        self.nic.post_recv(self.qp, &[RecvWr { wr_id: 0, sges: &sges }]).expect("there is room in the queue");
    }
}

/// Latency, throughput and message rate.
///
/// # Errors
/// When the loop-back addresses or sockets cannot be had.
pub fn run(report: &mut Report) -> Result<()> {
    let (near, far) = (End::open(1)?, Arc::new(End::open(2)?));
    near.connect(&far)?;
    far.connect(&near)?;
    // A datagram as long as an 8-byte SEND: BTH, payload, ICRC.
    report.figure(
        "SEND of 8 bytes, half a round trip",
        "µs",
        "UDP ping-pong, both ends polling",
        || send_latency(&near, &far, 20_000),
        || reference::udp_latency(24, 20_000).unwrap_or(f64::NAN),
    );
    for (name, op) in [("WRITE", SendOp::Write(far.remote())), ("READ", SendOp::Read(far.remote()))] {
        report.figure(
            &format!("{name} of 1 MiB, path MTU 4096"),
            "Gbit/s",
            "UDP stream, GSO and GRO, 4096-byte packets",
            || throughput(&near, op, 1 << 20, 400),
            || reference::udp_stream(4096, 400 << 20).unwrap_or(f64::NAN),
        );
        report.figure(
            &format!("{name} of 1 MiB, path MTU 4096"),
            "Gbit/s",
            "TCP stream",
            || throughput(&near, op, 1 << 20, 400),
            || reference::tcp_stream(400 << 20).unwrap_or(f64::NAN),
        );
    }
    report.figure(
        "WRITEs of 8 bytes, one queue pair",
        "million/s",
        "UDP stream of 40-byte packets, GSO and GRO",
        || message_rate(&near, SendOp::Write(far.remote()), 400_000),
        || reference::udp_stream(40, 40 * 1_000_000).unwrap_or(f64::NAN) * 1e3 / 8.0 / 40.0,
    );
    Ok(())
}

/// Microseconds for one way of a ping-pong of SENDs.
fn send_latency(near: &End, far: &Arc<End>, rounds: u32) -> f64 {
    let done = Arc::new(AtomicBool::new(false));
    let (stop, server) = (Arc::clone(&done), Arc::clone(far));
    server.post_recv();
    let echo = std::thread::spawn(move || {
        let mut wc = [Wc::default(); 4];
        while !stop.load(Ordering::Relaxed) {
            let found = server.nic.poll_cq(server.cq, &mut wc).expect("the queue exists");
            if wc[..found].iter().any(|wc| wc.opcode as u32 >= 128) {
                server.post_recv();
                server.post(SendOp::Send, 8, 1);
            }
        }
    });
    let start = Instant::now();
    for _ in 0..rounds {
        near.post_recv();
        near.post(SendOp::Send, 8, 1);
        near.complete(2);
    }
    let elapsed = start.elapsed();
    done.store(true, Ordering::Relaxed);
    echo.join().expect("the echo thread does not panic");
    // One receive is left over, and one completion of the last answer may be: start the next round clean.
    let mut wc = [Wc::default(); 32];
    while far.nic.poll_cq(far.cq, &mut wc).expect("the queue exists") > 0 {}
    elapsed.as_secs_f64() * 1e6 / f64::from(rounds) / 2.0
}

/// Gigabits per second of `count` messages of `len` bytes, several of them outstanding, served by nobody's
/// polling at the far end.
fn throughput(near: &End, op: SendOp, len: u32, count: usize) -> f64 {
    const OUTSTANDING: usize = 4;
    let start = Instant::now();
    for _ in 0..OUTSTANDING {
        near.post(op, len, 1);
    }
    for _ in OUTSTANDING..count {
        near.complete(1);
        near.post(op, len, 1);
    }
    near.complete(OUTSTANDING);
    count as f64 * f64::from(len) * 8.0 / start.elapsed().as_nanos() as f64
}

/// Millions of messages per second, posted in batches of which the last is signaled.
fn message_rate(near: &End, op: SendOp, count: usize) -> f64 {
    let batches = count / BATCH;
    let start = Instant::now();
    near.post(op, 8, BATCH);
    for _ in 1..batches {
        near.post(op, 8, BATCH);
        near.complete(1);
    }
    near.complete(1);
    (batches * BATCH) as f64 * 1e3 / start.elapsed().as_nanos() as f64
}
