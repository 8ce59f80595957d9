//! The labs of the wire against kernel soft-RoCE: the file that a student has written makes the packets, and the kernel's
//! NIC takes them, or does not.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ferroce_labs::{Folder, WIRE_QP, wire_program};

use crate::peer::{
    self, Access, Mr, Peer, QpAttr, QpState, QpType, RecvWr, RemotePeer, Reply, Request, Sge, Status,
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

/// A lab, and what must have arrived in the end.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its name.
    pub lab: &'static str,
    /// Bytes of each SEND.
    sends: &'static [usize],
    /// Bytes of a WRITE behind them.
    write: usize,
}

/// All of them.
pub const CASES: [Case; 3] = [
    Case { lab: "packet-by-hand", sends: &[13], write: 512 },
    Case { lab: "icrc", sends: &[1, 2, 3, 4, 1024], write: 0 },
    Case { lab: "go-back-n", sends: &[1024, 2048, 3072, 16_384, 1024, 9216, 30_720, 5120], write: 0 },
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
        let output = ended(Place::Host.start(&command)?.wait(LIMIT));
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
        for attr in [init(), rtr()] {
            rxe.call(Request::ModifyQp { qp: "qp".into(), attr, mask: None })?;
        }
        let mut at = 0;
        for (number, &size) in self.sends.iter().enumerate() {
            let sges = vec![Sge { addr: memory.addr + at as u64, len: size as u32, lkey: memory.lkey }];
            rxe.call(Request::PostRecv {
                qp: "qp".into(),
                wrs: vec![RecvWr { wr_id: number as u64, sges }],
            })?;
            at += size;
        }
        Ok((qpn, memory))
    }

    /// Where the WRITE goes, from the beginning of the memory.
    fn written_at(&self) -> u64 {
        self.sends.iter().sum::<usize>() as u64
    }

    /// Every message completed once and in order, and the memory is as it must be.
    fn judge(&self, rxe: &mut dyn Peer) -> Result<Verdict> {
        let wait = Request::PollCq { cq: "cq".into(), max: self.sends.len() + 1, timeout_ms: 500 };
        let Reply::Completions { completions } = rxe.call(wait)? else { bail!("no completions") };
        let seen: Vec<(u64, Status, usize)> =
            completions.iter().map(|wc| (wc.wr_id, wc.status, wc.byte_len as usize)).collect();
        let wanted: Vec<_> =
            (0..).zip(self.sends).map(|(number, &size)| (number, Status::Success, size)).collect();
        if seen != wanted {
            return Ok(Verdict::Failed(format!("receives: expected {wanted:?}, seen {seen:?}")));
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
