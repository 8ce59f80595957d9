//! Tests that cross rooms: Ferroce against real peers.
//!
//! * [`vm`] boots Debian kernels under QEMU and runs programs in them: real soft-RoCE (rxe) peers on any machine.
//! * [`peer`] is the vocabulary between a test and anything that has verbs.
//! * [`connecting`] runs programs that connect by librdmacm against the same roles played here.
//! * [`pingpong`] runs `ibv_rc_pingpong` against a program with the same flags.
//! * [`scenarios`] are played by two peers; what should come of them stands beside them.
//! * [`pairs`] are the two sides of an interop case.
//! * [`lab`] has what students write in the labs of the wire meet a kernel.
//! * [`station`] is Ferroce as a machine of its own on the guests' Ethernet.
//! * [`far`] plays the same cases against any machine that ssh leads to.
//! * [`results`] and [`table`] are what interop runs leave behind.
//! * [`mod@bench`] measures Ferroce beside what it stands on.
//! * [`tally`] counts and prints results the way `tests/run` sums them up.

pub mod bench;
pub mod connecting;
pub mod far;
pub mod lab;
pub mod pairs;
pub mod peer;
pub mod pingpong;
pub mod program;
pub mod results;
pub mod scenarios;
pub mod stand_in;
pub mod station;
mod stream;
pub mod table;
pub mod tally;
pub mod vm;
