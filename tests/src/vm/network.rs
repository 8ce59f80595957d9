//! The Ethernet of a test run: a bridge with the host's test address and one tap per guest.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::kernel::Kernel;
use super::tools;

/// The host's test address; a Ferroce under test binds here.
pub const HOST_IPV4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The host's test address, IPv6.
pub const HOST_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
/// Bytes of an Ethernet payload; large enough for the 4096-byte path MTU.
pub const MTU: u32 = 9000;

pub(crate) const BRIDGE: &str = "ferroce0";

/// A NIC that is a machine of its own on the bridge, at the other end of a TAP interface.
pub const STATION: &str = "tap:nic0,10.77.0.9/24,fd77::9/64";
/// Its address.
pub const STATION_IPV4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);
/// Its address, IPv6.
pub const STATION_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 9);

/// Makes the bridge and the taps. Must run inside the sandbox: it changes the network of its namespace.
pub(super) fn create(kernels: &[Kernel]) -> Result<()> {
    ensure!(
        Path::new("/dev/net/tun").exists(),
        "no /dev/net/tun: load the module tun (or give the container the device)"
    );
    ip("link set lo up")?;
    // Without snooping the bridge hands on every multicast frame, IPv6 neighbour discovery among them.
    ip(&format!("link add {BRIDGE} mtu {MTU} type bridge mcast_snooping 0"))?;
    for tap in kernels.iter().map(|kernel| kernel.tap()).chain(["nic0".to_owned()]) {
        ip(&format!("tuntap add dev {tap} mode tap"))?;
        ip(&format!("link set {tap} mtu {MTU} master {BRIDGE} up"))?;
    }
    ip(&format!("addr add {HOST_IPV4}/24 dev {BRIDGE}"))?;
    ip(&format!("-6 addr add {HOST_IPV6}/64 dev {BRIDGE} nodad"))?;
    ip(&format!("link set {BRIDGE} up"))
}

fn ip(command: &str) -> Result<()> {
    let words: Vec<_> = command.split_whitespace().collect();
    tools::output("ip", &words).context("cannot make the test network").map(drop)
}
