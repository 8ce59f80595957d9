//! Joining two queue pairs.

use ferroce_engine::{
    Access, AddressVector, PathMtu, PostError, Psn, QpAttr, QpType, Qpn, RecvWr, SendWr, VerbsError,
};

use crate::fabric::{Fabric, HostId};
use crate::log::Watch;

/// One end of a connection: a queue pair of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct End {
    /// The host.
    pub host: HostId,
    /// Its queue pair.
    pub qp: Qpn,
}

/// How two queue pairs are joined.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// What either end may do to the other's memory.
    pub access: Access,
    /// Path MTU.
    pub mtu: PathMtu,
    /// First PSN that each end sends.
    pub psns: [Psn; 2],
    /// IPv4 TOS or IPv6 traffic class of all packets.
    pub traffic_class: u8,
    /// Local ACK timeout, as the exponent of 4.096 µs · 2^n.
    pub timeout: u8,
    /// Retries without progress.
    pub retries: u8,
}

impl Default for Connection {
    fn default() -> Connection {
        let access = Access::LOCAL_WRITE | Access::REMOTE_WRITE | Access::REMOTE_READ | Access::REMOTE_ATOMIC;
        let psns = [Psn::new(0x1000), Psn::new(0x2000)];
        Connection { access, mtu: PathMtu::Mtu1024, psns, traffic_class: 0, timeout: 14, retries: 6 }
    }
}

impl<T: Watch> Fabric<T> {
    /// Takes two fresh queue pairs of a connected service to RTS, towards each other. What is not said is as
    /// [`QpAttr::rtr`] and [`QpAttr::rts`] have it.
    ///
    /// # Errors
    /// Those of `modify_qp`; one end may have been changed by then.
    pub fn connect(&mut self, ends: [End; 2], how: &Connection) -> Result<(), VerbsError> {
        for (me, peer) in [(0, 1), (1, 0)] {
            let av = AddressVector::new(0, self.address(ends[peer].host));
            let av = AddressVector { traffic_class: how.traffic_class, ..av };
            let (timeout, retry_cnt) = (Some(how.timeout), Some(how.retries));
            let to = (av, ends[peer].qp, how.psns[peer], how.mtu);
            let (rtr, rts) = match self.device(ends[me].host).query_qp(ends[me].qp)?.init.qp_type {
                QpType::Uc => (QpAttr::rtr_uc(to.0, to.1, to.2, to.3), QpAttr::rts_unreliable(how.psns[me])),
                _ => {
                    let rts = QpAttr { timeout, retry_cnt, ..QpAttr::rts(how.psns[me]) };
                    (QpAttr::rtr(to.0, to.1, to.2, to.3), rts)
                }
            };
            for change in [QpAttr::init(how.access), rtr, rts] {
                self.modify_qp(ends[me], &change)?;
            }
        }
        Ok(())
    }

    /// [`Device::modify_qp`](ferroce_engine::Device::modify_qp), now.
    ///
    /// # Errors
    /// As there.
    pub fn modify_qp(&mut self, end: End, change: &QpAttr) -> Result<(), VerbsError> {
        self.with(end.host, |device, now| device.modify_qp(now, end.qp, change))
    }

    /// [`Device::post_send`](ferroce_engine::Device::post_send), now.
    ///
    /// # Errors
    /// As there.
    pub fn post_send(&mut self, end: End, wrs: &[SendWr<'_>]) -> Result<(), PostError> {
        self.with(end.host, |device, now| device.post_send(now, end.qp, wrs))
    }

    /// [`Device::post_recv`](ferroce_engine::Device::post_recv), now.
    ///
    /// # Errors
    /// As there.
    pub fn post_recv(&mut self, end: End, wrs: &[RecvWr<'_>]) -> Result<(), PostError> {
        self.with(end.host, |device, now| device.post_recv(now, end.qp, wrs))
    }
}
