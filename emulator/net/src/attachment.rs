//! How a NIC is attached to a network, as text: what commands and environment variables take.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::error::NetError;
use crate::ethernet::Ethernet;

/// How a NIC is attached to a network of this machine.
///
/// ```
/// # use ferroce_net::Attachment;
/// for text in ["127.0.0.1", "udp:10.0.0.1,fd00::1", "tap:ferroce0,10.0.0.2/24", "raw:eth0,10.0.0.77/24"] {
///     let _: Attachment = text.parse()?;
/// }
/// # Ok::<_, ferroce_net::NetError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// On UDP sockets at addresses of this machine. Text: `udp:ADDRESS,…`, or just the address.
    Udp(Vec<IpAddr>),
    /// As a station of its own on an Ethernet. Text: as [`Ethernet`] has it.
    Ethernet(Ethernet),
}

impl Attachment {
    /// The NIC's addresses, in the order of GID indices.
    pub fn addresses(&self) -> Vec<IpAddr> {
        match self {
            Attachment::Udp(addresses) => addresses.clone(),
            Attachment::Ethernet(ethernet) => ethernet.addresses().collect(),
        }
    }
}

impl FromStr for Attachment {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Attachment, NetError> {
        if text.starts_with("tap:") || text.starts_with("raw:") {
            return Ok(Attachment::Ethernet(text.parse()?));
        }
        let wrong = |part: &str| NetError::Ethernet {
            why: format!(
                "{part:?} is no IP address: a NIC is attached with udp:ADDRESS, tap:NAME,ADDRESS/LENGTH or \
                 raw:INTERFACE,ADDRESS/LENGTH"
            ),
        };
        let addresses = text.strip_prefix("udp:").unwrap_or(text).split(',').map(str::trim);
        let addresses: Result<_, _> = addresses.map(|part| part.parse().map_err(|_| wrong(part))).collect();
        Ok(Attachment::Udp(addresses?))
    }
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attachment::Udp(addresses) => {
                let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
                write!(f, "udp:{}", addresses.join(","))
            }
            Attachment::Ethernet(ethernet) => ethernet.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_as_it_is_written() {
        for text in
            ["udp:127.0.0.1", "udp:10.0.0.1,fd00::1", "tap:a,10.0.0.2/24", "raw:eth0,fd00::2/64,vlan=5"]
        {
            let attachment: Attachment = text.parse().unwrap();
            assert_eq!(attachment.to_string(), text);
        }
        assert_eq!("::1".parse::<Attachment>().unwrap().addresses(), ["::1".parse::<IpAddr>().unwrap()]);
        for wrong in ["", "udp:", "eth0", "udp:10.0.0.1/24"] {
            let error = wrong.parse::<Attachment>().expect_err(wrong).to_string();
            assert!(error.contains("tap:NAME"), "{wrong}: {error}");
        }
    }
}
