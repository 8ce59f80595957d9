//! What two programs must tell each other before their queue pairs can be connected, as text.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ferroce_engine::{PathMtu, Psn, Qpn};

/// One end of a connection, as the other end must know it.
///
/// How it gets there is the programs' business: over a TCP connection, in a file, by hand. As text it is one
/// line.
///
/// ```
/// use ferroce::Endpoint;
///
/// let (a, _) = ferroce::pair()?;
/// let line = a.qp.endpoint().to_string(); // "gid=192.0.2.1 qpn=0x0f3a21 psn=0x60c18b mtu=4096"
/// let endpoint: Endpoint = line.parse().unwrap();
/// assert_eq!(endpoint, a.qp.endpoint());
/// # Ok::<_, ferroce::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Address of the NIC. An IPv4 address stands for its IPv4-mapped GID.
    pub gid: IpAddr,
    /// Number of the queue pair.
    pub qpn: Qpn,
    /// The first PSN that it sends.
    pub psn: Psn,
    /// The largest path MTU that it can use.
    pub mtu: PathMtu,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (qpn, psn, mtu) = (self.qpn.value(), self.psn.value(), self.mtu.bytes());
        write!(f, "gid={} qpn={qpn:#08x} psn={psn:#08x} mtu={mtu}", self.gid)
    }
}

impl FromStr for Endpoint {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Endpoint, ParseError> {
        let [gid, qpn, psn, mtu] = Fields::parse(text, ["gid", "qpn", "psn", "mtu"])?;
        let mtu_bytes = mtu.number(4096)?;
        Ok(Endpoint {
            gid: gid.value.parse().map_err(|_| gid.wrong("is not an IP address"))?,
            qpn: Qpn::new(qpn.number(MAX_24)? as u32),
            psn: Psn::new(psn.number(MAX_24)? as u32),
            mtu: PathMtu::from_bytes(mtu_bytes as usize)
                .ok_or_else(|| mtu.wrong("is none of 256, 512, 1024, 2048 and 4096"))?,
        })
    }
}

/// The largest number of 24 bits.
const MAX_24: u64 = 0xff_ffff;

/// Why a text is no [`Endpoint`] or [`RemoteMemory`](crate::RemoteMemory).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// A field is missing or given twice.
    #[error("field {0} is needed exactly once, as in {0}=VALUE: hand over the peer's line as it is")]
    Field(&'static str),
    /// There is something that is none of the fields.
    #[error("{0:?} is no part of it: hand over the peer's line as it is")]
    Unknown(String),
    /// A field has a value that makes no sense.
    #[error("{name}={value} {why}: hand over the peer's line as it is")]
    Value {
        /// Name of the field.
        name: &'static str,
        /// What it was given.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Parses lines of `name=value` fields.
pub(crate) struct Fields;

/// A field of such a line.
#[derive(Clone, Copy)]
pub(crate) struct Field<'a> {
    name: &'static str,
    value: &'a str,
}

impl Fields {
    /// The fields with these names, each of which must be there once, in any order, and no others.
    pub(crate) fn parse<'a, const N: usize>(
        text: &'a str,
        names: [&'static str; N],
    ) -> Result<[Field<'a>; N], ParseError> {
        let mut fields = names.map(|name| Field { name, value: "" });
        for part in text.split_whitespace() {
            let unknown = || ParseError::Unknown(part.to_owned());
            let (name, value) = part.split_once('=').ok_or_else(unknown)?;
            let field = fields.iter_mut().find(|field| field.name == name).ok_or_else(unknown)?;
            if !field.value.is_empty() {
                return Err(ParseError::Field(field.name));
            }
            field.value = value;
        }
        match fields.iter().find(|field| field.value.is_empty()) {
            Some(missing) => Err(ParseError::Field(missing.name)),
            None => Ok(fields),
        }
    }
}

impl Field<'_> {
    /// As a number up to `most`, decimal or hexadecimal with `0x`.
    pub(crate) fn number(&self, most: u64) -> Result<u64, ParseError> {
        let number = match self.value.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => self.value.parse(),
        };
        match number {
            Ok(number) if number <= most => Ok(number),
            Ok(_) => Err(self.wrong("is too large")),
            Err(_) => Err(self.wrong("is not a number")),
        }
    }

    pub(crate) fn wrong(&self, why: &'static str) -> ParseError {
        ParseError::Value { name: self.name, value: self.value.to_owned(), why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_survives_being_text() {
        for gid in ["10.0.0.1", "fe80::1", "::ffff:10.0.0.1"] {
            let endpoint = Endpoint {
                gid: gid.parse().unwrap(),
                qpn: Qpn::new(0xab_cdef),
                psn: Psn::new(7),
                mtu: PathMtu::Mtu1024,
            };
            assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let fault = |text: &str| text.parse::<Endpoint>().unwrap_err().to_string();
        let good = "gid=::1 qpn=0x11 psn=5 mtu=1024";
        assert!(good.parse::<Endpoint>().is_ok());
        assert!(fault("gid=::1 qpn=1 psn=1").contains("mtu"));
        assert!(fault(&format!("{good} qpn=2")).contains("qpn"));
        assert!(fault(&format!("{good} lid=2")).contains("lid=2"));
        assert!(fault(&good.replace("0x11", "0x1000000")).contains("too large"));
        assert!(fault(&good.replace("1024", "1500")).contains("256, 512"));
        assert!(fault(&good.replace("::1", "localhost")).contains("not an IP address"));
    }
}
