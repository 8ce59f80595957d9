//! The TCP connection over which two ping-pong programs tell each other who they are, as the `ibv_*_pingpong`
//! examples of rdma-core do.
//!
//! The client connects and sends its destination; the server connects its queue pair, answers with its own; the
//! client connects its queue pair and says "done". The programs of rdma-core close the connection then. This one
//! keeps it open until it needs nothing more from its peer, says so, and waits for the peer to do the same:
//! whoever left early would not repeat an acknowledgement that was lost.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr, Shutdown, TcpStream};
use std::time::Duration;

use ferroce::{Psn, Qpn};

/// `LLLL:QQQQQQ:PPPPPP:` and 32 digits of the GID, all hexadecimal, and the zero that ends a string in C.
const MESSAGE: usize = 4 + 1 + 6 + 1 + 6 + 1 + 32 + 1;

/// What the client says when its queue pair is connected.
const DONE: &[u8; 5] = b"done\0";

/// What this program says when it needs nothing more. The originals have hung up by then.
const OVER: &[u8; 5] = b"over\0";

/// How long a peer may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    /// Local identifier; 0 on Ethernet.
    pub lid: u16,
    /// The queue pair.
    pub qpn: Qpn,
    /// The first PSN that it sends.
    pub psn: Psn,
    /// Its address; all zeros when the program was told none.
    pub gid: Ipv6Addr,
}

impl Destination {
    /// The address that the GID stands for, if there is one.
    pub(super) fn address(&self) -> Option<IpAddr> {
        let address = self.gid.to_ipv4_mapped().map_or(IpAddr::V6(self.gid), IpAddr::V4);
        (!self.gid.is_unspecified()).then_some(address)
    }

    /// The GID that stands for an address.
    pub(super) fn gid_of(address: IpAddr) -> Ipv6Addr {
        match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        }
    }

    fn to_message(self) -> [u8; MESSAGE] {
        let (lid, qpn, psn, gid) = (self.lid, self.qpn.value(), self.psn.value(), self.gid.to_bits());
        let text = format!("{lid:04x}:{qpn:06x}:{psn:06x}:{gid:032x}\0");
        text.into_bytes().try_into().expect("every field has its width")
    }

    fn parse(message: &[u8]) -> Option<Destination> {
        let text = std::str::from_utf8(message).ok()?;
        let mut fields = text.trim_end_matches('\0').split(':');
        let mut field = |digits: usize| {
            let field = fields.next()?;
            let is_hex = field.len() <= digits && field.bytes().all(|byte| byte.is_ascii_hexdigit());
            if is_hex { u128::from_str_radix(field, 16).ok() } else { None }
        };
        let destination = Destination {
            lid: field(4)? as u16,
            qpn: Qpn::new(field(6)? as u32),
            psn: Psn::new(field(6)? as u32),
            gid: Ipv6Addr::from_bits(field(32)?),
        };
        fields.next().is_none().then_some(destination)
    }
}

impl fmt::Display for Destination {
    /// As the originals print it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (qpn, psn) = (self.qpn.value(), self.psn.value());
        write!(f, "LID 0x{:04x}, QPN 0x{qpn:06x}, PSN 0x{psn:06x}, GID {}", self.lid, self.gid)
    }
}

/// The connection to the other program.
pub(super) struct SideChannel {
    stream: TcpStream,
}

/// How the peer took its leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// It needs nothing more.
    Over,
    /// It hung up without a word, as the originals do: perhaps it still waits for an acknowledgement.
    HungUp,
}

impl SideChannel {
    pub(super) fn new(stream: TcpStream) -> io::Result<SideChannel> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(SideChannel { stream })
    }

    /// Sends a destination, in one piece: the originals read it with one call.
    pub(super) fn send(&mut self, destination: Destination) -> io::Result<()> {
        self.stream.write_all(&destination.to_message())
    }

    /// Receives the peer's.
    pub(super) fn receive(&mut self) -> io::Result<Destination> {
        let mut message = [0; MESSAGE];
        self.stream.read_exact(&mut message)?;
        let garbled = || {
            let text = String::from_utf8_lossy(&message);
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{text:?} is not what a ping-pong program says"),
            )
        };
        Destination::parse(&message).ok_or_else(garbled)
    }

    /// Tells the server that the client's queue pair is connected.
    pub(super) fn send_done(&mut self) -> io::Result<()> {
        self.stream.write_all(DONE)
    }

    /// Waits for the client to tell so.
    pub(super) fn receive_done(&mut self) -> io::Result<()> {
        let mut done = [0; DONE.len()];
        self.stream.read_exact(&mut done)
    }

    /// Takes leave, and waits for the peer to do so.
    pub(super) fn part(mut self) -> Farewell {
        // The peer may have hung up, which the reading finds out.
        self.stream.write_all(OVER).ok();
        self.stream.shutdown(Shutdown::Write).ok();
        let mut word = [0; OVER.len()];
        match self.stream.read_exact(&mut word) {
            Ok(()) if word == *OVER => Farewell::Over,
            _ => Farewell::HungUp,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn destination(gid: &str) -> Destination {
        Destination { lid: 0, qpn: Qpn::new(0x11), psn: Psn::new(0xab_cdef), gid: gid.parse().unwrap() }
    }

    /// Two ends of a TCP connection.
    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn the_message_is_that_of_the_originals() {
        let expected = b"0000:000011:abcdef:00000000000000000000ffff0a4d0002\0";
        assert_eq!(&destination("::ffff:10.77.0.2").to_message(), expected);
        assert_eq!(Destination::parse(expected), Some(destination("::ffff:10.77.0.2")));
    }

    #[test]
    fn addresses_are_gids() {
        for address in ["10.77.0.2", "fd77::2"] {
            let address: IpAddr = address.parse().unwrap();
            let gid = Destination::gid_of(address);
            assert_eq!(Destination { gid, ..destination("::") }.address(), Some(address));
        }
        assert_eq!(destination("::").address(), None);
    }

    #[test]
    fn nonsense_is_refused() {
        let good = "0000:000011:abcdef:00000000000000000000ffff0a4d0002\0";
        let worse = [
            good.replace("0011", "001g"),
            good.replace("abcdef", "+bcdef"),
            good.replace(':', " "),
            good.replace("ffff0a4d0002\0", "ffff:4d0002\0"),
            "0000:000011:abcdef".to_owned(),
            String::new(),
        ];
        for message in worse {
            assert_eq!(Destination::parse(message.as_bytes()), None, "{message:?}");
        }
        let (client, mut server) = connection();
        server.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n\r\n\r\n").unwrap();
        let error = SideChannel::new(client).unwrap().receive().unwrap_err();
        assert!(error.to_string().contains("GET /"), "{error}");
    }

    #[test]
    fn an_original_hangs_up_and_ours_waits() {
        let (client, server) = connection();
        drop(server);
        assert_eq!(SideChannel::new(client).unwrap().part(), Farewell::HungUp);

        let (client, server) = connection();
        let there = std::thread::spawn(|| SideChannel::new(server).unwrap().part());
        assert_eq!(SideChannel::new(client).unwrap().part(), Farewell::Over);
        assert_eq!(there.join().unwrap(), Farewell::Over);
    }
}
