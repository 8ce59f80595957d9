//! What this machine offers to a Ferroce NIC.

mod check;
mod interface;
mod offload;
mod port;
mod route;
mod station;

pub use check::{Check, Standing, checks};
pub use interface::{GidEntry, NetworkInterface, interfaces};
pub use offload::Offload;
pub use port::Port;
pub use route::source_towards;
pub use station::Stations;
