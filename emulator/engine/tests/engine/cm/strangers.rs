//! What connection managers make of requests that cannot be, of messages from others, and of late ones.

use super::*;

#[test]
fn a_request_for_what_cannot_be_is_refused_by_name() {
    let refused = |change: fn(&mut Req)| {
        let mut net = Net::new();
        net.cm(1).listen(SERVICE, None, 9).unwrap();
        net.fate = Box::new(|_, _, name| if name == "REQ" { Fate::Drop } else { Fate::Deliver });
        net.connect();
        net.settle();
        let mut mad = net.mads[0];
        let CmMessage::Req(req) = &mut mad.message else { panic!() };
        change(req);
        deliver(&mut net, 0, &mad);
        match net.last(0).kind {
            CmEventKind::Rejected(rej) => rej,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(|req| req.transport = 2).reason, RejectReason::INVALID_TRANSPORT);
    let rej = refused(|req| req.path_mtu = 0);
    assert_eq!((rej.reason, rej.info_len, rej.info[0]), (RejectReason::INVALID_MTU, 1, 5));
    // A request in somebody else's name would have data sent to that somebody.
    let stranger = |req: &mut Req| req.primary.local_gid = "::ffff:192.0.2.9".parse().unwrap();
    let rej = refused(stranger);
    assert_eq!((rej.reason, rej.info_len), (RejectReason::INVALID_GID, 16));
    assert_eq!(refused(|req| req.service_id = ServiceId(1)).reason, RejectReason::INVALID_SERVICE_ID);
}

/// Hands a side a message as if the other had sent it.
fn deliver(net: &mut Net, from: usize, mad: &CmMad) {
    let meta = net.meta(from);
    let packet = packet(&meta, GSI_QKEY, &mad.emit());
    let now = net.now;
    net.devices[1 - from].handle_packet(now, &meta, &packet);
}

fn packet(meta: &RxMeta, qkey: u32, payload: &[u8]) -> Vec<u8> {
    use ferroce_wire::{Bth, Deth, Headers, Opcode, PseudoHeader, UDP_PORT};
    let bth = Bth::new(Opcode::UD_SEND_ONLY, Qpn::GSI, Psn::new(0));
    let headers = Headers { deth: Some(Deth::new(qkey, Qpn::GSI)), ..Headers::new(bth) };
    let mut packet = Packet::new(headers, payload);
    let mut bytes = vec![0; packet.wire_len()];
    packet.emit(&mut bytes).unwrap();
    let (IpAddr::V4(src), IpAddr::V4(dst)) = (meta.src, meta.dst) else { panic!() };
    let pseudo = PseudoHeader::V4 {
        src,
        dst,
        ident: 0,
        flags_fragment: DONT_FRAGMENT,
        src_port: meta.src_port,
        dst_port: UDP_PORT,
    };
    packet.icrc = pseudo.compute(&bytes[..bytes.len() - 4]);
    packet.emit(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_message_from_somebody_else_is_not_about_the_connection() {
    let mut net = Net::new();
    let ids = net.connected();
    let dreq = Dreq {
        local_id: ids.0.value(),
        remote_id: ids.1.value(),
        remote_qpn: Qpn::new(0x22),
        ..Dreq::default()
    };
    let try_it = |net: &mut Net, dreq: Dreq, src: &str| {
        let mad = CmMad { transaction_id: 0, modifier: 0, message: dreq.into() };
        let meta = RxMeta { src: src.parse().unwrap(), ..net.meta(0) };
        let packet = packet(&meta, GSI_QKEY, &mad.emit());
        let now = net.now;
        net.devices[1].handle_packet(now, &meta, &packet);
        net.cm(1).state(ids.1)
    };
    assert_eq!(try_it(&mut net, dreq, "192.0.2.66"), Some(CmState::Established));
    let wrong = Dreq { remote_qpn: Qpn::new(0x23), ..dreq };
    assert_eq!(try_it(&mut net, wrong, "192.0.2.1"), Some(CmState::Established));
    let wrong = Dreq { local_id: 1, ..dreq };
    assert_eq!(try_it(&mut net, wrong, "192.0.2.1"), Some(CmState::Established));
    assert_eq!(try_it(&mut net, dreq, "192.0.2.1"), Some(CmState::DreqReceived));
}

#[test]
fn late_messages_get_the_answer_that_ends_the_matter() {
    let mut net = Net::new();
    let rep = Rep { local_id: 5, remote_id: 6, ..Rep::default() };
    deliver(&mut net, 0, &CmMad { transaction_id: 9, modifier: 0, message: rep.into() });
    let dreq = Dreq { local_id: 5, remote_id: 6, ..Dreq::default() };
    deliver(&mut net, 0, &CmMad { transaction_id: 10, modifier: 0, message: dreq.into() });
    net.settle();
    let CmMessage::Rej(rej) = net.mads[0].message else { panic!() };
    assert_eq!((rej.reason, rej.message, rej.remote_id), (RejectReason::INVALID_COMM_ID, 1, 5));
    let CmMessage::Drep(drep) = net.mads[1].message else { panic!() };
    assert_eq!((drep.local_id, drep.remote_id), (6, 5));
    assert_eq!([net.mads[0].transaction_id, net.mads[1].transaction_id], [9, 10]);
}

#[test]
fn datagram_services_are_asked_for() {
    let service = ServiceId::ip(PortSpace::Udp, 7174);
    let mut net = Net::new();
    net.cm(1).listen(service, None, 1).unwrap();
    let (now, av) = (net.now, AddressVector::new(0, net.addrs[1]));
    let mut reps = 0;
    net.fate = Box::new(move |_, _, name| {
        reps += usize::from(name == "SIDR_REP");
        if name == "SIDR_REP" && reps == 1 { Fate::Drop } else { Fate::Deliver }
    });
    let active = net.cm(0).sidr_request(now, service, &av, b"hello").unwrap();
    let CmEvent { id, kind: CmEventKind::SidrRequest { req, .. } } = net.last(1) else { panic!() };
    assert_eq!((req.request_id, &req.private_data[..6]), (active.value(), &b"hello\0"[..]));
    let answer =
        CmSidrReply { status: SidrStatus::OK, qpn: Qpn::new(0x99), qkey: 0x0123_4567, private_data: b"hi" };
    net.cm(1).sidr_reply(id, &answer).unwrap();
    // The answer is lost; the question comes again, and is not asked of the application twice.
    net.run_for(Duration::from_secs(5));
    assert_eq!(net.log, ["0>SIDR_REQ", "1>SIDR_REP", "0>SIDR_REQ", "1>SIDR_REP"]);
    let CmEventKind::SidrReply(rep) = net.last(0).kind else { panic!() };
    assert_eq!((rep.qpn, rep.qkey, rep.status), (Qpn::new(0x99), 0x0123_4567, SidrStatus::OK));
    assert_eq!(net.events[1], []);

    // Nobody listens, and nobody is there.
    let none = ServiceId::ip(PortSpace::Udp, 1);
    net.cm(0).sidr_request(now, none, &av, b"").unwrap();
    let CmEventKind::SidrReply(rep) = net.last(0).kind else { panic!() };
    assert_eq!((rep.status, rep.qpn, rep.qkey), (SidrStatus::UNSUPPORTED, Qpn::new(0), 0));
    net.fate = Box::new(|_, _, _| Fate::Drop);
    net.cm(0).sidr_request(now, service, &av, b"").unwrap();
    net.run_for(Duration::from_secs(100));
    assert_eq!(net.last(0).kind, CmEventKind::Unreachable);
}

#[test]
fn what_is_no_message_to_the_connection_manager_is_counted() {
    let mut net = Net::new();
    let meta = net.meta(0);
    let now = net.now;
    let mut send = |bytes: &[u8]| net.devices[1].handle_packet(now, &meta, bytes);
    send(&packet(&meta, 1, &[0; MAD_LEN]));
    send(&packet(&meta, GSI_QKEY, &[0; MAD_LEN]));
    send(&packet(&meta, GSI_QKEY, &[0; 8]));
    let mut damaged = packet(&meta, GSI_QKEY, &[0; MAD_LEN]);
    damaged[100] ^= 1;
    send(&damaged);
    let counters = net.devices[1].counters();
    assert_eq!((counters.drop_qkey, counters.drop_icrc), (1, 1));
    assert_eq!(net.cm(1).counters().drop_malformed, 2);
    assert_eq!(net.cm(1).counters().received, 0);
}

#[test]
fn numbers_have_the_lane_of_the_device() {
    let addr: IpAddr = "192.0.2.1".parse().unwrap();
    let config = DeviceConfig { lane: 0xa7, ..DeviceConfig::new("ferroce", [addr]) };
    let mut device = Device::new(config, 3, NoTrace);
    let ids: Vec<u32> = (1..50)
        .map(|qpn| device.cm_mut().connect(Time::ZERO, &request(addr, qpn)).unwrap().value())
        .collect();
    assert!(ids.iter().all(|id| id >> 24 == 0xa7));
    let steps: std::collections::BTreeSet<u32> =
        ids.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    assert!(steps.len() > 40, "one number tells nothing about the next");
}

proptest::proptest! {
    /// Hostile MADs at every stage of a connection: nothing panics, nothing grows, nothing hangs.
    #[test]
    fn no_message_does_harm(
        messages in proptest::collection::vec(
            (0x10..0x1bu8, proptest::prelude::any::<[[u8; 29]; 8]>(), 0..4u8, proptest::prelude::any::<bool>()), 1..40,
        ),
    ) {
        let mut net = Net::with(CmConfig { max_connections: 8, ..CmConfig::default() });
        net.fate = Box::new(|_, _, _| Fate::Drop);
        let service = SERVICE.0.to_be_bytes();
        net.cm(1).listen(SERVICE, None, 4).unwrap();
        let (now, back) = (net.now, net.addrs[0]);
        let asked = net.cm(1).connect(now, &request(back, 7)).unwrap();
        for (attribute, body, aim, act) in messages {
            let mut bytes = [0; MAD_LEN];
            bytes[..4].copy_from_slice(&[1, 7, 2, 3]);
            bytes[17] = attribute;
            bytes[24..].copy_from_slice(body.as_flattened());
            let known = net.cm(1).connections().map(|(id, _)| id).nth(usize::from(aim)).unwrap_or(asked);
            match attribute {
                0x10 => {
                    bytes[32..40].copy_from_slice(&service);
                    bytes[80..96].copy_from_slice(&gid_of(net.addrs[0]).octets());
                    bytes[96..112].copy_from_slice(&gid_of(net.addrs[1]).octets());
                    bytes[24 + 43] &= 0xf9;
                    bytes[24 + 50] = 0x30;
                }
                0x17 => bytes[32..40].copy_from_slice(&service),
                _ => {}
            }
            if aim < 3 {
                bytes[28..32].copy_from_slice(&known.value().to_be_bytes());
            }
            let meta = net.meta(0);
            let packet = packet(&meta, GSI_QKEY, &bytes);
            let now = net.now;
            net.devices[1].handle_packet(now, &meta, &packet);
            net.settle();
            if act {
                for event in std::mem::take(&mut net.events[1]) {
                    let now = net.now;
                    let cm = net.cm(1);
                    // Whatever the event, the owner does the next thing that comes to mind.
                    let _ = cm.accept(now, event.id, &ANSWER).or_else(|_| cm.ready(event.id, b""))
                        .or_else(|_| cm.disconnect(now, event.id, b""));
                }
            }
            net.run_for(Duration::from_millis(700));
            proptest::prop_assert!(net.cm(1).connections().count() <= 8);
        }
        // It all comes to rest.
        let ids: Vec<CmId> = net.cm(1).connections().map(|(id, _)| id).collect();
        for id in ids {
            let now = net.now;
            let _ = net.cm(1).destroy(now, id);
        }
        net.run_for(Duration::from_secs(200 * 150));
        proptest::prop_assert_eq!(net.cm(1).connections().count(), 0);
        proptest::prop_assert_eq!(net.devices[1].next_timeout(), None);
    }
}
