//! Connection management between two devices: what is said, and what each side is told.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ferroce_engine::*;
use ferroce_wire::Packet;
use ferroce_wire::cm::*;
use ferroce_wire::mad::{GSI_QKEY, MAD_LEN};

use crate::pair::Fate;

mod strangers;

const SERVICE: ServiceId = ServiceId::ip(PortSpace::Tcp, 7174);

/// Decides on each message by its sender, its number among the sender's, and its name.
type Decide = Box<dyn FnMut(usize, usize, &str) -> Fate>;

struct Net {
    now: Time,
    devices: [Device<NoTrace>; 2],
    addrs: [IpAddr; 2],
    fate: Decide,
    sent: [usize; 2],
    /// Who said what.
    log: Vec<String>,
    mads: Vec<CmMad>,
    events: [Vec<CmEvent>; 2],
}

impl Net {
    fn new() -> Net {
        Net::with(CmConfig::default())
    }

    fn with(cm: CmConfig) -> Net {
        let addrs = [1, 2].map(|number| IpAddr::V4(Ipv4Addr::new(192, 0, 2, number)));
        let device = |index: usize| {
            let config = DeviceConfig { cm, ..DeviceConfig::new("ferroce", [addrs[index]]) };
            Device::new(config, index as u64, NoTrace)
        };
        Net {
            now: Time::ZERO,
            devices: [device(0), device(1)],
            addrs,
            fate: Box::new(|_, _, _| Fate::Deliver),
            sent: [0; 2],
            log: Vec::new(),
            mads: Vec::new(),
            events: [Vec::new(), Vec::new()],
        }
    }

    fn cm(&mut self, side: usize) -> &mut Cm {
        self.devices[side].cm_mut()
    }

    fn meta(&self, from: usize) -> RxMeta {
        RxMeta {
            src: self.addrs[from],
            dst: self.addrs[1 - from],
            src_port: 0xd872,
            traffic_class: 0,
            ident: Ident::Known { ident: 0, flags_fragment: DONT_FRAGMENT },
        }
    }

    fn settle(&mut self) {
        let mut train = Train::new();
        let mut idle = false;
        while !idle {
            idle = true;
            for from in 0..2 {
                while self.devices[from].poll_transmit(self.now, &TxLimits::SINGLE, &mut train) {
                    idle = false;
                    let meta = RxMeta { src_port: train.flow().src_port, ..self.meta(from) };
                    let packet = Packet::parse(train.bytes()).unwrap();
                    let mad = CmMad::parse(packet.payload).unwrap();
                    let number = self.sent[from];
                    self.sent[from] += 1;
                    self.log.push(format!("{from}>{}", mad.message.name()));
                    self.mads.push(mad);
                    let copies = match (self.fate)(from, number, mad.message.name()) {
                        Fate::Deliver | Fate::Mark => 1,
                        Fate::Drop => 0,
                        Fate::Twice => 2,
                    };
                    for _ in 0..copies {
                        self.devices[1 - from].handle_packet(self.now, &meta, train.bytes());
                    }
                }
                while let Some(event) = self.devices[from].cm_mut().poll_event() {
                    self.events[from].push(event);
                }
            }
        }
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.settle();
        while let Some(next) = self.devices.iter().filter_map(Device::next_timeout).min()
            && next <= end
        {
            self.now = next;
            for device in &mut self.devices {
                device.handle_timeout(next);
            }
            self.settle();
        }
        self.now = end;
    }

    /// Side 0 asks side 1.
    fn connect(&mut self) -> CmId {
        let now = self.now;
        let to = self.addrs[1];
        self.cm(0).connect(now, &request(to, 0x11)).unwrap()
    }

    /// The newest event of a side, taken.
    fn last(&mut self, side: usize) -> CmEvent {
        self.settle();
        self.events[side].pop().unwrap_or_else(|| panic!("no event at side {side}: {:?}", self.log))
    }

    fn accept(&mut self) -> CmId {
        let event = self.last(1);
        assert!(matches!(event.kind, CmEventKind::Request { .. }), "{event:?}");
        let now = self.now;
        self.cm(1).take_request(event.id).unwrap();
        self.cm(1).accept(now, event.id, &ANSWER).unwrap();
        event.id
    }

    /// A connection up to the end of its making.
    fn connected(&mut self) -> (CmId, CmId) {
        self.cm(1).listen(SERVICE, None, 4).unwrap();
        let active = self.connect();
        let passive = self.accept();
        let reply = self.last(0);
        assert!(matches!(reply.kind, CmEventKind::Reply(_)));
        self.cm(0).ready(active, b"").unwrap();
        self.settle();
        (active, passive)
    }

    fn states(&mut self, ids: (CmId, CmId)) -> [Option<CmState>; 2] {
        [self.cm(0).state(ids.0), self.cm(1).state(ids.1)]
    }
}

fn request(to: IpAddr, qpn: u32) -> CmConnect<'static> {
    let av = AddressVector { flow_label: 0x12345, ..AddressVector::new(0, to) };
    CmConnect {
        responder_resources: 3,
        initiator_depth: 5,
        rnr_retry_count: 6,
        private_data: b"from the active side",
        ..CmConnect::new(SERVICE, av, Qpn::new(qpn))
    }
}

const ANSWER: CmAccept<'static> = CmAccept {
    qpn: Qpn::new(0x22),
    responder_resources: 2,
    initiator_depth: 1,
    flow_control: false,
    rnr_retry_count: 4,
    srq: false,
    private_data: b"from the passive side",
};

fn names(events: &[CmEvent]) -> Vec<String> {
    let name = |event: &CmEvent| format!("{:?}", event.kind).split(['(', ' ']).next().unwrap().to_owned();
    events.iter().map(name).collect()
}

#[test]
fn a_connection_is_made_and_ended() {
    let mut net = Net::new();
    let ids = net.connected();
    assert_eq!(net.log, ["0>REQ", "1>REP", "0>RTU"]);
    assert_eq!(names(&net.events[1]), ["Established"]);
    assert_eq!(net.states(ids), [Some(CmState::Established); 2]);

    let now = net.now;
    net.cm(0).disconnect(now, ids.0, b"").unwrap();
    net.settle();
    assert!(matches!(net.last(1).kind, CmEventKind::Disconnecting(_)));
    assert_eq!(net.log[3..], ["0>DREQ"], "the answer comes when the application says so");
    net.cm(1).disconnect(now, ids.1, b"").unwrap();
    net.settle();
    assert_eq!(net.log[4..], ["1>DREP"]);
    assert!(matches!(net.last(0).kind, CmEventKind::Disconnected(Some(_))));
    assert_eq!(net.states(ids), [Some(CmState::TimeWait); 2]);
    // Local ACK timeout 17: 537 ms.
    net.run_for(Duration::from_millis(500));
    assert_eq!(net.events[0], []);
    net.run_for(Duration::from_millis(100));
    assert_eq!(names(&net.events[0]), ["TimeWaitOver"]);
    assert_eq!(names(&net.events[1]), ["Established", "TimeWaitOver"]);
    for (side, id) in [ids.0, ids.1].into_iter().enumerate() {
        let now = net.now;
        net.cm(side).destroy(now, id).unwrap();
        assert_eq!(net.cm(side).connections().count(), 0);
        assert_eq!(net.devices[side].next_timeout(), None);
    }
}

#[test]
fn both_sides_know_the_same_of_the_connection() {
    let mut net = Net::new();
    let ids = net.connected();
    let attr = |net: &mut Net, side: usize, id, state| net.cm(side).qp_attr(id, state).unwrap();
    let [mut rtr, mut rts] = [[QpAttr::default(); 2]; 2];
    for (side, id) in [ids.0, ids.1].into_iter().enumerate() {
        rtr[side] = attr(&mut net, side, id, QpState::Rtr);
        rts[side] = attr(&mut net, side, id, QpState::Rts);
    }
    for side in 0..2 {
        assert_eq!(rtr[side].rq_psn, rts[1 - side].sq_psn);
        let av = rtr[side].av.unwrap();
        assert_eq!((av.dgid, av.flow_label), (net.addrs[1 - side], 0x12345));
        assert_eq!(rtr[side].path_mtu, Some(PathMtu::Mtu1024));
        assert_eq!(rts[side].timeout, Some(17));
        assert_eq!(rtr[side].min_rnr_timer, Some(RnrTimer(0)));
    }
    assert_eq!([rtr[0].dest_qpn, rtr[1].dest_qpn], [Some(Qpn::new(0x22)), Some(Qpn::new(0x11))]);
    // What Linux does when 3 and 5 are asked for and 2 and 1 are given.
    assert_eq!([rts[0].max_rd_atomic, rtr[0].max_dest_rd_atomic], [Some(2), Some(1)]);
    assert_eq!([rts[1].max_rd_atomic, rtr[1].max_dest_rd_atomic], [Some(1), Some(2)]);
    // Each counts as the other asks.
    assert_eq!([rts[0].rnr_retry, rts[1].rnr_retry], [Some(4), Some(6)]);
}

#[test]
fn what_the_request_says_is_what_the_listener_is_told() {
    let mut net = Net::new();
    net.cm(1).listen(SERVICE, None, 1).unwrap();
    let active = net.connect();
    let CmEventKind::Request { req, local, peer, .. } = net.last(1).kind else { panic!("no request") };
    assert_eq!((peer, local), (net.addrs[0], net.addrs[1]));
    assert_eq!(req.local_id, active.value());
    assert_eq!(req.private_data[..20], *b"from the active side");
    assert_eq!(req.private_data[20..], [0; 72]);
    assert_eq!((req.responder_resources, req.initiator_depth), (3, 5));
    let CmMessage::Req(sent) = net.mads[0].message else { panic!() };
    assert_eq!(sent, *req);
    assert_eq!((sent.primary.local_lid, sent.primary.hop_limit, sent.pkey), (0xffff, 64, 0xffff));
    assert_eq!((sent.max_cm_retries, sent.remote_response_timeout, sent.primary.ack_timeout), (15, 20, 17));
}

#[test]
fn a_lost_message_is_sent_again_and_told_once() {
    for lost in ["REQ", "REP", "RTU"] {
        let mut net = Net::new();
        let mut seen = 0;
        net.fate = Box::new(move |_, _, name| {
            seen += usize::from(name == lost);
            if name == lost && seen == 1 { Fate::Drop } else { Fate::Deliver }
        });
        net.cm(1).listen(SERVICE, None, 4).unwrap();
        let active = net.connect();
        net.run_for(Duration::from_secs(6));
        let passive = net.accept();
        if lost == "REP" {
            net.run_for(Duration::from_secs(6));
        }
        assert!(matches!(net.last(0).kind, CmEventKind::Reply(_)), "{lost}");
        net.cm(0).ready(active, b"").unwrap();
        net.run_for(Duration::from_secs(6));
        assert_eq!(names(&net.events[1]), ["Established"], "{lost}");
        assert_eq!(net.states((active, passive)), [Some(CmState::Established); 2]);
        assert_eq!(net.log.iter().filter(|entry| entry.ends_with(lost)).count(), 2, "{lost} {:?}", net.log);
    }
}

#[test]
fn duplicates_change_nothing() {
    let mut net = Net::new();
    net.fate = Box::new(|_, _, _| Fate::Twice);
    let ids = net.connected();
    assert_eq!(names(&net.events[1]), ["Established"]);
    let now = net.now;
    net.cm(0).disconnect(now, ids.0, b"").unwrap();
    net.last(1);
    net.cm(1).disconnect(now, ids.1, b"").unwrap();
    net.settle();
    assert_eq!(names(&net.events[0]), ["Disconnected"]);
    assert_eq!(net.states(ids), [Some(CmState::TimeWait); 2]);
}

#[test]
fn who_repeats_a_request_while_the_application_thinks_is_told_to_wait() {
    let mut net = Net::new();
    net.cm(1).listen(SERVICE, None, 1).unwrap();
    let active = net.connect();
    // 2 · 268 ms on the way, 4.3 s for an answer.
    net.run_for(Duration::from_secs(8));
    assert_eq!(net.log, ["0>REQ", "0>REQ", "1>MRA"]);
    assert_eq!(net.mads[0], net.mads[1], "identical, as Linux repeats it");
    let CmMessage::Mra(mra) = net.mads[2].message else { panic!() };
    assert_eq!((mra.message, mra.service_timeout), (0, 24));
    assert_eq!(names(&net.events[1]), ["Request"]);
    net.run_for(Duration::from_secs(60));
    assert_eq!(net.log.len(), 3, "for a minute nothing is asked again");
    net.accept();
    assert!(matches!(net.last(0).kind, CmEventKind::Reply(_)));
    assert_eq!(net.cm(0).state(active), Some(CmState::RepReceived));
    // The wait was for that answer only: the end of the connection is not waited for as long.
    net.cm(0).ready(active, b"").unwrap();
    net.settle();
    net.fate = Box::new(|_, _, name| if name == "DREQ" { Fate::Drop } else { Fate::Deliver });
    let now = net.now;
    net.cm(0).disconnect(now, active, b"").unwrap();
    net.run_for(Duration::from_secs(6));
    assert_eq!(net.log[5..], ["0>DREQ", "0>DREQ"]);
}

#[test]
fn who_is_never_answered_gives_up_after_sixteen_times() {
    let mut net = Net::new();
    net.fate = Box::new(|_, _, _| Fate::Drop);
    let active = net.connect();
    net.run_for(Duration::from_secs(100));
    assert_eq!(net.log.len(), 16);
    assert_eq!(net.log[15], "0>REQ");
    assert_eq!(names(&net.events[0]), ["Unreachable"]);
    assert_eq!(net.cm(0).state(active), Some(CmState::Idle));
    assert_eq!(net.devices[0].next_timeout(), None);
    assert_eq!(net.cm(0).counters().repeated, 15);
}

#[test]
fn nobody_listens() {
    let mut net = Net::new();
    net.cm(1).listen(ServiceId::ip(PortSpace::Tcp, 1), None, 1).unwrap();
    net.cm(1).listen(SERVICE, Some("192.0.2.77".parse().unwrap()), 1).unwrap();
    net.connect();
    let CmEventKind::Rejected(rej) = net.last(0).kind else { panic!() };
    assert_eq!((rej.local_id, rej.message, rej.info_len), (0, 0, 0));
    assert_eq!(rej.reason, RejectReason::INVALID_SERVICE_ID);
    assert_eq!(net.log, ["0>REQ", "1>REJ"]);
}

#[test]
fn a_listener_at_the_address_comes_before_one_at_all() {
    let mut net = Net::new();
    let at_all = net.cm(1).listen(SERVICE, None, 1).unwrap();
    let here = net.addrs[1];
    let exact = net.cm(1).listen(SERVICE, Some(here), 1).unwrap();
    assert_eq!(net.cm(1).listen(SERVICE, None, 1).unwrap_err().errno(), 16);
    assert_eq!(net.cm(1).listener_changes(), 2);
    let asked = |net: &mut Net| {
        net.connect();
        match net.last(1).kind {
            CmEventKind::Request { listener, .. } => listener,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(asked(&mut net), exact);
    let now = net.now;
    net.cm(1).unlisten(now, exact).unwrap();
    assert!(matches!(net.last(0).kind, CmEventKind::Rejected(_)), "what waited there is rejected");
    assert_eq!(asked(&mut net), at_all);
}

#[test]
fn a_rejection_carries_its_reason_and_data() {
    for &reason in RejectReason::ALL {
        let mut net = Net::new();
        net.cm(1).listen(SERVICE, None, 1).unwrap();
        let active = net.connect();
        let request = net.last(1).id;
        let now = net.now;
        net.cm(1).reject(now, request, reason, b"info", b"private").unwrap();
        let CmEventKind::Rejected(rej) = net.last(0).kind else { panic!() };
        assert_eq!((rej.reason, rej.info_len, rej.message), (reason, 4, 0));
        assert_eq!((&rej.info[..5], &rej.private_data[..8]), (&b"info\0"[..], &b"private\0"[..]));
        assert_eq!((rej.local_id, rej.remote_id), (request.value(), active.value()));
        let state = if reason == RejectReason::STALE_CONNECTION { CmState::TimeWait } else { CmState::Idle };
        assert_eq!(net.cm(0).state(active), Some(state), "{reason}");
    }
}

#[test]
fn the_active_side_can_reject_the_reply() {
    let mut net = Net::new();
    net.cm(1).listen(SERVICE, None, 1).unwrap();
    let active = net.connect();
    net.accept();
    net.settle();
    let now = net.now;
    net.cm(0).reject(now, active, RejectReason::CONSUMER_DEFINED, b"", b"no").unwrap();
    let CmEventKind::Rejected(rej) = net.last(1).kind else { panic!() };
    assert_eq!((rej.message, &rej.private_data[..3]), (1, &b"no\0"[..]));
}

#[test]
fn who_goes_away_says_so() {
    // Before the request is answered: as a killed Linux process does.
    let mut net = Net::new();
    net.cm(1).listen(SERVICE, None, 1).unwrap();
    let active = net.connect();
    net.last(1);
    let now = net.now;
    net.cm(0).destroy(now, active).unwrap();
    let CmEventKind::Rejected(rej) = net.last(1).kind else { panic!() };
    assert_eq!((rej.reason, rej.message, rej.remote_id, rej.info_len), (RejectReason::TIMEOUT, 2, 0, 8));
    assert_eq!(rej.info[..8], DeviceConfig::new("", [net.addrs[0]]).guid().to_be_bytes());
    assert_eq!(net.cm(0).connections().count(), 0);

    // A connection: the peer is told, and told again until it answers.
    let mut net = Net::new();
    let ids = net.connected();
    net.events[1].clear();
    let mut dreqs = 0;
    net.fate = Box::new(move |_, _, name| {
        dreqs += usize::from(name == "DREQ");
        if dreqs == 1 { Fate::Drop } else { Fate::Deliver }
    });
    let now = net.now;
    net.cm(0).destroy(now, ids.0).unwrap();
    assert_eq!(net.cm(0).state(ids.0), None);
    net.run_for(Duration::from_secs(6));
    assert_eq!(names(&net.events[1]), ["Disconnecting"]);
    let now = net.now;
    net.cm(1).destroy(now, ids.1).unwrap();
    net.run_for(Duration::from_secs(2));
    assert_eq!(net.events[0], []);
    assert_eq!([0, 1].map(|side| net.devices[side].cm().connections().count()), [0, 0]);
}

#[test]
fn both_ends_can_end_it_at_once() {
    let mut net = Net::new();
    let ids = net.connected();
    net.events[1].clear();
    let now = net.now;
    net.cm(0).disconnect(now, ids.0, b"").unwrap();
    net.cm(1).disconnect(now, ids.1, b"").unwrap();
    net.settle();
    assert_eq!([names(&net.events[0]), names(&net.events[1])], [["Disconnected"], ["Disconnected"]]);
    assert_eq!(net.states(ids), [Some(CmState::TimeWait); 2]);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.states(ids), [Some(CmState::Idle); 2]);
}

#[test]
fn an_end_that_is_never_answered_is_an_end() {
    let mut net = Net::with(CmConfig { max_retries: 2, ..CmConfig::default() });
    let ids = net.connected();
    net.fate = Box::new(|_, _, _| Fate::Drop);
    let now = net.now;
    net.cm(0).disconnect(now, ids.0, b"").unwrap();
    net.run_for(Duration::from_secs(60));
    assert_eq!(names(&net.events[0]), ["Disconnected", "TimeWaitOver"]);
    assert_eq!(net.events[0][0].kind, CmEventKind::Disconnected(None));
}

#[test]
fn data_can_stand_in_for_a_lost_rtu() {
    let mut net = Net::new();
    net.fate = Box::new(|_, _, name| if name == "RTU" { Fate::Drop } else { Fate::Deliver });
    let ids = net.connected();
    assert_eq!(net.states(ids), [Some(CmState::Established), Some(CmState::RepSent)]);
    net.cm(1).established(ids.1).unwrap();
    assert!(matches!(net.last(1).kind, CmEventKind::Established(_)));
    assert_eq!(net.devices[1].next_timeout(), None, "the reply is no longer repeated");
    net.cm(1).established(ids.1).unwrap();
    net.settle();
    assert_eq!(net.events[1], [], "and it is told once");
}

#[test]
fn a_queue_pair_that_asks_again_has_forgotten_its_connection() {
    let mut net = Net::new();
    let ids = net.connected();
    net.events[1].clear();
    // As after a crash: the same queue pair, another name for the connection.
    let again = net.connect();
    net.settle();
    let CmEventKind::Rejected(rej) = &net.events[0][0].kind else { panic!("{:?}", net.events[0]) };
    assert_eq!(rej.reason, RejectReason::STALE_CONNECTION);
    assert_eq!(names(&net.events[0][1..]), ["Disconnecting"]);
    assert_eq!(net.log[3..], ["0>REQ", "1>REJ", "1>DREQ"]);
    assert_eq!(net.cm(1).state(ids.1), Some(CmState::DreqSent));
    assert_eq!(net.cm(0).state(again), Some(CmState::TimeWait));
    assert_eq!(net.cm(0).state(ids.0), Some(CmState::DreqReceived));
}

#[test]
fn only_so_many_requests_wait() {
    let mut net = Net::new();
    net.cm(1).listen(SERVICE, None, 2).unwrap();
    let (now, to) = (net.now, net.addrs[1]);
    for qpn in 0x30..0x38 {
        net.cm(0).connect(now, &request(to, qpn)).unwrap();
    }
    net.settle();
    assert_eq!(names(&net.events[1]), ["Request", "Request"]);
    assert_eq!(net.cm(1).counters().drop_backlog, 6);
    // Taking one makes room, accepting it or not; the others are repeated.
    let first = net.events[1][0].id;
    net.cm(1).take_request(first).unwrap();
    net.run_for(Duration::from_secs(5));
    assert_eq!(net.events[1].len(), 3);
}

#[test]
fn there_are_only_so_many_connections() {
    let mut net = Net::with(CmConfig { max_connections: 2, ..CmConfig::default() });
    net.cm(1).listen(SERVICE, None, 9).unwrap();
    let (now, to, back) = (net.now, net.addrs[1], net.addrs[0]);
    for qpn in [1, 2] {
        net.cm(0).connect(now, &request(to, qpn)).unwrap();
    }
    assert_eq!(net.cm(0).connect(now, &request(to, 3)).unwrap_err().errno(), 12);
    net.settle();
    // The other side is full too.
    assert!(net.cm(1).connect(now, &request(back, 4)).is_err());
}
