//! What identifiers are told.

use ferroce_engine::{AddressVector, Qpn};

use super::id::Id;

/// What happened; values of `enum rdma_cm_event_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum EventKind {
    /// The address leads to a NIC.
    AddrResolved = 0,
    /// It does not.
    AddrError = 1,
    /// There is a path.
    RouteResolved = 2,
    /// There is none.
    RouteError = 3,
    /// A peer asks for a connection.
    ConnectRequest = 4,
    /// The peer agrees, and as the queue pair is not known here, [`Id::establish`] must say when it is ready.
    ConnectResponse = 5,
    /// The connection could not be made here.
    ConnectError = 6,
    /// The peer does not answer.
    Unreachable = 7,
    /// The peer said no.
    Rejected = 8,
    /// The connection is there.
    Established = 9,
    /// The connection has ended.
    Disconnected = 10,
    /// The NIC goes away: destroy everything on it.
    DeviceRemoval = 11,
    /// A multicast group was joined.
    MulticastJoin = 12,
    /// A multicast group could not be joined.
    MulticastError = 13,
    /// The address of the NIC has changed.
    AddrChange = 14,
    /// Packets of the ended connection can no longer be about.
    TimewaitExit = 15,
}

impl EventKind {
    /// All of them.
    pub const ALL: [EventKind; 16] = [
        EventKind::AddrResolved,
        EventKind::AddrError,
        EventKind::RouteResolved,
        EventKind::RouteError,
        EventKind::ConnectRequest,
        EventKind::ConnectResponse,
        EventKind::ConnectError,
        EventKind::Unreachable,
        EventKind::Rejected,
        EventKind::Established,
        EventKind::Disconnected,
        EventKind::DeviceRemoval,
        EventKind::MulticastJoin,
        EventKind::MulticastError,
        EventKind::AddrChange,
        EventKind::TimewaitExit,
    ];

    /// The name that librdmacm prints (`rdma_event_str`).
    pub const fn name(self) -> &'static str {
        match self {
            EventKind::AddrResolved => "RDMA_CM_EVENT_ADDR_RESOLVED",
            EventKind::AddrError => "RDMA_CM_EVENT_ADDR_ERROR",
            EventKind::RouteResolved => "RDMA_CM_EVENT_ROUTE_RESOLVED",
            EventKind::RouteError => "RDMA_CM_EVENT_ROUTE_ERROR",
            EventKind::ConnectRequest => "RDMA_CM_EVENT_CONNECT_REQUEST",
            EventKind::ConnectResponse => "RDMA_CM_EVENT_CONNECT_RESPONSE",
            EventKind::ConnectError => "RDMA_CM_EVENT_CONNECT_ERROR",
            EventKind::Unreachable => "RDMA_CM_EVENT_UNREACHABLE",
            EventKind::Rejected => "RDMA_CM_EVENT_REJECTED",
            EventKind::Established => "RDMA_CM_EVENT_ESTABLISHED",
            EventKind::Disconnected => "RDMA_CM_EVENT_DISCONNECTED",
            EventKind::DeviceRemoval => "RDMA_CM_EVENT_DEVICE_REMOVAL",
            EventKind::MulticastJoin => "RDMA_CM_EVENT_MULTICAST_JOIN",
            EventKind::MulticastError => "RDMA_CM_EVENT_MULTICAST_ERROR",
            EventKind::AddrChange => "RDMA_CM_EVENT_ADDR_CHANGE",
            EventKind::TimewaitExit => "RDMA_CM_EVENT_TIMEWAIT_EXIT",
        }
    }
}

/// News for an identifier (`struct rdma_cm_event`).
#[derive(Clone, Debug)]
pub struct Event {
    /// The identifier; of a [`ConnectRequest`](EventKind::ConnectRequest) a new one, to be accepted or rejected.
    pub id: Id,
    /// Of a [`ConnectRequest`](EventKind::ConnectRequest): the identifier that listens.
    pub listener: Option<Id>,
    /// What happened.
    pub kind: EventKind,
    /// 0 if it is good news; a negative `errno` if something failed here; a positive number if the peer said no:
    /// the [`RejectReason`](super::RejectReason) or [`SidrStatus`](super::SidrStatus).
    pub status: i32,
    /// More about it.
    pub param: Param,
}

/// More about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Param {
    /// Nothing.
    None,
    /// About a connection.
    Conn(ConnEvent),
    /// About a datagram service.
    Ud(UdEvent),
}

impl Param {
    /// What the peer's application says, padded with zeros to what its message has room for.
    pub fn private_data(&self) -> &[u8] {
        match self {
            Param::None => &[],
            Param::Conn(conn) => &conn.private_data,
            Param::Ud(ud) => &ud.private_data,
        }
    }
}

/// What the peer says of a connection (`struct rdma_conn_param`), seen from here: its requests to read are what is
/// to be answered here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnEvent {
    /// From the peer's application, padded with zeros.
    pub private_data: Vec<u8>,
    /// READs and atomics that the peer wants to have open towards here.
    pub responder_resources: u8,
    /// READs and atomics that can be open towards the peer.
    pub initiator_depth: u8,
    /// The peer uses end-to-end flow control.
    pub flow_control: bool,
    /// Retransmissions that the peer wants to be made.
    pub retry_count: u8,
    /// Retransmissions after "receiver not ready" that the peer wants to be made.
    pub rnr_retry_count: u8,
    /// The peer's queue pair uses a shared receive queue.
    pub srq: bool,
    /// The peer's queue pair.
    pub qp_num: Qpn,
}

/// What the peer says of a datagram service (`struct rdma_ud_param`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdEvent {
    /// From the peer's application, padded with zeros.
    pub private_data: Vec<u8>,
    /// The way to the service.
    pub av: Option<AddressVector>,
    /// Its queue pair.
    pub qp_num: Qpn,
    /// Its Q_Key.
    pub qkey: u32,
}
