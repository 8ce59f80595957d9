//! How a NIC stands on an Ethernet, in values and as text.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::MacAddr;
use crate::error::NetError;
use crate::interface::is_link_local;

/// A NIC as a station of its own on an Ethernet, with its own Ethernet and IP addresses.
///
/// It answers ARP, neighbour discovery and `ping`, and finds its neighbours by itself; the network of the kernel
/// has no part in it. As text, which is what commands take: how it is attached, then addresses and settings,
/// separated by commas.
///
/// ```
/// # use ferroce_net::Ethernet;
/// // A TAP interface: the kernel, or a bridge, is the station at the other end.
/// let _: Ethernet = "tap:ferroce0,10.0.0.2/24,fd00::2/64".parse()?;
/// // Another station beside the kernel on eth0, on VLAN 5, with a way to other networks.
/// let _: Ethernet = "raw:eth0,10.5.0.77/24,via=10.5.0.1,vlan=5".parse()?;
/// # Ok::<_, ferroce_net::NetError>(())
/// ```
///
/// | setting | |
/// | --- | --- |
/// | `via=ADDRESS` | router for peers outside the networks of its own addresses; one for IPv4, one for IPv6 |
/// | `mac=ADDRESS` | its Ethernet address; without this, one that follows from its first IP address |
/// | `mac=host` | with `raw:`, the interface's own Ethernet address |
/// | `vlan=ID` | the VLAN, 1 to 4094; 0 for frames that have a priority and no VLAN |
/// | `pcp=PRIORITY` | the 802.1Q priority of all frames, 0 to 7; without this, the upper three bits of the DSCP |
/// | `mtu=BYTES` | with `tap:`, MTU of a TAP interface that is made for the NIC; 1500 if nothing is said |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ethernet {
    pub(super) cable: Cable,
    pub(super) addresses: Vec<Subnet>,
    pub(super) gateways: Vec<IpAddr>,
    pub(super) mac: MacChoice,
    pub(super) vlan: Option<u16>,
    pub(super) priority: Option<u8>,
    pub(super) mtu: Option<usize>,
}

/// Where the frames go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cable {
    /// A TAP interface of this name.
    Tap(String),
    /// The network interface of this name, through a packet socket.
    Packet(String),
}

/// Which Ethernet address the NIC has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MacChoice {
    Derived,
    Fixed(MacAddr),
    Host,
}

impl Ethernet {
    /// At a TAP interface, which is made if there is none of this name, and then lives as long as the NIC.
    pub fn tap(name: impl Into<String>) -> Ethernet {
        Ethernet::new(Cable::Tap(name.into()))
    }

    /// At a network interface of this machine, beside the kernel. The two do not hear each other.
    pub fn raw(interface: impl Into<String>) -> Ethernet {
        Ethernet::new(Cable::Packet(interface.into()))
    }

    fn new(cable: Cable) -> Ethernet {
        Ethernet {
            cable,
            addresses: Vec::new(),
            gateways: Vec::new(),
            mac: MacChoice::Derived,
            vlan: None,
            priority: None,
            mtu: None,
        }
    }

    /// Adds an IP address with its network. The first one gets GID index 0.
    pub fn address(mut self, subnet: Subnet) -> Ethernet {
        self.addresses.push(subnet);
        self
    }

    /// Names the router for peers that are on no network of the NIC's own.
    pub fn gateway(mut self, router: IpAddr) -> Ethernet {
        self.gateways.push(router);
        self
    }

    /// The NIC's Ethernet address, instead of one that follows from its first IP address.
    pub fn mac(self, mac: MacAddr) -> Ethernet {
        Ethernet { mac: MacChoice::Fixed(mac), ..self }
    }

    /// Gives the NIC the Ethernet address of the interface, for networks that know no second address on one
    /// port, such as wireless ones and many of cloud providers. Only for [`raw`](Self::raw).
    pub fn mac_of_host(self) -> Ethernet {
        Ethernet { mac: MacChoice::Host, ..self }
    }

    /// Tags all frames with this VLAN, and hears no others. 0 tags them with their priority only.
    pub fn vlan(self, id: u16) -> Ethernet {
        Ethernet { vlan: Some(id), ..self }
    }

    /// The 802.1Q priority of tagged frames, 0..=7, instead of the upper three bits of the DSCP.
    pub fn priority(self, priority: u8) -> Ethernet {
        Ethernet { priority: Some(priority), ..self }
    }

    /// MTU in bytes of a TAP interface that is made for the NIC. One that exists keeps its own.
    pub fn mtu(self, bytes: usize) -> Ethernet {
        Ethernet { mtu: Some(bytes), ..self }
    }

    /// The NIC's IP addresses, in the order of GID indices.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().map(|subnet| subnet.addr)
    }

    /// Finds what cannot be.
    pub(super) fn check(&self) -> Result<(), NetError> {
        let wrong = |why: String| Err(NetError::Ethernet { why });
        if self.addresses.is_empty() {
            return wrong("it has no IP address: name one with its network, such as 10.0.0.2/24".to_owned());
        }
        for (index, subnet) in self.addresses.iter().enumerate() {
            if self.addresses[..index].iter().any(|other| other.addr == subnet.addr) {
                return Err(NetError::Twice { addr: subnet.addr });
            }
        }
        for (index, router) in self.gateways.iter().enumerate() {
            if self.gateways[..index].iter().any(|other| other.is_ipv4() == router.is_ipv4()) {
                return wrong(format!("{router} would be a second router: name one for each IP version"));
            }
            if !is_link_local(*router) && !self.addresses.iter().any(|subnet| subnet.contains(*router)) {
                return wrong(format!("the router {router} is on none of its networks: check their lengths"));
            }
        }
        match self.mac {
            MacChoice::Fixed(mac) if !mac.is_station() => {
                return wrong(format!(
                    "{mac} is a group's address: the lowest bit of its first byte must be 0"
                ));
            }
            MacChoice::Host if matches!(self.cable, Cable::Tap(_)) => {
                return wrong(
                    "at a TAP interface the kernel is another station: leave out mac=host".to_owned(),
                );
            }
            _ => {}
        }
        if let Some(vlan) = self.vlan.filter(|vlan| *vlan > 4094) {
            return wrong(format!("there is no VLAN {vlan}: they are numbered 1 to 4094"));
        }
        match self.priority {
            Some(priority) if priority > 7 => wrong(format!("priority {priority}: there are 0 to 7")),
            Some(_) if self.vlan.is_none() => {
                wrong("a priority is part of a VLAN tag: name the VLAN too, or vlan=0 for none".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl FromStr for Ethernet {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Ethernet, NetError> {
        let wrong = |why: String| NetError::Ethernet { why };
        let mut parts = text.split(',').map(str::trim);
        let place = parts.next().unwrap_or_default();
        let mut this = match place.split_once(':') {
            Some(("tap", name)) if !name.is_empty() => Ethernet::tap(name),
            Some(("raw", name)) if !name.is_empty() => Ethernet::raw(name),
            _ => {
                let how = "it begins with tap:NAME or raw:INTERFACE";
                return Err(wrong(format!("{place:?} is no way to attach a NIC to an Ethernet: {how}")));
            }
        };
        for part in parts {
            this = match part.split_once('=') {
                None => this.address(part.parse()?),
                Some((name, value)) => {
                    this.set(name, value).map_err(|why| wrong(format!("{part}: {why}")))?
                }
            };
        }
        this.check()?;
        Ok(this)
    }
}

impl Ethernet {
    fn set(self, name: &str, value: &str) -> Result<Ethernet, String> {
        fn number<N: FromStr>(value: &str) -> Result<N, String> {
            value.parse().map_err(|_| format!("{value:?} is not a number that fits"))
        }
        Ok(match name {
            "via" => self.gateway(value.parse().map_err(|_| "a router is an IP address".to_owned())?),
            "mac" if value == "host" => self.mac_of_host(),
            "mac" => self.mac(value.parse().map_err(str::to_owned)?),
            "vlan" => self.vlan(number(value)?),
            "pcp" => self.priority(number(value)?),
            "mtu" => self.mtu(number(value)?),
            _ => return Err("there are via=, mac=, vlan=, pcp= and mtu=".to_owned()),
        })
    }
}

impl fmt::Display for Ethernet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cable {
            Cable::Tap(name) => write!(f, "tap:{name}"),
            Cable::Packet(name) => write!(f, "raw:{name}"),
        }?;
        for subnet in &self.addresses {
            write!(f, ",{subnet}")?;
        }
        for router in &self.gateways {
            write!(f, ",via={router}")?;
        }
        match self.mac {
            MacChoice::Derived => {}
            MacChoice::Fixed(mac) => write!(f, ",mac={mac}")?,
            MacChoice::Host => write!(f, ",mac=host")?,
        }
        let settings = [
            ("vlan", self.vlan.map(usize::from)),
            ("pcp", self.priority.map(usize::from)),
            ("mtu", self.mtu),
        ];
        for (name, value) in settings.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            write!(f, ",{name}={value}")?;
        }
        Ok(())
    }
}

/// An IP address together with the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subnet {
    addr: IpAddr,
    prefix_len: u8,
}

impl Subnet {
    /// An address and how many of its leading bits all addresses of its network have in common.
    ///
    /// # Errors
    /// When a station cannot have this address, or the length exceeds the address.
    pub fn new(addr: IpAddr, prefix_len: u8) -> Result<Subnet, NetError> {
        let subnet = Subnet { addr, prefix_len };
        let bits = if addr.is_ipv4() { 32 } else { 128 };
        let problem = if prefix_len > bits {
            Some("the network is longer than the address")
        } else if addr.is_multicast() || addr.is_unspecified() || addr.is_loopback() {
            Some("no station on an Ethernet can have this address")
        } else if subnet.is_reserved() {
            Some("the first and the last address of a network belong to no station")
        } else {
            None
        };
        match problem {
            Some(why) => Err(NetError::Ethernet { why: format!("{subnet}: {why}") }),
            None => Ok(subnet),
        }
    }

    /// The address.
    pub fn addr(&self) -> IpAddr {
        self.addr
    }

    /// Whether `other` is on the same network.
    pub fn contains(&self, other: IpAddr) -> bool {
        match (self.addr, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(32 - u32::from(self.prefix_len)).unwrap_or(0)
                    == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(128 - u32::from(self.prefix_len)).unwrap_or(0)
                    == 0
            }
            _ => false,
        }
    }

    /// fe80::/10 with this address, as every IPv6 station has one.
    pub(super) fn link_local(addr: Ipv6Addr) -> Subnet {
        Subnet { addr: addr.into(), prefix_len: 64 }
    }

    /// True for the network itself and its broadcast address.
    fn is_reserved(&self) -> bool {
        let IpAddr::V4(addr) = self.addr else { return false };
        let host_bits = u32::MAX.checked_shr(self.prefix_len.into()).unwrap_or(0);
        let host = addr.to_bits() & host_bits;
        self.prefix_len < 31 && (host == 0 || host == host_bits)
    }
}

impl FromStr for Subnet {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Subnet, NetError> {
        let parsed =
            text.split_once('/').and_then(|(addr, len)| Some((addr.parse().ok()?, len.parse().ok()?)));
        let why =
            || format!("{text:?} is not an address with its network, such as 10.0.0.2/24 or fd00::2/64");
        let (addr, prefix_len) = parsed.ok_or_else(|| NetError::Ethernet { why: why() })?;
        Subnet::new(addr, prefix_len)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.prefix_len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_as_it_is_written() {
        for text in [
            "tap:ferroce0,10.0.0.2/24",
            "raw:eth0,fd00::2/64,10.0.0.2/8,via=10.1.1.1,via=fe80::1,mac=02:00:00:00:00:07,vlan=5,pcp=3",
            "raw:eth0,10.0.0.2/31,mac=host",
            "tap:a,10.0.0.2/24,vlan=0,mtu=9000",
        ] {
            assert_eq!(text.parse::<Ethernet>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_reason() {
        for (text, why) in [
            ("10.0.0.2/24", "begins with"),
            ("tap:,10.0.0.2/24", "begins with"),
            ("tap:a", "no IP address"),
            ("tap:a,10.0.0.2", "10.0.0.2/24"),
            ("tap:a,10.0.0.2/33", "longer than the address"),
            ("tap:a,10.0.0.0/24", "first and the last"),
            ("tap:a,10.0.0.255/24", "first and the last"),
            ("tap:a,127.0.0.2/8", "no station"),
            ("tap:a,ff02::1/64", "no station"),
            ("tap:a,10.0.0.2/24,10.0.0.2/16", "twice"),
            ("tap:a,10.0.0.2/24,via=10.0.1.1", "none of its networks"),
            ("tap:a,10.0.0.2/24,via=10.0.0.1,via=10.0.0.3", "second router"),
            ("tap:a,10.0.0.2/24,mac=host", "mac=host"),
            ("tap:a,10.0.0.2/24,mac=01:00:00:00:00:00", "group"),
            ("tap:a,10.0.0.2/24,vlan=4095", "no VLAN"),
            ("tap:a,10.0.0.2/24,vlan=x", "not a number"),
            ("tap:a,10.0.0.2/24,vlan=1,pcp=8", "0 to 7"),
            ("tap:a,10.0.0.2/24,pcp=1", "vlan=0"),
            ("tap:a,10.0.0.2/24,colour=red", "there are via="),
        ] {
            let error = text.parse::<Ethernet>().expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn networks_contain_what_has_their_prefix() {
        let contains =
            |subnet: &str, other: &str| subnet.parse::<Subnet>().unwrap().contains(other.parse().unwrap());
        assert!(contains("10.0.0.2/24", "10.0.0.200") && !contains("10.0.0.2/24", "10.0.1.2"));
        assert!(contains("10.0.0.2/32", "10.0.0.2") && !contains("10.0.0.2/32", "10.0.0.3"));
        assert!(contains("10.0.0.2/0", "192.0.2.1") && !contains("10.0.0.2/0", "fd00::1"));
        assert!(contains("fd00::2/64", "fd00::ffff:1") && !contains("fd00::2/64", "fd00:0:0:1::2"));
        assert!(contains("fd00::2/0", "2001:db8::1") && contains("fd00::2/128", "fd00::2"));
    }
}
