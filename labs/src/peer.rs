//! The real other half: a queue pair of the engine, at whose other end the student's code plays the NIC.

use std::net::{IpAddr, Ipv4Addr};

use ferroce_engine::{
    Access, AddressVector, Buffer, Cq, DONT_FRAGMENT, Device, DeviceConfig, Ident, MrInit, Payload, Pd,
    Personality, QpAttr, QpCap, QpInit, QpType, RecvWr, RxMeta, SendOp, SendWr, Sge, Time, TraceEvent, Train,
    TxLimits, Wc,
};
use ferroce_wire::{Headers, ICRC_LEN, Packet, PathMtu, PseudoHeader, Psn, Qpn, Syndrome, UDP_PORT};

/// Number of the queue pair that the student plays.
pub(crate) const STUDENT_QP: Qpn = Qpn::new(0x11);

/// Path MTU of the labs: small, so that few bytes make many packets.
pub(crate) const MTU: PathMtu = PathMtu::Mtu256;

pub(crate) const STUDENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(crate) const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub(crate) const SOURCE_PORT: u16 = 0xC123;

/// Sizes of its queues.
const DEPTH: u32 = 1024;

/// A queue pair of the real engine in RTS.
pub(crate) struct Peer {
    device: Device<Vec<(Time, TraceEvent)>>,
    qp: Qpn,
    cq: Cq,
    /// All messages go into it and come from it.
    buffer: Sge,
    train: Train,
}

impl Peer {
    /// A queue pair that expects `rq_psn` first and sends `sq_psn` first. Messages have at most `longest` bytes.
    pub(crate) fn new(personality: Personality, seed: u64, rq_psn: Psn, sq_psn: Psn, longest: usize) -> Peer {
        let config = DeviceConfig { personality, ..DeviceConfig::new("peer", [IpAddr::from(PEER)]) };
        let mut device = Device::new(config, seed, Vec::new());
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

    /// What it has done since the last time.
    pub(crate) fn steps(&mut self) -> Vec<(Time, TraceEvent)> {
        std::mem::take(self.device.trace_mut())
    }

    /// Hands it a packet, and gives what it sends.
    pub(crate) fn handle(&mut self, now: Time, frame: Frame) -> Vec<Frame> {
        let bytes = frame.bytes([STUDENT, PEER]);
        let ident = Ident::Known { ident: 0, flags_fragment: DONT_FRAGMENT };
        let meta =
            RxMeta { src: STUDENT.into(), dst: PEER.into(), src_port: SOURCE_PORT, traffic_class: 0, ident };
        self.device.handle_packet(now, &meta, &bytes);
        self.transmit(now)
    }

    /// What it sends now.
    pub(crate) fn transmit(&mut self, now: Time) -> Vec<Frame> {
        let mut sent = Vec::new();
        while self.device.poll_transmit(now, &TxLimits::SINGLE, &mut self.train) {
            let packets = self.train.packets().filter_map(|bytes| Packet::parse(bytes).ok());
            sent.extend(
                packets.map(|packet| Frame { headers: packet.headers, payload: packet.payload.len() }),
            );
        }
        sent
    }
}

/// A packet between the two: what is in it does not matter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) headers: Headers,
    /// Bytes of payload.
    pub(crate) payload: usize,
}

impl Frame {
    /// All of it, from BTH to ICRC, from the first address to the second.
    pub(crate) fn bytes(&self, [src, dst]: [Ipv4Addr; 2]) -> Vec<u8> {
        let payload = vec![0x5A; self.payload];
        let mut packet = Packet::new(self.headers, &payload);
        let mut bytes = vec![0; packet.wire_len()];
        let flow = PseudoHeader::V4 {
            src,
            dst,
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

    /// It in a few words.
    pub(crate) fn words(&self) -> String {
        let bth = &self.headers.bth;
        let psn = bth.psn;
        let also =
            if bth.resv7 > 0 { format!(", {} too", psn + u32::from(bth.resv7)) } else { String::new() };
        match self.headers.aeth.map(|aeth| aeth.syndrome) {
            Some(Syndrome::Nak(_)) => format!("NAK {psn}{also}"),
            Some(_) => format!("ACK {psn}{also}"),
            None => {
                let name = self.headers.bth.opcode.name().trim_start_matches("RC_");
                format!("{name} {psn}")
            }
        }
    }
}
