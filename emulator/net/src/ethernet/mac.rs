//! Ethernet addresses.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use smoltcp::wire::EthernetAddress;

/// The address of a station on an Ethernet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    pub(super) const BROADCAST: MacAddr = MacAddr([0xff; 6]);

    /// One for a station with this IP address: locally administered, the same every time, and different from
    /// those of all stations of the network that are named like this, because their IP addresses are.
    pub fn derived_from(addr: IpAddr) -> MacAddr {
        let [a, b, c, d] = match addr {
            IpAddr::V4(addr) => addr.octets(),
            IpAddr::V6(addr) => {
                let words: [u32; 4] = std::array::from_fn(|word| (addr.to_bits() >> (32 * word)) as u32);
                // Neighbours differ in the lowest word mostly, which stays as it is in the usual networks.
                (words[0] ^ words[1].rotate_left(16) ^ words[2].rotate_left(8) ^ words[3]).to_be_bytes()
            }
        };
        MacAddr([0x02, 0xfe, a, b, c, d])
    }

    /// True for broadcast and multicast.
    pub(super) fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether it can belong to a station.
    pub(super) fn is_station(self) -> bool {
        !self.is_group() && self.0 != [0; 6]
    }

    /// Where frames to a multicast group go (RFC 1112 section 6.4, RFC 2464 section 7).
    pub(super) fn of_group(group: IpAddr) -> MacAddr {
        match group {
            IpAddr::V4(group) => {
                let [_, b, c, d] = group.octets();
                MacAddr([0x01, 0x00, 0x5e, b & 0x7f, c, d])
            }
            IpAddr::V6(group) => {
                let [.., a, b, c, d] = group.octets();
                MacAddr([0x33, 0x33, a, b, c, d])
            }
        }
    }

    /// The link-local address that a station makes from its own address (RFC 4291 appendix A).
    pub(super) fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0;
        let pair = |high, low| u16::from_be_bytes([high, low]);
        Ipv6Addr::new(0xfe80, 0, 0, 0, pair(a ^ 2, b), pair(c, 0xff), pair(0xfe, d), pair(e, f))
    }
}

impl From<EthernetAddress> for MacAddr {
    fn from(addr: EthernetAddress) -> MacAddr {
        MacAddr(addr.0)
    }
}

impl From<MacAddr> for EthernetAddress {
    fn from(addr: MacAddr) -> EthernetAddress {
        EthernetAddress(addr.0)
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MacAddr {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<MacAddr, &'static str> {
        const WRONG: &str = "an Ethernet address is six bytes in hexadecimal, such as 02:00:00:00:00:01";
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let is_byte =
                |part: &&str| part.len() <= 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
            let part = parts.next().filter(is_byte).ok_or(WRONG)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| WRONG)?;
        }
        if parts.next().is_some() { Err(WRONG) } else { Ok(MacAddr(bytes)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_as_it_is_written() {
        let mac: MacAddr = "02:fe:0a:0:0:2".parse().unwrap();
        assert_eq!(mac.to_string(), "02:fe:0a:00:00:02");
        for wrong in ["", "02:fe:0a:00:00", "02:fe:0a:00:00:02:03", "02:fe:0a:00:00:+2", "02-fe-0a-00-00-02"]
        {
            assert!(wrong.parse::<MacAddr>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_follow_from_each_other_as_the_rfcs_have_it() {
        let v4 = MacAddr::derived_from("10.0.0.2".parse().unwrap());
        assert_eq!(v4.to_string(), "02:fe:0a:00:00:02");
        assert_eq!(v4.link_local().to_string(), "fe80::fe:aff:fe00:2");
        assert_ne!(
            MacAddr::derived_from("fd00::2".parse().unwrap()),
            MacAddr::derived_from("fd00::3".parse().unwrap())
        );
        let of_group = |text: &str| MacAddr::of_group(text.parse().unwrap()).to_string();
        assert_eq!(of_group("239.129.2.3"), "01:00:5e:01:02:03");
        assert_eq!(of_group("ff02::1:ff00:2"), "33:33:ff:00:00:02");
    }
}
