//! A lost packet: a run of two NICs in a fabric, drawn as a ladder.

use std::time::Duration;

use ferroce_engine::{
    Access, Buffer, MrInit, PathMtu, Payload, Psn, QpCap, QpInit, QpType, RecvWr, SendFlags, SendOp, SendWr,
    Sge, Time, TraceEvent,
};
use ferroce_fabric::{Connection, End, Fabric, Fate, HostId, Link, Log, Match, Port, Rule, What};
use ferroce_wire::Packet;

use ferroce_visualizer::drawing::{Anchor, Drawing, Line};

const LEFT: u32 = 250;
const RIGHT: u32 = 470;
const WIDTH: u32 = 720;
const TOP: u32 = 46;
const ROW: u32 = 20;

/// Bytes of the message: four packets.
const MESSAGE: usize = 4000;

/// Something at one side at one time.
struct Moment {
    at: Time,
    host: HostId,
    /// Before others of the same time: a packet arrives, then something is done about it.
    order: u32,
    text: String,
    /// Which packet leaves or arrives.
    packet: Option<usize>,
}

pub(crate) fn draw() -> String {
    let (log, [left, _]) = run();
    let moments = moments(&log);
    let row = |at: usize| TOP + ROW + at as u32 * ROW;
    let side = |host: HostId| if host == left { LEFT } else { RIGHT };
    let arrows = || moments.iter().enumerate().filter_map(|(at, m)| Some((at, arrival(&moments, m)?.0)));
    let fall = arrows().next().map_or(ROW, |(from, to)| row(to) - row(from));
    let mut drawing = Drawing::new(WIDTH);
    let bottom = row(moments.len());
    for (x, name) in [(LEFT, "requester"), (RIGHT, "responder")] {
        drawing.strong((x, TOP - 14), Anchor::Middle, name);
        drawing.line((x, TOP), (x, bottom), Line::Faint);
    }
    for (at, moment) in moments.iter().enumerate() {
        let (x, y) = (side(moment.host), row(at));
        let (text_x, anchor) = if x == LEFT { (x - 10, Anchor::End) } else { (x + 10, Anchor::Start) };
        if !moment.text.is_empty() {
            drawing.text((text_x, y + 4), anchor, &moment.text);
        }
        if moment.order != SENT {
            continue;
        }
        match arrival(&moments, moment) {
            Some((there, other)) => drawing.line((x, y), (side(other.host), row(there)), Line::Arrow),
            None => {
                // As steep as the first arrow, so that it crosses none.
                let lost_at = ((LEFT * 2 + RIGHT * 3) / 5, y + fall * 3 / 5);
                drawing.line((x, y), lost_at, Line::Plain);
                drawing.cross(lost_at);
            }
        }
    }
    let title = "A lost packet, and how it is sent again";
    let lines: Vec<String> = moments
        .iter()
        .filter(|moment| !moment.text.is_empty())
        .map(|moment| {
            let who = if moment.host == left { "requester" } else { "responder" };
            format!("{who}: {}", moment.text)
        })
        .collect();
    drawing.finish(bottom + 8, title, &lines.join("; "))
}

/// The moment at which the packet that is sent at `sent` arrives, and its place among all.
fn arrival<'m>(moments: &'m [Moment], sent: &Moment) -> Option<(usize, &'m Moment)> {
    let same = |other: &Moment| other.packet == sent.packet && other.order == ARRIVED;
    moments.iter().enumerate().find(|(_, other)| sent.order == SENT && same(other))
}

/// The left NIC sends one message of four packets; the second is lost.
fn run() -> (Log, [HostId; 2]) {
    let mut fabric: Fabric<Vec<(Time, TraceEvent)>> = Fabric::new(1);
    fabric.set_links(Link::perfect(Duration::from_nanos(900)));
    let buffer = Buffer::new(MESSAGE);
    let ends = ["left", "right"].map(|name| {
        let host = fabric.add_host(name);
        fabric.set_port(host, Port { rate: Some(25_000_000_000), train: 1, ..Port::default() });
        fabric.with(host, |device, _| {
            let pd = device.alloc_pd().expect("the first");
            let init = MrInit::new(&buffer, Access::LOCAL_WRITE);
            let addr = init.iova;
            let lkey = device.reg_mr(pd, init).expect("the first").lkey;
            let cq = device.create_cq(16).expect("the first");
            let (cap, signal_all) = (QpCap::default(), true);
            let init = QpInit { cap, signal_all, ..QpInit::new(QpType::Rc, pd, cq) };
            let qp = device.create_qp(&init).expect("the first");
            (End { host, qp }, Sge { addr, len: MESSAGE as u32, lkey })
        })
    });
    let [(left, left_sge), (right, right_sge)] = ends;
    let psns = [Psn::new(10), Psn::new(500)];
    let how = Connection { mtu: PathMtu::Mtu1024, psns, ..Connection::default() };
    fabric.connect([left, right], &how).expect("two fresh queue pairs");
    fabric.add_rule(Rule::new(Match::from(left.host).psn(Psn::new(11)).nth(1), Fate::Drop));
    fabric.post_recv(right, &[RecvWr { wr_id: 2, sges: &[right_sge] }]).expect("room for one");
    let payload = Payload::Sges(&[left_sge]);
    let flags = SendFlags::SIGNALED;
    fabric
        .post_send(left, &[SendWr { flags, ..SendWr::new(1, SendOp::Send, payload) }])
        .expect("room for one");
    assert!(fabric.run_until_idle(1_000), "a lost packet is made good");
    (fabric.log().clone(), [left.host, right.host])
}

const ARRIVED: u32 = 0;
const DID: u32 = 1;
const SENT: u32 = 2;

fn moments(log: &Log) -> Vec<Moment> {
    let mut moments = Vec::new();
    for (index, entry) in log.entries.iter().enumerate() {
        let (at, host) = (entry.at, entry.host);
        match &entry.what {
            What::Packet(sent) => {
                let text = describe(&Packet::parse(&sent.bytes).expect("a NIC sent it"));
                moments.push(Moment { at, host, order: SENT, text, packet: Some(index) });
                for arrival in &sent.arrivals {
                    let to = sent.to.expect("there are only two");
                    let (at, text) = (arrival.at, String::new());
                    moments.push(Moment { at, host: to, order: ARRIVED, text, packet: Some(index) });
                }
            }
            What::Device(event) => {
                let text = tell(event);
                moments.extend(text.map(|text| Moment { at, host, order: DID, text, packet: None }));
            }
            // The two ends of the ladder are joined by a wire.
            What::Switch(_) => {}
        }
    }
    moments.sort_by_key(|moment| (moment.at, moment.order));
    moments
}

fn describe(packet: &Packet<'_>) -> String {
    let bth = &packet.headers.bth;
    let name = bth.opcode.name().trim_start_matches("RC_");
    let flag = if bth.ack_request { ", AckReq" } else { "" };
    match &packet.headers.aeth {
        Some(aeth) => format!("{}, PSN {}", aeth.syndrome, bth.psn.value()),
        None => format!("{name}, PSN {}{flag}", bth.psn.value()),
    }
}

fn tell(event: &TraceEvent) -> Option<String> {
    match event {
        TraceEvent::PostSend { .. } => Some("a SEND is posted".to_owned()),
        TraceEvent::PostRecv { .. } => Some("a receive is posted".to_owned()),
        TraceEvent::Gap { expected, got, .. } => {
            Some(format!("gap: {} came, {} is next", got.value(), expected.value()))
        }
        TraceEvent::Dropped { .. } => Some("dropped: not in sequence".to_owned()),
        TraceEvent::GoBack { resume, .. } => Some(format!("goes back to PSN {}", resume.value())),
        TraceEvent::Completed { wc, .. } => Some(format!("completion: {:?}", wc.status)),
        _ => None,
    }
}
