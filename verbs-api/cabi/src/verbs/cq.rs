//! Completion queues.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Wake, Waker};

use ferroce_engine::{Arm, Moderation, Wc};

use super::channel::{Channel, Notifications, users};
use super::context::{Context, context};
use super::cq_ex::Cursor;
use super::query::COMP_VECTORS;
use crate::abi::{self, Plain};
use crate::border::{Errno, INVALID, UNSUPPORTED, export, pointer, status};
use crate::handle::{self, make, pooled};
use crate::mailbox::Source;
use crate::process::{Engine, Id, Subject};

/// Our part of a completion queue.
pub(crate) struct Cq {
    pub(crate) engine: Arc<Engine>,
    pub(crate) cq: ferroce_engine::Cq,
    /// Counts its notifications.
    pub(crate) notified: Arc<Source>,
    channel: Option<Arc<Notifications>>,
    /// Counts its asynchronous events.
    pub(crate) raised: Arc<Source>,
    /// What `ibv_start_poll` and its kin look at.
    pub(crate) cursor: Cursor,
}
// Every completion queue has room for `ibv_cq_ex`, which begins with `ibv_cq`.
pooled!(Cq, abi::CqEx);

/// Our part of the completion queue behind a pointer.
///
/// # Safety
///
/// As [`handle::object`].
pub(crate) unsafe fn cq<'a>(pointer: *const abi::Cq) -> Result<&'a Cq, Errno> {
    handle::object(pointer.cast())
}

/// Writes a notification into a channel.
struct Notifier {
    channel: Arc<Notifications>,
    notified: Arc<Source>,
    pointer: usize,
}

impl Wake for Notifier {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.channel.post(&self.notified, self.pointer);
    }
}

/// What a completion queue is made with.
pub(crate) struct Wish {
    pub(crate) cqe: u32,
    pub(crate) cq_context: *mut c_void,
    pub(crate) channel: *mut abi::CompChannel,
    pub(crate) comp_vector: u32,
}

/// Makes a completion queue.
///
/// # Safety
///
/// The pointers are NULL or objects.
pub(crate) unsafe fn create(of: *mut abi::Context, wish: &Wish) -> Result<*mut abi::CqEx, Errno> {
    let Context { engine, events, .. } = context(of)?;
    if wish.comp_vector >= COMP_VECTORS as u32 {
        return Err(INVALID);
    }
    let channel = match wish.channel.is_null() {
        true => None,
        false => Some(Arc::clone(&handle::object::<Channel>(wish.channel)?.notifications)),
    };
    let made = engine.nic().with(|device, _| device.create_cq(wish.cqe))?;
    let mut c = abi::CqEx::zeroed();
    (c.base.context, c.base.channel, c.base.cq_context) = (of, wish.channel, wish.cq_context);
    (c.base.handle, c.base.cqe) = (made.index(), wish.cqe as c_int);
    let (notified, raised) = (Arc::<Source>::default(), Arc::default());
    let body = Cq {
        engine: Arc::clone(engine),
        cq: made,
        notified: Arc::clone(&notified),
        channel: channel.clone(),
        raised: Arc::clone(&raised),
        cursor: Cursor::default(),
    };
    let pointer = make(c, body);
    engine.register(Id::Cq(made), Subject::new(pointer, events, &raised));
    if let Some(channel) = channel {
        users(wish.channel).fetch_add(1, Ordering::AcqRel);
        let notifier = Arc::new(Notifier { channel, notified, pointer: pointer as usize });
        engine.nic().set_waker(made, Some(&Waker::from(notifier)));
    }
    Ok(pointer)
}

/// `ibv_destroy_cq`.
pub(crate) unsafe fn destroy(pointer: *mut abi::Cq) -> Result<(), Errno> {
    let body = cq(pointer)?;
    body.engine.nic().destroy_cq(body.cq)?;
    body.engine.unregister(Id::Cq(body.cq));
    if let Some(channel) = &body.channel {
        channel.close(&body.notified);
        users((*pointer).channel).fetch_sub(1, Ordering::AcqRel);
    }
    handle::take::<Cq>(pointer.cast()).map(drop)
}

/// Completions that one call takes from the engine.
const BATCH: usize = 16;

/// `ibv_poll_cq`.
pub(crate) unsafe extern "C" fn poll_cq(pointer: *mut abi::Cq, count: c_int, to: *mut abi::Wc) -> c_int {
    let Ok(cq) = cq(pointer) else { return -INVALID.0 };
    let mut batch = [Wc::default(); BATCH];
    let (mut done, wanted) = (0, usize::try_from(count).unwrap_or(0));
    while done < wanted {
        let room = (wanted - done).min(BATCH);
        let Ok(found) = cq.engine.nic().poll_cq(cq.cq, &mut batch[..room]) else { return -INVALID.0 };
        for wc in &batch[..found] {
            to.add(done).write(completion(wc));
            done += 1;
        }
        if found < room {
            break;
        }
    }
    done as c_int
}

/// `enum ibv_wc_flags`.
pub(crate) const GRH: c_uint = 1;
const WITH_IMM: c_uint = 1 << 1;
const WITH_INV: c_uint = 1 << 3;

/// A completion as C programs see it.
pub(crate) fn completion(wc: &Wc) -> abi::Wc {
    let (imm_data, wc_flags) = match (wc.imm, wc.invalidated) {
        (Some(imm), _) => (u32::from_ne_bytes(imm.0), WITH_IMM),
        (None, Some(key)) => (key, WITH_INV),
        (None, None) => (0, 0),
    };
    abi::Wc {
        wr_id: wc.wr_id,
        status: wc.status as c_uint,
        opcode: wc.opcode as c_uint,
        vendor_err: wc.vendor_err,
        byte_len: wc.byte_len,
        imm_data,
        qp_num: wc.qpn,
        src_qp: wc.src_qp,
        wc_flags: wc_flags | if wc.grh { GRH } else { 0 },
        pkey_index: wc.pkey_index,
        slid: 0,
        sl: wc.sl,
        dlid_path_bits: 0,
    }
}

/// `ibv_req_notify_cq`.
pub(crate) unsafe extern "C" fn req_notify_cq(pointer: *mut abi::Cq, solicited_only: c_int) -> c_int {
    let arm = if solicited_only != 0 { Arm::Solicited } else { Arm::Next };
    status(cq(pointer).and_then(|cq| Ok(cq.engine.nic().req_notify_cq(cq.cq, arm)?)))
}

unsafe fn resize(pointer: *mut abi::Cq, cqe: c_int) -> Result<(), Errno> {
    let cq = cq(pointer)?;
    let wanted = u32::try_from(cqe).map_err(|_| INVALID)?;
    cq.engine.nic().with(|device, _| device.resize_cq(cq.cq, wanted))?;
    (*pointer).cqe = cqe;
    Ok(())
}

unsafe fn moderate(pointer: *mut abi::Cq, attr: *const abi::ModifyCqAttr) -> Result<(), Errno> {
    const MODERATE: u32 = 1;
    let (cq, attr) = (cq(pointer)?, attr.as_ref().ok_or(INVALID)?);
    if attr.attr_mask & !MODERATE != 0 {
        return Err(UNSUPPORTED);
    }
    let moderation = Moderation { count: attr.cq_count, period: attr.cq_period };
    Ok(cq.engine.nic().with(|device, _| device.modify_cq(cq.cq, moderation))?)
}

/// `ibv_modify_cq`.
pub(crate) unsafe extern "C" fn modify_cq(pointer: *mut abi::Cq, attr: *mut abi::ModifyCqAttr) -> c_int {
    status(moderate(pointer, attr))
}

export! {
    "IBVERBS_1.1" fn ibv_create_cq(
        of: *mut abi::Context,
        cqe: c_int,
        cq_context: *mut c_void,
        channel: *mut abi::CompChannel,
        comp_vector: c_int,
    ) -> *mut abi::Cq {
        let (cqe, comp_vector) = (cqe.max(0) as u32, comp_vector as u32);
        pointer(create(of, &Wish { cqe, cq_context, channel, comp_vector })).cast()
    }

    "IBVERBS_1.1" fn ibv_destroy_cq(pointer: *mut abi::Cq) -> c_int {
        status(destroy(pointer))
    }

    "IBVERBS_1.1" fn ibv_resize_cq(pointer: *mut abi::Cq, cqe: c_int) -> c_int {
        status(resize(pointer, cqe))
    }
}
