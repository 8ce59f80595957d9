//! Recordings of one end, which know of the others only their packets.

use std::collections::HashMap;
use std::net::IpAddr;

use ferroce_recording::{HostRecord, What};

use super::Film;

/// Others who are told apart; whoever comes later stays with the last of them.
const OTHERS: usize = 256;

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
    let end = &film.hosts[0].name;
    film.remarks.push(format!(
        "Recorded at {end}'s end: what is lost beyond it does not show as lost, and packets arrive when it saw them."
    ));
}
