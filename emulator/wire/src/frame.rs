//! Ethernet, IP and UDP around a packet.
