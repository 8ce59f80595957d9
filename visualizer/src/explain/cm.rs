//! Connection management as it is overheard: the MADs of QP1 that say which two queue pairs belong together.
//!
//! Layouts: IBTA volume 1, chapter 12. Only what an explanation needs is read.

use ferroce_wire::{PathMtu, Qpn};

/// A connection management message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CmMessage {
    /// Request for a connection.
    Req {
        /// The sender's name for the connection.
        local_id: u32,
        /// The sender's queue pair.
        qpn: Qpn,
        /// Path MTU that is asked for.
        mtu: Option<PathMtu>,
        /// Whether it is for a reliable connection.
        reliable: bool,
    },
    /// Reply: the connection is accepted.
    Rep {
        /// The receiver's name for the connection.
        remote_id: u32,
        /// The sender's queue pair.
        qpn: Qpn,
    },
    /// Message receipt acknowledged: the answer will take a while.
    Mra {
        /// The receiver's name for the connection.
        remote_id: u32,
    },
    /// Rejection.
    Rej {
        /// The receiver's name for the connection; 0 if it has none yet.
        remote_id: u32,
        /// Why.
        reason: u16,
    },
    /// Request for the address of a datagram service.
    SidrReq {
        /// The sender's name for the request.
        request_id: u32,
    },
    /// The answer to it.
    SidrRep {
        /// The receiver's name for the request.
        request_id: u32,
        /// 0 if the service is there.
        status: u8,
    },
    /// Ready to use, disconnect request and reply, and others.
    Other,
}

impl CmMessage {
    /// Bytes of a MAD.
    const MAD_LEN: usize = 256;

    /// Reads the payload of a packet to QP1; `None` if it is no connection management message.
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        const CLASS_CM: u8 = 0x07;
        if payload.len() < Self::MAD_LEN || payload[1] != CLASS_CM {
            return None;
        }
        let body = &payload[24..];
        let u16_at = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
        let u24_at = |at: usize| u32::from_be_bytes([0, body[at], body[at + 1], body[at + 2]]);
        let u32_at = |at: usize| u32::from_be_bytes([body[at], body[at + 1], body[at + 2], body[at + 3]]);
        Some(match u16::from_be_bytes([payload[16], payload[17]]) {
            0x0010 => Self::Req {
                local_id: u32_at(0),
                qpn: Qpn::new(u24_at(32)),
                mtu: PathMtu::from_ib_value(body[50] >> 4),
                reliable: body[43] >> 1 & 0x3 == 0,
            },
            0x0011 => Self::Mra { remote_id: u32_at(4) },
            0x0012 => Self::Rej { remote_id: u32_at(4), reason: u16_at(10) },
            0x0013 => Self::Rep { remote_id: u32_at(4), qpn: Qpn::new(u24_at(12)) },
            0x0017 => Self::SidrReq { request_id: u32_at(0) },
            0x0018 => Self::SidrRep { request_id: u32_at(0), status: body[4] },
            _ => Self::Other,
        })
    }
}

/// What a rejection's reason means (IBTA volume 1, 12.6.7.2).
pub(super) fn reject_reason(reason: u16) -> &'static str {
    match reason {
        1 => "no queue pair is free",
        3 => "resources are short",
        4 => "the other side gave up waiting",
        5 => "the request is not supported",
        6 => "the communication ID is wrong",
        8 => "nobody listens on this port",
        9 => "the transport type does not suit the listener",
        10 => "the connection is stale: this queue pair is known as part of an older one",
        12 | 18 => "the GID is wrong",
        26 => "the path MTU does not suit",
        27 => "too few responder resources",
        28 => "the application said no",
        _ => "see the table of reasons in chapter 12 of the InfiniBand specification",
    }
}

/// What the status of a SIDR reply means (IBTA volume 1, 12.11.2).
pub(super) fn sidr_status(status: u8) -> &'static str {
    match status {
        1 => "nobody listens on this port",
        2 => "the application said no",
        3 => "no queue pair is free",
        4 => "look elsewhere",
        5 => "the version is not supported",
        _ => "unknown",
    }
}
