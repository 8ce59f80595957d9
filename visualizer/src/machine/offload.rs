//! What the kernel does for trains of packets.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socket, sockopt};
use serde::Serialize;

/// Offloads of UDP, without which every packet costs a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Offload {
    /// The kernel cuts a train into packets (`UDP_SEGMENT`, Linux 4.18).
    pub segmentation: bool,
    /// The kernel joins packets that arrive together (`UDP_GRO`, Linux 5.0).
    pub joining: bool,
}

impl Offload {
    /// Asks the kernel.
    pub fn probe() -> Offload {
        let accepts = |set: fn(&OwnedFd) -> Result<(), Errno>| {
            let any = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None);
            any.is_ok_and(|socket| set(&socket).is_ok())
        };
        Offload {
            segmentation: accepts(|socket| setsockopt(socket, sockopt::UdpGsoSegment, &1024)),
            joining: accepts(|socket| setsockopt(socket, sockopt::UdpGroSegment, &true)),
        }
    }
}
