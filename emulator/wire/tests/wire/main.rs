//! Ferroce's packets against the world: what others sent, what others read, and what nobody would send.

mod captures;
mod cm;
mod decode;
mod frames;
mod properties;
mod table;
mod tshark;
mod vectors;
