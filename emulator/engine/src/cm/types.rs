//! What callers of connection management say and are told.

use std::net::IpAddr;
use std::time::Duration;

use ferroce_wire::cm::{Drep, Dreq, Rej, Rep, Req, Rtu, ServiceId, SidrRep, SidrReq, SidrStatus};
use ferroce_wire::{PathMtu, Qpn};

use crate::qp::AddressVector;

/// How connections are managed. The defaults are what Linux does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CmConfig {
    /// Connections that there can be, requests and those that are just ending included.
    pub max_connections: u32,
    /// How long a packet may be on its way: 4.096 µs · 2^value, 0..=31.
    pub packet_life_time: u8,
    /// How long an answer may take: 4.096 µs · 2^value, 0..=31.
    pub response_timeout: u8,
    /// How often a message that is not answered is repeated, 0..=15.
    pub max_retries: u8,
    /// How long this device may take to acknowledge a packet: 4.096 µs · 2^value, 0..=31.
    pub ack_delay: u8,
    /// What a peer that repeats itself is told that the answer may still take: 4.096 µs · 2^value, 0..=31.
    pub service_timeout: u8,
}

impl Default for CmConfig {
    fn default() -> CmConfig {
        CmConfig {
            max_connections: 1 << 16,
            packet_life_time: 16,
            response_timeout: 20,
            max_retries: 15,
            ack_delay: 15,
            service_timeout: 24,
        }
    }
}

/// A time as messages carry it: 4.096 µs · 2^code. Codes above 31 count as 31, some two and a half hours.
pub(super) fn time_of(code: u8) -> Duration {
    Duration::from_nanos(4096 << code.min(31))
}

/// A connection, a request for one, or for a datagram service; also the number by which peers name it. The
/// upper eight bits are the [lane](crate::DeviceConfig::lane) of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CmId(pub(super) u32);

impl CmId {
    /// The number.
    pub const fn value(self) -> u32 {
        self.0
    }
}

/// Something that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CmListener(pub(super) u32);

/// The service that is to be connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CmTransport {
    /// Reliable connection.
    Rc,
    /// Unreliable connection.
    Uc,
    /// Extended reliable connection.
    Xrc,
}

impl CmTransport {
    /// `transport` and `extended_transport` of a REQ.
    pub(super) const fn bits(self) -> (u8, u8) {
        match self {
            CmTransport::Rc => (0, 0),
            CmTransport::Uc => (1, 0),
            CmTransport::Xrc => (3, 1),
        }
    }

    pub(super) fn from_bits(transport: u8, extended: u8) -> Option<CmTransport> {
        match (transport, extended) {
            (0, _) => Some(CmTransport::Rc),
            (1, _) => Some(CmTransport::Uc),
            (3, 1) => Some(CmTransport::Xrc),
            _ => None,
        }
    }
}

/// A request for a connection ([`Cm::connect`](super::Cm::connect)).
#[derive(Clone, Copy, Debug)]
pub struct CmConnect<'a> {
    /// What to connect to.
    pub service_id: ServiceId,
    /// The path to the peer, of the connection and of the messages about it.
    pub av: AddressVector,
    /// Payload of a full packet.
    pub path_mtu: PathMtu,
    /// The service.
    pub transport: CmTransport,
    /// The own queue pair.
    pub qpn: Qpn,
    /// READs and atomics of the peer that the own queue pair can have open.
    pub responder_resources: u8,
    /// READs and atomics that the own queue pair wants to have open.
    pub initiator_depth: u8,
    /// End-to-end flow control is used.
    pub flow_control: bool,
    /// Retransmissions that the peer shall make, 0..=7.
    pub retry_count: u8,
    /// Retransmissions after "receiver not ready" that the peer shall make, 0..=7.
    pub rnr_retry_count: u8,
    /// The own queue pair uses a shared receive queue.
    pub srq: bool,
    /// Local ACK timeout, 0..=31; `None` to derive it from the path.
    pub ack_timeout: Option<u8>,
    /// For the peer's application, at most 92 bytes.
    pub private_data: &'a [u8],
}

impl CmConnect<'static> {
    /// A reliable connection of queue pair `qpn` that is like most: path MTU 1024, one READ or atomic open in either
    /// direction, 7 retransmissions, and no private data.
    pub fn new(service_id: ServiceId, av: AddressVector, qpn: Qpn) -> CmConnect<'static> {
        CmConnect {
            service_id,
            av,
            path_mtu: PathMtu::Mtu1024,
            transport: CmTransport::Rc,
            qpn,
            responder_resources: 1,
            initiator_depth: 1,
            flow_control: false,
            retry_count: 7,
            rnr_retry_count: 7,
            srq: false,
            ack_timeout: None,
            private_data: b"",
        }
    }
}

/// Agreement to a request ([`Cm::accept`](super::Cm::accept)).
#[derive(Clone, Copy, Debug)]
pub struct CmAccept<'a> {
    /// The own queue pair.
    pub qpn: Qpn,
    /// READs and atomics of the peer that the own queue pair can have open; not more than it asked for.
    pub responder_resources: u8,
    /// READs and atomics that the own queue pair will have open; not more than the peer offers.
    pub initiator_depth: u8,
    /// End-to-end flow control is used.
    pub flow_control: bool,
    /// Retransmissions after "receiver not ready" that the peer shall make, 0..=7.
    pub rnr_retry_count: u8,
    /// The own queue pair uses a shared receive queue.
    pub srq: bool,
    /// For the peer's application, at most 196 bytes.
    pub private_data: &'a [u8],
}

/// The answer to a request for a datagram service ([`Cm::sidr_reply`](super::Cm::sidr_reply)).
#[derive(Clone, Copy, Debug)]
pub struct CmSidrReply<'a> {
    /// Whether there is such a service.
    pub status: SidrStatus,
    /// Its queue pair, if there is.
    pub qpn: Qpn,
    /// Its Q_Key.
    pub qkey: u32,
    /// For the peer's application, at most 136 bytes.
    pub private_data: &'a [u8],
}

/// News about a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CmEvent {
    /// Which connection.
    pub id: CmId,
    /// What happened.
    pub kind: CmEventKind,
}

/// What happened to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CmEventKind {
    /// A peer asks for a connection: accept it or reject it.
    Request {
        /// Who listened.
        listener: CmListener,
        /// The message.
        req: Box<Req>,
        /// The address that was asked.
        local: IpAddr,
        /// Who asks.
        peer: IpAddr,
    },
    /// The peer agrees: make the queue pair ready, then say so or reject.
    Reply(Box<Rep>),
    /// The peer has made its queue pair ready.
    Established(Box<Rtu>),
    /// The peer will not have it.
    Rejected(Box<Rej>),
    /// The peer does not answer.
    Unreachable,
    /// The peer ends the connection: answer with [`Cm::disconnect`](super::Cm::disconnect).
    Disconnecting(Box<Dreq>),
    /// The connection has ended, with the peer's answer if there was one.
    Disconnected(Option<Box<Drep>>),
    /// Packets of the ended connection can no longer be about: the queue pair can be used again.
    TimeWaitOver,
    /// A peer asks for the queue pair of a datagram service.
    SidrRequest {
        /// Who listened.
        listener: CmListener,
        /// The message.
        req: Box<SidrReq>,
        /// The address that was asked.
        local: IpAddr,
        /// Who asks.
        peer: IpAddr,
    },
    /// The answer to such a request.
    SidrReply(Box<SidrRep>),
}

/// Where a connection stands (IBTA volume 1, 12.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CmState {
    /// Nothing is expected: rejected, given up, or over.
    Idle,
    /// A request was sent.
    ReqSent,
    /// A request came.
    ReqReceived,
    /// A request was accepted.
    RepSent,
    /// The peer accepted.
    RepReceived,
    /// Both queue pairs can be used.
    Established,
    /// An end was asked for.
    DreqSent,
    /// The peer asks for an end.
    DreqReceived,
    /// It has ended, and late packets may be about.
    TimeWait,
    /// A request for a datagram service was sent.
    SidrReqSent,
    /// A request for a datagram service came.
    SidrReqReceived,
}

macro_rules! cm_counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What connection management has counted since the device was made.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct CmCounters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl CmCounters {
            /// All counters by name.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((concat!("cm_", stringify!($name)), self.$name),)*].into_iter()
            }
        }
    };
}

cm_counters! {
    /// Messages sent, repetitions included.
    sent,
    /// Messages received.
    received,
    /// Messages sent again because no answer came.
    repeated,
    /// Messages received again.
    duplicates,
    /// Requests answered with a rejection by the device itself: nobody listens, or the request is wrong.
    refused,
    /// Dropped: datagrams to QP1 that are no messages of connection management.
    drop_malformed,
    /// Dropped: messages about a connection that is not known, or for which it is the wrong moment.
    drop_unexpected,
    /// Dropped: requests to a listener with as many waiting as it wants.
    drop_backlog,
    /// Dropped: messages to be sent while too many others were waiting to be.
    drop_outbox,
}
