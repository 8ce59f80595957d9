//! What must not happen whatever the bytes are.
//!
//! A target is a function of bytes that panics when something is wrong. `tests/fuzz/search TARGET [SECONDS]` looks for
//! such bytes, guided by the code that they reach; what it keeps lies in `corpus`, and an ordinary test goes through
//! it.

mod input;
mod packets;
mod talk;

pub use packets::packets;
pub use talk::conversation;

/// What is done with bytes.
pub type Target = fn(&[u8]);

/// Every target by name.
pub const TARGETS: [(&str, Target); 2] = [("packets", packets), ("conversation", conversation)];
