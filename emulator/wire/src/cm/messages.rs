//! The messages of connection management (IBTA volume 1, 12.6 to 12.11).

use core::net::Ipv6Addr;

use crate::{Psn, Qpn};

use super::layout::{BODY_LEN, Body, Value, message};
use super::reason::{RejectReason, SidrStatus};
use super::service::ServiceId;

message! {
    /// REQ: a request for a connection (IBTA volume 1, 12.6.5).
    Req, private data from 140 {
        /// The sender's name for the connection.
        local_id: u32 = 0:0 / 32,
        /// Vendor, for enhanced connection establishment.
        vendor_id: u32 = 5:0 / 24,
        /// What is asked for.
        service_id: ServiceId = 8:0 / 64,
        /// The sender's device.
        local_ca_guid: u64 = 16:0 / 64,
        /// Q_Key, for reliable datagrams.
        local_qkey: u32 = 28:0 / 32,
        /// The sender's queue pair.
        local_qpn: Qpn = 32:0 / 24,
        /// READs and atomics that the sender can have open towards it.
        responder_resources: u8 = 35:0 / 8,
        /// End-to-end context, for reliable datagrams.
        local_eecn: u32 = 36:0 / 24,
        /// READs and atomics that the sender wants to have open.
        initiator_depth: u8 = 39:0 / 8,
        /// The receiver's end-to-end context.
        remote_eecn: u32 = 40:0 / 24,
        /// How soon the receiver must answer: 4.096 µs · 2^value.
        remote_response_timeout: u8 = 43:0 / 5,
        /// 0 for RC, 1 for UC, 2 for RD, 3 for what `extended_transport` says.
        transport: u8 = 43:5 / 2,
        /// The sender uses end-to-end flow control.
        flow_control: bool = 43:7 / 1,
        /// The first PSN that the *receiver* shall send.
        starting_psn: Psn = 44:0 / 24,
        /// How soon the sender answers: 4.096 µs · 2^value.
        local_response_timeout: u8 = 47:0 / 5,
        /// Retransmissions that the receiver shall make before giving up.
        retry_count: u8 = 47:5 / 3,
        /// Partition.
        pkey: u16 = 48:0 / 16,
        /// Path MTU as in [`PathMtu::ib_value`](crate::PathMtu::ib_value).
        path_mtu: u8 = 50:0 / 4,
        /// A reliable datagram channel is there already.
        rdc_exists: bool = 50:4 / 1,
        /// Retransmissions after "receiver not ready" that the receiver shall make; 7 for ever.
        rnr_retry_count: u8 = 50:5 / 3,
        /// How often the sender may repeat a message.
        max_cm_retries: u8 = 51:0 / 4,
        /// The sender's queue pair uses a shared receive queue.
        srq: bool = 51:4 / 1,
        /// 1 for XRC, when `transport` is 3.
        extended_transport: u8 = 51:5 / 3,
        /// The path.
        primary: Path = 52:0 / 352,
        /// Another path, or zeros.
        alternate: Path = 96:0 / 352,
    }
}

message! {
    /// MRA: the message has come, and the answer will take a while (IBTA volume 1, 12.6.6).
    Mra, private data from 10 {
        /// The sender's name for the connection.
        local_id: u32 = 0:0 / 32,
        /// The receiver's name for it.
        remote_id: u32 = 4:0 / 32,
        /// Which message has come: 0 for REQ, 1 for REP, 2 for LAP.
        message: u8 = 8:0 / 2,
        /// How long the answer may take: 4.096 µs · 2^value.
        service_timeout: u8 = 9:0 / 5,
    }
}

message! {
    /// REJ: no (IBTA volume 1, 12.6.7).
    Rej, private data from 84 {
        /// The sender's name for the connection; 0 if it has none.
        local_id: u32 = 0:0 / 32,
        /// The receiver's name for it; 0 if it is not known.
        remote_id: u32 = 4:0 / 32,
        /// Which message is rejected: 0 for REQ, 1 for REP, 2 for none.
        message: u8 = 8:0 / 2,
        /// Bytes of `info` that count.
        info_len: u8 = 9:0 / 7,
        /// Why.
        reason: RejectReason = 10:0 / 16,
        /// More about the reason (additional rejection information).
        info: [u8; 72] = 12:0 / 576,
    }
}

message! {
    /// REP: the request is accepted (IBTA volume 1, 12.6.8).
    Rep, private data from 36 {
        /// The sender's name for the connection.
        local_id: u32 = 0:0 / 32,
        /// The receiver's name for it.
        remote_id: u32 = 4:0 / 32,
        /// Q_Key, for reliable datagrams.
        local_qkey: u32 = 8:0 / 32,
        /// The sender's queue pair.
        local_qpn: Qpn = 12:0 / 24,
        /// Highest byte of the vendor, for enhanced connection establishment.
        vendor_id_high: u8 = 15:0 / 8,
        /// End-to-end context, for reliable datagrams; the target queue pair, for XRC.
        local_eecn: u32 = 16:0 / 24,
        /// Middle byte of the vendor.
        vendor_id_middle: u8 = 19:0 / 8,
        /// The first PSN that the *receiver* shall send.
        starting_psn: Psn = 20:0 / 24,
        /// Lowest byte of the vendor.
        vendor_id_low: u8 = 23:0 / 8,
        /// READs and atomics that the sender can have open towards it.
        responder_resources: u8 = 24:0 / 8,
        /// READs and atomics that the sender wants to have open.
        initiator_depth: u8 = 25:0 / 8,
        /// How long the sender's device may take to acknowledge: 4.096 µs · 2^value.
        target_ack_delay: u8 = 26:0 / 5,
        /// The alternate path: 0 accepted, 1 not supported, 2 rejected.
        failover: u8 = 26:5 / 2,
        /// The sender uses end-to-end flow control.
        flow_control: bool = 26:7 / 1,
        /// Retransmissions after "receiver not ready" that the receiver shall make; 7 for ever.
        rnr_retry_count: u8 = 27:0 / 3,
        /// The sender's queue pair uses a shared receive queue.
        srq: bool = 27:3 / 1,
        /// The sender's device.
        local_ca_guid: u64 = 28:0 / 64,
    }
}

message! {
    /// RTU: the connection is ready to use (IBTA volume 1, 12.6.9).
    Rtu, private data from 8 {
        /// The sender's name for the connection.
        local_id: u32 = 0:0 / 32,
        /// The receiver's name for it.
        remote_id: u32 = 4:0 / 32,
    }
}

message! {
    /// DREQ: a request to end the connection (IBTA volume 1, 12.6.10).
    Dreq, private data from 12 {
        /// The sender's name for the connection.
        local_id: u32 = 0:0 / 32,
        /// The receiver's name for it.
        remote_id: u32 = 4:0 / 32,
        /// The receiver's queue pair.
        remote_qpn: Qpn = 8:0 / 24,
    }
}

message! {
    /// DREP: the connection has ended (IBTA volume 1, 12.6.11).
    Drep, private data from 8 {
        /// The sender's name for the connection.
        local_id: u32 = 0:0 / 32,
        /// The receiver's name for it.
        remote_id: u32 = 4:0 / 32,
    }
}

message! {
    /// LAP: a proposal of another alternate path (IBTA volume 1, 12.8.1). Path migration does not exist on RoCE.
    Lap, private data from 64 {
        /// The sender's name for the connection.
        local_id: u32 = 0:0 / 32,
        /// The receiver's name for it.
        remote_id: u32 = 4:0 / 32,
        /// The receiver's queue pair.
        remote_qpn: Qpn = 12:0 / 24,
        /// How soon the receiver must answer: 4.096 µs · 2^value.
        remote_response_timeout: u8 = 15:0 / 5,
        /// LID of the sender's port.
        local_lid: u16 = 20:0 / 16,
        /// LID of the receiver's port.
        remote_lid: u16 = 22:0 / 16,
        /// GID of the sender's port.
        local_gid: Ipv6Addr = 24:0 / 128,
        /// GID of the receiver's port.
        remote_gid: Ipv6Addr = 40:0 / 128,
        /// Flow label, 20 bits.
        flow_label: u32 = 56:0 / 20,
        /// Traffic class.
        traffic_class: u8 = 59:0 / 8,
        /// Hop limit.
        hop_limit: u8 = 60:0 / 8,
        /// Packet rate.
        rate: u8 = 61:2 / 6,
        /// Service level.
        service_level: u8 = 62:0 / 4,
        /// Both ports are in one subnet.
        subnet_local: bool = 62:4 / 1,
        /// Local ACK timeout: 4.096 µs · 2^value.
        ack_timeout: u8 = 63:0 / 5,
    }
}

message! {
    /// APR: the answer to a proposal of an alternate path (IBTA volume 1, 12.8.2).
    Apr, private data from 84 {
        /// The sender's name for the connection.
        local_id: u32 = 0:0 / 32,
        /// The receiver's name for it.
        remote_id: u32 = 4:0 / 32,
        /// Bytes of `info` that count.
        info_len: u8 = 8:0 / 8,
        /// 0 if the path is accepted.
        status: u8 = 9:0 / 8,
        /// More about the status.
        info: [u8; 72] = 12:0 / 576,
    }
}

message! {
    /// SIDR_REQ: a request for the queue pair of a datagram service (IBTA volume 1, 12.11.1).
    SidrReq, private data from 16 {
        /// The sender's name for the request.
        request_id: u32 = 0:0 / 32,
        /// Partition.
        pkey: u16 = 4:0 / 16,
        /// What is asked for.
        service_id: ServiceId = 8:0 / 64,
    }
}

message! {
    /// SIDR_REP: the answer to it (IBTA volume 1, 12.11.2).
    SidrRep, private data from 96 {
        /// The receiver's name for the request.
        request_id: u32 = 0:0 / 32,
        /// Whether there is such a service.
        status: SidrStatus = 4:0 / 8,
        /// Bytes of `info` that count.
        info_len: u8 = 5:0 / 8,
        /// Upper two bytes of the vendor, for enhanced connection establishment.
        vendor_id_high: u16 = 6:0 / 16,
        /// The queue pair of the service.
        qpn: Qpn = 8:0 / 24,
        /// Lowest byte of the vendor.
        vendor_id_low: u8 = 11:0 / 8,
        /// The service.
        service_id: ServiceId = 12:0 / 64,
        /// Its Q_Key.
        qkey: u32 = 20:0 / 32,
        /// More about the status.
        info: [u8; 72] = 24:0 / 576,
    }
}

/// A path as a [`Req`] describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// LID of the sender's port; 0xFFFF on RoCE if a router may be on the path.
    pub local_lid: u16,
    /// LID of the receiver's port, likewise.
    pub remote_lid: u16,
    /// GID of the sender's port.
    pub local_gid: Ipv6Addr,
    /// GID of the receiver's port.
    pub remote_gid: Ipv6Addr,
    /// Flow label, 20 bits.
    pub flow_label: u32,
    /// Packet rate, 6 bits.
    pub rate: u8,
    /// Traffic class.
    pub traffic_class: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Service level, 4 bits.
    pub service_level: u8,
    /// Both ports are in one subnet.
    pub subnet_local: bool,
    /// Local ACK timeout, 5 bits: 4.096 µs · 2^value.
    pub ack_timeout: u8,
}

impl Value for Path {
    fn read(body: &Body, at: usize, _: usize) -> Self {
        Self {
            local_lid: Value::read(body, at, 16),
            remote_lid: Value::read(body, at + 16, 16),
            local_gid: Value::read(body, at + 32, 128),
            remote_gid: Value::read(body, at + 160, 128),
            flow_label: Value::read(body, at + 288, 20),
            rate: Value::read(body, at + 314, 6),
            traffic_class: Value::read(body, at + 320, 8),
            hop_limit: Value::read(body, at + 328, 8),
            service_level: Value::read(body, at + 336, 4),
            subnet_local: Value::read(body, at + 340, 1),
            ack_timeout: Value::read(body, at + 344, 5),
        }
    }

    fn write(&self, body: &mut Body, at: usize, _: usize) {
        self.local_lid.write(body, at, 16);
        self.remote_lid.write(body, at + 16, 16);
        self.local_gid.write(body, at + 32, 128);
        self.remote_gid.write(body, at + 160, 128);
        self.flow_label.write(body, at + 288, 20);
        self.rate.write(body, at + 314, 6);
        self.traffic_class.write(body, at + 320, 8);
        self.hop_limit.write(body, at + 328, 8);
        self.service_level.write(body, at + 336, 4);
        self.subnet_local.write(body, at + 340, 1);
        self.ack_timeout.write(body, at + 344, 5);
    }
}
