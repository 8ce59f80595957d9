//! Settings of network interfaces, and TAP devices (netdevice(7), Linux tuntap.rst).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use super::{check, set_struct, socket};

/// The structure in which requests about an interface name it.
struct Request(libc::ifreq);

impl Request {
    fn new(name: &str) -> io::Result<Request> {
        // SAFETY: all zeros are a valid `ifreq`.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        // The last byte stays zero: it ends the name.
        if name.is_empty() || name.len() >= request.ifr_name.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        Ok(Request(request))
    }

    /// Asks the kernel with any socket.
    fn call(&mut self, code: libc::c_ulong) -> io::Result<()> {
        let socket = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
        // SAFETY: the codes used here read and write an `ifreq`, which this is.
        check(unsafe { libc::ioctl(socket.as_raw_fd(), code as _, &raw mut self.0) })
    }

    /// The number that an answer is, or a question contains: all members of that kind lie in one place.
    fn number(&self) -> i32 {
        // SAFETY: any bytes are a valid number, and the request was made of initialised ones.
        unsafe { self.0.ifr_ifru.ifru_mtu }
    }

    fn flags(&self) -> i16 {
        // SAFETY: as above.
        unsafe { self.0.ifr_ifru.ifru_flags }
    }
}

/// MTU of a network interface in bytes: the longest IP packet it takes.
pub(crate) fn interface_mtu(name: &str) -> io::Result<usize> {
    let mut request = Request::new(name)?;
    request.call(libc::SIOCGIFMTU)?;
    Ok(request.number().max(0) as usize)
}

/// Changes the MTU of a network interface.
pub(crate) fn set_interface_mtu(name: &str, bytes: usize) -> io::Result<()> {
    let mut request = Request::new(name)?;
    request.0.ifr_ifru.ifru_mtu = i32::try_from(bytes).map_err(io::Error::other)?;
    request.call(libc::SIOCSIFMTU)
}

/// Packets that can wait to be sent at an interface.
pub(crate) fn interface_queue(name: &str) -> io::Result<usize> {
    let mut request = Request::new(name)?;
    request.call(libc::SIOCGIFTXQLEN)?;
    Ok(request.number().max(0) as usize)
}

/// Whether an interface is up (`IFF_UP`), or even carries frames (`IFF_RUNNING`).
pub(crate) fn interface_is(name: &str, flag: i32) -> io::Result<bool> {
    let mut request = Request::new(name)?;
    request.call(libc::SIOCGIFFLAGS)?;
    Ok(i32::from(request.flags()) & flag != 0)
}

/// Puts an interface up.
pub(crate) fn set_interface_up(name: &str) -> io::Result<()> {
    let mut request = Request::new(name)?;
    request.call(libc::SIOCGIFFLAGS)?;
    request.0.ifr_ifru.ifru_flags = request.flags() | libc::IFF_UP as i16;
    request.call(libc::SIOCSIFFLAGS)
}

/// Hardware type (`ARPHRD_…`) and address of an interface.
pub(crate) fn interface_hardware(name: &str) -> io::Result<(u16, [u8; 6])> {
    let mut request = Request::new(name)?;
    request.call(libc::SIOCGIFHWADDR)?;
    // SAFETY: the call succeeded, so this is the member that is set.
    let addr = unsafe { request.0.ifr_ifru.ifru_hwaddr };
    let [a, b, c, d, e, f, ..] = addr.sa_data.map(|byte| byte as u8);
    Ok((addr.sa_family, [a, b, c, d, e, f]))
}

/// Opens the far end of a TAP interface. One that does not exist is made, and vanishes with the descriptor.
pub(crate) fn open_tap(name: &str) -> io::Result<OwnedFd> {
    let mut options = OpenOptions::new();
    let device: File = options.read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
    let mut request = Request::new(name)?;
    request.0.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as i16;
    // SAFETY: TUNSETIFF reads an `ifreq` and writes the name into it.
    check(unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request.0) })?;
    Ok(device.into())
}

/// Lets a packet socket receive what an interface would not take by itself: frames to another address
/// (`PACKET_MR_UNICAST`) or to a group (`PACKET_MR_MULTICAST`). Ends with the socket.
pub(crate) fn receive_also(fd: &OwnedFd, interface: u32, kind: i32, addr: [u8; 6]) -> io::Result<()> {
    membership(fd, libc::PACKET_ADD_MEMBERSHIP, interface, kind, addr)
}

/// Takes [`receive_also`] back.
pub(crate) fn receive_no_more(fd: &OwnedFd, interface: u32, kind: i32, addr: [u8; 6]) -> io::Result<()> {
    membership(fd, libc::PACKET_DROP_MEMBERSHIP, interface, kind, addr)
}

fn membership(fd: &OwnedFd, name: i32, interface: u32, kind: i32, addr: [u8; 6]) -> io::Result<()> {
    // struct packet_mreq: interface, type, length of the address, address.
    let mut request = [0; 16];
    request[..4].copy_from_slice(&interface.to_ne_bytes());
    request[4..6].copy_from_slice(&(kind as u16).to_ne_bytes());
    request[6..8].copy_from_slice(&(addr.len() as u16).to_ne_bytes());
    request[8..14].copy_from_slice(&addr);
    set_struct(fd.as_fd(), libc::SOL_PACKET, name, &request)
}
