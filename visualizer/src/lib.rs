//! What people look at. The `ferroce` command is this crate's program; this library holds what its parts, its
//! panels and the tests share.

#![forbid(unsafe_code)]

pub mod demo;
pub mod drawing;
pub mod explain;
pub mod film;
pub mod ladder;
pub mod machine;
pub mod picture;
pub mod player;
pub mod top;
pub mod tui;
