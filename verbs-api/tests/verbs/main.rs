//! The verbs as a program uses them.

mod asynchronous;
mod common;
mod connect;
mod datagram_sockets;
mod datagrams;
mod drops;
mod failures;
mod operations;
mod rsockets;
mod sharing;
mod sockets;
mod threads;
