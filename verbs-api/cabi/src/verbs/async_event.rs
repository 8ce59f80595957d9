//! Asynchronous events.

use std::ffi::c_int;

use super::context::context;
use super::cq::Cq;
use super::qp::Qp;
use super::srq::Srq;
use crate::abi;
use crate::border::{Errno, export, number};
use crate::handle;

/// `enum ibv_event_type`, as far as it says which kind of object an event is about.
const CQ_ERR: u32 = 0;
const SRQ_EVENTS: [u32; 2] = [14, 15];
const QP_EVENTS: [u32; 8] = [1, 2, 3, 4, 5, 6, 7, 16];

unsafe fn next(of: *mut abi::Context, to: *mut abi::AsyncEvent) -> Result<c_int, Errno> {
    // The context may be closed by another thread while this one sleeps.
    let events = std::sync::Arc::clone(&context(of)?.events);
    let (element, event_type) = events.take()?;
    to.write(abi::AsyncEvent { element: element as *mut _, event_type });
    Ok(0)
}

unsafe fn acknowledge(event: &abi::AsyncEvent) -> Result<(), Errno> {
    let raised = match event.event_type {
        CQ_ERR => &handle::object::<Cq>(event.element.cast())?.raised,
        kind if QP_EVENTS.contains(&kind) => &handle::object::<Qp>(event.element.cast())?.raised,
        kind if SRQ_EVENTS.contains(&kind) => &handle::object::<Srq>(event.element.cast())?.raised,
        _ => return Ok(()),
    };
    raised.acknowledge(1);
    Ok(())
}

export! {
    "IBVERBS_1.1" fn ibv_get_async_event(of: *mut abi::Context, to: *mut abi::AsyncEvent) -> c_int {
        number(next(of, to))
    }

    "IBVERBS_1.1" fn ibv_ack_async_event(event: *mut abi::AsyncEvent) {
        // An object that is gone has nobody who waits for this.
        if let Some(event) = event.as_ref() && let Err(errno) = acknowledge(event) {
            errno.set();
        }
    }
}
