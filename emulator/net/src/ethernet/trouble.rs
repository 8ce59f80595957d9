//! What went wrong on an Ethernet, kept until somebody asks.

use std::fmt;
use std::net::IpAddr;

use super::MacAddr;
use crate::link::Failure;

#[derive(Clone, Copy, Debug)]
pub(super) enum Trouble {
    /// The peer is on no network of the NIC's, and there is no router.
    NoRoute(IpAddr),
    /// Nobody says that this address is theirs.
    Unanswered(IpAddr),
    /// Another station has this address of ours too.
    Conflict(IpAddr, MacAddr),
    /// A router could not hand on a packet.
    Undeliverable { to: IpAddr, router: IpAddr, too_big: bool },
    /// A failed system call.
    System(Failure),
    /// The interface has gone.
    Vanished,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::NoRoute(to) => {
                write!(f, "{to} is on none of the NIC's networks, and it has no router: name one with via=")
            }
            Trouble::Unanswered(to) => write!(f, "no station answers for {to}"),
            Trouble::Conflict(addr, mac) => write!(f, "{addr} is also the address of the station {mac}"),
            Trouble::Undeliverable { to, router, too_big: true } => {
                write!(
                    f,
                    "packets to {to} are too long for the network behind {router}: use a smaller path MTU"
                )
            }
            Trouble::Undeliverable { to, router, too_big: false } => {
                write!(f, "{router} cannot deliver packets to {to}")
            }
            Trouble::System(failure) => failure.fmt(f),
            Trouble::Vanished => {
                f.write_str("the network interface has gone: open the NIC again when it is back")
            }
        }
    }
}
