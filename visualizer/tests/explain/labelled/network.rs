//! Faults of networks with switches, and of addresses.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ferroce_engine::*;
use ferroce_fabric::*;
use ferroce_recording::SwitchStep;
use ferroce_wire::Opcode;

use super::faults::resent;
use super::world::*;
use super::{Labelled, Truth};

const RATE: u64 = 10_000_000_000;
const MEMORY: usize = 1 << 15;
const IOVA: u64 = 0x10_0000;

/// Hosts around a switch; all but the last are connected to the last and write to it.
struct Star {
    fabric: Fabric,
    switch: SwitchId,
    senders: Vec<(End, [u32; 2])>,
}

impl Star {
    fn new(seed: u64, hosts: usize, personality: &Personality, switch: SwitchConfig, class: u8) -> Star {
        let mut fabric: Fabric = Fabric::new(seed);
        let switch = fabric.add_switch(switch);
        let hosts: Vec<HostId> = (1..=hosts as u8)
            .map(|number| {
                let gids = [IpAddr::from(Ipv4Addr::new(10, 0, 0, number))];
                let config = DeviceConfig {
                    personality: personality.clone(),
                    ..DeviceConfig::new(format!("host{number}"), gids)
                };
                let host = fabric.add_device(config);
                let cable = Cable::new(RATE, Duration::from_nanos(500));
                fabric.add_cable([Node::Host(host), Node::Switch(switch)], cable);
                host
            })
            .collect();
        let (last, others) = hosts.split_last().unwrap();
        let senders = others.iter().map(|host| Star::join(&mut fabric, [*host, *last], class)).collect();
        Star { fabric, switch, senders }
    }

    /// A connection between two hosts, and the keys of their memory.
    fn join(fabric: &mut Fabric, hosts: [HostId; 2], class: u8) -> (End, [u32; 2]) {
        let how = Connection { traffic_class: class, ..Connection::default() };
        let sides = hosts.map(|host| {
            let buffer = Buffer::new(MEMORY);
            let init = MrInit { iova: IOVA, ..MrInit::new(&buffer, how.access) };
            fabric.with(host, |device, _| {
                let pd = device.alloc_pd().unwrap();
                let cq = device.create_cq(256).unwrap();
                let qp = device.create_qp(&QpInit::new(QpType::Rc, pd, cq)).unwrap();
                (End { host, qp }, device.reg_mr(pd, init).unwrap().rkey)
            })
        });
        fabric.connect(sides.map(|side| side.0), &how).unwrap();
        (sides[0].0, sides.map(|side| side.1))
    }

    /// Posts so many WRITEs at every sender.
    fn write(&mut self, count: usize) {
        for (end, [lkey, rkey]) in &self.senders {
            let sges = [Sge { addr: IOVA, len: MEMORY as u32, lkey: *lkey }];
            let op = SendOp::Write(Remote { addr: IOVA, rkey: *rkey });
            for _ in 0..count {
                let wr = SendWr::new(1, op, Payload::Sges(&sges));
                self.fabric.post_send(*end, &[wr]).unwrap();
            }
        }
    }

    /// What a capture at the first host has.
    fn capture(&self) -> Vec<u8> {
        let here = self.senders[0].0.host;
        let mut frames = Vec::new();
        let mut add = |at, ip: Vec<u8>| frames.push((at, [&[2; 12][..], &[8, 0], &ip].concat()));
        for (at, host, sent) in self.fabric.log().packets() {
            let caught = Caught::new(at, 0, 0, sent);
            if host == here {
                add(at, caught.ip());
            } else if sent.to == Some(here) {
                sent.arrivals.iter().for_each(|arrival| add(arrival.at, caught.ip()));
            }
        }
        let port = self.fabric.ports(self.switch).position(|(peer, _)| peer == Node::Host(here)).unwrap();
        for entry in &self.fabric.log().entries {
            let What::Switch(incident) = &entry.what else { continue };
            let quanta = match incident.step {
                SwitchStep::AsksToPause => u16::MAX,
                SwitchStep::AsksToGoOn => 0,
                _ => continue,
            };
            if usize::from(incident.port) == port {
                frames.push((entry.at, pause_frame(incident.priority, quanta)));
            }
        }
        frames.sort_by_key(|(at, _)| *at);
        file(ETHERNET, frames.into_iter(), 1 << 16)
    }

    fn label(&self, name: &'static str, seed: u64, truth: Vec<Truth>) -> Labelled {
        Labelled { name, seed, file: self.capture(), truth }
    }
}

/// A frame of priority flow control as a switch sends it.
fn pause_frame(priority: u8, quanta: u16) -> Vec<u8> {
    let mut frame = vec![0x01, 0x80, 0xC2, 0, 0, 1, 2, 0, 0, 0, 0, 9, 0x88, 0x08, 1, 1, 0, 1 << priority];
    for other in 0..8 {
        frame.extend(if other == priority { quanta } else { 0 }.to_be_bytes());
    }
    frame.resize(60, 0);
    frame
}

/// Two hosts send to a third as fast as they can, through a switch that marks. Every second time they obey the CNPs.
pub(super) fn congested(seed: u64) -> Labelled {
    let obeys = seed.is_multiple_of(2);
    let deaf = Congestion { ect: true, notify: Some(CnpPolicy::default()), ..Congestion::default() };
    let congestion = if obeys { Personality::dcqcn(RATE).congestion } else { deaf };
    // Nothing but the CNPs is to slow it down.
    let personality = Personality { congestion, window: 1 << 16, ..Personality::ferroce() };
    let red = Red { k_min: 5_000, k_max: 60_000, p_max: 1_000_000 };
    let config = SwitchConfig { red: Some(red), ..SwitchConfig::default() };
    let mut star = Star::new(seed, 3, &personality, config, 0);
    star.write(16 + seed as usize % 5);
    assert!(star.fabric.run_until_idle(1_000_000));
    let slowed = star.fabric.log().device(star.senders[0].0.host);
    let slowed = slowed.filter(|(_, event)| matches!(event, TraceEvent::Rate { rate: Some(_), .. })).count();
    assert_eq!(slowed > 0, obeys);
    let mut truth = vec![("ecn.cnp", None)];
    truth.extend((!obeys).then_some(("cnp.no-slowdown", None)));
    star.label("congested", seed, truth)
}

/// Two hosts send to a third on a priority that the switch pauses: a little, or for as long as the third, which is
/// broken, wants.
pub(super) fn paused(seed: u64) -> Labelled {
    let storm = seed.is_multiple_of(2);
    let config = SwitchConfig { pause_at: Threshold::Static(30_000), ..SwitchConfig::default() };
    let mut star = Star::new(seed, 3, &Personality::ferroce(), config, 3 << 5);
    star.write(2 + seed as usize % 4);
    assert!(star.fabric.run_until_idle(1_000_000));
    let here = star.senders[0].0.host;
    if !storm {
        let paused = star.fabric.paused_for(Node::Host(here), 0);
        assert!(paused > Duration::ZERO && paused < Duration::from_millis(5), "{paused:?}");
        return star.label("paused", seed, vec![("pfc.paused", None)]);
    }
    let last = star.fabric.hosts().last().unwrap();
    star.fabric.start_storm(last, 3, None);
    star.fabric.run_for(Duration::from_micros(10));
    star.write(4);
    let before = star.fabric.paused_for(Node::Host(here), 0);
    star.fabric.run_for(Duration::from_millis(20 + seed));
    let paused = star.fabric.paused_for(Node::Host(here), 0) - before;
    assert!(paused > Duration::from_millis(15), "{paused:?}");
    star.label("pause storm", seed, vec![("pfc.storm", None)])
}

/// One end was told an address of the other that this one does not use.
pub(super) fn two_addresses(seed: u64) -> Labelled {
    let mut world = World::new(seed, Terms { other_address: true, ..Terms::default() });
    world.post(SEND(world.remote()), 100 + seed as u32);
    let sges = [];
    let answer = SendWr::new(3, SendOp::Send, Payload::Sges(&sges));
    world.fabric.post_send(world.ends[1], &[answer]).unwrap();
    world.finish();
    let caught = world.tap(0);
    let mut truth = resent(&world, 0);
    let sent_by_other =
        caught.iter().filter(|c| c.from == 1 && c.packet().headers.bth.opcode == Opcode::RC_SEND_ONLY);
    truth.extend(sent_by_other.skip(1).map(|_| ("rtx.timeout", None)));
    truth.extend(
        ["gid.differs", "rtx.storm", "rtx.storm", "req.unanswered", "req.unanswered"]
            .map(|kind| (kind, None)),
    );
    Labelled { name: "two addresses", seed, file: pcap(&caught, 1 << 16), truth }
}
