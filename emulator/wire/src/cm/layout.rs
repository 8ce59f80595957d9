//! Messages as tables of fields: one line says where a field is, and reading and writing follow from it.

use core::net::Ipv6Addr;

use crate::{Psn, Qpn};

use super::reason::{RejectReason, SidrStatus};
use super::service::ServiceId;

/// Bytes of a message: a MAD without its header.
pub(super) const BODY_LEN: usize = 232;

/// A message's bytes.
pub(super) type Body = [u8; BODY_LEN];

/// Something that a field can hold, at any bit.
pub(super) trait Value {
    /// Reads `bits` bits from bit `at`, counted from the most significant bit of the first byte.
    fn read(body: &Body, at: usize, bits: usize) -> Self;
    /// Writes them; bits of the value above `bits` are dropped.
    fn write(&self, body: &mut Body, at: usize, bits: usize);
}

/// The value of a stretch of at most 128 bits.
fn get(body: &Body, at: usize, bits: usize) -> u128 {
    let bytes = &body[at / 8..(at + bits).div_ceil(8)];
    // A stretch of 128 bits that does not begin at a byte would not fit; there is none.
    let value = bytes.iter().fold(0u128, |value, &byte| value << 8 | u128::from(byte));
    let below = bytes.len() * 8 - at % 8 - bits;
    value >> below & (u128::MAX >> (128 - bits))
}

fn put(body: &mut Body, at: usize, bits: usize, value: u128) {
    let bytes = &mut body[at / 8..(at + bits).div_ceil(8)];
    let below = bytes.len() * 8 - at % 8 - bits;
    let value = (value & (u128::MAX >> (128 - bits))) << below;
    for (byte, value) in bytes.iter_mut().rev().zip(value.to_le_bytes()) {
        // Messages are written to zeroed bytes, each field once.
        *byte |= value;
    }
}

macro_rules! number {
    ($($type:ty: |$raw:ident| $from:expr, |$value:ident| $to:expr;)*) => {$(
        impl Value for $type {
            fn read(body: &Body, at: usize, bits: usize) -> Self {
                let $raw = get(body, at, bits);
                $from
            }

            fn write(&self, body: &mut Body, at: usize, bits: usize) {
                let $value = *self;
                put(body, at, bits, $to);
            }
        }
    )*};
}

number! {
    bool: |raw| raw != 0, |value| value.into();
    u8: |raw| raw as u8, |value| value.into();
    u16: |raw| raw as u16, |value| value.into();
    u32: |raw| raw as u32, |value| value.into();
    u64: |raw| raw as u64, |value| value.into();
    Ipv6Addr: |raw| raw.into(), |value| value.into();
    Qpn: |raw| Qpn::new(raw as u32), |value| value.value().into();
    Psn: |raw| Psn::new(raw as u32), |value| value.value().into();
    ServiceId: |raw| ServiceId(raw as u64), |value| value.0.into();
    RejectReason: |raw| RejectReason(raw as u16), |value| value.0.into();
    SidrStatus: |raw| SidrStatus(raw as u8), |value| value.0.into();
}

impl<const N: usize> Value for [u8; N] {
    fn read(body: &Body, at: usize, _: usize) -> Self {
        core::array::from_fn(|i| body[at / 8 + i])
    }

    fn write(&self, body: &mut Body, at: usize, _: usize) {
        body[at / 8..][..N].copy_from_slice(self);
    }
}

/// Declares a message: its fields with the place of their first bit (`byte:bit`, bit 0 being the most
/// significant) and their width in bits, and where its private data begins.
macro_rules! message {
    (
        $(#[$doc:meta])*
        $name:ident, private data from $private:literal {
            $($(#[$field_doc:meta])* $field:ident: $type:ty = $byte:literal : $bit:literal / $bits:literal,)*
        }
    ) => {
        $(#[$doc])*
        ///
        /// Fields narrower than their type drop the bits that do not fit when written.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
            /// Data for the application, padded with zeros.
            pub private_data: [u8; Self::PRIVATE_DATA_LEN],
        }

        impl $name {
            /// Bytes of private data.
            pub const PRIVATE_DATA_LEN: usize = BODY_LEN - $private;

            pub(super) fn read(body: &Body) -> Self {
                Self {
                    $($field: Value::read(body, $byte * 8 + $bit, $bits),)*
                    private_data: Value::read(body, $private * 8, 0),
                }
            }

            pub(super) fn write(&self, body: &mut Body) {
                $(self.$field.write(body, $byte * 8 + $bit, $bits);)*
                self.private_data.write(body, $private * 8, 0);
            }
        }

        impl Default for $name {
            /// All fields zero.
            fn default() -> Self {
                Self::read(&[0; BODY_LEN])
            }
        }
    };
}

pub(super) use message;
