//! One side of a scenario: its peer, its objects, its completions and what should be in its memory.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::setup::Transitions;
use crate::peer::{
    Access, Bytes, Caps, Completion, Kind, Mr, Path, Peer, PeerError, QpAttr, QpState, QpType, RecvWr, Reply,
    Request, SendWr, Sge,
};

/// Longest wait for a completion that should come.
const PATIENCE: Duration = Duration::from_secs(5);
/// Wait for completions and events that should not come.
const QUIET_MS: u32 = 30;

/// What should be in a memory region.
struct Image {
    bytes: Vec<u8>,
    undefined: Vec<Range<usize>>,
}

/// One side.
pub struct End<'a> {
    peer: &'a mut dyn Peer,
    /// Type of the queue pairs.
    pub(super) service: QpType,
    /// Address of the device.
    pub(super) gid: IpAddr,
    /// The region `buf`.
    pub(super) buf: Mr,
    /// Completions so far, in the order in which they were polled.
    pub(super) done: Vec<Completion>,
    /// Where queue pairs made from now on take their receives from, if they share them.
    srq: Option<String>,
    /// How the newest queue pair was brought up.
    pub(super) path: Option<Transitions>,
    images: BTreeMap<String, Image>,
    qps: Vec<(String, u32)>,
    cqs: Vec<String>,
    /// What was posted: queue pair by order of creation, and whether it was a receive.
    posted: BTreeMap<u64, (usize, bool)>,
    seen_events: Vec<String>,
}

impl<'a> End<'a> {
    pub(super) fn new(peer: &'a mut dyn Peer) -> Self {
        Self {
            peer,
            service: QpType::Rc,
            gid: IpAddr::from([0, 0, 0, 0]),
            buf: Mr { addr: 0, lkey: 0, rkey: 0 },
            done: Vec::new(),
            srq: None,
            path: None,
            images: BTreeMap::new(),
            qps: Vec::new(),
            cqs: Vec::new(),
            posted: BTreeMap::new(),
            seen_events: Vec::new(),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        self.peer.kind()
    }

    pub(super) fn open(&mut self, gid_index: u8) -> Result<()> {
        let Reply::Device { gid, .. } = self.peer.call(Request::Open { gid_index })? else {
            bail!("no device")
        };
        self.gid = gid;
        self.alloc_pd("pd")
    }

    pub(super) fn alloc_pd(&mut self, pd: &str) -> Result<()> {
        self.peer.call(Request::AllocPd { pd: pd.into() })?;
        Ok(())
    }

    /// A completion queue with a channel; all of this side's queues are polled together. Gives its depth.
    pub(super) fn create_cq(&mut self, name: &str, depth: u32) -> Result<u32> {
        let request = Request::CreateCq { cq: name.into(), depth, channel: true };
        let Reply::Cq { depth } = self.peer.call(request)? else { bail!("no CQ") };
        self.cqs.push(name.into());
        Ok(depth)
    }

    /// A shared receive queue `srq` for the queue pairs that are made from now on.
    pub(super) fn create_srq(&mut self, depth: u32) -> Result<()> {
        self.peer.call(Request::CreateSrq { srq: "srq".into(), pd: "pd".into(), depth })?;
        self.srq = Some("srq".into());
        Ok(())
    }

    /// Asks for an event when fewer receives than this are left in `srq`.
    pub(super) fn limit_srq(&mut self, limit: u32) -> Result<()> {
        self.peer.call(Request::LimitSrq { srq: "srq".into(), limit })?;
        Ok(())
    }

    /// The limit of `srq`; 0 when it is not armed.
    pub(super) fn srq_limit(&mut self) -> Result<u32> {
        let Reply::Srq { limit } = self.peer.call(Request::QuerySrq { srq: "srq".into() })? else {
            bail!("no limit")
        };
        Ok(limit)
    }

    /// Posts a receive of `len` bytes at `offset` of `buf` to `srq`.
    pub(super) fn recv_shared(&mut self, wr_id: u64, offset: u64, len: u32) -> Result<()> {
        self.posted.insert(wr_id, (0, true));
        let wrs = vec![RecvWr { wr_id, sges: vec![self.buf.sge(offset, len)] }];
        self.peer.call(Request::PostSrqRecv { srq: "srq".into(), wrs })?;
        Ok(())
    }

    /// A queue pair on the first completion queue for sends and the last one for receives.
    pub(super) fn create_qp(&mut self, name: &str) -> Result<()> {
        let request = Request::CreateQp {
            qp: name.into(),
            pd: "pd".into(),
            kind: self.service,
            send_cq: self.cqs.first().context("no CQ")?.clone(),
            recv_cq: self.cqs.last().context("no CQ")?.clone(),
            srq: self.srq.clone(),
            caps: Caps::default(),
            sq_sig_all: false,
        };
        let Reply::Qp { qpn } = self.peer.call(request)? else { bail!("no QP") };
        self.qps.push((name.into(), qpn));
        Ok(())
    }

    /// Moves a fresh queue pair along its [`Transitions`] up to `state`.
    pub(super) fn bring_up(&mut self, qp: &str, state: QpState) -> Result<()> {
        let path = self.path.clone().context("no path yet")?;
        for (reached, attr) in
            [(QpState::Init, path.init()), (QpState::Rtr, path.rtr()), (QpState::Rts, path.rts())]
        {
            self.modify(qp, attr)?;
            if reached == state {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn modify(&mut self, qp: &str, attr: QpAttr) -> Result<()> {
        self.peer.call(Request::ModifyQp { qp: qp.into(), attr, mask: None })?;
        Ok(())
    }

    /// Moves to a state that needs no other attribute.
    pub(super) fn change_state(&mut self, state: QpState) -> Result<()> {
        self.modify("qp", QpAttr { state: Some(state), ..QpAttr::default() })
    }

    /// Resets `qp` and brings it up again with another first PSN of its own.
    pub(super) fn restart(&mut self, sq_psn: u32) -> Result<()> {
        self.change_state(QpState::Reset)?;
        self.path.as_mut().context("no path yet")?.sq_psn = sq_psn;
        self.bring_up("qp", QpState::Rts)
    }

    /// Number of the newest queue pair.
    pub(super) fn qpn(&self) -> u32 {
        self.qps.last().map_or(0, |(_, qpn)| *qpn)
    }

    /// Registers fresh memory and starts to follow its contents.
    pub(super) fn region(&mut self, name: &str, len: usize, access: u32) -> Result<Mr> {
        self.region_in("pd", name, len, access)
    }

    pub(super) fn region_in(&mut self, pd: &str, name: &str, len: usize, access: u32) -> Result<Mr> {
        let Reply::Mr(mr) = self.peer.call(Request::RegMr { mr: name.into(), pd: pd.into(), len, access })?
        else {
            bail!("no MR")
        };
        self.images.insert(name.into(), Image { bytes: vec![0; len], undefined: Vec::new() });
        Ok(mr)
    }

    pub(super) fn alloc_mw(&mut self, mw: &str, type2: bool) -> Result<()> {
        self.peer.call(Request::AllocMw { mw: mw.into(), pd: "pd".into(), type2 })?;
        Ok(())
    }

    /// Binds a window to `range` of a region. Gives it as a region that peers can name.
    pub(super) fn bind(
        &mut self,
        (qp, wr_id): (&str, u64),
        mw: &str,
        (mr, range): (&str, Range<u64>),
        access: u32,
    ) -> Result<Mr> {
        self.posted.insert(wr_id, (self.place(qp), false));
        let (offset, len) = (range.start, range.end - range.start);
        let (qp, mw, mr) = (qp.into(), mw.into(), mr.into());
        let request = Request::BindMw { qp, wr_id, mw, mr, offset, len, access };
        let Reply::Mw { rkey } = self.peer.call(request)? else { bail!("no window") };
        Ok(Mr { rkey, lkey: 0, addr: self.buf.addr + offset })
    }

    /// An address handle.
    pub(super) fn create_ah(&mut self, name: &str, path: Path) -> Result<()> {
        self.peer.call(Request::CreateAh { ah: name.into(), pd: "pd".into(), path })?;
        Ok(())
    }

    /// Destroys an object and lets the caller look at a refusal.
    pub(super) fn try_destroy(&mut self, name: &str) -> Result<(), PeerError> {
        self.peer.call(Request::Destroy { name: name.into() }).map(drop)
    }

    /// Writes memory as the application.
    pub(super) fn store(&mut self, mr: &str, offset: usize, data: &[u8]) -> Result<()> {
        self.peer.call(Request::WriteMem { mr: mr.into(), offset, data: Bytes(data.to_vec()) })?;
        self.lands_in(mr, offset, data);
        Ok(())
    }

    /// Reads memory as the application.
    pub(super) fn load(&mut self, mr: &str, offset: usize, len: usize) -> Result<Vec<u8>> {
        let reply = self.peer.call(Request::ReadMem { mr: mr.into(), offset, len })?;
        let Reply::Memory { data } = reply else { bail!("no memory") };
        Ok(data.0)
    }

    /// Says that `data` should be at `offset` of `buf` when the scenario is over.
    pub(super) fn lands(&mut self, offset: usize, data: &[u8]) {
        self.lands_in("buf", offset, data);
    }

    pub(super) fn lands_in(&mut self, mr: &str, offset: usize, data: &[u8]) {
        let image = self.images.get_mut(mr).expect("a region that was registered");
        image.bytes[offset..offset + data.len()].copy_from_slice(data);
    }

    /// Says that nobody knows what is in this part of `buf`: the buffer of a message that failed.
    pub(super) fn undefined(&mut self, range: Range<usize>) {
        self.images.get_mut("buf").expect("connected").undefined.push(range);
    }

    /// Posts one request on `qp`.
    pub(super) fn post(&mut self, wr: SendWr) -> Result<()> {
        self.post_list(vec![wr])
    }

    /// Posts several in one call.
    pub(super) fn post_list(&mut self, wrs: Vec<SendWr>) -> Result<()> {
        Ok(self.try_post("qp", wrs, false)?)
    }

    /// Posts several, one call each.
    pub(super) fn post_each(&mut self, wrs: impl IntoIterator<Item = SendWr>) -> Result<()> {
        wrs.into_iter().try_for_each(|wr| self.post(wr))
    }

    /// Posts and lets the caller look at a refusal.
    pub(super) fn try_post(&mut self, qp: &str, wrs: Vec<SendWr>, extended: bool) -> Result<(), PeerError> {
        let place = self.place(qp);
        self.posted.extend(wrs.iter().map(|wr| (wr.wr_id, (place, false))));
        self.peer.call(Request::PostSend { qp: qp.into(), wrs, extended }).map(drop)
    }

    /// Posts a receive of `len` bytes at `offset` of `buf`.
    pub(super) fn recv(&mut self, wr_id: u64, offset: u64, len: u32) -> Result<()> {
        Ok(self.try_recv("qp", wr_id, vec![self.buf.sge(offset, len)])?)
    }

    pub(super) fn try_recv(&mut self, qp: &str, wr_id: u64, sges: Vec<Sge>) -> Result<(), PeerError> {
        let place = self.place(qp);
        self.posted.insert(wr_id, (place, true));
        let wrs = vec![RecvWr { wr_id, sges }];
        self.peer.call(Request::PostRecv { qp: qp.into(), wrs }).map(drop)
    }

    pub(super) fn park(&mut self) -> Result<()> {
        let mr = self.region("park", 64, Access::LOCAL_WRITE)?;
        Ok(self.try_recv("qp", 900, vec![mr.sge(0, 64)])?)
    }

    /// Waits for `count` more completions, or until the patience is over.
    pub(super) fn wait(&mut self, count: usize) -> Result<()> {
        self.collect(self.done.len() + count)
    }

    /// Waits until there are `total` completions in all, or until the patience is over.
    pub(super) fn collect(&mut self, total: usize) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.done.len() < total && Instant::now() < deadline {
            let slice = if self.cqs.len() == 1 { 500 } else { QUIET_MS };
            self.poll(total - self.done.len(), slice)?;
        }
        Ok(())
    }

    /// Takes what has come unasked. Gives how many.
    pub(super) fn sweep(&mut self) -> Result<usize> {
        let before = self.done.len();
        self.poll(64, QUIET_MS)?;
        Ok(self.done.len() - before)
    }

    fn poll(&mut self, max: usize, timeout_ms: u32) -> Result<()> {
        for cq in self.cqs.clone() {
            let Reply::Completions { completions } =
                self.peer.call(Request::PollCq { cq, max, timeout_ms })?
            else {
                bail!("no completions")
            };
            self.done.extend(completions);
        }
        Ok(())
    }

    pub(super) fn arm(&mut self, solicited_only: bool) -> Result<()> {
        self.peer.call(Request::ReqNotify { cq: "cq".into(), solicited_only })?;
        Ok(())
    }

    /// Whether a completion event comes within the time.
    pub(super) fn notified(&mut self, timeout_ms: u32) -> Result<bool> {
        let Reply::Notified { notified } =
            self.peer.call(Request::WaitNotify { cq: "cq".into(), timeout_ms })?
        else {
            bail!("no answer")
        };
        Ok(notified)
    }

    /// All asynchronous events so far; `wait` for the first when one should come.
    pub(super) fn events(&mut self, wait: bool) -> Result<Vec<String>> {
        let timeout_ms = if wait && self.seen_events.is_empty() { 1000 } else { QUIET_MS };
        let Reply::Events { events } = self.peer.call(Request::PollAsync { timeout_ms })? else {
            bail!("no events")
        };
        self.seen_events.extend(events);
        Ok(self.seen_events.clone())
    }

    /// Whether this is the number of a receive.
    pub(super) fn is_receive(&self, wr_id: u64) -> bool {
        self.posted.get(&wr_id).is_some_and(|(_, receive)| *receive)
    }

    /// Place of the request's queue pair in the order of creation: completions of different ones may interleave.
    pub(super) fn queue_of(&self, wr_id: u64) -> usize {
        self.posted.get(&wr_id).map_or(0, |(place, _)| *place)
    }

    fn place(&self, qp: &str) -> usize {
        self.qps.iter().position(|(name, _)| name == qp).unwrap_or(0)
    }

    /// States of all queue pairs in the order of their creation.
    pub(super) fn states(&mut self) -> Result<String> {
        let mut states = Vec::new();
        for (qp, _) in self.qps.clone() {
            states.push(format!("{:?}", self.state(&qp)?).to_uppercase());
        }
        Ok(states.join("+"))
    }

    pub(super) fn state(&mut self, qp: &str) -> Result<QpState> {
        let Reply::QpAttr { attr, .. } = self.peer.call(Request::QueryQp { qp: qp.into() })? else {
            bail!("no attributes")
        };
        attr.state.context("a queue pair has a state")
    }

    /// Whether a region is what the scenario said it should be, by checksum: reading it costs more.
    pub(super) fn is_as_expected(&mut self, mr: &str) -> Result<bool> {
        let bytes = &self.images.get(mr).context("no such region")?.bytes;
        let expected = crc32fast::hash(bytes);
        let request = Request::CrcMem { mr: mr.into(), offset: 0, len: bytes.len() };
        let Reply::Crc { crc32 } = self.peer.call(request)? else { bail!("no checksum") };
        Ok(crc32 == expected)
    }

    /// Where memory is not what the scenario said it should be.
    pub(super) fn memory_problems(&mut self) -> Result<Vec<String>> {
        let mut problems = Vec::new();
        let expected: Vec<_> =
            self.images.iter().map(|(name, image)| (name.clone(), image.bytes.len())).collect();
        for (name, len) in expected {
            let bytes = self.load(&name, 0, len)?;
            let image = &self.images[&name];
            let wrong = |at: &usize| {
                bytes[*at] != image.bytes[*at] && !image.undefined.iter().any(|range| range.contains(at))
            };
            let mut places = (0..len).filter(wrong);
            if let Some(first) = places.next() {
                problems.push(format!(
                    "{name}[{first}] is {:#04x}, should be {:#04x}; {} more bytes differ",
                    bytes[first],
                    image.bytes[first],
                    places.count()
                ));
            }
        }
        Ok(problems)
    }
}
