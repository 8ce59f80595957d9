//! What datagrams need besides queue pairs: address handles and multicast groups.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ferroce_wire::{Packet, Qpn, Service};

use super::Device;
use crate::error::VerbsError;
use crate::event::Event;
use crate::io::RxMeta;
use crate::memory::Pd;
use crate::qp::{AddressVector, QpType};
use crate::table::Id;
use crate::time::Time;
use crate::trace::{DropReason, TraceSink};

/// The way to a destination of datagrams.
#[derive(Clone, Debug)]
pub struct AddressHandle {
    pub(crate) pd: Pd,
    pub(crate) av: AddressVector,
}

/// Handle of an address handle.
pub type Ah = Id<AddressHandle>;

/// Which queue pairs are attached to which multicast groups.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    /// In the order in which they were attached, none twice, never none.
    members: BTreeMap<IpAddr, Vec<Qpn>>,
}

impl Groups {
    pub(super) fn has(&self, qpn: Qpn) -> bool {
        self.members.values().any(|members| members.contains(&qpn))
    }
}

impl<T: TraceSink> Device<T> {
    /// Makes an address handle (`ibv_create_ah`).
    pub fn create_ah(&mut self, pd: Pd, av: AddressVector) -> Result<Ah, VerbsError> {
        self.domain(pd)?;
        if !self.port().reaches(&av) {
            return Err(VerbsError::Invalid("the address vector"));
        }
        let made = self.core.ahs.insert(AddressHandle { pd, av });
        let ah = made.ok_or(VerbsError::Exhausted("address handles"))?;
        self.domain(pd)?.users += 1;
        Ok(ah)
    }

    /// Removes an address handle (`ibv_destroy_ah`). Requests that were posted with it are sent all the same.
    pub fn destroy_ah(&mut self, ah: Ah) -> Result<(), VerbsError> {
        let handle = self.core.ahs.remove(ah).ok_or(VerbsError::Stale("address handle"))?;
        self.domain(handle.pd)?.users -= 1;
        Ok(())
    }

    /// Where an address handle leads (`ibv_query_ah` of the kernel's verbs).
    pub fn query_ah(&self, ah: Ah) -> Result<AddressVector, VerbsError> {
        self.core.ahs.get(ah).map(|handle| handle.av).ok_or(VerbsError::Stale("address handle"))
    }

    /// Has a queue pair for datagrams receive what is sent to a multicast group (`ibv_attach_mcast`). To be attached
    /// twice is the same as once. The first member of a group gives [`Event::Join`].
    ///
    /// # Errors
    /// When the queue pair is of another type, or the address is of no group.
    pub fn attach_mcast(&mut self, qpn: Qpn, group: IpAddr) -> Result<(), VerbsError> {
        let qp = self.qps.get(qpn).ok_or(VerbsError::Stale("queue pair"))?;
        if qp.conn.init.qp_type != QpType::Ud {
            return Err(VerbsError::Invalid("only queue pairs for datagrams can join a group"));
        }
        if !group.is_multicast() {
            return Err(VerbsError::Invalid("the address is of no multicast group"));
        }
        let (limits, groups) = (&self.core.config.limits, &mut self.groups.members);
        let is_new = !groups.contains_key(&group);
        if is_new && groups.len() >= limits.max_mcast_grp as usize {
            return Err(VerbsError::Exhausted("multicast groups"));
        }
        let members = groups.entry(group).or_default();
        if members.contains(&qpn) {
            return Ok(());
        }
        if members.len() >= limits.max_mcast_qp_attach as usize {
            return Err(VerbsError::Exhausted("places in the multicast group"));
        }
        members.push(qpn);
        if is_new {
            self.core.events.push_back(Event::Join(group));
        }
        Ok(())
    }

    /// Ends that (`ibv_detach_mcast`). The last member of a group gives [`Event::Leave`].
    ///
    /// # Errors
    /// When it was not attached.
    pub fn detach_mcast(&mut self, qpn: Qpn, group: IpAddr) -> Result<(), VerbsError> {
        let none = VerbsError::Invalid("the queue pair is not attached to the group");
        let members = self.groups.members.get_mut(&group).ok_or(none)?;
        let place = members.iter().position(|member| *member == qpn).ok_or(none)?;
        members.remove(place);
        if members.is_empty() {
            self.groups.members.remove(&group);
            self.core.events.push_back(Event::Leave(group));
        }
        Ok(())
    }

    /// The groups that queue pairs are attached to, with their members, in the order of the addresses.
    pub fn mcast_groups(&self) -> impl Iterator<Item = (IpAddr, &[Qpn])> {
        self.groups.members.iter().map(|(group, members)| (*group, &members[..]))
    }

    pub(super) fn is_for_members(&self, meta: &RxMeta, service: Service) -> Result<(), DropReason> {
        if !self.groups.members.contains_key(&meta.dst) {
            return Err(DropReason::NotOurs);
        }
        if service != Service::Ud { Err(DropReason::Service) } else { Ok(()) }
    }

    /// Hands a multicast packet to every member of its group, except the queue pair that sent it (IBTA 10.5.2.2).
    pub(super) fn fan_out(&mut self, now: Time, meta: &RxMeta, packet: &Packet<'_>) {
        let Some(members) = self.groups.members.get(&meta.dst) else { return };
        let from_here = self.core.config.gids.contains(&meta.src);
        let sender = packet.headers.deth.filter(|_| from_here).map(|deth| deth.src_qp);
        for qpn in members.clone() {
            if sender != Some(qpn) {
                self.with_qp(now, qpn, |qp, ctx| qp.handle_packet(packet, meta, ctx));
            }
        }
    }
}
