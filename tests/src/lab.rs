//! The labs of the wire against kernel soft-RoCE: the file that a student has written makes the packets, and the kernel's
//! NIC takes them, or does not.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ferroce_labs::{Folder, WIRE_QP, wire_program};

use crate::peer::{
    self, Access, Bytes, Mr, Opcode, Peer, QpAttr, QpState, QpType, RecvWr, RemotePeer, Reply, Request,
    SendWr, Sge, Status,
};
use crate::program::{Place, ended};
use crate::tally::Verdict;
use crate::vm::{Guest, HOST_IPV4};

/// Packets that are lost are waited for a fifth of a second each, and guests are slow.
const LIMIT: Duration = Duration::from_secs(60);

/// The first PSN: the connection passes the end of the numbers.
const FIRST_PSN: u32 = 0x00ff_fff0;

/// Bytes of a packet's payload; that of the programs.
const MTU: u32 = 1024;

/// Messages of one packet and of many.
const MANY: [usize; 8] = [1024, 2048, 3072, 16_384, 1024, 9216, 30_720, 5120];

/// A lab, and what must have arrived in the end.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its name.
    pub lab: &'static str,
    /// Bytes of each SEND.
    sends: &'static [usize],
    /// The kernel's NIC sends them, and the student's responder answers.
    kernel_sends: bool,
    /// Bytes of a WRITE behind them.
    write: usize,
}

/// All of them.
pub const CASES: [Case; 5] = [
    Case { lab: "packet-by-hand", sends: &[13], kernel_sends: false, write: 512 },
    Case { lab: "icrc", sends: &[1, 2, 3, 4, 1024], kernel_sends: false, write: 0 },
    Case { lab: "psn", sends: &MANY, kernel_sends: true, write: 0 },
    Case { lab: "go-back-n", sends: &MANY, kernel_sends: false, write: 0 },
    Case { lab: "selective-repeat", sends: &MANY, kernel_sends: false, write: 0 },
];

/// What message number `message` says at byte `at`.
fn byte(message: usize, at: usize) -> u8 {
    (message * 31 + at * 7) as u8
}

impl Case {
    /// Bytes of its messages together.
    fn room(&self) -> usize {
        self.sends.iter().sum::<usize>() + self.write
    }

    /// The memory as it must be: messages one behind the other.
    fn image(&self) -> Vec<u8> {
        let sizes = self.sends.iter().copied().chain([self.write]).enumerate();
        sizes.flat_map(|(message, size)| (0..size).map(move |at| byte(message, at))).collect()
    }

    /// Plays with `guest`. The file is that of the lab in `folder`, or the solution if none is given.
    ///
    /// # Errors
    /// When the guest is gone, or the file does not compile.
    pub fn run(&self, guest: &Guest, folder: Option<&Path>) -> Result<Verdict> {
        let program = self.compile(folder)?;
        let mut rxe = RemotePeer::open(guest)?;
        let (qp, memory) = self.prepare(&mut rxe)?;
        let numbers = [qp.into(), u64::from(FIRST_PSN), memory.addr + self.written_at(), memory.rkey.into()];
        let numbers = numbers.iter().take(if self.write > 0 { 4 } else { 2 }).map(u64::to_string);
        let addresses = [HOST_IPV4, guest.kernel.ipv4()].map(|address| address.to_string());
        let command =
            [program.display().to_string()].into_iter().chain(addresses).chain(numbers).collect::<Vec<_>>();
        let running = Place::Host.start(&command)?;
        if self.kernel_sends {
            self.send(&mut rxe, &memory)?;
        }
        let output = ended(running.wait(LIMIT));
        if output.status != 0 {
            return Ok(Verdict::Failed(output.text));
        }
        self.judge(&mut rxe)
    }

    fn compile(&self, folder: Option<&Path>) -> Result<PathBuf> {
        let lab = ferroce_labs::lab(self.lab).context("no such lab")?;
        let folder = match folder {
            Some(folder) => Folder::find(folder)?.0,
            None => solved(self.lab)?,
        };
        let program = wire_program(&folder, lab).context("nothing for the wire")??;
        program.map_err(|words| anyhow::anyhow!("{} does not compile:\n{words}", lab.file))
    }

    /// A queue pair that waits for the student's packets, with receives for all messages.
    fn prepare(&self, rxe: &mut dyn Peer) -> Result<(u32, Mr)> {
        rxe.call(Request::Open { gid_index: 1 })?;
        rxe.call(Request::AllocPd { pd: "pd".into() })?;
        let access = Access::LOCAL_WRITE | Access::REMOTE_WRITE;
        let region = Request::RegMr { mr: "mr".into(), pd: "pd".into(), len: self.room(), access };
        let Reply::Mr(memory) = rxe.call(region)? else { bail!("no memory") };
        rxe.call(Request::CreateCq { cq: "cq".into(), depth: 64, channel: false })?;
        let Reply::Qp { qpn } = rxe.call(Request::CreateQp {
            qp: "qp".into(),
            pd: "pd".into(),
            kind: QpType::Rc,
            send_cq: "cq".into(),
            recv_cq: "cq".into(),
            srq: None,
            caps: peer::Caps::default(),
            sq_sig_all: false,
        })?
        else {
            bail!("no queue pair")
        };
        for attr in [init(), rtr(), rts()] {
            rxe.call(Request::ModifyQp { qp: "qp".into(), attr, mask: None })?;
        }
        for (wr_id, sge) in self.parts(&memory).filter(|_| !self.kernel_sends) {
            let wrs = vec![RecvWr { wr_id, sges: vec![sge] }];
            rxe.call(Request::PostRecv { qp: "qp".into(), wrs })?;
        }
        Ok((qpn, memory))
    }

    /// Where each message of a SEND lies in the memory.
    fn parts(&self, memory: &Mr) -> impl Iterator<Item = (u64, Sge)> {
        let mut at = 0;
        (0..).zip(self.sends).map(move |(number, &size)| {
            let sge = memory.sge(at, size as u32);
            at += size as u64;
            (number, sge)
        })
    }

    /// The kernel's NIC sends all messages.
    fn send(&self, rxe: &mut dyn Peer, memory: &Mr) -> Result<()> {
        rxe.call(Request::WriteMem { mr: "mr".into(), offset: 0, data: Bytes(self.image()) })?;
        let requests = self.parts(memory).map(|(wr_id, sge)| SendWr::new(wr_id, Opcode::Send).sge(sge));
        rxe.call(Request::PostSend { qp: "qp".into(), wrs: requests.collect(), extended: false })?;
        Ok(())
    }

    /// Where the WRITE goes, from the beginning of the memory.
    fn written_at(&self) -> u64 {
        self.sends.iter().sum::<usize>() as u64
    }

    /// Every message completed once and in order, and the memory is as it must be.
    fn judge(&self, rxe: &mut dyn Peer) -> Result<Verdict> {
        let wait = Request::PollCq { cq: "cq".into(), max: self.sends.len() + 1, timeout_ms: 500 };
        let Reply::Completions { completions } = rxe.call(wait)? else { bail!("no completions") };
        // What a send has moved is not said.
        let moved = |bytes| if self.kernel_sends { 0 } else { bytes };
        let seen: Vec<(u64, Status, usize)> =
            completions.iter().map(|wc| (wc.wr_id, wc.status, moved(wc.byte_len as usize))).collect();
        let wanted: Vec<_> =
            (0..).zip(self.sends).map(|(number, &size)| (number, Status::Success, moved(size))).collect();
        if seen != wanted {
            return Ok(Verdict::Failed(format!("completions: expected {wanted:?}, seen {seen:?}")));
        }
        let look = Request::ReadMem { mr: "mr".into(), offset: 0, len: self.room() };
        let Reply::Memory { data } = rxe.call(look)? else { bail!("no memory") };
        match data.0.iter().zip(self.image()).position(|(&seen, wanted)| seen != wanted) {
            None => Ok(Verdict::Passed),
            Some(at) => Ok(Verdict::Failed(format!("the memory differs from byte {at} on"))),
        }
    }
}

fn init() -> QpAttr {
    QpAttr {
        state: Some(QpState::Init),
        pkey_index: Some(0),
        port: Some(1),
        access: Some(Access::REMOTE_WRITE),
        ..QpAttr::default()
    }
}

fn rtr() -> QpAttr {
    let gid = HOST_IPV4.into();
    QpAttr {
        state: Some(QpState::Rtr),
        path: Some(peer::Path { gid, hop_limit: 64, traffic_class: 0, flow_label: 0, sl: 0 }),
        path_mtu: Some(MTU),
        dest_qpn: Some(WIRE_QP),
        rq_psn: Some(FIRST_PSN),
        max_dest_rd_atomic: Some(1),
        min_rnr_timer: Some(12),
        ..QpAttr::default()
    }
}

fn rts() -> QpAttr {
    QpAttr {
        state: Some(QpState::Rts),
        sq_psn: Some(FIRST_PSN),
        // Half a second: whoever answers may have to wait for a processor.
        timeout: Some(17),
        retry_cnt: Some(7),
        rnr_retry: Some(7),
        max_rd_atomic: Some(1),
        ..QpAttr::default()
    }
}

/// A folder in which the lab is solved.
fn solved(lab: &str) -> Result<Folder> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("tests/ lies in the repository")?;
    let path = root.join("target/wire-labs");
    let folder = Folder::create(&path)?;
    let lab = ferroce_labs::lab(lab).context("no such lab")?;
    if !folder.has(lab) {
        folder.start(lab)?;
    }
    let solution = fs::read(root.join("labs/course").join(lab.name).join("solution.rs"))?;
    ensure!(!solution.is_empty(), "the solution of {} is empty", lab.name);
    fs::write(folder.file(lab), solution)?;
    Ok(folder)
}
