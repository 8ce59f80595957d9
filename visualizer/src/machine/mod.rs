//! What this machine offers to a Ferroce NIC.

mod interface;
mod route;

pub use interface::{GidEntry, NetworkInterface, interfaces};
pub use route::source_towards;
