//! Connections by address and port, as programs that know librdmacm expect them.

use std::net::SocketAddr;
use std::time::Duration;

use ferroce::cm::{
    CmError, ConnParam, Event, EventChannel, EventKind, Id, Manager, Options, Param, PortSpace, RejectReason,
    UD_QKEY,
};
use ferroce::{CmConfig, Context, Faults, Hub, Nic, Peer, QpState, Qpn, WcExt};

const SECONDS: Duration = Duration::from_secs(10);

/// Two NICs, one manager that knows both, and one channel for everything.
struct Net {
    a: Peer,
    b: Peer,
    manager: Manager,
    channel: EventChannel,
}

impl Net {
    fn new() -> Net {
        Net::with(Faults::default(), CmConfig::default())
    }

    fn with(faults: Faults, cm: CmConfig) -> Net {
        let hub = Hub::new();
        let nic = |address: &str| {
            let nic = Nic::builder().address(address.parse().unwrap()).hub(&hub);
            nic.faults(faults).connection_management(cm)
        };
        let (a, b) = ferroce::pair_of(nic("192.0.2.1"), nic("192.0.2.2"), 4096).unwrap();
        let manager = Manager::of(&a.context);
        manager.add(&b.context);
        let channel = manager.event_channel();
        Net { a, b, manager, channel }
    }

    fn expect(&self, kind: EventKind) -> Event {
        let event = self.channel.wait(SECONDS).unwrap();
        assert_eq!(event.kind, kind, "{event:?}");
        event
    }

    fn nothing_more(&self) {
        assert_eq!(self.channel.wait(Duration::from_millis(20)).unwrap_err(), CmError::Timeout);
    }

    /// An identifier of a's with the way to `to`.
    fn resolved(&self, space: PortSpace, to: SocketAddr) -> Id {
        let id = self.channel.create_id(space);
        id.resolve_addr(Some(at("192.0.2.1:0")), to, SECONDS).unwrap();
        assert_eq!(self.expect(EventKind::AddrResolved).id, id);
        id.resolve_route(SECONDS).unwrap();
        self.expect(EventKind::RouteResolved);
        id
    }

    fn listener(&self, space: PortSpace) -> Id {
        let id = self.channel.create_id(space);
        id.bind(at("192.0.2.2:7471")).unwrap();
        id.listen(4).unwrap();
        id
    }

    /// Asks, and gives what both sides have then.
    fn asked(&self, param: &ConnParam) -> (Id, Event) {
        let client = self.resolved(PortSpace::Tcp, at("192.0.2.2:7471"));
        client.connect(param).unwrap();
        (client, self.expect(EventKind::ConnectRequest))
    }
}

fn at(addr: &str) -> SocketAddr {
    addr.parse().unwrap()
}

fn data(text: &str) -> ConnParam {
    ConnParam { private_data: text.into(), ..ConnParam::default() }
}

#[test]
fn a_connection_from_its_first_event_to_its_last() {
    let net = Net::new();
    let listener = net.listener(PortSpace::Tcp);
    let (a_qp, b_qp) =
        (net.a.pd.queue_pair(&net.a.cq).build().unwrap(), net.b.pd.queue_pair(&net.b.cq).build().unwrap());

    let client = net.resolved(PortSpace::Tcp, at("192.0.2.2:7471"));
    assert!(client.context().unwrap().is_same(&net.a.context));
    client.attach(&a_qp).unwrap();
    let param = ConnParam { responder_resources: 3, initiator_depth: 5, rnr_retry_count: 6, ..data("hello") };
    client.connect(&param).unwrap();

    let request = net.expect(EventKind::ConnectRequest);
    assert_eq!(request.listener.as_ref(), Some(&listener));
    let Param::Conn(asked) = &request.param else { panic!() };
    // 92 bytes less the 36 of the addresses, and the sender's length is not told.
    assert_eq!((asked.private_data.len(), &asked.private_data[..6]), (56, &b"hello\0"[..]));
    assert_eq!((asked.responder_resources, asked.initiator_depth), (5, 3), "seen from here");
    assert_eq!((asked.rnr_retry_count, asked.retry_count, asked.qp_num), (6, 7, a_qp.qpn()));
    let server = request.id;
    assert_eq!(server.local_addr(), at("192.0.2.2:7471"));
    assert_eq!(server.peer_addr(), Some(client.local_addr()));
    server.attach(&b_qp).unwrap();
    server.accept(&ConnParam { responder_resources: 2, initiator_depth: 1, ..data("world") }).unwrap();
    assert_eq!(b_qp.state(), QpState::Rts, "ready before the peer is told");

    let established = net.expect(EventKind::Established);
    assert_eq!(established.id, client);
    let Param::Conn(conn) = &established.param else { panic!() };
    assert_eq!((conn.private_data.len(), &conn.private_data[..6]), (196, &b"world\0"[..]));
    assert_eq!((conn.responder_resources, conn.initiator_depth, conn.qp_num), (1, 2, b_qp.qpn()));
    assert_eq!(net.expect(EventKind::Established).id, server);

    let attr = |qp: &ferroce::QueuePair| {
        let attr = qp.info().attr;
        (attr.max_rd_atomic, attr.max_dest_rd_atomic, attr.rnr_retry)
    };
    assert_eq!(attr(&a_qp), (Some(2), Some(1), Some(7)));
    assert_eq!(attr(&b_qp), (Some(1), Some(2), Some(6)));

    a_qp.post().write(1, &[net.a.memory.slice(..8)], net.b.memory.remote()).submit().unwrap();
    net.a.cq.wait(SECONDS).unwrap().ok().unwrap();

    client.disconnect().unwrap();
    assert_eq!(a_qp.state(), QpState::Err, "at once");
    assert_eq!(net.expect(EventKind::Disconnected).id, server);
    assert_eq!(b_qp.state(), QpState::Rts, "the application may have something to do yet");
    net.nothing_more();
    server.disconnect().unwrap();
    assert_eq!(b_qp.state(), QpState::Err);
    assert_eq!(net.expect(EventKind::Disconnected).id, client);
    let over = [net.expect(EventKind::TimewaitExit).id, net.expect(EventKind::TimewaitExit).id];
    assert!(over.contains(&client) && over.contains(&server));
    net.nothing_more();
}

#[test]
fn no_is_told_with_its_reason() {
    let net = Net::new();
    let listener = net.listener(PortSpace::Tcp);
    let (client, request) = net.asked(&data(""));
    request.id.reject(b"not today").unwrap();
    let rejected = net.expect(EventKind::Rejected);
    assert_eq!((rejected.id, rejected.status), (client, 28));
    assert_eq!(
        (rejected.param.private_data().len(), &rejected.param.private_data()[..9]),
        (148, &b"not today"[..])
    );
    drop(request);

    // Dropping a request is a no as well.
    let (_client, request) = net.asked(&data(""));
    drop(request);
    assert_eq!(net.expect(EventKind::Rejected).status, 28);

    // Nobody listens.
    listener.destroy();
    let client = net.resolved(PortSpace::Tcp, at("192.0.2.2:7471"));
    client.connect(&data("")).unwrap();
    assert_eq!(net.expect(EventKind::Rejected).status, 8);
    assert_eq!(net.b.context.nic().with(|device, _| device.cm().connections().count()), 0);
}

#[test]
fn nobody_is_there() {
    // 4 ms for an answer, three times.
    let quick = CmConfig { packet_life_time: 8, response_timeout: 10, max_retries: 2, ..CmConfig::default() };
    let net = Net::with(Faults::default(), quick);
    let client = net.resolved(PortSpace::Tcp, at("192.0.2.99:1"));
    client.connect(&data("")).unwrap();
    assert_eq!(net.expect(EventKind::Unreachable).status, -110);

    let client = net.resolved(PortSpace::Udp, at("192.0.2.99:1"));
    client.connect(&data("")).unwrap();
    assert_eq!(net.expect(EventKind::Unreachable).status, -110);

    let id = net.channel.create_id(PortSpace::Tcp);
    id.resolve_addr(None, at("[2001:db8::1]:1"), SECONDS).unwrap();
    assert_eq!(net.expect(EventKind::AddrError).status, -19);
}

#[test]
fn a_datagram_service_is_found() {
    let net = Net::new();
    let _listener = net.listener(PortSpace::Udp);
    let client = net.resolved(PortSpace::Udp, at("192.0.2.2:7471"));
    client.connect(&data("who?")).unwrap();
    let request = net.expect(EventKind::ConnectRequest);
    assert_eq!((request.param.private_data().len(), &request.param.private_data()[..4]), (180, &b"who?"[..]));
    request.id.accept(&ConnParam { qp_num: Qpn::new(0x77), ..data("me") }).unwrap();
    let established = net.expect(EventKind::Established);
    let Param::Ud(ud) = established.param else { panic!() };
    assert_eq!((ud.qp_num, ud.qkey), (Qpn::new(0x77), UD_QKEY));
    assert_eq!((ud.private_data.len(), &ud.private_data[..2]), (136, &b"me"[..]));
    assert_eq!(ud.av.unwrap().dgid, at("192.0.2.2:0").ip());

    let client = net.resolved(PortSpace::Udp, at("192.0.2.2:7472"));
    client.connect(&data("")).unwrap();
    assert_eq!(net.expect(EventKind::Unreachable).status, 1, "as a Linux peer is told");
}

#[test]
fn a_multicast_group_is_joined_and_left() {
    let net = Net::new();
    let group = at("239.1.1.1:0").ip();
    let id = net.channel.create_id(PortSpace::Udp);
    assert!(id.join_multicast(group).is_err(), "no NIC yet");
    id.bind(at("192.0.2.1:0")).unwrap();
    // A queue pair for connections is no member of anything.
    id.attach(&net.a.qp).unwrap();
    assert_eq!(id.join_multicast(group).unwrap_err().errno(), 22);
    id.attach_number(None);
    assert_eq!(id.join_multicast(at("192.0.2.9:0").ip()).unwrap_err().errno(), 19);
    id.join_multicast(group).unwrap();
    let Param::Ud(way) = net.expect(EventKind::MulticastJoin).param else { panic!() };
    assert_eq!((way.qp_num, way.qkey, way.av.unwrap().dgid), (Qpn::MULTICAST, UD_QKEY, group));

    let made = net.a.context.nic().with(|device, now| {
        use ferroce_engine::{QpAttr, QpInit, QpType};
        let pd = device.alloc_pd()?;
        let cq = device.create_cq(16)?;
        let qpn = device.create_qp(&QpInit::new(QpType::Ud, pd, cq))?;
        device.modify_qp(now, qpn, &QpAttr::init_ud(UD_QKEY))?;
        Ok::<_, ferroce::VerbsError>(qpn)
    });
    let members = || {
        net.a.context.nic().with(|device, _| device.mcast_groups().map(|(_, qps)| qps.len()).sum::<usize>())
    };
    id.attach_number(Some(made.unwrap()));
    id.join_multicast(group).unwrap();
    net.expect(EventKind::MulticastJoin);
    assert_eq!(members(), 1);
    id.leave_multicast(group).unwrap();
    assert_eq!((members(), id.leave_multicast(group).unwrap_err().errno()), (0, 22));
    id.join_multicast(group).unwrap();
    id.destroy();
    assert_eq!(members(), 0);
}

#[test]
fn a_queue_pair_that_is_not_known_here_is_made_ready_elsewhere() {
    let net = Net::new();
    let _listener = net.listener(PortSpace::Tcp);
    let (client, request) = net.asked(&ConnParam { qp_num: Qpn::new(0x1234), ..data("") });
    request.id.accept(&ConnParam { qp_num: Qpn::new(0x4321), ..data("") }).unwrap();
    let response = net.expect(EventKind::ConnectResponse);
    let Param::Conn(conn) = response.param else { panic!() };
    assert_eq!(conn.qp_num, Qpn::new(0x4321));
    let rtr = client.init_qp_attr(QpState::Rtr).unwrap();
    assert_eq!(rtr.dest_qpn, Some(Qpn::new(0x4321)));
    net.nothing_more();
    client.establish().unwrap();
    assert_eq!(net.expect(EventKind::Established).id, request.id);
}

#[test]
fn a_port_has_one_owner() {
    let net = Net::new();
    let _listener = net.listener(PortSpace::Tcp);
    let other = net.channel.create_id(PortSpace::Tcp);
    let error = other.bind(at("192.0.2.2:7471")).unwrap_err();
    assert_eq!((error.errno(), error), (98, CmError::AddressInUse(at("192.0.2.2:7471"))));
    assert_eq!(other.bind(at("192.0.2.3:1")).unwrap_err().errno(), 99);
    other.bind(at("192.0.2.1:7471")).unwrap();
    assert_eq!(other.bind(at("192.0.2.1:7472")).unwrap_err(), CmError::State("bind"));

    let share = Options { reuse_addr: true, ..Options::default() };
    let shared = [0, 1].map(|_| {
        let id = net.channel.create_id(PortSpace::Tcp);
        id.set_options(share);
        id.bind(at("192.0.2.1:9")).unwrap();
        id
    });
    assert_eq!(shared[0].listen(1).unwrap_err().errno(), 98);
    shared[1].destroy();
    shared[0].listen(1).unwrap();

    let any = net.channel.create_id(PortSpace::Tcp);
    any.bind(at("0.0.0.0:0")).unwrap();
    assert!(any.local_addr().port() >= 32_768);
    any.listen(1).unwrap();
    let client =
        net.resolved(PortSpace::Tcp, SocketAddr::new(at("192.0.2.2:0").ip(), any.local_addr().port()));
    client.connect(&data("")).unwrap();
    assert_eq!(net.expect(EventKind::ConnectRequest).listener, Some(any), "all NICs are listened at");
}

/// As the kernel's rdma_cm has it, which libfabric relies on: it binds to `localhost` where it is given no address.
#[test]
fn loopback_stands_for_this_machine_unless_a_nic_has_such_an_address() {
    let net = Net::new();
    let any = net.channel.create_id(PortSpace::Tcp);
    any.bind(at("127.0.0.1:0")).unwrap();
    assert!(any.local_addr().ip().is_unspecified() && any.context().is_none());
    any.listen(0).unwrap();
    let port = any.local_addr().port();
    let id = net.resolved(PortSpace::Tcp, SocketAddr::new("127.0.0.1".parse().unwrap(), port));
    assert_eq!(id.peer_addr(), Some(SocketAddr::new("192.0.2.1".parse().unwrap(), port)));

    let nic =
        Context::new(Nic::builder().address("127.0.0.2".parse().unwrap()).hub(&Hub::new()).open().unwrap());
    net.manager.add(&nic);
    let other = net.channel.create_id(PortSpace::Tcp);
    let refused = other.bind(at("127.0.0.1:0")).unwrap_err();
    assert_eq!(refused, CmError::AddressNotAvailable("127.0.0.1".parse().unwrap()));
    other.bind(at("127.0.0.2:0")).unwrap();
}

#[test]
fn events_follow_an_identifier_to_another_channel() {
    let net = Net::new();
    let listener = net.listener(PortSpace::Tcp);
    let client = net.resolved(PortSpace::Tcp, at("192.0.2.2:7471"));
    client.connect(&data("")).unwrap();
    let other = net.manager.event_channel();
    listener.migrate(&other);
    let request = other.wait(SECONDS).unwrap();
    assert_eq!(request.kind, EventKind::ConnectRequest);
    client.migrate(&other);
    request.id.reject(b"").unwrap();
    assert_eq!(other.wait(SECONDS).unwrap().kind, EventKind::Rejected);
    net.nothing_more();
}

#[test]
fn what_was_destroyed_is_told_nothing_and_asked_for_nothing() {
    let net = Net::new();
    let _listener = net.listener(PortSpace::Tcp);
    let (client, request) = net.asked(&data(""));
    client.destroy();
    assert_eq!(client.connect(&data("")).unwrap_err().errno(), 22);
    let told = net.expect(EventKind::Rejected);
    assert_eq!((told.id, told.status), (request.id.clone(), i32::from(RejectReason::TIMEOUT.0)));
    assert!(request.id.accept(&data("")).is_err());
    // A wait that is not worth it.
    let (client, request) = net.asked(&data(""));
    request.id.destroy();
    client.destroy();
    net.nothing_more();
}

#[test]
fn too_much_is_refused_before_anything_is_sent() {
    let net = Net::new();
    let _listener = net.listener(PortSpace::Tcp);
    let client = net.resolved(PortSpace::Tcp, at("192.0.2.2:7471"));
    let long = |len| ConnParam { private_data: vec![1; len], ..ConnParam::default() };
    assert_eq!(client.connect(&long(57)).unwrap_err(), CmError::PrivateData(56));
    client.connect(&long(56)).unwrap();
    let request = net.expect(EventKind::ConnectRequest);
    assert_eq!(request.param.private_data(), [1; 56]);
    assert_eq!(request.id.accept(&long(197)).unwrap_err(), CmError::PrivateData(196));
    let greedy = ConnParam { initiator_depth: 200, ..data("") };
    assert_eq!(request.id.accept(&greedy).unwrap_err().errno(), 22);
    assert_eq!(request.id.reject(&[0; 149]).unwrap_err(), CmError::PrivateData(148));
    request.id.accept(&long(196)).unwrap();
    net.expect(EventKind::ConnectResponse);
}

#[test]
fn the_nic_goes_away() {
    let net = Net::new();
    let client = net.resolved(PortSpace::Tcp, at("192.0.2.2:7471"));
    net.manager.remove(&net.a.context);
    assert_eq!(net.expect(EventKind::DeviceRemoval).id, client);
}

#[tokio::test]
async fn events_can_be_awaited() {
    let net = Net::new();
    let _listener = net.listener(PortSpace::Tcp);
    let id = net.channel.create_id(PortSpace::Tcp);
    id.resolve_addr(None, at("192.0.2.2:7471"), SECONDS).unwrap();
    assert_eq!(net.channel.next().await.kind, EventKind::AddrResolved);
    id.resolve_route(SECONDS).unwrap();
    assert_eq!(net.channel.next().await.kind, EventKind::RouteResolved);
    id.connect(&data("")).unwrap();
    assert_eq!(net.channel.next().await.kind, EventKind::ConnectRequest);
}

/// Several threads connect, talk and part on a network that loses every tenth packet.
#[test]
fn many_at_once_under_loss() {
    let quick = CmConfig { packet_life_time: 8, response_timeout: 12, ack_delay: 8, ..CmConfig::default() };
    let net = Net::with(Faults::loss(0.1, 7), quick);
    let listener = Manager::of(&net.b.context).listen(at("192.0.2.2:7471"), 64).unwrap();
    let (clients, rounds) = (4, 5);
    std::thread::scope(|scope| {
        for client in 0..clients {
            let context: &Context = &net.a.context;
            let (pd, memory) = (&net.a.pd, &net.a.memory);
            scope.spawn(move || {
                let manager = Manager::of(context);
                for round in 0..rounds {
                    let cq = context.completion_queue(16).unwrap();
                    let qp = pd.queue_pair(&cq).build().unwrap();
                    let text = format!("{client}.{round}");
                    let dialled = manager.dial(at("192.0.2.2:7471")).unwrap();
                    let connection = dialled.connect(&qp, &data(&text), SECONDS).unwrap();
                    assert_eq!(&connection.private_data()[..text.len()], text.as_bytes());
                    qp.post().send(1, &[memory.slice(..16)]).submit().unwrap();
                    cq.wait(SECONDS).unwrap().ok().unwrap();
                    connection.disconnect().unwrap();
                    connection.ended(SECONDS).unwrap();
                }
            });
        }
        for _ in 0..clients * rounds {
            let request = listener.next(SECONDS).unwrap();
            let (pd, memory, context) = (&net.b.pd, &net.b.memory, &net.b.context);
            scope.spawn(move || {
                let cq = context.completion_queue(16).unwrap();
                let qp = pd.queue_pair(&cq).build().unwrap();
                qp.receive(1, &[memory.slice(..64)]).unwrap();
                let param =
                    ConnParam { private_data: request.private_data().to_vec(), ..ConnParam::default() };
                // If the client's word that it is ready is lost, the end may come before.
                let connection = match request.accept(&qp, &param, SECONDS) {
                    Err(CmError::Disconnected) => None,
                    accepted => Some(accepted.unwrap()),
                };
                cq.wait(SECONDS).unwrap().ok().unwrap();
                if let Some(connection) = connection {
                    connection.ended(SECONDS).unwrap();
                }
            });
        }
    });
}
