//! Addresses, routes and connections.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;
use std::time::Duration;

use ferroce::cm::{ConnParam, EventKind};
use ferroce_engine::{QpEvent, Qpn};

use super::event::next;
use super::id::{CmId, complete, id, is_datagram, refresh};
use super::{qp, sockaddr};
use crate::abi;
use crate::border::{Errno, INVALID, export, number};

fn milliseconds(timeout: c_int) -> Duration {
    Duration::from_millis(timeout.max(0) as u64)
}

/// `rdma_bind_addr`.
pub(super) unsafe fn bind(pointer: *mut abi::CmId, to: *const libc::sockaddr) -> Result<(), Errno> {
    id(pointer)?.id.bind(sockaddr::from_c(to)?)?;
    refresh(pointer)
}

/// `rdma_resolve_addr`.
pub(super) unsafe fn resolve_addr(
    pointer: *mut abi::CmId,
    from: *const libc::sockaddr,
    to: *const libc::sockaddr,
    timeout: c_int,
) -> Result<(), Errno> {
    let from = if from.is_null() { None } else { Some(sockaddr::from_c(from)?) };
    id(pointer)?.id.resolve_addr(from, sockaddr::from_c(to)?, milliseconds(timeout))?;
    complete(pointer)
}

/// `rdma_resolve_route`.
pub(super) unsafe fn resolve_route(pointer: *mut abi::CmId, timeout: c_int) -> Result<(), Errno> {
    id(pointer)?.id.resolve_route(milliseconds(timeout))?;
    complete(pointer)
}

/// What a program proposes; nothing stands for as much as possible.
unsafe fn proposal(body: &CmId, param: *const abi::ConnParam) -> ConnParam {
    let Some(param) = param.as_ref() else { return ConnParam::default() };
    let private_data = bytes(param.private_data, param.private_data_len);
    ConnParam {
        private_data,
        responder_resources: param.responder_resources,
        initiator_depth: param.initiator_depth,
        flow_control: param.flow_control != 0,
        retry_count: param.retry_count,
        rnr_retry_count: param.rnr_retry_count,
        srq: param.srq != 0,
        qp_num: if body.id.qpn().is_some() { Qpn::default() } else { Qpn::new(param.qp_num) },
        ..ConnParam::default()
    }
}

unsafe fn bytes(start: *const c_void, len: u8) -> Vec<u8> {
    if start.is_null() || len == 0 {
        return Vec::new();
    }
    std::slice::from_raw_parts(start.cast::<u8>(), usize::from(len)).to_vec()
}

unsafe fn connect(pointer: *mut abi::CmId, param: *const abi::ConnParam) -> Result<(), Errno> {
    qp::follow(pointer)?;
    let body = id(pointer)?;
    body.id.connect(&proposal(body, param))?;
    complete(pointer)
}

unsafe fn accept(pointer: *mut abi::CmId, param: *const abi::ConnParam) -> Result<(), Errno> {
    qp::follow(pointer)?;
    let body = id(pointer)?;
    body.id.accept(&proposal(body, param))?;
    // Who asked for datagrams says nothing more.
    if is_datagram(&body.id) { Ok(()) } else { complete(pointer) }
}

unsafe fn reject(pointer: *mut abi::CmId, data: *const c_void, len: u8) -> Result<(), Errno> {
    let body = id(pointer)?;
    Ok(body.id.reject(&bytes(data, len))?)
}

unsafe fn disconnect(pointer: *mut abi::CmId) -> Result<(), Errno> {
    qp::follow(pointer)?;
    id(pointer)?.id.disconnect()?;
    complete(pointer)
}

/// The next request to a synchronous identifier that listens.
unsafe fn request(pointer: *mut abi::CmId) -> Result<*mut abi::CmId, Errno> {
    let body = id(pointer)?;
    let channel = {
        let more = body.more.lock();
        if !more.synchronous {
            return Err(INVALID);
        }
        Arc::clone(&more.channel)
    };
    let event = next(&channel)?;
    if (*event).event != EventKind::ConnectRequest as c_uint {
        super::event::acknowledge(event)?;
        return Err(INVALID);
    }
    let asked = (*event).id;
    (*asked).event = event;
    qp::create_as_wished(pointer, asked)?;
    Ok(asked)
}

/// `IBV_EVENT_COMM_EST`.
const COMM_EST: c_uint = QpEvent::CommEst as c_uint;

export! {
    "RDMACM_1.0" fn rdma_bind_addr(pointer: *mut abi::CmId, to: *mut libc::sockaddr) -> c_int {
        number(bind(pointer, to).map(|()| 0))
    }

    "RDMACM_1.0" fn rdma_resolve_addr(
        pointer: *mut abi::CmId,
        from: *mut libc::sockaddr,
        to: *mut libc::sockaddr,
        timeout: c_int,
    ) -> c_int {
        number(resolve_addr(pointer, from, to, timeout).map(|()| 0))
    }

    "RDMACM_1.0" fn rdma_resolve_route(pointer: *mut abi::CmId, timeout: c_int) -> c_int {
        number(resolve_route(pointer, timeout).map(|()| 0))
    }

    "RDMACM_1.0" fn rdma_connect(pointer: *mut abi::CmId, param: *mut abi::ConnParam) -> c_int {
        number(connect(pointer, param).map(|()| 0))
    }

    "RDMACM_1.0" fn rdma_listen(pointer: *mut abi::CmId, backlog: c_int) -> c_int {
        let listening = id(pointer).and_then(|body| Ok(body.id.listen(backlog.max(0) as u32)?));
        number(listening.and_then(|()| refresh(pointer)).map(|()| 0))
    }

    "RDMACM_1.0" fn rdma_get_request(pointer: *mut abi::CmId, to: *mut *mut abi::CmId) -> c_int {
        number(request(pointer).map(|asked| { *to = asked; 0 }))
    }

    "RDMACM_1.0" fn rdma_accept(pointer: *mut abi::CmId, param: *mut abi::ConnParam) -> c_int {
        number(accept(pointer, param).map(|()| 0))
    }

    "RDMACM_1.0" fn rdma_reject(pointer: *mut abi::CmId, data: *const c_void, len: u8) -> c_int {
        number(reject(pointer, data, len).map(|()| 0))
    }

    // "Because of vendors' own agreements" is no reason that the peer's program could be told apart.
    "RDMACM_1.3" fn rdma_reject_ece(pointer: *mut abi::CmId, data: *const c_void, len: u8) -> c_int {
        number(reject(pointer, data, len).map(|()| 0))
    }

    "RDMACM_1.0" fn rdma_disconnect(pointer: *mut abi::CmId) -> c_int {
        number(disconnect(pointer).map(|()| 0))
    }

    "RDMACM_1.2" fn rdma_establish(pointer: *mut abi::CmId) -> c_int {
        number(id(pointer).and_then(|body| { body.id.establish()?; Ok(0) }))
    }

    "RDMACM_1.0" fn rdma_notify(pointer: *mut abi::CmId, event: c_uint) -> c_int {
        number(id(pointer).and_then(|body| {
            if event == COMM_EST {
                body.id.notify(QpEvent::CommEst)?;
            }
            Ok(0)
        }))
    }
}
