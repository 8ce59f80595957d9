//! Whether a NIC can be a machine of its own on an Ethernet.

use std::fs;
use std::io;
use std::path::Path;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use serde::Serialize;

/// What this process may do for NICs with `--link tap:` and `--link raw:`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stations {
    /// Why no TAP interface can be opened at all, if so.
    pub tap_problem: Option<String>,
    /// TAP interfaces that do not exist can be made (CAP_NET_ADMIN). Without, one must have been made for this user.
    pub makes_taps: bool,
    /// Why no packet socket can be opened, if so.
    pub raw_problem: Option<String>,
}

impl Stations {
    /// Looks. Opens a packet socket for a moment, and changes nothing.
    pub fn probe() -> Stations {
        let tun = fs::OpenOptions::new().read(true).write(true).open(TUN);
        let packets = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None);
        Stations {
            tap_problem: tun.err().map(|error| tap_problem(&error)),
            makes_taps: has_net_admin(&fs::read_to_string("/proc/self/status").unwrap_or_default()),
            raw_problem: packets.err().map(|errno| io::Error::from(errno).to_string()),
        }
    }
}

const TUN: &str = "/dev/net/tun";

fn tap_problem(error: &io::Error) -> String {
    if Path::new(TUN).exists() { format!("{TUN}: {error}") } else { format!("there is no {TUN}") }
}

/// Reads `CapEff` of proc(5).
fn has_net_admin(status: &str) -> bool {
    const CAP_NET_ADMIN: u32 = 12;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    bits.unwrap_or(0) & 1 << CAP_NET_ADMIN != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_from_the_status() {
        assert!(has_net_admin("Name:\tx\nCapEff:\t000001ffffffffff\n"));
        assert!(!has_net_admin("Name:\tx\nCapEff:\t0000000000002000\n"));
        assert!(!has_net_admin("nonsense"));
    }
}
