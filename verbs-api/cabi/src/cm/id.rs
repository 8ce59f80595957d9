//! Identifiers.

use std::collections::HashMap;
use std::ffi::{c_int, c_uint, c_void};
use std::net::IpAddr;
use std::sync::Arc;

use ferroce::cm::{EventKind, Id, PortSpace};
use parking_lot::Mutex;

use super::channel::{Channel, Inner};
use super::event::{self, acknowledge};
use super::sockaddr;
use super::world::world;
use crate::abi::{self, Plain};
use crate::border::{Errno, INVALID, UNSUPPORTED, export, number};
use crate::handle::{self, make, pooled};
use crate::mailbox::Source;
use crate::verbs::gid;

/// Our part of an identifier.
pub(super) struct CmId {
    pub(super) id: Id,
    pub(super) more: Mutex<More>,
    /// Counts its events.
    pub(super) told: Arc<Source>,
}
pooled!(CmId, abi::CmId);

/// What can change.
pub(super) struct More {
    pub(super) channel: Arc<Inner>,
    /// The channel is its own, and calls wait until they are done.
    pub(super) synchronous: bool,
    /// What requests to it get a queue pair with (`rdma_create_ep`).
    pub(super) qp_wish: Option<QpWish>,
    /// Multicast groups, and what the program calls them.
    pub(super) groups: Vec<(IpAddr, usize)>,
}

/// What the queue pair of a request is to be made with.
pub(super) struct QpWish {
    pub(super) pd: usize,
    pub(super) attr: abi::QpInitAttr,
}

// SAFETY: the pointers in it are the C program's, which has to keep what they point to until it destroys the
// identifier.
unsafe impl Send for QpWish {}

/// Identifiers of C programs, by the number of what they stand for.
static IDS: Mutex<Option<HashMap<u64, usize>>> = Mutex::new(None);

/// `IBV_QPT_RC` and `IBV_QPT_UD`.
pub(super) const RC: c_uint = 2;
pub(super) const UD: c_uint = 4;

/// Our part of the identifier behind a pointer.
///
/// # Safety
///
/// As [`handle::object`].
pub(super) unsafe fn id<'a>(pointer: *const abi::CmId) -> Result<&'a CmId, Errno> {
    handle::object(pointer)
}

/// The C program's identifier that stands for this one.
pub(super) fn pointer_of(id: &Id) -> Option<*mut abi::CmId> {
    let ids = IDS.lock();
    ids.as_ref()?.get(&id.number()).map(|pointer| *pointer as *mut abi::CmId)
}

/// Gives a C program an identifier.
pub(super) fn hand_out(
    id: Id,
    (c_channel, channel): (*mut abi::EventChannel, Arc<Inner>),
    context: *mut c_void,
    synchronous: bool,
) -> *mut abi::CmId {
    let mut c = abi::CmId::zeroed();
    (c.channel, c.context) = (c_channel, context);
    c.ps = id.port_space() as c_uint;
    c.qp_type = if is_datagram(&id) { UD } else { RC };
    let number = id.number();
    let more = More { channel, synchronous, qp_wish: None, groups: Vec::new() };
    let pointer = make(c, CmId { id, more: Mutex::new(more), told: Arc::default() });
    IDS.lock().get_or_insert_default().insert(number, pointer as usize);
    pointer
}

/// Whether it is about datagrams.
pub(super) fn is_datagram(id: &Id) -> bool {
    matches!(id.port_space(), PortSpace::Udp | PortSpace::IpoIb)
}

/// Writes into the C part what has become of it.
///
/// # Safety
///
/// `pointer` is a live identifier.
pub(super) unsafe fn refresh(pointer: *mut abi::CmId) -> Result<(), Errno> {
    let (body, c) = (id(pointer)?, &mut *pointer);
    let local = body.id.local_addr();
    (c.src_addr, _) = sockaddr::to_c(local);
    if let Some(peer) = body.id.peer_addr() {
        (c.dst_addr, _) = sockaddr::to_c(peer);
        c.dgid = gid(peer.ip());
    }
    if let Some(context) = body.id.context() {
        c.verbs = world()?.pointer(&context);
        (c.sgid, c.port_num, c.pkey) = (gid(local.ip()), 1, 0xffff);
        if c.pd.is_null() {
            c.pd = super::qp::default_domain(c.verbs)?;
        }
    }
    Ok(())
}

/// Waits for the event that tells how a call has ended, if the identifier is synchronous.
///
/// # Safety
///
/// `pointer` is a live identifier.
pub(super) unsafe fn complete(pointer: *mut abi::CmId) -> Result<(), Errno> {
    refresh(pointer)?;
    if !id(pointer)?.more.lock().synchronous {
        return Ok(());
    }
    release_event(pointer);
    let channel = Arc::clone(&id(pointer)?.more.lock().channel);
    (*pointer).event = event::next(&channel)?;
    let event = &*(*pointer).event;
    match event.status {
        0 => Ok(()),
        _ if event.event == EventKind::Rejected as c_uint => Err(Errno(libc::ECONNREFUSED)),
        status => Err(Errno(status.abs())),
    }
}

/// Acknowledges the event that a synchronous identifier holds.
unsafe fn release_event(pointer: *mut abi::CmId) {
    let event = std::mem::replace(&mut (*pointer).event, std::ptr::null_mut());
    if !event.is_null() && acknowledge(event).is_err() {
        // The program was faster.
    }
}

fn port_space(ps: c_uint) -> Result<PortSpace, Errno> {
    PortSpace::ALL.into_iter().find(|space| *space as c_uint == ps).ok_or(INVALID)
}

/// Makes an identifier, with a channel of its own if the program gives none.
pub(super) unsafe fn create(
    c_channel: *mut abi::EventChannel,
    context: *mut c_void,
    ps: c_uint,
) -> Result<*mut abi::CmId, Errno> {
    let space = port_space(ps)?;
    let synchronous = c_channel.is_null();
    let (c_channel, channel) = channel_for(c_channel)?;
    let id = channel.events.create_id(space);
    Ok(hand_out(id, (c_channel, channel), context, synchronous))
}

/// The channel that the program gives, or a new one.
unsafe fn channel_for(
    channel: *mut abi::EventChannel,
) -> Result<(*mut abi::EventChannel, Arc<Inner>), Errno> {
    if !channel.is_null() {
        return Ok((channel, Arc::clone(&handle::object::<Channel>(channel)?.inner)));
    }
    let inner = Inner::new()?;
    let made = make(abi::EventChannel { fd: inner.fd() }, Channel { inner: Arc::clone(&inner) });
    Ok((made, inner))
}

/// Ends an identifier.
///
/// # Safety
///
/// As [`handle::take`].
pub(super) unsafe fn destroy(pointer: *mut abi::CmId) -> Result<(), Errno> {
    let body = id(pointer)?;
    super::qp::follow(pointer)?;
    release_event(pointer);
    // Nobody finds it from here on, so that no further event is about it.
    if let Some(ids) = IDS.lock().as_mut() {
        ids.remove(&body.id.number());
    }
    body.id.destroy();
    let (channel, synchronous) = {
        let more = body.more.lock();
        (Arc::clone(&more.channel), more.synchronous)
    };
    channel.settle();
    body.told.wait();
    if synchronous {
        handle::take::<Channel>((*pointer).channel)?;
    }
    handle::take::<CmId>(pointer).map(drop)
}

/// Moves an identifier to another channel, or to one of its own.
///
/// # Safety
///
/// The pointers are NULL or objects.
pub(super) unsafe fn migrate(pointer: *mut abi::CmId, to: *mut abi::EventChannel) -> Result<(), Errno> {
    let body = id(pointer)?;
    let synchronous = to.is_null();
    let (c_channel, channel) = channel_for(to)?;
    release_event(pointer);
    // Events that were taken from the old channel are about what it is now, too.
    body.told.wait();
    body.id.migrate(&channel.events);
    let mut more = body.more.lock();
    let (old, was_synchronous) = (std::mem::replace(&mut more.channel, channel), more.synchronous);
    more.synchronous = synchronous;
    drop(more);
    old.settle();
    let c_old = std::mem::replace(&mut (*pointer).channel, c_channel);
    if was_synchronous {
        handle::take::<Channel>(c_old)?;
    }
    Ok(())
}

unsafe fn port_of(address: &abi::Sockaddr) -> u16 {
    sockaddr::from_c((&raw const *address).cast()).map_or(0, |address| address.port().to_be())
}

export! {
    "RDMACM_1.0" fn rdma_create_id(
        channel: *mut abi::EventChannel,
        to: *mut *mut abi::CmId,
        context: *mut c_void,
        ps: c_uint,
    ) -> c_int {
        number(create(channel, context, ps).map(|made| { *to = made; 0 }))
    }

    "RDMACM_1.0" fn rdma_destroy_id(pointer: *mut abi::CmId) -> c_int {
        number(destroy(pointer).map(|()| 0))
    }

    "RDMACM_1.0" fn rdma_migrate_id(pointer: *mut abi::CmId, to: *mut abi::EventChannel) -> c_int {
        number(migrate(pointer, to).map(|()| 0))
    }

    // Big-endian.
    "RDMACM_1.0" fn rdma_get_src_port(pointer: *mut abi::CmId) -> u16 {
        id(pointer).map_or(0, |_| port_of(&(*pointer).src_addr))
    }

    "RDMACM_1.0" fn rdma_get_dst_port(pointer: *mut abi::CmId) -> u16 {
        id(pointer).map_or(0, |_| port_of(&(*pointer).dst_addr))
    }

    // Vendors' own agreements about connections: there are none.
    "RDMACM_1.3" fn rdma_set_local_ece(pointer: *mut abi::CmId, ece: *mut abi::Ece) -> c_int {
        let asked = id(pointer).and_then(|_| ece.as_ref().ok_or(INVALID));
        number(asked.and_then(|ece| if ece.vendor_id == 0 { Ok(0) } else { Err(UNSUPPORTED) }))
    }

    "RDMACM_1.3" fn rdma_get_remote_ece(pointer: *mut abi::CmId, ece: *mut abi::Ece) -> c_int {
        number(id(pointer).map(|_| { ece.write(abi::Ece::zeroed()); 0 }))
    }
}
