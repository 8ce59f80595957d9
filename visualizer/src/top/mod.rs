//! Running NICs of this user: a list with rates, and the queue pairs of the one that is picked.

mod app;
mod show;

pub use app::{Row, Top, render};
pub use show::show;
