//! Tests that cross rooms: Ferroce against real peers.
//!
//! * [`vm`] boots Debian kernels under QEMU and runs programs in them: real soft-RoCE (rxe) peers on any machine.
//! * [`peer`] is the vocabulary between a test and anything that has verbs.
//! * [`connecting`] runs programs that connect by librdmacm against the same roles played here.
//! * [`pingpong`] runs `ibv_rc_pingpong` against a program with the same flags.
//! * [`scenarios`] are played by two peers; what should come of them stands beside them.
//! * [`pairs`] are the two sides of an interop case.
//! * [`mod@bench`] measures Ferroce beside what it stands on.
//! * [`tally`] counts and prints results the way `tests/run` sums them up.

pub mod bench;
pub mod connecting;
pub mod pairs;
pub mod peer;
pub mod pingpong;
pub mod program;
pub mod scenarios;
pub mod tally;
pub mod vm;
