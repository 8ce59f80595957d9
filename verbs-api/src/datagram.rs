//! Datagrams: where they go, and groups that get them all.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ferroce_engine::{AddressVector, Ah, GRH_LEN, Qpn, To, VerbsError, Wc};

use crate::error::{Error, verb};
use crate::memory::ProtectionDomain;
use crate::queue_pair::QueuePair;

/// The way to a destination of datagrams (`ibv_ah`). Clones are the same handle, which is destroyed when the last
/// one is dropped; requests that were posted with it are sent all the same.
///
/// ```
/// use ferroce::{Error, Qpn};
///
/// let (a, b) = ferroce::pair()?;
/// let (to, from) = (b.pd.queue_pair(&b.cq).datagrams(7).build()?, a.pd.queue_pair(&a.cq).datagrams(7).build()?);
/// to.receive(1, &[b.memory.slice(..100)])?;
///
/// let handle = a.pd.address_handle(b.context.addresses()[0])?;
/// from.post().send_inline(2, b"who are you?").to(&handle, to.qpn(), 7).submit()?;
///
/// // 40 bytes of network header come first; they tell where to answer.
/// let wc = b.cq.wait(None)?;
/// assert_eq!(b.memory.to_vec(40..wc.byte_len as usize), b"who are you?");
/// let back = b.pd.address_handle_from(&wc, &b.memory.to_vec(..40))?;
/// to.post().send_inline(3, b"me").to(&back, Qpn::new(wc.src_qp), 7).submit()?;
/// # Ok::<_, Error>(())
/// ```
#[derive(Clone)]
pub struct AddressHandle {
    shared: Arc<Shared>,
}

struct Shared {
    ah: Ah,
    pd: ProtectionDomain,
}

impl AddressHandle {
    fn new(pd: &ProtectionDomain, av: AddressVector) -> Result<AddressHandle, Error> {
        let made = pd.context().nic().with(|device, _| device.create_ah(pd.id(), av));
        let ah = made.map_err(verb("make an address handle"))?;
        Ok(AddressHandle { shared: Arc::new(Shared { ah, pd: pd.clone() }) })
    }

    /// Where it leads (`ibv_query_ah`).
    pub fn address_vector(&self) -> AddressVector {
        let asked = self.shared.pd.context().nic().with(|device, _| device.query_ah(self.id()));
        asked.expect("the address handle lives as long as this")
    }

    /// A queue pair there and the key that it demands, for a [`SendWr`](crate::SendWr) that is posted as it is.
    pub fn to(&self, qpn: Qpn, qkey: u32) -> To {
        To::Datagram { ah: self.id(), qpn, qkey }
    }

    fn id(&self) -> Ah {
        self.shared.ah
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let destroyed = self.pd.context().nic().with(|device, _| device.destroy_ah(self.ah));
        debug_assert!(destroyed.is_ok(), "only this destroys the address handle: {destroyed:?}");
    }
}

impl fmt::Debug for AddressHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AddressHandle({})", self.address_vector().dgid)
    }
}

impl ProtectionDomain {
    /// Makes an address handle for a NIC, or for a multicast group (`ibv_create_ah`). Datagrams leave from the first
    /// address of the NIC that is of the same version of IP.
    ///
    /// # Errors
    /// When the NIC has no such address, or no room for another handle.
    pub fn address_handle(&self, to: IpAddr) -> Result<AddressHandle, Error> {
        let addresses = self.context().addresses();
        let from = addresses.iter().position(|own| own.is_ipv4() == to.is_ipv4());
        let none = || verb("make an address handle")(VerbsError::Invalid("no address of that version of IP"));
        AddressHandle::new(self, AddressVector::new(from.ok_or_else(none)? as u8, to))
    }

    /// Makes one as described.
    ///
    /// # Errors
    /// When a part of the description is out of its range, or the NIC has no room for another.
    pub fn address_handle_with(&self, av: AddressVector) -> Result<AddressHandle, Error> {
        AddressHandle::new(self, av)
    }

    /// Makes one for answering a datagram, from its completion and the first 40 bytes of its receive buffer
    /// (`ibv_create_ah_from_wc`).
    ///
    /// # Errors
    /// When the completion is of something else, or the bytes are no network header.
    pub fn address_handle_from(&self, wc: &Wc, header: &[u8]) -> Result<AddressHandle, Error> {
        let refused = verb("make an address handle for the answer");
        let header: Option<&[u8; GRH_LEN]> = header.first_chunk().filter(|_| wc.grh);
        let header = header.ok_or_else(|| refused(VerbsError::Invalid("no datagram with its header")))?;
        let av = AddressVector::back_to_sender(header, self.context().addresses()).map_err(refused)?;
        AddressHandle::new(self, av)
    }
}

impl QueuePair {
    /// Has a queue pair for datagrams receive what is sent to a multicast group (`ibv_attach_mcast`). What it sends
    /// there itself does not come back to it; to do that it needs no membership.
    ///
    /// ```
    /// use std::net::IpAddr;
    ///
    /// let (a, b) = ferroce::pair()?;
    /// let (from, to) = (a.pd.queue_pair(&a.cq).datagrams(7).build()?, b.pd.queue_pair(&b.cq).datagrams(7).build()?);
    /// let group: IpAddr = "239.1.1.1".parse().unwrap();
    /// to.join(group)?;
    /// to.receive(1, &[b.memory.slice(..100)])?;
    ///
    /// let all = a.pd.address_handle(group)?;
    /// from.post().send_inline(2, b"all of you").to(&all, ferroce::Qpn::MULTICAST, 7).submit()?;
    /// assert_eq!(b.cq.wait(None)?.byte_len, 50);
    /// # Ok::<_, ferroce::Error>(())
    /// ```
    ///
    /// # Errors
    /// When it is connected, the address is of no group, or the NIC knows too many already.
    pub fn join(&self, group: IpAddr) -> Result<(), Error> {
        let joined = self.context().nic().with(|device, _| device.attach_mcast(self.qpn(), group));
        joined.map_err(verb("join the multicast group"))
    }

    /// Ends a membership (`ibv_detach_mcast`). Dropping the queue pair ends them all.
    ///
    /// # Errors
    /// When it is no member.
    pub fn leave(&self, group: IpAddr) -> Result<(), Error> {
        let left = self.context().nic().with(|device, _| device.detach_mcast(self.qpn(), group));
        left.map_err(verb("leave the multicast group"))
    }

    pub(crate) fn leave_all(&self) {
        self.context().nic().with(|device, _| {
            let is_mine = |members: &[_]| members.contains(&self.qpn());
            let groups = device.mcast_groups().filter(|(_, members)| is_mine(members));
            let groups: Vec<_> = groups.map(|(group, _)| group).collect();
            for group in groups {
                let left = device.detach_mcast(self.qpn(), group);
                debug_assert!(left.is_ok(), "{group} has it as a member: {left:?}");
            }
        });
    }
}
