//! Tests that cross rooms: Ferroce against real peers.
//!
//! * [`vm`] boots Debian kernels under QEMU and runs programs in them: real soft-RoCE (rxe) peers on any machine.
//! * [`tally`] counts and prints results the way `tests/run` sums them up.

pub mod tally;
pub mod vm;
