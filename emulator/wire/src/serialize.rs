//! Numbers and codes as they stand on the wire, for recordings (feature `serde`).

use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};

use crate::{ImmDt, Opcode, Psn, Qpn, RnrTimer, Syndrome};

macro_rules! as_number {
    ($($type:ty as $number:ty: |$value:ident| $to:expr, |$raw:ident| $from:expr;)*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let $value = self;
                <$number>::serialize(&$to, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let $raw = <$number>::deserialize(deserializer)?;
                $from.ok_or_else(|| D::Error::custom(concat!("no such ", stringify!($type))))
            }
        }
    )*};
}

as_number! {
    Psn as u32: |psn| psn.value(), |raw| Some(Psn::new(raw));
    Qpn as u32: |qpn| qpn.value(), |raw| Some(Qpn::new(raw));
    Opcode as u8: |opcode| opcode.as_u8(), |raw| Opcode::from_u8(raw);
    Syndrome as u8: |syndrome| syndrome.as_u8(), |raw| Some(Syndrome::from_u8(raw));
    RnrTimer as u8: |timer| timer.0, |raw| (raw < 32).then_some(RnrTimer(raw));
    ImmDt as u32: |imm| u32::from_be_bytes(imm.0), |raw| Some(ImmDt(raw.to_be_bytes()));
}
