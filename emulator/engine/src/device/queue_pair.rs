//! Making and removing queue pairs.

use ferroce_wire::Qpn;

use super::Device;
use crate::error::VerbsError;
use crate::qp::{QpInit, QpType};
use crate::trace::TraceSink;

impl<T: TraceSink> Device<T> {
    /// Makes a queue pair, in RESET (`ibv_create_qp`).
    pub fn create_qp(&mut self, init: &QpInit) -> Result<Qpn, VerbsError> {
        self.check_sizes(init)?;
        self.check_parts(init)?;
        let qpn = self.qps.create(&mut self.rng, *init).ok_or(VerbsError::Exhausted("queue pairs"))?;
        self.count_parts(init, |users| *users += 1);
        Ok(qpn)
    }

    /// Removes a queue pair with everything that is posted to it; completions already queued stay
    /// (`ibv_destroy_qp`).
    ///
    /// # Errors
    /// While it is attached to a multicast group.
    pub fn destroy_qp(&mut self, qpn: Qpn) -> Result<(), VerbsError> {
        if self.groups.has(qpn) {
            return Err(VerbsError::Busy("the queue pair is attached to a multicast group"));
        }
        let qp = self.qps.get_mut(qpn).ok_or(VerbsError::Stale("queue pair"))?;
        if qp.openers > 1 {
            qp.openers -= 1;
            return Ok(());
        }
        let init = qp.conn.init;
        self.qps.destroy(qpn);
        self.count_parts(&init, |users| *users -= 1);
        Ok(())
    }

    /// Takes a queue pair's completions that nobody has polled out of its completion queues. Drivers of hardware do
    /// so when it is reset or destroyed; without this call they stay.
    pub fn discard_completions(&mut self, qpn: Qpn) -> Result<(), VerbsError> {
        let QpInit { send_cq, recv_cq, .. } = self.query_qp(qpn)?.init;
        for cq in [send_cq, recv_cq] {
            if let Some(queue) = self.core.cqs.get_mut(cq) {
                queue.discard(qpn);
            }
        }
        Ok(())
    }

    fn check_sizes(&self, init: &QpInit) -> Result<(), VerbsError> {
        let (cap, limits) = (&init.cap, &self.core.config.limits);
        let too_much = [
            (cap.max_send_wr > limits.max_qp_wr, "max_send_wr"),
            (cap.max_recv_wr > limits.max_qp_wr, "max_recv_wr"),
            (cap.max_send_sge > limits.max_sge, "max_send_sge"),
            (cap.max_recv_sge > limits.max_sge, "max_recv_sge"),
            (cap.max_inline_data > limits.max_inline_data, "max_inline_data"),
        ];
        match too_much.iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, name)) => Err(VerbsError::Invalid(name)),
            None => Ok(()),
        }
    }

    /// Everything that the queue pair refers to must be there, and suit its type.
    fn check_parts(&mut self, init: &QpInit) -> Result<(), VerbsError> {
        let target = init.qp_type == QpType::XrcTarget;
        if target != init.xrcd.is_some() {
            return Err(VerbsError::Invalid("an XRC domain belongs to the target of such a connection"));
        }
        if let Some(xrcd) = init.xrcd {
            self.xrcd(xrcd)?;
            return if init.srq.is_none() { Ok(()) } else { Err(VerbsError::Invalid("srq")) };
        }
        self.domain(init.pd)?;
        self.cq(init.send_cq)?;
        self.cq(init.recv_cq)?;
        let Some(srq) = init.srq else { return Ok(()) };
        let queue = self.core.srqs.get(srq).ok_or(VerbsError::Stale("shared receive queue"))?;
        if queue.init.xrc.is_some() || !matches!(init.qp_type, QpType::Rc | QpType::Ud) {
            return Err(VerbsError::Invalid("a shared receive queue for another type of queue pair"));
        }
        Ok(())
    }

    /// Everything that the queue pair refers to counts it.
    fn count_parts(&mut self, init: &QpInit, change: fn(&mut u32)) {
        let core = &mut self.core;
        if let Some(domain) = self.pds.get_mut(init.pd) {
            change(&mut domain.users);
        }
        for cq in [init.send_cq, init.recv_cq] {
            if let Some(queue) = core.cqs.get_mut(cq) {
                change(&mut queue.users);
            }
        }
        if let Some(queue) = init.srq.and_then(|srq| core.srqs.get_mut(srq)) {
            change(&mut queue.users);
        }
        if let Some(domain) = init.xrcd.and_then(|xrcd| core.xrcds.get_mut(xrcd)) {
            change(&mut domain.users);
        }
    }
}
