//! What a NIC at one address would be like.

use std::net::IpAddr;

use ferroce_net::{IcrcCheck, IcrcMode, Link, NetError, UdpLink};
use serde::Serialize;

/// What a NIC at one address would be like, found out by opening its sockets for a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Port {
    /// All of the ICRC of received packets can be checked, instead of 16 of its 32 bits.
    pub full_icrc: bool,
    /// Why not all of it.
    pub icrc_reason: Option<String>,
    /// Bytes that can wait to be received, with the kernel's own bookkeeping.
    pub receive_buffer: usize,
}

impl Port {
    /// Opens sockets at `address` and closes them again.
    ///
    /// # Errors
    /// When a NIC there could not be opened either, for instance because there is one already.
    pub fn probe(address: IpAddr, icrc: IcrcCheck) -> Result<Port, NetError> {
        let info = UdpLink::open(&[address], icrc)?.info();
        let port = info.ports.into_iter().next().ok_or(NetError::NoAddress)?;
        Ok(Port {
            full_icrc: port.icrc == IcrcMode::Full,
            icrc_reason: port.icrc_reason,
            receive_buffer: port.receive_buffer,
        })
    }
}
