//! The engine seen from outside: verbs and packets in, packets and completions out.

mod completions;
mod congestion;
mod errors;
mod loss;
mod memory;
mod operations;
mod pair;
mod uc;
mod ud;
mod verbs;
mod windows;
