//! Recordings of one end, which know of the others only their packets.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use ferroce_engine::TraceEvent;
use ferroce_recording::{HostRecord, Record, What};
use ferroce_wire::{Opcode, Packet, Psn};

use super::Film;

/// Others who are told apart; whoever comes later stays with the last of them.
const OTHERS: usize = 256;
/// The NIC whose recording it is.
const TELLER: u32 = 0;
/// Packets of which a NIC has told and that have not left yet.
const TRAIN: usize = 1024;

/// Gives everybody a host of their own who was recorded under the one without addresses.
pub(super) fn tell_apart(film: &mut Film) {
    let Some(nameless) = film.hosts.iter().position(|host| host.addresses.is_empty()) else { return };
    let Film { hosts, frames, .. } = film;
    let mut known: HashMap<IpAddr, u32> = HashMap::new();
    let mut host = |address: IpAddr| {
        if let Some(host) = known.get(&address) {
            return *host;
        }
        let named = HostRecord { name: address.to_string(), addresses: vec![address] };
        let number = match known.len() {
            // The first takes the place of the nameless one.
            0 => {
                hosts[nameless] = named;
                nameless
            }
            OTHERS.. => hosts.len() - 1,
            _ => {
                hosts.push(named);
                hosts.len() - 1
            }
        } as u32;
        known.insert(address, number);
        number
    };
    for frame in frames {
        let What::Packet(packet) = &mut frame.what else { continue };
        if frame.host as usize == nameless {
            frame.host = host(packet.src);
        }
        if packet.to == Some(nameless as u32) {
            packet.to = Some(host(packet.dst));
        }
    }
    film.frames = one_by_one(std::mem::take(&mut film.frames));
    let end = &film.hosts[0].name;
    film.remarks.push(format!("Recorded at {end}'s end: a loss beyond it shows as a gap, if at all."));
}

/// Puts each packet behind the event that tells of it. A NIC tells of a train of packets before any of them leaves; who
/// steps through the run wants to see them go one by one.
fn one_by_one(frames: Vec<Record>) -> Vec<Record> {
    let mut told: VecDeque<(usize, Opcode, Psn)> = VecDeque::new();
    let mut leaves: HashMap<usize, usize> = HashMap::new();
    for (index, frame) in frames.iter().enumerate() {
        match &frame.what {
            What::Device(TraceEvent::Sent { opcode, psn, .. }) => {
                // A train leaves in the moment in which it was told of.
                told.retain(|(earlier, ..)| frames[*earlier].at == frame.at);
                if told.len() == TRAIN {
                    told.pop_front();
                }
                told.push_back((index, *opcode, *psn));
            }
            What::Packet(packet) if frame.host == TELLER => {
                let Ok(packet) = Packet::parse(&packet.bytes) else { continue };
                let bth = packet.headers.bth;
                let is_it = |(at, opcode, psn): &(usize, Opcode, Psn)| {
                    (*opcode, *psn) == (bth.opcode, bth.psn) && frames[*at].at == frame.at
                };
                if let Some(which) = told.iter().position(is_it)
                    && let Some((at, ..)) = told.remove(which)
                {
                    leaves.insert(at, index);
                }
            }
            _ => {}
        }
    }
    let mut frames: Vec<Option<Record>> = frames.into_iter().map(Some).collect();
    let mut ordered = Vec::with_capacity(frames.len());
    for index in 0..frames.len() {
        ordered.extend(frames[index].take());
        if let Some(packet) = leaves.get(&index) {
            ordered.extend(frames[*packet].take());
        }
    }
    ordered
}
