//! What can go wrong when a device is put on a network, and what to do about it.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use ferroce_wire::{PathMtu, UDP_PORT};

/// Why a device could not be put on a network. Every message ends with the next step to take.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// Somebody else has UDP port 4791 of the address. NICs of one user do not get into each other's way.
    #[error("UDP port {UDP_PORT} of {addr} is in use: {}", in_use_advice(*.addr, *.rxe, *.holder))]
    PortInUse {
        /// The address.
        addr: IpAddr,
        /// The kernel's soft-RoCE driver is loaded, which takes the port on all addresses.
        rxe: bool,
        /// The user whose program has it, if the system tells.
        holder: Option<u32>,
    },
    /// There are as many NICs on the address as there can be.
    #[error(
        "{addr} has 255 devices, which is all that one address can have: close some, or use another address"
    )]
    NoLane {
        /// The address.
        addr: IpAddr,
    },
    /// The directory in which processes find each other cannot be used.
    #[error(
        "{} cannot be used to share addresses with other processes: {why}; make it a directory that only you may \
         enter (`chmod 700`), or name another one with FERROCE_RUNTIME_DIR, for all your Ferroce programs",
        .path.display()
    )]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The address belongs to another machine.
    #[error(
        "{addr} is not an address of this machine (or this network namespace): `ip address` lists those that are; \
         an IPv6 address it calls \"tentative\" will be one in a second"
    )]
    NotOurs {
        /// The address.
        addr: IpAddr,
    },
    /// No address was given.
    #[error("a device needs an address: name one of this machine's, or an interface; 127.0.0.1 always works")]
    NoAddress,
    /// The same address was given twice.
    #[error("{addr} was given twice: name each address of a device once")]
    Twice {
        /// The address.
        addr: IpAddr,
    },
    /// There is no interface of this name.
    #[error("there is no network interface {name:?}: this machine has {}", .known.join(", "))]
    NoInterface {
        /// The name.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// The interface has no address.
    #[error(
        "network interface {name} has no IP address: give it one with `ip address add ADDRESS/LENGTH dev {name}`"
    )]
    Unaddressed {
        /// Name of the interface.
        name: String,
    },
    /// Full packets would not fit through the interface.
    #[error(
        "path MTU {} needs an interface MTU of {}, but {interface} has {mtu}: {}",
        .wanted.bytes(), .wanted.bytes() + HEADROOM, mtu_advice(.interface, *.fits)
    )]
    MtuTooSmall {
        /// Name of the interface.
        interface: String,
        /// Its MTU in bytes.
        mtu: usize,
        /// The path MTU that was asked for, or the smallest there is.
        wanted: PathMtu,
        /// The largest path MTU that fits, if any does.
        fits: Option<PathMtu>,
    },
    /// The full check of the ICRC was asked for and needs a privilege.
    #[error(
        "checking all of the ICRC over IPv4 needs a packet socket, and this process may not open one: run it as \
         root or with CAP_NET_RAW (`setcap cap_net_raw+ep PROGRAM`), use IPv6, or accept the partial check"
    )]
    NoPermission(#[source] io::Error),
    /// A description of a station on an Ethernet contradicts itself.
    #[error("{why}")]
    Ethernet {
        /// What is wrong with it, and what would be right.
        why: String,
    },
    /// The NIC is to be a station of its own, with an address that the kernel answers for.
    #[error(
        "{addr} is an address of this machine ({interface}), and the kernel would answer for it: give the NIC another \
         of the same network, or run it on the kernel's UDP sockets, which share the address"
    )]
    OfThisMachine {
        /// The address.
        addr: IpAddr,
        /// The interface that has it.
        interface: String,
    },
    /// A TAP interface could not be opened.
    #[error("cannot open the TAP interface {name}: {}", tap_advice(.name, .source))]
    Tap {
        /// Name of the interface.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// A packet socket could not be opened.
    #[error("cannot open a packet socket at {name}: {}", packet_advice(.source))]
    Packet {
        /// Name of the interface.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The interface is down.
    #[error(
        "network interface {name} is down: `ip link set {name} up` puts it up, which needs CAP_NET_ADMIN"
    )]
    Down {
        /// Name of the interface.
        name: String,
    },
    /// The interface carries no Ethernet frames.
    #[error(
        "network interface {name} is no Ethernet: attach the NIC to one that is (`ip link` calls them link/ether), \
         or run it on UDP sockets"
    )]
    NotEthernet {
        /// Name of the interface.
        name: String,
    },
    /// The system refused something that should work.
    #[error("cannot {doing}: {source}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Bytes by which an interface's MTU should exceed a path MTU: IPv6 and UDP headers, the longest RoCEv2
/// headers, padding and ICRC, rounded up.
pub const HEADROOM: usize = 96;

impl NetError {
    /// For `map_err`: the system refused to `doing`.
    pub(crate) fn system(doing: &'static str) -> impl Fn(io::Error) -> NetError {
        move |source| NetError::System { doing, source }
    }
}

fn in_use_advice(addr: IpAddr, rxe: bool, holder: Option<u32>) -> String {
    let other = match addr {
        IpAddr::V4(addr) if addr.is_loopback() => " (all of 127.0.0.0/8 are addresses of this machine)",
        _ => "",
    };
    let own = nix::unistd::Uid::effective().as_raw();
    match holder {
        _ if rxe => {
            "the kernel module rdma_rxe is loaded and takes this port on every address; unload it with \
                     `modprobe -r rdma_rxe`, or run in another network namespace"
                .to_owned()
        }
        Some(user) if user != own => {
            format!(
                "a program of user {user} has it, and only NICs of one user share an address; stop it, or use another address{other}"
            )
        }
        _ => format!(
            "a program of yours has it that is no Ferroce NIC, or one that was started with another \
             FERROCE_RUNTIME_DIR; stop it, or use another address{other}"
        ),
    }
}

fn tap_advice(name: &str, error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => format!(
            "{error}; run it with CAP_NET_ADMIN (as root, or `setcap cap_net_admin+ep PROGRAM`), or have root make \
             the interface for you once: `ip tuntap add dev {name} mode tap user $USER && ip link set {name} up`"
        ),
        Some(libc::EBUSY) => "another program has its other end; stop it, or use another name".to_owned(),
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => format!(
            "/dev/net/tun is not there ({error}); `modprobe tun`, or give the container the device \
             (`--device /dev/net/tun`)"
        ),
        Some(libc::EINVAL) => {
            format!("{error}; is there an interface {name} that is no TAP interface? `ip link` lists them")
        }
        _ if error.kind() == io::ErrorKind::InvalidInput => "a name has 1 to 15 bytes".to_owned(),
        _ => error.to_string(),
    }
}

fn packet_advice(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => format!(
            "{error}; run it with CAP_NET_RAW (as root, or `setcap cap_net_raw+ep PROGRAM`), or use UDP sockets, \
             which need no privilege"
        ),
        _ => error.to_string(),
    }
}

fn mtu_advice(interface: &str, fits: Option<PathMtu>) -> String {
    match fits {
        Some(fits) => format!(
            "use path MTU {}, or raise the interface's MTU with `ip link set {interface} mtu BYTES` on all machines",
            fits.bytes()
        ),
        None => format!("no path MTU fits; raise it with `ip link set {interface} mtu 1500`"),
    }
}
