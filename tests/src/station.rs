//! Ferroce as a machine of its own on the guests' Ethernet: what a guest sees of it besides RoCE.

use anyhow::{Result, ensure};
use ferroce_net::{MacAddr, Nic};

use crate::tally::Verdict;
use crate::vm::{Guest, STATION, STATION_IPV4, STATION_IPV6};

/// Scenarios that are played with it too: one of each operation.
pub const SCENARIOS: [&str; 5] =
    ["rc_send_ok", "rc_write_ok", "rc_read_ok", "rc_atomic_ok", "rc_write_bad_rkey"];

/// A guest finds it by ARP and by neighbour discovery, and pings it.
///
/// # Errors
/// When it cannot be opened, or the guest does not get its answers.
pub fn is_pinged(guest: &Guest) -> Result<Verdict> {
    let nic = Nic::builder().attach(STATION.parse()?).open()?;
    for address in [STATION_IPV4.to_string(), STATION_IPV6.to_string()] {
        // Forgotten first, so that it must be asked for.
        guest.check("ip neigh flush dev eth0")?;
        let text = guest.check(&format!("busybox ping -c 3 -W 10 {address}"))?;
        ensure!(text.contains("3 packets received"), "{text}");
        let neighbours = guest.check("ip neigh show dev eth0")?;
        let mac = MacAddr::derived_from(STATION_IPV4.into()).to_string();
        let is_it = |line: &str| line.starts_with(&format!("{address} ")) && line.contains(&mac);
        ensure!(neighbours.lines().any(is_it), "{address} is not at {mac}: {neighbours}");
    }
    let counters = nic.link_counters();
    ensure!((counters.rx_errors, counters.rx_checksum_errors) == (0, 0), "{counters:?}");
    Ok(Verdict::Passed)
}
