//! From what the connection manager tells to what applications are told, with the work that goes with it.

use std::net::SocketAddr;

use ferroce_engine::{AddressVector, CmEventKind, Qpn};
use ferroce_wire::cm::{IpCmHeader, RejectReason, Rep, Req, SidrRep, SidrReq, SidrStatus};

use super::calls::{gid_index, make_ready, to_error};
use super::channel::{News, Pending};
use super::error::CmError;
use super::event::{ConnEvent, Event, EventKind, Param, UdEvent};
use super::id::{Asked, Id, State};

/// `ETIMEDOUT`.
const TIMED_OUT: i32 = 110;

impl Id {
    /// The event for a piece of news; `None` if there is nothing to tell.
    pub(super) fn convert(self, pending: Pending) -> Option<Event> {
        let Pending { listener, news, .. } = pending;
        let (kind, status, param) = match news {
            News::Local(kind, status) => (kind, status, Param::None),
            News::Joined(group) => match self.way_to(group) {
                Ok(way) => (EventKind::MulticastJoin, 0, Param::Ud(way)),
                Err(error) => (EventKind::MulticastError, -error.errno(), Param::None),
            },
            News::Cm(event) => match event.kind {
                CmEventKind::Request { req, .. } => self.on_request(&req)?,
                CmEventKind::SidrRequest { req, .. } => self.on_sidr_request(&req)?,
                CmEventKind::Reply(rep) => self.on_reply(&rep)?,
                CmEventKind::Established(_) => {
                    self.shared.inner.lock().state = State::Connected;
                    (EventKind::Established, 0, Param::Conn(ConnEvent::default()))
                }
                CmEventKind::Rejected(rej) => {
                    self.over();
                    let private_data = rej.private_data.to_vec();
                    let param = Param::Conn(ConnEvent { private_data, ..ConnEvent::default() });
                    (EventKind::Rejected, i32::from(rej.reason.0), param)
                }
                CmEventKind::Unreachable => {
                    self.shared.inner.lock().state = State::Disconnected;
                    (EventKind::Unreachable, -TIMED_OUT, Param::None)
                }
                CmEventKind::Disconnecting(_) | CmEventKind::Disconnected(_) => self.on_end()?,
                CmEventKind::TimeWaitOver => (EventKind::TimewaitExit, 0, Param::None),
                CmEventKind::SidrReply(rep) => self.on_sidr_reply(&rep)?,
            },
        };
        Some(Event { id: self, listener, kind, status, param })
    }

    /// Notes who asks; false, with a rejection, if the request does not say it as it should.
    fn on_addresses(&self, private_data: &[u8], port: Option<u16>) -> bool {
        let mut inner = self.shared.inner.lock();
        let Ok((context, engine)) = inner.connection("take a request") else { return false };
        // The peer may have gone since.
        context.nic().with(|device, _| device.cm_mut().take_request(engine)).ok();
        let header = private_data.first_chunk().and_then(IpCmHeader::parse);
        let known = header.filter(|header| context.addresses().contains(&header.dst));
        if let Some(header) = known {
            inner.local = SocketAddr::new(header.dst, port.unwrap_or(0));
            inner.peer = Some(SocketAddr::new(header.src, header.src_port));
            return true;
        }
        drop(inner);
        self.reject_because(RejectReason::CONSUMER_DEFINED, &[]).ok();
        false
    }

    fn on_request(&self, req: &Req) -> Option<(EventKind, i32, Param)> {
        if !self.on_addresses(&req.private_data, req.service_id.port()) {
            return None;
        }
        let asked = Asked {
            responder_resources: req.initiator_depth,
            initiator_depth: req.responder_resources,
            rnr_retry_count: req.rnr_retry_count,
            srq: req.srq,
        };
        self.shared.inner.lock().asked = asked;
        let conn = ConnEvent {
            private_data: req.private_data[IpCmHeader::LEN..].to_vec(),
            responder_resources: asked.responder_resources,
            initiator_depth: asked.initiator_depth,
            flow_control: req.flow_control,
            retry_count: req.retry_count,
            rnr_retry_count: asked.rnr_retry_count,
            srq: asked.srq,
            qp_num: req.local_qpn,
        };
        Some((EventKind::ConnectRequest, 0, Param::Conn(conn)))
    }

    fn on_sidr_request(&self, req: &SidrReq) -> Option<(EventKind, i32, Param)> {
        if !self.on_addresses(&req.private_data, req.service_id.port()) {
            return None;
        }
        let private_data = req.private_data[IpCmHeader::LEN..].to_vec();
        let ud = UdEvent { private_data, av: None, qp_num: Qpn::default(), qkey: 0 };
        Some((EventKind::ConnectRequest, 0, Param::Ud(ud)))
    }

    fn on_reply(&self, rep: &Rep) -> Option<(EventKind, i32, Param)> {
        let mut inner = self.shared.inner.lock();
        let (context, engine) = inner.connection("take a reply").ok()?;
        let conn = ConnEvent {
            private_data: rep.private_data.to_vec(),
            responder_resources: rep.initiator_depth,
            initiator_depth: rep.responder_resources,
            flow_control: rep.flow_control,
            retry_count: 0,
            rnr_retry_count: rep.rnr_retry_count,
            srq: rep.srq,
            qp_num: rep.local_qpn,
        };
        let Some(qpn) = inner.qpn else {
            return Some((EventKind::ConnectResponse, 0, Param::Conn(conn)));
        };
        let ready = make_ready(&context, &inner, qpn, None)
            .and_then(|()| Ok(context.nic().with(|device, _| device.cm_mut().ready(engine, &[]))?));
        match ready {
            Ok(()) => {
                inner.state = State::Connected;
                Some((EventKind::Established, 0, Param::Conn(conn)))
            }
            Err(error) => {
                to_error(&context, inner.qpn);
                inner.state = State::Disconnected;
                drop(inner);
                self.reject_because(RejectReason::CONSUMER_DEFINED, &[]).ok();
                Some((EventKind::ConnectError, -error.errno(), Param::None))
            }
        }
    }

    fn on_end(&self) -> Option<(EventKind, i32, Param)> {
        let mut inner = self.shared.inner.lock();
        inner.state = State::Disconnected;
        let first = !std::mem::replace(&mut inner.end_told, true);
        first.then(|| (EventKind::Disconnected, 0, Param::Conn(ConnEvent::default())))
    }

    fn on_sidr_reply(&self, rep: &SidrRep) -> Option<(EventKind, i32, Param)> {
        let mut inner = self.shared.inner.lock();
        if rep.status != SidrStatus::OK {
            inner.state = State::Disconnected;
            return Some((EventKind::Unreachable, i32::from(rep.status.0), Param::None));
        }
        inner.state = State::Connected;
        let context = inner.nic("take a reply").ok()?;
        let peer = inner.peer?;
        let index = gid_index(&context, inner.local.ip());
        let av = AddressVector { traffic_class: inner.options.tos, ..AddressVector::new(index, peer.ip()) };
        let private_data = rep.private_data.to_vec();
        let ud = UdEvent { private_data, av: Some(av), qp_num: rep.qpn, qkey: rep.qkey };
        Some((EventKind::Established, 0, Param::Ud(ud)))
    }

    /// The connection has come to nothing: the queue pair takes nothing more.
    fn over(&self) {
        let mut inner = self.shared.inner.lock();
        inner.state = State::Disconnected;
        if let Some(context) = &inner.context {
            to_error(context, inner.qpn);
        }
    }

    /// What an event means to somebody who waits for good news.
    pub(crate) fn verdict(event: &Event) -> Result<(), CmError> {
        match event.kind {
            EventKind::Rejected => Err(CmError::Rejected {
                reason: RejectReason(event.status as u16),
                private_data: event.param.private_data().to_vec(),
            }),
            EventKind::Unreachable | EventKind::ConnectError => Err(CmError::Unreachable),
            EventKind::AddrError | EventKind::RouteError => {
                let peer = event.id.peer_addr().map_or(event.id.local_addr().ip(), |peer| peer.ip());
                Err(CmError::NoDevice(peer))
            }
            EventKind::Disconnected | EventKind::DeviceRemoval => Err(CmError::Disconnected),
            _ => Ok(()),
        }
    }
}
