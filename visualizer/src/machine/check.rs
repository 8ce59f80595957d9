//! What this machine lacks for each feature, and how to get it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::process::{Command, Stdio};

use ferroce_net::{IcrcCheck, NetError};
use serde::Serialize;

use super::interface::interfaces;
use super::offload::Offload;
use super::port::Port;
use super::station::Stations;

/// How a feature stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It is there.
    Good,
    /// Ferroce works without it, with the limits that are told.
    Limited,
    /// Ferroce does not work without it.
    Missing,
}

/// One look at the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub feature: &'static str,
    /// How it stands.
    pub standing: Standing,
    /// What was found.
    pub found: String,
    /// What it takes to have it, if it is not there.
    pub remedy: Option<String>,
}

impl Check {
    fn good(feature: &'static str, found: impl Into<String>) -> Check {
        Check { feature, standing: Standing::Good, found: found.into(), remedy: None }
    }

    fn limited(feature: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Check {
        Check { feature, standing: Standing::Limited, found: found.into(), remedy: Some(remedy.into()) }
    }

    fn missing(feature: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Check {
        Check { feature, standing: Standing::Missing, found: found.into(), remedy: Some(remedy.into()) }
    }
}

/// Looks at everything. Opens sockets at loopback addresses for a moment, and changes nothing.
pub fn checks() -> Vec<Check> {
    let (port, port_check) = match free_port(IcrcCheck::Partial) {
        Ok((address, port)) => (Some(port), Check::good(PORT, format!("free at {address}"))),
        Err(error) => (None, no_port(&error)),
    };
    let mut checks = vec![port_check];
    checks.extend(port.is_some().then(icrc));
    checks.extend(port.map(|port| receive_buffer(port.receive_buffer)));
    checks.push(offload(Offload::probe()));
    checks.push(ipv6());
    checks.extend(mtus());
    checks.extend(stations(&Stations::probe()));
    checks.push(namespaces());
    checks
}

const PORT: &str = "UDP port 4791";

/// Addresses of 127.0.0.0/8 to try; some may have NICs.
const ADDRESSES: u8 = 32;

/// A loopback address at which no NIC runs.
fn free_port(icrc: IcrcCheck) -> Result<(IpAddr, Port), NetError> {
    let mut result = Err(NetError::NoAddress);
    for last in 1..=ADDRESSES {
        let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
        result = Port::probe(address, icrc).map(|port| (address, port));
        if !matches!(result, Err(NetError::PortInUse { .. })) {
            break;
        }
    }
    result
}

/// Our errors say what is wrong, a colon, and what to do.
fn no_port(error: &NetError) -> Check {
    let text = error.to_string();
    let (found, remedy) = text.split_once(": ").unwrap_or((&text, "see what refuses it, with strace"));
    Check::missing(PORT, found, remedy)
}

fn icrc() -> Check {
    const FEATURE: &str = "full ICRC check over IPv4";
    match free_port(IcrcCheck::Full) {
        Ok(_) => Check::good(FEATURE, "packet sockets may be opened"),
        Err(error) => Check::limited(
            FEATURE,
            format!(
                "one damaged packet in 65 536 would go unnoticed, as no packet socket may be opened{}",
                match error {
                    NetError::NoPermission(cause) => format!(" ({cause})"),
                    other => format!(" ({other})"),
                }
            ),
            "'sudo setcap cap_net_raw+ep $(command -v ferroce)', or run as root; IPv6 needs neither",
        ),
    }
}

/// Bytes below which a burst at full speed is likely to be lost.
const ENOUGH_BUFFER: usize = 4 << 20;

fn receive_buffer(bytes: usize) -> Check {
    const FEATURE: &str = "socket buffers";
    let found = format!("{} KiB for packets that wait to be received", bytes >> 10);
    if bytes >= ENOUGH_BUFFER {
        return Check::good(FEATURE, found);
    }
    let found = format!("{found}; Ferroce keeps fewer packets under way, and is slower");
    Check::limited(FEATURE, found, "'sudo sysctl -w net.core.rmem_max=8388608 net.core.wmem_max=8388608'")
}

fn offload(offload: Offload) -> Check {
    const FEATURE: &str = "trains of packets";
    match (offload.segmentation, offload.joining) {
        (true, true) => Check::good(FEATURE, "the kernel has UDP_SEGMENT and UDP_GRO"),
        (segmentation, _) => {
            let what = if segmentation { "UDP_GRO" } else { "UDP_SEGMENT" };
            let found = format!("the kernel has no {what}: every packet costs a system call");
            Check::limited(FEATURE, found, "run Linux 5.0 or later; sandboxes such as gVisor lack it too")
        }
    }
}

fn ipv6() -> Check {
    const FEATURE: &str = "IPv6";
    match UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
        Ok(_) => Check::good(FEATURE, "::1 is there"),
        Err(error) => Check::limited(
            FEATURE,
            format!("NICs can have IPv4 addresses only: ::1 is not there ({error})"),
            "'sudo sysctl -w net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.lo.disable_ipv6=0'",
        ),
    }
}

/// One check for every interface that leads elsewhere.
fn mtus() -> Vec<Check> {
    const FEATURE: &str = "interface MTU";
    let interfaces = match interfaces() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            let found = format!("the network interfaces cannot be listed ({error})");
            return vec![Check::limited(FEATURE, found, "name addresses, not interfaces")];
        }
    };
    let elsewhere = interfaces.iter().filter(|interface| interface.up && !interface.loopback);
    let check = |(name, mtu, path_mtu): (&str, usize, Option<usize>)| match path_mtu {
        Some(4096) => Check::good(FEATURE, format!("{name} has {mtu}: path MTUs up to 4096")),
        Some(fits) => Check::limited(
            FEATURE,
            format!("{name} has {mtu}: path MTUs up to {fits}"),
            format!(
                "for 4096, 'sudo ip link set {name} mtu 9000', on all machines and switches between them"
            ),
        ),
        None => Check::limited(
            FEATURE,
            format!("{name} has {mtu}: too small for any path MTU, no NIC can run there"),
            format!("'sudo ip link set {name} mtu 1500'"),
        ),
    };
    elsewhere.map(|interface| check((&interface.name, interface.mtu, interface.path_mtu))).collect()
}

/// NICs that are machines of their own.
fn stations(found: &Stations) -> [Check; 2] {
    const TAP: &str = "--link tap:";
    const RAW: &str = "--link raw:";
    let tap = match &found.tap_problem {
        Some(problem) => Check::limited(
            TAP,
            format!("no NIC can be attached to a TAP interface: {problem}"),
            "'sudo modprobe tun'; a container needs '--device /dev/net/tun'",
        ),
        None if found.makes_taps => Check::good(TAP, "TAP interfaces may be made"),
        None => Check::limited(
            TAP,
            "TAP interfaces may not be made by this process, only used",
            "'sudo ip tuntap add dev ferroce0 mode tap user $USER' and 'sudo ip link set ferroce0 up', once; or \
             'sudo setcap cap_net_admin,cap_net_raw+ep $(command -v ferroce)'",
        ),
    };
    let raw = match &found.raw_problem {
        None => Check::good(RAW, "packet sockets may be opened at network interfaces"),
        Some(problem) => Check::limited(
            RAW,
            format!("no NIC can be attached to a network interface beside the kernel: {problem}"),
            "'sudo setcap cap_net_raw+ep $(command -v ferroce)', or run as root; UDP sockets need neither",
        ),
    };
    [tap, raw]
}

/// Networks of one's own, for tests that need more than loopback.
fn namespaces() -> Check {
    const FEATURE: &str = "network namespaces";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "true"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => {
            Check::good(FEATURE, "can be made without privileges, for tests with networks of their own")
        }
        Ok(_) => Check::limited(
            FEATURE,
            "cannot be made without privileges: tests with networks of their own are skipped",
            "'sudo sysctl -w user.max_user_namespaces=10000', on Ubuntu also \
             'sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0'; in a container, allow unshare",
        ),
        Err(_) => {
            Check::limited(FEATURE, "the program unshare is not there", "'sudo apt install util-linux'")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_good_has_a_remedy() {
        for check in checks() {
            assert_eq!(check.standing == Standing::Good, check.remedy.is_none(), "{check:?}");
        }
    }

    #[test]
    fn small_buffers_and_old_kernels_are_limits() {
        assert_eq!(receive_buffer(8 << 20).standing, Standing::Good);
        let small = receive_buffer(212_992);
        assert_eq!(small.standing, Standing::Limited);
        assert!(small.remedy.is_some_and(|remedy| remedy.contains("net.core.rmem_max")));
        let old = offload(Offload { segmentation: true, joining: false });
        assert!(old.standing == Standing::Limited && old.found.contains("UDP_GRO"), "{old:?}");
    }

    #[test]
    fn what_stations_lack_is_told_with_the_privilege() {
        let found =
            Stations { tap_problem: None, makes_taps: false, raw_problem: Some("not permitted".to_owned()) };
        let [tap, raw] = stations(&found).map(|check| check.remedy.unwrap());
        assert!(tap.contains("user $USER") && tap.contains("cap_net_admin"), "{tap}");
        assert!(raw.contains("cap_net_raw"), "{raw}");
        let found = Stations { tap_problem: None, makes_taps: true, raw_problem: None };
        assert!(stations(&found).iter().all(|check| check.standing == Standing::Good));
    }

    #[test]
    fn a_port_that_is_taken_is_essential() {
        let taken =
            no_port(&NetError::PortInUse { addr: "127.0.0.1".parse().unwrap(), rxe: true, holder: None });
        assert_eq!(taken.standing, Standing::Missing);
        assert!(taken.remedy.is_some_and(|remedy| remedy.contains("modprobe -r rdma_rxe")));
    }
}
