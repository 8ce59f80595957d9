//! The opcode table: what each opcode is called, which headers it has and what payload it allows.

use core::fmt;

use crate::{HeaderSet, Part};

/// Transport class: the upper three bits of an opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Service {
    /// Reliable connection.
    Rc = 0,
    /// Unreliable connection.
    Uc = 1,
    /// Reliable datagram. No device implements it; it can be decoded.
    Rd = 2,
    /// Unreliable datagram.
    Ud = 3,
    /// Congestion notification (RoCEv2 annex A17).
    Cnp = 4,
    /// Extended reliable connection (annex A14).
    Xrc = 5,
}

/// Place of a packet in its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Position {
    /// Starts a message of several packets.
    First,
    /// Neither starts nor ends it.
    Middle,
    /// Ends it.
    Last,
    /// Is the whole message.
    Only,
}

/// Payload lengths that an opcode allows, pad excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PayloadRule {
    /// No payload.
    None,
    /// Exactly one path MTU.
    ExactlyMtu,
    /// From `min` (0 or 1) bytes to one path MTU.
    UpToMtu {
        /// Least number of bytes.
        min: u8,
    },
    /// Always this many bytes.
    Fixed(u8),
}

impl PayloadRule {
    /// Whether a payload of `len` bytes follows the rule at a path MTU of `mtu` bytes.
    #[inline]
    pub const fn allows(self, len: usize, mtu: usize) -> bool {
        match self {
            Self::None => len == 0,
            Self::ExactlyMtu => len == mtu,
            Self::UpToMtu { min } => len >= min as usize && len <= mtu,
            Self::Fixed(fixed) => len == fixed as usize,
        }
    }
}

/// An opcode that exists. Bytes that name no opcode cannot become one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Opcode(u8);

impl Opcode {
    /// The opcode with this byte, `None` if it is undefined or reserved for manufacturers.
    #[inline]
    pub const fn from_u8(byte: u8) -> Option<Self> {
        // A defined row has at least a BTH.
        if TABLE[byte as usize].header_len == 0 { None } else { Some(Self(byte)) }
    }

    /// The opcode for `operation` of `service`, `None` if that service has no such operation.
    #[inline]
    pub fn new(service: Service, operation: Operation) -> Option<Self> {
        let opcode = Self::from_u8(encode(service, operation))?;
        (opcode.operation() == operation).then_some(opcode)
    }

    /// The byte on the wire.
    #[inline]
    pub const fn as_u8(self) -> u8 {
        self.0
    }

    /// Transport class.
    #[inline]
    pub const fn service(self) -> Service {
        self.row().service
    }

    /// Operation.
    #[inline]
    pub const fn operation(self) -> Operation {
        self.row().operation
    }

    /// Name as in `RC_SEND_ONLY`.
    #[inline]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Whether it goes to the responder half of a QP. A CNP is neither request nor response.
    #[inline]
    pub const fn is_request(self) -> bool {
        matches!(self.row().direction, Direction::Request)
    }

    /// Whether it goes to the requester half of a QP.
    #[inline]
    pub const fn is_response(self) -> bool {
        matches!(self.row().direction, Direction::Response)
    }

    /// Place in the message.
    #[inline]
    pub const fn position(self) -> Position {
        self.row().position
    }

    /// Extension headers.
    #[inline]
    pub const fn headers(self) -> HeaderSet {
        self.row().headers
    }

    /// Bytes of BTH and extension headers together, 12..=52.
    #[inline]
    pub const fn header_len(self) -> usize {
        self.row().header_len as usize
    }

    /// What payload lengths are legal.
    #[inline]
    pub const fn payload_rule(self) -> PayloadRule {
        self.row().payload
    }

    const fn row(self) -> &'static Row {
        &TABLE[self.0 as usize]
    }
}

impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Request,
    Response,
    Notification,
}

#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    service: Service,
    operation: Operation,
    position: Position,
    direction: Direction,
    payload: PayloadRule,
    headers: HeaderSet,
    header_len: u8,
}

impl Row {
    const UNDEFINED: Self = Self {
        name: "",
        service: Service::Rc,
        operation: Operation::SendFirst,
        position: Position::Only,
        direction: Direction::Request,
        payload: PayloadRule::None,
        headers: HeaderSet::EMPTY,
        header_len: 0,
    };

    /// The row of this operation in `service`, whose own headers stand before those of the operation.
    const fn of(self, service: Service, name: &'static str) -> Self {
        let request = matches!(self.direction, Direction::Request);
        let headers = match service {
            Service::Rd if request => self.headers.with(Part::Rdeth).with(Part::Deth),
            Service::Rd => self.headers.with(Part::Rdeth),
            Service::Ud => self.headers.with(Part::Deth),
            Service::Xrc if request => self.headers.with(Part::Xrceth),
            _ => self.headers,
        };
        let header_len = (Part::Bth.header_len() + headers.byte_len()) as u8;
        Self { service, name, headers, header_len, ..self }
    }
}

const fn encode(service: Service, operation: Operation) -> u8 {
    (service as u8) << 5 | operation as u8 & 0x1F
}

const fn up_to_mtu(min: u8) -> PayloadRule {
    PayloadRule::UpToMtu { min }
}

/// Turns the table at the end of this file into the operations, the opcode constants and `TABLE`.
macro_rules! opcodes {
    ($($code:literal $operation:ident $position:ident $direction:ident [$($part:ident)*] $payload:expr
        => $($service:ident $name:ident)+;)+) => {
        /// What a packet asks or answers. The low five bits of the discriminant are those of the opcode.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Operation {
            $(#[doc = concat!("Code `", stringify!($code), "`.")] $operation = $code,)+
        }

        impl Opcode {
            $($(
                #[doc = concat!("`", stringify!($operation), "` of `", stringify!($service), "`.")]
                pub const $name: Self = Self(encode(Service::$service, Operation::$operation));
            )+)+

            /// Every opcode there is.
            pub const ALL: &[Self] = &[$($(Self::$name,)+)+];
        }

        static TABLE: [Row; 256] = {
            let mut table = [Row::UNDEFINED; 256];
            $(
                let operation = Row {
                    operation: Operation::$operation,
                    position: Position::$position,
                    direction: Direction::$direction,
                    payload: $payload,
                    headers: HeaderSet::EMPTY$(.with(Part::$part))*,
                    ..Row::UNDEFINED
                };
                $(table[Opcode::$name.0 as usize] = operation.of(Service::$service, stringify!($name));)+
            )+
            table
        };
    };
}

// Code, operation, position, direction, the operation's own headers, payload => the services that have it.
// IBTA volume 1, chapter 9; XRC from annex A14, the CNP from annex A17, FLUSH and ATOMIC WRITE from annex A19.
opcodes! {
    0x00 SendFirst First Request [] PayloadRule::ExactlyMtu
        => Rc RC_SEND_FIRST Uc UC_SEND_FIRST Rd RD_SEND_FIRST Xrc XRC_SEND_FIRST;
    0x01 SendMiddle Middle Request [] PayloadRule::ExactlyMtu
        => Rc RC_SEND_MIDDLE Uc UC_SEND_MIDDLE Rd RD_SEND_MIDDLE Xrc XRC_SEND_MIDDLE;
    0x02 SendLast Last Request [] up_to_mtu(1)
        => Rc RC_SEND_LAST Uc UC_SEND_LAST Rd RD_SEND_LAST Xrc XRC_SEND_LAST;
    0x03 SendLastImm Last Request [ImmDt] up_to_mtu(1)
        => Rc RC_SEND_LAST_IMM Uc UC_SEND_LAST_IMM Rd RD_SEND_LAST_IMM Xrc XRC_SEND_LAST_IMM;
    0x04 SendOnly Only Request [] up_to_mtu(0)
        => Rc RC_SEND_ONLY Uc UC_SEND_ONLY Rd RD_SEND_ONLY Ud UD_SEND_ONLY Xrc XRC_SEND_ONLY;
    0x05 SendOnlyImm Only Request [ImmDt] up_to_mtu(0)
        => Rc RC_SEND_ONLY_IMM Uc UC_SEND_ONLY_IMM Rd RD_SEND_ONLY_IMM Ud UD_SEND_ONLY_IMM Xrc XRC_SEND_ONLY_IMM;
    0x06 WriteFirst First Request [Reth] PayloadRule::ExactlyMtu
        => Rc RC_WRITE_FIRST Uc UC_WRITE_FIRST Rd RD_WRITE_FIRST Xrc XRC_WRITE_FIRST;
    0x07 WriteMiddle Middle Request [] PayloadRule::ExactlyMtu
        => Rc RC_WRITE_MIDDLE Uc UC_WRITE_MIDDLE Rd RD_WRITE_MIDDLE Xrc XRC_WRITE_MIDDLE;
    0x08 WriteLast Last Request [] up_to_mtu(1)
        => Rc RC_WRITE_LAST Uc UC_WRITE_LAST Rd RD_WRITE_LAST Xrc XRC_WRITE_LAST;
    0x09 WriteLastImm Last Request [ImmDt] up_to_mtu(1)
        => Rc RC_WRITE_LAST_IMM Uc UC_WRITE_LAST_IMM Rd RD_WRITE_LAST_IMM Xrc XRC_WRITE_LAST_IMM;
    0x0A WriteOnly Only Request [Reth] up_to_mtu(0)
        => Rc RC_WRITE_ONLY Uc UC_WRITE_ONLY Rd RD_WRITE_ONLY Xrc XRC_WRITE_ONLY;
    0x0B WriteOnlyImm Only Request [Reth ImmDt] up_to_mtu(0)
        => Rc RC_WRITE_ONLY_IMM Uc UC_WRITE_ONLY_IMM Rd RD_WRITE_ONLY_IMM Xrc XRC_WRITE_ONLY_IMM;
    0x0C ReadRequest Only Request [Reth] PayloadRule::None
        => Rc RC_READ_REQUEST Rd RD_READ_REQUEST Xrc XRC_READ_REQUEST;
    0x0D ReadRespFirst First Response [Aeth] PayloadRule::ExactlyMtu
        => Rc RC_READ_RESP_FIRST Rd RD_READ_RESP_FIRST Xrc XRC_READ_RESP_FIRST;
    0x0E ReadRespMiddle Middle Response [] PayloadRule::ExactlyMtu
        => Rc RC_READ_RESP_MIDDLE Rd RD_READ_RESP_MIDDLE Xrc XRC_READ_RESP_MIDDLE;
    0x0F ReadRespLast Last Response [Aeth] up_to_mtu(1)
        => Rc RC_READ_RESP_LAST Rd RD_READ_RESP_LAST Xrc XRC_READ_RESP_LAST;
    0x10 ReadRespOnly Only Response [Aeth] up_to_mtu(0)
        => Rc RC_READ_RESP_ONLY Rd RD_READ_RESP_ONLY Xrc XRC_READ_RESP_ONLY;
    0x11 Acknowledge Only Response [Aeth] PayloadRule::None
        => Rc RC_ACKNOWLEDGE Rd RD_ACKNOWLEDGE Xrc XRC_ACKNOWLEDGE;
    0x12 AtomicAck Only Response [Aeth AtomicAckEth] PayloadRule::None
        => Rc RC_ATOMIC_ACK Rd RD_ATOMIC_ACK Xrc XRC_ATOMIC_ACK;
    0x13 CompareSwap Only Request [AtomicEth] PayloadRule::None
        => Rc RC_COMPARE_SWAP Rd RD_COMPARE_SWAP Xrc XRC_COMPARE_SWAP;
    0x14 FetchAdd Only Request [AtomicEth] PayloadRule::None
        => Rc RC_FETCH_ADD Rd RD_FETCH_ADD Xrc XRC_FETCH_ADD;
    0x15 Resync Only Request [] PayloadRule::None
        => Rd RD_RESYNC;
    0x16 SendLastInv Last Request [Ieth] up_to_mtu(1)
        => Rc RC_SEND_LAST_INV Xrc XRC_SEND_LAST_INV;
    0x17 SendOnlyInv Only Request [Ieth] up_to_mtu(0)
        => Rc RC_SEND_ONLY_INV Xrc XRC_SEND_ONLY_INV;
    0x1C Flush Only Request [Feth Reth] PayloadRule::None
        => Rc RC_FLUSH;
    0x1D AtomicWrite Only Request [Reth] PayloadRule::Fixed(8)
        => Rc RC_ATOMIC_WRITE;
    0x81 Notify Only Notification [] PayloadRule::Fixed(16)
        => Cnp CNP;
}
