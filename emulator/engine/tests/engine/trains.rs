//! Which packets leave together: of one queue pair or several, to one NIC, through one port, none longer than the first.

use std::net::{IpAddr, Ipv4Addr};

use ferroce_engine::*;
use ferroce_wire::Opcode;

use crate::pair::ALL;

/// Links of this kind choose the source port, as sockets do.
const LIMITS: TxLimits =
    TxLimits { max_packets: 16, max_bytes: 1 << 16, src_port: Some(4791), ..TxLimits::SINGLE };

fn addr(number: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, number).into()
}

/// A device with queue pairs, each of which is connected to one of these.
struct Nic {
    device: Device,
    qps: Vec<Qpn>,
    buffer: Buffer,
    mr: Mr,
}

impl Nic {
    fn new(number: u8, connections: usize) -> Nic {
        let mut device = Device::new(DeviceConfig::new("test", [addr(number)]), u64::from(number), NoTrace);
        let (pd, cq) = (device.alloc_pd().unwrap(), device.create_cq(64).unwrap());
        let buffer = Buffer::new(4096);
        let mr = device.reg_mr(pd, MrInit::new(&buffer, ALL)).unwrap();
        let qps =
            (0..connections).map(|_| device.create_qp(&QpInit::new(QpType::Rc, pd, cq)).unwrap()).collect();
        Nic { device, qps, buffer, mr }
    }

    fn connect(&mut self, index: usize, peer: u8, qpn: Qpn) {
        let av = AddressVector::new(0, addr(peer));
        for change in
            [QpAttr::init(ALL), QpAttr::rtr(av, qpn, Psn::new(0), PathMtu::Mtu1024), QpAttr::rts(Psn::new(0))]
        {
            self.device.modify_qp(Time::ZERO, self.qps[index], &change).unwrap();
        }
    }

    fn write(&mut self, index: usize, len: u32, peer: &Nic) {
        let sges = [Sge { addr: self.buffer.addr(), len, lkey: self.mr.lkey }];
        let op = SendOp::Write(Remote { addr: peer.buffer.addr(), rkey: peer.mr.rkey });
        let wr = SendWr::new(0, op, Payload::Sges(&sges));
        self.device.post_send(Time::ZERO, self.qps[index], &[wr]).unwrap();
    }

    /// The opcodes of the next train.
    fn train(&mut self, limits: &TxLimits) -> Vec<Opcode> {
        let mut train = Train::new();
        let any = self.device.poll_transmit(Time::ZERO, limits, &mut train);
        assert_eq!(any, !train.is_empty());
        train.packets().map(|packet| Opcode::from_u8(packet[0]).unwrap()).collect()
    }
}

/// Two queue pairs of one NIC, connected to these.
fn sender(peers: [(u8, u32); 2]) -> Nic {
    let mut nic = Nic::new(1, 2);
    for (index, (number, qpn)) in peers.into_iter().enumerate() {
        nic.connect(index, number, Qpn::new(qpn));
    }
    nic
}

/// How many packets each train has, when each of the two writes so many bytes.
fn trains(mut nic: Nic, lens: [u32; 2], limits: &TxLimits) -> Vec<usize> {
    let peer = Nic::new(2, 0);
    for (index, len) in lens.into_iter().enumerate() {
        nic.write(index, len, &peer);
    }
    std::iter::from_fn(|| Some(nic.train(limits).len()).filter(|packets| *packets > 0)).collect()
}

#[test]
fn queue_pairs_with_one_peer_share_a_train() {
    let to_one = || sender([(2, 0x11), (2, 0x12)]);
    assert_eq!(trains(to_one(), [8, 8], &LIMITS), [2]);
    assert_eq!(trains(to_one(), [64, 8], &LIMITS), [2], "the last may be shorter");
    assert_eq!(trains(to_one(), [8, 64], &LIMITS), [1, 1], "but not longer");
    // FIRST, and MIDDLE without RETH, which is shorter: nothing comes behind it. Then ONLY of the other, and LAST.
    assert_eq!(trains(to_one(), [3000, 1024], &LIMITS), [2, 2]);
    assert_eq!(trains(to_one(), [8, 8], &TxLimits { max_packets: 1, ..LIMITS }), [1, 1]);
}

#[test]
fn what_does_not_go_the_same_way_goes_alone() {
    assert_eq!(trains(sender([(2, 0x11), (3, 0x12)]), [8, 8], &LIMITS), [1, 1], "two addresses");
    assert_eq!(
        trains(sender([(2, 0x11), (2, 0x1_0012)]), [8, 8], &LIMITS),
        [1, 1],
        "two NICs at one address"
    );
    let own_ports = TxLimits { src_port: None, ..LIMITS };
    assert_eq!(trains(sender([(2, 0x11), (2, 0x12)]), [8, 8], &own_ports), [1, 1], "two source ports");
}

#[test]
fn a_request_goes_ahead_of_an_acknowledgement_of_another_and_both_leave_together() {
    let mut ends = [Nic::new(1, 2), Nic::new(2, 2)];
    for (me, index) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let peer = ends[1 - me].qps[index];
        ends[me].connect(index, 2 - me as u8, peer);
    }
    let [near, far] = &mut ends;
    far.write(0, 8, near);
    let mut train = Train::new();
    assert!(far.device.poll_transmit(Time::ZERO, &LIMITS, &mut train));
    let Flow { src, dst, src_port, traffic_class, .. } = *train.flow();
    let meta = RxMeta { src, dst, src_port, traffic_class, ident: Ident::Vouched };
    near.device.handle_packet(Time::ZERO, &meta, train.bytes());
    near.write(1, 8, far);
    assert_eq!(near.train(&LIMITS), [Opcode::RC_WRITE_ONLY, Opcode::RC_ACKNOWLEDGE]);
}
