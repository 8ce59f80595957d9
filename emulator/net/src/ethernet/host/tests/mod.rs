//! Stations on a wire that is a function call, in time that is a number.

mod exchange;
mod hostile;
mod multicast;

use std::time::Duration;

use ferroce_engine::{Flow, Ident, RxMeta, Time};

use super::*;
use crate::link::Burst;

/// What a station has delivered.
type Delivered = Vec<(RxMeta, Vec<u8>)>;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(milliseconds: u64) -> Time {
    Time::ZERO + Duration::from_millis(milliseconds)
}

/// A station with these addresses that has told everybody about itself.
fn station(addresses: &[&str]) -> Host {
    tagged(addresses, None)
}

fn tagged(addresses: &[&str], vlan: Option<u16>) -> Host {
    let subnets: Vec<Subnet> = addresses.iter().map(|text| text.parse().unwrap()).collect();
    let mac = MacAddr::derived_from(subnets[0].addr());
    let mut host = Host::new(Identity { mac, vlan, priority: None, subnets, gateways: Vec::new() });
    host.announcements = None;
    for time in [at(0), at(1000)] {
        while host.groups.due(time).is_some() {}
    }
    host
}

fn flow(src: &str, dst: &str) -> Flow {
    let (src, dst) = (ip(src), ip(dst));
    Flow { src, dst, src_port: 0xC123, traffic_class: 0x69, hop_limit: 33, flow_label: 0x1_2345 }
}

/// Sends one packet, and gives the frame, if it goes out at once.
fn send(host: &mut Host, now: Time, flow: &Flow, packet: &[u8]) -> Option<Vec<u8>> {
    let burst = Burst::single(flow, packet);
    match host.way(now, flow) {
        Way::To(mac) => {
            let mut frame = Vec::new();
            assert!(host.frame(mac, flow, 0, packet, &mut frame));
            return Some(frame);
        }
        Way::Sought(hop) => host.hold(hop, Numbered { burst, done: 0 }),
        Way::Here => host.loop_back(Numbered { burst, done: 0 }),
        Way::Nowhere => {}
    }
    None
}

fn frames(host: &mut Host) -> Vec<Vec<u8>> {
    let frames: Vec<Vec<u8>> = host.frames().map(<[u8]>::to_vec).collect();
    host.frames_done(frames.len());
    frames
}

fn accept(host: &mut Host, now: Time, frame: &[u8]) -> Delivered {
    let mut delivered = Vec::new();
    let arrived = Arrived { bytes: frame, tag: None, segment: None, unsummed: false };
    host.accept(now, arrived, &mut |meta, packet| delivered.push((*meta, packet.to_vec())));
    delivered
}

/// Carries frames between two stations until neither has anything to say. What each delivered comes back.
fn settle(now: Time, a: &mut Host, b: &mut Host) -> [Delivered; 2] {
    let mut delivered = [Vec::new(), Vec::new()];
    loop {
        let (from_a, from_b) = (frames(a), frames(b));
        if from_a.is_empty() && from_b.is_empty() {
            return delivered;
        }
        delivered[1].extend(from_a.iter().flat_map(|frame| accept(b, now, frame)));
        delivered[0].extend(from_b.iter().flat_map(|frame| accept(a, now, frame)));
    }
}
