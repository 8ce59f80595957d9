//! Events about identifiers.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::net::IpAddr;
use std::sync::Arc;

use ferroce::cm::{ConnEvent, Event, EventKind, Param, UdEvent};

use super::channel::{Channel, Inner};
use super::id::{self, hand_out, pointer_of, refresh};
use crate::abi::{self, Plain};
use crate::border::{Errno, INVALID, export, number};
use crate::handle::{self, make, pooled};
use crate::mailbox::Source;
use crate::verbs::to_c;

/// Our part of an event.
pub(super) struct Told {
    /// Counts the events of the identifier that it is about.
    source: Arc<Source>,
    /// Keeps what the C part points to.
    _private_data: Vec<u8>,
}
pooled!(Told, abi::CmEvent);

/// The next event of a channel, as C programs see it.
pub(super) unsafe fn next(channel: &Arc<Inner>) -> Result<*mut abi::CmEvent, Errno> {
    loop {
        // An identifier that is gone has no more events.
        if let Some(made) = told(channel, channel.next()?)? {
            return Ok(made);
        }
    }
}

unsafe fn told(channel: &Arc<Inner>, event: Event) -> Result<Option<*mut abi::CmEvent>, Errno> {
    let mut c = abi::CmEvent::zeroed();
    (c.event, c.status) = (event.kind as c_uint, event.status);
    let source = match &event.listener {
        Some(listener) => {
            let Some(listen_id) = pointer_of(listener) else { return Ok(None) };
            c.listen_id = listen_id;
            let body = id::id(listen_id)?;
            let (c_channel, context) = ((*listen_id).channel, (*listen_id).context);
            c.id = hand_out(event.id.clone(), (c_channel, Arc::clone(channel)), context, false);
            (*c.id).qp_type = (*listen_id).qp_type;
            if body.more.lock().synchronous {
                id::migrate(c.id, std::ptr::null_mut())?;
            }
            Arc::clone(&body.told)
        }
        None => {
            let Some(pointer) = pointer_of(&event.id) else { return Ok(None) };
            c.id = pointer;
            Arc::clone(&id::id(pointer)?.told)
        }
    };
    refresh(c.id)?;
    super::qp::note(c.id, event.kind);
    let private_data = match event.param {
        Param::None => Vec::new(),
        Param::Conn(conn) => connection(&mut c, conn),
        Param::Ud(ud) => {
            let group = ud.av.as_ref().map(|av| av.dgid);
            let private_data = datagrams(&mut c, ud);
            if event.kind == EventKind::MulticastJoin {
                c.param.ud.private_data = context_of(c.id, group)?;
            }
            private_data
        }
    };
    Ok(Some(give(c, source, private_data)))
}

/// What the program calls a multicast group.
unsafe fn context_of(pointer: *mut abi::CmId, group: Option<IpAddr>) -> Result<*const c_void, Errno> {
    let more = id::id(pointer)?.more.lock();
    let found = more.groups.iter().find(|(joined, _)| Some(*joined) == group);
    Ok(found.map_or(std::ptr::null(), |(_, context)| *context as *const c_void))
}

fn connection(c: &mut abi::CmEvent, conn: ConnEvent) -> Vec<u8> {
    c.param.conn = abi::ConnParam {
        private_data: start_of(&conn.private_data),
        private_data_len: conn.private_data.len() as u8,
        responder_resources: conn.responder_resources,
        initiator_depth: conn.initiator_depth,
        flow_control: u8::from(conn.flow_control),
        retry_count: conn.retry_count,
        rnr_retry_count: conn.rnr_retry_count,
        srq: u8::from(conn.srq),
        qp_num: conn.qp_num.value(),
    };
    conn.private_data
}

fn datagrams(c: &mut abi::CmEvent, ud: UdEvent) -> Vec<u8> {
    c.param.ud = abi::UdParam {
        private_data: start_of(&ud.private_data),
        private_data_len: ud.private_data.len() as u8,
        ah_attr: ud.av.as_ref().map_or_else(abi::AhAttr::zeroed, to_c::path),
        qp_num: ud.qp_num.value(),
        qkey: ud.qkey,
    };
    ud.private_data
}

fn start_of(data: &[u8]) -> *const c_void {
    if data.is_empty() { std::ptr::null() } else { data.as_ptr().cast() }
}

fn give(c: abi::CmEvent, source: Arc<Source>, private_data: Vec<u8>) -> *mut abi::CmEvent {
    source.taken();
    make(c, Told { source, _private_data: private_data })
}

/// The application is done with an event.
///
/// # Safety
///
/// As [`handle::take`].
pub(super) unsafe fn acknowledge(event: *mut abi::CmEvent) -> Result<(), Errno> {
    handle::take::<Told>(event)?.source.acknowledge(1);
    Ok(())
}

unsafe fn get(channel: *mut abi::EventChannel, to: *mut *mut abi::CmEvent) -> Result<c_int, Errno> {
    let channel = Arc::clone(&handle::object::<Channel>(channel)?.inner);
    let to = to.as_mut().ok_or(INVALID)?;
    *to = next(&channel)?;
    Ok(0)
}

const NAMES: [&CStr; 16] = [
    c"RDMA_CM_EVENT_ADDR_RESOLVED",
    c"RDMA_CM_EVENT_ADDR_ERROR",
    c"RDMA_CM_EVENT_ROUTE_RESOLVED",
    c"RDMA_CM_EVENT_ROUTE_ERROR",
    c"RDMA_CM_EVENT_CONNECT_REQUEST",
    c"RDMA_CM_EVENT_CONNECT_RESPONSE",
    c"RDMA_CM_EVENT_CONNECT_ERROR",
    c"RDMA_CM_EVENT_UNREACHABLE",
    c"RDMA_CM_EVENT_REJECTED",
    c"RDMA_CM_EVENT_ESTABLISHED",
    c"RDMA_CM_EVENT_DISCONNECTED",
    c"RDMA_CM_EVENT_DEVICE_REMOVAL",
    c"RDMA_CM_EVENT_MULTICAST_JOIN",
    c"RDMA_CM_EVENT_MULTICAST_ERROR",
    c"RDMA_CM_EVENT_ADDR_CHANGE",
    c"RDMA_CM_EVENT_TIMEWAIT_EXIT",
];

export! {
    "RDMACM_1.0" fn rdma_get_cm_event(
        channel: *mut abi::EventChannel,
        to: *mut *mut abi::CmEvent,
    ) -> c_int {
        number(get(channel, to))
    }

    "RDMACM_1.0" fn rdma_ack_cm_event(event: *mut abi::CmEvent) -> c_int {
        number(acknowledge(event).map(|()| 0))
    }

    "RDMACM_1.0" fn rdma_event_str(event: c_uint) -> *const c_char {
        NAMES.get(event as usize).unwrap_or(&c"UNKNOWN EVENT").as_ptr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_the_names_that_rust_programs_see() {
        for kind in EventKind::ALL {
            assert_eq!(NAMES[kind as usize].to_str(), Ok(kind.name()));
        }
    }
}
