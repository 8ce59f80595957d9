//! What stands in a recording.

use std::net::IpAddr;

use crate::switch::{SwitchHeader, SwitchRecord};
use ferroce_engine::{Time, TraceEvent};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The `format` of every header.
pub const FORMAT: &str = "ferroce-recording";
/// The version that this crate writes, and the newest that it reads.
pub const VERSION: u32 = 1;

/// The first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// Who takes part.
    pub hosts: Vec<HostRecord>,
    /// What stands between them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub switches: Vec<SwitchHeader>,
    /// Times are those of a simulation.
    #[serde(default)]
    pub simulated: bool,
    /// Nanoseconds since 1970 at time 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<u64>,
    /// What makes the same run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<serde_json::Value>,
}

impl Header {
    /// The header of a recording of this version.
    pub fn new(hosts: Vec<HostRecord>, simulated: bool) -> Header {
        let (format, version) = (FORMAT.to_owned(), VERSION);
        let switches = Vec::new();
        Header { format, version, hosts, switches, simulated, began: None, scenario: None }
    }
}

/// A device that takes part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// Its name.
    pub name: String,
    /// Its addresses; the first has GID index 0.
    pub addresses: Vec<IpAddr>,
}

/// Any further line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When, in nanoseconds.
    #[serde(rename = "t")]
    pub at: Time,
    /// Where: an index into the header's hosts. For packets the sender, also for what a switch does with them; 0 for
    /// what a switch does without one.
    pub host: u32,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A packet was sent.
    Packet(PacketRecord),
    /// A device went a step.
    Device(TraceEvent),
    /// A switch did something.
    Switch(SwitchRecord),
}

/// A packet that was sent, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketRecord {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// UDP source port.
    pub src_port: u16,
    /// IPv4 TOS or IPv6 traffic class.
    #[serde(default)]
    pub traffic_class: u8,
    /// IPv4 Identification.
    #[serde(default)]
    pub ident: u16,
    /// The UDP payload, from BTH to ICRC, in hexadecimal.
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub bytes: Vec<u8>,
    /// Which host gets it; none if nobody has the address.
    #[serde(default)]
    pub to: Option<u32>,
    /// When copies of it arrive: none if it is lost, or under way when the recording ends.
    #[serde(default)]
    pub arrivals: Vec<Arrived>,
    /// It is under way when the recording ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub under_way: bool,
    /// It goes through the memory that NICs on one machine share, not through a network.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub local: bool,
}

impl PacketRecord {
    /// Whether no copy of it arrives.
    pub fn is_lost(&self) -> bool {
        self.arrivals.is_empty() && !self.under_way
    }
}

/// A packet arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrived {
    /// When.
    #[serde(rename = "t")]
    pub at: Time,
    /// Bits of it have flipped.
    #[serde(default)]
    pub damaged: bool,
}

fn to_hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    let text: String = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
    serializer.serialize_str(&text)
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let bytes = text.as_bytes().chunks(2).map(|pair| match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    bytes.collect::<Option<_>>().ok_or_else(|| serde::de::Error::custom("not hexadecimal"))
}
