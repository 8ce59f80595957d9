//! The verbs about shared receive queues and extended reliable connections.

use ferroce_wire::Qpn;

use super::Device;
use crate::error::{PostError, VerbsError};
use crate::qp::QpType;
use crate::srq::{SharedReceiveQueue, Srq, SrqInfo, SrqInit, XrcDomain, Xrcd, XrcdOpen};
use crate::time::Time;
use crate::trace::{TraceEvent, TraceSink};
use crate::work::{Payload, RecvWqe, RecvWr};

impl<T: TraceSink> Device<T> {
    /// Makes a queue of receives for several queue pairs (`ibv_create_srq`, `ibv_create_srq_ex`).
    ///
    /// ```
    /// # use ferroce_engine::*;
    /// # use std::net::Ipv4Addr;
    /// # let config = DeviceConfig::new("ferroce0", [Ipv4Addr::new(192, 0, 2, 1).into()]);
    /// # let mut device = Device::new(config, 7, NoTrace);
    /// # let (pd, cq) = (device.alloc_pd()?, device.create_cq(16)?);
    /// let srq = device.create_srq(&SrqInit::new(pd, 100))?;
    /// let qps = [0; 3].map(|_| device.create_qp(&QpInit { srq: Some(srq), ..QpInit::new(QpType::Rc, pd, cq) }));
    /// device.post_srq_recv(Time::ZERO, srq, &[RecvWr { wr_id: 1, sges: &[] }]).unwrap();
    /// assert_eq!(device.query_srq(srq)?.queued, 1);
    /// # assert!(qps.iter().all(|qp| qp.is_ok()));
    /// # Ok::<_, VerbsError>(())
    /// ```
    pub fn create_srq(&mut self, init: &SrqInit) -> Result<Srq, VerbsError> {
        let limits = &self.core.config.limits;
        if init.max_wr == 0 || init.max_wr > limits.max_srq_wr {
            return Err(VerbsError::Invalid("max_wr"));
        }
        if init.max_sge > limits.max_srq_sge {
            return Err(VerbsError::Invalid("max_sge"));
        }
        self.domain(init.pd)?;
        if let Some((xrcd, cq)) = init.xrc {
            self.xrcd(xrcd)?;
            self.cq(cq)?;
        }
        let made = self.core.srqs.insert(SharedReceiveQueue::new(*init));
        let srq = made.ok_or(VerbsError::Exhausted("shared receive queues"))?;
        self.domain(init.pd)?.users += 1;
        if let Some((xrcd, cq)) = init.xrc {
            self.xrcd(xrcd)?.users += 1;
            self.cq(cq)?.users += 1;
        }
        Ok(srq)
    }

    /// Changes the room of a shared receive queue, and arms or disarms its limit: when fewer receives are left than
    /// `limit` after one was taken, [`SrqLimitReached`](crate::AsyncEvent::SrqLimitReached) is raised once
    /// (`ibv_modify_srq`). What is `None` stays.
    ///
    /// # Errors
    /// When more receives are posted than the new room, or the limit exceeds it.
    pub fn modify_srq(
        &mut self,
        srq: Srq,
        max_wr: Option<u32>,
        limit: Option<u32>,
    ) -> Result<(), VerbsError> {
        let most = self.core.config.limits.max_srq_wr;
        let queue = self.core.srqs.get_mut(srq).ok_or(STALE_SRQ)?;
        let room = max_wr.unwrap_or(queue.rq.depth());
        if room == 0 || room > most {
            return Err(VerbsError::Invalid("max_wr"));
        }
        if room < queue.rq.len() {
            return Err(VerbsError::Invalid("more receives are posted than the new max_wr"));
        }
        if limit.unwrap_or(queue.limit) > room {
            return Err(VerbsError::Invalid("a limit above max_wr"));
        }
        if room != queue.rq.depth() {
            queue.rq.resize(room);
        }
        queue.limit = limit.unwrap_or(queue.limit);
        Ok(())
    }

    /// Everything about a shared receive queue (`ibv_query_srq`).
    pub fn query_srq(&self, srq: Srq) -> Result<SrqInfo, VerbsError> {
        self.core.srqs.get(srq).map(|queue| queue.info(srq)).ok_or(STALE_SRQ)
    }

    /// Removes a shared receive queue with everything that is posted to it (`ibv_destroy_srq`). No queue pair may
    /// have been created with it that is there still.
    pub fn destroy_srq(&mut self, srq: Srq) -> Result<(), VerbsError> {
        let queue = self.core.srqs.get(srq).ok_or(STALE_SRQ)?;
        if queue.users > 0 {
            return Err(VerbsError::Busy("queue pairs use the shared receive queue"));
        }
        let init = queue.init;
        self.core.srqs.remove(srq);
        self.domain(init.pd)?.users -= 1;
        if let Some((xrcd, cq)) = init.xrc {
            self.xrcd(xrcd)?.users -= 1;
            self.cq(cq)?.users -= 1;
        }
        Ok(())
    }

    /// Posts receives that several queue pairs share (`ibv_post_srq_recv`).
    pub fn post_srq_recv(&mut self, now: Time, srq: Srq, wrs: &[RecvWr<'_>]) -> Result<(), PostError> {
        for (index, wr) in wrs.iter().enumerate() {
            let refused = |cause| PostError { index, cause };
            let queue = self.core.srqs.get_mut(srq).ok_or(refused(STALE_SRQ))?;
            if wr.sges.len() > queue.rq.max_sge() as usize {
                return Err(refused(VerbsError::Invalid("more scatter/gather entries than max_sge")));
            }
            if queue.rq.is_full() {
                return Err(refused(VerbsError::QueueFull { depth: queue.rq.depth() }));
            }
            queue.rq.push(RecvWqe { wr_id: wr.wr_id }, Payload::Sges(wr.sges));
            self.core.ctx(now).trace(|| TraceEvent::PostSrqRecv { srq, wr_id: wr.wr_id });
        }
        Ok(())
    }

    /// Opens an XRC domain, which others may share by its name (`ibv_open_xrcd`).
    ///
    /// # Errors
    /// EAGAIN when it is not there and not to be made; EINVAL when it is there and must not be, or has no name and
    /// is not to be made.
    pub fn open_xrcd(&mut self, open: XrcdOpen) -> Result<Xrcd, VerbsError> {
        let XrcdOpen { name, create, exclusive } = open;
        let found = name.and_then(|_| self.core.xrcds.iter().find(|(_, domain)| domain.name == name));
        match found.map(|(xrcd, _)| xrcd) {
            Some(_) if exclusive => Err(VerbsError::Invalid("there is an XRC domain of that name")),
            Some(xrcd) => {
                self.xrcd(xrcd)?.opens += 1;
                Ok(xrcd)
            }
            None if create => {
                let domain = XrcDomain { name, opens: 1, users: 0 };
                self.core.xrcds.insert(domain).ok_or(VerbsError::Exhausted("XRC domains"))
            }
            None if name.is_some() => Err(VerbsError::NotThere("XRC domain of that name")),
            None => Err(VerbsError::Invalid("an XRC domain without a name can only be made")),
        }
    }

    /// Closes an XRC domain once (`ibv_close_xrcd`). It is gone when everybody who has opened it has closed it.
    ///
    /// # Errors
    /// EBUSY for the last when queue pairs or shared receive queues are in it.
    pub fn close_xrcd(&mut self, xrcd: Xrcd) -> Result<(), VerbsError> {
        let domain = self.xrcd(xrcd)?;
        if domain.opens > 1 {
            domain.opens -= 1;
            return Ok(());
        }
        if domain.users > 0 {
            return Err(VerbsError::Busy("queue pairs or shared receive queues are in the XRC domain"));
        }
        self.core.xrcds.remove(xrcd);
        Ok(())
    }

    /// Takes part in the target of an extended reliable connection that somebody has made in this domain
    /// (`ibv_open_qp`). It is destroyed when everybody who has made or opened it has called
    /// [`destroy_qp`](Self::destroy_qp).
    pub fn open_qp(&mut self, xrcd: Xrcd, qpn: Qpn) -> Result<(), VerbsError> {
        self.xrcd(xrcd)?;
        let qp = self.qps.get_mut(qpn).ok_or(VerbsError::Stale("queue pair"))?;
        if qp.conn.init.qp_type != QpType::XrcTarget || qp.conn.init.xrcd != Some(xrcd) {
            return Err(VerbsError::Invalid("no target queue pair of the XRC domain"));
        }
        qp.openers += 1;
        Ok(())
    }

    pub(super) fn xrcd(&mut self, xrcd: Xrcd) -> Result<&mut XrcDomain, VerbsError> {
        self.core.xrcds.get_mut(xrcd).ok_or(VerbsError::Stale("XRC domain"))
    }
}

const STALE_SRQ: VerbsError = VerbsError::Stale("shared receive queue");
