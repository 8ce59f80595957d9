//! Queue pairs of identifiers, and the queues that are made for them.

use std::ffi::{c_int, c_uint, c_void};

use ferroce::cm::{EventKind, UD_QKEY};
use ferroce_engine::{Access, Psn, QpAttr, QpState, Qpn};

use super::id::{self, CmId, QpWish, id, is_datagram};
use super::{connect, srq};
use crate::abi;
use crate::border::{Errno, INVALID, export, number};
use crate::verbs::cq::{self, Wish};
use crate::verbs::{channel, pd, qp, to_c, xrcd};

/// The connection of a queue pair has changed: its C part tells its state.
///
/// # Safety
///
/// `pointer` is a live identifier.
pub(super) unsafe fn note(pointer: *mut abi::CmId, kind: EventKind) {
    let Some(qp) = (*pointer).qp.as_mut() else { return };
    match kind {
        EventKind::Established => qp.state = QpState::Rts as c_uint,
        EventKind::Disconnected | EventKind::Rejected => qp.state = QpState::Err as c_uint,
        _ => {}
    }
}

/// The domain for a queue pair whose program names none.
pub(super) unsafe fn domain(pointer: *mut abi::CmId, pd: *mut abi::Pd) -> Result<*mut abi::Pd, Errno> {
    let c = &mut *pointer;
    let wanted = if pd.is_null() { c.pd } else { pd };
    if !wanted.is_null() {
        c.pd = wanted;
        return Ok(wanted);
    }
    if c.verbs.is_null() {
        return Err(INVALID);
    }
    c.pd = default_domain(c.verbs)?;
    Ok(c.pd)
}

/// One domain for all programs' identifiers on a device that name none, as in librdmacm.
pub(super) unsafe fn default_domain(context: *mut abi::Context) -> Result<*mut abi::Pd, Errno> {
    static DOMAINS: parking_lot::Mutex<Vec<(usize, usize)>> = parking_lot::Mutex::new(Vec::new());
    let mut domains = DOMAINS.lock();
    if let Some((_, pd)) = domains.iter().find(|(of, _)| *of == context as usize) {
        return Ok(*pd as *mut abi::Pd);
    }
    let pd = pd::alloc(context)?;
    domains.push((context as usize, pd as usize));
    Ok(pd)
}

/// The same for extended connections.
pub(super) unsafe fn default_xrcd(context: *mut abi::Context) -> Result<*mut abi::Xrcd, Errno> {
    static DOMAINS: parking_lot::Mutex<Vec<(usize, usize)>> = parking_lot::Mutex::new(Vec::new());
    let mut domains = DOMAINS.lock();
    if let Some((_, xrcd)) = domains.iter().find(|(of, _)| *of == context as usize) {
        return Ok(*xrcd as *mut abi::Xrcd);
    }
    let made = xrcd::open_private(context)?;
    domains.push((context as usize, made as usize));
    Ok(made)
}

/// A completion queue with its channel, for an identifier.
unsafe fn queue(pointer: *mut abi::CmId, cqe: u32) -> Result<(*mut abi::CompChannel, *mut abi::Cq), Errno> {
    let verbs = (*pointer).verbs;
    let channel = channel::create(verbs)?;
    let wish = Wish { cqe: cqe.max(1), cq_context: pointer.cast::<c_void>(), channel, comp_vector: 0 };
    match cq::create(verbs, &wish) {
        Ok(cq) => Ok((channel, cq.cast())),
        Err(errno) => {
            channel::destroy(channel)?;
            Err(errno)
        }
    }
}

/// Makes the queue of an identifier for what is received, unless it has one.
pub(super) unsafe fn receive_queue(pointer: *mut abi::CmId, cqe: u32) -> Result<*mut abi::Cq, Errno> {
    if (*pointer).recv_cq.is_null() {
        ((*pointer).recv_cq_channel, (*pointer).recv_cq) = queue(pointer, cqe)?;
    }
    Ok((*pointer).recv_cq)
}

/// Makes the queues that the program does not bring itself, of those that the queue pair uses.
unsafe fn make_queues(pointer: *mut abi::CmId, attr: &mut abi::QpInitAttr) -> Result<(), Errno> {
    if attr.send_cq.is_null() && attr.qp_type != XRC_TARGET {
        let (channel, cq) = queue(pointer, attr.cap.max_send_wr)?;
        ((*pointer).send_cq_channel, (*pointer).send_cq) = (channel, cq);
        attr.send_cq = cq;
    }
    if attr.recv_cq.is_null() && !matches!(attr.qp_type, XRC_TARGET | XRC_INITIATOR) {
        attr.recv_cq = receive_queue(pointer, attr.cap.max_recv_wr)?;
    }
    Ok(())
}

/// Destroys the queues that were made for the identifier, which are those with a channel in it.
pub(super) unsafe fn destroy_queues(pointer: *mut abi::CmId) -> Result<(), Errno> {
    let c = &mut *pointer;
    let pairs = [(&mut c.send_cq, &mut c.send_cq_channel), (&mut c.recv_cq, &mut c.recv_cq_channel)];
    for (cq, channel) in pairs {
        let cq = std::mem::replace(cq, std::ptr::null_mut());
        let channel = std::mem::replace(channel, std::ptr::null_mut());
        if !channel.is_null() {
            cq::destroy(cq)?;
            channel::destroy(channel)?;
        }
    }
    Ok(())
}

/// What peers may do through the queue pair of a connection; what memory they may do it to, its regions say.
const PEER_MAY: Access = Access::REMOTE_WRITE.union(Access::REMOTE_READ).union(Access::REMOTE_ATOMIC);

/// Brings a new queue pair to where a connection begins; one for datagrams all the way.
unsafe fn prepare(body: &CmId, made: *mut abi::Qp) -> Result<(), Errno> {
    let changes = match is_datagram(&body.id) {
        true => {
            vec![QpAttr::init_ud(UD_QKEY), QpAttr::to(QpState::Rtr), QpAttr::rts_unreliable(Psn::default())]
        }
        false => vec![QpAttr { access: Some(PEER_MAY), ..body.id.init_qp_attr(QpState::Init)? }],
    };
    let target = qp(made)?;
    for change in changes {
        target.engine.nic().with(|device, now| device.modify_qp(now, target.qpn, &change))?;
        (*made).state = change.state.map_or((*made).state, |state| state as c_uint);
    }
    Ok(())
}

/// Makes a queue pair for an identifier with `make`, from attributes that have all their queues.
unsafe fn create_with(
    pointer: *mut abi::CmId,
    attr: &mut abi::QpInitAttr,
    make: impl FnOnce(&mut abi::QpInitAttr) -> Result<*mut abi::QpEx, Errno>,
) -> Result<(), Errno> {
    let body = id(pointer)?;
    if !(*pointer).qp.is_null() || (*pointer).verbs.is_null() {
        return Err(INVALID);
    }
    make_queues(pointer, attr)?;
    let made = match make(attr) {
        Ok(made) => made.cast::<abi::Qp>(),
        Err(errno) => {
            destroy_queues(pointer)?;
            return Err(errno);
        }
    };
    if let Err(errno) = prepare(body, made) {
        qp::destroy(made)?;
        destroy_queues(pointer)?;
        return Err(errno);
    }
    let c = &mut *pointer;
    (c.qp, c.qp_type) = (made, attr.qp_type);
    // What the program brought itself is found in the identifier too.
    (c.send_cq, c.recv_cq) = (attr.send_cq, attr.recv_cq);
    body.id.attach_number(Some(Qpn::new((*made).qp_num)));
    Ok(())
}

/// `rdma_create_qp`.
pub(super) unsafe fn create(
    pointer: *mut abi::CmId,
    pd: *mut abi::Pd,
    attr: *mut abi::QpInitAttr,
) -> Result<(), Errno> {
    id(pointer)?;
    let attr = attr.as_mut().ok_or(INVALID)?;
    let pd = domain(pointer, pd)?;
    let brought = (attr.send_cq, attr.recv_cq);
    let created = match attr.qp_type {
        XRC_TARGET => {
            let (verbs, xrcd) = ((*pointer).verbs, default_xrcd((*pointer).verbs)?);
            create_with(pointer, attr, |attr| qp::create_target(verbs, xrcd, attr))
        }
        _ => create_with(pointer, attr, |attr| qp::create_plain(pd, attr)),
    };
    // The program did not ask to be told of queues that are not its own.
    (attr.send_cq, attr.recv_cq) = brought;
    created
}

unsafe fn create_extended(pointer: *mut abi::CmId, attr: *mut abi::QpInitAttrEx) -> Result<(), Errno> {
    const MASK_PD: u32 = 1;
    id(pointer)?;
    let attr = attr.as_mut().ok_or(INVALID)?;
    let pd = if attr.comp_mask & MASK_PD != 0 { attr.pd } else { std::ptr::null_mut() };
    attr.pd = domain(pointer, pd)?;
    attr.comp_mask |= MASK_PD;
    let whole = &raw mut *attr;
    let verbs = (*pointer).verbs;
    // SAFETY: `ibv_qp_init_attr_ex` begins with the fields of `ibv_qp_init_attr`, and is longer.
    let start = &mut *whole.cast::<abi::QpInitAttr>();
    create_with(pointer, start, |_| qp::create_extended(verbs, whole))
}

/// Makes the queue pair for a request that the listening identifier was told to make for each.
pub(super) unsafe fn create_as_wished(listener: *mut abi::CmId, asked: *mut abi::CmId) -> Result<(), Errno> {
    let wish = {
        let more = id(listener)?.more.lock();
        more.qp_wish.as_ref().map(|wish| (wish.pd, copy(&wish.attr)))
    };
    match wish {
        Some((pd, mut attr)) => create(asked, pd as *mut abi::Pd, &raw mut attr),
        None => Ok(()),
    }
}

fn copy(attr: &abi::QpInitAttr) -> abi::QpInitAttr {
    abi::QpInitAttr { cap: attr.cap, ..*attr }
}

/// Takes note of a queue pair that the program itself has put into the identifier or taken out of it. uDAPL accepts
/// requests so, with the queue pair of an endpoint that it made before. In librdmacm that field is all there is.
pub(super) unsafe fn follow(pointer: *mut abi::CmId) -> Result<(), Errno> {
    let body = id(pointer)?;
    let there = qp((*pointer).qp).ok().map(|found| found.qpn);
    if body.id.qpn() != there {
        body.id.attach_number(there);
    }
    Ok(())
}

/// `rdma_destroy_qp`.
unsafe fn destroy(pointer: *mut abi::CmId) -> Result<(), Errno> {
    let body = id(pointer)?;
    let made = std::mem::replace(&mut (*pointer).qp, std::ptr::null_mut());
    if made.is_null() {
        return Err(INVALID);
    }
    body.id.attach_number(None);
    qp::destroy(made)?;
    // A shared receive queue may use them too.
    if (*pointer).srq.is_null() { destroy_queues(pointer) } else { Ok(()) }
}

/// `IBV_QPT_XRC_SEND` and `IBV_QPT_XRC_RECV`.
const XRC_INITIATOR: c_uint = 9;
pub(super) const XRC_TARGET: c_uint = 10;

/// `RAI_PASSIVE`.
const PASSIVE: c_int = 1;

/// How long an address or a route may take, in milliseconds.
const PATIENCE: c_int = 2000;

unsafe fn create_endpoint(
    res: *const abi::CmAddrinfo,
    pd: *mut abi::Pd,
    attr: *mut abi::QpInitAttr,
) -> Result<*mut abi::CmId, Errno> {
    let res = res.as_ref().ok_or(INVALID)?;
    let pointer = id::create(std::ptr::null_mut(), std::ptr::null_mut(), res.ai_port_space as c_uint)?;
    (*pointer).qp_type = res.ai_qp_type as c_uint;
    match fill_endpoint(pointer, res, pd, attr) {
        Ok(()) => Ok(pointer),
        Err(errno) => {
            id::destroy(pointer)?;
            Err(errno)
        }
    }
}

unsafe fn fill_endpoint(
    pointer: *mut abi::CmId,
    res: &abi::CmAddrinfo,
    pd: *mut abi::Pd,
    attr: *mut abi::QpInitAttr,
) -> Result<(), Errno> {
    if res.ai_flags & PASSIVE != 0 {
        connect::bind(pointer, res.ai_src_addr.cast())?;
        if let Some(attr) = attr.as_mut() {
            attr.qp_type = res.ai_qp_type as c_uint;
            id(pointer)?.more.lock().qp_wish = Some(QpWish { pd: pd as usize, attr: copy(attr) });
        }
        return Ok(());
    }
    connect::resolve_addr(pointer, res.ai_src_addr.cast(), res.ai_dst_addr.cast(), PATIENCE)?;
    connect::resolve_route(pointer, PATIENCE)?;
    if let Some(attr) = attr.as_mut() {
        attr.qp_type = res.ai_qp_type as c_uint;
        create(pointer, pd, attr)?;
    }
    Ok(())
}

unsafe fn destroy_endpoint(pointer: *mut abi::CmId) -> Result<(), Errno> {
    id(pointer)?;
    if !(*pointer).qp.is_null() {
        destroy(pointer)?;
    }
    srq::destroy(pointer)?;
    id::destroy(pointer)
}

unsafe fn init_attr(pointer: *mut abi::CmId, to: *mut abi::QpAttr, mask: *mut c_int) -> Result<(), Errno> {
    let (body, to) = (id(pointer)?, to.as_mut().ok_or(INVALID)?);
    let states = [QpState::Reset, QpState::Init, QpState::Rtr, QpState::Rts];
    let state = states.get(to.qp_state as usize).copied().ok_or(INVALID)?;
    let attr = body.id.init_qp_attr(state)?;
    *to = to_c::attr(&attr);
    to.qp_state = state as c_uint;
    if let Some(mask) = mask.as_mut() {
        *mask = attr.mask().bits() as c_int;
    }
    Ok(())
}

export! {
    "RDMACM_1.0" fn rdma_create_qp(
        pointer: *mut abi::CmId,
        pd: *mut abi::Pd,
        attr: *mut abi::QpInitAttr,
    ) -> c_int {
        number(create(pointer, pd, attr).map(|()| 0))
    }

    "RDMACM_1.0" fn rdma_create_qp_ex(pointer: *mut abi::CmId, attr: *mut abi::QpInitAttrEx) -> c_int {
        number(create_extended(pointer, attr).map(|()| 0))
    }

    "RDMACM_1.0" fn rdma_destroy_qp(pointer: *mut abi::CmId) {
        if let Err(errno) = destroy(pointer) {
            errno.set();
        }
    }

    "RDMACM_1.0" fn rdma_create_ep(
        to: *mut *mut abi::CmId,
        res: *mut abi::CmAddrinfo,
        pd: *mut abi::Pd,
        attr: *mut abi::QpInitAttr,
    ) -> c_int {
        number(create_endpoint(res, pd, attr).map(|made| { *to = made; 0 }))
    }

    "RDMACM_1.0" fn rdma_destroy_ep(pointer: *mut abi::CmId) {
        if let Err(errno) = destroy_endpoint(pointer) {
            errno.set();
        }
    }

    "RDMACM_1.2" fn rdma_init_qp_attr(
        pointer: *mut abi::CmId,
        to: *mut abi::QpAttr,
        mask: *mut c_int,
    ) -> c_int {
        number(init_attr(pointer, to, mask).map(|()| 0))
    }
}
