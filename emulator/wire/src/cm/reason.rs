//! Why a peer said no.

use core::fmt;

/// Why a connection was rejected (IBTA volume 1, 12.6.7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RejectReason(
    /// The number on the wire.
    pub u16,
);

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        impl RejectReason {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// All reasons that have a name.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// What it means, in a few words.
            pub const fn meaning(self) -> &'static str {
                match self.0 {
                    $($value => $text,)*
                    _ => "see the table of reasons in chapter 12 of the InfiniBand specification",
                }
            }
        }
    };
}

reasons! {
    /// No queue pair is free.
    NO_QP = 1, "no queue pair is free";
    /// No end-to-end context is free.
    NO_EEC = 2, "no end-to-end context is free";
    /// Resources are short.
    NO_RESOURCES = 3, "resources are short";
    /// The sender gave up waiting; the information is its GUID.
    TIMEOUT = 4, "the other side gave up waiting";
    /// The request is not supported.
    UNSUPPORTED = 5, "the request is not supported";
    /// The communication ID is wrong.
    INVALID_COMM_ID = 6, "the communication ID is wrong";
    /// The instance of the communication is wrong.
    INVALID_COMM_INSTANCE = 7, "the instance of the communication is wrong";
    /// Nobody listens there.
    INVALID_SERVICE_ID = 8, "nobody listens on this port";
    /// The transport service does not suit the listener.
    INVALID_TRANSPORT = 9, "the transport type does not suit the listener";
    /// The queue pair is known as part of another connection.
    STALE_CONNECTION = 10, "the connection is stale: this queue pair is known as part of an older one";
    /// The reliable datagram channel is not there.
    NO_RDC = 11, "the reliable datagram channel is not there";
    /// The GID of the primary path is wrong; the information is a right one.
    INVALID_GID = 12, "the GID is wrong";
    /// The LID of the primary path is wrong.
    INVALID_LID = 13, "the LID is wrong";
    /// The service level is wrong.
    INVALID_SL = 14, "the service level is wrong";
    /// The traffic class is wrong.
    INVALID_TRAFFIC_CLASS = 15, "the traffic class is wrong";
    /// The hop limit is wrong.
    INVALID_HOP_LIMIT = 16, "the hop limit is wrong";
    /// The packet rate is wrong.
    INVALID_PACKET_RATE = 17, "the packet rate is wrong";
    /// The GID of the alternate path is wrong.
    INVALID_ALT_GID = 18, "the GID of the alternate path is wrong";
    /// The LID of the alternate path is wrong.
    INVALID_ALT_LID = 19, "the LID of the alternate path is wrong";
    /// The service level of the alternate path is wrong.
    INVALID_ALT_SL = 20, "the service level of the alternate path is wrong";
    /// The traffic class of the alternate path is wrong.
    INVALID_ALT_TRAFFIC_CLASS = 21, "the traffic class of the alternate path is wrong";
    /// The hop limit of the alternate path is wrong.
    INVALID_ALT_HOP_LIMIT = 22, "the hop limit of the alternate path is wrong";
    /// The packet rate of the alternate path is wrong.
    INVALID_ALT_PACKET_RATE = 23, "the packet rate of the alternate path is wrong";
    /// Ask another port and connection manager.
    PORT_CM_REDIRECT = 24, "another port and connection manager is to be asked";
    /// Ask another port.
    PORT_REDIRECT = 25, "another port is to be asked";
    /// The path MTU is wrong; the information is the largest that is possible.
    INVALID_MTU = 26, "the path MTU does not suit";
    /// Too few responder resources.
    INSUFFICIENT_RESPONDER_RESOURCES = 27, "too few responder resources";
    /// The application said no.
    CONSUMER_DEFINED = 28, "the application said no";
    /// The RNR retry count is wrong.
    INVALID_RNR_RETRY = 29, "the RNR retry count is wrong";
    /// The communication ID is in use.
    DUPLICATE_LOCAL_COMM_ID = 30, "the communication ID is in use";
    /// The version of the class is wrong.
    INVALID_CLASS_VERSION = 31, "the version of connection management is not known";
    /// The flow label is wrong.
    INVALID_FLOW_LABEL = 32, "the flow label is wrong";
    /// The flow label of the alternate path is wrong.
    INVALID_ALT_FLOW_LABEL = 33, "the flow label of the alternate path is wrong";
    /// The vendor's option is not supported.
    VENDOR_OPTION_NOT_SUPPORTED = 35, "the vendor's option is not supported";
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reason {}: {}", self.0, self.meaning())
    }
}

/// How a request for a datagram service ended (IBTA volume 1, 12.11.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SidrStatus(
    /// The number on the wire.
    pub u8,
);

impl SidrStatus {
    /// The queue pair and its Q_Key are in the message.
    pub const OK: Self = Self(0);
    /// Nobody listens there.
    pub const UNSUPPORTED: Self = Self(1);
    /// The application said no.
    pub const REJECTED: Self = Self(2);
    /// No queue pair is free.
    pub const NO_QP: Self = Self(3);
    /// Another is to be asked.
    pub const REDIRECT: Self = Self(4);
    /// The version is not supported.
    pub const UNSUPPORTED_VERSION: Self = Self(5);

    /// What it means, in a few words.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::OK => "the service is there",
            Self::UNSUPPORTED => "nobody listens on this port",
            Self::REJECTED => "the application said no",
            Self::NO_QP => "no queue pair is free",
            Self::REDIRECT => "look elsewhere",
            Self::UNSUPPORTED_VERSION => "the version is not supported",
            _ => "unknown",
        }
    }
}

impl fmt::Display for SidrStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}: {}", self.0, self.meaning())
    }
}
