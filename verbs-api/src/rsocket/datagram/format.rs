//! What datagram sockets say: a header before the data, and messages by UDP with which they find each other's queue
//! pairs. The format is that of librdmacm 1.x, found in its source.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ferroce_engine::Qpn;

/// Before the data of every datagram: the address and port that it comes from.
pub(super) fn source_header(from: SocketAddr) -> Vec<u8> {
    let port = from.port().to_be_bytes();
    match from.ip() {
        IpAddr::V4(ip) => [&[4, 8], &port[..], &ip.octets()].concat(),
        IpAddr::V6(ip) => [&[6, 24], &port[..], &[0; 4], &ip.octets()].concat(),
    }
}

/// Where a datagram comes from, and its data; `None` if it does not begin with such a header.
pub(super) fn split_source(bytes: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let (&[version, len, p0, p1], rest) = bytes.split_first_chunk()?;
    let (ip, data) = match (version, len) {
        (4, 8) => {
            let (ip, data) = rest.split_first_chunk::<4>()?;
            (IpAddr::V4(Ipv4Addr::from(*ip)), data)
        }
        (6, 24) => {
            let (_flow, rest) = rest.split_first_chunk::<4>()?;
            let (ip, data) = rest.split_first_chunk::<16>()?;
            (IpAddr::V6(Ipv6Addr::from(*ip)), data)
        }
        _ => return None,
    };
    Some((SocketAddr::new(ip, u16::from_be_bytes([p0, p1])), data))
}

/// What a message by UDP is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It carries a datagram, and asks for the receiver's queue pair.
    Data,
    /// It tells the sender's queue pair.
    Tell,
}

/// A message by UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub purpose: Purpose,
    /// The sender's queue pair.
    pub qpn: Qpn,
    /// The address that the queue pair has.
    pub address: IpAddr,
    pub data: &'a [u8],
}

const TAG: [u8; 4] = [0x55; 4];
const OP_DATA: u8 = 0;
const OP_CONTROL: u8 = 7;

impl<'a> Message<'a> {
    pub(super) fn emit(&self) -> Vec<u8> {
        let op = if self.purpose == Purpose::Data { OP_DATA } else { OP_CONTROL };
        let (version, len) = if self.address.is_ipv4() { (4, 16) } else { (6, 28) };
        let mut out = [&TAG[..], &[version, op, len, 0], &self.qpn.value().to_be_bytes()].concat();
        match self.address {
            IpAddr::V4(ip) => out.extend(ip.octets()),
            IpAddr::V6(ip) => out.extend(ip.octets()),
        }
        out.extend(self.data);
        out
    }

    /// `None` for whatever is no such message.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Message<'a>> {
        let (head, rest) = bytes.split_first_chunk::<12>()?;
        let &[t0, t1, t2, t3, version, op, len, _, _, q0, q1, q2] = head;
        if [t0, t1, t2, t3] != TAG {
            return None;
        }
        let (address, data) = match (version, len) {
            (4, 16) => {
                let (ip, data) = rest.split_first_chunk::<4>()?;
                (IpAddr::V4(Ipv4Addr::from(*ip)), data)
            }
            (6, 28) => {
                let (ip, data) = rest.split_first_chunk::<16>()?;
                (IpAddr::V6(Ipv6Addr::from(*ip)), data)
            }
            _ => return None,
        };
        let purpose = match op {
            OP_DATA => Purpose::Data,
            OP_CONTROL => Purpose::Tell,
            _ => return None,
        };
        let qpn = Qpn::new(u32::from_be_bytes([0, q0, q1, q2]));
        Some(Message { purpose, qpn, address, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_laid_out_as_in_librdmacm() {
        let v4: SocketAddr = "10.77.0.2:7174".parse().unwrap();
        assert_eq!(source_header(v4), [4, 8, 0x1c, 0x06, 10, 77, 0, 2]);
        let v6: SocketAddr = "[2001:db8::7]:80".parse().unwrap();
        assert_eq!(source_header(v6).len(), 24);
        for from in [v4, v6] {
            let bytes = [source_header(from), b"data".to_vec()].concat();
            assert_eq!(split_source(&bytes), Some((from, &b"data"[..])));
            assert!((0..bytes.len() - 4).all(|len| split_source(&bytes[..len]).is_none()));
        }
        assert_eq!(split_source(&[4, 24, 0, 0, 0, 0, 0, 0, 0]), None);
    }

    #[test]
    fn messages_by_udp_are_laid_out_as_in_librdmacm() {
        let message = Message {
            purpose: Purpose::Tell,
            qpn: Qpn::new(0x01_0203),
            address: "10.77.0.2".parse().unwrap(),
            data: b"x",
        };
        let bytes = message.emit();
        assert_eq!(bytes, [0x55, 0x55, 0x55, 0x55, 4, 7, 16, 0, 0, 1, 2, 3, 10, 77, 0, 2, b'x']);
        assert_eq!(Message::parse(&bytes), Some(message));
        let v6 = Message { purpose: Purpose::Data, address: "2001:db8::7".parse().unwrap(), ..message };
        assert_eq!(v6.emit().len(), 29);
        assert_eq!(Message::parse(&v6.emit()), Some(v6));
        for (at, value) in [(0, 0), (4, 5), (5, 1), (6, 12)] {
            let mut wrong = bytes.clone();
            wrong[at] = value;
            assert_eq!(Message::parse(&wrong), None, "byte {at}");
        }
        assert!((0..16).all(|len| Message::parse(&bytes[..len]).is_none()));
    }
}
