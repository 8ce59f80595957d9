//! The real other half: a queue pair of the engine, at whose other end the student's code plays the NIC.

use std::net::{IpAddr, Ipv4Addr};

use ferroce_engine::{
    Access, AddressVector, Buffer, Cq, DONT_FRAGMENT, Device, DeviceConfig, Ident, MrInit, NoTrace, Payload,
    Pd, QpAttr, QpCap, QpInit, QpType, RecvWr, RxMeta, SendOp, SendWr, Sge, Time, Train, TxLimits, Wc,
};
use ferroce_wire::{Headers, ICRC_LEN, Packet, PathMtu, PseudoHeader, Psn, Qpn, Syndrome, UDP_PORT};

/// Number of the queue pair that the student plays.
pub(crate) const STUDENT_QP: Qpn = Qpn::new(0x11);

/// Path MTU of the labs: small, so that few bytes make many packets.
pub(crate) const MTU: PathMtu = PathMtu::Mtu256;

const STUDENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const SOURCE_PORT: u16 = 0xC123;

/// Sizes of its queues.
const DEPTH: u32 = 1024;

/// A queue pair of the real engine in RTS.
pub(crate) struct Peer {
    device: Device<NoTrace>,
    qp: Qpn,
    cq: Cq,
    /// All messages go into it and come from it.
    buffer: Sge,
    train: Train,
}

impl Peer {
    /// A queue pair that expects `rq_psn` first and sends `sq_psn` first. Messages have at most `longest` bytes.
    pub(crate) fn new(seed: u64, rq_psn: Psn, sq_psn: Psn, longest: usize) -> Peer {
        let config = DeviceConfig::new("peer", [IpAddr::from(PEER)]);
        let mut device = Device::new(config, seed, NoTrace);
        let pd: Pd = device.alloc_pd().expect("a new device has room");
        let buffer = Buffer::new(longest);
        let mr = device.reg_mr(pd, MrInit::new(&buffer, Access::LOCAL_WRITE)).expect("a new device has room");
        let cq = device.create_cq(2 * DEPTH).expect("a new device has room");
        let cap = QpCap { max_send_wr: DEPTH, max_recv_wr: DEPTH, ..QpCap::default() };
        let init = QpInit { cap, signal_all: true, ..QpInit::new(QpType::Rc, pd, cq) };
        let qp = device.create_qp(&init).expect("a new device has room");
        let av = AddressVector::new(0, STUDENT.into());
        let rtr = QpAttr::rtr(av, STUDENT_QP, rq_psn, MTU);
        for change in [QpAttr::init(Access::empty()), rtr, QpAttr::rts(sq_psn)] {
            device.modify_qp(Time::ZERO, qp, &change).expect("the attributes are right");
        }
        let buffer = Sge { addr: buffer.addr(), len: longest as u32, lkey: mr.lkey };
        Peer { device, qp, cq, buffer, train: Train::new() }
    }

    /// The queue pair's number.
    pub(crate) fn qpn(&self) -> Qpn {
        self.qp
    }

    /// Posts a receive for a message.
    pub(crate) fn receive(&mut self, now: Time, wr_id: u64) {
        let posted = self.device.post_recv(now, self.qp, &[RecvWr { wr_id, sges: &[self.buffer] }]);
        posted.expect("there are not more messages than receives");
    }

    /// Posts a message of so many bytes.
    pub(crate) fn send(&mut self, now: Time, wr_id: u64, bytes: usize) {
        let list = [Sge { len: bytes as u32, ..self.buffer }];
        let posted =
            self.device.post_send(now, self.qp, &[SendWr::new(wr_id, SendOp::Send, Payload::Sges(&list))]);
        posted.expect("there are not more messages than room");
    }

    /// When it will do something by itself.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.device.next_timeout()
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Time) {
        self.device.handle_timeout(now);
    }

    /// Completions since the last time.
    pub(crate) fn completions(&mut self) -> Vec<Wc> {
        let mut out = [Wc::default(); 64];
        let count = self.device.poll_cq(self.cq, &mut out).expect("the queue is there");
        out[..count].to_vec()
    }

    /// Hands it a packet with `payload` bytes of payload, and gives what it sends.
    pub(crate) fn handle(&mut self, now: Time, headers: Headers, payload: usize) -> Vec<Headers> {
        let bytes = packet(headers, payload);
        let ident = Ident::Known { ident: 0, flags_fragment: DONT_FRAGMENT };
        let meta =
            RxMeta { src: STUDENT.into(), dst: PEER.into(), src_port: SOURCE_PORT, traffic_class: 0, ident };
        self.device.handle_packet(now, &meta, &bytes);
        self.transmit(now)
    }

    /// What it sends now.
    pub(crate) fn transmit(&mut self, now: Time) -> Vec<Headers> {
        let mut sent = Vec::new();
        while self.device.poll_transmit(now, &TxLimits::SINGLE, &mut self.train) {
            let headers = self.train.packets().filter_map(|bytes| Headers::parse(bytes).ok());
            sent.extend(headers.map(|(headers, _)| headers));
        }
        sent
    }
}

/// A whole packet of the student's NIC, from BTH to ICRC.
fn packet(headers: Headers, payload: usize) -> Vec<u8> {
    let payload = vec![0x5A; payload];
    let mut packet = Packet::new(headers, &payload);
    let mut bytes = vec![0; packet.wire_len()];
    let flow = PseudoHeader::V4 {
        src: STUDENT,
        dst: PEER,
        ident: 0,
        flags_fragment: DONT_FRAGMENT,
        src_port: SOURCE_PORT,
        dst_port: UDP_PORT,
    };
    packet.emit(&mut bytes).expect("the headers are those of the opcode");
    packet.icrc = flow.compute(&bytes[..bytes.len() - ICRC_LEN]);
    packet.emit(&mut bytes).expect("as before");
    bytes
}

/// A packet in a few words.
pub(crate) fn words(headers: &Headers) -> String {
    let psn = headers.bth.psn;
    match headers.aeth.map(|aeth| aeth.syndrome) {
        Some(Syndrome::Nak(_)) => format!("NAK {psn}"),
        Some(_) => format!("ACK {psn}"),
        None => {
            let name = headers.bth.opcode.name().trim_start_matches("RC_");
            format!("{name} {psn}")
        }
    }
}
