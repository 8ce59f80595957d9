//! Ferroce as a peer: a NIC of this very process.

mod translate;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::Wake;
use std::thread;
use std::time::{Duration, Instant};

use ferroce_engine as engine;
use ferroce_engine::{
    Ah, Arm, Bind, Buffer, Cq, MrInit, MwType, Payload, Pd, Personality, QpInit, Qpn, SendOp, Srq, SrqInit,
    To, VerbsError, Wc,
};
use ferroce_net::{Attachment, NetError, Nic, NicBuilder};

use super::{
    Bytes, Completion, Kind, Mr, Path, Peer, PeerError, QpAttr, RecvWr, Reply, Request, SendFlags, SendWr,
    Sge,
};
use translate::Data;

/// How long a wait sleeps between two looks.
const TICK: Duration = Duration::from_micros(500);

/// A Ferroce NIC and what was made on it.
pub struct FerrocePeer {
    nic: Nic,
    /// Places of its IPv4 and its IPv6 address among the NIC's.
    gids: [Option<u8>; 2],
    sgid_index: u8,
    objects: HashMap<String, Object>,
    /// Memory of regions, which outlives their registration.
    memory: HashMap<String, Buffer>,
}

#[derive(Clone)]
enum Object {
    Pd(Pd),
    Mr { lkey: u32 },
    Mw { rkey: u32 },
    Cq(Cq, Option<Arc<Channel>>),
    Ah(Ah),
    Srq(Srq),
    Qp(Qpn),
}

impl FerrocePeer {
    /// Opens a NIC with these addresses.
    ///
    /// # Errors
    /// When the NIC cannot be opened.
    pub fn open(builder: NicBuilder, ipv4: Ipv4Addr, ipv6: Ipv6Addr) -> Result<Self, NetError> {
        Self::attached(builder, Attachment::Udp(vec![ipv4.into(), ipv6.into()]))
    }

    /// Opens a NIC that is attached in this way. As in a guest, its GID 1 is its IPv4 address and GID 2 the IPv6 one.
    ///
    /// # Errors
    /// When the NIC cannot be opened.
    pub fn attached(builder: NicBuilder, attachment: Attachment) -> Result<Self, NetError> {
        let addresses = attachment.addresses();
        let place = |is_wanted: fn(&IpAddr) -> bool| {
            addresses.iter().position(is_wanted).and_then(|index| u8::try_from(index).ok())
        };
        let gids = [place(IpAddr::is_ipv4), place(IpAddr::is_ipv6)];
        let personality = Personality { placement: true, ..Personality::default() };
        let nic = builder.attach(attachment).personality(personality).open()?;
        Ok(Self { nic, gids, sgid_index: 0, objects: HashMap::new(), memory: HashMap::new() })
    }

    fn choose_gid(&mut self, gid_index: u8) -> Result<Reply, PeerError> {
        let index = usize::from(gid_index).wrapping_sub(1);
        let place = *self.gids.get(index).ok_or_else(|| nonsense("no such GID"))?;
        let lacks = || PeerError::Lacks("our NIC has no address of this kind".to_owned());
        self.sgid_index = place.ok_or_else(lacks)?;
        let (gid, mtu) = self.nic.with(|device, _| {
            let config = device.config();
            (config.gids[usize::from(self.sgid_index)], config.mtu.bytes())
        });
        Ok(Reply::Device { gid, active_mtu: mtu as u32 })
    }

    fn register(&mut self, name: String, pd: &str, len: usize, access: u32) -> Result<Reply, PeerError> {
        let pd = self.pd(pd)?;
        let access = translate::access(access)?;
        let buffer = Buffer::new(len);
        let mr = self.nic.with(|device, _| device.reg_mr(pd, MrInit::new(&buffer, access)))?;
        let addr = buffer.addr();
        self.objects.insert(name.clone(), Object::Mr { lkey: mr.lkey });
        self.memory.insert(name, buffer);
        Ok(Reply::Mr(Mr { addr, lkey: mr.lkey, rkey: mr.rkey }))
    }

    fn create_ah(&mut self, name: String, pd: &str, path: Path) -> Result<(), PeerError> {
        let (pd, av) = (self.pd(pd)?, translate::address_vector(path, self.sgid_index));
        let ah = self.nic.with(|device, _| device.create_ah(pd, av))?;
        self.objects.insert(name, Object::Ah(ah));
        Ok(())
    }

    fn create_qp(&mut self, name: String, init: &QpInit) -> Result<Reply, PeerError> {
        let qpn = self.nic.with(|device, _| device.create_qp(init))?;
        self.objects.insert(name, Object::Qp(qpn));
        Ok(Reply::Qp { qpn: qpn.value() })
    }

    fn create_srq(&mut self, name: String, pd: &str, depth: u32) -> Result<(), PeerError> {
        let init = SrqInit::new(self.pd(pd)?, depth);
        let srq = self.nic.with(|device, _| device.create_srq(&init))?;
        self.objects.insert(name, Object::Srq(srq));
        Ok(())
    }

    fn limit_srq(&self, name: &str, limit: u32) -> Result<(), PeerError> {
        let srq = self.srq(name)?;
        Ok(self.nic.with(|device, _| device.modify_srq(srq, None, Some(limit)))?)
    }

    fn srq_limit(&self, name: &str) -> Result<u32, PeerError> {
        let srq = self.srq(name)?;
        Ok(self.nic.with(|device, _| device.query_srq(srq))?.limit)
    }

    fn create_cq(&mut self, name: String, depth: u32, has_channel: bool) -> Result<Reply, PeerError> {
        let cq = self.nic.with(|device, _| device.create_cq(depth))?;
        let channel = has_channel.then(Arc::<Channel>::default);
        if let Some(channel) = &channel {
            self.nic.set_waker(cq, Some(&Arc::clone(channel).into()));
        }
        self.objects.insert(name, Object::Cq(cq, channel));
        Ok(Reply::Cq { depth })
    }

    fn poll_cq(&self, cq: Cq, max: usize, limit: Duration) -> Result<Vec<Completion>, PeerError> {
        let deadline = Instant::now() + limit;
        let mut wcs = vec![Wc::default(); max];
        let mut found = 0;
        loop {
            let count = self.nic.poll_cq(cq, &mut wcs[found..])?;
            found += count;
            if found == max || Instant::now() >= deadline {
                return Ok(wcs[..found].iter().map(translate::completion).collect());
            }
            if count == 0 {
                thread::sleep(TICK);
            }
        }
    }

    fn poll_async(&self, limit: Duration) -> Vec<String> {
        let deadline = Instant::now() + limit;
        let mut events = Vec::new();
        loop {
            events.extend(std::iter::from_fn(|| self.nic.poll_async_event()).map(translate::event));
            if !events.is_empty() || Instant::now() >= deadline {
                return events;
            }
            thread::sleep(TICK);
        }
    }

    fn destroy(&mut self, name: &str) -> Result<(), PeerError> {
        match self.object(name)? {
            Object::Pd(pd) => self.nic.with(|device, _| device.dealloc_pd(pd))?,
            Object::Mw { rkey } => self.nic.with(|device, _| device.dealloc_mw(rkey))?,
            Object::Mr { lkey } => self.nic.with(|device, _| device.dereg_mr(lkey))?,
            Object::Cq(cq, _) => self.nic.destroy_cq(cq)?,
            Object::Srq(srq) => self.nic.with(|device, _| device.destroy_srq(srq))?,
            Object::Ah(ah) => self.nic.with(|device, _| device.destroy_ah(ah))?,
            Object::Qp(qpn) => self.nic.with(|device, _| device.destroy_qp(qpn))?,
        }
        self.objects.remove(name);
        Ok(())
    }

    fn modify_qp(&self, qp: &str, attr: &QpAttr, mask: Option<u32>) -> Result<(), PeerError> {
        let change = translate::attributes(attr, self.sgid_index)?;
        if mask.is_some_and(|mask| mask != change.mask().bits()) {
            return Err(nonsense("a mask that does not name the attributes given"));
        }
        let qpn = self.qp(qp)?;
        Ok(self.nic.with(|device, now| device.modify_qp(now, qpn, &change))?)
    }

    fn post_send(&self, qp: &str, wrs: &[SendWr]) -> Result<(), PeerError> {
        let qpn = self.qp(qp)?;
        let data = wrs.iter().map(|wr| self.data(wr)).collect::<Result<Vec<_>, _>>()?;
        let request = |(wr, data)| Ok(translate::request(wr, data, self.destination(wr)?));
        let requests = wrs.iter().zip(&data).map(request).collect::<Result<Vec<_>, PeerError>>()?;
        self.nic.with(|device, now| device.post_send(now, qpn, &requests)).map_err(|error| error.cause.into())
    }

    fn bind(
        &mut self,
        qp: &str,
        wr_id: u64,
        mw: String,
        mr: &str,
        (offset, len): (u64, u64),
        access: u32,
    ) -> Result<Reply, PeerError> {
        let qpn = self.qp(qp)?;
        let Object::Mw { rkey: before } = self.object(&mw)? else { return Err(nonsense("not a window")) };
        let Object::Mr { lkey: region } = self.object(mr)? else { return Err(nonsense("not a region")) };
        let rkey = before & !0xFF | before.wrapping_add(1) & 0xFF;
        let addr = self.bytes(mr, 0, 0)?.addr().wrapping_add(offset);
        let op = SendOp::BindMw(Bind { rkey, region, addr, len, access: translate::access(access)? });
        let flags = engine::SendFlags::SIGNALED;
        let request = engine::SendWr { flags, ..engine::SendWr::new(wr_id, op, Payload::Sges(&[])) };
        let posted = self.nic.with(|device, now| device.post_send(now, qpn, &[request]));
        posted.map_err(|error| error.cause)?;
        self.objects.insert(mw, Object::Mw { rkey });
        Ok(Reply::Mw { rkey })
    }

    fn destination(&self, wr: &SendWr) -> Result<To, PeerError> {
        let Some(to) = &wr.to else { return Ok(To::Peer) };
        let Object::Ah(ah) = self.object(&to.ah)? else { return Err(nonsense("not an address handle")) };
        Ok(To::Datagram { ah, qpn: Qpn::new(to.qpn), qkey: to.qkey })
    }

    fn data(&self, wr: &SendWr) -> Result<Data, PeerError> {
        Ok(if wr.flags & SendFlags::INLINE == 0 {
            Data::Memory(translate::sges(&wr.sges))
        } else {
            Data::Inline(self.inline(&wr.sges)?)
        })
    }

    fn post_recv(&self, qp: &str, wrs: &[RecvWr]) -> Result<(), PeerError> {
        let qpn = self.qp(qp)?;
        let posted = with_recvs(wrs, |wrs| self.nic.with(|device, now| device.post_recv(now, qpn, wrs)));
        posted.map_err(|error| error.cause.into())
    }

    fn post_srq_recv(&self, srq: &str, wrs: &[RecvWr]) -> Result<(), PeerError> {
        let srq = self.srq(srq)?;
        let posted = with_recvs(wrs, |wrs| self.nic.with(|device, now| device.post_srq_recv(now, srq, wrs)));
        posted.map_err(|error| error.cause.into())
    }

    /// What lies in the application's memory now, whatever keys say.
    fn inline(&self, sges: &[Sge]) -> Result<Vec<u8>, PeerError> {
        let mut bytes = Vec::new();
        for sge in sges.iter().filter(|sge| sge.len > 0) {
            let piece = self.memory.values().find_map(|buffer| {
                let offset = usize::try_from(sge.addr.checked_sub(buffer.addr())?).ok()?;
                let inside = offset.checked_add(sge.len as usize)? <= buffer.len();
                inside.then(|| buffer.to_vec(offset, sge.len as usize))
            });
            bytes.extend(piece.ok_or_else(|| nonsense("inline data that is no memory"))?);
        }
        Ok(bytes)
    }

    fn object(&self, name: &str) -> Result<Object, PeerError> {
        self.objects.get(name).cloned().ok_or_else(|| nonsense(&format!("nothing is called {name}")))
    }

    fn pd(&self, name: &str) -> Result<Pd, PeerError> {
        let Object::Pd(pd) = self.object(name)? else { return Err(nonsense("not a protection domain")) };
        Ok(pd)
    }

    fn qp(&self, name: &str) -> Result<Qpn, PeerError> {
        let Object::Qp(qpn) = self.object(name)? else { return Err(nonsense("not a queue pair")) };
        Ok(qpn)
    }

    fn srq(&self, name: &str) -> Result<Srq, PeerError> {
        let Object::Srq(srq) = self.object(name)? else { return Err(nonsense("not a shared receive queue")) };
        Ok(srq)
    }

    fn cq(&self, name: &str) -> Result<(Cq, Option<Arc<Channel>>), PeerError> {
        let Object::Cq(cq, channel) = self.object(name)? else {
            return Err(nonsense("not a completion queue"));
        };
        Ok((cq, channel))
    }

    /// The bytes of a region, if they all lie inside.
    fn bytes(&self, mr: &str, offset: usize, len: usize) -> Result<&Buffer, PeerError> {
        let buffer = self.memory.get(mr).ok_or_else(|| nonsense(&format!("no memory is called {mr}")))?;
        let inside = offset.checked_add(len).is_some_and(|end| end <= buffer.len());
        inside.then_some(buffer).ok_or_else(|| nonsense("outside the memory"))
    }
}

impl Peer for FerrocePeer {
    fn call(&mut self, request: Request) -> Result<Reply, PeerError> {
        match request {
            Request::Open { gid_index } => return self.choose_gid(gid_index),
            Request::AllocPd { pd } => {
                let made = self.nic.with(|device, _| device.alloc_pd())?;
                self.objects.insert(pd, Object::Pd(made));
            }
            Request::RegMr { mr, pd, len, access } => return self.register(mr, &pd, len, access),
            Request::WriteMem { mr, offset, data } => {
                self.bytes(&mr, offset, data.0.len())?.write(offset, &data.0);
            }
            Request::ReadMem { mr, offset, len } => {
                let data = Bytes(self.bytes(&mr, offset, len)?.to_vec(offset, len));
                return Ok(Reply::Memory { data });
            }
            Request::CrcMem { mr, offset, len } => {
                let bytes = self.bytes(&mr, offset, len)?.to_vec(offset, len);
                return Ok(Reply::Crc { crc32: crc32fast::hash(&bytes) });
            }
            Request::AllocMw { mw, pd, type2 } => {
                let (pd, kind) = (self.pd(&pd)?, if type2 { MwType::Type2 } else { MwType::Type1 });
                let rkey = self.nic.with(|device, _| device.alloc_mw(pd, kind))?;
                self.objects.insert(mw, Object::Mw { rkey });
            }
            Request::BindMw { qp, wr_id, mw, mr, offset, len, access } => {
                return self.bind(&qp, wr_id, mw, &mr, (offset, len), access);
            }
            Request::CreateAh { ah, pd, path } => self.create_ah(ah, &pd, path)?,
            Request::Destroy { name } => self.destroy(&name)?,
            Request::CreateCq { cq, depth, channel } => return self.create_cq(cq, depth, channel),
            Request::PollCq { cq, max, timeout_ms } => {
                let completions = self.poll_cq(self.cq(&cq)?.0, max, milliseconds(timeout_ms))?;
                return Ok(Reply::Completions { completions });
            }
            Request::ReqNotify { cq, solicited_only } => {
                let arm = if solicited_only { Arm::Solicited } else { Arm::Next };
                self.nic.req_notify_cq(self.cq(&cq)?.0, arm)?;
            }
            Request::WaitNotify { cq, timeout_ms } => {
                let channel = self.cq(&cq)?.1.ok_or_else(|| nonsense("it has no channel"))?;
                return Ok(Reply::Notified { notified: channel.wait(milliseconds(timeout_ms)) });
            }
            Request::PollAsync { timeout_ms } => {
                return Ok(Reply::Events { events: self.poll_async(milliseconds(timeout_ms)) });
            }
            Request::CreateSrq { srq, pd, depth } => self.create_srq(srq, &pd, depth)?,
            Request::LimitSrq { srq, limit } => self.limit_srq(&srq, limit)?,
            Request::QuerySrq { srq } => return Ok(Reply::Srq { limit: self.srq_limit(&srq)? }),
            Request::PostSrqRecv { srq, wrs } => self.post_srq_recv(&srq, &wrs)?,
            Request::CreateQp { qp, pd, kind, send_cq, recv_cq, srq, caps, sq_sig_all } => {
                let init = QpInit {
                    recv_cq: self.cq(&recv_cq)?.0,
                    srq: srq.map(|srq| self.srq(&srq)).transpose()?,
                    cap: translate::caps(&caps),
                    signal_all: sq_sig_all,
                    ..QpInit::new(translate::service(kind), self.pd(&pd)?, self.cq(&send_cq)?.0)
                };
                return self.create_qp(qp, &init);
            }
            Request::ModifyQp { qp, attr, mask } => self.modify_qp(&qp, &attr, mask)?,
            Request::QueryQp { qp } => {
                let qpn = self.qp(&qp)?;
                let info = self.nic.with(|device, _| device.query_qp(qpn))?;
                return Ok(translate::info(&info));
            }
            // The two ways of posting lead to the same checks here.
            Request::PostSend { qp, wrs, extended: _ } => self.post_send(&qp, &wrs)?,
            Request::PostRecv { qp, wrs } => self.post_recv(&qp, &wrs)?,
        }
        Ok(Reply::Done)
    }

    fn kind(&self) -> Kind {
        Kind::Ferroce
    }
}

impl From<VerbsError> for PeerError {
    fn from(error: VerbsError) -> Self {
        Self::Refused { text: error.to_string(), errno: Some(error.errno()) }
    }
}

fn with_recvs<T>(wrs: &[RecvWr], post: impl FnOnce(&[engine::RecvWr<'_>]) -> T) -> T {
    let sges: Vec<_> = wrs.iter().map(|wr| translate::sges(&wr.sges)).collect();
    let lists = wrs.iter().zip(&sges);
    let requests: Vec<_> = lists.map(|(wr, sges)| engine::RecvWr { wr_id: wr.wr_id, sges }).collect();
    post(&requests)
}

fn nonsense(text: &str) -> PeerError {
    PeerError::Refused { text: text.to_owned(), errno: None }
}

fn milliseconds(count: u32) -> Duration {
    Duration::from_millis(count.into())
}

/// A completion channel: notifications wait in it until they are taken.
#[derive(Default)]
struct Channel {
    waiting: Mutex<u32>,
    came: Condvar,
}

impl Channel {
    /// Takes a notification if one comes in time.
    fn wait(&self, limit: Duration) -> bool {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.came.wait_timeout_while(waiting, limit, |waiting| *waiting == 0);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let came = *waiting > 0;
        *waiting = waiting.saturating_sub(1);
        came
    }
}

impl Wake for Channel {
    fn wake(self: Arc<Self>) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.came.notify_one();
    }
}
