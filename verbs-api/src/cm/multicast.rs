//! Multicast groups of datagram services.

use std::net::IpAddr;

use ferroce_engine::{AddressVector, Qpn};

use super::channel::{News, Pending};
use super::error::CmError;
use super::event::UdEvent;
use super::id::{Id, Inner};

impl Id {
    /// Joins a multicast group (`rdma_join_multicast`), and has the attached queue pair receive what is sent there.
    /// [`MulticastJoin`](super::EventKind::MulticastJoin) follows, with the way to the group. An identifier that
    /// is bound to a NIC or has resolved an address can do so.
    ///
    /// # Errors
    /// When there is no NIC yet, the address is no multicast address of the right version of IP, or the queue pair
    /// is not for datagrams.
    pub fn join_multicast(&self, group: IpAddr) -> Result<(), CmError> {
        let mut inner = self.shared.inner.lock();
        let context = inner.nic("join a multicast group")?;
        if !group.is_multicast() || group.is_ipv4() != inner.local.is_ipv4() {
            return Err(CmError::NoDevice(group));
        }
        if let Some(qpn) = inner.qpn {
            context.nic().with(|device, _| device.attach_mcast(qpn, group))?;
        }
        let member = inner.qpn;
        // Joining again with a queue pair is the same membership.
        inner.groups.retain(|joined| *joined != (None, group));
        inner.groups.push((member, group));
        drop(inner);
        self.channel().push(Pending { id: self.clone(), listener: None, news: News::Joined(group) });
        Ok(())
    }

    /// Leaves a multicast group (`rdma_leave_multicast`).
    ///
    /// # Errors
    /// When it was not joined with this identifier.
    pub fn leave_multicast(&self, group: IpAddr) -> Result<(), CmError> {
        let mut inner = self.shared.inner.lock();
        let found = inner.groups.iter().position(|(_, joined)| *joined == group);
        let found = found.ok_or(CmError::State("leave a multicast group that was not joined"))?;
        let (qpn, group) = inner.groups.swap_remove(found);
        let context = inner.nic("leave a multicast group")?;
        drop(inner);
        if let Some(qpn) = qpn {
            context.nic().with(|device, _| device.detach_mcast(qpn, group))?;
        }
        Ok(())
    }

    /// The way to a group: its address, the queue pair that stands for all members, the usual Q_Key.
    pub(super) fn way_to(&self, group: IpAddr) -> Result<UdEvent, CmError> {
        let inner = self.shared.inner.lock();
        let context = inner.nic("name the way to a multicast group")?;
        let index = super::calls::gid_index(&context, inner.local.ip());
        let av = AddressVector { traffic_class: inner.options.tos, ..AddressVector::new(index, group) };
        Ok(UdEvent { private_data: Vec::new(), av: Some(av), qp_num: Qpn::MULTICAST, qkey: super::UD_QKEY })
    }
}

impl Inner {
    /// Leaves all groups. A queue pair that is gone has left them already.
    pub(super) fn leave_all(&mut self) {
        for (qpn, group) in std::mem::take(&mut self.groups) {
            if let (Some(context), Some(qpn)) = (&self.context, qpn) {
                context.nic().with(|device, _| device.detach_mcast(qpn, group)).ok();
            }
        }
    }
}
