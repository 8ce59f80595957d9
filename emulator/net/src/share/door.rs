//! Handing packets to the process that they belong to.
//!
//! Every process on an address has a door: a Unix datagram socket in the directory that only its user may enter.
//! What arrives in another process for it comes through there, with what the network told about it.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use ferroce_engine::{Ident, RxMeta};
use nix::unistd::Uid;

use crate::pieces::Pieces;
use crate::sys::fork::Cut;
use crate::sys::{self, Incoming};

/// A process's own door.
pub(super) struct Door {
    socket: Cut<UnixDatagram>,
    path: PathBuf,
}

/// Bytes of what the network told about packets.
pub(crate) const TOLD: usize = 48;
const VERSION: u8 = 1;

impl Door {
    /// Opens a door at `path`, in place of one that was left behind.
    pub(super) fn open(path: PathBuf) -> io::Result<Door> {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = UnixDatagram::bind(&path)?;
        socket.set_nonblocking(true)?;
        sys::set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_PASSCRED, 1)?;
        Ok(Door { socket: Cut::new(socket), path })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.get().as_fd()
    }

    /// Hands packets to the process whose door is at `path`.
    ///
    /// # Errors
    /// When there is none, or it does not come to take them.
    pub(super) fn hand_over(&self, path: &Path, pieces: &Pieces<'_>) -> io::Result<()> {
        let mut message = Vec::with_capacity(TOLD + pieces.bytes.len());
        message.extend(tell(&pieces.meta, pieces.segment));
        message.extend(pieces.bytes);
        self.socket.get().send_to(&message, path).map(drop)
    }

    /// The process was forked from the one whose door it is.
    pub(super) fn is_inherited(&self) -> bool {
        self.socket.is_inherited()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if !self.is_inherited() {
            // It stays behind if the directory is gone, which does no harm.
            std::fs::remove_file(&self.path).ok();
        }
    }
}

/// What came through a door. `None` when it makes no sense, or was sent by another user.
pub(super) fn parse<'a>(message: &Incoming<'a>) -> Option<Pieces<'a>> {
    if message.truncated || sender(message)? != Uid::effective().as_raw() {
        return None;
    }
    let (header, bytes) = message.bytes.split_first_chunk::<TOLD>()?;
    let (meta, segment) = parse_told(header)?;
    (!bytes.is_empty()).then_some(Pieces { meta, bytes, segment })
}

/// The user who sent a message, as the kernel vouches for.
fn sender(message: &Incoming<'_>) -> Option<u32> {
    let credentials = message
        .control
        .iter()
        .find(|(level, kind, _)| (*level, *kind) == (libc::SOL_SOCKET, libc::SCM_CREDENTIALS));
    // struct ucred: pid, uid, gid.
    credentials?.2.get(4..8)?.try_into().ok().map(u32::from_ne_bytes)
}

/// What the network told about packets, all of `segment` bytes but the last.
pub(crate) fn tell(meta: &RxMeta, segment: usize) -> [u8; TOLD] {
    let octets = |addr: IpAddr| match addr {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    let mut bytes = [0; TOLD];
    let (known, ident, flags) = match meta.ident {
        Ident::Known { ident, flags_fragment } => (1, ident, flags_fragment),
        Ident::Hidden { likely } => (0, likely, 0),
        Ident::Vouched => (2, 0, 0),
        Ident::Local { ident } => (3, ident, 0),
    };
    bytes[..4].copy_from_slice(&[VERSION, known, meta.traffic_class, 0]);
    bytes[4..8].copy_from_slice(&(segment as u32).to_ne_bytes());
    bytes[8..10].copy_from_slice(&meta.src_port.to_ne_bytes());
    bytes[10..12].copy_from_slice(&ident.to_ne_bytes());
    bytes[12..14].copy_from_slice(&flags.to_ne_bytes());
    bytes[16..32].copy_from_slice(&octets(meta.src));
    bytes[32..48].copy_from_slice(&octets(meta.dst));
    bytes
}

/// Reads what [`tell`] wrote; `None` for anything else.
pub(crate) fn parse_told(bytes: &[u8; TOLD]) -> Option<(RxMeta, usize)> {
    let half = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
    let addr = |at: usize| {
        let octets: [u8; 16] = std::array::from_fn(|index| bytes[at + index]);
        // Our sockets never show an IPv4 address in IPv6 clothes.
        IpAddr::V6(Ipv6Addr::from(octets)).to_canonical()
    };
    let [version, known, traffic_class, _, s0, s1, s2, s3, ..] = *bytes;
    let segment = u32::from_ne_bytes([s0, s1, s2, s3]) as usize;
    if version != VERSION || segment == 0 {
        return None;
    }
    let ident = match known {
        0 => Ident::Hidden { likely: half(10) },
        2 => Ident::Vouched,
        3 => Ident::Local { ident: half(10) },
        _ => Ident::Known { ident: half(10), flags_fragment: half(12) },
    };
    let meta = RxMeta { src: addr(16), dst: addr(32), src_port: half(8), traffic_class, ident };
    Some((meta, segment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_network_told_survives_the_door() {
        let ident = Ident::Known { ident: 77, flags_fragment: 0x4000 };
        for (src, ident) in [
            ("127.0.0.1", ident),
            ("127.0.0.2", Ident::Local { ident: 78 }),
            ("2001:db8::1", Ident::Hidden { likely: 5 }),
            ("::1", Ident::Vouched),
        ] {
            let src = src.parse().unwrap();
            let meta = RxMeta { src, dst: src, src_port: 4791, traffic_class: 3, ident };
            assert_eq!(parse_told(&tell(&meta, 1000)), Some((meta, 1000)));
        }
        assert_eq!(parse_told(&[0; TOLD]), None);
        assert_eq!(parse_told(&[VERSION; TOLD].map(|byte| byte * u8::from(byte != VERSION))), None);
    }
}
