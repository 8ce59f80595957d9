//! Queue pairs.

use std::ffi::{c_int, c_uint};
use std::sync::Arc;

use ferroce_engine::{AttrMask, QpCap, QpInit, QpState, QpType, Qpn};

use super::context::context;
use super::cq::cq;
use super::pd::pd;
use super::qp_attr::{from_c, to_c};
use super::qp_ex::{self, Builder};
use super::srq::srq;
use super::xrcd::xrcd;
use crate::abi::{self, Plain};
use crate::border::{Errno, INVALID, UNSUPPORTED, export, pointer, status};
use crate::handle::{self, make, pooled};
use crate::mailbox::Source;
use crate::process::{Engine, Id, Subject};

/// Our part of a queue pair.
pub(crate) struct Qp {
    pub(crate) engine: Arc<Engine>,
    pub(crate) qpn: Qpn,
    pub(crate) qp_type: QpType,
    /// Counts its asynchronous events.
    pub(crate) raised: Arc<Source>,
    /// What `ibv_wr_start` and its kin build.
    pub(crate) builder: Builder,
}
// Every queue pair has room for `ibv_qp_ex`, which begins with `ibv_qp`.
pooled!(Qp, abi::QpEx);

/// Our part of the queue pair behind a pointer.
///
/// # Safety
///
/// As [`handle::object`].
pub(crate) unsafe fn qp<'a>(pointer: *const abi::Qp) -> Result<&'a Qp, Errno> {
    handle::object(pointer.cast())
}

/// What a queue pair is made with.
struct Wish<'a> {
    pd: *mut abi::Pd,
    /// The same in `ibv_qp_init_attr` and `ibv_qp_init_attr_ex`, which begin alike.
    attr: &'a mut abi::QpInitAttr,
    /// `ibv_qp_init_attr_ex.send_ops_flags`; `None` without the builder.
    send_ops: Option<u64>,
    /// `ibv_qp_init_attr_ex.xrcd`
    xrcd: Option<ferroce_engine::Xrcd>,
}

unsafe fn create(of: *mut abi::Context, wish: Wish<'_>) -> Result<*mut abi::QpEx, Errno> {
    let events = &context(of)?.events;
    let attr = wish.attr;
    let qp_type = match attr.qp_type {
        2 => QpType::Rc,
        3 => QpType::Uc,
        4 => QpType::Ud,
        9 => QpType::XrcInitiator,
        10 => QpType::XrcTarget,
        _ => return Err(UNSUPPORTED),
    };
    if (qp_type == QpType::XrcTarget) != wish.xrcd.is_some() {
        return Err(INVALID);
    }
    let (engine, init) = match wish.xrcd {
        Some(domain) => (&context(of)?.engine, QpInit::xrc_target(domain)),
        None => describe(qp_type, wish.pd, attr)?,
    };
    let placement = engine.nic().with(|device, _| device.config().personality.placement);
    let builder = Builder::new(qp_type, placement, wish.send_ops)?;
    let qpn = engine.nic().with(|device, _| device.create_qp(&init))?;
    let mut c = abi::QpEx::zeroed();
    (c.base.context, c.base.qp_context, c.base.pd) = (of, attr.qp_context, wish.pd);
    (c.base.send_cq, c.base.recv_cq, c.base.srq) = (attr.send_cq, attr.recv_cq, attr.srq);
    (c.base.handle, c.base.qp_num, c.base.qp_type) = (qpn.value(), qpn.value(), attr.qp_type);
    if wish.send_ops.is_some() {
        qp_ex::fill(&mut c);
    }
    attr.cap = to_c::cap(&init.cap);
    let raised = Arc::default();
    let body = Qp { engine: Arc::clone(engine), qpn, qp_type, raised: Arc::clone(&raised), builder };
    let pointer = make(c, body);
    engine.register(Id::Qp(qpn), Subject::new(pointer, events, &raised));
    Ok(pointer)
}

/// A queue pair that posts and receives itself, and the NIC that it is of.
unsafe fn describe<'a>(
    qp_type: QpType,
    of: *mut abi::Pd,
    attr: &abi::QpInitAttr,
) -> Result<(&'a Arc<Engine>, QpInit), Errno> {
    let domain = pd(of)?;
    let send_cq = cq(attr.send_cq)?.cq;
    let srq = if attr.srq.is_null() { None } else { Some(srq(attr.srq)?.srq) };
    // Who receives nothing needs no queue for it.
    let recv_cq = match qp_type {
        QpType::XrcInitiator if attr.recv_cq.is_null() => send_cq,
        _ => cq(attr.recv_cq)?.cq,
    };
    let (cap, signal_all) = (granted(&attr.cap), attr.sq_sig_all != 0);
    let init = QpInit { recv_cq, cap, signal_all, srq, ..QpInit::new(qp_type, domain.pd, send_cq) };
    Ok((&domain.engine, init))
}

/// The sizes that a program gets: what it asked for, but queues of no length, which the engine does not know, hold
/// one; and data take the place of the scatter/gather entries that they stand in for, as on other NICs.
fn granted(cap: &abi::QpCap) -> QpCap {
    const ENTRY: u32 = size_of::<abi::Sge>() as u32;
    QpCap {
        max_send_wr: cap.max_send_wr.max(1),
        max_recv_wr: cap.max_recv_wr.max(1),
        max_send_sge: cap.max_send_sge.max(1),
        max_recv_sge: cap.max_recv_sge.max(1),
        max_inline_data: cap.max_inline_data.max(ENTRY * cap.max_send_sge.clamp(1, 4)),
    }
}

/// `enum ibv_qp_init_attr_mask`.
const MASK_PD: u32 = 1;
const MASK_XRCD: u32 = 1 << 1;
const MASK_CREATE_FLAGS: u32 = 1 << 2;
const MASK_SEND_OPS: u32 = 1 << 6;

/// `ibv_create_qp_ex`.
pub(crate) unsafe fn create_extended(
    of: *mut abi::Context,
    attr: *mut abi::QpInitAttrEx,
) -> Result<*mut abi::QpEx, Errno> {
    let attr = attr.as_mut().ok_or(INVALID)?;
    let has = |bit: u32| attr.comp_mask & bit != 0;
    if attr.comp_mask & !(MASK_PD | MASK_XRCD | MASK_CREATE_FLAGS | MASK_SEND_OPS) != 0
        || (has(MASK_CREATE_FLAGS) && attr.create_flags != 0)
    {
        return Err(UNSUPPORTED);
    }
    let domain = if has(MASK_XRCD) { Some(xrcd(attr.xrcd)?) } else { None };
    if !has(MASK_PD) && domain.is_none() {
        return Err(INVALID);
    }
    let send_ops = has(MASK_SEND_OPS).then_some(attr.send_ops_flags);
    let pd = if has(MASK_PD) { attr.pd } else { std::ptr::null_mut() };
    // SAFETY: `ibv_qp_init_attr_ex` begins with the fields of `ibv_qp_init_attr`, and is longer.
    let attr = &mut *(&raw mut *attr).cast::<abi::QpInitAttr>();
    create(of, Wish { pd, attr, send_ops, xrcd: domain })
}

/// `ibv_create_qp_ex`.
pub(crate) unsafe extern "C" fn create_qp_ex(
    of: *mut abi::Context,
    attr: *mut abi::QpInitAttrEx,
) -> *mut abi::Qp {
    pointer(create_extended(of, attr)).cast()
}

/// `ibv_create_qp`.
pub(crate) unsafe fn create_plain(
    of: *mut abi::Pd,
    attr: *mut abi::QpInitAttr,
) -> Result<*mut abi::QpEx, Errno> {
    pd(of)?;
    let attr = attr.as_mut().ok_or(INVALID)?;
    create((*of).context, Wish { pd: of, attr, send_ops: None, xrcd: None })
}

/// The end of extended connections that receives, in a domain.
pub(crate) unsafe fn create_target(
    of: *mut abi::Context,
    domain: *mut abi::Xrcd,
    attr: &mut abi::QpInitAttr,
) -> Result<*mut abi::QpEx, Errno> {
    create(of, Wish { pd: std::ptr::null_mut(), attr, send_ops: None, xrcd: Some(xrcd(domain)?) })
}

/// `enum ibv_qp_open_attr_mask`: number, domain, context and type, the first two and the last of which are needed.
const OPEN_NEEDED: u32 = 0b1011;
const OPEN_CONTEXT: u32 = 1 << 2;

unsafe fn open(of: *mut abi::Context, attr: *const abi::QpOpenAttr) -> Result<*mut abi::QpEx, Errno> {
    let (opened, attr) = (context(of)?, attr.as_ref().ok_or(INVALID)?);
    if attr.comp_mask & !OPEN_CONTEXT != OPEN_NEEDED || attr.qp_type != QpType::XrcTarget as c_uint {
        return Err(INVALID);
    }
    let (domain, qpn) = (xrcd(attr.xrcd)?, Qpn::new(attr.qp_num));
    opened.engine.nic().with(|device, _| device.open_qp(domain, qpn))?;
    let mut c = abi::QpEx::zeroed();
    (c.base.context, c.base.qp_num, c.base.handle) = (of, qpn.value(), qpn.value());
    c.base.qp_type = attr.qp_type;
    if attr.comp_mask & OPEN_CONTEXT != 0 {
        c.base.qp_context = attr.qp_context;
    }
    let (qp_type, builder) = (QpType::XrcTarget, Builder::new(QpType::XrcTarget, false, None)?);
    let engine = Arc::clone(&opened.engine);
    Ok(make(c, Qp { engine, qpn, qp_type, raised: Arc::default(), builder }))
}

/// `ibv_open_qp`.
pub(crate) unsafe extern "C" fn open_qp(of: *mut abi::Context, attr: *mut abi::QpOpenAttr) -> *mut abi::Qp {
    pointer(open(of, attr)).cast()
}

/// `ibv_destroy_qp`.
pub(crate) unsafe fn destroy(pointer: *mut abi::Qp) -> Result<(), Errno> {
    let body = qp(pointer)?;
    body.engine.nic().with(|device, _| {
        device.discard_completions(body.qpn)?;
        device.destroy_qp(body.qpn)
    })?;
    body.engine.unregister(Id::Qp(body.qpn));
    handle::take::<Qp>(pointer.cast()).map(drop)
}

unsafe fn modify(pointer: *mut abi::Qp, attr: *mut abi::QpAttr, mask: c_uint) -> Result<(), Errno> {
    let body = qp(pointer)?;
    let mask = mask & !of_the_other_half((*pointer).qp_type).bits();
    let change = from_c::change(attr.as_ref().ok_or(INVALID)?, mask)?;
    body.engine.nic().with(|device, now| {
        device.modify_qp(now, body.qpn, &change)?;
        match change.state {
            Some(QpState::Reset) => device.discard_completions(body.qpn),
            _ => Ok(()),
        }
    })?;
    if let Some(state) = change.state {
        (*pointer).state = state as c_uint;
    }
    Ok(())
}

/// Attributes that the half of an extended connection does not have. Programs set them for either (perftest does), and
/// the kernel passes over them.
fn of_the_other_half(qp_type: c_uint) -> AttrMask {
    const INITIATOR: c_uint = QpType::XrcInitiator as c_uint;
    const TARGET: c_uint = QpType::XrcTarget as c_uint;
    match qp_type {
        INITIATOR => AttrMask::MAX_DEST_RD_ATOMIC | AttrMask::MIN_RNR_TIMER,
        TARGET => AttrMask::MAX_QP_RD_ATOMIC | AttrMask::RETRY_CNT | AttrMask::RNR_RETRY,
        _ => AttrMask::empty(),
    }
}

unsafe fn query(
    pointer: *mut abi::Qp,
    attr: *mut abi::QpAttr,
    init_attr: *mut abi::QpInitAttr,
) -> Result<(), Errno> {
    let body = qp(pointer)?;
    let info = body.engine.nic().with(|device, _| device.query_qp(body.qpn))?;
    if !attr.is_null() {
        attr.write(to_c::info(&info));
    }
    if let Some(init_attr) = init_attr.as_mut() {
        (init_attr.qp_context, init_attr.srq) = ((*pointer).qp_context, (*pointer).srq);
        (init_attr.send_cq, init_attr.recv_cq) = ((*pointer).send_cq, (*pointer).recv_cq);
        init_attr.cap = to_c::cap(&info.init.cap);
        init_attr.qp_type = (*pointer).qp_type;
        init_attr.sq_sig_all = c_int::from(info.init.signal_all);
    }
    (*pointer).state = info.state as c_uint;
    Ok(())
}

export! {
    "IBVERBS_1.1" fn ibv_create_qp(of: *mut abi::Pd, attr: *mut abi::QpInitAttr) -> *mut abi::Qp {
        pointer(create_plain(of, attr)).cast()
    }

    "IBVERBS_1.1" fn ibv_destroy_qp(pointer: *mut abi::Qp) -> c_int {
        status(destroy(pointer))
    }

    "IBVERBS_1.1" fn ibv_modify_qp(pointer: *mut abi::Qp, attr: *mut abi::QpAttr, mask: c_uint) -> c_int {
        status(modify(pointer, attr, mask))
    }

    // The mask says what is of interest; all is told.
    "IBVERBS_1.1" fn ibv_query_qp(
        pointer: *mut abi::Qp,
        attr: *mut abi::QpAttr,
        mask: c_uint,
        init_attr: *mut abi::QpInitAttr,
    ) -> c_int {
        let _ = mask;
        status(query(pointer, attr, init_attr))
    }

    "IBVERBS_1.6" fn ibv_qp_to_qp_ex(pointer: *mut abi::Qp) -> *mut abi::QpEx {
        match qp(pointer) {
            Ok(body) if body.builder.is_offered() => pointer.cast(),
            _ => std::ptr::null_mut(),
        }
    }

    // Packets are written in the order in which they come, and no other is promised.
    "IBVERBS_1.14" fn ibv_query_qp_data_in_order(pointer: *mut abi::Qp, op: c_uint, flags: u32) -> c_int {
        let _ = (pointer, op, flags);
        0
    }

    // Vendors' own agreements about connections: there are none.
    "IBVERBS_1.10" fn ibv_set_ece(pointer: *mut abi::Qp, ece: *mut abi::Ece) -> c_int {
        let asked = qp(pointer).and_then(|_| ece.as_ref().ok_or(INVALID));
        status(asked.and_then(|ece| if ece.vendor_id == 0 { Ok(()) } else { Err(UNSUPPORTED) }))
    }

    "IBVERBS_1.10" fn ibv_query_ece(pointer: *mut abi::Qp, ece: *mut abi::Ece) -> c_int {
        status(qp(pointer).map(|_| ece.write(abi::Ece::zeroed())))
    }
}
