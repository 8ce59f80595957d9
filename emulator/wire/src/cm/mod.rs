//! Connection management: the messages by which two devices agree on a connection (IBTA volume 1, chapter 12).
//!
//! ```
//! use ferroce_wire::cm::{CmMad, CmMessage, PortSpace, Req, ServiceId};
//!
//! let req = Req { local_id: 7, service_id: ServiceId::ip(PortSpace::Tcp, 7174), ..Req::default() };
//! let mad = CmMad { transaction_id: 1, modifier: 0, message: CmMessage::Req(req) };
//! assert_eq!(CmMad::parse(&mad.emit()), Ok(mad));
//! ```

mod layout;
mod messages;
mod reason;
mod service;

use crate::mad::{MAD_LEN, MadHeader};

use layout::{BODY_LEN, Body};
pub use messages::{Apr, Drep, Dreq, Lap, Mra, Path, Rej, Rep, Req, Rtu, SidrRep, SidrReq};
pub use reason::{RejectReason, SidrStatus};
pub use service::{IpCmHeader, PortSpace, ServiceId, gid_of};

/// Management class of connection management.
const CLASS: u8 = 0x07;
/// The version of the class.
const CLASS_VERSION: u8 = 2;
/// The method of all its messages: Send.
const METHOD_SEND: u8 = 0x03;

/// A management datagram of connection management.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CmMad {
    /// Chosen by who asks, the same in the answer.
    pub transaction_id: u64,
    /// Attribute modifier: 0, but for enhanced connection establishment.
    pub modifier: u32,
    /// The message.
    pub message: CmMessage,
}

impl CmMad {
    /// Reads the payload of a packet to QP1.
    ///
    /// # Errors
    /// When it is not exactly a MAD of connection management, or its message is unknown.
    pub fn parse(payload: &[u8]) -> Result<Self, CmError> {
        let bytes: &[u8; MAD_LEN] = payload.try_into().map_err(|_| CmError::Length(payload.len()))?;
        let (header, body) = bytes.split_first_chunk().expect("a MAD is longer than its header");
        let header = MadHeader::parse(header);
        let body: &Body = body.try_into().expect("the rest of a MAD is its body");
        if (header.base_version, header.class, header.method) != (1, CLASS, METHOD_SEND) {
            return Err(CmError::Class(header.class));
        }
        if header.class_version != CLASS_VERSION {
            return Err(CmError::Version(header.class_version));
        }
        let message = CmMessage::read(header.attribute, body).ok_or(CmError::Attribute(header.attribute))?;
        Ok(Self { transaction_id: header.transaction_id, modifier: header.modifier, message })
    }

    /// The payload of a packet to QP1.
    pub fn emit(&self) -> [u8; MAD_LEN] {
        let header = MadHeader {
            base_version: 1,
            class: CLASS,
            class_version: CLASS_VERSION,
            method: METHOD_SEND,
            status: 0,
            class_specific: 0,
            transaction_id: self.transaction_id,
            attribute: self.message.attribute(),
            reserved: 0,
            modifier: self.modifier,
        };
        let mut body = [0; BODY_LEN];
        self.message.write(&mut body);
        let mut bytes = [0; MAD_LEN];
        let (head, rest) = bytes.split_first_chunk_mut().expect("a MAD is longer than its header");
        header.emit(head);
        rest.copy_from_slice(&body);
        bytes
    }
}

macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident = $attribute:literal, $text:literal;)*) => {
        /// A message.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum CmMessage {
            $($(#[$doc])* $name($name),)*
        }

        impl CmMessage {
            /// Attribute ID, by which messages are told apart.
            pub const fn attribute(&self) -> u16 {
                match self {
                    $(Self::$name(_) => $attribute,)*
                }
            }

            /// Name as the specification writes it.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => $text,)*
                }
            }

            fn read(attribute: u16, body: &Body) -> Option<Self> {
                match attribute {
                    $($attribute => Some(Self::$name($name::read(body))),)*
                    _ => None,
                }
            }

            fn write(&self, body: &mut Body) {
                match self {
                    $(Self::$name(message) => message.write(body),)*
                }
            }
        }

        $(impl From<$name> for CmMessage {
            fn from(message: $name) -> Self {
                Self::$name(message)
            }
        })*
    };
}

messages! {
    /// Request for a connection.
    Req = 0x0010, "REQ";
    /// Message receipt acknowledgement.
    Mra = 0x0011, "MRA";
    /// Rejection.
    Rej = 0x0012, "REJ";
    /// Reply.
    Rep = 0x0013, "REP";
    /// Ready to use.
    Rtu = 0x0014, "RTU";
    /// Request for disconnection.
    Dreq = 0x0015, "DREQ";
    /// Reply to it.
    Drep = 0x0016, "DREP";
    /// Request for a datagram service.
    SidrReq = 0x0017, "SIDR_REQ";
    /// Reply to it.
    SidrRep = 0x0018, "SIDR_REP";
    /// Load alternate path.
    Lap = 0x0019, "LAP";
    /// Reply to it.
    Apr = 0x001A, "APR";
}

/// Why bytes are no message of connection management.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CmError {
    /// Not 256 bytes.
    #[error("a MAD has 256 bytes, this has {0}")]
    Length(usize),
    /// Of another management class, or no Send.
    #[error("management class {0:#04x} is not connection management")]
    Class(u8),
    /// Of another version of the class.
    #[error("version {0} of connection management is not known")]
    Version(u8),
    /// An unknown message.
    #[error("connection management has no message {0:#06x}")]
    Attribute(u16),
}

/// `data`, padded with zeros to the `N` bytes that a message has for private data or further information;
/// `None` if it is too long.
pub fn padded<const N: usize>(data: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    out.get_mut(..data.len())?.copy_from_slice(data);
    Some(out)
}
