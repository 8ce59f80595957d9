//! The engine seen from outside: verbs and packets in, packets and completions out.

mod cm;
mod cm_search;
mod completions;
mod congestion;
mod errors;
mod hostile;
mod loss;
mod memory;
mod operations;
mod pair;
mod placement;
mod rc_search;
mod selective;
mod shared;
mod trains;
mod uc;
mod ud;
mod verbs;
mod windows;
mod xrc;
