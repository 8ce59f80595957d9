//! SEND with invalidate, which needs something to invalidate: a memory window.
//!
//! For each message the responder binds its window under a new key, the requester WRITEs through it, and then
//! shuts it with a SEND. In the end it must be shut: one more WRITE is refused.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ferroce_engine::{
    Access, Bind, MwType, PathMtu, Payload, Psn, QpState, RecvWr, Remote, RnrTimer, SendFlags, SendOp,
    SendWr, Wc, WcOpcode, WcStatus,
};
use ferroce_net::Nic;

use super::error::DemoError;
use super::pattern::{self, Dice};
use super::summary::Row;
use super::wiring::{End, Side, Terms, connect};

/// What the row in the table is called.
pub(crate) const NAME: &str = "SEND w/ invalidate";

/// Longest time that one completion may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes of the WRITE and of the SEND: a few packets each.
const LEN: usize = 3000;

/// Exchanges `messages` from host `from` to the other one and adds them to `row`.
pub(crate) fn exchange(
    hosts: &mut [Nic; 2],
    sides: &[Side; 2],
    from: usize,
    messages: u64,
    (seed, stop): (u64, &AtomicBool),
    row: &mut Row,
) -> Result<(), DemoError> {
    let mut dice = Dice::new(seed, 0x77696e + from as u64);
    let terms = Terms {
        mtu: PathMtu::Mtu1024,
        memory: 2 * LEN,
        depth: 4,
        psns: [0; 2].map(|_| Psn::new(dice.next() as u32)),
        timeout: 9,
        retry_cnt: 7,
        min_rnr_timer: RnrTimer(1),
    };
    let ends = connect(hosts, sides, &terms)?;
    let window = hosts[1 - from].with(|device, _| device.alloc_mw(sides[1 - from].pd, MwType::Type2))?;
    let mut session = Session { hosts, sides, ends, from, stop };
    let mut key = window;
    let result = (0..messages).try_for_each(|_| {
        key = key & !0xff | (key + 1) & 0xff;
        if !session.is_stopped() && session.message(key, dice.next())? {
            row.messages += 1;
            row.bytes += 2 * LEN as u64;
        }
        Ok(())
    });
    let result = result.and_then(|()| session.is_shut(key));
    let Session { ends, .. } = session;
    for (host, end) in hosts.iter_mut().zip(&ends) {
        end.close(host)?;
    }
    hosts[1 - from].with(|device, _| device.dealloc_mw(key))?;
    result
}

struct Session<'a> {
    hosts: &'a mut [Nic; 2],
    sides: &'a [Side; 2],
    ends: [End; 2],
    from: usize,
    stop: &'a AtomicBool,
}

impl Session<'_> {
    /// One message under a new key. False if it was stopped in the middle.
    fn message(&mut self, key: u32, name: u64) -> Result<bool, DemoError> {
        let (from, to) = (self.from, 1 - self.from);
        let [data, text] = [name, !name].map(|name| pattern::bytes(name, LEN));
        self.ends[from].buffer.write(0, &data);
        self.ends[from].buffer.write(LEN, &text);

        let inside = self.ends[to].sge(0, LEN);
        let access = Access::REMOTE_WRITE;
        let bind = Bind { rkey: key, region: inside.lkey, addr: inside.addr, len: LEN as u64, access };
        self.post(to, &[(SendOp::BindMw(bind), None)])?;
        let Some(bound) = self.next(to)? else { return Ok(false) };
        expect(&bound, WcOpcode::BindMw, None)?;

        let into = [self.ends[to].sge(LEN, LEN)];
        let qp = self.ends[to].qp;
        self.hosts[to].with(|device, now| device.post_recv(now, qp, &[RecvWr { wr_id: 1, sges: &into }]))?;
        let door = Remote { rkey: key, ..self.ends[to].remote(0) };
        self.post(from, &[(SendOp::Write(door), Some(0)), (SendOp::SendInv(key), Some(LEN))])?;
        for opcode in [WcOpcode::RdmaWrite, WcOpcode::Send] {
            let Some(sent) = self.next(from)? else { return Ok(false) };
            expect(&sent, opcode, None)?;
        }
        let Some(received) = self.next(to)? else { return Ok(false) };
        expect(&received, WcOpcode::Recv, Some(key))?;
        for (at, sent) in [(0, data), (LEN, text)] {
            if self.ends[to].buffer.to_vec(at, LEN) != sent {
                return Err(DemoError::Wrong(format!("{NAME}: wrong bytes arrived under key {key:#x}")));
            }
        }
        Ok(true)
    }

    /// Checks that nothing passes through the window any more. This ends the connection.
    fn is_shut(&mut self, key: u32) -> Result<(), DemoError> {
        let (from, to) = (self.from, 1 - self.from);
        let before = self.ends[to].buffer.to_vec(0, LEN);
        let door = Remote { rkey: key, ..self.ends[to].remote(0) };
        self.ends[from].buffer.write(0, &[0; LEN]);
        self.post(from, &[(SendOp::Write(door), Some(0))])?;
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE && !self.is_stopped() {
            let wc = self.glance(from)?;
            // The refusal is sent once. If it is lost, the requester never learns why nobody answers any more.
            let responder = self.hosts[to].with(|device, _| device.query_qp(self.ends[to].qp))?;
            if wc.is_none() && responder.state != QpState::Err {
                continue;
            }
            let refused = wc.is_none_or(|wc| wc.status == WcStatus::RemAccessErr);
            if refused && self.ends[to].buffer.to_vec(0, LEN) == before {
                return Ok(());
            }
            return Err(DemoError::completion(
                "WRITE through a window that was shut",
                &wc.unwrap_or_default(),
            ));
        }
        if self.is_stopped() { Ok(()) } else { Err(out_of_patience()) }
    }

    /// Posts requests of end `end`, each with the bytes at an offset, all signaled.
    fn post(&mut self, end: usize, requests: &[(SendOp, Option<usize>)]) -> Result<(), DemoError> {
        let own = &self.ends[end];
        for (op, at) in requests {
            let sges: Vec<_> = at.iter().map(|at| own.sge(*at, LEN)).collect();
            let (payload, flags) = (Payload::Sges(&sges), SendFlags::SIGNALED);
            let wr = SendWr { flags, ..SendWr::new(1, *op, payload) };
            self.hosts[end].with(|device, now| device.post_send(now, own.qp, &[wr]))?;
        }
        Ok(())
    }

    /// The next completion of end `end`, `None` when stopped.
    fn next(&mut self, end: usize) -> Result<Option<Wc>, DemoError> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            let found = self.glance(end)?;
            if found.is_some() || self.is_stopped() {
                return Ok(found);
            }
        }
        Err(out_of_patience())
    }

    /// The next completion of end `end`, if it comes soon.
    fn glance(&mut self, end: usize) -> Result<Option<Wc>, DemoError> {
        let (cq, qpn) = (self.sides[end].cq, self.ends[end].qp.value());
        let mut wc = [Wc::default()];
        let found = self.hosts[end].wait_cq(cq, &mut wc, Some(Duration::from_millis(20)))?;
        Ok((found > 0 && wc[0].qpn == qpn).then_some(wc[0]))
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

fn out_of_patience() -> DemoError {
    DemoError::Wrong(format!("{NAME}: nothing was completed for {} seconds", PATIENCE.as_secs()))
}

fn expect(wc: &Wc, opcode: WcOpcode, invalidated: Option<u32>) -> Result<(), DemoError> {
    if wc.status == WcStatus::Success && wc.opcode == opcode && wc.invalidated == invalidated {
        return Ok(());
    }
    Err(DemoError::completion(NAME, wc))
}
