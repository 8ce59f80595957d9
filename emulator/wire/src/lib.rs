//! RoCEv2 as bytes: headers, the opcode table, PSN arithmetic, the ICRC, whole packets and frames.
//!
//! This crate knows what a packet *is*, never what it is *for*: there are no queue pairs here, no state and
//! no I/O. It does not allocate, and no input makes it panic.
//!
//! ```
//! use ferroce_wire::{Bth, Headers, Opcode, Packet, Psn, Qpn};
//!
//! let bth = Bth { ack_request: true, ..Bth::new(Opcode::RC_SEND_ONLY, Qpn::new(0x12), Psn::new(0xABCD)) };
//! let packet = Packet::new(Headers::new(bth), b"hello");
//! assert_eq!(packet.to_string(), "RC_SEND_ONLY qp=0x000012 psn=0x00abcd A pad=3 len=5");
//!
//! let mut bytes = [0; 64];
//! let len = packet.emit(&mut bytes).unwrap();
//! assert_eq!(Packet::parse(&bytes[..len]), Ok(packet));
//! ```
//!
//! The parts, from the inside out:
//!
//! * [`Psn`], [`Qpn`], [`PathMtu`]: the numbers;
//! * [`Opcode`]: one table that says for each opcode which headers it has and what payload it allows;
//! * [`Bth`] and the extension headers; [`Headers`] has all headers of one packet;
//! * [`Packet`]: a UDP payload, from the first byte of the BTH to the last of the ICRC;
//! * [`icrc`]: the checksum that covers the packet and most of its IP and UDP headers;
//! * [`ip`] and [`frame`]: IP, UDP and Ethernet, as much as captures and raw sockets need;
//! * [`mad`] and [`cm`]: management datagrams and the messages of connection management;
//! * [`flow`]: UDP source ports;
//! * [`decode`]: every field of a packet with its place, its value and what it means.
//!
//! Multi-byte fields are big-endian on the wire and host-endian in these structs, immediate data excepted.

#![no_std]
#![forbid(unsafe_code)]

mod aeth;
mod bth;
pub mod cm;
mod crc;
pub mod decode;
mod extension;
pub mod flow;
pub mod frame;
pub mod icrc;
pub mod ip;
pub mod mad;
mod number;
mod opcode;
mod packet;
mod part;
#[cfg(feature = "serde")]
mod serialize;

pub use aeth::{Aeth, NakCode, RnrTimer, Syndrome};
pub use bth::{Bth, UnknownOpcode};
pub use extension::{AtomicAckEth, AtomicEth, Deth, Feth, Ieth, ImmDt, Rdeth, Reth, Xrceth};
pub use icrc::PseudoHeader;
pub use number::{PathMtu, Psn, Qpn};
pub use opcode::{Opcode, Operation, PayloadRule, Position, Service};
pub use packet::{EmitError, Headers, Packet, ParseError};
pub use part::{HeaderSet, Part};

/// UDP destination port of RoCEv2, in both directions (IANA).
pub const UDP_PORT: u16 = 4791;

/// The P_Key of the default partition with full membership (bit 15).
pub const DEFAULT_PKEY: u16 = 0xFFFF;

/// Bytes of the ICRC that ends every packet.
pub const ICRC_LEN: usize = 4;
