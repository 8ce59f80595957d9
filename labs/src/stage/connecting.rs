//! Connections by port, as the engine's connection manager makes them: the calls `listen`, `request`, `accept`, `reject`
//! and `dial` of `rdma.rs`.

use std::collections::VecDeque;
use std::net::IpAddr;

use ferroce_engine::{
    AddressVector, CmAccept, CmConnect, CmEvent, CmEventKind, CmId, CmListener, QpState, Qpn, VerbsError,
};
use ferroce_fabric::{End, Fabric, HostId};
use ferroce_wire::cm::{PortSpace, RejectReason, ServiceId};

use super::actor::{Actor, Waiting};
use crate::peer::MTU;
use crate::talk::{hex, unhex};

/// Most bytes of private data, as in librdmacm's port space TCP.
const PRIVATE_DATA: usize = 56;

/// Requests that wait at a port.
const BACKLOG: u32 = 16;

/// What a program has to do with connections.
#[derive(Debug, Default)]
pub(super) struct Connections {
    listeners: Vec<(u16, CmListener)>,
    /// News that nobody has asked for yet.
    news: VecDeque<CmEvent>,
    /// Requests that were handed to the program, by number.
    requests: Vec<CmId>,
    /// How many of them it has rejected.
    pub(super) rejected: usize,
}

/// What a program waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// A request at a port.
    Request(CmListener),
    /// That a connection stands which it has accepted.
    Established(CmId),
    /// The answer to its own request, for this queue pair.
    Reply(CmId, Qpn),
}

/// Carries out a call that is about connections, or notes what it waits for.
pub(super) fn call(
    actor: &mut Actor,
    fabric: &mut Fabric,
    verb: &str,
    arguments: &str,
    peer: Option<IpAddr>,
) -> Result<Option<String>, String> {
    let words: Vec<&str> = arguments.split(' ').collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok()).unwrap_or(u64::MAX);
    let private_data = unhex(words.last().copied().unwrap_or_default());
    if !matches!(verb, "listen" | "request") && private_data.len() > PRIVATE_DATA {
        return Err(format!("{verb}(): at most {PRIVATE_DATA} bytes of private data"));
    }
    match verb {
        "listen" => listen(actor, fabric, number(0)).map(|()| Some(String::new())),
        "request" => {
            let port = number(0);
            let known = actor.connections.listeners.iter().find(|(at, _)| u64::from(*at) == port);
            let (_, listener) = known.ok_or(format!("request({port}): nobody listens at this port"))?;
            actor.wait(Waiting::Connection(Awaited::Request(*listener)));
            Ok(None)
        }
        "accept" => {
            let (id, qp) = (request(actor, number(0))?, actor.qp(number(1))?);
            accept(fabric, actor.host(), id, qp, &private_data)
                .map_err(|error| format!("accept(): {error}"))?;
            actor.wait(Waiting::Connection(Awaited::Established(id)));
            Ok(None)
        }
        "reject" => {
            let id = request(actor, number(0))?;
            let reason = RejectReason::CONSUMER_DEFINED;
            let done = fabric.with(actor.host(), |device, now| {
                device.cm_mut().reject(now, id, reason, &[], &private_data)
            });
            done.map_err(|error| format!("reject(): {error}"))?;
            actor.connections.rejected += 1;
            Ok(Some(String::new()))
        }
        _ => {
            let peer = peer.ok_or("dial(): there is no such program")?;
            let port = u16::try_from(number(1)).map_err(|_| "dial(): a port has 16 bits")?;
            let qpn = actor.qp(number(2))?;
            let service = ServiceId::ip(PortSpace::Tcp, port);
            let wish = CmConnect::new(service, AddressVector::new(0, peer), qpn);
            let wish = CmConnect { path_mtu: MTU, private_data: &private_data, ..wish };
            let id = fabric.with(actor.host(), |device, now| device.cm_mut().connect(now, &wish));
            let id = id.map_err(|error| format!("dial(): {error}"))?;
            actor.wait(Waiting::Connection(Awaited::Reply(id, qpn)));
            Ok(None)
        }
    }
}

fn listen(actor: &mut Actor, fabric: &mut Fabric, port: u64) -> Result<(), String> {
    let port = u16::try_from(port).map_err(|_| "listen(): a port has 16 bits")?;
    let service = ServiceId::ip(PortSpace::Tcp, port);
    let listener = fabric.with(actor.host(), |device, _| device.cm_mut().listen(service, None, BACKLOG));
    let listener = listener.map_err(|error| format!("listen({port}): {error}"))?;
    actor.connections.listeners.push((port, listener));
    Ok(())
}

fn request(actor: &Actor, number: u64) -> Result<CmId, String> {
    let found = usize::try_from(number).ok().and_then(|number| actor.connections.requests.get(number));
    found.copied().ok_or("no such request".to_owned())
}

fn accept(
    fabric: &mut Fabric,
    host: HostId,
    id: CmId,
    qpn: Qpn,
    private_data: &[u8],
) -> Result<(), VerbsError> {
    make_ready(fabric, host, id, qpn)?;
    let answer = CmAccept {
        qpn,
        responder_resources: 1,
        initiator_depth: 1,
        flow_control: false,
        rnr_retry_count: 7,
        srq: false,
        private_data,
    };
    fabric.with(host, |device, now| device.cm_mut().accept(now, id, &answer))
}

/// Leads the queue pair, which is in Init, to ready to send, with what the connection manager has agreed upon.
fn make_ready(fabric: &mut Fabric, host: HostId, id: CmId, qp: Qpn) -> Result<(), VerbsError> {
    for state in [QpState::Rtr, QpState::Rts] {
        let attr = fabric.device(host).cm().qp_attr(id, state)?;
        fabric.modify_qp(End { host, qp }, &attr)?;
    }
    Ok(())
}

/// What a program waits for, if it is there: the answer to its call.
pub(super) fn release(
    actor: &mut Actor,
    fabric: &mut Fabric,
    awaited: Awaited,
) -> Option<Result<String, String>> {
    let host = actor.host();
    while let Some(event) = fabric.with(host, |device, _| device.cm_mut().poll_event()) {
        actor.connections.news.push_back(event);
    }
    let at = actor.connections.news.iter().position(|event| match (awaited, &event.kind) {
        (Awaited::Request(wanted), CmEventKind::Request { listener, .. }) => wanted == *listener,
        (Awaited::Established(id) | Awaited::Reply(id, _), _) => event.id == id,
        _ => false,
    })?;
    let event = actor.connections.news.remove(at)?;
    Some(match event.kind {
        CmEventKind::Request { req, .. } => {
            // A program that thinks about it takes its time; the card must not be asked again meanwhile.
            let taken = fabric.with(host, |device, _| device.cm_mut().take_request(event.id));
            actor.connections.requests.push(event.id);
            let number = actor.connections.requests.len() - 1;
            taken
                .map(|()| format!("{number} {}", padded(&req.private_data)))
                .map_err(|error| error.to_string())
        }
        CmEventKind::Reply(rep) => {
            let Awaited::Reply(id, qp) = awaited else { return Some(Err("not asked for".to_owned())) };
            let ready = make_ready(fabric, host, id, qp);
            let ready = ready.and_then(|()| fabric.with(host, |device, _| device.cm_mut().ready(id, &[])));
            ready.map(|()| padded(&rep.private_data)).map_err(|error| format!("dial(): {error}"))
        }
        CmEventKind::Established(_) => Ok(String::new()),
        CmEventKind::Rejected(rej) => Err(format!("rejected {}", padded(&rej.private_data))),
        CmEventKind::Unreachable => Err("unreachable".to_owned()),
        _ => Err("the connection has ended".to_owned()),
    })
}

/// Private data, as long as it can be.
fn padded(bytes: &[u8]) -> String {
    hex(&bytes[..bytes.len().min(PRIVATE_DATA)])
}
