//! The demo: two NICs in one process exchange every operation of a reliable connection over real UDP sockets
//! while packets are lost, repeated, swapped and damaged on the way, and every byte is verified.
//!
//! [`run`] does it at full speed, with [`Nic`](ferroce_net::Nic)s as any application would use them. A
//! [`Stage`](stage::Stage) does it so slowly that a person can watch every packet.

mod addresses;
mod chance;
mod error;
mod host;
mod layout;
mod live;
mod operation;
mod pattern;
pub mod stage;
mod stream;
mod summary;
mod window;
mod wiring;

pub use chance::{Chance, NoChance};
pub use error::DemoError;
pub use live::{Options, Progress, TOGETHER, run};
pub use operation::Operation;
pub use summary::{FaultShares, NicSummary, Row, Summary};
