//! Shared receive queues.

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use ferroce_engine::SrqInit;

use super::context::context;
use super::cq::cq;
use super::pd::pd;
use super::post::post_recv_list;
use super::xrcd::xrcd;
use crate::abi::{self, Plain};
use crate::border::{Errno, INVALID, UNSUPPORTED, export, pointer, status};
use crate::handle::{self, make, pooled};
use crate::mailbox::Source;
use crate::process::{Engine, Id, Subject};

/// Our part of a shared receive queue.
pub(crate) struct Srq {
    engine: Arc<Engine>,
    pub(crate) srq: ferroce_engine::Srq,
    /// Counts its asynchronous events.
    pub(crate) raised: Arc<Source>,
}
pooled!(Srq, abi::Srq);

/// Our part of the queue behind a pointer.
///
/// # Safety
///
/// As [`handle::object`].
pub(crate) unsafe fn srq<'a>(pointer: *const abi::Srq) -> Result<&'a Srq, Errno> {
    handle::object(pointer)
}

/// What a queue is made with.
struct Wish {
    pd: *mut abi::Pd,
    srq_context: *mut c_void,
    xrc: Option<(ferroce_engine::Xrcd, ferroce_engine::Cq)>,
}

unsafe fn create(wish: &Wish, attr: &mut abi::SrqAttr) -> Result<*mut abi::Srq, Errno> {
    let domain = pd(wish.pd)?;
    let events = &context((*wish.pd).context)?.events;
    let (max_wr, max_sge) = (attr.max_wr.max(1), attr.max_sge.max(1));
    let init = SrqInit { max_sge, xrc: wish.xrc, ..SrqInit::new(domain.pd, max_wr) };
    let engine = &domain.engine;
    let made = engine.nic().with(|device, _| device.create_srq(&init))?;
    (attr.max_wr, attr.max_sge) = (max_wr, max_sge);
    let mut c = abi::Srq::zeroed();
    (c.context, c.srq_context, c.pd) = ((*wish.pd).context, wish.srq_context, wish.pd);
    c.handle = made.index();
    let raised = Arc::default();
    let body = Srq { engine: Arc::clone(engine), srq: made, raised: Arc::clone(&raised) };
    let pointer = make(c, body);
    engine.register(Id::Srq(made), Subject::new(pointer, events, &raised));
    Ok(pointer)
}

/// `ibv_create_srq`.
pub(crate) unsafe fn create_plain(
    of: *mut abi::Pd,
    attr: *mut abi::SrqInitAttr,
) -> Result<*mut abi::Srq, Errno> {
    let attr = attr.as_mut().ok_or(INVALID)?;
    create(&Wish { pd: of, srq_context: attr.srq_context, xrc: None }, &mut attr.attr)
}

/// `enum ibv_srq_init_attr_mask`.
const MASK_TYPE: u32 = 1;
const MASK_PD: u32 = 1 << 1;
const MASK_XRCD: u32 = 1 << 2;
const MASK_CQ: u32 = 1 << 3;

/// `enum ibv_srq_type`.
const BASIC: c_int = 0;
const XRC: c_int = 1;

/// `ibv_create_srq_ex`.
pub(crate) unsafe fn create_extended(
    of: *mut abi::Context,
    attr: *mut abi::SrqInitAttrEx,
) -> Result<*mut abi::Srq, Errno> {
    context(of)?;
    let attr = attr.as_mut().ok_or(INVALID)?;
    let has = |bit: u32| attr.comp_mask & bit != 0;
    if attr.comp_mask & !(MASK_TYPE | MASK_PD | MASK_XRCD | MASK_CQ) != 0 {
        return Err(UNSUPPORTED);
    }
    let xrc = match if has(MASK_TYPE) { attr.srq_type } else { BASIC } {
        BASIC => None,
        XRC if has(MASK_XRCD) && has(MASK_CQ) => Some((xrcd(attr.xrcd)?, cq(attr.cq)?.cq)),
        XRC => return Err(INVALID),
        _ => return Err(UNSUPPORTED),
    };
    if !has(MASK_PD) {
        return Err(INVALID);
    }
    let wish = Wish { pd: attr.pd, srq_context: attr.srq_context, xrc };
    create(&wish, &mut attr.attr)
}

/// `ibv_create_srq_ex`.
pub(crate) unsafe extern "C" fn create_srq_ex(
    of: *mut abi::Context,
    attr: *mut abi::SrqInitAttrEx,
) -> *mut abi::Srq {
    pointer(create_extended(of, attr))
}

/// `ibv_destroy_srq`.
pub(crate) unsafe fn destroy(pointer: *mut abi::Srq) -> Result<(), Errno> {
    let body = srq(pointer)?;
    body.engine.nic().with(|device, _| device.destroy_srq(body.srq))?;
    body.engine.unregister(Id::Srq(body.srq));
    handle::take::<Srq>(pointer).map(drop)
}

/// `enum ibv_srq_attr_mask`.
const MAX_WR: c_int = 1;
const LIMIT: c_int = 1 << 1;

unsafe fn modify(pointer: *mut abi::Srq, attr: *const abi::SrqAttr, mask: c_int) -> Result<(), Errno> {
    let (body, attr) = (srq(pointer)?, attr.as_ref().ok_or(INVALID)?);
    if mask & !(MAX_WR | LIMIT) != 0 {
        return Err(INVALID);
    }
    let max_wr = (mask & MAX_WR != 0).then_some(attr.max_wr);
    let limit = (mask & LIMIT != 0).then_some(attr.srq_limit);
    Ok(body.engine.nic().with(|device, _| device.modify_srq(body.srq, max_wr, limit))?)
}

unsafe fn query(pointer: *mut abi::Srq, to: *mut abi::SrqAttr) -> Result<(), Errno> {
    let body = srq(pointer)?;
    let info = body.engine.nic().with(|device, _| device.query_srq(body.srq))?;
    to.write(abi::SrqAttr { max_wr: info.init.max_wr, max_sge: info.init.max_sge, srq_limit: info.limit });
    Ok(())
}

unsafe fn srq_number(pointer: *mut abi::Srq) -> Result<u32, Errno> {
    let body = srq(pointer)?;
    let info = body.engine.nic().with(|device, _| device.query_srq(body.srq))?;
    if info.init.xrc.is_some() { Ok(info.number) } else { Err(INVALID) }
}

/// `ibv_get_srq_num`.
pub(crate) unsafe extern "C" fn get_srq_num(pointer: *mut abi::Srq, to: *mut u32) -> c_int {
    status(srq_number(pointer).map(|number| *to = number))
}

/// `ibv_post_srq_recv`.
pub(crate) unsafe extern "C" fn post_srq_recv(
    pointer: *mut abi::Srq,
    head: *mut abi::RecvWr,
    bad: *mut *mut abi::RecvWr,
) -> c_int {
    status(srq(pointer).and_then(|body| {
        let nic = body.engine.nic();
        post_recv_list(head, bad, |wrs| nic.with(|device, now| device.post_srq_recv(now, body.srq, wrs)))
    }))
}

export! {
    "IBVERBS_1.1" fn ibv_create_srq(of: *mut abi::Pd, attr: *mut abi::SrqInitAttr) -> *mut abi::Srq {
        pointer(create_plain(of, attr))
    }

    "IBVERBS_1.1" fn ibv_destroy_srq(pointer: *mut abi::Srq) -> c_int {
        status(destroy(pointer))
    }

    "IBVERBS_1.1" fn ibv_modify_srq(pointer: *mut abi::Srq, attr: *mut abi::SrqAttr, mask: c_int) -> c_int {
        status(modify(pointer, attr, mask))
    }

    "IBVERBS_1.1" fn ibv_query_srq(pointer: *mut abi::Srq, to: *mut abi::SrqAttr) -> c_int {
        status(query(pointer, to))
    }
}
