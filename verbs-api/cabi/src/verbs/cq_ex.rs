//! `struct ibv_cq_ex`: completions read field by field.

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_uint};
use std::time::{Duration, SystemTime};

use ferroce_engine::{Time, Wc};
use parking_lot::RawMutex;
use parking_lot::lock_api::RawMutex as _;

use super::cq::{self, Cq, completion};
use super::query::nanoseconds;
use crate::abi;
use crate::border::{Errno, INVALID, UNSUPPORTED, pointer};
use crate::handle;

/// The completion that a program looks at, between `ibv_start_poll` and `ibv_end_poll`.
pub(crate) struct Cursor {
    /// Held from the one to the other, so that threads that share a queue take turns.
    lock: RawMutex,
    current: UnsafeCell<Wc>,
}

// SAFETY: `current` is touched only by the holder of `lock`, or by a program that breaks the rules of the interface
// and gets some completion's fields.
unsafe impl Sync for Cursor {}

impl Default for Cursor {
    fn default() -> Cursor {
        Cursor { lock: RawMutex::INIT, current: UnsafeCell::new(Wc::default()) }
    }
}

/// `enum ibv_create_cq_wc_flags` that a NIC on Ethernet without VLANs, flow tags or tag matching can give.
const FIELDS: u64 = 0x7f | FIELD_TIMESTAMP | FIELD_WALLCLOCK;
const FIELD_TIMESTAMP: u64 = 1 << 7;
const FIELD_WALLCLOCK: u64 = 1 << 11;

const MASK_FLAGS: u32 = 1;
const MASK_PD: u32 = 1 << 1;

unsafe fn create(of: *mut abi::Context, attr: *mut abi::CqInitAttrEx) -> Result<*mut abi::CqEx, Errno> {
    let attr = attr.as_ref().ok_or(INVALID)?;
    if attr.wc_flags & !FIELDS != 0 || attr.comp_mask & !(MASK_FLAGS | MASK_PD) != 0 {
        return Err(UNSUPPORTED);
    }
    // Single-threaded use, and overruns that the program excludes, are both served by what serves everybody.
    const FLAGS: u32 = 0b11;
    if attr.comp_mask & MASK_FLAGS != 0 && attr.flags & !FLAGS != 0 {
        return Err(INVALID);
    }
    if attr.comp_mask & MASK_PD != 0 {
        super::pd::pd(attr.parent_domain)?;
    }
    let wish = cq::Wish {
        cqe: attr.cqe,
        cq_context: attr.cq_context,
        channel: attr.channel,
        comp_vector: attr.comp_vector,
    };
    let pointer = cq::create(of, &wish)?;
    fill(&mut *pointer, attr.wc_flags);
    Ok(pointer)
}

fn fill(c: &mut abi::CqEx, fields: u64) {
    c.start_poll = Some(start_poll);
    c.next_poll = Some(next_poll);
    c.end_poll = Some(end_poll);
    c.read_opcode = Some(read_opcode);
    c.read_vendor_err = Some(read_vendor_err);
    c.read_byte_len = Some(read_byte_len);
    c.read_imm_data = Some(read_imm_data);
    c.read_qp_num = Some(read_qp_num);
    c.read_src_qp = Some(read_src_qp);
    c.read_wc_flags = Some(read_wc_flags);
    c.read_slid = Some(read_slid);
    c.read_sl = Some(read_sl);
    c.read_dlid_path_bits = Some(read_dlid_path_bits);
    if fields & FIELD_TIMESTAMP != 0 {
        c.read_completion_ts = Some(read_completion_ts);
    }
    if fields & FIELD_WALLCLOCK != 0 {
        c.read_completion_wallclock_ns = Some(read_completion_wallclock_ns);
    }
}

/// `ibv_create_cq_ex`.
pub(crate) unsafe extern "C" fn create_cq_ex(
    of: *mut abi::Context,
    attr: *mut abi::CqInitAttrEx,
) -> *mut abi::CqEx {
    pointer(create(of, attr))
}

/// Moves to the next completion: 0, or ENOENT when there is none.
unsafe fn advance(pointer: *mut abi::CqEx, cq: &Cq) -> c_int {
    let mut next = [Wc::default()];
    match cq.engine.nic().poll_cq(cq.cq, &mut next) {
        Ok(0) => libc::ENOENT,
        Ok(_) => {
            (*pointer).wr_id = next[0].wr_id;
            (*pointer).status = next[0].status as c_uint;
            *cq.cursor.current.get() = next[0];
            0
        }
        Err(error) => error.errno(),
    }
}

unsafe extern "C" fn start_poll(pointer: *mut abi::CqEx, attr: *mut abi::PollCqAttr) -> c_int {
    let Ok(cq) = handle::object::<Cq>(pointer) else { return INVALID.0 };
    if attr.as_ref().is_some_and(|attr| attr.comp_mask != 0) {
        return INVALID.0;
    }
    cq.cursor.lock.lock();
    let found = advance(pointer, cq);
    if found != 0 {
        // There will be no `ibv_end_poll` then.
        cq.cursor.lock.unlock();
    }
    found
}

unsafe extern "C" fn next_poll(pointer: *mut abi::CqEx) -> c_int {
    handle::object::<Cq>(pointer).map_or(INVALID.0, |cq| advance(pointer, cq))
}

unsafe extern "C" fn end_poll(pointer: *mut abi::CqEx) {
    if let Ok(cq) = handle::object::<Cq>(pointer)
        && cq.cursor.lock.is_locked()
    {
        cq.cursor.lock.unlock();
    }
}

unsafe fn current(pointer: *mut abi::CqEx) -> Wc {
    handle::object::<Cq>(pointer).map(|cq| *cq.cursor.current.get()).unwrap_or_default()
}

unsafe extern "C" fn read_opcode(pointer: *mut abi::CqEx) -> c_uint {
    current(pointer).opcode as c_uint
}

unsafe extern "C" fn read_vendor_err(pointer: *mut abi::CqEx) -> u32 {
    current(pointer).vendor_err
}

unsafe extern "C" fn read_byte_len(pointer: *mut abi::CqEx) -> u32 {
    current(pointer).byte_len
}

unsafe extern "C" fn read_imm_data(pointer: *mut abi::CqEx) -> u32 {
    completion(&current(pointer)).imm_data
}

unsafe extern "C" fn read_qp_num(pointer: *mut abi::CqEx) -> u32 {
    current(pointer).qpn
}

unsafe extern "C" fn read_src_qp(pointer: *mut abi::CqEx) -> u32 {
    current(pointer).src_qp
}

unsafe extern "C" fn read_wc_flags(pointer: *mut abi::CqEx) -> c_uint {
    completion(&current(pointer)).wc_flags
}

unsafe extern "C" fn read_slid(_: *mut abi::CqEx) -> u32 {
    0
}

unsafe extern "C" fn read_sl(pointer: *mut abi::CqEx) -> u8 {
    current(pointer).sl
}

unsafe extern "C" fn read_dlid_path_bits(_: *mut abi::CqEx) -> u8 {
    0
}

unsafe extern "C" fn read_completion_ts(pointer: *mut abi::CqEx) -> u64 {
    nanoseconds(current(pointer).timestamp.since(Time::ZERO))
}

unsafe extern "C" fn read_completion_wallclock_ns(pointer: *mut abi::CqEx) -> u64 {
    let (now, Ok(cq)) = (SystemTime::UNIX_EPOCH.elapsed(), handle::object::<Cq>(pointer)) else { return 0 };
    let age = cq.engine.nic().now().since(current(pointer).timestamp);
    nanoseconds(now.unwrap_or(Duration::ZERO).saturating_sub(age))
}
