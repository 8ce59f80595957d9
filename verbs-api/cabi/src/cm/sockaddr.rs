//! Socket addresses, from C and to C.

use std::ffi::c_int;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::abi::Sockaddr;
use crate::border::{Errno, INVALID};

/// `AF_IB`, which names GIDs instead of addresses.
const AF_IB: c_int = 27;

/// An address of C.
///
/// # Safety
///
/// `from` is NULL or points to a socket address of the length that its family has.
pub(crate) unsafe fn from_c(from: *const libc::sockaddr) -> Result<SocketAddr, Errno> {
    let family = from.as_ref().ok_or(INVALID)?.sa_family;
    match c_int::from(family) {
        libc::AF_INET => {
            let from = &*from.cast::<libc::sockaddr_in>();
            let address = IpAddr::from(from.sin_addr.s_addr.to_ne_bytes());
            Ok(SocketAddr::new(address, u16::from_be(from.sin_port)))
        }
        libc::AF_INET6 => {
            let from = &*from.cast::<libc::sockaddr_in6>();
            let address = Ipv6Addr::from(from.sin6_addr.s6_addr);
            Ok(SocketAddr::new(address.into(), u16::from_be(from.sin6_port)))
        }
        AF_IB => Err(Errno(libc::EOPNOTSUPP)),
        _ => Err(Errno(libc::EAFNOSUPPORT)),
    }
}

/// An address for C, and its length in bytes.
pub(crate) fn to_c(from: SocketAddr) -> (Sockaddr, u32) {
    let mut to = Sockaddr { bytes: [0; 128] };
    let (family, len) = match from {
        SocketAddr::V4(v4) => {
            to.bytes[4..8].copy_from_slice(&v4.ip().octets());
            (libc::AF_INET, size_of::<libc::sockaddr_in>())
        }
        SocketAddr::V6(v6) => {
            to.bytes[8..24].copy_from_slice(&v6.ip().octets());
            (libc::AF_INET6, size_of::<libc::sockaddr_in6>())
        }
    };
    to.bytes[..2].copy_from_slice(&(family as u16).to_ne_bytes());
    to.bytes[2..4].copy_from_slice(&from.port().to_be_bytes());
    (to, len as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_way_through_c() {
        for text in ["192.0.2.1:7471", "[2001:db8::1]:80", "0.0.0.0:0"] {
            let address: SocketAddr = text.parse().unwrap();
            let (c, _) = to_c(address);
            // SAFETY: there is room for any socket address.
            assert_eq!(unsafe { from_c((&raw const c).cast()) }, Ok(address));
        }
        // SAFETY: NULL is allowed.
        assert_eq!(unsafe { from_c(std::ptr::null()) }, Err(INVALID));
    }
}
